//! A voter whose data directory was put back from a backup while all were stopped: it must not help
//! to elect a leader that lacks what was answered.

use serde_json::json;

use super::steps::{PATIENCE, leader, quorum, start, value, works};
use crate::harness::{Became, Cluster, Exchange, Lan, Member, run, seconds, until};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn copy(from: &std::path::Path, to: &std::path::Path) {
    run(&["rm", "-rf", &to.to_string_lossy()]);
    run(&["cp", "-a", &from.to_string_lossy(), &to.to_string_lossy()]);
}

#[test]
fn a_voter_put_back_from_a_backup_takes_part_under_another_id_and_nothing_is_lost() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let exchange = Exchange::new(&lan);
    let flags = ["--voters", "a,b,c"];
    let again = |at: usize| cluster.member(&hosts[at], NAMES[at]).with(&flags);
    let mut members = start(&cluster, &hosts);
    let add = |at: usize, members: &[Member], sum: u64| {
        let caller = exchange.caller(&cluster, &members[at], seconds(15));
        let reply = caller.post("/v1/counters/c", &json!({"add": 1})).answer();
        assert_eq!(reply.json()["value"], sum, "{reply:?}");
    };
    (1..=3).for_each(|sum| add(0, &members, sum));
    members.iter_mut().for_each(Member::stop);
    for name in NAMES {
        copy(
            &cluster.data(name),
            &cluster.data(&format!("{name}-backup")),
        );
    }
    members = (0..3).map(|at| again(at).start()).collect();
    members.iter().for_each(|member| works(member, 3));
    let lead = leader(&members.iter().collect::<Vec<_>>());
    let (follow, apart) = ((lead + 1) % 3, (lead + 2) % 3);
    let voter = quorum(members[follow].client())["voter"].clone();
    // The third one misses what the other two have.
    members[apart].stop();
    (4..=8).for_each(|sum| add(lead, &members, sum));
    for at in [lead, follow] {
        members[at].crash();
    }
    let backup = cluster.data(&format!("{}-backup", NAMES[follow]));
    copy(&backup, &cluster.data(NAMES[follow]));
    // Without the one that has all, the two elect nobody.
    for at in [follow, apart] {
        members[at] = again(at).start();
    }
    for at in [follow, apart] {
        members[at].wait_alive(2);
    }
    let client = members[follow].client().clone();
    let told = || quorum(&client);
    until(
        "it knows that it is an older copy",
        PATIENCE,
        told,
        |told| {
            told["why"]
                .as_str()
                .is_some_and(|why| why.contains("older copy"))
        },
    );
    let caller = exchange.caller(&cluster, &members[apart], seconds(15));
    let read = caller.get("/v1/counters/c");
    assert!(!matches!(read, Became::Answered(_)), "{read:?}");
    members[lead] = again(lead).start();
    for at in 0..3 {
        let caller = exchange.caller(&cluster, &members[at], seconds(15));
        assert_eq!(value(&caller, "c"), 8, "at {}", NAMES[at]);
    }
    let now = || quorum(&client)["voter"].clone();
    until("it has another id", PATIENCE, now, |now| *now != voter);
    until("it votes again", PATIENCE, told, |told| {
        let all = told["members"].as_array().cloned().unwrap_or_default();
        all.iter()
            .any(|it| it["voter"] == told["voter"] && it["role"] != "learner")
    });
    add(apart, &members, 9);
}
