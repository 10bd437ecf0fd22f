//! Who writes: a member's id, and the cluster it belongs to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A member's identity: a random number made once and kept in its data directory. Never an
/// address. Shown as sixteen hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId(u64);

/// A text that is no member id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a member id is sixteen hexadecimal digits")]
pub struct MemberIdError;

impl MemberId {
    /// The id with this number.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number behind the id.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for MemberId {
    type Err = MemberIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(MemberIdError);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| MemberIdError)
    }
}

/// The cluster's name: 1 to 63 bytes of `A-Z a-z 0-9 . _ -`. With the secret it says who belongs
/// together; on its own it protects nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterId(Arc<str>);

/// A text that is no cluster id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cluster id is 1 to 63 characters of A-Z a-z 0-9 . _ -")]
pub struct ClusterIdError;

impl ClusterId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ClusterId {
    fn default() -> Self {
        Self("gaggle".into())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClusterId {
    type Err = ClusterIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=63).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(ClusterIdError)
        }
    }
}

impl TryFrom<String> for ClusterId {
    type Error = ClusterIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ClusterId> for String {
    fn from(id: ClusterId) -> Self {
        id.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_id_reads_back_what_it_shows() {
        let id = MemberId::from_u64(0x00ab_cdef_0123_4567);
        assert_eq!(id.to_string(), "00abcdef01234567");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "xyz",
            "00abcdef0123456",
            "+0abcdef01234567",
            "00abcdef012345678",
        ] {
            assert_eq!(bad.parse::<MemberId>(), Err(MemberIdError), "{bad}");
        }
    }

    #[test]
    fn a_cluster_id_is_a_plain_word() {
        assert!("prod-eu_1.x".parse::<ClusterId>().is_ok());
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert_eq!(bad.parse::<ClusterId>(), Err(ClusterIdError), "{bad}");
        }
    }
}
