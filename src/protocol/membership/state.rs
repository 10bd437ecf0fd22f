//! The full state that two members exchange over HTTPS: SWIM alone would need minutes to tell
//! everybody about everybody from some hundred members on.
//!
//! ```text
//! version (1)   postcard: cluster, sender, sent at, root, members (identity, incarnation, health,
//!               since)
//! ```

use serde::{Deserialize, Serialize};

use super::Identity;
use crate::model::WallTime;

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

/// All that a member knows of the members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) cluster: String,
    pub(super) sender: Identity,
    pub(super) sent_at: WallTime,
    pub(super) root: [u8; 16],
    pub(super) members: Vec<Told>,
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
            self.members.truncate(self.members.len() / 2);
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
