//! `store.json` in hands that are not ours: edited while the member runs, or spelt in ways that an
//! editor, another system or an accident spells it. It is read or kept aside, whole, and never
//! costs what the database has.

use std::fs;
use std::path::Path;

use crate::harness::{Cluster, Host, Lan, Member, seconds, until};

/// A member that holds two keys and was stopped.
fn stopped(cluster: &Cluster, host: &Host) -> Member {
    let mut member = cluster.member(host, "a").start();
    for (key, value) in [("colour", "blue"), ("size", "10")] {
        let reply = member.client().put(&format!("/v1/store/web/{key}"), value);
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    member.stop();
    member
}

/// Whether a file beside `store.json` has these bytes.
fn kept_aside(data: &Path, bytes: &[u8]) -> bool {
    let names = fs::read_dir(data).expect("the data directory").flatten();
    names
        .filter(|entry| entry.file_name() != "store.json")
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("store.json")
        })
        .any(|entry| fs::read(entry.path()).is_ok_and(|found| found == bytes))
}

#[test]
fn an_edit_while_the_member_runs_is_kept_aside_and_told() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let member = cluster.member(&host, "a").start();
    let (client, file) = (member.client(), member.data().join("store.json"));
    assert_eq!(client.put("/v1/store/web/colour", "blue").status, 201);
    let copy = || fs::read_to_string(&file).unwrap_or_default();
    until("the readable copy is there", seconds(20), copy, |text| {
        text.contains("blue")
    });
    let edited = "{\"web\": {\"colour\": \"of an editor\"}}";
    fs::write(&file, edited).expect("an edit by hand");
    assert_eq!(client.put("/v1/store/web/size", "10").status, 201);
    until("the copy is written again", seconds(20), copy, |text| {
        text.contains("size")
    });
    assert!(
        copy().contains("blue"),
        "the running member goes by its own: {}",
        copy()
    );
    assert!(
        kept_aside(member.data(), edited.as_bytes()),
        "the edit is gone"
    );
    let said = || member.said();
    until("it says so", seconds(10), said, |text| {
        text.contains("store.json")
    });
    assert_eq!(client.get("/v1/store/web/colour").body, "blue");
}

#[test]
fn another_spelling_of_the_same_changes_nothing() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let member = stopped(&cluster, &host);
    let file = member.data().join("store.json");
    let own = fs::read_to_string(&file).expect("the readable copy");
    let escaped = own.replace("blue", "\\u0062l\\u0075e");
    for text in [
        own.replace('\n', "\r\n"),
        own.replace([' ', '\n'], ""),
        escaped,
    ] {
        fs::write(&file, &text).expect("another spelling");
        let mut again = cluster.member(&host, "a").start();
        let told = again.client().store_json();
        let same = serde_json::json!({"web": {"colour": "blue", "size": "10"}});
        assert_eq!(told, same, "{text:?}");
        let detail = ["--header", "Accept: application/json"];
        let author = again.client().ask(&detail, "/v1/store/web/colour").json();
        assert_eq!(
            author["author"], "admin",
            "{text:?}: no write was made of it"
        );
        again.stop();
    }
}

/// Texts that are not a whole store of ours.
fn broken(own: &str) -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = [
        "{\"web\": {\"colour\": NaN}}",
        "{\"web\": {\"colour\": \"red\"},}",
        "{\"web\": {\"colour\": \"red\"}} and more",
        "{\"web\": [1]}",
        "{'web': {}}",
        "null",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    texts.push("[".repeat(1_000_000).into_bytes());
    texts.push(format!("{{\"web\": {{\"x\": {}1", "[".repeat(100_000)).into_bytes());
    texts.push(vec![0; own.len()]);
    // Cut off at any byte.
    texts.extend(
        (1..own.len() - 1)
            .step_by(9)
            .map(|at| own.as_bytes()[..at].to_vec()),
    );
    texts
}

#[test]
fn a_file_that_is_not_whole_is_kept_aside_and_costs_nothing() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let member = stopped(&cluster, &host);
    let file = member.data().join("store.json");
    let own = fs::read_to_string(&file).expect("the readable copy");
    for text in broken(&own) {
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
        fs::write(&file, &text).expect("a broken file");
        let mut again = cluster.member(&host, "a").start();
        let told = again.client().store_json();
        let same = serde_json::json!({"web": {"colour": "blue", "size": "10"}});
        assert_eq!(told, same, "{shown:?}");
        again.stop();
        assert!(kept_aside(again.data(), &text), "{shown:?} is gone");
        let after = fs::read_to_string(&file).expect("written again");
        assert_eq!(after, own, "{shown:?}");
    }
}

#[test]
fn a_broken_file_and_no_database_is_no_start_and_the_file_stays() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let data = cluster.data("a");
    fs::create_dir(&data).expect("a directory");
    let file = data.join("store.json");
    for text in [
        "{\n  \"web\": {\n    \"colour\": blue\n  }\n}",
        "{\"web\": {\"a\": \"1\"",
    ] {
        fs::write(&file, text).expect("a broken file");
        let ended = cluster.member(&host, "a").refused();
        assert!(
            ended.status.code().is_some_and(|code| code != 0),
            "{ended:?}"
        );
        assert!(ended.said.contains("store.json"), "{}", ended.said);
        assert!(
            ended.said.contains("line "),
            "it says where:\n{}",
            ended.said
        );
        assert_eq!(
            fs::read_to_string(&file).ok().as_deref(),
            Some(text),
            "untouched"
        );
    }
    fs::write(&file, "{\"web\": {\"colour\": \"blue\"}}").expect("mended");
    let member = cluster.member(&host, "a").start();
    assert_eq!(member.client().get("/v1/store/web/colour").body, "blue");
}
