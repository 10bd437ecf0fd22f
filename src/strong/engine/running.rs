//! One engine that runs: from what is on the disk to an `openraft` instance, and its doors.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::error::Fatal;
use openraft::raft::{VoteRequest, VoteResponse};
use openraft::{Config, SnapshotPolicy};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::Mono;

use super::disk::{Kept, LogDisk, LogDiskError};
use super::encoding::{EncodingError, decode, encode};
use super::group::GroupId;
use super::log::Log;
use super::machine::{Machine, Shown, View};
use super::message::{AppendAsk, Declined, Letter, Reply, SnapshotReply, SnapshotStep, VoteAsk};
use super::peers::{Acknowledged, Answered, Peers};
use super::portraits::{Portraits, Taken};
use super::scribe::Scribe;
use super::seal::Stand;
use super::types::{LogId, Membership, Raft, StoredMembership, Vote, Voter, VoterId};
use super::world::{Matter, World};

/// How often the leader gives a sign of life, in ms. It is also the time that a peer may take to
/// answer one.
pub(super) const HEARTBEAT: u64 = 150;
/// A voter that hears nothing of a leader for the second of these, and a random time between both
/// after that, stands for election; in ms.
pub(super) const ELECTION: (u64, u64) = (450, 900);
/// After how many entries of the log a snapshot is made.
const SNAPSHOT_ENTRIES: u64 = 5_000;
/// How many entries stay in the log although a snapshot holds them, for peers that are behind.
const KEPT_ENTRIES: u64 = 500;

/// An engine that runs.
pub(super) struct Running {
    pub(super) raft: Raft,
    pub(super) group: GroupId,
    pub(super) voter: VoterId,
    pub(super) log: Log,
    portraits: Arc<Portraits>,
    world: Arc<dyn World>,
    /// A member that led goes on to lead when it starts again before anybody missed it. What was
    /// the last entry of its log then: clients may have been answered up to there, and which
    /// entries are committed is on the disk only as far as it was noted.
    resumed: Option<(Vote, u64)>,
    /// When it was opened.
    opened: Mono,
    /// When entries of a leader came last.
    heard: Mutex<Option<Mono>>,
    /// Held to write while the lead is handed over: nothing may be sent to voters then, for who
    /// hears the old leader votes for nobody else.
    pub(super) hand_over: tokio::sync::RwLock<()>,
    answered: Answered,
    /// Up to where each peer has acknowledged entries.
    acknowledged: Acknowledged,
    /// This member votes as if this were the last entry of its log, until it has it: before, it may
    /// have forgotten that it once had it.
    target: Option<LogId>,
}

/// What an engine is opened as.
pub(super) struct Opening {
    pub(super) group: GroupId,
    pub(super) voter: VoterId,
    /// A state that was read from the disk before.
    pub(super) view: Option<View>,
    /// See [`Running`].
    pub(super) target: Option<LogId>,
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Disk(#[from] LogDiskError),
    #[error("{0}")]
    Raft(#[from] Fatal<VoterId>),
}

fn config(group: GroupId) -> Arc<Config> {
    Arc::new(Config {
        cluster_name: group.to_string(),
        heartbeat_interval: HEARTBEAT,
        election_timeout_min: ELECTION.0,
        election_timeout_max: ELECTION.1,
        max_payload_entries: 1_000,
        replication_lag_threshold: 1_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES),
        max_in_snapshot_log_to_keep: KEPT_ENTRIES,
        purge_batch_size: 256,
        enable_elect: false,
        ..Config::default()
    })
}

impl Running {
    /// Starts the engine from what is on the disk. Elections are off at first.
    pub(super) async fn open(
        disk: Arc<dyn LogDisk>,
        world: Arc<dyn World>,
        shown: Arc<Shown>,
        opening: Opening,
    ) -> Result<Self, OpenError> {
        let Opening {
            group,
            voter,
            view: recalled,
            target,
        } = opening;
        let scribe = Scribe::start(disk.clone(), world.as_ref());
        let opened = {
            let (disk, world, scribe) = (disk.clone(), world.clone(), scribe.clone());
            on_thread(world.clone().as_ref(), move || {
                let kept: Kept = disk.load()?;
                let opened = Portraits::open(disk.clone(), &kept, scribe.clone())?;
                let log = Log::open(disk, &kept, scribe, world)?;
                Ok::<_, LogDiskError>((opened, log))
            })
            .await
        };
        let broke_off = || LogDiskError::Failed("reading the strong side broke off".to_owned());
        let ((portraits, view), log) = opened.ok_or_else(broke_off)??;
        let portraits = Arc::new(portraits);
        let newer = recalled.filter(|recalled| recalled.applied > view.applied);
        let view = newer.unwrap_or(view);
        let acknowledged = Acknowledged::default();
        let peers = Peers {
            world: world.clone(),
            group,
            me: voter,
            portraits: portraits.clone(),
            acknowledged: acknowledged.clone(),
            answered: Arc::default(),
        };
        let answered = peers.answered.clone();
        let machine = Machine::new(shown, portraits.clone(), view);
        let resumed = log.led_by(voter);
        let raft = Raft::new(voter, config(group), peers, log.clone(), machine).await?;
        Ok(Self {
            raft,
            group,
            voter,
            log,
            portraits,
            opened: world.mono(),
            world,
            resumed,
            heard: Mutex::default(),
            hand_over: tokio::sync::RwLock::default(),
            answered,
            acknowledged,
            target,
        })
    }

