//! The network of these tests is one: hosts reach each other, and a cut is a cut. Without this a
//! test behind a cut that cuts nothing would pass.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::harness::{Host, Lan, seconds, within};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

fn socket(host: &Host) -> UdpSocket {
    let address = SocketAddr::from((host.address(), 4000));
    let socket = host
        .enter(|| UdpSocket::bind(address))
        .expect("a socket on the host");
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a limit");
    socket
}

/// Whether a datagram of `from` reaches `to`; sent again until it does or the time is over.
fn reaches(from: &UdpSocket, to: &UdpSocket, limit: Duration) -> bool {
    let address = to.local_addr().expect("a bound socket");
    let sender_address = from.local_addr().expect("a bound socket");
    let mut buffer = [0; 16];
    let arrived = within(limit, || {
        // Nobody may be there to take it; the receiver tells.
        let _ = from.send_to(b"hello", address);
        to.recv_from(&mut buffer)
            .ok()
            .filter(|(_, sender)| *sender == sender_address)
    });
    arrived.is_some()
}

#[test]
fn a_cut_is_a_cut_in_the_ways_that_it_says() {
    let lan = Lan::new();
    let [a, b, c] = lan.hosts();
    let (at_a, at_b, at_c) = (socket(&a), socket(&b), socket(&c));
    let (long, short) = (seconds(5), Duration::from_millis(300));
    assert!(reaches(&at_a, &at_b, long) && reaches(&at_b, &at_a, long));
    lan.cut_one_way(&a, &b);
    assert!(!reaches(&at_a, &at_b, short), "the cut way");
    assert!(reaches(&at_b, &at_a, long), "the other way");
    lan.heal();
    assert!(reaches(&at_a, &at_b, long), "healed");
    lan.cut(&[&a, &b], &[&c]);
    assert!(!reaches(&at_a, &at_c, short) && !reaches(&at_c, &at_b, short));
    assert!(reaches(&at_a, &at_b, long), "on one side of the cut");
}

#[test]
fn multicast_reaches_every_host_and_counts() {
    let lan = Lan::new();
    let [a, b] = lan.hosts();
    let ear = b.enter(|| {
        let ear = UdpSocket::bind(SocketAddr::from((GROUP, 4001))).expect("the group's address");
        ear.join_multicast_v4(&GROUP, &Ipv4Addr::new(10, 77, 0, 2))
            .expect("a member of the group");
        ear
    });
    ear.set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a limit");
    let mouth = socket(&a);
    lan.count("ether type ip ip daddr 224.0.0.1");
    let mut buffer = [0; 16];
    let heard = within(seconds(5), || {
        mouth
            .send_to(b"hello", (GROUP, 4001))
            .expect("a datagram to the group");
        ear.recv_from(&mut buffer).ok()
    });
    assert_eq!(
        heard.map(|(_, sender)| sender.ip()),
        Some(a.address().into())
    );
    let (frames, bytes) = lan.counted();
    assert!(frames >= 1 && bytes >= 33, "{frames} frames, {bytes} bytes");
}
