//! What a working engine does by itself: keeps the log's time going, stands for election only with
//! a majority in sight, replaces voters that are away, and makes snapshots of large logs.

use std::sync::Weak;
use std::time::Duration;

use openraft::ChangeMembers;
use tokio::sync::{oneshot, watch};

use crate::model::WallTime;
use crate::strong::{self, Command};

use super::clerk::Waiting;
use super::engine::{Engine, Parts};
use super::group::Stage;
use super::leading::Lead;
use super::types::{LogId, Voter, VoterId};

/// How often all this is looked at; leases run out on time beside it.
const LOOK: Duration = Duration::from_millis(250);
/// How often the voters are looked at, in looks.
const VOTERS_EVERY: u32 = 8;
/// A snapshot is made after so many bytes of log.
const SNAPSHOT_BYTES: u64 = 64 << 20;

/// Looks after the parts until they are given up.
pub(super) async fn keep(engine: Engine, parts: Weak<Parts>, mut alive: watch::Receiver<()>) {
    let mut looks = 0_u32;
    let mut snapshot_at = 0;
    let (mut led, mut half_done) = (None, None);
    loop {
        let next = {
            let Some(parts) = parts.upgrade() else {
                return;
            };
            engine.stand_for_election(&parts);
            engine.notice_leader(&parts, &mut led);
            snapshot_at = make_snapshot(&parts, snapshot_at).await;
            if looks.is_multiple_of(VOTERS_EVERY) {
                half_done = engine.finish_change(&parts, half_done);
                engine.keep_voters(&parts);
            }
            looks = looks.wrapping_add(1);
            engine.keep_time(&parts)
        };
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            closed = alive.changed() => if closed.is_err() {
                return;
            },
        }
    }
}

async fn make_snapshot(parts: &Parts, last: u64) -> u64 {
    let written = parts.running.log.written();
    if written < last + SNAPSHOT_BYTES {
        return last;
    }
    // An engine that stopped says so elsewhere.
    drop(parts.running.raft.trigger().snapshot().await);
    written
}

impl Engine {
    /// Counts who begins to lead. Of two between two looks one is counted.
    fn notice_leader(&self, parts: &Parts, led: &mut Option<(u64, VoterId)>) {
        let now = {
            let metrics = parts.running.metrics();
            metrics
                .current_leader
                .map(|leader| (metrics.current_term, leader))
        };
        if now.is_some() && now != *led {
            *led = now;
            let mut leads = self.0.leads.lock();
            *leads = (leads.0 + 1, self.0.world.mono());
        }
    }

    /// A voter that sees no majority cannot win an election; if it tried, it would only raise the
    /// term and so disturb the leader when it comes back. Nor may one that forgot entries win.
    fn stand_for_election(&self, parts: &Parts) {
        let may = self.sees_majority(parts) && parts.running.has_all();
        parts.running.raft.runtime_config().elect(may);
    }

    /// Whether this member sees more than half of the voters, itself among them.
    pub(super) fn sees_majority(&self, parts: &Parts) -> bool {
        let seen = self.0.seen.borrow().clone();
        let me = self.0.settings.me.member;
        let voters = parts.voters();
        let sees =
            |node: &Voter| node.member == me || seen.iter().any(|peer| peer.member == node.member);
        let live = voters.iter().filter(|(_, node)| sees(node)).count();
        live * 2 > voters.len()
    }

    /// Brings the time into the log when something ends by it; gives the time until the next look.
    fn keep_time(&self, parts: &Parts) -> Duration {
        if parts.lead() != Lead::Me {
            return LOOK;
        }
        let view = self.0.shown.view();
        let Some(deadline) = view.state.next_deadline() else {
            return LOOK;
        };
        let clock = view.state.clock();
        let now = self.0.clock.now(self.0.world.as_ref());
        // Before its first command nobody knows where the leader's clock stands.
        let is_unknown = clock.wall(clock.now()) == WallTime::from_millis(0);
        let due = clock.wall(deadline).millis();
        if is_unknown || due <= now.millis() {
            self.tick(parts);
            return LOOK.min(Duration::from_millis(20));
        }
        LOOK.min(Duration::from_millis(due - now.millis()))
    }

    fn tick(&self, parts: &Parts) {
        let entry = strong::Entry {
            time: WallTime::from_millis(0),
            author: self.0.settings.me.name.clone(),
            request: None,
            fences: Vec::new(),
            command: Command::Tick,
        };
        let (done, _) = oneshot::channel();
        // With a full queue other commands bring the time.
        drop(parts.commands.try_send(Waiting { entry, done }));
    }

