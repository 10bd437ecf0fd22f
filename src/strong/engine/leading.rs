//! What only the leader can do: found, asked, and done if it is this member.

use std::time::Duration;

use bytes::Bytes;
use openraft::ChangeMembers;
use openraft::error::{ClientWriteError, RaftError};
use tokio::sync::{RwLockWriteGuard, oneshot};

use crate::model::MemberId;
use crate::strong::{self, Answer};

use super::clerk::{self, Failed, Waiting};
use super::encoding::{EncodingError, decode, encode};
use super::engine::{Engine, Parts, StrongError};
use super::group::GroupId;
use super::message::{GroupAsk, RequestAsk, RequestReply};
use super::readers::Unconfirmed;
use super::running::{ELECTION, HEARTBEAT, Running};
use super::types::{Voter, VoterId};
use super::world::{AskError, Matter};

/// How long a request waits for a leader: an election takes no longer.
pub(super) const PATIENCE: Duration = Duration::from_millis(ELECTION.0 + 2 * ELECTION.1);
/// How long a request waits for a leader that cannot be elected, because too few voters are seen.
const RESIGNED: Duration = Duration::from_millis(ELECTION.1);
/// How long after it was heard a leader counts as one.
const HEARD: Duration = Duration::from_millis(ELECTION.1 + 2 * HEARTBEAT);
/// How long it is waited before a leader is looked for again.
pub(super) const AGAIN: Duration = Duration::from_millis(25);
/// How long a change of the voters may take.
const CHANGE: Duration = Duration::from_secs(20);

/// Who leads, as far as this member knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// This member, with a majority behind it lately.
    Me,
    /// Another one, which was heard lately.
    Other(VoterId, MemberId),
    /// Nobody.
    Nobody,
}

/// As what a member takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InGroup {
    Votes,
    /// It votes before a change that is not finished, or after it.
    Changes,
    Learns,
}

impl Parts {
    /// Who leads.
    pub(super) fn lead(&self) -> Lead {
        let metrics = self.running.metrics();
        let Some(leader) = metrics.current_leader else {
            return Lead::Nobody;
        };
        if metrics.running_state.is_err() {
            return Lead::Nobody;
        }
        let membership = metrics.membership_config.membership();
        if leader == self.running.voter {
            let is_sole = membership.voter_ids().all(|id| id == leader);
            // Nobody may have answered since it was elected, or since it started.
            let since = metrics.millis_since_quorum_ack.map(Duration::from_millis);
            let since = since.or_else(|| self.running.resumed_for());
            let is_backed = since.is_none_or(|since| since <= clerk::ALONE);
            return if is_sole || is_backed {
                Lead::Me
            } else {
                Lead::Nobody
            };
        }
        let is_heard = self.running.heard().is_some_and(|ago| ago <= HEARD);
        match membership.get_node(&leader) {
            Some(node) if is_heard => Lead::Other(leader, node.member),
            _ => Lead::Nobody,
        }
    }
}

impl Engine {
    /// Puts a command into the log.
    pub(super) async fn command(
        &self,
        entry: strong::Entry,
        limit: Duration,
    ) -> Result<Answer, StrongError> {
        let may_repeat = entry.request.is_some();
        let ask = RequestAsk::Command(entry.encode().into());
        match self.to_leader(ask, may_repeat, limit).await? {
            RequestReply::Answer(answer) => Ok(answer),
            other => Err(odd(&other)),
        }
    }

    /// From which entry of the Raft log on a read is fresh.
    pub(super) async fn read_index(&self, limit: Duration) -> Result<Option<u64>, StrongError> {
        let reply = self.to_leader(RequestAsk::ReadIndex, true, limit).await;
        let reply = reply.map_err(|error| match error {
            // Of a question nothing is left open.
            StrongError::Unknown(_) => StrongError::NoQuorum,
            error => error,
        });
        match reply? {
            RequestReply::ReadIndex(index) => Ok(index),
            other => Err(odd(&other)),
        }
    }

    /// Lets the leader do something about the voters.
    pub(super) async fn manage(&self, ask: RequestAsk) -> Result<(), StrongError> {
        match self.to_leader(ask, false, CHANGE).await? {
            RequestReply::Done => Ok(()),
            RequestReply::Impossible(why) => Err(StrongError::Impossible(why)),
            other => Err(odd(&other)),
        }
    }

