//! The types that `openraft` is set up with.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::MemberId;
use crate::strong::{Answer, State};

openraft::declare_raft_types!(
    /// The types of our group.
    pub Types:
        D = Proposal,
        R = Answers,
        NodeId = VoterId,
        Node = Voter,
        Entry = openraft::Entry<Types>,
        SnapshotData = Portrait,
        AsyncRuntime = openraft::TokioRuntime,
);

/// The id under which a member takes part in the group. A member that lost its log gets another
/// one, for whoever forgot what it promised must not promise under the old name again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct VoterId(pub u64);

impl VoterId {
    /// A new one.
    pub(super) fn drawn(random: [u8; 16]) -> Self {
        Self(u64::from_le_bytes(
            random[..8].try_into().unwrap_or_default(),
        ))
    }
}

impl fmt::Display for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which member stands behind a voter's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// The member.
    pub member: MemberId,
    /// Its name when it joined.
    pub name: String,
}

impl Default for Voter {
    fn default() -> Self {
        Self {
            member: MemberId::from_u64(0),
            name: String::new(),
        }
    }
}

/// Commands that go into the log together.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Proposal {
    /// The bytes of one [`crate::strong::Entry`] after the other.
    pub entries: Vec<Bytes>,
    /// Set as soon as it is in the log of the member that proposed it: from then on nobody can say
    /// that it will not be done.
    #[serde(skip)]
    logged: Arc<AtomicBool>,
}

impl Proposal {
    /// A proposal of these entries.
    pub(super) fn new(entries: Vec<Bytes>) -> Self {
        Self {
            entries,
            logged: Arc::default(),
        }
    }

    /// Whether it is in the log.
    pub(super) fn logged(&self) -> Arc<AtomicBool> {
        self.logged.clone()
    }

    /// Notes that it is in the log.
    pub(super) fn mark_logged(&self) {
        self.logged.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.entries.iter().map(Bytes::len).sum();
        write!(f, "Proposal({} of {bytes} bytes)", self.entries.len())
    }
}

/// The answers to the commands of a proposal, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers(pub Vec<Answer>);

/// A snapshot: its pieces on the disk, and the state if it was put together from them.
#[derive(Clone, Debug, Default)]
pub struct Portrait {
    /// Its number.
    pub(super) number: u64,
    /// How many pieces it has.
    pub(super) pieces: u32,
    /// What it holds, if it was received.
    pub(super) state: Option<Box<State>>,
}

pub(super) type LogId = openraft::LogId<VoterId>;
pub(super) type Vote = openraft::Vote<VoterId>;
pub(super) type Entry = openraft::Entry<Types>;
pub(super) type Membership = openraft::Membership<VoterId, Voter>;
pub(super) type StoredMembership = openraft::StoredMembership<VoterId, Voter>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<VoterId, Voter>;
pub(super) type Snapshot = openraft::Snapshot<Types>;
pub(super) type StorageError = openraft::StorageError<VoterId>;
pub(super) type Raft = openraft::Raft<Types>;