    /// Finishes a change of the voters whose leader died, or gave up, between its two steps: it
    /// stands still from one look to the next. Gives the change that is not finished now.
    fn finish_change(&self, parts: &Parts, before: Option<LogId>) -> Option<LogId> {
        let (at, voters) = {
            let metrics = parts.running.metrics();
            let config = &metrics.membership_config;
            let [_, .., last] = &config.membership().get_joint_config()[..] else {
                return None;
            };
            ((*config.log_id())?, last.clone())
        };
        if before == Some(at) && parts.lead() == Lead::Me {
            tracing::info!(
                ?voters,
                "a change of the voters was left half done: finishing it"
            );
            drop(self.change(parts, ChangeMembers::ReplaceAllVoters(voters)));
        }
        Some(at)
    }

    /// Replaces voters that are away, one at a time.
    fn keep_voters(&self, parts: &Parts) {
        if parts.lead() != Lead::Me {
            self.0.away.lock().clear();
            return;
        }
        let Some((gone, step_in)) = self.replacement(parts) else {
            return self.drop_former(parts);
        };
        let mut voters: std::collections::BTreeSet<VoterId> =
            parts.voters().into_iter().map(|(id, _)| id).collect();
        voters.remove(&gone);
        voters.insert(step_in);
        tracing::warn!(%gone, %step_in, "a learner takes the place of a voter that is away");
        drop(self.change(parts, ChangeMembers::ReplaceAllVoters(voters)));
    }

    /// Takes the former ids of members out of the group, one change at a time.
    fn drop_former(&self, parts: &Parts) {
        let former: std::collections::BTreeSet<VoterId> = {
            let metrics = parts.running.metrics();
            let membership = metrics.membership_config.membership();
            if membership.get_joint_config().len() > 1 {
                return;
            }
            let learners = membership.learner_ids();
            learners
                .filter(|id| {
                    let node = membership.get_node(id);
                    node.is_some_and(|node| self.has_another_id(*id, node))
                })
                .collect()
        };
        if former.is_empty() {
            return;
        }
        tracing::info!(?former, "ids that nobody has any more leave the group");
        drop(self.change(parts, ChangeMembers::RemoveNodes(former)));
    }

    /// A voter that is to be replaced, and the learner that takes its place.
    fn replacement(&self, parts: &Parts) -> Option<(VoterId, VoterId)> {
        let (voters, learners) = {
            let metrics = parts.running.metrics();
            let membership = metrics.membership_config.membership();
            if membership.get_joint_config().len() > 1 {
                return None;
            }
            let learners = membership.learner_ids();
            let learners: Vec<(VoterId, Voter)> = learners
                .filter_map(|id| Some((id, membership.get_node(&id)?.clone())))
                .collect();
            (parts.voters(), learners)
        };
        let now = self.0.world.mono();
        let seen = self.0.seen.borrow().clone();
        let me = self.0.settings.me.member;
        let is_seen =
            |node: &Voter| node.member == me || seen.iter().any(|peer| peer.member == node.member);
        let (mut away, mut gone) = (self.0.away.lock(), None);
        away.retain(|member, _| voters.iter().any(|(_, node)| node.member == *member));
        for (id, node) in &voters {
            if self.has_another_id(*id, node) {
                gone = Some(*id);
            } else if is_seen(node) {
                away.remove(&node.member);
            } else {
                let since = *away.entry(node.member).or_insert(now);
                let limit = self.0.settings.promote_after;
                if limit.is_some_and(|limit| now.since(since) >= limit) {
                    gone = gone.or(Some(*id));
                }
            }
        }
        let gone = gone?;
        let live = voters
            .iter()
            .filter(|(id, node)| *id != gone && is_seen(node));
        if live.count() * 2 <= voters.len() {
            return None;
        }
        let is_fit = |(id, node): &&(VoterId, Voter)| {
            is_seen(node) && !self.has_another_id(*id, node) && parts.is_caught_up(*id)
        };
        let step_in = learners.iter().find(is_fit)?;
        Some((gone, step_in.0))
    }

    /// Whether a member says that it takes part under another id now.
    fn has_another_id(&self, id: VoterId, node: &Voter) -> bool {
        let told = self.0.told.lock();
        let told = told.get(&node.member).map(|(_, told)| &told.belonging);
        told.is_some_and(|stands| stands.voter != id && matches!(stands.stage, Stage::In(_)))
    }
}
