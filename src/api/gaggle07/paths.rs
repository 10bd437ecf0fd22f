//! Which resource of this face a raw path names.
//!
//! As the original took them: a slash at the end is passed over, names are single segments, with
//! `%2F` for a slash in a name. An empty segment names nothing.

/// Which of the two interfaces a resource that both have is asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Generation {
    /// That of gaggle 0.7: `/api/…`
    First,
    /// That of Manada 0.9: `/api/v2/…`
    Second,
}

/// What is to be done to the block list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Change {
    /// `…/add/{address}`
    Add,
    /// `…/del/{address}`
    Remove,
}

/// A resource below `/api`, with the names in its path as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Path<'a> {
    /// `/api/status`
    Status(Generation),
    /// `/api/status/checksum`
    Checksum(Generation),
    /// `/api/config`
    Config(Generation),
    /// `/api/config/members`
    Members(Generation),
    /// `/api/config/blacklist/add/{address}`, `…/del/{address}`
    Blocking(Generation, Change, &'a str),
    /// `/api/log`
    Log(Generation),
    /// `/api/store`
    Store(Generation),
    /// `/api/store/{node}`; `sync` as well, which PATCH takes for something else.
    Node(&'a str),
    /// `/api/store/{node}/{key}`
    Key(&'a str, &'a str),
    /// `/api/v2/config/blacklist`
    BlockList,
    /// `/api/v2/store/{path}`: all segments.
    Place(&'a str),
    /// `/api/v2/search/{key}`
    Search(&'a str),
    /// `/api/v2/sync`
    Sync,
    /// Anything else below `/api`.
    Nothing,
}

use Generation::{First, Second};

/// How many resources there are, for tables by [`Path::index`].
pub(in crate::api) const PATHS: usize = 21;

/// The node at whose path PATCH starts a sync.
pub(super) const SYNC: &str = "sync";

const READ: &str = "GET,HEAD";
const POST: &str = "POST";
const PATCH: &str = "PATCH";
const PLACE: &str = "GET,HEAD,DELETE";
const TREE: &str = "GET,HEAD,POST,PUT";
const NODE: &str = "GET,HEAD,POST,DELETE";
const NODE_OR_SYNC: &str = "GET,HEAD,POST,DELETE,PATCH";
const KEY: &str = "GET,HEAD,POST,PUT,DELETE";

impl<'a> Path<'a> {
    /// The resource at a raw path; none: the path is not below `/api`.
    pub(in crate::api) fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/api")?;
        if rest.is_empty() {
            return Some(Self::Nothing);
        }
        let rest = rest.strip_prefix('/')?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (generation, rest) = match rest.strip_prefix("v2/") {
            Some(rest) => (Second, rest),
            None => (First, rest),
        };
        Some(match (generation, rest) {
            (_, "status") => Self::Status(generation),
            (_, "status/checksum") => Self::Checksum(generation),
            (_, "config") => Self::Config(generation),
            (_, "config/members") => Self::Members(generation),
            (_, "log") => Self::Log(generation),
            (_, "store") => Self::Store(generation),
            (Second, "config/blacklist") => Self::BlockList,
            (Second, "sync") => Self::Sync,
            _ => Self::below(generation, rest),
        })
    }

    fn below(generation: Generation, rest: &'a str) -> Self {
        if let Some(rest) = rest.strip_prefix("config/blacklist/") {
            let (change, address) = match rest.split_once('/') {
                Some(("add", address)) => (Change::Add, address),
                Some(("del", address)) => (Change::Remove, address),
                _ => return Self::Nothing,
            };
            return one_segment(address).map_or(Self::Nothing, |address| {
                Self::Blocking(generation, change, address)
            });
        }
        match (generation, rest.split_once('/')) {
            (First, Some(("store", rest))) => match rest.split_once('/') {
                None => one_segment(rest).map_or(Self::Nothing, Self::Node),
                Some((node, key)) => match (one_segment(node), one_segment(key)) {
                    (Some(node), Some(key)) => Self::Key(node, key),
                    _ => Self::Nothing,
                },
            },
            (Second, Some(("store", rest))) if !rest.split('/').any(str::is_empty) => {
                Self::Place(rest)
            }
            (Second, Some(("search", key))) => one_segment(key).map_or(Self::Nothing, Self::Search),
            _ => Self::Nothing,
        }
    }

    /// Its place in a table, and its name in the metrics.
    pub(in crate::api) fn index(self) -> (usize, &'static str) {
        match self {
            Self::Status(First) => (0, "/api/status"),
            Self::Checksum(First) => (1, "/api/status/checksum"),
            Self::Config(First) => (2, "/api/config"),
            Self::Members(First) => (3, "/api/config/members"),
            Self::Blocking(First, ..) => (4, "/api/config/blacklist/{change}/{address}"),
            Self::Log(First) => (5, "/api/log"),
            Self::Store(First) => (6, "/api/store"),
            Self::Node(_) => (7, "/api/store/{node}"),
            Self::Key(..) => (8, "/api/store/{node}/{key}"),
            Self::Status(Second) => (9, "/api/v2/status"),
            Self::Checksum(Second) => (10, "/api/v2/status/checksum"),
            Self::Config(Second) => (11, "/api/v2/config"),
            Self::Members(Second) => (12, "/api/v2/config/members"),
            Self::BlockList => (13, "/api/v2/config/blacklist"),
            Self::Blocking(Second, ..) => (14, "/api/v2/config/blacklist/{change}/{address}"),
            Self::Log(Second) => (15, "/api/v2/log"),
            Self::Store(Second) => (16, "/api/v2/store"),
            Self::Place(_) => (17, "/api/v2/store/{path}"),
            Self::Search(_) => (18, "/api/v2/search/{key}"),
            Self::Sync => (19, "/api/v2/sync"),
            Self::Nothing => (20, "/api/{other}"),
        }
    }

    /// The methods that it knows, as the original listed them.
    pub(in crate::api) fn allow(self) -> &'static str {
        match self {
            Self::Status(_)
            | Self::Checksum(_)
            | Self::Config(_)
            | Self::Members(_)
            | Self::Log(_)
            | Self::Store(First)
            | Self::BlockList
            | Self::Search(_)
            | Self::Nothing => READ,
            Self::Blocking(..) => POST,
            Self::Node(SYNC) => NODE_OR_SYNC,
            Self::Node(_) => NODE,
            Self::Key(..) => KEY,
            Self::Store(Second) => TREE,
            Self::Place(_) => PLACE,
            Self::Sync => PATCH,
        }
    }
}

/// A text that is one segment of a path.
fn one_segment(text: &str) -> Option<&str> {
    (!text.is_empty() && !text.contains('/')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart_as_the_original_did() {
        for (path, expected) in [
            ("/v1/store", None),
            ("/apix", None),
            ("/api", Some(Path::Nothing)),
            ("/api/", Some(Path::Nothing)),
            ("/api/nope", Some(Path::Nothing)),
            ("/api/status", Some(Path::Status(First))),
            ("/api/status/", Some(Path::Status(First))),
            ("/api/status//", Some(Path::Nothing)),
            ("/api/status/checksum", Some(Path::Checksum(First))),
            ("/api/config", Some(Path::Config(First))),
            ("/api/config/members", Some(Path::Members(First))),
            ("/api/config/blacklist", Some(Path::Nothing)),
            (
                "/api/config/blacklist/add/10.0.0.1",
                Some(Path::Blocking(First, Change::Add, "10.0.0.1")),
            ),
            ("/api/config/blacklist/add/", Some(Path::Nothing)),
            ("/api/config/blacklist/add/a/b", Some(Path::Nothing)),
            ("/api/config/blacklist/put/a", Some(Path::Nothing)),
            ("/api/log", Some(Path::Log(First))),
            ("/api/store", Some(Path::Store(First))),
            ("/api/store/", Some(Path::Store(First))),
            ("/api/store/sync", Some(Path::Node("sync"))),
            ("/api/store/n/", Some(Path::Node("n"))),
            ("/api/store/n/k", Some(Path::Key("n", "k"))),
            ("/api/store/n%2Fm/k%2F", Some(Path::Key("n%2Fm", "k%2F"))),
            ("/api/store/n/k/x", Some(Path::Nothing)),
            ("/api/store//k", Some(Path::Nothing)),
            ("/api/store/n//", Some(Path::Nothing)),
            ("/api/v2", Some(Path::Nothing)),
            ("/api/v2/store", Some(Path::Store(Second))),
            ("/api/v2/store/n", Some(Path::Place("n"))),
            ("/api/v2/store/n/k/0/x/", Some(Path::Place("n/k/0/x"))),
            ("/api/v2/store/n//x", Some(Path::Nothing)),
            ("/api/v2/search/k", Some(Path::Search("k"))),
            ("/api/v2/search/k/x", Some(Path::Nothing)),
            ("/api/v2/config/blacklist", Some(Path::BlockList)),
            ("/api/v2/sync", Some(Path::Sync)),
            ("/api/sync", Some(Path::Nothing)),
            ("/api/search/k", Some(Path::Nothing)),
            ("/api/v2/v2/store", Some(Path::Nothing)),
        ] {
            assert_eq!(Path::of(path), expected, "{path}");
        }
    }

    #[test]
    fn every_path_has_its_own_place() {
        let both = [First, Second].into_iter().flat_map(|generation| {
            [
                Path::Status(generation),
                Path::Checksum(generation),
                Path::Config(generation),
                Path::Members(generation),
                Path::Blocking(generation, Change::Add, ""),
                Path::Log(generation),
                Path::Store(generation),
            ]
        });
        let single = [
            Path::Node(""),
            Path::Key("", ""),
            Path::BlockList,
            Path::Place(""),
            Path::Search(""),
            Path::Sync,
            Path::Nothing,
        ];
        let mut places: Vec<usize> = both.chain(single).map(|path| path.index().0).collect();
        places.sort_unstable();
        assert_eq!(places, (0..PATHS).collect::<Vec<_>>());
    }
}
