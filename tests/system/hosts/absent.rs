//! Members that are away while things are deleted: nothing that was deleted comes back, whether
//! they return in time, after they were forgotten, or with an older copy of their data.

use std::path::PathBuf;

use crate::harness::{Client, Cluster, Host, Lan, Member, agree, run, seconds, throughout, until};

const KEYS: usize = 20;

fn put(member: &Member, key: &str, value: &str) {
    let reply = member.client().put(&format!("/v1/store/web/{key}"), value);
    assert!(matches!(reply.status, 201 | 204), "{key}: {reply:?}");
}

fn get(client: &Client, key: &str) -> Option<String> {
    let reply = client.get(&format!("/v1/store/web/{key}"));
    (reply.status == 200).then_some(reply.body)
}

/// Three members that remember what was deleted for a second at least.
fn start(cluster: &Cluster, host: &Host, name: &str) -> Member {
    cluster
        .member(host, name)
        .with(&["--keep-deleted", "1s"])
        .start()
}

fn three(cluster: &Cluster, hosts: &[Host; 3]) -> Vec<Member> {
    let names = hosts.iter().zip(["a", "b", "c"]);
    let members: Vec<Member> = names
        .map(|(host, name)| start(cluster, host, name))
        .collect();
    for member in &members {
        member.wait_alive(3);
    }
    members
}

fn fill(members: &[Member]) {
    for n in 0..KEYS {
        put(&members[0], &format!("deleted-{n}"), "before");
    }
    put(&members[0], "kept", "before");
    agree(members);
}

fn delete(member: &Member) {
    for n in 0..KEYS {
        let reply = member
            .client()
            .delete(&format!("/v1/store/web/deleted-{n}"));
        assert_eq!(reply.status, 204, "{reply:?}");
    }
}

fn tombstones(member: &Member) -> usize {
    let count = member.client().metric("gaggle_store_tombstones");
    format!("{count}").parse().unwrap_or(usize::MAX)
}

fn wait_collected(members: &[Member]) {
    for member in members {
        until(
            "what was deleted is collected",
            seconds(60),
            || tombstones(member),
            |count| *count == 0,
        );
    }
}

fn nothing_is_back(members: &[Member]) {
    for member in members {
        for n in 0..KEYS {
            assert_eq!(get(member.client(), &format!("deleted-{n}")), None);
        }
    }
}

/// A member's field in another one's list, forgotten ones included; `null` if it is not there.
fn listed(witness: &Member, name: &str, field: &str) -> Vec<String> {
    let told = witness.client().get("/v1/members?all=true").json();
    let members = told["members"].as_array().cloned().unwrap_or_default();
    let of_name = members.iter().filter(|member| member["name"] == name);
    let text = |member: &serde_json::Value| member[field].as_str().unwrap_or("").to_owned();
    of_name.map(text).collect()
}

fn waits_for(witness: &Member, name: &str, state: &str) {
    let what = format!("{name} is {state} for another member");
    let states = || listed(witness, name, "state");
    until(&what, seconds(30), states, |states| {
        states.iter().any(|at| at == state)
    });
}

fn set_aside(data: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data).expect("a data directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("set-aside-")
    };
    paths.filter(is_aside).collect()
}

#[test]
fn deletions_are_collected_when_the_member_that_was_away_has_them() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut members = three(&cluster, &hosts);
    fill(&members);
    members[2].stop();
    waits_for(&members[0], "c", "left");
    delete(&members[0]);
    agree(&members[..2]);
    throughout(seconds(5), || {
        for member in &members[..2] {
            assert_eq!(tombstones(member), KEYS, "c does not know of them yet");
        }
    });
    members[2] = start(&cluster, &hosts[2], "c");
    for member in &members {
        member.wait_alive(3);
    }
    wait_collected(&members);
    agree(&members);
    nothing_is_back(&members);
    assert_eq!(get(members[2].client(), "kept").as_deref(), Some("before"));
    assert!(members[0].client().metric("gaggle_collected_total") >= 20.0);
    // And a key that was collected can be written again.
    put(&members[1], "deleted-0", "after");
    agree(&members);
    assert_eq!(
        get(members[2].client(), "deleted-0").as_deref(),
        Some("after")
    );
}

