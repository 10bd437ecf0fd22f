//! Entity tags and the conditions on them (RFC 9110 §13).
//!
//! A key's tag is its stamp: the same on every member, different for every write. A node's tag is a
//! hash over the stamps of what readers see in it; the store's is its digest, hashed with the
//! versions of the strong nodes if there are any.

use crate::model::{Node, Stamp, Store, Version, WallTime};
use crate::strong::Nodes;

use super::error::EditError;

/// The tag of a key's version, without quotes.
pub fn key_tag(version: &Version) -> String {
    version.stamp.to_string()
}

/// The tag of a node's content, without quotes.
pub fn node_tag(node: &Node) -> String {
    let mut hasher = blake3::Hasher::new();
    let register = node
        .register()
        .map_or([0; 24], |register| register.stamp.to_bytes());
    hasher.update(&register);
    for (key, version) in node.live_keys(WallTime::default()) {
        hasher.update(key.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(&version.stamp.to_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// The tag of all nodes of both classes, without quotes: it changes with each of them. Takes time
/// with the number of strong nodes.
pub fn store_tag(store: &Store, strong: &Nodes) -> String {
    let root = store.digest().root();
    if strong.count() == 0 {
        return format!("{root:032x}");
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&root.to_le_bytes());
    for (name, node) in strong.iter() {
        hasher.update(name.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(&node.version().to_le_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// One side of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: anything that is there.
    Any,
    /// One of these tags, without quotes.
    OneOf(Vec<String>),
}

impl Tags {
    /// Whether what is there (if `found`), with this tag, is among them.
    pub fn matches(&self, found: bool, tag: Option<&str>) -> bool {
        match self {
            Self::Any => found,
            Self::OneOf(tags) => tag.is_some_and(|tag| tags.iter().any(|one| one == tag)),
        }
    }

    /// Whether a stamp is among them.
    pub fn has_stamp(&self, stamp: Stamp) -> bool {
        self.matches(true, Some(&stamp.to_string()))
    }
}

/// What must hold for a write to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// `If-Match`: done only if what is there is one of these.
    pub if_match: Option<Tags>,
    /// `If-None-Match`: done only if what is there is none of these.
    pub if_none_match: Option<Tags>,
}

impl Condition {
    /// Whether it demands nothing.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    pub(super) fn check(&self, found: bool, tag: Option<&str>) -> Result<(), EditError> {
        let wanted = self
            .if_match
            .as_ref()
            .is_none_or(|tags| tags.matches(found, tag));
        let unwanted = self
            .if_none_match
            .as_ref()
            .is_some_and(|tags| tags.matches(found, tag));
        if wanted && !unwanted {
            return Ok(());
        }
        Err(EditError::PreconditionFailed {
            current: tag.map(str::to_owned),
        })
    }
}
