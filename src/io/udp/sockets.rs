//! The sockets on the places in use, and their readers.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Place;
use crate::io::tasks::Tasks;

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Room for more than the greatest datagram, so that a longer one is seen to be too long.
const BUFFER: usize = 2_048;
/// How long a full send buffer is waited for before the datagram is dropped.
const SEND_PATIENCE: Duration = Duration::from_millis(10);
/// The pause after a socket failed to receive.
const RECEIVE_PAUSE: Duration = Duration::from_millis(200);

/// A datagram as it arrived.
#[derive(Clone, Debug)]
pub struct Packet {
    /// From where.
    pub from: SocketAddr,
    /// The bytes.
    pub bytes: Bytes,
}

/// How the sockets are to be.
#[derive(Clone, Copy, Debug)]
pub struct SocketsConfig {
    /// The port of the groups, and of our own sockets if it is free.
    pub port: u16,
    /// Whether to send to and hear the groups.
    pub multicast: bool,
}

/// The sockets of one member.
pub struct Sockets {
    config: SocketsConfig,
    tasks: Tasks,
    inbox: mpsc::Sender<Packet>,
    overflow: Arc<AtomicU64>,
    unicast: Vec<Unicast>,
    group_v4: Option<GroupV4>,
    groups_v6: Vec<GroupV6>,
    /// What fails now, so that it is logged once.
    failing: BTreeSet<String>,
}

struct Unicast {
    place: Place,
    local: SocketAddr,
    socket: Arc<UdpSocket>,
    /// Stops the reader when the socket is given up.
    #[expect(dead_code, reason = "held for what its drop does")]
    reader: DropGuard,
}

struct GroupV4 {
    socket: Arc<UdpSocket>,
    joined: BTreeSet<u32>,
    /// Stops the reader when the socket is given up.
    #[expect(dead_code, reason = "held for what its drop does")]
    reader: DropGuard,
}

struct GroupV6 {
    index: u32,
    /// Stops the reader when the socket is given up.
    #[expect(dead_code, reason = "held for what its drop does")]
    reader: DropGuard,
}

impl Sockets {
    /// No sockets yet. What arrives goes to `inbox`; when that is full, it is dropped and counted.
    pub fn new(config: SocketsConfig, tasks: &Tasks, inbox: mpsc::Sender<Packet>) -> Self {
        Self {
            config,
            tasks: tasks.clone(),
            inbox,
            overflow: Arc::default(),
            unicast: vec![],
            group_v4: None,
            groups_v6: vec![],
            failing: BTreeSet::new(),
        }
    }

    /// Where we receive datagrams: the address to tell others.
    pub fn primary(&self) -> Option<SocketAddr> {
        self.unicast.first().map(|unicast| unicast.local)
    }

    /// All addresses where we receive datagrams.
    pub fn locals(&self) -> impl Iterator<Item = SocketAddr> {
        self.unicast.iter().map(|unicast| unicast.local)
    }

    /// How many datagrams were dropped because nobody took them in time.
    pub fn overflow(&self) -> u64 {
        self.overflow.load(Ordering::Relaxed)
    }

    /// Opens what is missing for `places` and closes what is no longer there. What cannot be
    /// opened now is tried again the next time.
    pub fn arrange(&mut self, places: &[Place]) {
        let mut old = std::mem::take(&mut self.unicast);
        for place in places {
            let kept = old.iter().position(|unicast| unicast.place == *place);
            let what = format!("a socket on {} ({})", place.name, place.address);
            let unicast = if let Some(at) = kept {
                Some(old.swap_remove(at))
            } else {
                let opened = self.open_unicast(place);
                self.noted(&what, opened)
            };
            self.unicast.extend(unicast);
        }
        if self.config.multicast {
            self.join_v4(places);
            self.join_v6(places);
        }
    }

