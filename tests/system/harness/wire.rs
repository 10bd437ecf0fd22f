//! The wire itself: datagrams heard on the bridge, and said again by somebody else.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::lan::{Host, Lan};
use super::wait::within;

/// Bytes of an IPv4 header without options, and of a UDP header.
const IP: usize = 20;
const UDP: usize = 8;

/// A UDP datagram as it went over the bridge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    pub(crate) payload: Vec<u8>,
}

/// Listens on the bridge until `count` datagrams to or from UDP port 2900 were heard from each of
/// `hosts`; each is given once, however many ports it crossed.
pub(crate) fn overhear(lan: &Lan, hosts: &[&Host], count: usize, limit: Duration) -> Vec<Datagram> {
    /// "Every protocol" of a packet socket, in network order.
    const EVERYTHING: i32 = 0x0300;
    let socket = lan.enter_switch(|| {
        Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(EVERYTHING)))
            .expect("root may listen")
    });
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a limit");
    let mut heard: Vec<Datagram> = Vec::new();
    let mut frame = vec![0; 4096];
    let enough = within(limit, || {
        let length = (&socket).read(&mut frame).unwrap_or(0);
        if let Some(datagram) = datagram(&frame[..length]).filter(|one| !heard.contains(one)) {
            heard.push(datagram);
        }
        let of = |host: &Host| {
            heard
                .iter()
                .filter(|one| *one.from.ip() == host.address())
                .count()
        };
        hosts.iter().all(|host| of(host) >= count).then_some(())
    });
    assert!(
        enough.is_some(),
        "only {} datagrams were heard in {limit:?}",
        heard.len()
    );
    heard
}

/// The UDP datagram in an Ethernet frame, if there is one and gaggle's port has to do with it.
fn datagram(frame: &[u8]) -> Option<Datagram> {
    let packet = frame.get(14..).filter(|_| frame[12..14] == [8, 0])?;
    let number = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let address = |at: usize| {
        Some(Ipv4Addr::from(
            <[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?,
        ))
    };
    if *packet.first()? != 0x45 || *packet.get(9)? != 17 {
        return None;
    }
    let from = SocketAddrV4::new(address(12)?, number(IP)?);
    let to = SocketAddrV4::new(address(16)?, number(IP + 2)?);
    let end = IP + usize::from(number(IP + 4)?);
    let payload = packet.get(IP + UDP..end)?.to_vec();
    (from.port() == 2900 || to.port() == 2900).then_some(Datagram { from, to, payload })
}

/// Says datagrams on the network in the name of whoever: the sender's address is forged.
pub(crate) struct Forger(Socket);

impl Forger {
    /// Sits on `host`.
    pub(crate) fn on(host: &Host) -> Self {
        let socket = host.enter(|| {
            Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).expect("root may forge")
        });
        socket
            .set_multicast_if_v4(&host.address())
            .expect("an own address");
        Self(socket)
    }

    /// Sends the datagram as it stands.
    pub(crate) fn say(&self, datagram: &Datagram) {
        let length = u16::try_from(IP + UDP + datagram.payload.len()).expect("a small datagram");
        let mut packet = vec![0x45, 0];
        packet.extend(length.to_be_bytes());
        // Identification, fragment, time to live 1, UDP; the kernel sums up the header.
        packet.extend([0, 0, 0, 0, 1, 17, 0, 0]);
        packet.extend(datagram.from.ip().octets());
        packet.extend(datagram.to.ip().octets());
        packet.extend(datagram.from.port().to_be_bytes());
        packet.extend(datagram.to.port().to_be_bytes());
        // No checksum: IPv4 allows it.
        packet.extend((length - 20).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(&datagram.payload);
        // A full send buffer drops it, as a network may.
        let _ = self.0.send_to(&packet, &SockAddr::from(datagram.to));
    }
}
