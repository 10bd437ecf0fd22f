//! The state that two members exchange over HTTPS: SWIM alone would need minutes to tell everybody
//! about everybody from some hundred members on.
//!
//! ```text
//! version (1)   postcard: cluster, sender, sent at, root, and one of
//!               0  members (identity, incarnation, health, since)
//!               1  digest of the members (16 bytes)
//!               2  same
//!               3  differs
//! ```
//!
//! Members are answered with members, a digest with *same* or *differs*.

use serde::{Deserialize, Serialize};

use super::Identity;
use crate::model::{MemberId, WallTime};

/// The greatest state, in bytes; some ten thousand members.
pub const STATE_LIMIT: usize = 1024 * 1024;
const VERSION: u8 = 1;

/// Why a state was not taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It is longer than [`STATE_LIMIT`].
    #[error("a member state of {0} bytes is over the limit of {STATE_LIMIT}")]
    TooLong(usize),
    /// It is of a version that we do not speak.
    #[error("a member state of version {0} is unknown here")]
    Version(u8),
    /// It makes no sense.
    #[error("the member state cannot be read")]
    Malformed,
    /// It comes from another cluster with the same secret.
    #[error("the member state is of another cluster, {0:?}")]
    OtherCluster(String),
    /// Its sender's certificate is another member's.
    #[error("the member state was sent by another member than its certificate says")]
    OtherSender,
    /// We have stopped, or were refused as a duplicate.
    #[error("this member has left")]
    Left,
}

/// A member's health, as one tells another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Health {
    Alive,
    Suspect,
    Down,
}

/// One member in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) identity: Identity,
    pub(super) incarnation: u16,
    pub(super) health: Health,
    pub(super) since: WallTime,
}

/// What a state says of the members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Says {
    /// All that its sender knows of them.
    Members(Vec<Told>),
    /// Does the receiver know the same?
    Digest([u8; 16]),
    /// It does.
    Same,
    /// It does not: send all.
    Differs,
}

/// A member's word on itself and on the members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) cluster: String,
    pub(super) sender: Identity,
    pub(super) sent_at: WallTime,
    pub(super) root: [u8; 16],
    pub(super) says: Says,
}

/// What two members must agree on to know the same: each member known to them, themselves
/// included, with its identity and health, and its incarnation while it lives. Not since when it is
/// gone, which each tells by its own clock, nor the incarnation of the two, `between`, as nobody
/// knows its own.
pub(super) fn digest<'a>(
    members: impl Iterator<Item = (&'a Identity, u16, Health)>,
    between: [MemberId; 2],
) -> [u8; 16] {
    let mut members: Vec<_> = members.collect();
    members.sort_unstable_by_key(|(identity, ..)| identity.member);
    let mut hasher = blake3::Hasher::new();
    for (identity, incarnation, health) in members {
        let told = health != Health::Down && !between.contains(&identity.member);
        let incarnation = if told { incarnation } else { 0 };
        let bytes = postcard::to_allocvec(&(identity, health, incarnation));
        hasher.update(&bytes.expect("a member has nothing that cannot be encoded"));
    }
    let mut half = [0; 16];
    hasher.finalize_xof().fill(&mut half);
    half
}

impl State {
    /// The bytes of it. Members that do not fit are left out, the last ones first.
    pub(super) fn encode(mut self) -> Vec<u8> {
        loop {
            let mut bytes = vec![VERSION];
            let body = postcard::to_allocvec(&self);
            bytes.extend(body.expect("a state has nothing that cannot be encoded"));
            if bytes.len() <= STATE_LIMIT {
                return bytes;
            }
            let Says::Members(members) = &mut self.says else {
                return bytes;
            };
            members.truncate(members.len() / 2);
        }
    }

    /// Reads a state; what a newer member appended is ignored.
    pub(super) fn decode(bytes: &[u8], cluster: &str) -> Result<Self, StateError> {
        if bytes.len() > STATE_LIMIT {
            return Err(StateError::TooLong(bytes.len()));
        }
        let (version, body) = bytes.split_first().ok_or(StateError::Malformed)?;
        if *version != VERSION {
            return Err(StateError::Version(*version));
        }
        let (state, _newer) =
            postcard::take_from_bytes::<Self>(body).map_err(|_| StateError::Malformed)?;
        if state.cluster != cluster {
            return Err(StateError::OtherCluster(state.cluster));
        }
        Ok(state)
    }
}
