//! Drives [`Schedule`] and [`Walk`]: when digests differ for a while, finds out where and
//! exchanges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};

use crate::api::peer::Meeter;
use crate::app::{App, Arrival, DiskHistory, EditError, Merging, Upkeep};
use crate::io::clock::{mono, sleep_until};
use crate::io::disk::DiskError;
use crate::io::tasks::Tasks;
use crate::model::{HybridTime, MemberId, Source};
use crate::protocol::Protocol;
use crate::protocol::collect::CollectEvent;
use crate::protocol::message::{About, Ask, Claim, Reply};
use crate::protocol::sync::{
    Alarms, Brought, Schedule, ScheduleEvent, SyncWith, Walk, WalkStep, Walked,
};

use super::peers::{AskError, PeerAddress, Peers};
use super::push::refused;

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
    /// Living peers that stay different though walks find nothing to exchange.
    pub diverged: AtomicU64,
    /// Living peers with another root that walks fail with.
    pub not_comparable: AtomicU64,
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
    Write(#[from] EditError),
    #[error("the walk's thread ended")]
    Lost,
}

/// Syncs until the group of tasks stops.
pub(super) async fn run(mut parts: SyncParts) {
    let mut own = parts.app.roots();
    let mut wants = parts.app.wants();
    let mut schedule = Schedule::new(*own.borrow_and_update(), parts.seed);
    let (done, mut results) = mpsc::channel(4);
    let mut known = Alarms::default();
    parts.app.health().warn(CHECK, true, AGREED);
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
            Some(peer) = parts.wanted.recv() => Some(ScheduleEvent::Wanted(vec![peer])),
            changed = wants.changed() => match changed {
                Ok(()) => Some(ScheduleEvent::Wanted(wants.borrow_and_update().clone())),
                Err(_) => return,
            },
            Some(ended) = results.recv() => Some(ended),
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
        let alarms = schedule.alarms(mono());
        if alarms != known {
            report(&parts, &alarms);
            known = alarms;
        }
    }
}

/// The check that tells whether all living peers can be brought together.
const CHECK: &str = "convergence";
const AGREED: &str = "no living member stays different from this one";

/// Tells who cannot be brought together with this member. It serves as before: what it has is as
/// good as what the others have.
fn report(parts: &SyncParts, alarms: &Alarms) {
    let count = |peers: &[MemberId]| u64::try_from(peers.len()).unwrap_or(u64::MAX);
    let set = |to: &AtomicU64, peers: &[MemberId]| to.store(count(peers), Ordering::Relaxed);
    set(&parts.counters.diverged, &alarms.diverged);
    set(&parts.counters.not_comparable, &alarms.not_comparable);
    let list = |peers: &[MemberId]| {
        let ids: Vec<String> = peers.iter().map(ToString::to_string).collect();
        ids.join(", ")
    };
    let mut details = Vec::new();
    if !alarms.diverged.is_empty() {
        let peers = list(&alarms.diverged);
        tracing::error!(
            %peers,
            "these members stay different from this one, though comparing finds nothing to \
             exchange: please report this with the output of `gaggle doctor` on both"
        );
        details.push(format!(
            "stay different though nothing is left to exchange: {peers}"
        ));
    }
    if !alarms.not_comparable.is_empty() {
        let peers = list(&alarms.not_comparable);
        tracing::warn!(%peers, "these living members could not be compared for a minute");
        details.push(format!("differ and cannot be compared: {peers}"));
    }
    if details.is_empty() {
        tracing::info!("{AGREED} any more");
        parts.app.health().warn(CHECK, true, AGREED);
    } else {
        parts.app.health().warn(CHECK, false, details.join("; "));
    }
}

fn peers_event(roots: &Arc<Roots>) -> ScheduleEvent {
    ScheduleEvent::Peers(roots.iter().map(|(id, (_, root))| (*id, *root)).collect())
}

fn begin(parts: &SyncParts, peer: MemberId, done: mpsc::Sender<ScheduleEvent>) {
    let address = parts.roots.borrow().get(&peer).map(|(address, _)| *address);
    let (app, peers, tasks) = (parts.app.clone(), parts.peers.clone(), parts.tasks.clone());
    let counters = parts.counters.clone();
    parts.tasks.spawn_until_stop(async move {
        let (exchanged, differed) = match address {
            Some(address) => walk(&app, &peers, &tasks, address, &counters).await,
            None => (None, false),
        };
        let ended = ScheduleEvent::Done {
            peer,
            exchanged,
            differed,
        };
        done.send(ended).await.unwrap_or_default();
    });
}

