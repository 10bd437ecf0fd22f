//! Who a member is, whom it belongs to, what it shows: cluster, data, secret, user, certificate.

use super::super::setting::{Kind, Preset, Section, Setting, Use};

/// The cluster's id.
pub static CLUSTER: Setting = Setting {
    name: "cluster",
    env: "GAGGLE_CLUSTER",
    value: "ID",
    preset: Preset::Text("gaggle"),
    kind: Kind::Text("1 to 63 characters of A-Z a-z 0-9 . _ -"),
    section: Section::Cluster,
    of: Use::Both,
    help: "The cluster's id: members with the same id and the same secret belong together. \
           A bare first word on the command line is taken for it.",
    example: "prod-eu",
};

/// The member's name.
pub static NAME: Setting = Setting {
    name: "name",
    env: "GAGGLE_NAME",
    value: "NAME",
    preset: Preset::Words("the host's name"),
    kind: Kind::Text("1 to 255 bytes without control characters"),
    section: Section::Cluster,
    of: Use::Member,
    help: "The name that people see for this member. It identifies nothing: a member is known by \
           the id in its data directory.",
    example: "web-1",
};

/// The data directory.
pub static DATA: Setting = Setting {
    name: "data",
    env: "GAGGLE_DATA",
    value: "DIR",
    preset: Preset::Text("./gaggle-data"),
    kind: Kind::Path("the name of a directory"),
    section: Section::Cluster,
    of: Use::Both,
    help: "The data directory. A member owns it alone and creates it. Client commands on the same \
           host find address, certificate and password of the member in it.",
    example: "/var/lib/gaggle",
};

/// The file with further settings.
pub static CONFIG: Setting = Setting {
    name: "config",
    env: "GAGGLE_CONFIG",
    value: "FILE",
    preset: Preset::Words("none"),
    kind: Kind::Path("a TOML file"),
    section: Section::Cluster,
    of: Use::Both,
    help: "A TOML file with settings: the names are those of the flags without the dashes. Flags \
           and variables win over it.",
    example: "gaggle.toml",
};

/// The cluster's secret, or two of them.
pub static SECRET: Setting = Setting {
    name: "secret",
    env: "GAGGLE_SECRET",
    value: "SECRET",
    preset: Preset::Words("the one in the data directory, made at the first start"),
    kind: Kind::Hidden {
        allowed: "one secret of at least 16 bytes, or two separated by a comma",
        file: "secret-file",
    },
    section: Section::Cluster,
    of: Use::Both,
    help: "The cluster's secret, as `gaggle secret` makes it; two, separated by a comma, while it \
           is being changed: the first is used, both are accepted. Prefer the file or the \
           variable: others on this host can read the flag.",
    example: "\"$(gaggle secret)\"",
};

/// The user whom a member creates at its first start, or as whom a client asks.
pub static USER: Setting = Setting {
    name: "user",
    env: "GAGGLE_USER",
    value: "NAME",
    preset: Preset::Text("admin"),
    kind: Kind::Text("1 to 255 bytes without a colon or control characters"),
    section: Section::Security,
    of: Use::Both,
    help: "The user's name.",
    example: "admin",
};

/// That user's password.
pub static PASSWORD: Setting = Setting {
    name: "password",
    env: "GAGGLE_PASSWORD",
    value: "PASSWORD",
    preset: Preset::Words("the one in the data directory, made and printed at the first start"),
    kind: Kind::Hidden {
        allowed: "1 to 1024 bytes without control characters",
        file: "password-file",
    },
    section: Section::Security,
    of: Use::Both,
    help: "The user's password. Prefer the file or the variable: others on this host can read the \
           flag.",
    example: "\"$(cat password.txt)\"",
};

/// An own certificate.
pub static TLS_CERT: Setting = Setting {
    name: "tls-cert",
    env: "GAGGLE_TLS_CERT",
    value: "FILE",
    preset: Preset::Words("certs/tls.crt or /certs/tls.crt, if there; else made from the secret"),
    kind: Kind::Path("a PEM file with the certificate and its chain, together with --tls-key"),
    section: Section::Security,
    of: Use::Member,
    help: "An own certificate for clients instead of the cluster's. Reloaded when it changes.",
    example: "/etc/gaggle/tls.crt",
};

/// The own certificate's private key.
pub static TLS_KEY: Setting = Setting {
    name: "tls-key",
    env: "GAGGLE_TLS_KEY",
    value: "FILE",
    preset: Preset::Words("certs/tls.key or /certs/tls.key, if there"),
    kind: Kind::Path("a PEM file with the private key, together with --tls-cert"),
    section: Section::Security,
    of: Use::Member,
    help: "The private key of --tls-cert.",
    example: "/etc/gaggle/tls.key",
};
