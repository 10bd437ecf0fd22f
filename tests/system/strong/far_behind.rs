//! A member that was away for longer than the log reaches back: it gets a snapshot, and then has
//! what the others have.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use super::steps::{PATIENCE, Stop, leader, make_node, quorum, start, works};
use crate::harness::{Became, Caller, Cluster, Exchange, Lan, Member, post, put, seconds, until};

/// How many entries a leader keeps though its snapshot holds them.
const KEPT: u64 = 500;
/// How many commands it misses at least.
const COMMANDS: u64 = 6_000;
const WRITERS: usize = 6;

/// Writes of all kinds, one after the other: each goes into an entry of the log with few others.
fn work(id: usize, caller: &Caller, stop: &AtomicBool, done: &AtomicU64) {
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let key = number % 50;
        let request = match number % 4 {
            0 => put(&format!("/v1/store/n/{id}-{key}"), &number.to_string()),
            1 => post(&format!("/v1/log/{id}"), &json!(number)),
            _ => post(&format!("/v1/counters/{id}-{key}"), &json!({"add": 1})),
        };
        if let Became::Answered(reply) = caller.call(request) {
            assert!(reply.status < 300, "{reply:?}");
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All that a member has by itself.
fn held(member: &Member) -> Vec<Value> {
    let paths = ["/v1/counters?", "/v1/store/n?class=strong&", "/v1/log?"];
    let mut paths: Vec<String> = paths.map(str::to_owned).to_vec();
    paths.extend((0..WRITERS).map(|id| format!("/v1/log/{id}?")));
    let get = |path: &String| {
        let reply = member.client().get(&format!("{path}consistency=stale"));
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    };
    paths.iter().map(get).collect()
}

#[test]
fn a_member_that_is_far_behind_gets_a_snapshot_and_has_all() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut members = start(&cluster, &hosts);
    make_node(members[0].client(), "n");
    let exchange = Exchange::new(&lan);
    let lead = leader(&members.iter().collect::<Vec<_>>());
    let (away, other) = ((lead + 1) % 3, (lead + 2) % 3);
    let reached = quorum(members[away].client())["last"].as_u64();
    let reached = reached.expect("an index");
    members[away].crash();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let snapshot = std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        for id in 0..WRITERS {
            let caller = exchange.caller(&cluster, &members[lead], seconds(15));
            let (stop, done) = (&stop, &done);
            scope.spawn(move || work(id, &caller, stop, done));
        }
        let snapshot = || quorum(members[lead].client())["snapshot"].as_u64();
        let enough = |at: &Option<u64>| {
            let done = done.load(Ordering::Relaxed);
            done > COMMANDS && at.is_some_and(|at| at > reached + KEPT + 1_000)
        };
        until("the log was let go", seconds(240), snapshot, enough)
    });
    let snapshot = snapshot.expect("an index");
    let done = done.load(Ordering::Relaxed);
    println!("{done} commands; away since entry {reached}, the snapshot has {snapshot}");
    let name = ["a", "b", "c"][away];
    let again = cluster.member(&hosts[away], name);
    members[away] = again.with(&["--voters", "a,b,c"]).start();
    works(&members[away], 3);
    let applied = |at: usize| quorum(members[at].client())["applied"].as_u64();
    let both = || (applied(away), applied(lead));
    until("it has caught up", PATIENCE, both, |(one, all)| {
        one.is_some() && one == all
    });
    let status = quorum(members[away].client());
    assert!(status["snapshot"].as_u64() >= Some(snapshot), "{status}");
    let all = held(&members[lead]);
    assert!(
        all[0]["counters"]
            .as_array()
            .is_some_and(|it| it.len() > WRITERS)
    );
    assert_eq!(held(&members[away]), all);
    // It counts for a majority again.
    members[other].crash();
    let caller = exchange.caller(&cluster, &members[away], seconds(15));
    let add = || caller.post("/v1/counters/last", &json!({"add": 1}));
    until(
        "a write is answered",
        PATIENCE,
        add,
        |became| matches!(became, Became::Answered(reply) if reply.status == 200),
    );
}