    async fn to_leader(
        &self,
        ask: RequestAsk,
        may_repeat: bool,
        limit: Duration,
    ) -> Result<RequestReply, StrongError> {
        let begun = self.0.world.mono();
        let (deadline, patience) = (begun.plus(limit), begun.plus(limit.min(PATIENCE)));
        let resigned = begun.plus(RESIGNED);
        let mut doubt = None;
        loop {
            // A question that was lost on its way can be given up like one not asked yet.
            let in_doubt = doubt.is_some() && !matches!(ask, RequestAsk::ReadIndex);
            if let Some(why) = self.broken() {
                return Err(doubt.filter(|_| in_doubt).map_or(why, StrongError::Unknown));
            }
            let left = deadline.since(self.0.world.mono());
            let parts = self.parts();
            let reply = match &parts {
                // It may be there soon.
                Err(_) => RequestReply::NotLeader,
                Ok(parts) => match parts.lead() {
                    Lead::Nobody => RequestReply::NoQuorum,
                    Lead::Me => self.serve(parts, ask.clone(), left).await,
                    leader @ Lead::Other(_, member) => tokio::select! {
                        reply = self.ask_leader(parts.running.group, member, &ask, left) => reply,
                        () = parts.replaced(leader) => {
                            RequestReply::Unknown("the leader was replaced".to_owned())
                        }
                    },
                },
            };
            let now = self.0.world.mono();
            match reply {
                RequestReply::NotLeader | RequestReply::NoQuorum => {
                    let patience = match &parts {
                        Ok(parts) if !self.sees_majority(parts) => patience.min(resigned),
                        _ => patience,
                    };
                    if now >= patience && !in_doubt {
                        return Err(parts.err().unwrap_or(StrongError::NoQuorum));
                    }
                }
                RequestReply::Overloaded if doubt.is_none() => {
                    return Err(StrongError::Overloaded);
                }
                RequestReply::Overloaded => {}
                RequestReply::Unknown(why) if may_repeat => doubt = Some(why),
                RequestReply::Unknown(why) => return Err(StrongError::Unknown(why)),
                reply => return Ok(reply),
            }
            if now >= deadline {
                return Err(doubt.map_or(StrongError::NoQuorum, StrongError::Unknown));
            }
            tokio::time::sleep(AGAIN.min(deadline.since(now))).await;
        }
    }

    async fn ask_leader(
        &self,
        group: GroupId,
        leader: MemberId,
        ask: &RequestAsk,
        limit: Duration,
    ) -> RequestReply {
        let body = encode(&(group, ask, limit));
        // A little longer than the leader takes, so that its own answer arrives.
        let wait = limit + Duration::from_millis(HEARTBEAT);
        match self.0.world.ask(leader, Matter::Request, body, wait).await {
            Ok(answer) => decode(&answer)
                .unwrap_or_else(|why: EncodingError| RequestReply::Unknown(why.to_string())),
            Err(AskError::NotReached(_)) => RequestReply::NotLeader,
            Err(AskError::NoAnswer(why)) => RequestReply::Unknown(why),
        }
    }

    /// Takes what another member passes on.
    pub(super) async fn take_request(&self, body: &[u8]) -> Result<Bytes, EncodingError> {
        let (group, ask, limit): (GroupId, RequestAsk, Duration) = decode(body)?;
        let reply = match self.parts() {
            Ok(parts) if parts.running.group == group && parts.lead() == Lead::Me => {
                self.serve(&parts, ask, limit).await
            }
            _ => RequestReply::NotLeader,
        };
        Ok(encode(&reply))
    }

    /// Does what only the leader can do.
    async fn serve(&self, parts: &Parts, ask: RequestAsk, limit: Duration) -> RequestReply {
        match ask {
            RequestAsk::Command(bytes) => serve_command(parts, &bytes, limit).await,
            RequestAsk::ReadIndex => {
                let (read, index) = oneshot::channel();
                if parts.reads.try_send(read).is_err() {
                    return RequestReply::Overloaded;
                }
                // Readers wait while the lead is handed over.
                match tokio::time::timeout(limit, index).await {
                    Ok(Ok(Ok(index))) => RequestReply::ReadIndex(index),
                    Ok(Ok(Err(Unconfirmed::NoQuorum))) | Err(_) => RequestReply::NoQuorum,
                    Ok(Ok(Err(Unconfirmed::NotLeader)) | Err(_)) => RequestReply::NotLeader,
                }
            }
            RequestAsk::Join(voter, node) => {
                let added = parts.running.raft.add_learner(voter, node, false);
                within(added).await
            }
            RequestAsk::Promote(member) => self.serve_promote(parts, member).await,
            RequestAsk::Demote(member) => self.serve_demote(parts, member).await,
            RequestAsk::Transfer(member) => self.serve_transfer(parts, member).await,
        }
    }

