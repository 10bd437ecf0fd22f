//! `/v1/history`: what is told of a key's versions, and restoring one of them.

use serde_json::{Value, json};

use crate::member::{ID, Member, USER, member};
use crate::peers::{conflict, stamp, write};

const PATH: &str = "/v1/history/web/colour";
const KEY: &str = "/v1/store/web/colour";

async fn history(member: &Member) -> Value {
    member.get(PATH).await.is(200).json()
}

/// The stamp of a version, counted from the newest.
fn stamp_at(history: &Value, place: usize) -> String {
    let stamp = &history["versions"][place]["stamp"];
    stamp.as_str().unwrap_or_default().to_owned()
}

async fn restore(member: &Member, stamp: &str) -> crate::member::Answer {
    let body = json!({ "stamp": stamp }).to_string();
    member
        .ask("POST", &format!("{PATH}/restore"), &[], body)
        .await
}

#[tokio::test]
async fn every_write_is_listed_newest_first_with_who_where_and_what_it_replaced() {
    let member = member();
    member.put(KEY, "red").await.is(201);
    member.put(KEY, vec![0xff, 0]).await.is(204);
    member.delete(KEY).await.is(204);
    let got = history(&member).await;
    assert_eq!(
        (&got["node"], &got["key"]),
        (&json!("web"), &json!("colour"))
    );
    assert_eq!((&got["live"], &got["count"]), (&json!(false), &json!(3)));
    assert_eq!(got.get("next"), None);
    let versions = got["versions"].as_array().unwrap();
    let [gone, binary, red] = versions.as_slice() else {
        panic!("{got}");
    };
    assert_eq!(
        *gone,
        json!({
            "stamp": gone["stamp"], "author": USER, "member": ID.to_string(),
            "written": gone["written"], "replaces": [binary["stamp"]],
            "deleted": true, "current": true,
        })
    );
    assert_eq!(
        *binary,
        json!({
            "stamp": binary["stamp"], "author": USER, "member": ID.to_string(),
            "written": binary["written"], "content_type": "application/octet-stream",
            "value": { "$base64": "/wA=" }, "replaces": [red["stamp"]],
        })
    );
    assert_eq!(
        (&red["value"], &red["replaces"]),
        (&json!("red"), &json!([]))
    );
}

#[tokio::test]
async fn a_key_of_which_nothing_is_known_has_no_history() {
    let member = member();
    member.get(PATH).await.is_problem(404, "node-not-found");
    member.put("/v1/store/web/other", "1").await.is(201);
    member.get(PATH).await.is_problem(404, "key-not-found");
    member
        .get("/v1/history/web/")
        .await
        .is_problem(400, "invalid-name");
    member
        .get("/v1/history/web")
        .await
        .is_problem(404, "not-found");
    member.put(KEY, "red").await.is(201);
    member.delete("/v1/store/web").await.is(204);
    let got = history(&member).await;
    assert_eq!(got["live"], false, "the node was deleted: {got}");
    assert_eq!(got["versions"][0]["value"], "red");
    let deletion = got["hidden_by"]["stamp"].as_str().unwrap();
    assert!(deletion > stamp_at(&got, 0).as_str(), "{got}");
    member.put(KEY, "blue").await.is(201);
    assert_eq!(history(&member).await.get("hidden_by"), None);
    member.delete(KEY).await.is(204);
    member.delete("/v1/store/web").await;
    let got = history(&member).await;
    assert_eq!(
        got.get("hidden_by"),
        None,
        "it was deleted by itself: {got}"
    );
}

