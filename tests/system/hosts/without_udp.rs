//! Where only TCP passes between hosts: members find each other, watch each other, and say so.

use super::discovery::agree;
use crate::harness::{Cluster, Lan, Member, NameServer, seconds, throughout, until};

/// Drops the members' datagrams on every link; those of name servers pass.
fn block_udp(lan: &Lan) {
    for kind in ["ip", "ip6"] {
        lan.drop(&format!("ether type {kind} udp dport 2900"));
    }
}

/// The state of each other member as this one sees it, and over what it is watched.
fn seen(member: &Member) -> Vec<(String, String, String)> {
    let all = member.client().get("/v1/members").json();
    let others = all["members"].as_array().cloned().unwrap_or_default();
    let others = others.iter().filter(|one| one["self"] == false);
    let text =
        |one: &serde_json::Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    others
        .map(|one| {
            (
                text(one, "name"),
                text(one, "state"),
                text(one, "watched_over"),
            )
        })
        .collect()
}

fn wait_watched_over(members: &[Member], over: &str) {
    for member in members {
        let what = format!("all others are watched over {over}");
        until(
            &what,
            seconds(60),
            || seen(member),
            |all| all.len() == members.len() - 1 && all.iter().all(|(_, _, by)| by == over),
        );
    }
}

fn nobody_is_dead(members: &[Member]) {
    for member in members {
        let dead = seen(member)
            .into_iter()
            .find(|(_, state, _)| state == "dead");
        assert_eq!(dead, None, "taken for dead only for want of datagrams");
    }
}

#[test]
fn members_find_and_watch_each_other_where_only_tcp_passes() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let [servers, a, b, c] = lan.hosts();
    block_udp(&lan);
    let server = NameServer::on(&servers);
    server.addresses("gaggle.test", &[a.address(), c.address()]);
    let file = cluster.data("peers");
    std::fs::write(&file, "10.77.0.2 # a\n").expect("a file");
    let file = format!("file:{}", file.display());
    // Each in another way: by a name, by a file, by a list.
    let begin = |host, name, discover: &str| {
        let member = cluster.member(host, name).under(server.wrapper());
        member.with(&["--discover", discover]).start()
    };
    let mut members = vec![
        begin(&a, "a", "dns:gaggle.test"),
        begin(&b, "b", &file),
        begin(&c, "c", "static:10.77.0.3"),
    ];
    for member in &members {
        member.wait_alive(3);
    }
    for (number, member) in members.iter().enumerate() {
        let path = format!("/v1/store/web/from-{number}");
        assert_eq!(member.client().put(&path, "x").status, 201);
    }
    agree(&members);
    wait_watched_over(&members, "https");
    assert!(members[0].said().contains("watched over HTTPS"));
    let over = members[0].client().metric("gaggle_members_over_https");
    assert!((over - 2.0).abs() < f64::EPSILON, "{over}");
    let doctor = cluster.ask(&a, members[0].client(), &["doctor"]);
    assert!(
        doctor.contains("datagrams do not get through to b, c:")
            && doctor.contains("dns:gaggle.test led to "),
        "{doctor}"
    );
    throughout(seconds(20), || nobody_is_dead(&members));

    // A crash is known as soon as elsewhere; so is a goodbye.
    members[2].crash();
    for member in &members[..2] {
        until(
            "the crash is known",
            seconds(10),
            || seen(member),
            |all| {
                all.iter()
                    .any(|(name, state, _)| name == "c" && state == "dead")
            },
        );
    }
    members[2] = begin(&c, "c", "static:10.77.0.3");
    for member in &members {
        member.wait_alive(3);
    }
    members[1].stop();
    until(
        "the goodbye is known",
        seconds(5),
        || seen(&members[0]),
        |all| {
            all.iter()
                .any(|(name, state, _)| name == "b" && state == "left")
        },
    );
    members[1] = begin(&b, "b", &file);
    for member in &members {
        member.wait_alive(3);
    }

    lan.heal();
    wait_watched_over(&members, "udp");
    agree(&members);
    assert!(members[0].said().contains("get through again"));
}

#[test]
fn nobody_is_taken_for_dead_when_udp_is_blocked_between_members_that_run() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let members = cluster.start_on(&lan.hosts::<3>());
    wait_watched_over(&members, "udp");
    block_udp(&lan);
    throughout(seconds(30), || nobody_is_dead(&members));
    wait_watched_over(&members, "https");
    assert_eq!(
        members[2]
            .client()
            .put("/v1/store/web/colour", "blue")
            .status,
        201
    );
    agree(&members);
    lan.heal();
    wait_watched_over(&members, "udp");
    for member in &members {
        let deaths = member.client().metric("gaggle_member_deaths_total");
        assert!(deaths.abs() < f64::EPSILON, "{deaths} deaths");
    }
}
