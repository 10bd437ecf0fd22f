//! The engine as the rest of the program holds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, watch};

use crate::model::{MemberId, WallTime};
use crate::protocol::Mono;
use crate::strong::{self, Answer, Command, Fence, Refused, RequestKey};

use super::clerk::{self, LeaderClock, Waiting};
use super::disk::{Cell, LogChange, LogDisk, LogDiskError};
use super::encoding::{EncodingError, encode};
use super::group::{Belonging, Group, Plan, Stage, Told};
use super::log::{cell, set};
use super::machine::{Happened, Shown, View};
use super::proving::{Proof, Seals};
use super::readers::{self, Reading};
use super::running::{Opening, Running, on_thread};
use super::seal::Own;
use super::types::VoterId;
use super::world::{Matter, Seen, World};
use super::{keeping, life};

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This member.
    pub me: Seen,
    /// How the group is to be founded.
    pub plan: Plan,
    /// How long a voter must be away until a learner takes its place; none: never by itself.
    pub promote_after: Option<Duration>,
}

/// A command and who asks for it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub author: Arc<str>,
    /// `Idempotency-Key`.
    pub request: Option<RequestKey>,
    /// `If-Fence`.
    pub fences: Vec<Fence>,
    /// What to do.
    pub command: Command,
}

/// Why the strong side did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrongError {
    /// The group does not work here yet, or not any more. Nothing was done.
    #[error("the strong side does not work here: {0}")]
    Off(String),
    /// No leader with a majority was found in time. Nothing was done.
    #[error("the majority of the voters does not answer")]
    NoQuorum,
    /// Too much is waiting. Nothing was done.
    #[error("too many requests wait for the strong side")]
    Overloaded,
    /// It may have been done, or may yet be.
    #[error("no answer in time: {0}")]
    Unknown(String),
    /// A read was not answered in time.
    #[error("this member is too far behind the leader")]
    Behind,
    /// What was asked cannot be done.
    #[error("{0}")]
    Impossible(String),
    /// The state machine refuses the command.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// What there is of the engine at a time.
#[derive(Clone)]
pub(super) enum Now {
    /// No group yet: why.
    Forming(String),
    /// It works.
    Working(Arc<Parts>),
    /// Another group was founded before.
    Fenced(Group, Group),
    /// It cannot work: why.
    Failed(String),
}

/// The parts of an engine that works.
pub(super) struct Parts {
    pub(super) running: Arc<Running>,
    pub(super) commands: mpsc::Sender<Waiting>,
    pub(super) reads: mpsc::Sender<Reading>,
    /// Closed when the parts are given up.
    pub(super) alive: watch::Sender<()>,
}

/// The engine of one member; a clone is another handle.
#[derive(Clone)]
pub struct Engine(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) world: Arc<dyn World>,
    pub(super) disk: Arc<dyn LogDisk>,
    pub(super) shown: Arc<Shown>,
    pub(super) seen: watch::Receiver<Arc<Vec<Seen>>>,
    pub(super) clock: LeaderClock,
    /// As it is on the disk. Held while it is written, so that promises are made one at a time.
    pub(super) belonging: tokio::sync::Mutex<Belonging>,
    /// The same, to look at.
    pub(super) stands: Mutex<Belonging>,
    pub(super) now: watch::Sender<Now>,
    /// What others told last, and in which of their starts.
    pub(super) told: Mutex<BTreeMap<MemberId, (u64, Told)>>,
    /// Since when voters are away.
    pub(super) away: Mutex<BTreeMap<MemberId, Mono>>,
    /// Wakes who looks after the group.
    pub(super) wake: tokio::sync::Notify,
    /// The member stops: nothing is started again.
    pub(super) stops: AtomicBool,
    /// How often somebody was seen to begin to lead, and when the last time was.
    pub(super) leads: Mutex<(u64, Mono)>,
    /// Whether this member may have forgotten something.
    pub(super) proof: Mutex<Proof>,
    /// Held while one is written.
    pub(super) seals: tokio::sync::Mutex<Seals>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.0.settings.me.member)
    }
}

