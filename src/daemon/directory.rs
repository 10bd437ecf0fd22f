//! The member table as the API shows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::membership::{Tried, WayReport};
use crate::api::{FoundView, MemberDirectory, MemberState, MemberView, Outcome, WayView};
use crate::app::App;
use crate::io::clock::{mono, wall};
use crate::model::{MemberId, Standing};
use crate::protocol::clocks::Reading;
use crate::protocol::membership::{self as swim, MemberRow, MemberTable};
use crate::protocol::push::Push;

/// Everybody that this member knows, with how far behind they are.
pub(super) struct Directory {
    pub(super) app: App,
    pub(super) table: watch::Receiver<Arc<MemberTable>>,
    pub(super) ways: watch::Receiver<Arc<Vec<WayReport>>>,
    /// Whether beacons are sent and heard.
    pub(super) multicast: bool,
    pub(super) push: Arc<Mutex<Push>>,
}

impl MemberDirectory for Directory {
    fn members(&self) -> Vec<MemberView> {
        let table = self.table.borrow().clone();
        let view = self.app.view();
        let lags = self.push.lock().lags(mono());
        let mut members: BTreeMap<MemberId, MemberView> = view
            .store
            .members()
            .map(|(member, standing)| (member, unseen(member, standing)))
            .collect();
        for row in table.rows() {
            let lag = lags.get(&row.id).map(|lag| lag.oldest);
            let mut seen = self.seen(row, row.id == table.me.id, lag);
            if let Some(forgotten) = members.remove(&row.id)
                && view.store.is_forgotten(row.id)
            {
                seen.state = MemberState::Forgotten;
                seen.since = forgotten.since;
                seen.forgotten_by = forgotten.forgotten_by;
            }
            members.insert(row.id, seen);
        }
        for (id, member) in &mut members {
            // A decision that is void (by a member that was forgotten before) counts for nothing.
            if member.forgotten_by.is_some() && !view.store.is_forgotten(*id) {
                (member.state, member.forgotten_by) = (MemberState::Dead, None);
            }
        }
        members.into_values().collect()
    }

    fn ways(&self) -> Vec<WayView> {
        let table = self.table.borrow().clone();
        let reports = self.ways.borrow().clone();
        let multicast = self.multicast.then(|| by_multicast(&table));
        let others = reports.iter().map(|report| way(report, &table));
        multicast.into_iter().chain(others).collect()
    }
}

/// Whose beacons were heard.
fn by_multicast(table: &MemberTable) -> WayView {
    let heard = table.others.values().filter(|row| row.beaconed);
    let found = heard.map(|row| FoundView {
        address: row.https,
        outcome: Outcome::Member,
        member: Some(row.name.as_str().to_owned()),
        why: None,
    });
    WayView {
        way: "multicast".to_owned(),
        asked: None,
        trouble: None,
        found: found.collect(),
    }
}

fn way(report: &WayReport, table: &MemberTable) -> WayView {
    let found = report.found.iter().map(|(address, tried)| {
        let (outcome, member, why) = match tried {
            Tried::NotYet => (Outcome::NotTried, None, None),
            Tried::Ourselves => (Outcome::Itself, None, None),
            Tried::Failed(why) => (Outcome::Failed, None, Some(why.clone())),
            Tried::Member(id) => {
                let name = table.find(*id).map(|row| row.name.as_str().to_owned());
                (Outcome::Member, name.or(Some(id.to_string())), None)
            }
        };
        FoundView {
            address: *address,
            outcome,
            member,
            why,
        }
    });
    WayView {
        way: report.way.clone(),
        asked: report.asked,
        trouble: report.trouble.clone(),
        found: found.collect(),
    }
}

impl Directory {
    /// What is known of a member that was seen since the start.
    fn seen(&self, row: &MemberRow, is_self: bool, lag: Option<Duration>) -> MemberView {
        let own = self.app.view().store.digest().root();
        let heard = row.root.map(|heard| heard.root);
        let digest = if is_self { Some(own) } else { heard };
        let lag = if is_self { Some(Duration::ZERO) } else { lag };
        let offset = |clock: Reading| clock.offset_ms(mono(), wall());
        MemberView {
            id: row.id,
            name: row.name.as_str().to_owned(),
            address: Some(row.https),
            state: state(row.state),
            incarnation: Some(row.generation.number()),
            version: Some(row.version.as_str().to_owned()),
            since: row.since,
            lag_ms: lag.and_then(|lag| u64::try_from(lag.as_millis()).ok()),
            digest,
            in_sync: digest == Some(own),
            watched_over: match row.https_only {
                _ if is_self || !row.state.is_live() => None,
                true => Some("https"),
                false => Some("udp"),
            },
            clock_offset_ms: if is_self {
                Some(0)
            } else {
                row.clock.map(offset)
            },
            forgotten_by: None,
            is_self,
        }
    }
}

/// What the store tells of a member that was not seen since the start.
fn unseen(member: MemberId, standing: &Standing) -> MemberView {
    let (state, since, forgotten_by) = match standing {
        Standing::Known { since, .. } => (MemberState::Dead, *since, None),
        Standing::Forgotten {
            written, author, ..
        } => (MemberState::Forgotten, *written, Some(author.to_string())),
    };
    MemberView {
        id: member,
        name: standing.name().to_string(),
        address: None,
        state,
        incarnation: None,
        version: None,
        since,
        lag_ms: None,
        digest: None,
        in_sync: false,
        watched_over: None,
        clock_offset_ms: None,
        forgotten_by,
        is_self: false,
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
