//! Which resource a raw path names: nothing is decoded twice, nothing collapsed.
//!
//! `/v1/store/web/a//b` is the key `a//b` of the node `web`, `/v1/store/web//x` its key `/x`, and
//! `%2F` within a key is a slash like any other. Frameworks decode, normalise or split such paths
//! in their own ways, so this one file does it, and only here.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::model::NameError;

use super::problem::{Code, Problem};

/// A resource, with the names in its path as they came: percent-encoded, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `/v1/store`
    Store,
    /// `/v1/store/{node}`
    Node(&'a str),
    /// `/v1/store/{node}/{key}`: the key is all the rest.
    Key(&'a str, &'a str),
    /// `/v1/nodes`
    Nodes,
    /// `/v1/nodes/{node}`
    Settings(&'a str),
    /// `/v1/members`
    Members,
    /// `/v1/status`
    Status,
    /// `/livez`
    Livez,
    /// `/readyz`
    Readyz,
    /// `/metrics`
    Metrics,
    /// Anything else.
    Nothing,
}

/// How many routes there are, for tables by [`Route::index`].
pub(crate) const ROUTES: usize = 11;

const READ: &str = "GET, HEAD, OPTIONS";
const WRITE: &str = "GET, HEAD, PUT, DELETE, OPTIONS";
const PATCH: &str = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS";
const SETTINGS: &str = "GET, HEAD, PUT, PATCH, OPTIONS";

impl<'a> Route<'a> {
    /// The resource at a raw path.
    pub(crate) fn of(path: &'a str) -> Self {
        if let Some(rest) = path.strip_prefix("/v1/store/") {
            return match rest.split_once('/') {
                Some((node, key)) => Self::Key(node, key),
                None => Self::Node(rest),
            };
        }
        if let Some(rest) = path.strip_prefix("/v1/nodes/") {
            return if rest.contains('/') {
                Self::Nothing
            } else {
                Self::Settings(rest)
            };
        }
        match path {
            "/v1/store" => Self::Store,
            "/v1/nodes" => Self::Nodes,
            "/v1/members" => Self::Members,
            "/v1/status" => Self::Status,
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            _ => Self::Nothing,
        }
    }

    /// Its place in a table, and its name in the metrics.
    pub(crate) fn index(self) -> (usize, &'static str) {
        match self {
            Self::Store => (0, "/v1/store"),
            Self::Node(_) => (1, "/v1/store/{node}"),
            Self::Key(..) => (2, "/v1/store/{node}/{key}"),
            Self::Nodes => (3, "/v1/nodes"),
            Self::Settings(_) => (4, "/v1/nodes/{node}"),
            Self::Members => (5, "/v1/members"),
            Self::Status => (6, "/v1/status"),
            Self::Livez => (7, "/livez"),
            Self::Readyz => (8, "/readyz"),
            Self::Metrics => (9, "/metrics"),
            Self::Nothing => (10, "other"),
        }
    }

    /// The methods that it knows, for `Allow`.
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Node(_) => PATCH,
            Self::Key(..) => WRITE,
            Self::Settings(_) => SETTINGS,
            Self::Store
            | Self::Nodes
            | Self::Members
            | Self::Status
            | Self::Livez
            | Self::Readyz
            | Self::Metrics
            | Self::Nothing => READ,
        }
    }
}

/// A name from a path: percent-decoded exactly once, as UTF-8.
///
/// # Errors
/// `invalid-name` for a `%` without two digits behind it and for bytes that are no UTF-8.
pub(crate) fn decode(raw: &str) -> Result<Cow<'_, str>, Problem> {
    let mut rest = raw.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let digits = rest.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Problem::new(
                Code::InvalidName,
                "a \"%\" in the path is not followed by two hexadecimal digits",
            )
            .hint("write \"%\" itself as %25"));
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| NameError::Encoding.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_path_is_the_key_with_all_its_slashes() {
        for (path, route) in [
            ("/v1/store", Route::Store),
            ("/v1/store/", Route::Node("")),
            ("/v1/store/web", Route::Node("web")),
            ("/v1/store/web/", Route::Key("web", "")),
            ("/v1/store/web/a//b", Route::Key("web", "a//b")),
            ("/v1/store/web//x", Route::Key("web", "/x")),
            ("/v1/store/web/a/", Route::Key("web", "a/")),
            ("/v1/store//x", Route::Key("", "x")),
            ("/v1/store/a%2Fb", Route::Node("a%2Fb")),
            ("/v1/store/status/status", Route::Key("status", "status")),
            ("/v1/storex", Route::Nothing),
            ("/v1/nodes/web", Route::Settings("web")),
            ("/v1/nodes/web/x", Route::Nothing),
            ("/v1/members/", Route::Nothing),
            ("/v1//store", Route::Nothing),
            ("/", Route::Nothing),
            ("*", Route::Nothing),
            ("", Route::Nothing),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn every_route_has_its_own_place() {
        let all = [
            Route::Store,
            Route::Node(""),
            Route::Key("", ""),
            Route::Nodes,
            Route::Settings(""),
            Route::Members,
            Route::Status,
            Route::Livez,
            Route::Readyz,
            Route::Metrics,
            Route::Nothing,
        ];
        let places: Vec<usize> = all.iter().map(|route| route.index().0).collect();
        assert_eq!(places, (0..ROUTES).collect::<Vec<_>>());
    }

    #[test]
    fn names_are_decoded_once() {
        for (raw, name) in [
            ("plain", Some("plain")),
            ("%252e", Some("%2e")),
            ("%2e%2e", Some("..")),
            ("a%2Fb%2fc", Some("a/b/c")),
            ("a+b", Some("a+b")),
            ("%F0%9F%A6%A2", Some("🦢")),
            ("🦢", Some("🦢")),
            ("%00", Some("\0")),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("100%", None),
            ("%e2%82", None),
            ("%ff", None),
            ("%c0%af", None),
            ("%ed%a0%80", None),
        ] {
            let decoded = decode(raw);
            assert_eq!(decoded.as_deref().ok(), name, "{raw}");
            assert!(decoded.map_or_else(|p| p.code == Code::InvalidName, |_| true));
        }
    }
}