#[test]
fn a_member_that_was_forgotten_sets_its_copy_aside_and_takes_the_clusters_state() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut members = three(&cluster, &hosts);
    fill(&members);
    let old = listed(&members[0], "c", "id");
    lan.cut(&[&hosts[0], &hosts[1]], &[&hosts[2]]);
    waits_for(&members[0], "c", "dead");
    put(&members[2], "own", "written while cut off");
    put(&members[2], "deleted-1", "written while cut off");
    members[2].crash();
    delete(&members[0]);
    agree(&members[..2]);
    let told = cluster.ask(&hosts[0], members[0].client(), &["members", "forget", "c"]);
    assert_eq!(told, "", "data goes to stdout, and there is none");
    waits_for(&members[1], "c", "forgotten");
    let again = cluster.ask(&hosts[1], members[1].client(), &["members", "forget", "c"]);
    assert_eq!(again, "", "once more changes nothing");
    wait_collected(&members[..2]);
    lan.heal();
    members[2] = start(&cluster, &hosts[2], "c");
    until(
        "it is alive under a new id",
        seconds(60),
        || {
            let rows = listed(&members[0], "c", "state").into_iter();
            rows.zip(listed(&members[0], "c", "id")).collect::<Vec<_>>()
        },
        |rows| {
            rows.iter()
                .any(|(state, id)| state == "alive" && !old.contains(id))
        },
    );
    for member in &members {
        member.wait_alive(3);
    }
    agree(&members);
    nothing_is_back(&members);
    for member in &members {
        assert_eq!(
            get(member.client(), "own"),
            None,
            "only in what was set aside"
        );
        assert_eq!(get(member.client(), "kept").as_deref(), Some("before"));
    }
    let aside = set_aside(&cluster.data("c"));
    let [aside] = &aside[..] else {
        panic!("one copy was set aside: {aside:?}")
    };
    let copy = std::fs::read_to_string(aside.join("store.json")).expect("the readable copy");
    let copy: serde_json::Value = serde_json::from_str(&copy).expect("JSON");
    for key in ["own", "deleted-1"] {
        assert_eq!(copy["web"][key], "written while cut off", "{copy}");
    }
    let list = cluster.ask(&hosts[0], members[0].client(), &["members", "--all"]);
    assert!(list.contains("forgotten by admin"), "{list}");
    let list = cluster.ask(&hosts[0], members[0].client(), &["members"]);
    assert!(!list.contains("forgotten"), "{list}");
}

#[test]
fn an_older_copy_of_a_data_directory_loses_nothing_and_brings_nothing_back() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut members = three(&cluster, &hosts);
    fill(&members);
    members[2].stop();
    let (data, backup) = (cluster.data("c"), cluster.data("backup"));
    let [data, backup] = [&data, &backup].map(|path| path.to_string_lossy().into_owned());
    run(&["cp", "-a", &data, &backup]);
    members[2] = start(&cluster, &hosts[2], "c");
    for member in &members {
        member.wait_alive(3);
    }
    put(&members[2], "of-c", "after the copy");
    put(&members[0], "of-a", "after the copy");
    delete(&members[1]);
    agree(&members);
    wait_collected(&members);
    members[2].stop();
    run(&["rm", "-rf", &data]);
    run(&["cp", "-a", &backup, &data]);
    members[2] = start(&cluster, &hosts[2], "c");
    // It writes at once, before it has learned what it missed.
    put(&members[2], "kept", "by the copy");
    for member in &members {
        member.wait_alive(3);
    }
    agree(&members);
    nothing_is_back(&members);
    for member in &members {
        for key in ["of-a", "of-c"] {
            assert_eq!(get(member.client(), key).as_deref(), Some("after the copy"));
        }
        assert_eq!(get(member.client(), "kept").as_deref(), Some("by the copy"));
    }
    put(&members[2], "of-c", "again");
    agree(&members);
    assert_eq!(get(members[0].client(), "of-c").as_deref(), Some("again"));
}
