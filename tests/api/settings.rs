//! `/v1/nodes`: which nodes there are, and what can be set on them.

use serde_json::json;

use crate::member::{USER, member};

#[tokio::test]
async fn settings_are_set_patched_and_shown() {
    let member = member();
    let path = "/v1/nodes/web";
    member.get(path).await.is_problem(404, "node-not-found");
    member
        .ask("PATCH", path, &[], "{}")
        .await
        .is_problem(404, "node-not-found");
    let put = member
        .put(path, r#"{"description":"web servers","history":3}"#)
        .await;
    assert_eq!(put.is(201).header("location"), path);
    let got = member.get(path).await.json();
    assert_eq!(got["created"], got["written"]);
    assert_eq!(
        got,
        json!({
            "name": "web", "keys": 0, "class": "eventual", "description": "web servers",
            "history": 3, "author": USER, "stamp": got["stamp"],
            "created": got["created"], "written": got["written"],
        })
    );
    assert_eq!(
        member.get("/v1/nodes").await.json(),
        json!({ "nodes": [got] })
    );

    member
        .ask("PATCH", path, &[], r#"{"history":5,"class":"eventual"}"#)
        .await
        .is(204);
    let got = member.get(path).await.json();
    assert_eq!(
        [&got["description"], &got["history"]],
        [&json!("web servers"), &json!(5)]
    );
    member
        .ask("PATCH", path, &[], r#"{"description":null,"history":null}"#)
        .await
        .is(204);
    let got = member.get(path).await.json();
    assert_eq!(
        [&got["description"], &got["history"]],
        [&json!(""), &json!(16)]
    );
    member.put(path, r#"{"history":256}"#).await.is(204);
    member.put(path, "").await.is(204);
    assert_eq!(member.get(path).await.json()["history"], 16, "PUT sets all");
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let member = member();
    member.put("/v1/nodes/web", "{}").await.is(201);
    let long = json!({ "description": "x".repeat(1025) }).to_string();
    for bad in [
        r#"{"history":0}"#,
        r#"{"history":257}"#,
        r#"{"history":-1}"#,
        r#"{"history":"3"}"#,
        r#"{"history":1.5}"#,
        r#"{"class":"weak"}"#,
        r#"{"class":5}"#,
        r#"{"colour":"blue"}"#,
        r#"{"history":1,"history":2}"#,
        "[]",
        "5",
        "{",
        &long,
    ] {
        for method in ["PUT", "PATCH"] {
            let refused = member
                .ask(method, "/v1/nodes/web", &[], bad.to_owned())
                .await;
            refused.is_problem(400, "invalid-body");
        }
    }
    assert_eq!(member.get("/v1/nodes/web").await.json()["history"], 16);
}

#[tokio::test]
async fn a_node_counts_the_keys_that_readers_see() {
    let member = member();
    member
        .put("/v1/store/web", r#"{"a":"1","b":"2"}"#)
        .await
        .is(201);
    member.delete("/v1/store/web/a").await.is(204);
    member.put("/v1/store/db/x", "1").await.is(201);
    let nodes = member.get("/v1/nodes").await.json();
    let seen: Vec<_> = nodes["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (&node["name"], &node["keys"]))
        .collect();
    assert_eq!(
        seen,
        [(&json!("db"), &json!(1)), (&json!("web"), &json!(1))]
    );
    member.delete("/v1/store/db").await.is(204);
    member
        .get("/v1/nodes/db")
        .await
        .is_problem(404, "node-not-found");
}
