//! What the engines of two members send each other.

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use serde::{Deserialize, Serialize};

use crate::model::MemberId;
use crate::strong::Answer;

use super::group::{Charter, Group, GroupId, Told};
use super::seal::{Memory, Seal};
use super::types::{SnapshotMeta, Types, Vote, Voter, VoterId};

/// A message within a group: only who has this very id in this very group may take it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Letter<T> {
    pub(super) group: GroupId,
    pub(super) to: VoterId,
    pub(super) from: VoterId,
    pub(super) body: T,
}

/// An answer within a group, or why there is none.
pub(super) type Reply<T> = Result<T, Declined>;

/// Why a member did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(super) enum Declined {
    /// It is not in that group.
    #[error("it is not in this group")]
    OtherGroup,
    /// It has another id in the group: it lost its log since.
    #[error("it takes part under another id")]
    OtherVoter,
    /// Its engine does not run.
    #[error("its engine does not run: {0}")]
    Stopped(String),
}

pub(super) type AppendAsk = Letter<AppendEntriesRequest<Types>>;
pub(super) type VoteAsk = Letter<VoteRequest<VoterId>>;

/// A step of sending a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotStep {
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
    pub(super) pieces: u32,
    /// The piece, unless the sender asks first which one is wanted.
    pub(super) piece: Option<(u32, Bytes)>,
}

/// What came of such a step.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum SnapshotReply {
    /// Send this piece.
    Wants(u32),
    /// It is installed; the receiver's vote.
    Installed(Vote),
    /// It could not be taken.
    Failed(String),
}

/// What only the leader can do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum RequestAsk {
    /// A command: the bytes of a [`crate::strong::Entry`], whose time the leader writes anew.
    Command(Bytes),
    /// From which entry of the Raft log on a read is fresh.
    ReadIndex,
    /// Take this member in as a learner.
    Join(VoterId, Voter),
    /// Make this learner a voter.
    Promote(MemberId),
    /// Make this voter a learner.
    Demote(MemberId),
    /// Let this voter lead.
    Transfer(MemberId),
}

/// What the leader answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum RequestReply {
    /// What came of the command.
    Answer(Answer),
    /// The index that a reader must have applied; none for an empty log.
    ReadIndex(Option<u64>),
    /// It was done.
    Done,
    /// It was not done, for it is not the leader.
    NotLeader,
    /// It was not done, for the majority is not there.
    NoQuorum,
    /// It was not done, for too much is waiting.
    Overloaded,
    /// It may have been done, or may yet be.
    Unknown(String),
    /// It cannot be done.
    Impossible(String),
}

/// About who belongs to the group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum GroupAsk {
    /// Who are you? This is how I stand.
    Hello(Told),
    /// Promise yourself to this charter.
    Promise(Charter),
    /// The group of the charter is founded.
    Founded(Group),
    /// Do you still stand for the charter of this group?
    Proposing(GroupId),
    /// Stand for election now.
    Elect(GroupId),
    /// You acknowledged what you do not have any more: begin again under another id.
    Lost(GroupId, VoterId),
    /// I take part under this id and start again: what do you know of me?
    Recall(GroupId, VoterId),
    /// I take part under this id: note my seal.
    Note(GroupId, VoterId, Seal),
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum GroupReply {
    /// How the asked one stands.
    Told(Told),
    /// It promised itself; under this id it will vote.
    Promised(VoterId),
    /// It was done, or is so.
    Done,
    /// The group is founded.
    Founded(Group),
    /// It was not done, or is not so.
    No(String),
    /// What it knows.
    Recalled(Box<Memory>),
    /// Under this id it has noted the seal, or has noted a newer one before.
    Noted(VoterId, Option<Seal>),
}
