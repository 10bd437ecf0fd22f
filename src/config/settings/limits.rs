//! Bounds on what comes from outside.

use super::super::setting::{Kind, Preset, Section, Setting, Use};

/// The longest name.
pub static MAX_NAME_BYTES: Setting = Setting {
    name: "max-name-bytes",
    env: "GAGGLE_MAX_NAME_BYTES",
    value: "BYTES",
    preset: Preset::Text("255"),
    kind: Kind::Number(1..=255),
    section: Section::Limits,
    of: Use::Member,
    help: "The longest name of a node or key that clients may write, in bytes of UTF-8.",
    example: "255",
};

/// The largest value.
pub static MAX_VALUE_BYTES: Setting = Setting {
    name: "max-value-bytes",
    env: "GAGGLE_MAX_VALUE_BYTES",
    value: "SIZE",
    preset: Preset::Text("1MiB"),
    kind: Kind::Size(1..=64 << 20),
    section: Section::Limits,
    of: Use::Member,
    help: "The largest value that clients may write.",
    example: "64k",
};

/// The largest request body.
pub static MAX_BODY_BYTES: Setting = Setting {
    name: "max-body-bytes",
    env: "GAGGLE_MAX_BODY_BYTES",
    value: "SIZE",
    preset: Preset::Text("16MiB"),
    kind: Kind::Size(1 << 10..=1 << 30),
    section: Section::Limits,
    of: Use::Member,
    help: "The largest body of a request; at least as much as a value.",
    example: "16MiB",
};

/// The most live keys.
pub static MAX_KEYS: Setting = Setting {
    name: "max-keys",
    env: "GAGGLE_MAX_KEYS",
    value: "KEYS",
    preset: Preset::Text("10000000"),
    kind: Kind::Number(1..=1_000_000_000),
    section: Section::Limits,
    of: Use::Member,
    help: "How many keys clients may create on this member, all nodes together.",
    example: "1_000_000",
};

/// The most connections.
pub static MAX_CONNECTIONS: Setting = Setting {
    name: "max-connections",
    env: "GAGGLE_MAX_CONNECTIONS",
    value: "CONNECTIONS",
    preset: Preset::Text("10000"),
    kind: Kind::Number(1..=1_000_000),
    section: Section::Limits,
    of: Use::Member,
    help: "How many connections may be open at once; further ones are closed at once. Needs as \
           many file descriptors (ulimit -n).",
    example: "10000",
};

/// The most requests at once on one connection.
pub static MAX_STREAMS: Setting = Setting {
    name: "max-streams",
    env: "GAGGLE_MAX_STREAMS",
    value: "STREAMS",
    preset: Preset::Text("256"),
    kind: Kind::Number(1..=10_000),
    section: Section::Limits,
    of: Use::Member,
    help: "How many requests may run at once on one HTTP/2 connection.",
    example: "256",
};

/// Time for the TLS handshake.
pub static HANDSHAKE_TIMEOUT: Setting = Setting {
    name: "handshake-timeout",
    env: "GAGGLE_HANDSHAKE_TIMEOUT",
    value: "DURATION",
    preset: Preset::Text("10s"),
    kind: Kind::Duration(100..=60_000),
    section: Section::Limits,
    of: Use::Member,
    help: "How long a client may take for the TLS handshake.",
    example: "10s",
};

/// Time for a request's head.
pub static HEADER_TIMEOUT: Setting = Setting {
    name: "header-timeout",
    env: "GAGGLE_HEADER_TIMEOUT",
    value: "DURATION",
    preset: Preset::Text("10s"),
    kind: Kind::Duration(100..=60_000),
    section: Section::Limits,
    of: Use::Member,
    help: "How long a client may take to send the head of a request.",
    example: "10s",
};

/// Time for a pause within a request's body.
pub static BODY_TIMEOUT: Setting = Setting {
    name: "body-timeout",
    env: "GAGGLE_BODY_TIMEOUT",
    value: "DURATION",
    preset: Preset::Text("30s"),
    kind: Kind::Duration(100..=300_000),
    section: Section::Limits,
    of: Use::Member,
    help: "How long a client may pause while it sends the body of a request; the whole body may \
           take 5 minutes.",
    example: "30s",
};

/// Time that a connection may stay without a request.
pub static IDLE_TIMEOUT: Setting = Setting {
    name: "idle-timeout",
    env: "GAGGLE_IDLE_TIMEOUT",
    value: "DURATION",
    preset: Preset::Text("2m"),
    kind: Kind::Duration(1_000..=86_400_000),
    section: Section::Limits,
    of: Use::Member,
    help: "How long a connection may stay open without a request.",
    example: "2m",
};

/// Time for a request to another member.
pub static PEER_TIMEOUT: Setting = Setting {
    name: "peer-timeout",
    env: "GAGGLE_PEER_TIMEOUT",
    value: "DURATION",
    preset: Preset::Text("5s"),
    kind: Kind::Duration(100..=60_000),
    section: Section::Limits,
    of: Use::Member,
    help: "How long a request to another member may take before it is tried again later.",
    example: "5s",
};
