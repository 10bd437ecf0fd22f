//! The other faces: adapters that speak a foreign protocol to the same store. All are off unless
//! they are asked for.

use super::super::setting::{Kind, NO_OR_YES, Preset, Section, Setting, Use};

/// Where the map face listens.
pub static MAP_LISTEN: Setting = Setting {
    name: "map-listen",
    env: "GAGGLE_MAP_LISTEN",
    value: "[ADDRESS:]PORT",
    preset: Preset::Words("the map face is off"),
    kind: Kind::Text("a port of 127.0.0.1, or an IP address and a port; port 0 takes any free one"),
    section: Section::Faces,
    of: Use::Member,
    help: "Where the map face listens (TCP, plain HTTP, no password): GET and PUT /map?k=KEY, as \
           a gossipcar sidecar has it. On the loopback only, unless --map-expose is given.",
    example: "127.0.0.1:8080",
};

/// Whether the map face may listen elsewhere than on the loopback.
pub static MAP_EXPOSE: Setting = Setting {
    name: "map-expose",
    env: "GAGGLE_MAP_EXPOSE",
    value: "WHETHER",
    preset: Preset::Text("no"),
    kind: Kind::Choice(&NO_OR_YES),
    section: Section::Faces,
    of: Use::Member,
    help: "Whether --map-listen may be an address that others reach. The map face asks nobody for \
           a password: whoever reaches it reads and writes its node.",
    example: "yes",
};

/// The node that the map face shows.
pub static MAP_NODE: Setting = Setting {
    name: "map-node",
    env: "GAGGLE_MAP_NODE",
    value: "NODE",
    preset: Preset::Text("map"),
    kind: Kind::Text("the name of a node: 1 to 255 bytes, no control characters, no slash"),
    section: Section::Faces,
    of: Use::Member,
    help: "The node of the store that the map face reads and writes; the same on all members.",
    example: "sidecar",
};

/// Where nodes of zgossip may connect.
pub static ZGOSSIP_BIND: Setting = Setting {
    name: "zgossip-bind",
    env: "GAGGLE_ZGOSSIP_BIND",
    value: "ENDPOINT,…",
    preset: Preset::Words("none: the face is off unless it connects"),
    kind: Kind::List(
        "endpoints of ZeroMQ: tcp://ADDRESS:PORT with * for any free port, or ipc:///PATH; \
         separated by commas",
    ),
    section: Section::Faces,
    of: Use::Member,
    help: "Where nodes of zgossip (czmq) may connect; what they publish are entries of one node of \
           the store. zgossip knows no passwords and no encryption: an address that is not the \
           loopback needs --zgossip-expose.",
    example: "tcp://127.0.0.1:5670,ipc:///run/gaggle/zgossip",
};

/// Which nodes of zgossip to connect to.
pub static ZGOSSIP_CONNECT: Setting = Setting {
    name: "zgossip-connect",
    env: "GAGGLE_ZGOSSIP_CONNECT",
    value: "ENDPOINT,…",
    preset: Preset::Words("none"),
    kind: Kind::List("endpoints of ZeroMQ: tcp://HOST:PORT or ipc:///PATH; separated by commas"),
    section: Section::Faces,
    of: Use::Member,
    help: "Nodes of zgossip to connect to, again and again until they answer. One member of a \
           cluster is enough for each: the others get the tuples from it.",
    example: "tcp://gossip.example:5670",
};

/// The node of the store that is shown.
pub static ZGOSSIP_NODE: Setting = Setting {
    name: "zgossip-node",
    env: "GAGGLE_ZGOSSIP_NODE",
    value: "NODE",
    preset: Preset::Text("zgossip"),
    kind: Kind::Text(
        "the name of a node: 1 to 255 bytes of UTF-8 without / and control characters",
    ),
    section: Section::Faces,
    of: Use::Member,
    help: "The node of the store whose keys are the tuples of zgossip.",
    example: "zgossip",
};

/// Whether strangers may connect.
pub static ZGOSSIP_EXPOSE: Setting = Setting {
    name: "zgossip-expose",
    env: "GAGGLE_ZGOSSIP_EXPOSE",
    value: "WHETHER",
    preset: Preset::Text("no"),
    kind: Kind::Choice(&NO_OR_YES),
    section: Section::Faces,
    of: Use::Member,
    help: "Whether --zgossip-bind may name an address that other hosts reach: whoever reaches it \
           reads and writes the tuples without a password.",
    example: "yes",
};