    /// What the engine says of itself now. A copy, for a look that is held while another one is
    /// taken stops both for ever, and the engine with them, if the engine writes in between.
    pub(super) fn metrics(&self) -> openraft::RaftMetrics<VoterId, Voter> {
        self.raft.metrics().borrow().clone()
    }

    /// From which entry on a read is fresh, for a leader of that vote to which the engine says
    /// `index`: the engine knows what is committed, but not yet all of it after a start.
    pub(super) fn fresh_from(&self, vote: Option<Vote>, index: Option<u64>) -> Option<u64> {
        match self.resumed {
            Some((resumed, last)) if vote == Some(resumed) => index.max(Some(last)),
            _ => index,
        }
    }

    /// What this member has that others count on.
    pub(super) async fn stand(&self) -> Result<Stand, Fatal<VoterId>> {
        let membership = self.raft.with_raft_state(|state| {
            let newest = state.membership_state.effective();
            StoredMembership::new(*newest.log_id(), newest.membership().clone())
        });
        Ok(Stand {
            membership: membership.await?,
            vote: self.log.vote(),
            last: self.log.last(),
        })
    }

    /// What a peer has acknowledged to this member as the leader of that vote.
    pub(super) fn acknowledged(&self, peer: VoterId) -> Option<(Vote, LogId)> {
        self.acknowledged.lock().get(&peer).copied()
    }

    /// Whether this member has all that it must have to stand for election.
    pub(super) fn has_all(&self) -> bool {
        self.log.last() >= self.target
    }

    /// The answer to a candidate that has less than this member may have had; none: it is as good
    /// as any.
    fn turned_down(&self, ask: &VoteRequest<VoterId>) -> Option<VoteResponse<VoterId>> {
        let is_less = !self.has_all() && ask.last_log_id < self.target;
        let vote = self.log.vote().unwrap_or_default();
        is_less.then(|| VoteResponse::new(vote, self.target, false))
    }

    /// Of a member that was just demoted, and does not know yet that the second step is committed:
    /// the first step, and the last entry of its log. A candidate that has the first is as good as
    /// any: see ADR 11. Both are read at one moment, for the log may go on under other voters: an
    /// entry behind that last one turns a candidate without it down as usual.
    async fn counted(&self) -> Result<Option<(LogId, LogId)>, Fatal<VoterId>> {
        let (me, log) = (self.voter, self.log.clone());
        let counted = self.raft.with_raft_state(move |state| {
            let memberships = &state.membership_state;
            let (before, now) = (memberships.committed(), memberships.effective());
            steps_down(me, before.membership(), now.membership())
                .then(|| (*before.log_id()).zip(log.last()))
                .flatten()
        });
        counted.await
    }

    /// For how long this member has gone on to lead as it did before it started; none if it was
    /// elected since.
    pub(super) fn resumed_for(&self) -> Option<Duration> {
        let (resumed, _) = self.resumed?;
        let is_same = self.log.vote() == Some(resumed);
        is_same.then(|| self.world.mono().since(self.opened))
    }

