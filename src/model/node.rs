//! A node as a register: present with settings, or deleted at a stamp.
//!
//! The law of merging: the state with the greater stamp wins, and the greatest deletion is
//! remembered beside it, for a node that was made again must still hide what was deleted before.
//! Both are maxima, so the merge is commutative, associative and idempotent.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::planted::{self, Bug};
use super::version::{field, first_half};
use super::{NodeName, Stamp, WallTime};

/// What a node's register says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRegister {
    /// When the state was written.
    pub stamp: Stamp,
    /// The stamp of the state that it replaced where it was written.
    pub replaces: Option<Stamp>,
    /// Who wrote it.
    pub author: Arc<str>,
    /// The wall clock of the member that took the write; for people.
    pub written: WallTime,
    /// Present or deleted.
    pub state: NodeState,
    /// The greatest deletion seen: keys with a smaller stamp are hidden.
    pub cleared: Option<Stamp>,
}

/// Whether a node is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// It is there, also without any key.
    Present(Settings),
    /// It was deleted with all keys that it had.
    Deleted,
}

/// What can be set on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// What the node is for, in the user's words; at most 1,024 bytes.
    pub description: Arc<str>,
    /// How many versions of each key are kept, the current one included; 1 to 256, default 16.
    pub history: u16,
}

/// The greatest length of a description, in bytes.
pub const DESCRIPTION_LIMIT: usize = 1024;
/// The greatest number of versions that a node may keep of a key.
pub const HISTORY_LIMIT: u16 = 256;

impl Default for Settings {
    fn default() -> Self {
        Self {
            description: "".into(),
            history: 16,
        }
    }
}

impl NodeRegister {
    /// Takes what `other` knows; says whether anything changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let newer = other.stamp > self.stamp;
        let cleared = if planted::is(Bug::ClearedForgotten) && newer {
            other.cleared
        } else {
            self.cleared.max(other.cleared)
        };
        let changed = newer || cleared != self.cleared;
        if newer {
            *self = other.clone();
        }
        self.cleared = cleared;
        changed
    }

    /// The settings of a node that is present.
    pub fn settings(&self) -> Option<&Settings> {
        match &self.state {
            NodeState::Present(settings) => Some(settings),
            NodeState::Deleted => None,
        }
    }

    /// Its hash within the digest.
    pub fn hash(&self, node: &NodeName) -> u128 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"node");
        field(&mut hasher, node.as_str().as_bytes());
        hasher.update(&self.stamp.to_bytes());
        hasher.update(&self.cleared.map_or([0; 24], Stamp::to_bytes));
        hasher.update(&self.replaces.map_or([0; 24], Stamp::to_bytes));
        field(&mut hasher, self.author.as_bytes());
        hasher.update(&self.written.millis().to_le_bytes());
        if let Some(settings) = self.settings() {
            field(&mut hasher, settings.description.as_bytes());
            hasher.update(&settings.history.to_le_bytes());
        }
        first_half(&hasher)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::{names, register};
    use super::*;

    fn merged(a: &NodeRegister, b: &NodeRegister) -> NodeRegister {
        let mut both = a.clone();
        both.merge(b);
        both
    }

    proptest! {
        #[test]
        fn merging_registers_is_commutative_associative_and_idempotent(
            a in register(), b in register(), c in register()
        ) {
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &a), a.clone());
            let mut again = merged(&a, &b);
            prop_assert!(!again.merge(&b), "nothing new the second time");
        }

        #[test]
        fn registers_that_differ_hash_differently(a in register(), b in register()) {
            let node = names().0;
            prop_assert_eq!(a == b, a.hash(&node) == b.hash(&node));
        }
    }
}
