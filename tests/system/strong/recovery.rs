//! The majority is lost for good: an operator lets the survivor go on, and fills the group up.

use std::fs;

use serde_json::json;

use super::steps::{PATIENCE, start, value, works};
use crate::harness::{Cluster, Exchange, Lan, seconds, until};

#[test]
fn a_survivor_goes_on_alone_and_new_members_become_voters() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<4>();
    let mut members = start(&cluster, &hosts[..3]);
    let exchange = Exchange::new(&lan);
    let caller = exchange.caller(&cluster, &members[0], seconds(15));
    let add = |sum: u64| {
        let reply = caller.post("/v1/counters/c", &json!({"add": 1})).answer();
        assert_eq!(reply.json()["value"], sum, "{reply:?}");
    };
    (1..=5).for_each(add);
    for (lost, name) in [(1, "b"), (2, "c")] {
        members[lost].crash();
        fs::remove_dir_all(cluster.data(name)).expect("an own directory");
    }
    let (here, client) = (&hosts[0], members[0].client().clone());
    let leads = || client.get("/v1/leader").json();
    until("nobody leads", PATIENCE, leads, |it| it["id"].is_null());
    cluster.ask(here, &client, &["quorum", "recover", "--yes"]);
    works(&members[0], 1);
    (6..=7).for_each(add);
    // A fresh member learns, one that lost its data, too; both are asked to vote.
    let flags = ["--voters", "a,b,c"];
    let d = cluster.member(&hosts[3], "d").with(&flags).start();
    works(&d, 2);
    members[1] = cluster.member(&hosts[1], "b").with(&flags).start();
    works(&members[1], 3);
    for name in ["d", "b"] {
        let role = || {
            let told = cluster.ask(here, &client, &["--output", "json", "quorum"]);
            let told: serde_json::Value = serde_json::from_str(&told).expect("a document");
            let all = told["members"].as_array().cloned().unwrap_or_default();
            let it = all.into_iter().find(|it| it["name"] == name);
            it.map(|it| it["role"].clone())
        };
        until("it learns", PATIENCE, role, |it| {
            *it == Some(json!("learner"))
        });
        cluster.ask(here, &client, &["quorum", "promote", name]);
        until("it votes", PATIENCE, role, |it| *it == Some(json!("voter")));
    }
    add(8);
    // Now the survivor itself may go.
    members[0].crash();
    for member in [&d, &members[1]] {
        let caller = exchange.caller(&cluster, member, seconds(15));
        assert_eq!(value(&caller, "c"), 8);
    }
    let caller = exchange.caller(&cluster, &d, seconds(15));
    let reply = caller.post("/v1/counters/c", &json!({"add": 1})).answer();
    assert_eq!(reply.json()["value"], 9, "{reply:?}");
}
