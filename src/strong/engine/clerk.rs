//! Puts commands into the log: what waits goes together, in one entry of the Raft log, so that
//! many commands share one sync and one round.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::error::ClientWriteError;
use tokio::sync::{RwLockReadGuard, mpsc, oneshot};

use crate::model::WallTime;
use crate::protocol::Mono;
use crate::strong::{self, Answer};

use super::running::Running;
use super::types::{Answers, Proposal};
use super::world::World;

/// How many commands may wait; more are refused.
pub(super) const WAITING: usize = 4_096;
/// The most commands in one entry of the Raft log.
const TOGETHER: usize = 512;
/// The most bytes of commands in one entry, unless one command alone has more.
const TOGETHER_BYTES: usize = 4 << 20;
/// How many entries may be on their way at once.
const UNDER_WAY: usize = 4;

/// A command on its way into the log.
pub(super) struct Waiting {
    pub(super) entry: strong::Entry,
    pub(super) done: oneshot::Sender<Result<Answer, Failed>>,
}

/// Why a command was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// This member does not lead; the command is not in its log.
    NotLeader,
    /// It is in the log of this member, and may be done or not.
    Unknown,
}

/// The clock by which a leader stamps commands: it goes on evenly whatever happens to the wall
/// clock, because leases run by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaderClock {
    wall: WallTime,
    begun: Mono,
}

impl LeaderClock {
    pub(super) fn begin(world: &dyn World) -> Self {
        Self {
            wall: world.wall(),
            begun: world.mono(),
        }
    }

    pub(super) fn now(&self, world: &dyn World) -> WallTime {
        let since = world.mono().since(self.begun).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        WallTime::from_millis(self.wall.millis().saturating_add(since))
    }
}

type Written = Result<
    openraft::raft::ClientWriteResponse<super::Types>,
    ClientWriteError<super::VoterId, super::Voter>,
>;
type Answered = Result<Written, oneshot::error::RecvError>;
type OnItsWay = (
    Vec<oneshot::Sender<Result<Answer, Failed>>>,
    Arc<AtomicBool>,
    oneshot::Receiver<Written>,
);

/// Takes commands until nobody hands in any more.
pub(super) async fn run(
    running: Arc<Running>,
    clock: LeaderClock,
    world: Arc<dyn World>,
    mut queue: mpsc::Receiver<Waiting>,
) {
    let mut under_way: VecDeque<OnItsWay> = VecDeque::new();
    loop {
        while under_way.len() >= UNDER_WAY {
            finish(under_way.pop_front()).await;
        }
        let first = if let Some((_, _, answer)) = under_way.front_mut() {
            tokio::select! {
                answered = answer => {
                    tell_first(&mut under_way, answered);
                    continue;
                }
                first = queue.recv() => first,
            }
        } else {
            queue.recv().await
        };
        let Some(first) = first else {
            break;
        };
        let handing_over = not_while_handing_over(&running, &mut under_way).await;
        let now = clock.now(world.as_ref());
        let (entries, done) = gather(first, &mut queue, now);
        let proposal = Proposal::new(entries);
        let logged = proposal.logged();
        let handed_in = running.raft.client_write_ff(proposal).await;
        drop(handing_over);
        match handed_in {
            Ok(answer) => under_way.push_back((done, logged, answer)),
            Err(_stopped) => refuse(done, &logged),
        }
    }
    while let Some(next) = under_way.pop_front() {
        finish(Some(next)).await;
    }
}

/// Waits until the lead is not being handed over. What is on its way is answered meanwhile.
async fn not_while_handing_over<'a>(
    running: &'a Running,
    under_way: &mut VecDeque<OnItsWay>,
) -> RwLockReadGuard<'a, ()> {
    while let Some((_, _, answer)) = under_way.front_mut() {
        tokio::select! {
            free = running.hand_over.read() => return free,
            answered = answer => tell_first(under_way, answered),
        }
    }
    running.hand_over.read().await
}

fn gather(
    first: Waiting,
    queue: &mut mpsc::Receiver<Waiting>,
    now: WallTime,
) -> (Vec<Bytes>, Vec<oneshot::Sender<Result<Answer, Failed>>>) {
    let (mut entries, mut done, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(first);
    while let Some(Waiting {
        mut entry,
        done: to,
    }) = next.take()
    {
        entry.time = now;
        let encoded = Bytes::from(entry.encode());
        bytes += encoded.len();
        entries.push(encoded);
        done.push(to);
        if entries.len() < TOGETHER && bytes < TOGETHER_BYTES {
            next = queue.try_recv().ok();
        }
    }
    (entries, done)
}

async fn finish(next: Option<OnItsWay>) {
    if let Some((done, logged, answer)) = next {
        tell(done, &logged, answer.await);
    }
}

fn tell_first(under_way: &mut VecDeque<OnItsWay>, answered: Answered) {
    if let Some((done, logged, _)) = under_way.pop_front() {
        tell(done, &logged, answered);
    }
}

fn tell(
    done: Vec<oneshot::Sender<Result<Answer, Failed>>>,
    logged: &AtomicBool,
    answered: Answered,
) {
    let Ok(Ok(written)) = answered else {
        return refuse(done, logged);
    };
    let Answers(answers) = written.data;
    for (done, answer) in done.into_iter().zip(answers) {
        // Who does not wait any more need not be told.
        let _ = done.send(Ok(answer));
    }
}

fn refuse(done: Vec<oneshot::Sender<Result<Answer, Failed>>>, logged: &AtomicBool) {
    let why = if logged.load(Ordering::Acquire) {
        Failed::Unknown
    } else {
        Failed::NotLeader
    };
    for done in done {
        let _ = done.send(Err(why.clone()));
    }
}

/// How long a leader may be without its majority before it takes nothing any more.
pub(super) const ALONE: Duration = Duration::from_millis(super::running::ELECTION.1);
