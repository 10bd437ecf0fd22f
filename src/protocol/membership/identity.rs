//! Who a member is to the others: what SWIM passes around.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::MemberId;
use crate::protocol::envelope::BootId;

/// The greatest length of a [`Label`], in bytes.
pub const LABEL_LIMIT: usize = 63;
/// Generations above this come from damage, not from a clock: they are refused on the wire, so
/// that nobody can be made to use the last one.
const GENERATION_LIMIT: u64 = 1 << 62;

/// A short text for people to read: a member's name or software version. At most
/// [`LABEL_LIMIT`] bytes, no control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(Arc<str>);

impl Label {
    /// `text` with control characters left out, cut to [`LABEL_LIMIT`] bytes.
    pub fn lossy(text: &str) -> Self {
        let mut kept = String::new();
        for character in text.chars().filter(|c| !c.is_control()) {
            if kept.len() + character.len_utf8() > LABEL_LIMIT {
                break;
            }
            kept.push(character);
        }
        Self(kept.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() > LABEL_LIMIT || text.chars().any(char::is_control) {
            return Err("a label has at most 63 bytes and no control characters");
        }
        Ok(Self(text.into()))
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.as_str().to_owned()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// Which identity of a member is the newest: the wall clock in milliseconds at its start, raised
/// by one whenever it has to speak up again. Never repeated by a member, kept on disk.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct Generation(u64);

impl Generation {
    /// The generation with this number; numbers beyond the limit become the limit.
    pub const fn new(number: u64) -> Self {
        Self(if number < GENERATION_LIMIT {
            number
        } else {
            GENERATION_LIMIT
        })
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.0.saturating_add(1))
    }
}

impl TryFrom<u64> for Generation {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number > GENERATION_LIMIT {
            return Err("a generation beyond all clocks");
        }
        Ok(Self(number))
    }
}

impl From<Generation> for u64 {
    fn from(generation: Generation) -> Self {
        generation.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a member says of itself. Never changed: news is a new identity with a greater generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The member.
    pub member: MemberId,
    /// Which of its identities this is; the greatest wins.
    pub generation: Generation,
    /// Its generation when this boot started: who of two with one id came later.
    pub started: Generation,
    /// This start of it.
    pub boot: BootId,
    /// Where it receives datagrams.
    pub udp: SocketAddr,
    /// Where it answers over HTTPS.
    pub https: SocketAddr,
    /// Whether its operator fixed the HTTPS address (`--advertise`), so that the address its
    /// datagrams come from says nothing about it.
    pub advertised: bool,
    /// Its name, for people.
    pub name: Label,
    /// Its software version.
    pub version: Label,
    /// The oldest and the newest peer protocol that it speaks.
    pub protocols: (u8, u8),
    /// Whether this is its last word: a clean stop.
    pub leaving: bool,
}

impl Identity {
    /// The same member with another generation.
    #[must_use]
    pub fn renewed(&self, generation: Generation) -> Self {
        Self {
            generation,
            ..self.clone()
        }
    }
}

impl foca::Identity for Identity {
    type Addr = MemberId;

    /// Never by itself: [`super::Membership`] decides when to speak up again, so that two members
    /// with one id do not outbid each other without end.
    fn renew(&self) -> Option<Self> {
        None
    }

    fn addr(&self) -> MemberId {
        self.member
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.generation, self.boot) > (adversary.generation, adversary.boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_short_and_harmless_to_terminals() {
        assert_eq!(Label::lossy("web\u{1b}[31m-1\n").as_str(), "web[31m-1");
        assert_eq!(Label::lossy(&"ü".repeat(40)).as_str(), "ü".repeat(31));
        assert!(Label::try_from("a\u{7}".to_owned()).is_err());
        assert!(Label::try_from("x".repeat(64)).is_err());
        assert!(Label::try_from("x".repeat(63)).is_ok());
    }

    #[test]
    fn a_generation_from_the_wire_leaves_room_for_the_next() {
        assert!(Generation::try_from(u64::MAX).is_err());
        assert_eq!(Generation::new(u64::MAX), Generation::new(1 << 62));
        assert!(Generation::new(7).next() > Generation::new(7));
    }
}
