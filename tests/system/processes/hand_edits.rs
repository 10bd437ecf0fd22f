//! `store.json` edited by hand, broken, or emptied while the member was down.

use std::fs;
use std::path::Path;

use crate::harness::{Cluster, Host, Lan, Member, seconds, until};

/// A member that held three keys and was stopped.
fn stopped(cluster: &Cluster, host: &Host) -> Member {
    let mut member = cluster.member(host, "a").start();
    for (key, value) in [("colour", "blue"), ("size", "10"), ("gone", "soon")] {
        assert_eq!(
            member
                .client()
                .put(&format!("/v1/store/web/{key}"), value)
                .status,
            201
        );
    }
    member.stop();
    member
}

fn names_in(data: &Path) -> Vec<String> {
    let entries = fs::read_dir(data).expect("the data directory").flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn edits_by_hand_become_new_writes_by_store_json() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let member = stopped(&cluster, &host);
    let edited =
        r#"{ "web": { "colour": "red", "size": 10, "on": true, "list": [1, 2] }, "new": {} }"#;
    fs::write(member.data().join("store.json"), edited).expect("an edit by hand");
    let again = cluster.member(&host, "a").start();
    let client = again.client();
    let told = client.get("/v1/store").json();
    assert_eq!(told["web"]["colour"], "red");
    assert_eq!(told["web"]["size"], "10", "a number becomes its text");
    assert_eq!(told["web"]["on"], "true");
    assert_eq!(told["web"]["list"], "[1, 2]");
    assert_eq!(
        told["web"].get("gone"),
        None,
        "a key that was taken out is deleted"
    );
    assert_eq!(told["new"], serde_json::json!({}));
    let detail = client.ask(
        &["--header", "Accept: application/json"],
        "/v1/store/web/colour",
    );
    assert_eq!(detail.json()["author"], "store.json", "{detail:?}");
    let list = client.ask(&["--head"], "/v1/store/web/list");
    assert!(
        list.body
            .to_lowercase()
            .contains("content-type: application/json"),
        "{list:?}"
    );
}

#[test]
fn a_file_in_an_empty_directory_is_an_import() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let data = cluster.data("a");
    fs::create_dir(&data).expect("a directory");
    // As the seed writes it: four spaces.
    let seed = "{\n    \"web\": {\n        \"colour\": \"blue\",\n        \"n\": 0\n    }\n}";
    fs::write(data.join("store.json"), seed).expect("a file");
    let member = cluster.member(&host, "a").start();
    assert_eq!(
        member.client().store_json(),
        serde_json::json!({"web":{"colour":"blue","n":"0"}})
    );
}

#[test]
fn a_broken_file_is_set_aside_and_nothing_is_lost() {
    let broken: [&[u8]; 5] = [
        b"{ \"web\": { \"colour\": ",
        b"",
        b"[]",
        b"\xff\xfe\0\0",
        b"{\"web\":{\"a/../b\\u0000\":1e999}}",
    ];
    for text in broken {
        let (lan, cluster) = (Lan::new(), Cluster::new());
        let host = lan.host();
        let member = stopped(&cluster, &host);
        let before = fs::read(member.data().join("store.json")).expect("the readable copy");
        fs::write(member.data().join("store.json"), text).expect("a broken file");
        let mut again = cluster.member(&host, "a").start();
        let told = again.client().store_json();
        assert_eq!(told["web"]["colour"], "blue", "{text:?}");
        assert_eq!(told["web"]["gone"], "soon", "{text:?}");
        assert!(
            again.said().contains("store.json"),
            "no word of it:\n{}",
            again.said()
        );
        again.stop();
        let kept = names_in(again.data())
            .iter()
            .filter(|name| name.starts_with("store.json") && *name != "store.json")
            .any(|name| fs::read(again.data().join(name)).is_ok_and(|bytes| bytes == text));
        assert!(kept, "{text:?} was not kept: {:?}", names_in(again.data()));
        let after = fs::read(again.data().join("store.json")).expect("written again");
        assert_eq!(after, before, "the readable copy is as it was");
    }
}

#[test]
fn an_edit_of_a_strong_node_is_set_aside_and_the_others_are_taken() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let alone = ["--cluster-size", "1"];
    let mut member = cluster.member(&host, "a").with(&alone).start();
    let strong = r#"{"class":"strong"}"#;
    let made = ["--request", "PUT", "--data", strong];
    let made = member.client().ask(&made, "/v1/nodes/lead");
    assert_eq!(made.status, 201, "{made:?}");
    for (path, value) in [("/v1/store/lead/who", "ann"), ("/v1/store/web/size", "10")] {
        assert_eq!(member.client().put(path, value).status, 201);
    }
    member.stop();
    let path = member.data().join("store.json");
    let copy = fs::read_to_string(&path).expect("the readable copy");
    let edited = copy.replace("ann", "bob").replace("10", "20");
    fs::write(&path, &edited).expect("an edit by hand");
    let mut again = cluster.member(&host, "a").with(&alone).start();
    let told = || again.client().store_json();
    let wanted = serde_json::json!({"lead": {"who": "ann"}, "web": {"size": "20"}});
    until("both nodes", seconds(20), told, |told| *told == wanted);
    assert!(again.said().contains("strong nodes"), "{}", again.said());
    again.stop();
    let kept = names_in(again.data())
        .iter()
        .filter(|name| name.starts_with("store.json.edited-"))
        .any(|name| fs::read_to_string(again.data().join(name)).is_ok_and(|text| text == edited));
    assert!(kept, "{:?}", names_in(again.data()));
    let after = fs::read_to_string(&path).expect("written again");
    assert_eq!(after, copy.replace("10", "20"));
}
