//! Names of nodes and keys: 1 to 255 bytes of UTF-8, no control characters.
//!
//! Names are data, never file paths: they are decoded exactly once, compared byte by byte, and
//! nothing in them is collapsed. A segment `.` or `..` is refused because clients and proxies would
//! rewrite it on the way. A node's name has no `/`; a key may have any number of them.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The greatest length of a name, in bytes of UTF-8.
pub const NAME_LIMIT: usize = 255;

/// Why a text is no name. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no character.
    #[error("a name needs at least one character")]
    Empty,
    /// The name is longer than the limit.
    #[error("the name has {length} bytes, the limit is {limit}")]
    TooLong {
        /// Bytes in the name.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The name holds a control character such as NUL or a line feed.
    #[error("a name has no control characters")]
    Control,
    /// A node's name with a slash in it.
    #[error("this name has no \"/\" (only a key's name may)")]
    Slash,
    /// A segment between slashes is `.` or `..`.
    #[error("a name has no segment \".\" or \"..\", which clients would rewrite")]
    Dots,
    /// The bytes are no UTF-8.
    #[error("a name is UTF-8 text")]
    Encoding,
}

fn check(text: &str, limit: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > limit {
        return Err(NameError::TooLong {
            length: text.len(),
            limit,
        });
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    if text
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(NameError::Dots);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $limited:item) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            $limited

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::limited(text, NAME_LIMIT)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    };
}

name!(
    /// The name of a node: the first level of the store.
    NodeName,
    /// Reads a name of at most `limit` bytes (never more than [`NAME_LIMIT`]).
    pub fn limited(text: &str, limit: usize) -> Result<Self, NameError> {
        check(text, limit.min(NAME_LIMIT))?;
        if text.contains('/') { Err(NameError::Slash) } else { Ok(Self(text.into())) }
    }
);

name!(
    /// The name of a key within its node. `/` is an ordinary character in it.
    KeyName,
    /// Reads a name of at most `limit` bytes (never more than [`NAME_LIMIT`]).
    pub fn limited(text: &str, limit: usize) -> Result<Self, NameError> {
        check(text, limit.min(NAME_LIMIT))?;
        Ok(Self(text.into()))
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_names_like_any_other() {
        let longest = "ü".repeat(127) + "x";
        for name in [
            "toString",
            "__proto__",
            "constructor",
            "a b",
            "100%",
            "🦆",
            "...",
            &longest,
        ] {
            assert_eq!(name.parse::<NodeName>().unwrap().as_str(), name);
            assert_eq!(name.parse::<KeyName>().unwrap().as_str(), name);
        }
        for key in [
            "inproc://alpha-1",
            "/",
            "//",
            "a//b/",
            "/leading",
            "\\..\\x",
            "a/..b",
        ] {
            assert_eq!(key.parse::<KeyName>().unwrap().as_str(), key);
        }
    }

    #[test]
    fn what_clients_would_rewrite_or_terminals_would_obey_is_refused() {
        let long = "x".repeat(256);
        let cases = [
            ("", NameError::Empty),
            (
                long.as_str(),
                NameError::TooLong {
                    length: 256,
                    limit: 255,
                },
            ),
            ("a\nb", NameError::Control),
            ("a\0", NameError::Control),
            ("\u{7f}", NameError::Control),
            ("\u{85}", NameError::Control),
            (".", NameError::Dots),
            ("..", NameError::Dots),
        ];
        for (name, why) in cases {
            assert_eq!(name.parse::<KeyName>(), Err(why.clone()), "{name:?}");
            assert_eq!(name.parse::<NodeName>(), Err(why), "{name:?}");
        }
        assert_eq!("a/../b".parse::<KeyName>(), Err(NameError::Dots));
        assert_eq!("a/.".parse::<KeyName>(), Err(NameError::Dots));
        assert_eq!("a/b".parse::<NodeName>(), Err(NameError::Slash));
    }

    #[test]
    fn a_name_from_the_wire_is_checked_too() {
        assert!(serde_json::from_str::<KeyName>("\"a\\u0000b\"").is_err());
        assert!(serde_json::from_str::<NodeName>("\"a/b\"").is_err());
    }
}
