//! Names of locks, counters and logs: they stand in one segment of a path, so they follow the law
//! of a node's name; and the JSON text that a log takes.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::model::{NameError, NodeName};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(NodeName);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// The name of a lock, a semaphore or an election.
    LockName
);
name!(
    /// The name of a counter.
    CounterName
);
name!(
    /// The name of an ordered log.
    LogName
);

/// The longest JSON text that a log takes, in bytes.
pub const JSON_LIMIT: usize = 1 << 20;
/// The deepest nesting of lists and objects in such a text: in a page it stands three levels
/// deeper, and many readers take 128.
pub const JSON_DEPTH: usize = 120;

/// Why a text is no JSON that a log takes. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is too long.
    #[error("the JSON text has {size} bytes, the limit is {JSON_LIMIT}")]
    TooLarge {
        /// Bytes in the text.
        size: usize,
    },
    /// It is no JSON (RFC 8259).
    #[error("this is no JSON: {0}")]
    Syntax(String),
    /// Its lists and objects are nested too deep.
    #[error("the JSON text is nested deeper than {JSON_DEPTH} levels")]
    TooDeep,
}

/// One JSON text, exactly as it was written, of at most [`JSON_LIMIT`] bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Json(Arc<str>);

impl Json {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Json {
    type Err = JsonError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > JSON_LIMIT {
            return Err(JsonError::TooLarge { size: text.len() });
        }
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) if depth(text) > JSON_DEPTH => Err(JsonError::TooDeep),
            Ok(_) => Ok(Self(text.into())),
            Err(error) => Err(JsonError::Syntax(error.to_string())),
        }
    }
}

/// How deep a text that is JSON is nested; the parser does not count when it keeps nothing.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut is_quoted) = (0_usize, 0, false);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' => drop(bytes.next()),
            b'[' | b'{' if !is_quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !is_quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl TryFrom<String> for Json {
    type Error = JsonError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Json> for String {
    fn from(json: Json) -> Self {
        json.as_str().to_owned()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_segment_as_its_name() {
        assert!("leader".parse::<LockName>().is_ok());
        assert_eq!("a/b".parse::<LockName>(), Err(NameError::Slash));
        assert_eq!("".parse::<CounterName>(), Err(NameError::Empty));
        assert!(postcard::from_bytes::<LogName>(b"\x03a/b").is_err());
    }

    #[test]
    fn json_is_kept_as_it_was_written_and_nothing_else_is_taken() {
        let text = r#" {"mary" : [1, 2.50, null, "l\u0061mb"]} "#;
        assert_eq!(text.parse::<Json>().unwrap().as_str(), text);
        for bad in ["", "{", "nul", "1 2", "{'a':1}", &"[".repeat(1000)] {
            let error = bad.parse::<Json>().unwrap_err();
            assert!(matches!(error, JsonError::Syntax(_)), "{bad:.10}: {error}");
        }
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(deep(JSON_DEPTH).parse::<Json>().is_ok());
        let deeper = deep(JSON_DEPTH + 1).parse::<Json>();
        assert_eq!(deeper, Err(JsonError::TooDeep));
        let text = format!(r#"["\"{}", [], []]"#, "[{".repeat(JSON_DEPTH));
        assert!(text.parse::<Json>().is_ok(), "what is quoted nests nothing");
        let long = format!("\"{}\"", "x".repeat(JSON_LIMIT - 1));
        let size = JSON_LIMIT + 1;
        assert_eq!(long.parse::<Json>(), Err(JsonError::TooLarge { size }));
        assert!(long[1..].replace('"', "").parse::<Json>().is_err());
        let bytes = postcard::to_stdvec("no json").unwrap();
        assert!(postcard::from_bytes::<Json>(&bytes).is_err());
    }
}
