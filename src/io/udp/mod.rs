//! Datagrams: which interfaces to use, and the sockets on them.
//!
//! Two kinds of socket, because several members may live on one host. *Group* sockets are bound to
//! the multicast group's own address, with address reuse: all members on the host hear each beacon.
//! *Unicast* sockets are bound to an interface's own address without reuse: none gets another's
//! datagrams; if the port is taken by another member, a free one is used and told in the beacon.
//! Beacons are sent from the unicast sockets, so their source is where an answer goes.
//!
//! The groups are those of all hosts of a link, `224.0.0.1` and `ff02::1`, as in gaggle 0.7: no
//! switch filters them, no router passes them on.

mod interfaces;
mod sockets;

pub use interfaces::{Chosen, InterfaceChoice, Place, interfaces};
pub use sockets::{Packet, Sockets, SocketsConfig};

/// The port of beacons and members, unless it is taken or set otherwise.
pub const DEFAULT_PORT: u16 = 2_900;
