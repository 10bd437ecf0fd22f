//! Members find each other by themselves, and only those of their own cluster.

pub(super) use crate::harness::agree;
use crate::harness::{Cluster, Host, Lan, run, seconds, until};

#[test]
fn three_members_find_each_other_by_multicast_and_share_the_store() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let members = cluster.start_on(&hosts);
    for (number, member) in members.iter().enumerate() {
        assert_eq!(
            member
                .client()
                .put(&format!("/v1/store/web/from-{number}"), "x")
                .status,
            201
        );
    }
    agree(&members);
    assert_eq!(
        members[0].client().store_json()["web"]
            .as_object()
            .expect("a node")
            .len(),
        3
    );
    for member in &members {
        let known = member.client().members();
        let addresses: Vec<&str> = known
            .iter()
            .map(|(_, address, _)| address.as_str())
            .collect();
        assert_eq!(
            addresses,
            ["10.77.0.1:8000", "10.77.0.2:8000", "10.77.0.3:8000"]
        );
    }
}

#[test]
fn an_empty_member_takes_the_whole_store_from_a_full_one() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let [first, second] = lan.hosts();
    let full = cluster.member(&first, "a").start();
    for n in 0..50 {
        assert_eq!(
            full.client()
                .put(&format!("/v1/store/web/key-{n}"), "value")
                .status,
            201
        );
    }
    assert_eq!(full.client().delete("/v1/store/web/key-7").status, 204);
    let empty = cluster.member(&second, "b").start();
    agree(&[full, empty]);
}

#[test]
fn an_empty_and_a_full_member_that_start_together_both_end_full() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<2>();
    let mut full = cluster.member(&hosts[0], "a").start();
    for n in 0..50 {
        assert_eq!(
            full.client()
                .put(&format!("/v1/store/web/key-{n}"), "value")
                .status,
            201
        );
    }
    full.stop();
    let members = cluster.start_on(&hosts);
    agree(&members);
    let store = members[1].client().store_json();
    assert_eq!(store["web"].as_object().map(serde_json::Map::len), Some(50));
}

#[test]
fn members_find_each_other_without_multicast_by_a_list_of_hosts() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let [first, second] = lan.hosts();
    let list = ["--discover", "static:10.77.0.1,10.77.0.2"];
    lan.drop_multicast();
    let a = cluster.member(&first, "a").with(&list).start();
    let b = cluster.member(&second, "b").with(&list).start();
    a.wait_alive(2);
    b.wait_alive(2);
    assert_eq!(a.client().put("/v1/store/web/colour", "blue").status, 201);
    agree(&[a, b]);
}

#[test]
fn members_find_each_other_on_a_network_without_ipv4() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<2>();
    let start = |host: &Host, name: &str| {
        let address = host.only_ipv6();
        cluster.member(host, name).spawn().reached_at(address)
    };
    let members = [start(&hosts[0], "a"), start(&hosts[1], "b")];
    for member in &members {
        member.wait_ready();
        member.wait_alive(2);
    }
    let (_, address, _) = members[0].client().members().remove(1);
    assert!(address.starts_with('['), "{address}");
    assert_eq!(
        members[0]
            .client()
            .put("/v1/store/web/colour", "blue")
            .status,
        201
    );
    agree(&members);
}

#[test]
fn several_members_on_one_host_find_each_other() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let first = cluster.member(&host, "a").start();
    let second = cluster.member(&host, "b").at_port(8001).start();
    let third = cluster.member(&host, "c").at_port(8002).start();
    let members = [first, second, third];
    for member in &members {
        member.wait_alive(3);
    }
    assert_eq!(
        members[2]
            .client()
            .put("/v1/store/web/colour", "blue")
            .status,
        201
    );
    agree(&members);
}

#[test]
fn a_wrong_secret_or_another_cluster_id_is_invisible() {
    let (lan, cluster, strangers) = (Lan::new(), Cluster::new(), Cluster::new());
    let hosts = lan.hosts::<4>();
    let a = cluster.member(&hosts[0], "a").start();
    let wrong = strangers.member(&hosts[1], "wrong-secret").start();
    let namesake = Cluster::with_secret_and_id(cluster.secret(), "another");
    let other = namesake.member(&hosts[2], "other-id").start();
    let b = cluster.member(&hosts[3], "b").start();
    // When a and b have found each other, the strangers' beacons have been heard as well.
    a.wait_alive(2);
    b.wait_alive(2);
    let dropped = || a.client().dropped();
    until(
        "datagrams of strangers were dropped",
        seconds(30),
        dropped,
        |count| *count >= 2.0,
    );
    assert_eq!(a.client().put("/v1/store/web/colour", "blue").status, 201);
    for member in [&a, &b] {
        assert_eq!(member.client().members().len(), 2);
    }
    for stranger in [&wrong, &other] {
        assert_eq!(stranger.client().members().len(), 1);
        assert_eq!(stranger.client().store(), "{}");
    }
}

#[test]
fn a_goodbye_is_known_at_once_and_a_crash_within_seconds() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let mut members = cluster.start_on(&lan.hosts::<3>());
    let mut leaver = members.pop().expect("c");
    let mut crasher = members.pop().expect("b");
    let a = members.pop().expect("a");
    let state = |name: &'static str| {
        let client = a.client().clone();
        move || {
            let known = client
                .members()
                .into_iter()
                .find(|(known, _, _)| known == name);
            known.map_or_else(|| "forgotten".to_owned(), |(_, _, state)| state)
        }
    };
    leaver.stop();
    until("the goodbye is known", seconds(3), state("c"), |state| {
        state == "left"
    });
    crasher.crash();
    until("the crash is known", seconds(10), state("b"), |state| {
        state == "dead"
    });
    let back = cluster.member(&crasher.host().clone(), "b").start();
    back.wait_alive(2);
    a.wait_alive(2);
}

#[test]
fn a_copied_data_directory_is_noticed_and_the_later_one_refused() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut first = cluster.member(&hosts[0], "a").start();
    assert_eq!(
        first.client().put("/v1/store/web/colour", "blue").status,
        201
    );
    let id = first.client().get("/v1/status").json()["member"].to_string();
    first.stop();
    let copy = cluster.data("copy");
    run(&[
        "cp",
        "-a",
        &first.data().to_string_lossy(),
        &copy.to_string_lossy(),
    ]);
    let first = cluster.member(&hosts[0], "a").start();
    let witness = cluster.member(&hosts[1], "b").start();
    witness.wait_alive(2);
    let mut second = cluster.member(&hosts[2], "copy").data(&copy).spawn();
    let status = second.wait_end(seconds(30));
    assert!(!status.success(), "{status}");
    let id = id.trim_matches('"');
    for (whose, said) in [("the copy", second.said()), ("the first", first.said())] {
        let told = said
            .lines()
            .any(|line| line.contains(id) && line.contains("copy of"));
        assert!(told, "{whose} has no word of it:\n{said}");
    }
    witness.wait_alive(2);
    assert_eq!(
        first.client().put("/v1/store/web/colour", "green").status,
        204
    );
    agree(&[first, witness]);
}
