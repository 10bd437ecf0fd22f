//! `/v1/conflicts`: what two members wrote without knowing of each other is found, listed, counted
//! and settled.

use serde_json::{Value, json};

use crate::member::{Member, member};
use crate::peers::{conflict, stamp, write};

async fn conflicts(member: &Member, query: &str) -> Value {
    let path = format!("/v1/conflicts{query}");
    member.get(&path).await.is(200).json()
}

/// What the metrics say of conflicts: the keys now, and the versions found so far.
async fn counted(member: &Member) -> (String, String) {
    let text = member.get("/metrics").await.is(200).text().to_owned();
    let line = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
        lines
            .next()
            .map(|rest| rest.trim().to_owned())
            .unwrap_or_default()
    };
    (
        line("gaggle_conflicts "),
        line("gaggle_conflicts_found_total "),
    )
}

async fn restore(member: &Member, stamp: &Value) {
    let body = json!({ "stamp": stamp }).to_string();
    let path = "/v1/history/web/colour/restore";
    member.ask("POST", path, &[], body).await.is(204);
}

#[tokio::test]
async fn a_conflict_is_listed_and_counted_until_a_version_is_chosen() {
    let member = member();
    assert_eq!(
        conflicts(&member, "").await,
        json!({ "count": 0, "conflicts": [] })
    );
    member.hears(conflict()).await;
    let got = conflicts(&member, "").await;
    assert_eq!(got["count"], 1);
    let found = &got["conflicts"][0];
    assert_eq!(
        [&found["node"], &found["key"], &found["live"]],
        [&json!("web"), &json!("colour"), &json!(true)]
    );
    assert_eq!(
        found["current"],
        json!({
            "stamp": stamp(3, 3).to_string(), "author": "user 3", "member": "0000000000000003",
            "written": "2023-11-14T22:13:23Z", "content_type": "text/plain; charset=utf-8",
            "value": "blue", "replaces": [stamp(1, 1).to_string()], "current": true,
        })
    );
    assert_eq!(
        found["losers"],
        json!([{
            "stamp": stamp(2, 2).to_string(), "author": "user 2", "member": "0000000000000002",
            "written": "2023-11-14T22:13:22Z", "content_type": "text/plain; charset=utf-8",
            "value": "green", "replaces": [stamp(1, 1).to_string()], "conflict": true,
        }])
    );
    assert_eq!(counted(&member).await, ("1.0".into(), "1".into()));
    assert_eq!(member.get("/v1/status").await.json()["conflicts"], 1);

    restore(&member, &found["losers"][0]["stamp"]).await;
    assert_eq!(member.get("/v1/store/web/colour").await.text(), "green");
    assert_eq!(conflicts(&member, "").await["count"], 0);
    assert_eq!(counted(&member).await, ("0.0".into(), "1".into()));
    let history = member.get("/v1/history/web/colour").await.json();
    let replaced = json!([stamp(3, 3).to_string(), stamp(2, 2).to_string()]);
    assert_eq!(history["versions"][0]["replaces"], replaced);
}

#[tokio::test]
async fn the_version_that_won_can_be_chosen_too_and_peers_agree() {
    let (one, other) = (member(), member());
    one.hears(conflict()).await;
    restore(&one, &json!(stamp(3, 3).to_string())).await;
    assert_eq!(one.get("/v1/store/web/colour").await.text(), "blue");
    assert_eq!(conflicts(&one, "").await["count"], 0);
    // The other member hears of the choice first, and of what was in conflict later.
    let applied = one.app.changes_after(0, 100).unwrap();
    let changes = applied.iter().rev().map(|applied| applied.change.clone());
    other.hears(changes).await;
    assert_eq!(conflicts(&other, "").await["count"], 0);
    let path = "/v1/history/web/colour";
    assert_eq!(one.get(path).await.text(), other.get(path).await.text());
}

#[tokio::test]
async fn an_ordinary_write_or_delete_settles_nothing() {
    let member = member();
    member.hears(conflict()).await;
    member.put("/v1/store/web/colour", "white").await.is(204);
    let got = conflicts(&member, "").await;
    assert_eq!(got["conflicts"][0]["current"]["value"], "white");
    assert_eq!(got["conflicts"][0]["losers"][0]["value"], "green");
    member.delete("/v1/store/web/colour").await.is(204);
    let got = conflicts(&member, "").await;
    assert_eq!(got["conflicts"][0]["live"], false);
    assert_eq!(got["conflicts"][0]["current"]["deleted"], true);
    assert_eq!(got["conflicts"][0]["losers"][0]["value"], "green");
}

#[tokio::test]
async fn a_value_that_lost_against_a_deletion_is_a_conflict() {
    let member = member();
    let red = stamp(1, 1);
    member
        .hears([
            write(1, 1, &[], Some(b"red")),
            write(2, 2, &[red], Some(b"green")),
            write(3, 3, &[red], None),
        ])
        .await;
    member.get("/v1/store/web/colour").await.is(404);
    let got = conflicts(&member, "").await;
    assert_eq!(got["conflicts"][0]["current"]["deleted"], true);
    assert_eq!(got["conflicts"][0]["losers"][0]["value"], "green");
}

#[tokio::test]
async fn what_was_only_late_is_no_conflict() {
    let member = member();
    let (first, second) = (stamp(1, 1), stamp(2, 2));
    member.hears([write(3, 3, &[second], Some(b"3"))]).await;
    member.hears([write(1, 1, &[], Some(b"1"))]).await;
    assert_eq!(
        conflicts(&member, "").await["count"],
        1,
        "2 is not known yet"
    );
    member.hears([write(2, 2, &[first], Some(b"2"))]).await;
    assert_eq!(conflicts(&member, "").await["count"], 0);
}

#[tokio::test]
async fn conflicts_are_listed_by_node_and_in_pages() {
    use gaggle::model::Change;
    let member = member();
    for place in ["a/x", "a/y/z", "b/x", "c/x"] {
        let (node, key) = place.split_once('/').unwrap();
        let moved = conflict().map(|change| match change {
            Change::Key { version, .. } => Change::Key {
                node: node.parse().unwrap(),
                key: key.parse().unwrap(),
                version,
            },
            other @ (Change::Node { .. } | Change::Member { .. }) => other,
        });
        member.hears(moved).await;
    }
    let places = |got: &Value| -> Vec<String> {
        let found = got["conflicts"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        found
            .map(|one| format!("{}/{}", text(&one["node"]), text(&one["key"])))
            .collect()
    };
    let all = conflicts(&member, "").await;
    assert_eq!(places(&all), ["a/x", "a/y/z", "b/x", "c/x"]);
    assert_eq!(all.get("next"), None);
    let first = conflicts(&member, "?limit=2").await;
    assert_eq!((places(&first).len(), &first["count"]), (2, &json!(4)));
    assert_eq!(first["next"], "a/y/z");
    let second = conflicts(&member, "?limit=2&after=a/y/z").await;
    assert_eq!(places(&second), ["b/x", "c/x"]);
    assert_eq!(second.get("next"), None);
    let of_node = conflicts(&member, "?node=a&after=a%2Fx").await;
    assert_eq!(
        (places(&of_node), &of_node["count"]),
        (vec!["a/y/z".into()], &json!(2))
    );
    member
        .get("/v1/conflicts?node=no")
        .await
        .is_problem(404, "node-not-found");
    for bad in [
        "x=1",
        "limit=0",
        "limit=1001",
        "after=a",
        "after=/x",
        "node=",
    ] {
        let path = format!("/v1/conflicts?{bad}");
        member.get(&path).await.is_problem(400, "invalid-query");
    }
}
