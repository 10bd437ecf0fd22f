//! Commands as they stand in the Raft log: one byte of version, then postcard.
//!
//! Everything that a member needs to apply an entry is in it: the leader's time, who asked, the
//! nonce of a lock. Nothing is looked up, drawn or measured when it is applied.
//!
//! A committed entry that a member cannot read must not be skipped, for the member would hold
//! another state than the others from then on: [`EntryError`] means that the member stops applying
//! and says so, until a release that knows the entry runs. So new kinds go to the end of an enum,
//! and a leader writes them only once every voter knows them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{AUTHOR_LIMIT, WallTime};

use super::counters::CounterOp;
use super::locks::{Acquire, LockCommand, Nonce};
use super::log::LogOp;
use super::name::LockName;
use super::nodes::NodeOp;
use super::refused::{Measure, Refused, at_most};
use super::requests::RequestKey;
use super::txn::Txn;

/// The version of the entries.
pub const ENTRY_VERSION: u8 = 1;
/// The largest entry, in bytes: 8 MiB.
pub const COMMAND_LIMIT: usize = 8 << 20;
/// The most fencing tokens that one command can show.
pub const FENCES_LIMIT: usize = 16;

/// One entry of the Raft log that carries a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The leader's wall clock when it took the command: see [`super::clock`].
    pub time: WallTime,
    /// Who asks: a user's name, or the member for a tick. At most [`AUTHOR_LIMIT`] bytes.
    pub author: Arc<str>,
    /// `Idempotency-Key`: a command of the same author with the same key is done once.
    pub request: Option<RequestKey>,
    /// `If-Fence`: done only if none of these tokens is stale.
    pub fences: Vec<Fence>,
    /// What to do.
    pub command: Command,
}

/// A fencing token that the writer believes to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The lock.
    pub lock: LockName,
    /// The token that it granted.
    pub token: u64,
}

/// What an entry does. The order of the variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Nothing but bring the time: leases that have run out by it are over.
    Tick,
    /// One operation.
    Op(Op),
    /// Many operations, all or none.
    Txn(Txn),
    /// Something about a lock.
    Lock(LockCommand),
}

/// An operation, alone or in a transaction. The order of the variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// On a strong node.
    Node(NodeOp),
    /// On a counter.
    Counter(CounterOp),
    /// On an ordered log.
    Log(LogOp),
}

/// Why bytes are no entry. The member that reads them must stop applying: see the module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// There is no byte.
    #[error("the entry is empty")]
    Empty,
    /// It was written by a newer release.
    #[error("the entry has version {0}, this member knows {ENTRY_VERSION}: update this member")]
    Version(u8),
    /// Its content does not read: a newer release wrote it, or it is damaged.
    #[error("the entry does not read: {0}")]
    Content(String),
}

impl Entry {
    /// The entry as bytes.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![ENTRY_VERSION]).expect("writing to memory does not fail")
    }

    /// Reads what [`Entry::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let (version, content) = bytes.split_first().ok_or(EntryError::Empty)?;
        if *version != ENTRY_VERSION {
            return Err(EntryError::Version(*version));
        }
        match postcard::take_from_bytes(content) {
            Ok((entry, [])) => Ok(entry),
            Ok(_) => Err(EntryError::Content("there are bytes behind it".to_owned())),
            Err(error) => Err(EntryError::Content(error.to_string())),
        }
    }

    /// Whether the entry is within the limits that do not depend on the state. A leader asks before
    /// it appends; whoever applies asks again.
    pub fn check(&self) -> Result<(), Refused> {
        at_most(Measure::AuthorBytes, self.author.len(), AUTHOR_LIMIT)?;
        at_most(Measure::Fences, self.fences.len(), FENCES_LIMIT)?;
        at_most(Measure::CommandBytes, size(self), COMMAND_LIMIT)?;
        match &self.command {
            Command::Tick => Ok(()),
            Command::Op(op) => op.check(),
            Command::Txn(txn) => txn.check(),
            Command::Lock(command) => command.check(),
        }
    }

    /// A hash over what is asked, by which a retry is told from another request. The nonce is drawn
    /// anew for each try, so it is left out.
    pub(super) fn fingerprint(&self) -> u128 {
        let command = match &self.command {
            Command::Lock(LockCommand::Acquire(acquire)) => {
                Command::Lock(LockCommand::Acquire(Acquire {
                    nonce: Nonce::default(),
                    ..acquire.clone()
                }))
            }
            other => other.clone(),
        };
        let bytes = postcard::to_stdvec(&(&self.fences, command)).expect("memory does not fail");
        let mut half = [0; 16];
        half.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
        u128::from_le_bytes(half)
    }
}

impl Op {
    pub(super) fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Node(op) => op.check(),
            Self::Counter(_) => Ok(()),
            Self::Log(op) => op.check(),
        }
    }
}

/// The bytes of something as postcard.
pub(super) fn size<T: Serialize + ?Sized>(what: &T) -> usize {
    let counted = postcard::ser_flavors::Size::default();
    postcard::serialize_with_flavor(what, counted).expect("counting does not fail")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples;
    use super::*;

    #[test]
    fn the_bytes_of_an_entry_stay_what_they_are() {
        let hex: String = samples::every_kind()
            .iter()
            .map(|entry| blake3::hash(&entry.encode()).to_hex()[..8].to_owned())
            .collect::<Vec<_>>()
            .join(" ");
        // A change here means that logs on disk no longer read: raise ENTRY_VERSION.
        assert_eq!(
            hex,
            "eaeb957d fd65395f f33d81b7 2f44c08a 6e59f67d b848846b 6e2c864c 302db6c9 dfa9004a \
             9d9eb548 9ebda7ad 2d6e2564 c6c45ef3 5bcf0a34 60dc13cc 6799ed9b 845545df 3182780a \
             79d96000 103b6a33 5e313cc8"
        );
    }

    #[test]
    fn an_entry_of_another_version_or_kind_is_refused_with_a_reason() {
        assert_eq!(Entry::decode(&[]), Err(EntryError::Empty));
        assert_eq!(Entry::decode(&[9, 0]), Err(EntryError::Version(9)));
        let mut bytes = samples::entry(Command::Tick).encode();
        *bytes.last_mut().unwrap() = 100;
        let unknown_kind = Entry::decode(&bytes);
        assert!(matches!(unknown_kind, Err(EntryError::Content(_))));
        *bytes.last_mut().unwrap() = 0;
        assert_eq!(Entry::decode(&bytes), Ok(samples::entry(Command::Tick)));
        bytes.push(0);
        assert!(matches!(Entry::decode(&bytes), Err(EntryError::Content(_))));
    }

    #[test]
    fn a_retry_with_another_nonce_is_the_same_request() {
        let print = |nonce: u8, ttl: u64| {
            let acquire = samples::acquire("l", 0, ttl, 0, 1);
            samples::entry(samples::with_nonce(acquire, nonce)).fingerprint()
        };
        assert_eq!(print(1, 10), print(2, 10));
        assert_ne!(print(1, 10), print(1, 11));
    }

    proptest! {
        #[test]
        fn decoding_what_was_encoded_is_the_identity(step in samples::step()) {
            let bytes = step.entry.encode();
            prop_assert_eq!(bytes.len(), size(&step.entry) + 1);
            prop_assert_eq!(Entry::decode(&bytes), Ok(step.entry));
        }

        #[test]
        fn bytes_from_outside_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::decode(&bytes);
            let mut known = vec![ENTRY_VERSION];
            known.extend(bytes);
            let _ = Entry::decode(&known);
        }
    }
}