    /// Sends `bytes` to one address, from the place that is nearest to it.
    pub async fn send_to(&mut self, to: SocketAddr, bytes: &[u8]) {
        let Some(unicast) = nearest(&self.unicast, to) else {
            let what = format!("a way to {to}");
            let missing = io::Error::from(io::ErrorKind::NetworkUnreachable);
            return self.note(&what, Err(missing));
        };
        let what = format!("sending to {to}");
        let result = send(&unicast.socket, to, bytes).await;
        self.note(&what, result);
    }

    /// Sends `bytes` to the groups, from every place.
    pub async fn multicast(&mut self, bytes: &[u8]) {
        if !self.config.multicast {
            return;
        }
        let mut results = vec![];
        for Unicast { place, socket, .. } in &self.unicast {
            let port = self.config.port;
            let group = match place.address {
                IpAddr::V4(_) => SocketAddr::from((GROUP_V4, port)),
                IpAddr::V6(_) => SocketAddrV6::new(GROUP_V6, port, 0, place.index).into(),
            };
            let what = format!("multicast on {} ({})", place.name, place.address);
            // A loopback has often no way to an IPv6 group, and the one of IPv4 is enough there.
            let weight = if place.address.is_loopback() {
                Weight::Detail
            } else {
                Weight::Warning
            };
            results.push((what, weight, send(socket, group, bytes).await));
        }
        for (what, weight, result) in results {
            self.noted_as(weight, &what, result);
        }
    }

    fn open_unicast(&self, place: &Place) -> io::Result<Unicast> {
        let at = |port| match place.address {
            IpAddr::V4(v4) => SocketAddr::from(SocketAddrV4::new(v4, port)),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                SocketAddrV6::new(v6, port, 0, place.index).into()
            }
            IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, 0).into(),
        };
        let wanted = bind_unicast(place, at(self.config.port));
        let taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
        let socket = match wanted {
            Err(error) if taken(&error) => bind_unicast(place, at(0))?,
            other => other?,
        };
        let local = socket.local_addr()?;
        let socket = Arc::new(socket);
        Ok(Unicast {
            place: place.clone(),
            local,
            reader: self.read(&socket),
            socket,
        })
    }

    fn join_v4(&mut self, places: &[Place]) {
        let wanted: BTreeSet<u32> = places
            .iter()
            .filter(|place| place.address.is_ipv4())
            .map(|place| place.index)
            .collect();
        if self.group_v4.is_none() && !wanted.is_empty() {
            let what = format!("hearing {GROUP_V4} port {}", self.config.port);
            let opened = self.open_group_v4();
            self.group_v4 = self.noted(&what, opened);
        }
        let Some(mut group) = self.group_v4.take() else {
            return;
        };
        let gone: Vec<u32> = group.joined.difference(&wanted).copied().collect();
        for index in gone {
            // The interface is mostly gone as well, and the membership with it.
            let interface = InterfaceIndexOrAddress::Index(index);
            let socket = socket2::SockRef::from(&*group.socket);
            drop(socket.leave_multicast_v4_n(&GROUP_V4, &interface));
            group.joined.remove(&index);
        }
        let new: Vec<u32> = wanted.difference(&group.joined).copied().collect();
        for index in new {
            let interface = InterfaceIndexOrAddress::Index(index);
            let joined =
                socket2::SockRef::from(&*group.socket).join_multicast_v4_n(&GROUP_V4, &interface);
            if self
                .noted(&format!("joining {GROUP_V4} on interface {index}"), joined)
                .is_some()
            {
                group.joined.insert(index);
            }
        }
        self.group_v4 = Some(group);
    }

    fn open_group_v4(&self) -> io::Result<GroupV4> {
        let socket = group_socket(Domain::IPV4)?;
        socket.set_multicast_all_v4(false)?;
        socket.bind(&SocketAddr::from((GROUP_V4, self.config.port)).into())?;
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        Ok(GroupV4 {
            reader: self.read(&socket),
            socket,
            joined: BTreeSet::new(),
        })
    }

    fn join_v6(&mut self, places: &[Place]) {
        let v6 = places.iter().filter(|place| place.address.is_ipv6());
        let wanted: BTreeSet<u32> = v6.map(|place| place.index).collect();
        self.groups_v6.retain(|group| wanted.contains(&group.index));
        for index in wanted {
            if self.groups_v6.iter().any(|group| group.index == index) {
                continue;
            }
            let opened = self.open_group_v6(index);
            let what = format!(
                "hearing {GROUP_V6} port {} on interface {index}",
                self.config.port
            );
            let group = self.noted(&what, opened);
            self.groups_v6.extend(group);
        }
    }

    fn open_group_v6(&self, index: u32) -> io::Result<GroupV6> {
        let socket = group_socket(Domain::IPV6)?;
        socket.set_only_v6(true)?;
        socket.set_multicast_all_v6(false)?;
        let at = SocketAddrV6::new(GROUP_V6, self.config.port, 0, index);
        socket.bind(&SocketAddr::from(at).into())?;
        socket.join_multicast_v6(&GROUP_V6, index)?;
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        let reader = self.read(&socket);
        Ok(GroupV6 { index, reader })
    }

    /// Starts a reader; it ends when the guard is dropped.
    fn read(&self, socket: &Arc<UdpSocket>) -> DropGuard {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let reader = read(
            Arc::clone(socket),
            self.inbox.clone(),
            Arc::clone(&self.overflow),
        );
        self.tasks.spawn_until_stop(async move {
            tokio::select! { () = stop.cancelled() => {}, () = reader => {} }
        });
        guard
    }

    fn note(&mut self, what: &str, result: io::Result<()>) {
        self.noted(what, result);
    }

    fn noted<T>(&mut self, what: &str, result: io::Result<T>) -> Option<T> {
        self.noted_as(Weight::Warning, what, result)
    }

    /// Logs a failure when it begins and when it ends, not each time.
    fn noted_as<T>(&mut self, weight: Weight, what: &str, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                if self.failing.remove(what) {
                    tracing::info!("{what} works again");
                }
                Some(value)
            }
            Err(error) => {
                if self.failing.len() >= FAILURES_NOTED {
                    self.failing.clear();
                }
                if self.failing.insert(what.to_owned()) {
                    weight.log(&format!(
                        "{what} failed: {error}; further failures are not logged"
                    ));
                }
                None
            }
        }
    }
}

