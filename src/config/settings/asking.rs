//! How a client command finds and asks a member.

use super::super::setting::{Kind, Preset, Section, Setting, Use};

/// The members to ask.
pub static SERVER: Setting = Setting {
    name: "server",
    env: "GAGGLE_SERVER",
    value: "URL,…",
    preset: Preset::Words(
        "the member that runs in the data directory, else https://localhost:8000",
    ),
    kind: Kind::List("https://HOST[:PORT], several separated by commas"),
    section: Section::Client,
    of: Use::Client,
    help: "The member to ask. With several, the next one is asked when one does not answer.",
    example: "https://a.example:8000,https://b.example:8000",
};

/// The certificate to trust.
pub static CA: Setting = Setting {
    name: "ca",
    env: "GAGGLE_CA_FILE",
    value: "FILE",
    preset: Preset::Words(
        "derived from the secret and the cluster's id, or found in the data \
                           directory",
    ),
    kind: Kind::Path("a PEM file with certificates"),
    section: Section::Client,
    of: Use::Client,
    help: "The certificate that servers are verified with, as `gaggle ca` prints it.",
    example: "ca.pem",
};

/// How results are written.
pub static OUTPUT: Setting = Setting {
    name: "output",
    env: "GAGGLE_OUTPUT",
    value: "FORMAT",
    preset: Preset::Words("table; a single value as it is"),
    kind: Kind::Choice(&["table", "json", "yaml", "raw"]),
    section: Section::Client,
    of: Use::Client,
    help: "How results are written to stdout. raw: values as they are, lists one item per line.",
    example: "json",
};

/// How long a client waits.
pub static TIMEOUT: Setting = Setting {
    name: "timeout",
    env: "GAGGLE_TIMEOUT",
    value: "DURATION",
    preset: Preset::Text("10s"),
    kind: Kind::Duration(10..=3_600_000),
    section: Section::Client,
    of: Use::Client,
    help: "How long to wait for an answer, all servers together. With --ack: how long a write \
           waits for the other members, 10m at most.",
    example: "10s",
};

/// Where a client keeps what it has seen.
pub static SESSION: Setting = Setting {
    name: "session",
    env: "GAGGLE_SESSION",
    value: "FILE",
    preset: Preset::Words("none"),
    kind: Kind::Path("a file; it is made if it is not there"),
    section: Section::Client,
    of: Use::Client,
    help: "Keep in this file what was seen, so that no later command sees less, whichever member \
           answers.",
    example: "~/.gaggle-session",
};
