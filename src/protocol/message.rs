//! What members say to each other over `/v1/peer/…`: one byte of version, then postcard.
//!
//! An unknown version or kind is refused with a reason; the lists are bounded by the size of a
//! body, which the HTTP layer limits before anything is decoded.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::{Change, KeyName, NodeName, Stamp};

/// The version of these messages.
pub const MESSAGE_VERSION: u8 = 1;
/// The size of a message's content after which a sender begins another: 4 MiB. One change may be
/// larger than that on its own.
pub const MESSAGE_BYTES: usize = 4 << 20;

/// What one member asks of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Take these changes; answered with [`Reply::Taken`] when they are on disk.
    Push(Vec<Change>),
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
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The changes are on disk; so many were new.
    Taken(u64),
    /// Sixteen sums below each place asked for, in order, and the root at that moment.
    Sums {
        /// The root of the digest.
        root: u128,
        /// The sums below each place.
        below: Vec<[u128; 16]>,
    },
    /// Everything in the buckets asked for.
    Items(Vec<Item>),
    /// The answer to [`Ask::Fetch`].
    Versions {
        /// What the asker lacks, as far as it fits into one message.
        changes: Vec<Change>,
        /// What the answerer lacks.
        lacking: Vec<Have>,
    },
}

/// A key or a node's register with the sum over what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// The node.
    pub node: NodeName,
    /// The key; none for the node's own register.
    pub key: Option<KeyName>,
    /// The sum of the hashes of its versions, or the hash of the register.
    pub sum: u128,
}

/// A key and some stamps of it: those that one has, or those that one lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Have {
    /// The node.
    pub node: NodeName,
    /// The key; none for the node's own register.
    pub key: Option<KeyName>,
    /// Stamps of versions; empty for a register.
    pub stamps: Vec<Stamp>,
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
    use crate::model::samples::{names, stamp, version};

    proptest! {
        #[test]
        fn decoding_what_was_encoded_is_the_identity(version in version(), stamp in stamp()) {
            let (node, key) = names();
            let version = Arc::new(version);
            let change = Change::Key { node: node.clone(), key: key.clone(), version };
            let lacking = vec![Have { node, key: Some(key), stamps: vec![stamp] }];
            let ask = Ask::Push(vec![change.clone()]);
            prop_assert_eq!(decode::<Ask>(&encode(&ask)), Ok(ask));
            let reply = Reply::Versions { changes: vec![change], lacking };
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
