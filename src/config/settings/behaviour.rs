//! How a member replicates, stops and logs.

use super::super::setting::{Kind, NO_OR_YES, Preset, Section, Setting, Use};

/// How far ahead another member's clock may be.
pub static MAX_CLOCK_SKEW: Setting = Setting {
    name: "max-clock-skew",
    env: "GAGGLE_MAX_CLOCK_SKEW",
    value: "DURATION",
    preset: Preset::Text("10s"),
    kind: Kind::Duration(100..=3_600_000),
    section: Section::Behaviour,
    of: Use::Member,
    help: "How far another member's clock may be ahead of ours: writes stamped further ahead are \
           held aside until their time has come. The same on all members.",
    example: "10s",
};

/// How long a deleted thing can be restored.
pub static KEEP_DELETED: Setting = Setting {
    name: "keep-deleted",
    env: "GAGGLE_KEEP_DELETED",
    value: "DURATION",
    preset: Preset::Text("1d"),
    kind: Kind::Duration(1_000..=315_360_000_000),
    section: Section::Behaviour,
    of: Use::Member,
    help: "How long what was deleted can be restored, at least. After that it goes for good, as \
           soon as every member of the cluster is known to have it deleted.",
    example: "7d",
};

/// When a member that is away is forgotten.
pub static FORGET_AFTER: Setting = Setting {
    name: "forget-after",
    env: "GAGGLE_FORGET_AFTER",
    value: "DURATION",
    preset: Preset::Text("7d"),
    kind: Kind::Duration(10_000..=315_360_000_000),
    section: Section::Behaviour,
    of: Use::Member,
    help: "How long a member may be away before the others forget it, if more than half of them \
           are here. If it returns, its copy is set aside and it takes the cluster's state.",
    example: "30d",
};

/// Members that get a change directly.
pub static FANOUT: Setting = Setting {
    name: "fanout",
    env: "GAGGLE_FANOUT",
    value: "MEMBERS",
    preset: Preset::Text("8"),
    kind: Kind::Number(1..=64),
    section: Section::Behaviour,
    of: Use::Member,
    help: "To how many members a member sends a change; in larger clusters those pass it on to as \
           many.",
    example: "8",
};

/// How many members found the group of the strong side.
pub static CLUSTER_SIZE: Setting = Setting {
    name: "cluster-size",
    env: "GAGGLE_CLUSTER_SIZE",
    value: "MEMBERS",
    preset: Preset::Words("the strong side is off"),
    kind: Kind::Number(1..=9),
    section: Section::Behaviour,
    of: Use::Member,
    help: "Turns the strong side on: the first so many members that see each other found its \
           group and vote; later ones learn. The same on all members; 1, 3 or 5. A member that \
           may found a group must never be started where it cannot see the others: give names \
           with --voters if that can happen.",
    example: "3",
};

/// Which members found the group of the strong side.
pub static VOTERS: Setting = Setting {
    name: "voters",
    env: "GAGGLE_VOTERS",
    value: "NAMES",
    preset: Preset::Words("the strong side is off"),
    kind: Kind::List("names of members, as --name gives them"),
    section: Section::Behaviour,
    of: Use::Member,
    help: "Turns the strong side on, the safe way: the members of these names found its group and \
           vote, once all of them are there with the same list; other members learn. The same on \
           all members.",
    example: "alpha,beta,gamma",
};

/// When a learner takes the place of a voter.
pub static PROMOTE_AFTER: Setting = Setting {
    name: "promote-after",
    env: "GAGGLE_PROMOTE_AFTER",
    value: "DURATION",
    preset: Preset::Text("60s"),
    kind: Kind::Duration(0..=315_360_000_000),
    section: Section::Behaviour,
    of: Use::Member,
    help: "How long a voter of the strong side may be away before a learner takes its place, one \
           at a time and while a majority is there; 0s: only \"gaggle quorum promote\" does it.",
    example: "10m",
};

/// How long a clean stop may take.
pub static STOP_TIMEOUT: Setting = Setting {
    name: "stop-timeout",
    env: "GAGGLE_STOP_TIMEOUT",
    value: "DURATION",
    preset: Preset::Text("10s"),
    kind: Kind::Duration(100..=600_000),
    section: Section::Behaviour,
    of: Use::Member,
    help: "How long a clean stop may take: say goodbye, finish requests, write the readable copy. \
           A second signal ends at once.",
    example: "10s",
};

/// How often everything on disk is looked at.
pub static SCRUB_EVERY: Setting = Setting {
    name: "scrub-every",
    env: "GAGGLE_SCRUB_EVERY",
    value: "DURATION",
    preset: Preset::Text("24h"),
    kind: Kind::Duration(0..=31_536_000_000),
    section: Section::Behaviour,
    of: Use::Member,
    help: "How often everything on disk is read and compared with memory and digest, slowly and \
           beside the work; 0s: never. What is damaged is mended, if need be by the other members.",
    example: "6h",
};

/// Whether a damaged database is repaired at the start.
pub static REPAIR: Setting = Setting {
    name: "repair",
    env: "GAGGLE_REPAIR",
    value: "WHETHER",
    preset: Preset::Text("no"),
    kind: Kind::Choice(&NO_OR_YES),
    section: Section::Behaviour,
    of: Use::Member,
    help: "Whether a damaged database is set aside at the start, what is sound of it taken over \
           under a new member id, and the rest from the other members. A sound one is left alone.",
    example: "yes",
};

/// What is logged.
pub static LOG: Setting = Setting {
    name: "log",
    env: "GAGGLE_LOG",
    value: "FILTER",
    preset: Preset::Text("info"),
    kind: Kind::Text(
        "error, warn, info, debug, trace or off; or a list such as info,gaggle::api=debug",
    ),
    section: Section::Log,
    of: Use::Member,
    help: "What is written to the log, which goes to stderr.",
    example: "info,gaggle::protocol=debug",
};

/// How the log is written.
pub static LOG_FORMAT: Setting = Setting {
    name: "log-format",
    env: "GAGGLE_LOG_FORMAT",
    value: "FORMAT",
    preset: Preset::Text("text"),
    kind: Kind::Choice(&["text", "json"]),
    section: Section::Log,
    of: Use::Member,
    help: "How a line of the log looks: for people, or one JSON object per line.",
    example: "json",
};