impl Engine {
    /// Starts an engine from what is on the disk. It looks for its group by itself.
    ///
    /// # Errors
    /// When the disk cannot be read or written.
    pub async fn start(
        settings: Settings,
        disk: Arc<dyn LogDisk>,
        world: Arc<dyn World>,
        seen: watch::Receiver<Arc<Vec<Seen>>>,
    ) -> Result<Self, LogDiskError> {
        let fresh = Belonging {
            voter: VoterId::drawn(world.random()),
            stage: Stage::Looking,
        };
        let (on, now) = (disk.clone(), world.mono());
        let belonging = on_thread(world.as_ref(), move || {
            let kept = on.load()?;
            let known: Option<Belonging> = cell(&kept, Cell::Group)?;
            // Nobody knows the id of one that still looks; if this is an older copy, somebody does.
            if let Some(known) = known.filter(|known| known.stage != Stage::Looking) {
                let own = cell(&kept, Cell::Seal)?.unwrap_or_default();
                let noted = cell(&kept, Cell::Seals)?.unwrap_or_default();
                return Ok((known, Proof::default(), Seals::new(own, noted, now)));
            }
            on.commit(&[LogChange::Wipe, set(Cell::Group, &fresh)])?;
            let seals = Seals::new(Own::default(), BTreeMap::new(), now);
            let proof = Proof::of(fresh.voter);
            Ok((fresh, proof, seals))
        });
        let broke_off = || LogDiskError::Failed("reading the strong side broke off".to_owned());
        let (belonging, proof, seals) = belonging.await.ok_or_else(broke_off)??;
        let engine = Self(Arc::new(Inner {
            clock: LeaderClock::begin(world.as_ref()),
            settings,
            disk,
            shown: Arc::new(Shown::new()),
            seen,
            stands: Mutex::new(belonging.clone()),
            belonging: tokio::sync::Mutex::new(belonging),
            now: watch::Sender::new(Now::Forming("starting".to_owned())),
            told: Mutex::default(),
            away: Mutex::default(),
            wake: tokio::sync::Notify::new(),
            stops: AtomicBool::new(false),
            leads: Mutex::new((0, world.mono())),
            proof: Mutex::new(proof),
            seals: tokio::sync::Mutex::new(seals),
            world: world.clone(),
        }));
        world.spawn(Box::pin(life::live(engine.clone())));
        Ok(engine)
    }

    /// Ends the engine; what is on its way to the disk gets there.
    pub async fn stop(&self) {
        self.0.stops.store(true, Ordering::Release);
        let parts = self.parts();
        let stopped = Now::Failed("the member stops".to_owned());
        self.0.now.send_replace(stopped);
        if let Ok(parts) = parts {
            parts.running.stop().await;
        }
    }

    /// The state as it is on this member, and for how long nobody has confirmed it: it may be that
    /// much behind.
    pub fn view(&self) -> (Arc<View>, Option<Duration>) {
        let age = self.parts().ok().and_then(|parts| parts.age());
        (self.local(), age)
    }

    /// The state as it is on this member, however old it may be. Costs next to nothing.
    pub fn local(&self) -> Arc<View> {
        self.0.shown.view()
    }

    /// The time as this member would stamp commands, if it led: a clock that goes on evenly,
    /// whatever happens to the wall clock.
    pub fn wall(&self) -> WallTime {
        self.0.clock.now(self.0.world.as_ref())
    }

