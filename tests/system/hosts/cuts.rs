//! A network that is cut: both sides go on, and agree when it heals.

use super::discovery::agree;
use crate::harness::{Cluster, Lan, Member, seconds, until};

/// The state in which `witness` has the member of this name.
fn state_of(witness: &Member, name: &str) -> String {
    let known = witness
        .client()
        .members()
        .into_iter()
        .find(|(known, _, _)| known == name);
    known.map(|(_, _, state)| state).unwrap_or_default()
}

fn waits_until_dead(witness: &Member, name: &str) {
    let what = format!("{name} is dead for another member");
    until(
        &what,
        seconds(30),
        || state_of(witness, name),
        |state| state == "dead",
    );
}

fn put(member: &Member, path: &str, value: &str) {
    let reply = member.client().put(&format!("/v1/store/{path}"), value);
    assert!(matches!(reply.status, 201 | 204), "{path}: {reply:?}");
}

#[test]
fn writes_on_both_sides_of_a_cut_converge_after_it_heals() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let members = cluster.start_on(&hosts);
    let [a, b, c] = &members[..] else {
        unreachable!("three members")
    };
    for key in ["kept", "changed", "deleted", "both"] {
        put(a, &format!("web/{key}"), "before");
    }
    agree(&members);
    lan.cut(&[&hosts[0], &hosts[1]], &[&hosts[2]]);
    waits_until_dead(a, "c");
    waits_until_dead(c, "a");
    put(a, "web/changed", "on the greater side");
    assert_eq!(b.client().delete("/v1/store/web/deleted").status, 204);
    put(c, "web/new", "on the smaller side");
    put(b, "web/both", "first");
    put(c, "web/both", "second");
    for n in 0..30 {
        put(b, &format!("left/key-{n}"), "left");
        put(c, &format!("right/key-{n}"), "right");
    }
    assert_eq!(
        c.client().get("/v1/store/web/changed").body,
        "before",
        "the cut is a cut"
    );
    lan.heal();
    agree(&members);
    let store = a.client().store_json();
    assert_eq!(store["web"]["changed"], "on the greater side");
    assert_eq!(store["web"]["new"], "on the smaller side");
    assert_eq!(store["web"]["both"], "second", "the later write wins");
    assert_eq!(
        store["web"].get("deleted"),
        None,
        "a deletion on one side holds on the other"
    );
    assert_eq!(
        store["left"].as_object().map(serde_json::Map::len),
        Some(30)
    );
    assert_eq!(
        store["right"].as_object().map(serde_json::Map::len),
        Some(30)
    );
    for member in &members {
        member.wait_alive(3);
    }
    falls_silent(&members);
}

/// Members that agree exchange no entries any more: neither pushes nor walks, over several rounds
/// of the members' exchange.
fn falls_silent(members: &[Member]) {
    let sent = || -> Vec<(String, f64)> {
        let moved = [
            "gaggle_push_changes_total",
            "gaggle_sync_fetched_changes_total",
            "gaggle_sync_pushed_changes_total",
        ];
        let all = members.iter().enumerate().flat_map(|(number, member)| {
            moved.map(|name| (format!("{number} {name}"), member.client().metric(name)))
        });
        all.collect()
    };
    // Quiet means: no figure moved while every member heard of every other again.
    let mut last = sent();
    let mut rounds = beacons(members);
    until(
        "nothing is sent any more",
        seconds(60),
        || {
            let now = sent();
            if now != last {
                last = now;
                rounds = beacons(members);
            }
            beacons(members) - rounds
        },
        |heard| *heard >= 60.0,
    );
}

/// Datagrams that all members took in; a clock that ticks with the cluster's own life.
fn beacons(members: &[Member]) -> f64 {
    members
        .iter()
        .map(|member| member.client().metric("gaggle_datagrams_accepted_total"))
        .sum()
}

#[test]
fn a_link_that_is_cut_one_way_loses_nothing_and_tears_nobody_down() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let members = cluster.start_on(&hosts);
    // Nothing of a reaches b; b still reaches a, and c reaches both.
    lan.cut_one_way(&hosts[0], &hosts[1]);
    put(&members[0], "web/from-a", "over c");
    put(&members[1], "web/from-b", "over c");
    let arrived = |member: &Member, key: &str| {
        let path = format!("/v1/store/web/{key}");
        until(
            "the change goes round the cut",
            seconds(40),
            || member.client().get(&path).status,
            |s| *s == 200,
        );
    };
    arrived(&members[1], "from-a");
    arrived(&members[0], "from-b");
    lan.heal();
    agree(&members);
    for member in &members {
        member.wait_alive(3);
    }
}

#[test]
fn simultaneous_writes_of_one_key_end_with_one_value_everywhere() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let members = cluster.start_on(&lan.hosts::<3>());
    std::thread::scope(|scope| {
        for (number, member) in members.iter().enumerate() {
            scope.spawn(move || {
                for n in 0..20 {
                    put(member, "web/same", &format!("{number}-{n}"));
                    put(member, &format!("web/own-{number}-{n}"), "x");
                }
            });
        }
    });
    agree(&members);
    let store = members[1].client().store_json();
    assert_eq!(store["web"].as_object().map(serde_json::Map::len), Some(61));
    let same = store["web"]["same"].as_str().expect("a value");
    assert!(
        same.ends_with("-19"),
        "the last write of one of them, not {same}"
    );
}

#[test]
fn a_member_that_crashed_catches_up_when_it_is_back() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut members = cluster.start_on(&hosts);
    for n in 0..20 {
        put(&members[2], &format!("web/key-{n}"), "before");
    }
    members[2].crash();
    for n in 0..10 {
        put(&members[0], &format!("web/key-{n}"), "meanwhile");
    }
    assert_eq!(
        members[1].client().delete("/v1/store/web/key-15").status,
        204
    );
    members[2] = cluster.member(&hosts[2], "c").start();
    agree(&members);
    let store = members[2].client().store_json();
    assert_eq!(store["web"]["key-3"], "meanwhile");
    assert_eq!(store["web"]["key-12"], "before");
    assert_eq!(
        store["web"].get("key-15"),
        None,
        "what was deleted meanwhile stays deleted"
    );
}
