//! How a member replicates, stops and logs.

use super::super::setting::{Kind, Preset, Section, Setting, Use};

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

/// Members that get a change directly.
pub static FANOUT: Setting = Setting {
    name: "fanout",
    env: "GAGGLE_FANOUT",
    value: "MEMBERS",
    preset: Preset::Text("8"),
    kind: Kind::Number(1..=64),
    section: Section::Behaviour,
    of: Use::Member,
    help: "To how many members a change is sent directly; in larger clusters the others find it a \
           moment later by comparing digests.",
    example: "8",
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