/// Who needs to hear of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// The operator.
    Warning,
    /// Whoever looks for the reason of something else.
    Detail,
}

impl Weight {
    fn log(self, text: &str) {
        match self {
            Self::Warning => tracing::warn!("{text}"),
            Self::Detail => tracing::debug!("{text}"),
        }
    }
}

/// The most failures remembered as logged.
const FAILURES_NOTED: usize = 1_024;

fn nearest(unicast: &[Unicast], to: SocketAddr) -> Option<&Unicast> {
    let scope = match to {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => Some(v6.scope_id()),
        _ => None,
    };
    let family = || unicast.iter().filter(|u| u.local.is_ipv4() == to.is_ipv4());
    if let Some(index) = scope {
        return family().find(|unicast| unicast.place.index == index);
    }
    let near = family().find(|unicast| unicast.place.contains(to.ip()));
    near.or_else(|| family().next())
}

async fn send(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    match tokio::time::timeout(SEND_PATIENCE, socket.send_to(bytes, to)).await {
        Ok(sent) => sent.map(drop),
        Err(_full) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn bind_unicast(place: &Place, at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    match place.address {
        IpAddr::V4(v4) => {
            socket.set_multicast_if_v4(&v4)?;
            socket.set_multicast_ttl_v4(1)?;
            socket.set_multicast_loop_v4(true)?;
        }
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_if_v6(place.index)?;
            socket.set_multicast_hops_v6(1)?;
            socket.set_multicast_loop_v6(true)?;
        }
    }
    socket.bind(&at.into())?;
    UdpSocket::from_std(socket.into())
}

/// A socket that shares its port: the kernel gives each of them a copy of a multicast datagram.
fn group_socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

async fn read(socket: Arc<UdpSocket>, inbox: mpsc::Sender<Packet>, overflow: Arc<AtomicU64>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => {
                let Some(bytes) = buffer.get(..length).map(Bytes::copy_from_slice) else {
                    continue;
                };
                if inbox.try_send(Packet { from, bytes }).is_err() {
                    overflow.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) => {
                tracing::debug!("receiving a datagram failed: {error}");
                tokio::time::sleep(RECEIVE_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{InterfaceChoice, interfaces};
    use super::*;

    fn loopback() -> Vec<Place> {
        let choice = InterfaceChoice::Only(vec!["127.0.0.1".to_owned()]);
        interfaces(&choice).unwrap().places
    }

    /// A port that nobody uses now.
    fn free_port() -> u16 {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    }

    fn open(port: u16, tasks: &Tasks) -> (Sockets, mpsc::Receiver<Packet>) {
        let (inbox, packets) = mpsc::channel(64);
        let config = SocketsConfig {
            port,
            multicast: true,
        };
        let mut sockets = Sockets::new(config, tasks, inbox);
        sockets.arrange(&loopback());
        (sockets, packets)
    }

    async fn next(packets: &mut mpsc::Receiver<Packet>) -> Packet {
        let wait = tokio::time::timeout(Duration::from_secs(10), packets.recv());
        wait.await.expect("a datagram arrives").unwrap()
    }

    #[tokio::test]
    async fn all_members_of_a_host_hear_a_beacon_and_none_takes_anothers_datagrams() {
        let tasks = Tasks::new();
        let port = free_port();
        let (mut one, mut to_one) = open(port, &tasks);
        let (mut two, mut to_two) = open(port, &tasks);
        assert_eq!(one.primary().unwrap().port(), port);
        assert_ne!(two.primary().unwrap().port(), port, "it is taken");
        for sockets in [&mut one, &mut two] {
            let from = sockets.primary();
            sockets.multicast(b"beacon").await;
            for packets in [&mut to_one, &mut to_two] {
                let packet = next(packets).await;
                assert_eq!(
                    (Some(packet.from), &packet.bytes[..]),
                    (from, &b"beacon"[..])
                );
            }
        }
        let (at_one, at_two) = (one.primary().unwrap(), two.primary().unwrap());
        one.send_to(at_two, b"for two").await;
        two.send_to(at_one, b"for one").await;
        assert_eq!(&next(&mut to_two).await.bytes[..], b"for two");
        assert_eq!(&next(&mut to_one).await.bytes[..], b"for one");
        assert!(to_one.try_recv().is_err() && to_two.try_recv().is_err());
    }

    #[tokio::test]
    async fn sockets_follow_the_places() {
        let tasks = Tasks::new();
        let (mut sockets, _packets) = open(free_port(), &tasks);
        let before = sockets.primary();
        sockets.arrange(&loopback());
        assert_eq!(sockets.primary(), before, "what is there stays");
        sockets.arrange(&[]);
        assert_eq!(sockets.primary(), None);
        sockets
            .send_to("127.0.0.1:9".parse().unwrap(), b"lost")
            .await;
        while sockets.primary() != before {
            // The reader of the closed socket may not have let go of it yet.
            sockets.arrange(&[]);
            tokio::task::yield_now().await;
            sockets.arrange(&loopback());
        }
    }

    #[tokio::test]
    async fn what_nobody_takes_is_dropped_and_counted() {
        let tasks = Tasks::new();
        let (mut sockets, mut packets) = open(free_port(), &tasks);
        let to = sockets.primary().unwrap();
        while sockets.overflow() == 0 {
            sockets.send_to(to, b"flood").await;
            tokio::task::yield_now().await;
        }
        assert!(packets.recv().await.is_some());
    }
}
