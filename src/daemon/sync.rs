//! Drives [`Schedule`] and [`Walk`]: when digests differ for a while, finds out where and
//! exchanges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};

use crate::app::{App, DiskHistory};
use crate::io::clock::{mono, sleep_until};
use crate::io::disk::DiskError;
use crate::io::tasks::Tasks;
use crate::model::MemberId;
use crate::protocol::Protocol;
use crate::protocol::message::Reply;
use crate::protocol::sync::{Schedule, ScheduleEvent, SyncWith, Walk, WalkStep, Walked};

use super::peers::{AskError, PeerAddress, Peers};

/// A living peer with the root that it told last.
pub(super) type Roots = BTreeMap<MemberId, (PeerAddress, Option<u128>)>;

/// Numbers for the metrics, since the start.
#[derive(Debug, Default)]
pub(super) struct SyncCounters {
    /// Walks that ended well.
    pub walks: AtomicU64,
    /// Walks that failed.
    pub failures: AtomicU64,
    /// Changes that peers sent in walks.
    pub fetched: AtomicU64,
    /// Changes that peers were sent in walks.
    pub pushed: AtomicU64,
}

/// What the sync needs from others.
pub(super) struct SyncParts {
    /// The store.
    pub app: App,
    /// The way to peers.
    pub peers: Peers,
    /// The living peers and their roots.
    pub roots: watch::Receiver<Arc<Roots>>,
    /// Peers that push left behind.
    pub wanted: mpsc::Receiver<MemberId>,
    /// Where walks are counted.
    pub counters: Arc<SyncCounters>,
    /// Who owns the walks.
    pub tasks: Tasks,
    /// The seed for choices and jitter.
    pub seed: u64,
}

/// Why a walk was given up. What was exchanged until then stays.
#[derive(Debug, thiserror::Error)]
enum WalkError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Write(#[from] crate::app::EditError),
    #[error("the walk's thread ended")]
    Lost,
}

/// Syncs until the group of tasks stops.
pub(super) async fn run(mut parts: SyncParts) {
    let mut own = parts.app.roots();
    let mut schedule = Schedule::new(*own.borrow_and_update(), parts.seed);
    let (done, mut results) = mpsc::channel(4);
    loop {
        let deadline = schedule.deadline();
        let wait = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            () = parts.tasks.stopping() => return,
            changed = own.changed() => match changed {
                Ok(()) => Some(ScheduleEvent::Root(*own.borrow_and_update())),
                Err(_) => return,
            },
            changed = parts.roots.changed() => match changed {
                Ok(()) => Some(peers_event(&parts.roots.borrow_and_update())),
                Err(_) => return,
            },
            Some(peer) = parts.wanted.recv() => Some(ScheduleEvent::Wanted(peer)),
            Some((peer, exchanged)) = results.recv() => {
                Some(ScheduleEvent::Done { peer, exchanged })
            }
            () = wait => None,
        };
        let mut out = Vec::new();
        match event {
            Some(event) => schedule.on_event(mono(), event, &mut out),
            None => schedule.on_deadline(mono(), &mut out),
        }
        for SyncWith(peer) in out {
            begin(&parts, peer, done.clone());
        }
    }
}

fn peers_event(roots: &Arc<Roots>) -> ScheduleEvent {
    ScheduleEvent::Peers(roots.iter().map(|(id, (_, root))| (*id, *root)).collect())
}

fn begin(parts: &SyncParts, peer: MemberId, done: mpsc::Sender<(MemberId, Option<usize>)>) {
    let address = parts.roots.borrow().get(&peer).map(|(address, _)| *address);
    let (app, peers, tasks) = (parts.app.clone(), parts.peers.clone(), parts.tasks.clone());
    let counters = parts.counters.clone();
    parts.tasks.spawn_until_stop(async move {
        let exchanged = match address {
            Some(address) => walk(&app, &peers, &tasks, address, &counters).await,
            None => None,
        };
        done.send((peer, exchanged)).await.unwrap_or_default();
    });
}

/// Walks with a peer; gives how many changes went either way, or none if it failed.
async fn walk(
    app: &App,
    peers: &Peers,
    tasks: &Tasks,
    address: PeerAddress,
    counters: &SyncCounters,
) -> Option<usize> {
    let add = |to: &AtomicU64, count: usize| to.fetch_add(count as u64, Ordering::Relaxed);
    match exchange(app, peers, tasks, address).await {
        Ok(Walked { fetched, pushed }) => {
            add(&counters.walks, 1);
            add(&counters.fetched, fetched);
            add(&counters.pushed, pushed);
            let peer = address.member;
            tracing::debug!(%peer, fetched, pushed, "synced");
            Some(fetched + pushed)
        }
        Err(error) => {
            add(&counters.failures, 1);
            let peer = address.member;
            tracing::debug!(%peer, %error, "a sync failed; it will be tried again");
            None
        }
    }
}

async fn exchange(
    app: &App,
    peers: &Peers,
    tasks: &Tasks,
    address: PeerAddress,
) -> Result<Walked, WalkError> {
    let (mut walk, mut step) = advance(app, tasks, Walk::new(), None).await?;
    loop {
        let reply = match step {
            WalkStep::Done => return Ok(walk.walked()),
            WalkStep::Merge(changes) => {
                walk.took(app.merge(address.member, changes).await?);
                None
            }
            WalkStep::Ask(ask) => Some(peers.ask(address, ask).await?),
        };
        (walk, step) = advance(app, tasks, walk, reply).await?;
    }
}

/// One step of the walk, on a thread that may block: it looks through the store and reads the disk.
async fn advance(
    app: &App,
    tasks: &Tasks,
    mut walk: Walk,
    reply: Option<Reply>,
) -> Result<(Walk, WalkStep), WalkError> {
    let (view, history) = (app.view(), DiskHistory(app.disk().clone()));
    let step = tasks.blocking(move || {
        let step = match reply {
            Some(reply) => walk.on_reply(&view.store, &history, reply),
            None => walk.next(&view.store, &history),
        };
        step.map(|step| (walk, step))
    });
    Ok(step.await.ok_or(WalkError::Lost)??)
}