    /// Tells the position of the last command that was applied here, after each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.shown.changes()
    }

    /// Tells what happens from now on. Who falls behind by some thousand commands misses some, and
    /// is told so.
    pub fn happenings(&self) -> broadcast::Receiver<Happened> {
        self.0.shown.happenings()
    }

    /// Puts a command into the log and waits for its answer, at most `limit`. Any member takes it.
    /// The answer may be that the state machine refuses it.
    ///
    /// # Errors
    /// See [`StrongError`]: only [`StrongError::Unknown`] leaves open whether it was done. With an
    /// idempotency key it is tried again until the limit.
    pub async fn propose(&self, request: Request, limit: Duration) -> Result<Answer, StrongError> {
        let entry = strong::Entry {
            time: WallTime::from_millis(0),
            author: request.author,
            request: request.request,
            fences: request.fences,
            command: request.command,
        };
        entry.check()?;
        self.command(entry, limit).await
    }

    /// The state with everything in it that was answered before this call, wherever it was.
    ///
    /// # Errors
    /// Without a majority that confirms it there is no such state.
    pub async fn fresh(&self, limit: Duration) -> Result<Arc<View>, StrongError> {
        let deadline = self.0.world.mono().plus(limit);
        let index = self.read_index(limit).await?;
        let mut changes = self.changes();
        loop {
            let view = self.0.shown.view();
            if view.applied.map(|id| id.index) >= index {
                return Ok(view);
            }
            let left = deadline.since(self.0.world.mono());
            match tokio::time::timeout(left, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(StrongError::Behind),
            }
        }
    }

    /// Takes a message of the engine of another member and gives the answer.
    ///
    /// # Errors
    /// If it is no message.
    pub async fn take(
        &self,
        from: MemberId,
        about: Matter,
        body: &[u8],
    ) -> Result<Bytes, EncodingError> {
        match about {
            Matter::Append | Matter::Vote | Matter::Snapshot => match self.parts() {
                Ok(parts) => parts.running.take(about, body).await,
                Err(why) => {
                    let stopped = super::message::Declined::Stopped(why.to_string());
                    Ok(encode(&super::message::Reply::<()>::Err(stopped)))
                }
            },
            Matter::Request => self.take_request(body).await,
            Matter::Group => self.take_group(from, body).await,
        }
    }

    /// What this member does now. A copy: see [`Running::metrics`].
    pub(super) fn now(&self) -> Now {
        self.0.now.borrow().clone()
    }

    /// The parts, if the engine works.
    pub(super) fn parts(&self) -> Result<Arc<Parts>, StrongError> {
        match self.now() {
            Now::Working(parts) => Ok(parts),
            Now::Forming(why) | Now::Failed(why) => Err(StrongError::Off(why)),
            Now::Fenced(mine, other) => Err(StrongError::Off(format!(
                "its group {} met group {}, which was founded before it",
                mine.id, other.id
            ))),
        }
    }

    /// Why it cannot work before something is done about it: no use in waiting for it.
    pub(super) fn broken(&self) -> Option<StrongError> {
        match self.now() {
            Now::Forming(_) => return None,
            Now::Working(parts) => return parts.broken().map(StrongError::Off),
            Now::Failed(_) | Now::Fenced(..) => {}
        }
        self.parts().err()
    }

    /// How this member stands.
    pub(super) fn stands(&self) -> Belonging {
        self.0.stands.lock().clone()
    }

    /// Writes down how this member stands, and acts by it from then on.
    pub(super) async fn stand_as(
        &self,
        belonging: &mut Belonging,
        next: Belonging,
        also: Vec<LogChange>,
    ) -> Result<(), LogDiskError> {
        let mut changes = also;
        changes.push(set(Cell::Group, &next));
        let disk = self.0.disk.clone();
        let written = on_thread(self.0.world.as_ref(), move || disk.commit(&changes)).await;
        let broke_off = || LogDiskError::Failed("writing broke off".to_owned());
        written.ok_or_else(broke_off)??;
        *belonging = next.clone();
        *self.0.stands.lock() = next;
        self.0.wake.notify_one();
        Ok(())
    }

    /// Starts the parts from what is on the disk.
    pub(super) async fn open(&self, belonging: &Belonging) -> Result<Arc<Parts>, String> {
        let group = belonging.group().ok_or("there is no group")?;
        let inner = &self.0;
        let first = self.first_seal().await;
        first.map_err(|error| error.to_string())?;
        let (recalled, target) = self.take_proof();
        let running = Running::open(
            inner.disk.clone(),
            inner.world.clone(),
            inner.shown.clone(),
            Opening {
                group,
                voter: belonging.voter,
                view: recalled.map(|recalled| recalled.view.clone()),
                target,
            },
        );
        let running = Arc::new(running.await.map_err(|error| error.to_string())?);
        let (commands, waiting) = mpsc::channel(clerk::WAITING);
        let (reads, reading) = mpsc::channel(readers::WAITING);
        let parts = Arc::new(Parts {
            running: running.clone(),
            commands,
            reads,
            alive: watch::Sender::new(()),
        });
        let (clock, world) = (inner.clock, inner.world.clone());
        let clerk = clerk::run(running.clone(), clock, world, waiting);
        inner.world.spawn(Box::pin(clerk));
        inner.world.spawn(Box::pin(readers::run(running, reading)));
        let alive = parts.alive.subscribe();
        let keeping = keeping::keep(self.clone(), Arc::downgrade(&parts), alive);
        inner.world.spawn(Box::pin(keeping));
        Ok(parts)
    }
}

impl Parts {
    /// Why the engine broke off, if it did.
    pub(super) fn broken(&self) -> Option<String> {
        let state = self.running.metrics().running_state;
        state.err().map(|error| error.to_string())
    }

    /// For how long nobody has confirmed what is here; none: it never was.
    fn age(&self) -> Option<Duration> {
        let metrics = self.running.metrics();
        if metrics.current_leader == Some(self.running.voter) {
            let since = metrics.millis_since_quorum_ack.unwrap_or(0);
            return Some(Duration::from_millis(since));
        }
        self.running.heard()
    }
}
