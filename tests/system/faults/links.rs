//! Links that lose, crawl, flap, or let only some of it through: members go on, and agree.

use std::time::Duration;

use crate::harness::{Cluster, Host, Lan, Member, agree, agree_within, seconds, throughout, until};

fn put(member: &Member, path: &str, value: &str) {
    let reply = member.client().put(&format!("/v1/store/{path}"), value);
    assert!(matches!(reply.status, 201 | 204), "{path}: {reply:?}");
}

/// A write of each member, none of which the others make.
fn write_all(members: &[Member], round: usize, count: usize) {
    for (number, member) in members.iter().enumerate() {
        for n in 0..count {
            put(
                member,
                &format!("of-{number}/key-{n}"),
                &format!("round {round}"),
            );
        }
    }
}

fn arrives(member: &Member, path: &str, limit: Duration) {
    let path = format!("/v1/store/{path}");
    let status = || member.client().get(&path).status;
    until("the change arrives", limit, status, |status| *status == 200);
}

fn three(lan: &Lan, cluster: &Cluster) -> ([Host; 3], Vec<Member>) {
    let hosts = lan.hosts();
    let members = cluster.start_on(&hosts);
    (hosts, members)
}

#[test]
fn members_behind_links_that_lose_a_fifth_of_all_frames_agree() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let (_, members) = three(&lan, &cluster);
    lan.lose(20);
    write_all(&members, 0, 10);
    agree_within(&members, seconds(60));
    write_all(&members, 1, 10);
    agree_within(&members, seconds(60));
    assert_eq!(
        members[2].client().get("/v1/store/of-0/key-9").body,
        "round 1"
    );
}

#[test]
fn what_two_members_cannot_tell_each_other_goes_by_way_of_the_third() {
    // Nothing at all, only datagrams, or only requests: between the first two.
    for what in ["", "udp dport 2900", "tcp dport 8000"] {
        let (lan, cluster) = (Lan::new(), Cluster::new());
        let (hosts, members) = three(&lan, &cluster);
        lan.drop_between(&hosts[0], &hosts[1], what);
        put(&members[0], "web/from-a", "x");
        put(&members[1], "web/from-b", "x");
        arrives(&members[1], "web/from-a", seconds(30));
        arrives(&members[0], "web/from-b", seconds(30));
        // The third vouches for both: nobody is torn out of the cluster for a link of others.
        throughout(seconds(4), || {
            let states = members[2].client().members();
            assert!(
                states.iter().all(|(_, _, state)| state == "alive"),
                "{what:?}: {states:?}"
            );
        });
        lan.heal();
        agree(&members);
    }
}

#[test]
fn members_on_a_link_that_flaps_agree_when_it_stands() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let (hosts, members) = three(&lan, &cluster);
    let [a, b, c] = &hosts;
    for round in 0..5 {
        lan.cut(&[a, b], &[c]);
        throughout(seconds(1), || write_all(&members, round, 2));
        lan.heal();
        throughout(seconds(1), || write_all(&members, round, 2));
    }
    write_all(&members, 9, 5);
    agree(&members);
    for member in &members {
        member.wait_alive(3);
    }
    assert_eq!(
        members[2].client().get("/v1/store/of-0/key-4").body,
        "round 9"
    );
}

#[test]
fn members_find_each_other_where_large_datagrams_are_lost() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    // A tunnel that drops what it cannot carry, and says nothing.
    lan.drop("meta protocol ip ip protocol udp ip length > 1280");
    let members = cluster.start_on(&hosts);
    write_all(&members, 0, 3);
    agree(&members);
}

#[test]
fn a_member_on_a_thin_line_lags_alone_and_catches_up() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let (hosts, members) = three(&lan, &cluster);
    // The slowest line that replication is made for.
    lan.throttle(&hosts[2], 64 << 10);
    let value = "x".repeat(10_000);
    for n in 0..30 {
        put(&members[0], &format!("web/key-{n}"), &value);
    }
    agree_within(&members[..2], seconds(5));
    agree_within(&members, seconds(60));
}

#[test]
fn requests_that_are_reset_in_the_middle_are_made_again() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let (hosts, members) = three(&lan, &cluster);
    let reset = |count: usize| {
        // Every open connection of the third member's host is torn down, whoever opened it.
        for n in 0..count {
            write_all(&members, n, 2);
            hosts[2].run(&["ss", "--kill", "--tcp", "state", "established"]);
        }
    };
    reset(20);
    write_all(&members, 99, 3);
    agree(&members);
    assert_eq!(
        members[2].client().get("/v1/store/of-1/key-2").body,
        "round 99"
    );
}
