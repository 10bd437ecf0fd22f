//! Where a member listens and how members find each other.

use super::super::setting::{Kind, Preset, Section, Setting, Use};

/// Where to listen.
pub static LISTEN: Setting = Setting {
    name: "listen",
    env: "GAGGLE_LISTEN",
    value: "ADDRESS:PORT",
    preset: Preset::Text("[::]:8000"),
    kind: Kind::Text("an IP address and a port, or only a port; port 0 takes any free one"),
    section: Section::Network,
    of: Use::Member,
    help: "Where the REST API listens (TCP, HTTPS). [::] means all addresses, IPv4 as well; on a \
           host without IPv6 it becomes 0.0.0.0.",
    example: "192.0.2.1:8000",
};

/// Where others reach this member.
pub static ADVERTISE: Setting = Setting {
    name: "advertise",
    env: "GAGGLE_ADVERTISE",
    value: "HOST[:PORT]",
    preset: Preset::Words(
        "the address of the interface that a peer hears, and the port listened on",
    ),
    kind: Kind::Text(
        "a host name or an address, with a port if it differs from the one listened on",
    ),
    section: Section::Network,
    of: Use::Member,
    help: "Where other members and clients reach this one, if it is not where it listens: behind \
           NAT or a published port.",
    example: "gaggle-1.example:8001",
};

/// Interfaces for discovery.
pub static INTERFACE: Setting = Setting {
    name: "interface",
    env: "GAGGLE_INTERFACE",
    value: "NAME,…",
    preset: Preset::Words("all that are up, without the loopback if there is another"),
    kind: Kind::List("names or addresses of network interfaces, separated by commas"),
    section: Section::Network,
    of: Use::Member,
    help: "The network interfaces on which members look for each other.",
    example: "eth0,eth1",
};

/// Ways to find members.
pub static DISCOVER: Setting = Setting {
    name: "discover",
    env: "GAGGLE_DISCOVER",
    value: "WAY,…",
    preset: Preset::Text("multicast"),
    kind: Kind::List(
        "a list of multicast, dns:NAME[:PORT], file:PATH and static:HOST[:PORT],HOST[:PORT],… \
         (the port of the REST API, 8000 if none is given), or none",
    ),
    section: Section::Network,
    of: Use::Member,
    help: "How members find each other. multicast: by beacons on the same network. static: by \
           asking the hosts listed. dns: by asking the addresses behind a name, which is asked \
           for again and again; of a name like _gaggle._tcp.example the SRV records, which say \
           the ports. file: by asking the hosts in a file, one a line, which is read again when \
           it changes. none: waits to be found.",
    example: "multicast,static:a.example,b.example:8001,dns:gaggle.example",
};

/// The UDP port of discovery.
pub static DISCOVERY_PORT: Setting = Setting {
    name: "discovery-port",
    env: "GAGGLE_DISCOVERY_PORT",
    value: "PORT",
    preset: Preset::Text("2900"),
    kind: Kind::Number(1..=65_535),
    section: Section::Network,
    of: Use::Member,
    help: "The UDP port for beacons and probes; the same on all members of a cluster.",
    example: "2900",
};
