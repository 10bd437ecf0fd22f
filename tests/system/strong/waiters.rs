//! Who holds a lock keeps it, and who waits for it keeps its place, whoever leads.

use serde_json::json;

use super::steps::{Grant, PATIENCE, acquire, leader, release, start};
use crate::harness::{Became, Caller, Cluster, Exchange, Lan, Member, seconds, until};

const TTL: &str = "3m";

/// Waits until so many wait for the lock.
fn waiting(caller: &Caller, count: usize) {
    let found = || {
        let shown = caller.get("/v1/locks/l");
        let Became::Answered(reply) = shown else {
            return None;
        };
        Some(reply.json()["waiters"].as_array().map_or(0, Vec::len))
    };
    until("so many wait", PATIENCE, found, |now| *now == Some(count));
}

/// The holder says that it is still there; it has the lock that it had.
fn renew(caller: &Caller, grant: &Grant) {
    let body = json!({"nonce": grant.nonce, "ttl": TTL});
    let reply = || caller.post("/v1/locks/l/renew", &body);
    let renewed = until("it is renewed", PATIENCE, reply, |became| {
        matches!(became, Became::Answered(_))
    });
    let reply = renewed.answer();
    assert_eq!(
        (reply.status, reply.json()["token"].as_u64()),
        (200, Some(grant.token))
    );
}

#[test]
fn a_lock_and_the_line_before_it_outlive_their_leaders() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut members = start(&cluster, &hosts);
    let exchange = Exchange::new(&lan);
    let caller = |member: &Member| exchange.caller(&cluster, member, seconds(180));
    let first = leader(&members.iter().collect::<Vec<_>>());
    let rest: Vec<usize> = (0..3).filter(|at| *at != first).collect();
    let [one, other] = [&members[rest[0]], &members[rest[1]]].map(caller);
    let held = acquire(&one, "l", TTL, "0s");
    std::thread::scope(|scope| {
        // They wait at members that do not lead; whom they wait for is known to all.
        let second = scope.spawn(|| acquire(&one, "l", TTL, "2m"));
        waiting(&other, 1);
        let third = scope.spawn(|| acquire(&other, "l", TTL, "2m"));
        waiting(&one, 2);
        members[first].crash();
        renew(&one, &held);
        waiting(&other, 2);
        assert!(!second.is_finished() && !third.is_finished(), "it is held");
        // The dead one comes back, and leads at the end.
        let name = ["a", "b", "c"][first];
        let again = cluster.member(&hosts[first], name);
        members[first] = again.with(&["--voters", "a,b,c"]).start();
        let client = members[first].client();
        let moved = || {
            client
                .ask(
                    &["-X", "POST", "--json", &json!({"member": name}).to_string()],
                    "/v1/quorum/transfer",
                )
                .status
        };
        until("it leads again", PATIENCE, moved, |status| *status < 300);
        waiting(&other, 2);
        release(&other, "l", &held);
        let second = second.join().expect("it gets the lock");
        assert!(second.token > held.token);
        waiting(&one, 1);
        assert!(!third.is_finished(), "one after the other");
        release(&one, "l", &second);
        let third = third.join().expect("it gets the lock");
        assert!(third.token > second.token);
        release(&other, "l", &third);
    });
}
