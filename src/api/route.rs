//! Which resource a raw path names: nothing is decoded twice, nothing collapsed.
//!
//! `/v1/store/web/a//b` is the key `a//b` of the node `web`, `/v1/store/web//x` its key `/x`, and
//! `%2F` within a key is a slash like any other. Frameworks decode, normalise or split such paths
//! in their own ways, so this one file does it, and only here.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::model::NameError;

use super::gaggle07::{self, Path};
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
    /// `/v1/history/{node}/{key}`: the key is all the rest; see [`RESTORE`].
    History(&'a str, &'a str),
    /// `/v1/conflicts`
    Conflicts,
    /// `/v1/nodes`
    Nodes,
    /// `/v1/nodes/{node}`
    Settings(&'a str),
    /// `/v1/members`
    Members,
    /// `/v1/members/{id}`
    Member(&'a str),
    /// `/v1/txn`
    Txn,
    /// `/v1/counters`
    Counters,
    /// `/v1/counters/{name}`
    Counter(&'a str),
    /// `/v1/locks`
    Locks,
    /// `/v1/locks/{name}`
    Lock(&'a str),
    /// `/v1/locks/{name}/{action}`: what is asked of it.
    LockAction(&'a str, &'a str),
    /// `/v1/log`
    Logs,
    /// `/v1/log/{name}`
    Log(&'a str),
    /// `/v1/log/{name}/follow`
    Follow(&'a str),
    /// `/v1/leader`
    Leader,
    /// `/v1/quorum`
    Quorum,
    /// `/v1/quorum/{action}`: what is to be done.
    QuorumAction(&'a str),
    /// `/v1/status`
    Status,
    /// `/livez`
    Livez,
    /// `/readyz`
    Readyz,
    /// `/metrics`
    Metrics,
    /// Below `/api`: the interface of gaggle 0.7.
    Gaggle07(Path<'a>),
    /// Anything else.
    Nothing,
}

/// How many routes there are, for tables by [`Route::index`].
pub(crate) const ROUTES: usize = FIRST_OF_07 + gaggle07::PATHS;
/// Where those below `/api` begin.
const FIRST_OF_07: usize = 26;

/// What stands behind the key in the path that restores one of its versions. Only POST reads it so:
/// for every other method it is a part of the key.
pub(crate) const RESTORE: &str = "/restore";

/// What can be asked of a lock with POST.
const LOCK_ACTIONS: [&str; 4] = ["acquire", "renew", "release", "value"];
/// What can be asked of a lock with GET: a stream of who holds it.
pub(crate) const OBSERVE: &str = "observe";

const READ: &str = "GET, HEAD, OPTIONS";
const READ_OR_RESTORE: &str = "GET, HEAD, POST, OPTIONS";
const WRITE: &str = "GET, HEAD, PUT, DELETE, OPTIONS";
const DELETE: &str = "DELETE, OPTIONS";
const POST: &str = "POST, OPTIONS";
const READ_OR_DELETE: &str = "GET, HEAD, DELETE, OPTIONS";
const READ_POST_OR_DELETE: &str = "GET, HEAD, POST, DELETE, OPTIONS";
const LOG: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
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
        if let Some(rest) = path.strip_prefix("/v1/history/") {
            return match rest.split_once('/') {
                Some((node, key)) => Self::History(node, key),
                None => Self::Nothing,
            };
        }
        if let Some(rest) = path.strip_prefix("/v1/nodes/") {
            return if rest.contains('/') {
                Self::Nothing
            } else {
                Self::Settings(rest)
            };
        }
        if let Some(rest) = path.strip_prefix("/v1/members/") {
            return match rest {
                "" => Self::Nothing,
                _ if rest.contains('/') => Self::Nothing,
                _ => Self::Member(rest),
            };
        }
        if let Some(strong) = Self::of_strong(path) {
            return strong;
        }
        if let Some(path) = Path::of(path) {
            return Self::Gaggle07(path);
        }
        match path {
            "/v1/store" => Self::Store,
            "/v1/conflicts" => Self::Conflicts,
            "/v1/nodes" => Self::Nodes,
            "/v1/members" => Self::Members,
            "/v1/txn" => Self::Txn,
            "/v1/counters" => Self::Counters,
            "/v1/locks" => Self::Locks,
            "/v1/log" => Self::Logs,
            "/v1/leader" => Self::Leader,
            "/v1/quorum" => Self::Quorum,
            "/v1/status" => Self::Status,
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            _ => Self::Nothing,
        }
    }

    /// What lies below the resources of the strong side. Its names have no slash.
    fn of_strong(path: &'a str) -> Option<Self> {
        if let Some(name) = path.strip_prefix("/v1/counters/") {
            return Some(one_segment(name).map_or(Self::Nothing, Self::Counter));
        }
        if let Some(rest) = path.strip_prefix("/v1/locks/") {
            return Some(match rest.split_once('/') {
                None if rest.is_empty() => Self::Nothing,
                None => Self::Lock(rest),
                Some((name, action)) if action == OBSERVE || LOCK_ACTIONS.contains(&action) => {
                    Self::LockAction(name, action)
                }
                Some(_) => Self::Nothing,
            });
        }
        if let Some(rest) = path.strip_prefix("/v1/log/") {
            return Some(match rest.split_once('/') {
                None if rest.is_empty() => Self::Nothing,
                None => Self::Log(rest),
                Some((name, "follow")) => Self::Follow(name),
                Some(_) => Self::Nothing,
            });
        }
        let action = path.strip_prefix("/v1/quorum/")?;
        Some(one_segment(action).map_or(Self::Nothing, Self::QuorumAction))
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
            Self::History(..) => (10, "/v1/history/{node}/{key}"),
            Self::Conflicts => (11, "/v1/conflicts"),
            Self::Member(_) => (12, "/v1/members/{id}"),
            Self::Txn => (13, "/v1/txn"),
            Self::Counters => (14, "/v1/counters"),
            Self::Counter(_) => (15, "/v1/counters/{name}"),
            Self::Locks => (16, "/v1/locks"),
            Self::Lock(_) => (17, "/v1/locks/{name}"),
            Self::LockAction(..) => (18, "/v1/locks/{name}/{action}"),
            Self::Logs => (19, "/v1/log"),
            Self::Log(_) => (20, "/v1/log/{name}"),
            Self::Follow(_) => (21, "/v1/log/{name}/follow"),
            Self::Leader => (22, "/v1/leader"),
            Self::Quorum => (23, "/v1/quorum"),
            Self::QuorumAction(_) => (24, "/v1/quorum/{action}"),
            Self::Nothing => (25, "other"),
            Self::Gaggle07(path) => {
                let (place, name) = path.index();
                (FIRST_OF_07 + place, name)
            }
        }
    }

    /// The methods that it knows, for `Allow`.
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Node(_) => PATCH,
            Self::Key(..) => WRITE,
            Self::Settings(_) => SETTINGS,
            Self::Member(_) => DELETE,
            Self::Counter(_) => READ_POST_OR_DELETE,
            Self::Log(_) => LOG,
            Self::Lock(_) => READ_OR_DELETE,
            Self::LockAction(_, OBSERVE) => READ,
            Self::Txn | Self::LockAction(..) | Self::QuorumAction(_) => POST,
            Self::Gaggle07(path) => path.allow(),
            Self::History(_, key) if key.ends_with(RESTORE) => READ_OR_RESTORE,
            Self::History(..)
            | Self::Conflicts
            | Self::Counters
            | Self::Locks
            | Self::Logs
            | Self::Follow(_)
            | Self::Leader
            | Self::Quorum
            | Self::Store
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

/// A text that is one segment of a path.
fn one_segment(text: &str) -> Option<&str> {
    (!text.is_empty() && !text.contains('/')).then_some(text)
}

/// A name from a path: percent-decoded exactly once, as UTF-8.
///
/// # Errors
/// `invalid-name` for a `%` without two digits behind it and for bytes that are no UTF-8.
pub fn decode(raw: &str) -> Result<Cow<'_, str>, Problem> {
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
            ("/v1/history/web/a//b", Route::History("web", "a//b")),
            (
                "/v1/history/web/a/restore",
                Route::History("web", "a/restore"),
            ),
            ("/v1/history/web", Route::Nothing),
            ("/v1/conflicts", Route::Conflicts),
            ("/v1/conflicts/", Route::Nothing),
            ("/v1/members/", Route::Nothing),
            ("/v1/members/a%2Fb", Route::Member("a%2Fb")),
            ("/v1/members/a/b", Route::Nothing),
            ("/v1/counters/hits", Route::Counter("hits")),
            ("/v1/counters/", Route::Nothing),
            ("/v1/counters/a/b", Route::Nothing),
            ("/v1/locks/", Route::Nothing),
            ("/v1/locks/l", Route::Lock("l")),
            ("/v1/locks/l/acquire", Route::LockAction("l", "acquire")),
            ("/v1/locks/l/observe", Route::LockAction("l", "observe")),
            ("/v1/locks/l/x", Route::Nothing),
            ("/v1/locks/l/acquire/x", Route::Nothing),
            ("/v1/log/", Route::Nothing),
            ("/v1/log/l", Route::Log("l")),
            ("/v1/log/l/follow", Route::Follow("l")),
            ("/v1/log/l/x", Route::Nothing),
            ("/v1/quorum/promote", Route::QuorumAction("promote")),
            ("/v1/quorum/", Route::Nothing),
            ("/v1//store", Route::Nothing),
            ("/api/store/a", Route::Gaggle07(Path::Node("a"))),
            ("/apis", Route::Nothing),
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
            Route::History("", ""),
            Route::Conflicts,
            Route::Member(""),
            Route::Txn,
            Route::Counters,
            Route::Counter(""),
            Route::Locks,
            Route::Lock(""),
            Route::LockAction("", ""),
            Route::Logs,
            Route::Log(""),
            Route::Follow(""),
            Route::Leader,
            Route::Quorum,
            Route::QuorumAction(""),
            Route::Nothing,
        ];
        let places: Vec<usize> = all.iter().map(|route| route.index().0).collect();
        assert_eq!(places, (0..FIRST_OF_07).collect::<Vec<_>>());
        // The rest is tested where it is.
        let last = Route::Gaggle07(Path::Nothing).index();
        assert_eq!(last, (ROUTES - 1, "/api/{other}"));
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
