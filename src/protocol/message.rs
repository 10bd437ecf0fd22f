//! What members say to each other over `/v1/peer/…`: one byte of version, then postcard.
//!
//! An unknown version or kind is refused with a reason; the lists are bounded by the size of a
//! body, which the HTTP layer limits before anything is decoded. Changes travel each in its own
//! wrapping ([`Packed`]): one that cannot be read, or breaks what merging relies on, is refused by
//! itself and named, and does not hold up the others.

use std::fmt;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{Change, HybridTime, MemberId, Slot, Stamp, Standing, VersionVector};

/// The version of these messages.
pub const MESSAGE_VERSION: u8 = 2;
/// The size of a message's content after which a sender begins another: 4 MiB. One change may be
/// larger than that on its own.
pub const MESSAGE_BYTES: usize = 4 << 20;

/// What one member asks of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Take these changes; answered with [`Reply::Taken`] when they are on disk.
    Push {
        /// The changes.
        changes: Packed,
        /// What they amount to.
        claim: Option<Claim>,
    },
    /// A walk begins: who has what. Answered with [`Reply::Met`].
    Meet(About),
    /// Tell the sums below these places of your digest: [`Reply::Sums`].
    Sums {
        /// The level of the places: 0 (root) to 3.
        level: u8,
        /// The places, as prefixes of buckets.
        prefixes: Vec<u16>,
    },
    /// List what is in these buckets: [`Reply::Items`].
    Items(Vec<u16>),
    /// Send what we lack of these keys, and say what you lack: [`Reply::Versions`].
    Fetch(Vec<Have>),
    /// A walk ended: you were sent all that you lacked of what we had when it began, so you include
    /// this. Answered with [`Reply::Taken`].
    Include(Vector),
    /// What do you have of mine? Answered with [`Reply::Taken`].
    Position,
    /// These are the decisions to forget members that we know: [`Reply::Standings`]. Also answered
    /// to a forgotten member.
    Standings(Vec<(MemberId, Standing)>),
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The changes are on disk.
    Taken(Taken),
    /// The answer to [`Ask::Meet`].
    Met {
        /// Who has what.
        about: Box<About>,
        /// The root of the digest at that moment.
        root: u128,
        /// The sixteen sums below the root.
        below: Box<[u128; 16]>,
    },
    /// Sixteen sums below each place asked for, in order.
    Sums(Vec<[u128; 16]>),
    /// Everything in the buckets asked for.
    Items(Vec<Item>),
    /// The answer to [`Ask::Fetch`].
    Versions {
        /// What the asker lacks, as far as it fits into one message.
        changes: Packed,
        /// What the answerer lacks.
        lacking: Vec<Have>,
        /// Whether all that the asker lacks of these keys is here.
        whole: bool,
    },
    /// The answer to [`Ask::Standings`].
    Standings(Vec<(MemberId, Standing)>),
    /// The asker was forgotten: nothing is taken from it and nothing told to it.
    Forgotten,
}

/// What becomes of changes that were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// How many of them were new.
    pub new: u64,
    /// Up to where the answerer includes the asker's own writes now.
    pub has: HybridTime,
    /// Changes that are none, with the reason; at most [`REFUSED_LIMIT`]. They are not wanted
    /// again.
    pub refused: Vec<String>,
}

/// The most refused changes that an answer names.
pub const REFUSED_LIMIT: usize = 16;

/// "Who includes all my writes up to `base` includes them up to `upto` with these changes."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// From where on nothing was left out.
    pub base: HybridTime,
    /// Up to where.
    pub upto: HybridTime,
}

/// A version vector on its way.
pub type Vector = Vec<(MemberId, HybridTime)>;

/// What one member tells another about how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Up to where each origin's writes are included.
    pub vector: Vector,
    /// The watermarks of members, as far as they are known: see [`crate::model::Store::watermark`].
    pub watermarks: Vector,
    /// Up to where deleted things were collected.
    pub horizon: HybridTime,
    /// Up to where somebody would like to collect them.
    pub wanted: HybridTime,
}

impl About {
    /// The vector as such.
    pub fn version_vector(&self) -> VersionVector {
        self.vector.iter().copied().collect()
    }
}

/// Something in the digest with the sum over what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    pub slot: Slot,
    /// The sum of the hashes of its versions, or the hash of the register.
    pub sum: u128,
}

/// A key and some stamps of it: those that one has, or those that one lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Have {
    /// What it is.
    pub slot: Slot,
    /// Stamps of versions; of a register its own stamp, or none.
    pub stamps: Vec<Stamp>,
}

/// Changes on their way, each wrapped by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// The changes.
    pub changes: Vec<Change>,
    /// Why others that were with them are no changes; empty where they are sent.
    pub refused: Vec<String>,
}

impl From<Vec<Change>> for Packed {
    fn from(changes: Vec<Change>) -> Self {
        let refused = Vec::new();
        Self { changes, refused }
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.changes.iter().map(Wrapped))
    }
}

