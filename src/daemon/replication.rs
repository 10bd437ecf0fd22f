//! Sets push and sync going, and keeps them told who is alive and what their digests are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::app::App;
use crate::io::tasks::Tasks;
use crate::io::{clock, random};
use crate::model::MemberId;
use crate::protocol::membership::MemberTable;
use crate::protocol::push::{Push, PushLimits};

use super::peers::{PeerAddress, Peers};
use super::push::{self, PushParts};
use super::sync::{self, Roots, SyncCounters, SyncParts};

/// What others may look at.
#[derive(Clone)]
pub(super) struct Replication {
    /// The push, for its lags and counters.
    pub(super) push: Arc<Mutex<Push>>,
    /// Walks and what they moved.
    pub(super) sync: Arc<SyncCounters>,
}

impl Replication {
    /// Completes when no change waits for a living peer any more.
    pub(super) async fn drained(&self) {
        while self
            .push
            .lock()
            .lags(clock::mono())
            .values()
            .any(|lag| lag.waiting > 0)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Starts push and sync; they end with the group of tasks.
pub(super) fn start(
    app: &App,
    peers: &Peers,
    table: watch::Receiver<Arc<MemberTable>>,
    fanout: usize,
    tasks: &Tasks,
) -> Replication {
    let (alive_out, alive) = watch::channel(Arc::default());
    let (roots_out, roots) = watch::channel(Arc::default());
    let (wanted_out, wanted) = mpsc::channel(64);
    let push = Arc::new(Mutex::new(Push::new(
        PushLimits {
            fanout,
            ..PushLimits::default()
        },
        random::seed(),
    )));
    let counters = Arc::new(SyncCounters::default());
    tasks.spawn_until_stop(tell(table, alive_out, roots_out));
    tasks.spawn(push::run(PushParts {
        app: app.clone(),
        peers: peers.clone(),
        alive,
        wanted: wanted_out,
        push: push.clone(),
        tasks: tasks.clone(),
    }));
    tasks.spawn(sync::run(SyncParts {
        app: app.clone(),
        peers: peers.clone(),
        roots,
        wanted,
        counters: counters.clone(),
        tasks: tasks.clone(),
        seed: random::seed(),
    }));
    Replication {
        push,
        sync: counters,
    }
}

/// Passes on who is alive, and their roots, as the member table changes.
async fn tell(
    mut table: watch::Receiver<Arc<MemberTable>>,
    alive: watch::Sender<Arc<Vec<PeerAddress>>>,
    roots: watch::Sender<Arc<Roots>>,
) {
    loop {
        let now = table.borrow_and_update().clone();
        let heard: Roots = living(&now);
        let peers: Vec<PeerAddress> = heard.values().map(|(address, _)| *address).collect();
        alive.send_if_modified(|old| {
            let changed = **old != peers;
            *old = Arc::new(peers);
            changed
        });
        roots.send_if_modified(|old| {
            let changed = **old != heard;
            *old = Arc::new(heard);
            changed
        });
        if table.changed().await.is_err() {
            return;
        }
    }
}

fn living(table: &MemberTable) -> BTreeMap<MemberId, (PeerAddress, Option<u128>)> {
    let rows = table.live();
    rows.map(|row| {
        let address = PeerAddress {
            member: row.id,
            address: row.https,
        };
        (row.id, (address, row.root.map(|heard| heard.root)))
    })
    .collect()
}
