//! A change: one version of a key or one state of a node, on its way between members, to disk and
//! to whoever watches.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{KeyName, NodeName, NodeRegister, Stamp, Version};

/// One thing that can be merged into a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A version of a key.
    Key {
        /// The node that the key is in.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// The version.
        version: Arc<Version>,
    },
    /// A state of a node.
    Node {
        /// The node.
        node: NodeName,
        /// Its register.
        register: Arc<NodeRegister>,
    },
}

/// A row to be written to disk, in order, within the transaction of the change that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// The current version of a key, with what memory keeps of the older ones.
    Head {
        /// The node that the key is in.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// The current version.
        head: Arc<Version>,
        /// The sum of the hashes of all versions.
        sum: u128,
        /// The number of older versions.
        older: u16,
    },
    /// An older version joins the history.
    Older {
        /// The node that the key is in.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// The version.
        version: Arc<Version>,
        /// Its hash within the digest.
        hash: u128,
    },
    /// An older version leaves the history.
    Drop {
        /// The node that the key is in.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// Which version.
        stamp: Stamp,
    },
    /// A node's register.
    Node {
        /// The node.
        node: NodeName,
        /// Its register, merged.
        register: Arc<NodeRegister>,
    },
}

impl Change {
    /// The node that it touches.
    pub fn node(&self) -> &NodeName {
        match self {
            Self::Key { node, .. } | Self::Node { node, .. } => node,
        }
    }

    /// Its stamp.
    pub fn stamp(&self) -> Stamp {
        match self {
            Self::Key { version, .. } => version.stamp,
            Self::Node { register, .. } => register.stamp,
        }
    }

    /// Roughly how many bytes it takes in memory or in a message.
    pub fn size(&self) -> usize {
        match self {
            Self::Key { node, key, version } => {
                160 + node.as_str().len() + key.as_str().len() + version.size()
            }
            Self::Node { node, register } => {
                160 + node.as_str().len()
                    + register
                        .settings()
                        .map_or(0, |settings| settings.description.len())
            }
        }
    }
}