/// One change within its wrapping.
struct Wrapped<'a>(&'a Change);

impl Serialize for Wrapped<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let bytes = postcard::to_stdvec(self.0).map_err(serde::ser::Error::custom)?;
        to.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Unpacking)
    }
}

struct Unpacking;

impl<'de> Visitor<'de> for Unpacking {
    type Value = Packed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Packed, A::Error> {
        let mut packed = Packed::default();
        while let Some(Unwrapped(change)) = seq.next_element()? {
            match change {
                Ok(change) => packed.changes.push(change),
                Err(why) if packed.refused.len() < REFUSED_LIMIT => packed.refused.push(why),
                Err(_) => {}
            }
        }
        Ok(packed)
    }
}

/// What came out of one wrapping.
struct Unwrapped(Result<Change, String>);

impl<'de> Deserialize<'de> for Unwrapped {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_bytes(Unwrapping)
    }
}

struct Unwrapping;

impl Visitor<'_> for Unwrapping {
    type Value = Unwrapped;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a change")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Unwrapped, E> {
        let change: Result<Change, _> = postcard::from_bytes(bytes);
        let change = change.map_err(|error| format!("a change that cannot be read: {error}"));
        Ok(Unwrapped(change.and_then(|change| match change.check() {
            Ok(()) => Ok(change),
            Err(why) => Err(format!("{}: {why}", change.slot())),
        })))
    }
}

/// Why a message could not be read. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The message has no byte.
    #[error("the message is empty")]
    Empty,
    /// It has another version than ours: a member of another release.
    #[error("the message has version {0}, this member speaks version {MESSAGE_VERSION}")]
    Version(u8),
    /// It is damaged, or of a kind that this member does not know.
    #[error("the message cannot be read: {0}")]
    Damaged(String),
}

/// Encodes a message.
///
/// # Panics
/// Never: encoding into memory fails only for types that these messages do not hold.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(message, vec![MESSAGE_VERSION]).expect("writing to memory does not fail")
}

/// Decodes a message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MessageError> {
    let (version, body) = bytes.split_first().ok_or(MessageError::Empty)?;
    if *version != MESSAGE_VERSION {
        return Err(MessageError::Version(*version));
    }
    postcard::from_bytes(body).map_err(|error| MessageError::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::model::samples::{names, stamp, standing, version};
    use crate::model::{Replaces, Version};

    fn change(version: Version) -> Change {
        let (node, key) = names();
        let version = Arc::new(version);
        Change::Key { node, key, version }
    }

    proptest! {
        #[test]
        fn decoding_what_was_encoded_is_the_identity(
            version in version(), stamp in stamp(), standing in standing()
        ) {
            let (node, key) = names();
            let changes: Packed = vec![change(version)].into();
            let lacking = vec![Have { slot: Slot::Key(node, key), stamps: vec![stamp] }];
            let claim = Some(Claim { base: stamp.time, upto: stamp.time.next() });
            let ask = Ask::Push { changes: changes.clone(), claim };
            prop_assert_eq!(decode::<Ask>(&encode(&ask)), Ok(ask));
            let ask = Ask::Standings(vec![(stamp.member, standing)]);
            prop_assert_eq!(decode::<Ask>(&encode(&ask)), Ok(ask));
            let reply = Reply::Versions { changes, lacking, whole: true };
            prop_assert_eq!(decode::<Reply>(&encode(&reply)), Ok(reply));
        }

        #[test]
        fn bytes_from_outside_never_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            fix in any::<bool>(),
        ) {
            if fix && !bytes.is_empty() {
                bytes[0] = MESSAGE_VERSION;
            }
            let _ = decode::<Ask>(&bytes);
            let _ = decode::<Reply>(&bytes);
        }

        #[test]
        fn a_change_that_is_none_is_refused_by_itself(good in version(), bad in version()) {
            let mut bad = bad;
            bad.replaces = Replaces::One(bad.stamp);
            let changes: Packed = vec![change(bad), change(good.clone())].into();
            let sent = encode(&Ask::Push { changes, claim: None });
            let Ok(Ask::Push { changes, .. }) = decode(&sent) else {
                panic!("the message is sound");
            };
            prop_assert_eq!(changes.changes, vec![change(good)]);
            prop_assert_eq!(changes.refused.len(), 1);
            prop_assert!(changes.refused[0].starts_with("web/colour: "));
        }
    }

    #[test]
    fn another_version_is_refused_with_a_reason() {
        assert_eq!(decode::<Ask>(&[9, 1]), Err(MessageError::Version(9)));
        assert_eq!(decode::<Ask>(&[]), Err(MessageError::Empty));
        assert!(matches!(
            decode::<Ask>(&[MESSAGE_VERSION, 200]),
            Err(MessageError::Damaged(_))
        ));
    }
}
