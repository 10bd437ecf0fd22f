//! A member that may open few files, with more connections than that: it goes on, and what it
//! acknowledges is still kept.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::harness::{Cluster, Lan, seconds, until};

/// Files that the member may have open at once.
const FILES: usize = 64;

#[test]
fn a_member_out_of_file_descriptors_goes_on_when_there_are_some_again() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<2>();
    let limit = ["prlimit", &format!("--nofile={FILES}"), "--"].map(str::to_owned);
    let mut member = cluster.member(&hosts[0], "a").under(limit.to_vec()).start();
    let client = member.client().clone();
    assert_eq!(client.put("/v1/store/web/before", "x").status, 201);
    let address = SocketAddr::from((hosts[0].address(), 8000));
    for round in 0..3 {
        let idle: Vec<TcpStream> = hosts[1].enter(|| {
            let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok();
            (0..FILES * 2).filter_map(connect).collect()
        });
        assert!(idle.len() > FILES / 2, "only {} connections", idle.len());
        assert!(!member.has_ended(), "{}", member.said());
        drop(idle);
        let put = || {
            client
                .put(&format!("/v1/store/web/after-{round}"), "x")
                .status
        };
        until("it answers again", seconds(30), put, |status| {
            matches!(status, 201 | 204)
        });
    }
    let before = client.store();
    member.crash();
    let again = cluster.member(&hosts[0], "a").start();
    assert_eq!(again.client().store(), before);
}