    async fn serve_promote(&self, parts: &Parts, member: MemberId) -> RequestReply {
        let Some((id, part)) = parts.find(member) else {
            return no(format!("member {member} is not in the group"));
        };
        if part == InGroup::Votes {
            return RequestReply::Done;
        }
        if !parts.is_caught_up(id) {
            return no(format!("member {member} is too far behind to vote"));
        }
        let more = ChangeMembers::AddVoterIds([id].into());
        told(self.change(parts, more).await)
    }

    async fn serve_demote(&self, parts: &Parts, member: MemberId) -> RequestReply {
        let Some((id, part)) = parts.find(member) else {
            return no(format!("member {member} is not in the group"));
        };
        if part == InGroup::Learns {
            return RequestReply::Done;
        }
        if parts.voters().len() == 1 {
            return no("it is the only voter".to_owned());
        }
        if id == parts.running.voter {
            return no("it leads: let another voter lead first".to_owned());
        }
        let fewer = ChangeMembers::RemoveVoters([id].into());
        told(self.change(parts, fewer).await)
    }

    /// Changes who votes. It goes on when whoever asked for it goes away: between its two steps
    /// those before and those after must agree.
    pub(super) fn change(
        &self,
        parts: &Parts,
        change: ChangeMembers<VoterId, Voter>,
    ) -> oneshot::Receiver<RequestReply> {
        let (done, outcome) = oneshot::channel();
        let raft = parts.running.raft.clone();
        self.0.world.spawn(Box::pin(async move {
            let reply = within(raft.change_membership(change, true)).await;
            tracing::info!(outcome = ?reply, "a change of the group has ended");
            // Who does not wait any more need not be told.
            let _ = done.send(reply);
        }));
        outcome
    }

    /// Sends the voters nothing for a while and lets another one stand for election. Requests wait
    /// meanwhile.
    async fn serve_transfer(&self, parts: &Parts, member: MemberId) -> RequestReply {
        let Some((id, InGroup::Votes)) = parts.find(member) else {
            return no(format!("member {member} is no voter"));
        };
        if id == parts.running.voter {
            return RequestReply::Done;
        }
        if !parts.is_caught_up(id) {
            return no(format!("member {member} is too far behind to lead"));
        }
        let handing_over = HandOver::begin(&parts.running).await;
        if parts.lead() != Lead::Me {
            // It was handed over while this one waited for its turn.
            return RequestReply::NotLeader;
        }
        // Voters turn no candidate down once they have heard nothing of the leader for so long.
        tokio::time::sleep(Duration::from_millis(ELECTION.1 + HEARTBEAT)).await;
        let elect = encode(&GroupAsk::Elect(parts.running.group));
        let limit = Duration::from_millis(ELECTION.1);
        let told = self.0.world.ask(member, Matter::Group, elect, limit).await;
        let end = self.0.world.mono().plus(PATIENCE);
        let is_elected = loop {
            match parts.lead() {
                Lead::Other(_, leader) => break leader == member,
                // Without an answer of the voters it does not count as the leader either.
                Lead::Me | Lead::Nobody if told.is_err() || self.0.world.mono() >= end => {
                    break false;
                }
                Lead::Me | Lead::Nobody => tokio::time::sleep(AGAIN).await,
            }
        };
        drop(handing_over);
        match told {
            _ if is_elected => RequestReply::Done,
            Ok(_) => no(format!("member {member} was not elected")),
            Err(error) => no(format!("member {member} does not answer: {error}")),
        }
    }
}

/// The time in which the lead is handed over: this member sends the voters nothing. It ends with
/// this value, for who asked may go away at any time, and often does when the lead has changed.
struct HandOver<'a> {
    running: &'a Running,
    _others_wait: RwLockWriteGuard<'a, ()>,
}