/// Walks with a peer; gives how many changes went either way, or none if it failed, and whether a
/// difference was found.
async fn walk(
    app: &App,
    peers: &Peers,
    tasks: &Tasks,
    address: PeerAddress,
    counters: &SyncCounters,
) -> (Option<usize>, bool) {
    let mut differed = false;
    let add = |to: &AtomicU64, count: usize| to.fetch_add(count as u64, Ordering::Relaxed);
    let exchanged = match exchange(app, peers, tasks, address, &mut differed).await {
        Ok(walked) => {
            let peer = address.member;
            let Walked {
                fetched, pushed, ..
            } = walked;
            add(&counters.walks, 1);
            add(&counters.fetched, fetched);
            add(&counters.pushed, pushed);
            app.acks().tell(peer, walked.has);
            refused(peer, &walked.refused);
            tracing::debug!(%peer, fetched, pushed, "synced");
            Some(fetched + pushed)
        }
        Err(error) => {
            add(&counters.failures, 1);
            let peer = address.member;
            tracing::debug!(%peer, %error, "a sync failed; it will be tried again");
            None
        }
    };
    (exchanged, differed)
}

async fn exchange(
    app: &App,
    peers: &Peers,
    tasks: &Tasks,
    address: PeerAddress,
    differed: &mut bool,
) -> Result<Walked, WalkError> {
    let peer = address.member;
    let about = app.about(&app.view().store);
    let (mut walk, mut step) = advance(app, tasks, Walk::new(about), None).await?;
    loop {
        let reply = match step {
            WalkStep::Done => return Ok(walk.walked().clone()),
            WalkStep::Ask(ask) => {
                // Sums are asked for down to where they differ; what follows is a difference.
                *differed |= matches!(ask, Ask::Items(_) | Ask::Fetch(_));
                Some(peers.ask(address, ask).await?)
            }
            step => {
                perform(app, peer, &mut walk, step).await?;
                None
            }
        };
        if let Some(Reply::Met { about, .. }) = &reply {
            met(app, peer, about).await?;
        }
        (walk, step) = advance(app, tasks, walk, reply).await?;
    }
}

/// Does what the walk wants done here.
async fn perform(
    app: &App,
    peer: MemberId,
    walk: &mut Walk,
    step: WalkStep,
) -> Result<(), EditError> {
    let (mut changes, mut claims) = (Vec::new(), Vec::new());
    match step {
        WalkStep::Ask(_) | WalkStep::Done => return Ok(()),
        WalkStep::LetGo { gone, horizon } => {
            let all = gone.len();
            let new = app.upkeep(Upkeep::LetGo { gone, horizon }).await?;
            let whole = new == all;
            walk.took(Brought { new, whole });
            return Ok(());
        }
        WalkStep::Merge(brought) => changes = brought,
        WalkStep::Include(vector) => {
            let base = HybridTime::default();
            let claim = |(origin, upto)| (origin, Claim { base, upto });
            claims = vector.iter().map(claim).collect();
        }
    }
    let source = Source::Sync(peer);
    let arrival = Arrival {
        source,
        changes,
        claims,
    };
    let Merging { new, whole, .. } = app.merge(arrival).await?;
    walk.took(Brought { new, whole });
    Ok(())
}

/// Takes note of what peers tell that walk with us.
pub(super) fn meeter(app: &App, tasks: &Tasks) -> Meeter {
    let (app, tasks) = (app.clone(), tasks.clone());
    Arc::new(move |peer, about| {
        let app = app.clone();
        tasks.spawn_until_stop(async move {
            if let Err(error) = met(&app, peer, &about).await {
                tracing::debug!(%peer, %error, "what a peer told was not taken note of");
            }
        });
    })
}

/// Takes note of what a peer told of itself.
async fn met(app: &App, peer: MemberId, about: &About) -> Result<(), EditError> {
    app.collecting(CollectEvent::Heard(peer, about.clone()));
    let ours = about.version_vector().get(app.member());
    // Also below the clock's position: an older copy that has written since may be beyond it.
    let lifted = app.upkeep(Upkeep::Lift(ours)).await;
    if ours > app.view().store.vector().get(app.member()) {
        lifted?;
    }
    Ok(())
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
