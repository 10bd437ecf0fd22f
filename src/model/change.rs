//! A change: one version of a key, one state of a node or of a member's standing, on its way
//! between members, to disk and to whoever watches.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Bucket, DESCRIPTION_LIMIT, HISTORY_LIMIT, HybridTime, KeyName, MemberId, NodeName,
    NodeRegister, REPLACES_LIMIT, Stamp, Standing, Version, WallTime,
};

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
    /// What is known of a member.
    Member {
        /// The member.
        member: MemberId,
        /// What is known of it.
        standing: Arc<Standing>,
    },
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Slot {
    /// A key of a node.
    Key(NodeName, KeyName),
    /// A node's register.
    Node(NodeName),
    /// A member's standing.
    Member(MemberId),
}

impl Slot {
    /// Where it falls in the digest.
    pub fn bucket(&self) -> Bucket {
        match self {
            Self::Key(node, key) => Bucket::of_key(node, key),
            Self::Node(node) => Bucket::of_node(node),
            Self::Member(member) => Bucket::of_member(*member),
        }
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(node, key) => write!(f, "{node}/{key}"),
            Self::Node(node) => write!(f, "{node}"),
            Self::Member(member) => write!(f, "member {member}"),
        }
    }
}

/// What a member lacks of its own writes, because its data directory was an older copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Up to here all are there.
    pub from: HybridTime,
    /// Up to here some are missing.
    pub upto: HybridTime,
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
        /// How many of them lost a conflict.
        losers: u16,
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
    /// A key or a node's register is let go for good; its older versions were dropped before.
    Gone(Slot),
    /// A member's standing, if it is known, and up to where its writes are included.
    Member {
        /// The member.
        member: MemberId,
        /// What is known of it.
        standing: Option<Arc<Standing>>,
        /// Up to where its writes are included.
        upto: HybridTime,
    },
    /// A change is held aside.
    Hold(Change),
    /// It is held no longer.
    Release(Change),
    /// Everything deleted up to this time was collected.
    Horizon(HybridTime),
    /// Own writes are missing, or no longer.
    Gap(Option<Gap>),
    /// A node's register.
    Node {
        /// The node.
        node: NodeName,
        /// Its register, merged.
        register: Arc<NodeRegister>,
    },
}

/// Why a change is none. Happens only when a member of another release, or a damaged one, sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadChange(&'static str);

/// The longest author, in bytes.
pub const AUTHOR_LIMIT: usize = 1024;
/// The longest media type, in bytes.
pub const CONTENT_TYPE_LIMIT: usize = 255;
/// The largest value that any member may be allowed to take, in bytes.
pub const VALUE_LIMIT: usize = 64 << 20;
/// No stamp lies beyond it (the year 6429): above it there must be room for the next ones.
const LAST: HybridTime = HybridTime::from_wall(WallTime::from_millis(1 << 47));

impl Change {
    /// What it is about.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Key { node, key, .. } => Slot::Key(node.clone(), key.clone()),
            Self::Node { node, .. } => Slot::Node(node.clone()),
            Self::Member { member, .. } => Slot::Member(*member),
        }
    }

    /// Its stamp; none for a member that said that it belongs to the cluster.
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Key { version, .. } => Some(version.stamp),
            Self::Node { register, .. } => Some(register.stamp),
            Self::Member { standing, .. } => standing.forgotten(),
        }
    }

    /// Its hash within the digest.
    pub fn hash(&self) -> u128 {
        match self {
            Self::Key { node, key, version } => version.hash(node, key),
            Self::Node { node, register } => register.hash(node),
            Self::Member { member, standing } => standing.hash(*member),
        }
    }

    /// Whether it can be taken in: everything that merging relies on holds.
    pub fn check(&self) -> Result<(), BadChange> {
        let demand = |holds: bool, what| if holds { Ok(()) } else { Err(BadChange(what)) };
        if let Some(stamp) = self.stamp() {
            demand(stamp.sequence > 0, "a stamp without a sequence")?;
            demand(stamp.time <= LAST, "a stamp beyond the year 6429")?;
        }
        match self {
            Self::Key { version, .. } => {
                let earlier = |stamp: &Stamp| *stamp < version.stamp;
                let replaced = version.replaces.stamps();
                demand(
                    replaced.iter().all(earlier),
                    "a version that replaces a later one",
                )?;
                demand(
                    replaced.len() <= REPLACES_LIMIT,
                    "a version that replaces too many",
                )?;
                demand(
                    version.author.len() <= AUTHOR_LIMIT,
                    "an author that is too long",
                )?;
                let fits = version.value().is_none_or(|value| {
                    let typed = value.content_type.len() <= CONTENT_TYPE_LIMIT;
                    typed && value.octets.len() <= VALUE_LIMIT
                });
                demand(fits, "a value or media type that is too large")
            }
            Self::Node { register, .. } => {
                let earlier = |stamp: Option<Stamp>| stamp.is_none_or(|at| at <= register.stamp);
                let past = earlier(register.cleared) && earlier(register.replaces);
                demand(past, "a node that was cleared after its own stamp")?;
                demand(
                    register.author.len() <= AUTHOR_LIMIT,
                    "an author that is too long",
                )?;
                let fits = register.settings().is_none_or(|set| {
                    let depth = (1..=HISTORY_LIMIT).contains(&set.history);
                    depth && set.description.len() <= DESCRIPTION_LIMIT
                });
                demand(fits, "settings beyond their limits")
            }
            Self::Member { standing, .. } => demand(
                standing.name().len() <= AUTHOR_LIMIT,
                "a name that is too long",
            ),
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
            Self::Member { standing, .. } => 160 + standing.name().len(),
        }
    }
}