impl<'a> HandOver<'a> {
    async fn begin(running: &'a Running) -> Self {
        let others_wait = running.hand_over.write().await;
        running.raft.runtime_config().heartbeat(false);
        running.raft.runtime_config().elect(false);
        Self {
            running,
            _others_wait: others_wait,
        }
    }
}

impl Drop for HandOver<'_> {
    fn drop(&mut self) {
        self.running.raft.runtime_config().heartbeat(true);
        self.running.raft.runtime_config().elect(true);
    }
}

impl Parts {
    /// Completes when somebody else leads.
    async fn replaced(&self, leader: Lead) {
        let mut metrics = self.running.raft.metrics();
        loop {
            let now = self.lead();
            if now != leader && now != Lead::Nobody {
                return;
            }
            if metrics.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The id under which a member takes part, and as what.
    fn find(&self, member: MemberId) -> Option<(VoterId, InGroup)> {
        let metrics = self.running.metrics();
        let membership = metrics.membership_config.membership();
        let mut nodes = membership.nodes();
        let (id, _) = nodes.find(|(_, node)| node.member == member)?;
        let mut sets = membership.get_joint_config().iter();
        let part = match sets.clone().any(|voters| voters.contains(id)) {
            true if sets.all(|voters| voters.contains(id)) => InGroup::Votes,
            true => InGroup::Changes,
            false => InGroup::Learns,
        };
        Some((*id, part))
    }

    /// All voters.
    pub(super) fn voters(&self) -> Vec<(VoterId, Voter)> {
        let metrics = self.running.metrics();
        let membership = metrics.membership_config.membership();
        let voters = membership.voter_ids();
        voters
            .filter_map(|id| Some((id, membership.get_node(&id)?.clone())))
            .collect()
    }

    /// Whether a peer has nearly all entries that this leader has.
    pub(super) fn is_caught_up(&self, id: VoterId) -> bool {
        let metrics = self.running.metrics();
        let last = metrics.last_log_index.unwrap_or(0);
        let replication = metrics.replication.as_ref();
        let matched = replication.and_then(|all| all.get(&id)).copied().flatten();
        matched.is_some_and(|matched| matched.index + 1_000 >= last)
    }
}

async fn serve_command(parts: &Parts, bytes: &[u8], limit: Duration) -> RequestReply {
    let entry = match strong::Entry::decode(bytes) {
        Ok(entry) => entry,
        Err(why) => return RequestReply::Impossible(why.to_string()),
    };
    if let Err(refused) = entry.check() {
        return RequestReply::Answer(Err(refused));
    }
    let (done, answer) = oneshot::channel();
    if parts.commands.try_send(Waiting { entry, done }).is_err() {
        return RequestReply::Overloaded;
    }
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(Ok(answer))) => RequestReply::Answer(answer),
        Ok(Ok(Err(Failed::NotLeader))) => RequestReply::NotLeader,
        Ok(Ok(Err(Failed::Unknown)) | Err(_)) => {
            RequestReply::Unknown("the leader changed while it was written".to_owned())
        }
        Err(_elapsed) => {
            RequestReply::Unknown("the majority did not confirm it in time".to_owned())
        }
    }
}

/// A change of who belongs to the group, within a time.
async fn within<T>(
    change: impl Future<Output = Result<T, RaftError<VoterId, ClientWriteError<VoterId, Voter>>>>,
) -> RequestReply {
    match tokio::time::timeout(CHANGE, change).await {
        Ok(Ok(_)) => RequestReply::Done,
        Ok(Err(error)) => match error.into_api_error() {
            Some(ClientWriteError::ForwardToLeader(_)) => RequestReply::NotLeader,
            Some(ClientWriteError::ChangeMembershipError(why)) => no(why.to_string()),
            None => RequestReply::Unknown("the engine stopped".to_owned()),
        },
        Err(_elapsed) => RequestReply::Unknown("the majority did not confirm it".to_owned()),
    }
}

/// What became of a change.
fn told(outcome: Result<RequestReply, oneshot::error::RecvError>) -> RequestReply {
    outcome.unwrap_or_else(|_| RequestReply::Unknown("the member stops".to_owned()))
}

fn no(why: String) -> RequestReply {
    RequestReply::Impossible(why)
}

fn odd(reply: &RequestReply) -> StrongError {
    match reply {
        RequestReply::Impossible(why) => StrongError::Impossible(why.clone()),
        other => StrongError::Unknown(format!("an answer that does not fit: {other:?}")),
    }
}