#[tokio::test]
async fn a_stamp_is_taken_as_short_as_it_is_shown_if_only_one_begins_so() {
    let member = member();
    member.put(KEY, "red").await.is(201);
    member.put(KEY, "green").await.is(204);
    let all = history(&member).await;
    let (newest, oldest) = (stamp_at(&all, 0), stamp_at(&all, 1));
    let short = |stamp: &str| stamp.split('-').next().unwrap().to_owned();
    let got = member
        .get(&format!("{PATH}?stamp={}", short(&oldest)))
        .await;
    assert_eq!(got.is(200).text(), "red");
    let got = member
        .get(&format!("{PATH}?stamp={}", short(&newest)))
        .await;
    assert_eq!(got.is(200).text(), "green");
    restore(&member, "0")
        .await
        .is_problem(409, "version-ambiguous");
    restore(&member, "ff")
        .await
        .is_problem(404, "version-not-found");
    for bad in ["", "-1x", "red", "0 "] {
        restore(&member, bad).await.is_problem(400, "invalid-body");
    }
    restore(&member, &short(&oldest)).await.is(204);
    assert_eq!(member.get(KEY).await.text(), "red");
}

#[tokio::test]
async fn one_version_comes_out_as_it_went_in() {
    let member = member();
    let page = [("content-type", "text/html")];
    member.ask("PUT", KEY, &page, "<p>").await.is(201);
    member.put(KEY, "red").await.is(204);
    member.delete(KEY).await.is(204);
    let all = history(&member).await;
    let path = |place| format!("{PATH}?stamp={}", stamp_at(&all, place));

    let old = member.get(&path(2)).await;
    assert_eq!(
        (old.is(200).text(), old.header("content-type")),
        ("<p>", "text/html")
    );
    assert_eq!(old.header("etag"), format!("\"{}\"", stamp_at(&all, 2)));
    let tag = old.header("etag").to_owned();
    let again = member
        .ask("GET", &path(2), &[("if-none-match", &*tag)], "")
        .await;
    again.is(304);

    let json = [("accept", "application/json")];
    let described = member.ask("GET", &path(1), &json, "").await.is(200).json();
    let mut expected = json!({ "node": "web", "key": "colour" });
    for (name, value) in all["versions"][1].as_object().unwrap() {
        expected[name] = value.clone();
    }
    assert_eq!(described, expected);

    member
        .get(&path(0))
        .await
        .is_problem(410, "version-deleted");
    let gone = member.ask("GET", &path(0), &json, "").await.is(200).json();
    assert_eq!(
        (&gone["deleted"], &gone["current"]),
        (&json!(true), &json!(true))
    );

    let unknown = format!("{PATH}?stamp={}", stamp(1, 1));
    member
        .get(&unknown)
        .await
        .is_problem(404, "version-not-found");
    for bad in [
        "stamp=x",
        "stamp=",
        "before=1",
        "limit=0",
        "limit=257",
        "limit=x",
        "x=1",
    ] {
        let got = member.get(&format!("{PATH}?{bad}")).await;
        got.is_problem(400, "invalid-query");
    }
    let both = format!("{}&limit=1", path(0));
    member.get(&both).await.is_problem(400, "invalid-query");
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let member = member();
    for value in 0..7 {
        member.put(KEY, value.to_string()).await;
    }
    let all = history(&member).await["versions"].clone();
    assert_eq!(all.as_array().unwrap().len(), 7);
    let (mut got, mut before) = (Vec::new(), String::new());
    for _ in 0..4 {
        let page = member
            .get(&format!("{PATH}?limit=2{before}"))
            .await
            .is(200)
            .json();
        assert_eq!(page["count"], 7);
        got.extend(page["versions"].as_array().unwrap().clone());
        let Some(next) = page.get("next") else { break };
        before = format!("&before={}", next.as_str().unwrap());
    }
    assert_eq!(json!(got), all);
    let values = vec!["x".repeat(600_000), "y".repeat(600_000)];
    for value in values {
        member.put(KEY, value).await.is(204);
    }
    let page = history(&member).await;
    let count = page["versions"].as_array().unwrap().len();
    assert_eq!(count, 1, "a page ends with its bytes, too");
    assert_eq!(page["next"], page["versions"][0]["stamp"]);
}