    /// Ends it; what is on its way to the disk gets there.
    pub(super) async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the strong side broke off");
        }
    }

    /// How long ago a leader was heard; none if never.
    pub(super) fn heard(&self) -> Option<Duration> {
        let heard = *self.heard.lock();
        heard.map(|at| self.world.mono().since(at))
    }

    /// How long ago a peer's engine answered; none if never.
    pub(super) fn answered(&self, peer: VoterId) -> Option<Duration> {
        let at = self.answered.lock().get(&peer).copied();
        at.map(|at| self.world.mono().since(at))
    }

    /// Takes a message of a peer's engine and gives the answer.
    pub(super) async fn take(&self, about: Matter, body: &[u8]) -> Result<Bytes, EncodingError> {
        Ok(match about {
            Matter::Append => {
                let letter: AppendAsk = decode(body)?;
                self.answer(letter, async |ask| {
                    let reply = self.raft.append_entries(ask).await;
                    if reply.as_ref().is_ok_and(|reply| {
                        !matches!(reply, openraft::raft::AppendEntriesResponse::HigherVote(_))
                    }) {
                        *self.heard.lock() = Some(self.world.mono());
                    }
                    reply.map_err(|error| error.to_string())
                })
                .await
            }
            Matter::Vote => {
                let letter: VoteAsk = decode(body)?;
                self.answer(letter, async |mut ask| {
                    if let Some(turned_down) = self.turned_down(&ask) {
                        return Ok(turned_down);
                    }
                    let counted = self.counted().await.map_err(|error| error.to_string())?;
                    if let Some((first, last)) = counted
                        && ask.last_log_id >= Some(first)
                    {
                        ask.last_log_id = ask.last_log_id.max(Some(last));
                    }
                    let reply = self.raft.vote(ask).await;
                    reply.map_err(|error| error.to_string())
                })
                .await
            }
            Matter::Snapshot => {
                let letter: Letter<SnapshotStep> = decode(body)?;
                self.answer(letter, async |step| Ok(self.take_step(step).await))
                    .await
            }
            Matter::Request | Matter::Group => encode(&Reply::<()>::Err(Declined::Stopped(
                "a wrong door".to_owned(),
            ))),
        })
    }

    async fn answer<A: DeserializeOwned, R: Serialize>(
        &self,
        letter: Letter<A>,
        work: impl AsyncFnOnce(A) -> Result<R, String>,
    ) -> Bytes {
        let reply: Reply<R> = if letter.group != self.group {
            Err(Declined::OtherGroup)
        } else if letter.to != self.voter {
            Err(Declined::OtherVoter)
        } else {
            work(letter.body).await.map_err(Declined::Stopped)
        };
        encode(&reply)
    }

    async fn take_step(&self, step: SnapshotStep) -> SnapshotReply {
        *self.heard.lock() = Some(self.world.mono());
        let SnapshotStep {
            vote,
            meta,
            pieces,
            piece,
        } = step;
        let mine = self.log.vote().unwrap_or_default();
        if vote < mine {
            // An older leader: it learns of the newer one by this vote.
            return SnapshotReply::Installed(mine);
        }
        let Some((number, bytes)) = piece else {
            let offered = self.portraits.offered(&meta).await;
            return offered.map_or_else(
                |error| SnapshotReply::Failed(error.to_string()),
                SnapshotReply::Wants,
            );
        };
        let whole = match self.portraits.take(&meta, pieces, number, bytes).await {
            Ok(Taken::Wants(piece)) => return SnapshotReply::Wants(piece),
            Ok(Taken::Whole(whole)) => whole,
            Err(error) => return SnapshotReply::Failed(error.to_string()),
        };
        match self.raft.install_full_snapshot(vote, *whole).await {
            Ok(installed) => SnapshotReply::Installed(installed.vote),
            Err(error) => SnapshotReply::Failed(error.to_string()),
        }
    }
}

/// Whether these are the two steps in which one voter, and only it, becomes a learner: first both
/// sets must agree, with it and without it, then the others alone.
fn steps_down(me: VoterId, before: &Membership, now: &Membership) -> bool {
    let ([with, without], [others]) = (&before.get_joint_config()[..], &now.get_joint_config()[..])
    else {
        return false;
    };
    let mut all = others.clone();
    all.insert(me) && with == &all && without == others
}

/// Runs work on a thread that may block; none if it broke off.
pub(super) async fn on_thread<T: Send + 'static>(
    world: &dyn World,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, finished) = tokio::sync::oneshot::channel();
    world.block(Box::new(move || {
        // Who does not wait any more need not be told.
        let _ = done.send(work());
    }));
    finished.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership(sets: &[&[u64]]) -> Membership {
        let ids = |set: &&[u64]| set.iter().map(|id| VoterId(*id)).collect();
        Membership::new(sets.iter().map(ids).collect(), ())
    }

    #[test]
    fn only_the_one_voter_that_both_steps_take_away_steps_down() {
        let steps = |me, before: &[&[u64]], now: &[&[u64]]| {
            steps_down(VoterId(me), &membership(before), &membership(now))
        };
        let (four, three) = (&[1, 2, 3, 4][..], &[1, 2, 3][..]);
        assert!(steps(4, &[four, three], &[three]));
        assert!(steps(3, &[&[1, 2, 3], &[1, 2]], &[&[1, 2]]));
        assert!(!steps(3, &[four, three], &[three]), "it still votes");
        assert!(!steps(5, &[four, three], &[three]), "it never voted");
        assert!(!steps(4, &[four, three], &[four]), "the change was undone");
        assert!(!steps(4, &[three, four], &[four]), "it was promoted");
        assert!(
            !steps(4, &[three, four], &[three]),
            "a promotion was undone"
        );
        assert!(!steps(4, &[four], &[three]), "the first step is missing");
        assert!(
            !steps(4, &[four, three], &[four, three]),
            "the second one is"
        );
        assert!(!steps(4, &[three], &[three]), "that is long ago");
        let two = &[1, 2][..];
        assert!(!steps(4, &[four, two], &[two]), "two at once");
        let replaced = &[1, 2, 3, 5][..];
        assert!(
            !steps(4, &[four, replaced], &[replaced]),
            "another stepped in"
        );
    }
}
