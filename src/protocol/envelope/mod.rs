//! Sealed datagrams: what one member sends another over UDP, and nobody else can read or forge.
//!
//! A datagram is a header in clear, then a sealed body (ChaCha20-Poly1305, the header is
//! authenticated with it):
//!
//! ```text
//! "gg"  version  boot id (16 bytes)  counter (8, big-endian)  sealed body  tag (16)
//! ```
//!
//! Each start of a member (a *boot*) has its own random boot id and, derived from the cluster's
//! datagram key and that id, its own key; the nonce is the boot's counter. So no nonce can ever
//! repeat. The body carries cluster, member, generation, the sender's clock, the digest root of its
//! store, a kind and a payload; fields that a newer member appends are ignored.
//!
//! **Replay.** Per boot a window of the last 64 counters is kept, so a datagram counts once. A
//! recording of a boot that we have no window for is stopped by the sender's clock in it: within
//! 60 s of ours, or that boot was vouched for over HTTPS. Otherwise it is a [`Opening::Hint`]: its
//! sender may be dialled over HTTPS, nothing else of it is used.
//!
//! Nothing here answers anybody. Everything dropped is counted by its reason in [`Drops`].

mod open;
mod seal;
mod window;

use std::fmt;

use aws_lc_rs::aead::{CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::model::{MemberId, WallTime};

pub use open::{Drops, Opener, Opening, REMEMBERED_BOOTS};
pub use seal::{SealError, Sealer, Stamp};

/// The greatest datagram, in bytes: fits every usual MTU with room for tunnels.
pub const DATAGRAM_LIMIT: usize = 1_300;
/// The greatest payload of a datagram, in bytes, whatever the cluster is called.
pub const PAYLOAD_LIMIT: usize = 1_120;
/// How far the clock of a sender that nobody vouched for may be from ours, in milliseconds.
pub const CLOCK_WINDOW_MS: u64 = 60_000;

const MAGIC: [u8; 2] = *b"gg";
const VERSION: u8 = 1;
const HEADER: usize = 2 + 1 + 16 + 8;
const TAG: usize = 16;
const LABEL: &[u8] = b"gaggle datagram v1";

/// One start of a member: random, made anew at each start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootId([u8; 16]);

impl BootId {
    /// The boot id with these random bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The sixteen bytes of it.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The key under which a cluster's datagrams are sealed, derived from its secret. Never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DatagramKey([u8; 32]);

impl DatagramKey {
    /// The key with these bytes, which must come from a key derivation.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key of one boot: HKDF-SHA256 over the label and the boot id.
    fn of_boot(&self, boot: BootId) -> LessSafeKey {
        let info: [&[u8]; 2] = [LABEL, boot.as_bytes()];
        let key = Salt::new(HKDF_SHA256, &[])
            .extract(&self.0)
            .expand(&info, &CHACHA20_POLY1305)
            .map(UnboundKey::from)
            .expect("32 bytes are within what HKDF-SHA256 can give");
        LessSafeKey::new(key)
    }
}

impl fmt::Debug for DatagramKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatagramKey(secret)")
    }
}

/// What a datagram is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// "Here I am": says where the member answers. A hint to dial, never authority.
    Beacon,
    /// A message of the SWIM protocol.
    Swim,
    /// Nothing but the digest root that every datagram carries: sent soon after a change.
    Root,
    /// A clean stop.
    Goodbye,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Beacon => 1,
            Self::Swim => 2,
            Self::Root => 3,
            Self::Goodbye => 4,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Beacon),
            2 => Some(Self::Swim),
            3 => Some(Self::Root),
            4 => Some(Self::Goodbye),
            _ => None,
        }
    }
}

/// An opened datagram: who said what, and when by the sender's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The sender's boot.
    pub boot: BootId,
    /// The sender.
    pub sender: MemberId,
    /// The sender's generation when it wrote.
    pub generation: u64,
    /// The sender's wall clock when it wrote.
    pub sent_at: WallTime,
    /// The digest root of the sender's store when it wrote.
    pub root: u128,
    /// What it is for.
    pub kind: Kind,
    /// The payload, at most [`PAYLOAD_LIMIT`] bytes.
    pub payload: Vec<u8>,
}

/// The sealed body. Fields are only ever appended.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    cluster: &'a str,
    member: MemberId,
    generation: u64,
    sent_at: WallTime,
    root: [u8; 16],
    kind: u8,
    payload: &'a [u8],
}

/// The nonce of a counter: four zero bytes, then the counter.
fn nonce(counter: u64) -> aws_lc_rs::aead::Nonce {
    let mut bytes = [0; 12];
    let (_, low) = bytes.split_at_mut(4);
    low.copy_from_slice(&counter.to_be_bytes());
    aws_lc_rs::aead::Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests;
