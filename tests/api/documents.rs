//! Nodes and the whole store as JSON, in the seed's format, and merge patches.

use serde_json::json;

use crate::member::member;

#[tokio::test]
async fn a_node_is_replaced_by_put_and_gone_by_delete() {
    let member = member();
    let path = "/v1/store/web";
    member.get(path).await.is_problem(404, "node-not-found");
    let put = member.put(path, r#"{"a":"1","b":"2"}"#).await;
    assert_eq!(put.is(201).header("location"), path);
    member.put(path, r#"{"b":"3","c":""}"#).await.is(204);
    assert_eq!(member.get(path).await.text(), r#"{"b":"3","c":""}"#);
    member.put(path, "").await.is(204);
    assert_eq!(member.get(path).await.text(), "{}");
    member.delete(path).await.is(204);
    member.delete(path).await.is_problem(404, "node-not-found");
    member
        .get("/v1/store/web/b")
        .await
        .is_problem(404, "node-not-found");
    member.put(path, " \n").await.is(201);
    assert_eq!(member.get("/v1/store").await.text(), r#"{"web":{}}"#);
}

#[tokio::test]
async fn values_that_are_no_strings_are_kept_as_their_json() {
    let member = member();
    let body = r#"{"zero":0,"minus":-0,"huge":1e400,"big":9007199254740993,"no":false,
        "tea":{"statusCode":418},"spaced":{ "a" : [1, 2] },"list":[],"text":"5"}"#;
    let json = [("content-type", "application/json; charset=utf-8")];
    member
        .ask("PUT", "/v1/store/web", &json, body)
        .await
        .is(201);
    for (key, text, kind) in [
        ("zero", "0", "application/json"),
        ("minus", "-0", "application/json"),
        ("huge", "1e400", "application/json"),
        ("big", "9007199254740993", "application/json"),
        ("no", "false", "application/json"),
        ("tea", r#"{"statusCode":418}"#, "application/json"),
        ("spaced", r#"{ "a" : [1, 2] }"#, "application/json"),
        ("list", "[]", "application/json"),
        ("text", "5", "text/plain; charset=utf-8"),
    ] {
        let got = member.get(&format!("/v1/store/web/{key}")).await;
        assert_eq!(
            (got.is(200).text(), got.header("content-type")),
            (text, kind),
            "{key}"
        );
    }
    assert_eq!(member.get("/v1/store/web").await.json()["huge"], "1e400");
}

#[tokio::test]
async fn a_node_read_as_json_and_written_back_is_unchanged() {
    let member = member();
    member
        .put("/v1/store/web", r#"{"n":5,"t":"5","o":{"$base64":"/w=="}}"#)
        .await
        .is(201);
    let before = member.get("/v1/store/web").await;
    let revision = member.app.view().revision;
    member
        .put("/v1/store/web", before.body.clone())
        .await
        .is(204);
    let after = member.get("/v1/store/web").await;
    assert_eq!(
        (after.header("etag"), after.text()),
        (before.header("etag"), before.text())
    );
    assert_eq!(member.app.view().revision, revision, "nothing was written");
    let number = member.get("/v1/store/web/n").await;
    assert_eq!(number.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_merge_patch_sets_and_deletes() {
    let member = member();
    let path = "/v1/store/web";
    let send = |body: &'static str| member.ask("PATCH", path, &[], body);
    send(r#"{"a":"1","gone":null}"#).await.is(201);
    send(r#"{"b":{"deep":null},"a":null}"#).await.is(204);
    assert_eq!(
        member.get(path).await.json(),
        json!({ "b": r#"{"deep":null}"# })
    );
    send("{}").await.is(204);
    let merge = [("content-type", "application/merge-patch+json")];
    member
        .ask("PATCH", path, &merge, r#"{"c":"3"}"#)
        .await
        .is(204);
    assert_eq!(member.get(path).await.json()["c"], "3");
    let other = [("content-type", "application/json-patch+json")];
    member
        .ask("PATCH", path, &other, "[]")
        .await
        .is_problem(415, "unsupported-media-type");
    member
        .ask("PATCH", "/v1/store/new", &[], "{}")
        .await
        .is(201);
    assert_eq!(member.get("/v1/store/new").await.text(), "{}");
}

#[tokio::test]
async fn bodies_that_are_no_objects_of_values_are_refused_and_change_nothing() {
    let member = member();
    member.put("/v1/store/web", r#"{"a":"1"}"#).await.is(201);
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let bottomless = r#"{"a":"#.to_owned() + &"[".repeat(100_000);
    for bad in [
        "[]",
        "5",
        "null",
        "\"text\"",
        "{",
        r#"{"a"}"#,
        r#"{"a":1}{"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":["\udc00"]}"#,
        r#"{"a":01}"#,
        r#"{"a":NaN}"#,
        r#"{"a":{"$base64":"?"}}"#,
        "a=b",
        &deep,
        &bottomless,
    ] {
        for method in ["PUT", "PATCH"] {
            let refused = member
                .ask(method, "/v1/store/web", &[], bad.to_owned())
                .await;
            refused.is_problem(400, "invalid-body");
            assert_eq!(refused.json()["outcome"], "not-applied");
        }
    }
    member
        .put("/v1/store/web", &b"{\"a\":\"\xff\"}"[..])
        .await
        .is_problem(400, "invalid-body");
    member
        .put("/v1/store/web", r#"{"a":null}"#)
        .await
        .is_problem(400, "invalid-body");
    let text = [("content-type", "text/plain")];
    let refused = member.ask("PUT", "/v1/store/web", &text, "{}").await;
    refused.is_problem(415, "unsupported-media-type");
    assert_eq!(member.get("/v1/store").await.text(), r#"{"web":{"a":"1"}}"#);
}

#[tokio::test]
async fn a_large_store_is_one_document_of_one_moment() {
    let member = member();
    let value = "v".repeat(1000);
    let mut expected = serde_json::Map::new();
    for node in ["a", "b", "c"] {
        let keys: serde_json::Map<_, _> = (0..300)
            .map(|number| (format!("key {number:03}"), json!(value)))
            .collect();
        member
            .put(&format!("/v1/store/{node}"), json!(keys).to_string())
            .await
            .is(201);
        expected.insert(node.to_owned(), json!(keys));
    }
    let whole = member.get("/v1/store").await;
    assert_eq!(whole.header("content-type"), "application/json");
    assert!(
        whole.is(200).json() == json!(expected),
        "{} bytes",
        whole.body.len()
    );
    let node = member.get("/v1/store/b").await;
    assert!(node.json() == expected["b"]);
}
