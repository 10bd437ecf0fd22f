//! The member table as the API shows it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::api::{MemberDirectory, MemberState, MemberView};
use crate::app::App;
use crate::io::clock::mono;
use crate::protocol::membership::{self as swim, MemberRow, MemberTable};
use crate::protocol::push::Push;

/// Everybody that this member knows, with how far behind they are.
pub(super) struct Directory {
    pub(super) app: App,
    pub(super) table: watch::Receiver<Arc<MemberTable>>,
    pub(super) push: Arc<Mutex<Push>>,
}

impl MemberDirectory for Directory {
    fn members(&self) -> Vec<MemberView> {
        let table = self.table.borrow().clone();
        let own = self.app.view().store.digest().root();
        let lags = self.push.lock().lags(mono());
        let view = |row: &MemberRow| {
            let is_self = row.id == table.me.id;
            let digest = if is_self {
                Some(own)
            } else {
                row.root.map(|heard| heard.root)
            };
            let lag = lags.get(&row.id).map(|lag| lag.oldest.as_millis());
            MemberView {
                id: row.id,
                name: row.name.as_str().to_owned(),
                address: row.https,
                state: state(row.state),
                incarnation: row.generation.number(),
                version: row.version.as_str().to_owned(),
                since: row.since,
                lag_ms: if is_self {
                    Some(0)
                } else {
                    lag.and_then(|ms| u64::try_from(ms).ok())
                },
                digest,
                in_sync: digest == Some(own),
                is_self,
            }
        };
        table.rows().map(view).collect()
    }
}

fn state(state: swim::MemberState) -> MemberState {
    match state {
        swim::MemberState::Alive => MemberState::Alive,
        swim::MemberState::Suspect => MemberState::Suspect,
        swim::MemberState::Dead => MemberState::Dead,
        swim::MemberState::Left => MemberState::Left,
    }
}
