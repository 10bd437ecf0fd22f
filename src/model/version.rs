//! A version: one value or tombstone of a key, with its stamp and where it came from.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{KeyName, NodeName, Stamp, WallTime};

/// One value or tombstone of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its place in the order of writes.
    pub stamp: Stamp,
    /// What was there where this one was written. A version that is not current and that no other
    /// version replaces was written without either knowing of the other: a conflict.
    pub replaces: Replaces,
    /// Who wrote it: a user's name, or `store.json` for an imported edit.
    pub author: Arc<str>,
    /// The wall clock of the member that took the write. For people; it orders nothing.
    pub written: WallTime,
    /// From when on readers hide it; none: never.
    pub expires: Option<WallTime>,
    /// The value or its absence.
    pub content: Content,
}

/// What a version was written over, knowingly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replaces {
    /// Nothing: the first version of its key that its writer knew.
    #[default]
    Nothing,
    /// The version that was current.
    One(Stamp),
    /// The version that was current, and others: it settles the conflict between them. In falling
    /// order, at least two, at most [`REPLACES_LIMIT`].
    Several(Arc<[Stamp]>),
}

/// The most versions that one version can replace: as many as a node can keep.
pub const REPLACES_LIMIT: usize = super::node::HISTORY_LIMIT as usize;

impl Replaces {
    /// The versions replaced, the current one first.
    pub fn stamps(&self) -> &[Stamp] {
        match self {
            Self::Nothing => &[],
            Self::One(stamp) => std::slice::from_ref(stamp),
            Self::Several(stamps) => stamps,
        }
    }

    /// Whether a version is among them.
    pub fn has(&self, stamp: Stamp) -> bool {
        self.stamps().contains(&stamp)
    }
}

impl FromIterator<Stamp> for Replaces {
    /// All of these, in falling order, each once.
    fn from_iter<I: IntoIterator<Item = Stamp>>(stamps: I) -> Self {
        let mut all: Vec<Stamp> = stamps.into_iter().collect();
        all.sort_unstable_by_key(|stamp| std::cmp::Reverse(*stamp));
        all.dedup();
        match all.as_slice() {
            [] => Self::Nothing,
            [one] => Self::One(*one),
            _ => Self::Several(all.into()),
        }
    }
}

/// What a version holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A value.
    Value(Value),
    /// The key was deleted.
    Tombstone,
}

/// A value: octets and what they are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The media type that the writer gave (RFC 9110 §8.3).
    pub content_type: Arc<str>,
    /// The octets, exactly as they came.
    #[serde(with = "octets")]
    pub octets: Box<[u8]>,
}

/// The content type of a text that came without one.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// The content type of octets that came without one and are no UTF-8.
pub const OCTETS: &str = "application/octet-stream";
/// The content type of JSON text.
pub const JSON: &str = "application/json";

impl Value {
    /// A value of this media type.
    pub fn new(content_type: impl Into<Arc<str>>, octets: impl Into<Box<[u8]>>) -> Self {
        Self {
            content_type: content_type.into(),
            octets: octets.into(),
        }
    }

    /// A value without a stated type: text if it is UTF-8, else octets.
    pub fn untyped(octets: impl Into<Box<[u8]>>) -> Self {
        let octets = octets.into();
        let content_type = if std::str::from_utf8(&octets).is_ok() {
            TEXT
        } else {
            OCTETS
        };
        Self {
            content_type: content_type.into(),
            octets,
        }
    }

    /// The value as text, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.octets).ok()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = String::from_utf8_lossy(&self.octets[..self.octets.len().min(64)]);
        write!(
            f,
            "{shown:?} ({}, {} bytes)",
            self.content_type,
            self.octets.len()
        )
    }
}

impl Version {
    /// The value; none for a tombstone.
    pub fn value(&self) -> Option<&Value> {
        match &self.content {
            Content::Value(value) => Some(value),
            Content::Tombstone => None,
        }
    }

    /// Whether readers see a value at `now`: it is no tombstone and has not expired.
    pub fn is_live(&self, now: WallTime) -> bool {
        self.value().is_some() && self.expires.is_none_or(|at| now < at)
    }

    /// The bytes of the value; zero for a tombstone.
    pub fn size(&self) -> usize {
        self.value().map_or(0, |value| value.octets.len())
    }

    /// Its hash within the digest: over the names and everything in it.
    pub fn hash(&self, node: &NodeName, key: &KeyName) -> u128 {
        let mut hasher = blake3::Hasher::new();
        field(&mut hasher, node.as_str().as_bytes());
        field(&mut hasher, key.as_str().as_bytes());
        hasher.update(&self.stamp.to_bytes());
        let replaced = self.replaces.stamps();
        let first = replaced.first().map_or([0; 24], |stamp| stamp.to_bytes());
        hasher.update(&first);
        for also in replaced.iter().skip(1) {
            // No author is that long, so this cannot be taken for one.
            hasher.update(&u64::MAX.to_le_bytes());
            hasher.update(&also.to_bytes());
        }
        field(&mut hasher, self.author.as_bytes());
        hasher.update(&self.written.millis().to_le_bytes());
        hasher.update(
            &self
                .expires
                .map_or(u64::MAX, WallTime::millis)
                .to_le_bytes(),
        );
        if let Some(value) = self.value() {
            field(&mut hasher, value.content_type.as_bytes());
            field(&mut hasher, &value.octets);
        }
        first_half(&hasher)
    }
}

/// Adds a field with its length before it, so that no two lists of fields hash alike.
pub(super) fn field(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// The first 128 bits of the hash.
pub(super) fn first_half(hasher: &blake3::Hasher) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(half)
}

mod octets {
    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    struct Octets;

    impl<'de> Visitor<'de> for Octets {
        type Value = Box<[u8]>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("octets")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(bytes.into())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = seq.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes.into())
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Box<[u8]>, D::Error> {
        from.deserialize_bytes(Octets)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decoding_what_was_encoded_is_the_identity(version in samples::version()) {
            let bytes = postcard::to_stdvec(&version).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Version>(&bytes).unwrap(), version);
        }

        #[test]
        fn bytes_from_outside_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = postcard::from_bytes::<Version>(&bytes);
        }

        #[test]
        fn versions_that_differ_hash_differently(a in samples::version(), b in samples::version()) {
            let (node, key) = samples::names();
            prop_assert_eq!(a == b, a.hash(&node, &key) == b.hash(&node, &key));
        }
    }

    #[test]
    fn names_cannot_be_shifted_into_each_other() {
        let version = Version {
            stamp: Stamp {
                time: super::super::HybridTime::from_bits(1),
                member: super::super::MemberId::from_u64(1),
                sequence: 1,
            },
            replaces: Replaces::Nothing,
            author: "a".into(),
            written: WallTime::from_millis(1),
            expires: None,
            content: Content::Tombstone,
        };
        let hash =
            |node: &str, key: &str| version.hash(&node.parse().unwrap(), &key.parse().unwrap());
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
    }
}
