//! Sets push and sync going, and keeps them told who is alive and what their digests are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::app::App;
use crate::config::Config;
use crate::io::disk::DataDir;
use crate::io::tasks::Tasks;
use crate::io::{clock, random};
use crate::model::MemberId;
use crate::protocol::membership::MemberTable;
use crate::protocol::push::{Push, PushLimits};

use super::peers::{PeerAddress, Peers};
use super::push::{self, PushParts};
use super::sync::{self, Roots, SyncCounters, SyncParts};
use super::upkeep;

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

/// What the upkeep of the store goes by.
pub(super) struct UpkeepOf {
    /// The member's name.
    pub(super) name: Arc<str>,
    /// The member that this one takes the place of.
    pub(super) was: Option<MemberId>,
    /// Where it is written down who is away.
    pub(super) dir: DataDir,
    /// How long what was deleted can be restored.
    pub(super) keep_deleted: Duration,
    /// How long a member may be away.
    pub(super) forget_after: Duration,
}

impl UpkeepOf {
    /// What a configuration says.
    pub(super) fn of(config: &Config, dir: &DataDir, was: Option<MemberId>) -> Self {
        Self {
            dir: dir.clone(),
            name: config.name.as_str().into(),
            was,
            keep_deleted: config.keep_deleted,
            forget_after: config.forget_after,
        }
    }
}

/// Who is there, and the addresses that nothing is sent to.
type Seen = (
    watch::Receiver<Arc<MemberTable>>,
    watch::Receiver<Arc<BTreeSet<IpAddr>>>,
);

/// Starts push, sync and upkeep; they end with the group of tasks.
pub(super) fn start(
    app: &App,
    peers: &Peers,
    (table, blocked): Seen,
    fanout: usize,
    upkeep: UpkeepOf,
    tasks: &Tasks,
) -> Replication {
    let (alive_out, alive) = watch::channel(Arc::default());
    let (roots_out, roots) = watch::channel(Arc::default());
    let (wanted_out, wanted) = mpsc::channel(64);
    let view = app.view();
    let push = Arc::new(Mutex::new(Push::new(
        PushLimits {
            fanout,
            ..PushLimits::default()
        },
        view.store.vector().get(app.member()),
        random::seed(),
    )));
    let counters = Arc::new(SyncCounters::default());
    let forgotten = app.clone();
    let belongs = move |member| !forgotten.view().store.is_forgotten(member);
    let seen = (table.clone(), blocked);
    tasks.spawn_until_stop(tell(seen, belongs, alive_out, roots_out));
    let UpkeepOf {
        name,
        was,
        dir,
        keep_deleted,
        forget_after,
    } = upkeep;
    tasks.spawn_until_stop(upkeep::enlist(app.clone(), name, was));
    tasks.spawn_until_stop(upkeep::release(app.clone()));
    tasks.spawn_until_stop(upkeep::members(app.clone(), forget_after, dir, table));
    let wants = wanted_out.clone();
    tasks.spawn_until_stop(upkeep::collect(
        app.clone(),
        keep_deleted,
        wants,
        tasks.clone(),
    ));
    tasks.spawn(push::run(PushParts {
        app: app.clone(),
        peers: peers.clone(),
        alive,
        wanted: wanted_out,
        push: push.clone(),
        since: view.revision,
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

/// Passes on who is alive and not blocked, and their roots, as the member table changes.
async fn tell(
    (mut table, mut blocked): Seen,
    belongs: impl Fn(MemberId) -> bool,
    alive: watch::Sender<Arc<Vec<PeerAddress>>>,
    roots: watch::Sender<Arc<Roots>>,
) {
    loop {
        let now = table.borrow_and_update().clone();
        let mut heard: Roots = living(&now);
        let list = blocked.borrow_and_update().clone();
        heard.retain(|member, (at, _)| belongs(*member) && !is_blocked(&list, *at));
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
        tokio::select! {
            changed = table.changed() => if changed.is_err() {
                return;
            },
            // Without its list a member is about to end.
            changed = blocked.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Whether nothing is sent to a peer.
fn is_blocked(list: &BTreeSet<IpAddr>, peer: PeerAddress) -> bool {
    list.contains(&peer.address.ip().to_canonical())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_blocked_by_its_address_in_any_spelling_and_whatever_its_port() {
        let list = BTreeSet::from(["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()]);
        for (address, blocked) in [
            ("10.0.0.1:8000", true),
            ("10.0.0.1:9", true),
            ("[::ffff:10.0.0.1]:8000", true),
            ("[fd00::1]:8000", true),
            ("10.0.0.2:8000", false),
            ("[fd00::2]:8000", false),
        ] {
            let peer = PeerAddress {
                member: MemberId::from_u64(1),
                address: address.parse().unwrap(),
            };
            assert_eq!(is_blocked(&list, peer), blocked, "{address}");
        }
    }
}