#[tokio::test]
async fn the_tag_changes_with_every_version_and_with_what_hides_the_key() {
    let member = member();
    let tag = async || member.get(PATH).await.is(200).header("etag").to_owned();
    member.put(KEY, "red").await.is(201);
    let first = tag().await;
    let header = [("if-none-match", &*first)];
    member.ask("GET", PATH, &header, "").await.is(304);
    member.put(KEY, "red").await.is(204);
    let second = tag().await;
    assert_ne!(first, second);
    member.delete("/v1/store/web").await.is(204);
    assert_ne!(tag().await, second, "it is not live any more");
}

#[tokio::test]
async fn two_members_list_the_same_whatever_came_first() {
    let (one, other) = (member(), member());
    let [red, green, blue] = conflict();
    let later = write(2, 4, &[stamp(3, 3)], Some(b"white"));
    let gone = write(1, 5, &[stamp(2, 4)], None);
    let all = [red, green, blue, later, gone];
    one.hears(all.clone()).await;
    other
        .hears([4, 1, 3, 0, 2].map(|place: usize| all[place].clone()))
        .await;
    let (got, again) = (one.get(PATH).await, other.get(PATH).await);
    assert_eq!(got.text(), again.text());
    assert_eq!(got.header("etag"), again.header("etag"));
    let lost: Vec<_> = got.json()["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version.get("conflict").is_some())
        .collect();
    assert_eq!(lost, [false, false, false, true, false], "green alone lost");
}

#[tokio::test]
async fn a_smaller_depth_prunes_and_a_greater_one_lets_it_grow_again() {
    let member = member();
    let depth = async |count: usize| {
        let body = json!({ "history": count }).to_string();
        member.put("/v1/nodes/web", body).await;
    };
    let values = async || -> Vec<String> {
        let got = history(&member).await;
        let versions = got["versions"].as_array().unwrap().iter();
        versions
            .map(|v| v["value"].as_str().unwrap().to_owned())
            .collect()
    };
    depth(3).await;
    for value in 1..=5 {
        member.put(KEY, value.to_string()).await;
    }
    assert_eq!(values().await, ["5", "4", "3"]);
    depth(1).await;
    assert_eq!(values().await, ["5"]);
    depth(4).await;
    for value in 6..=9 {
        member.put(KEY, value.to_string()).await;
    }
    assert_eq!(values().await, ["9", "8", "7", "6"]);
}

#[tokio::test]
async fn a_restored_version_is_a_new_write() {
    let member = member();
    let page = [("content-type", "text/html")];
    member.ask("PUT", KEY, &page, "<p>").await.is(201);
    member.put(KEY, "blue").await.is(204);
    let before = history(&member).await;
    let restored = restore(&member, &stamp_at(&before, 1)).await;
    assert!(restored.is(204).header("etag").len() > 10);
    let value = member.get(KEY).await;
    assert_eq!(
        (value.text(), value.header("content-type")),
        ("<p>", "text/html")
    );
    assert_eq!(value.header("etag"), restored.header("etag"));
    let after = history(&member).await;
    assert_eq!(after["count"], 3);
    assert_eq!(
        after["versions"][0]["replaces"],
        json!([stamp_at(&before, 0)])
    );
    assert_eq!(after["versions"][1]["value"], "blue");
}

#[tokio::test]
async fn a_deleted_key_comes_back_and_a_deletion_can_be_restored() {
    let member = member();
    member.put(KEY, "red").await.is(201);
    member.delete(KEY).await.is(204);
    let before = history(&member).await;
    let (gone, red) = (stamp_at(&before, 0), stamp_at(&before, 1));
    let back = restore(&member, &red).await;
    assert_eq!(back.is(201).header("location"), KEY);
    assert_eq!(member.get(KEY).await.text(), "red");
    restore(&member, &gone).await.is(204);
    member.get(KEY).await.is_problem(404, "key-not-found");
    restore(&member, &gone).await.is(204);
    assert_eq!(history(&member).await["count"], 5);
}

#[tokio::test]
async fn a_value_restored_in_a_deleted_node_makes_the_node_again() {
    let member = member();
    member.put(KEY, "red").await.is(201);
    member.put("/v1/store/web/other", "1").await.is(201);
    member.delete(KEY).await.is(204);
    member.delete("/v1/store/web").await.is(204);
    let before = history(&member).await;
    restore(&member, &stamp_at(&before, 0)).await.is(204);
    member
        .get("/v1/store/web")
        .await
        .is_problem(404, "node-not-found");
    restore(&member, &stamp_at(&before, 1)).await.is(201);
    assert_eq!(
        member.get("/v1/store/web").await.text(),
        r#"{"colour":"red"}"#
    );
}

#[tokio::test]
async fn a_restore_is_done_only_if_its_condition_holds() {
    let member = member();
    member.put(KEY, "red").await.is(201);
    member.put(KEY, "blue").await.is(204);
    let before = history(&member).await;
    let (now, old) = (stamp_at(&before, 0), stamp_at(&before, 1));
    let body = json!({ "stamp": old }).to_string();
    let path = format!("{PATH}/restore");
    let ask = async |name: &str, tag: String| {
        member
            .ask("POST", &path, &[(name, &*tag)], body.clone())
            .await
    };
    ask("if-match", format!("\"{old}\""))
        .await
        .is_problem(412, "precondition-failed");
    ask("if-none-match", "*".into())
        .await
        .is_problem(412, "precondition-failed");
    ask("if-match", format!("\"{now}\"")).await.is(204);
    let unknown = restore(&member, &stamp(1, 1).to_string()).await;
    unknown.is_problem(404, "version-not-found");
    for bad in ["", "{}", "[]", r#"{"stamp":1}"#, r#"{"stamp":"x"}"#] {
        let got = member.ask("POST", &path, &[], bad.to_owned()).await;
        got.is_problem(400, "invalid-body");
    }
    let extra = json!({ "stamp": old, "force": true }).to_string();
    member
        .ask("POST", &path, &[], extra)
        .await
        .is_problem(400, "invalid-body");
    let query = format!("{path}?x=1");
    member
        .ask("POST", &query, &[], body)
        .await
        .is_problem(400, "invalid-query");
}

#[tokio::test]
async fn keys_that_end_in_restore_are_told_from_the_word() {
    let member = member();
    member.put("/v1/store/web/x", "1").await.is(201);
    member.put("/v1/store/web/x/restore", "2").await.is(201);
    let longer = member.get("/v1/history/web/x/restore").await.is(200).json();
    assert_eq!(longer["versions"][0]["value"], "2");
    let body = json!({ "stamp": stamp_at(&longer, 0) }).to_string();
    let wrong = member
        .ask("POST", "/v1/history/web/x/restore", &[], body.clone())
        .await;
    wrong.is_problem(404, "version-not-found");
    let path = "/v1/history/web/x/restore/restore";
    member.ask("POST", path, &[], body.clone()).await.is(204);
    for path in [
        "/v1/history/web/x",
        "/v1/history/web/x%2Frestore",
        "/v1/history/web/restore",
    ] {
        let got = member.ask("POST", path, &[], body.clone()).await;
        got.is_problem(405, "method-not-allowed");
    }
}

#[tokio::test]
async fn versions_restored_in_one_batch_see_each_other() {
    let member = member();
    member.put(KEY, "0").await.is(201);
    member.put(KEY, "1").await.is(204);
    let before = history(&member).await;
    let restores = (0..12).map(|turn| {
        let stamp = stamp_at(&before, turn % 2);
        let member = &member;
        async move { restore(member, &stamp).await.status.as_u16() }
    });
    let done = futures_util::future::join_all(restores).await;
    assert_eq!(done, [204; 12]);
    let after = history(&member).await;
    assert_eq!(after["count"], 14);
    let versions = after["versions"].as_array().unwrap();
    for pair in versions.windows(2) {
        assert_eq!(pair[0]["replaces"], json!([pair[1]["stamp"]]));
    }
}
