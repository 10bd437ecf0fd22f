//! Strong nodes in `/v1/store`, `/v1/nodes` and `/v1/history`, on one member.

use std::time::Duration;

use gaggle::strong::engine::Request;
use gaggle::strong::{Acquire, Command, LockCommand, Millis, Nonce, Outcome};
use serde_json::json;

use crate::member::{Answer, Headers, Member, USER, strong_member};

const NODE: &str = "/v1/nodes/web";
const KEY: &str = "/v1/store/web/colour";
const STRONG: &str = r#"{"class":"strong"}"#;

/// A member with an empty strong node `web`.
async fn with_node() -> Member {
    let member = strong_member().await;
    let made = member.put(NODE, STRONG).await;
    assert_eq!(made.is(201).header("location"), NODE);
    member
}

fn version(answer: &Answer) -> u64 {
    let tag = answer.header("etag").trim_matches('"');
    tag.parse().unwrap_or_else(|_| panic!("{answer:?}"))
}

async fn put(member: &Member, headers: Headers<'_>, body: &'static str) -> Answer {
    member.ask("PUT", KEY, headers, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_goes_in_and_comes_out_in_every_form() {
    let member = with_node().await;
    let css: Headers<'_> = &[("content-type", "text/css; charset=utf-8")];
    let made = put(&member, css, "blue").await;
    assert_eq!(made.is(201).header("location"), KEY);
    let first = version(&made);
    let raw = member.get(KEY).await;
    assert_eq!((raw.is(200).text(), version(&raw)), ("blue", first));
    assert_eq!(raw.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(raw.header("cache-control"), "no-cache");
    assert!(raw.header("last-modified").ends_with("GMT"));
    let accept: Headers<'_> = &[("accept", "application/json")];
    let described = member.ask("GET", KEY, accept, "").await;
    assert_eq!(described.header("etag"), format!("\"{first};json\""));
    let described = described.json();
    assert_eq!(
        described,
        json!({
            "node": "web", "key": "colour", "class": "strong", "stamp": first.to_string(),
            "version": first, "author": USER, "written": described["written"],
            "content_type": "text/css; charset=utf-8", "value": "blue",
        })
    );
    let replaced = put(&member, &[], "red").await;
    assert!(version(replaced.is(204)) > first);
    let head = member.ask("HEAD", KEY, &[], "").await;
    assert_eq!(head.is(200).header("content-length"), "3");
    assert!(
        member.app.view().store.node("web").is_none(),
        "it is not an eventual one too"
    );
    member.delete(KEY).await.is(204);
    member.get(KEY).await.is_problem(404, "key-not-found");
    member.delete(KEY).await.is_problem(404, "key-not-found");
    member.delete("/v1/store/web").await.is(204);
    member.get(KEY).await.is_problem(404, "node-not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_and_values_are_kept_octet_by_octet() {
    let member = strong_member().await;
    for node in ["a%20b", "%F0%9F%A6%A2", "q%22'%3F%23", "%25"] {
        member
            .put(&format!("/v1/nodes/{node}"), STRONG)
            .await
            .is(201);
        for key in [
            "a//b", "/x/", "%2F%2F", "%C3%BC", "restore", "a%0Ab", "..", "%00",
        ] {
            let path = format!("/v1/store/{node}/{key}");
            let value = [0xff, 0x00, b'\n'];
            let made = member.put(&path, value.to_vec()).await;
            if matches!(key, "a%0Ab" | ".." | "%00") {
                made.is_problem(400, "invalid-name");
                member.get(&path).await.is_problem(400, "invalid-name");
            } else if key == "%2F%2F" {
                assert!(made.is(201).status.is_success());
                assert_eq!(
                    &member.get(&format!("/v1/store/{node}///")).await.body[..],
                    value
                );
            } else {
                made.is(201);
                let got = member.get(&path).await;
                assert_eq!(&got.body[..], value);
                assert_eq!(got.header("content-type"), "application/octet-stream");
            }
        }
    }
    member
        .put("/v1/nodes/a%2Fb", STRONG)
        .await
        .is_problem(400, "invalid-name");
    member
        .put("/v1/nodes/..", STRONG)
        .await
        .is_problem(400, "invalid-name");
    let full = vec![b'x'; 1 << 20];
    member
        .put("/v1/store/a%20b/full", full.clone())
        .await
        .is(201);
    assert!(member.get("/v1/store/a%20b/full").await.body == full);
    let over = vec![b'x'; (1 << 20) + 1];
    let refused = member.put("/v1/store/a%20b/over", over).await;
    refused.is_problem(413, "value-too-large");
    member.put("/v1/store/a%20b/empty", "").await.is(201);
    assert_eq!(member.get("/v1/store/a%20b/empty").await.is(200).text(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_done_only_if_its_condition_holds() {
    let member = with_node().await;
    put(&member, &[("if-match", "*")], "x").await.is(412);
    put(&member, &[("if-none-match", "*")], "x").await.is(201);
    put(&member, &[("if-none-match", "*")], "x").await.is(412);
    let got = member.get(KEY).await;
    let first = got.header("etag");
    for wrong in ["\"0\"", "\"x\"", "\"01\"", "W/\"1\"", "\"\""] {
        let refused = put(&member, &[("if-match", wrong)], "y").await;
        refused.is_problem(412, "precondition-failed");
    }
    let json_form = format!("\"{};json\"", version(&got));
    put(&member, &[("if-match", &json_form)], "y").await.is(204);
    let stale = put(&member, &[("if-match", first)], "z").await;
    let now = version(&member.get(KEY).await);
    let detail = stale.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(&now.to_string()), "{detail}");
    put(&member, &[("if-match", "unquoted")], "z")
        .await
        .is_problem(400, "invalid-header");
    let date = "Sat, 29 Oct 1994 19:43:31 GMT";
    put(&member, &[("if-unmodified-since", date)], "z")
        .await
        .is(400);
    let node = member.get("/v1/store/web").await;
    assert_eq!(
        version(&node),
        now,
        "the node has the version of its last key"
    );
    for method in ["PUT", "PATCH", "DELETE"] {
        let wrong: Headers<'_> = &[("if-match", first)];
        let refused = member.ask(method, "/v1/store/web", wrong, "{}").await;
        refused.is_problem(412, "precondition-failed");
    }
    let unchanged: Headers<'_> = &[("if-none-match", node.header("etag"))];
    for path in [KEY, "/v1/store/web", NODE] {
        let answer = member.ask("GET", path, unchanged, "").await;
        assert_eq!(&answer.is(304).body[..], b"");
    }
    member
        .ask("DELETE", KEY, &[("if-match", first)], "")
        .await
        .is(412);
    let last = format!("\"{now}\"");
    member
        .ask("DELETE", KEY, &[("if-match", &last)], "")
        .await
        .is(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_with_one_tag_exactly_one_wins() {
    let member = with_node().await;
    put(&member, &[], "0").await.is(201);
    for _ in 0..5 {
        let tag = member.get(KEY).await.header("etag").to_owned();
        let writes = (0..8).map(|_| {
            let (member, tag) = (&member, tag.clone());
            async move {
                put(member, &[("if-match", &*tag)], "x")
                    .await
                    .status
                    .as_u16()
            }
        });
        let mut statuses = futures_util::future::join_all(writes).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 412, 412, 412, 412, 412, 412, 412]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_read_replaced_and_patched_as_a_document() {
    let member = with_node().await;
    let path = "/v1/store/web";
    let body = r#"{"a":"1","n":5,"o":{"$base64":"/wA="},"t":"x"}"#;
    member.put(path, body).await.is(204);
    let got = member.get(path).await;
    assert_eq!(
        got.text(),
        r#"{"a":"1","n":"5","o":{"$base64":"/wA="},"t":"x"}"#
    );
    let n = member.get("/v1/store/web/n").await;
    assert_eq!(n.header("content-type"), "application/json");
    let text = got.text().to_owned();
    let same = member.put(path, text).await;
    assert_eq!(
        version(same.is(204)),
        version(&got),
        "what is the same is not written again"
    );
    let n = member.get("/v1/store/web/n").await;
    assert_eq!(
        n.header("content-type"),
        "application/json",
        "it keeps its type"
    );
    let patch = r#"{"a":null,"b":"2","none":null}"#;
    member.ask("PATCH", path, &[], patch).await.is(204);
    assert_eq!(
        member.get(path).await.text(),
        r#"{"b":"2","n":"5","o":{"$base64":"/wA="},"t":"x"}"#
    );
    member.put(path, r#"{"only":"1"}"#).await.is(204);
    assert_eq!(member.get(path).await.text(), r#"{"only":"1"}"#);
    for bad in [
        "[]",
        "{",
        r#"{"a":1,"a":2}"#,
        r#"{"..":"x"}"#,
        r#"{"a":null}"#,
    ] {
        member.put(path, bad).await.is(400);
    }
    member.put(path, "").await.is(204);
    assert_eq!(member.get(path).await.text(), "{}");
    member.delete(path).await.is(204);
    member.get(path).await.is_problem(404, "node-not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_a_time_to_live_goes() {
    let member = with_node().await;
    let path = format!("{KEY}?ttl=300ms");
    member.put(&path, "x").await.is(201);
    let accept: Headers<'_> = &[("accept", "application/json")];
    let described = member.ask("GET", KEY, accept, "").await.json();
    let left = described["ttl_ms"].as_u64().unwrap();
    assert!(left > 0 && left <= 300, "{described}");
    while member.get(KEY).await.status == 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    member.get(KEY).await.is_problem(404, "key-not-found");
    for bad in ["0s", "", "soon", "-1s", "ttl"] {
        let refused = member.put(&format!("{KEY}?ttl={bad}"), "x").await;
        refused.is_problem(400, "invalid-query");
    }
    let long = member.put(&format!("{KEY}?ttl=9999d"), "x").await;
    long.is_problem(422, "over-limit");
    for method in ["DELETE", "PATCH"] {
        let refused = member.ask(method, "/v1/store/web?ttl=1s", &[], "{}").await;
        refused.is_problem(400, "invalid-query");
    }
    member
        .put("/v1/store/eventual/k?ttl=1s", "x")
        .await
        .is_problem(400, "invalid-query");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_eventual_writes_can_ask_is_refused() {
    let member = with_node().await;
    for ack in ["1", "quorum", "all"] {
        let refused = member
            .put(&format!("{KEY}?ack={ack}&timeout=1s"), "x")
            .await;
        refused.is_problem(400, "invalid-query");
    }
    let refused = member.put(&format!("{NODE}?ack=1"), STRONG).await;
    refused.is_problem(400, "invalid-query");
    for odd in [
        "x=1",
        "timeout=0s",
        "timeout=11m",
        "class=weak",
        "timeout=1s&timeout=1s",
    ] {
        member
            .put(&format!("{KEY}?{odd}"), "x")
            .await
            .is_problem(400, "invalid-query");
        member
            .get(&format!("{KEY}?{odd}"))
            .await
            .is_problem(400, "invalid-query");
    }
    member
        .get(&format!("{KEY}?consistency=eventual"))
        .await
        .is_problem(400, "invalid-query");
    member.get(KEY).await.is_problem(404, "key-not-found");
    member.put(&format!("{KEY}?timeout=5s"), "x").await.is(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_reads_tell_their_age_and_fresh_ones_have_none() {
    let member = with_node().await;
    put(&member, &[], "x").await.is(201);
    for path in [KEY, "/v1/store/web", NODE, "/v1/history/web/colour"] {
        assert_eq!(member.get(path).await.is(200).header("gaggle-age-ms"), "");
        let stale = member.get(&format!("{path}?consistency=stale")).await;
        assert_eq!(stale.is(200).header("gaggle-age-ms"), "0");
    }
    for path in ["/v1/store", "/v1/nodes"] {
        assert_eq!(member.get(path).await.is(200).header("gaggle-age-ms"), "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_with_its_key_is_done_once() {
    let member = with_node().await;
    let once: Headers<'_> = &[("idempotency-key", "k1"), ("if-none-match", "*")];
    let first = put(&member, once, "x").await;
    put(&member, &[], "y").await.is(204);
    let again = put(&member, once, "x").await;
    assert_eq!(version(again.is(201)), version(&first));
    assert_eq!(member.get(KEY).await.text(), "y");
    let other = put(&member, once, "z").await;
    other.is_problem(422, "idempotency-key-reused");
}

async fn acquire(member: &Member, nonce: u8) -> u64 {
    let acquire = Acquire {
        name: "deploy".parse().unwrap(),
        ttl: Millis::seconds(60),
        max_wait: Millis(0),
        limit: 1,
        value: None,
        nonce: Nonce::from_bytes([nonce; 16]),
    };
    let command = Command::Lock(LockCommand::Acquire(acquire));
    match propose(member, command).await {
        Outcome::Granted { token, .. } => token,
        other => panic!("{other:?}"),
    }
}

async fn propose(member: &Member, command: Command) -> Outcome {
    let request = Request {
        author: "bob".into(),
        request: None,
        fences: Vec::new(),
        command,
    };
    let engine = member.strong.engine().unwrap();
    engine
        .propose(request, Duration::from_secs(10))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_lock_was_granted_anew_is_fenced_off() {
    let member = with_node().await;
    let old = acquire(&member, 1).await;
    let fence = format!("deploy={old}");
    put(&member, &[("if-fence", &fence)], "x").await.is(201);
    let release = LockCommand::Release {
        name: "deploy".parse().unwrap(),
        nonce: Nonce::from_bytes([1; 16]),
    };
    propose(&member, Command::Lock(release)).await;
    let new = acquire(&member, 2).await;
    for (method, path, body) in [
        ("PUT", KEY, "y"),
        ("DELETE", KEY, ""),
        ("PUT", "/v1/store/web", "{}"),
        ("PATCH", "/v1/store/web", "{}"),
        ("DELETE", "/v1/store/web", ""),
        ("PUT", "/v1/nodes/other", STRONG),
    ] {
        let stale = member
            .ask(method, path, &[("if-fence", &fence)], body)
            .await;
        stale.is_problem(412, "stale-fence");
    }
    assert_eq!(member.get(KEY).await.text(), "x");
    let fence = format!("deploy={new}");
    put(&member, &[("if-fence", &fence)], "z").await.is(204);
    let fence = format!("deploy={}", new + 1_000);
    put(&member, &[("if-fence", &fence)], "z")
        .await
        .is_problem(400, "unknown-fence");
    put(&member, &[("if-fence", "deploy")], "z")
        .await
        .is_problem(400, "invalid-header");
    put(&member, &[("if-fence", "none=1")], "z")
        .await
        .is_problem(412, "stale-fence");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_current_version_is_in_the_history() {
    let member = with_node().await;
    let path = "/v1/history/web/colour";
    member.get(path).await.is_problem(404, "key-not-found");
    put(&member, &[], "old").await.is(201);
    let old = version(&member.get(KEY).await);
    put(&member, &[], "new").await.is(204);
    let now = version(&member.get(KEY).await);
    let history = member.get(path).await.json();
    assert_eq!(history["older_versions_kept"], false);
    assert_eq!(
        (&history["live"], &history["count"]),
        (&json!(true), &json!(1))
    );
    let versions = history["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 1);
    assert_eq!(
        (
            &versions[0]["value"],
            &versions[0]["version"],
            &versions[0]["current"]
        ),
        (&json!("new"), &json!(now), &json!(true))
    );
    let one = member.get(&format!("{path}?stamp={now}")).await;
    assert_eq!(one.is(200).text(), "new");
    let gone = member.get(&format!("{path}?stamp={old}")).await;
    gone.is_problem(404, "version-not-found");
    member
        .get(&format!("{path}?before=1"))
        .await
        .is_problem(400, "invalid-query");
    let body = format!(r#"{{"stamp":"{old}"}}"#);
    let restore = member
        .ask("POST", &format!("{path}/restore"), &[], body)
        .await;
    restore.is_problem(409, "no-history");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_classes_stand_in_the_listings_and_change_the_tag() {
    let member = with_node().await;
    member.put("/v1/store/zoo/a", "1").await.is(201);
    member.put("/v1/store/app/b", "2").await.is(201);
    let mut tags = vec![member.get("/v1/store").await.header("etag").to_owned()];
    let mut changed = async |what: &str| {
        let tag = member.get("/v1/store").await.header("etag").to_owned();
        assert!(!tags.contains(&tag), "{what}");
        tags.push(tag);
    };
    put(&member, &[], "blue").await.is(201);
    changed("a strong key was set").await;
    put(&member, &[], "blue").await.is(204);
    changed("it was set again").await;
    member.put("/v1/store/zoo/a", "3").await.is(204);
    changed("an eventual key was set").await;
    assert_eq!(
        member.get("/v1/store").await.text(),
        r#"{"app":{"b":"2"},"web":{"colour":"blue"},"zoo":{"a":"3"}}"#
    );
    let nodes = member.get("/v1/nodes").await.json();
    let shown: Vec<String> = nodes["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| format!("{} {} {}", node["name"], node["class"], node["keys"]))
        .collect();
    assert_eq!(
        shown,
        [
            r#""app" "eventual" 1"#,
            r#""web" "strong" 1"#,
            r#""zoo" "eventual" 1"#
        ]
    );
    let one = member.get(NODE).await;
    assert_eq!(one.json(), nodes["nodes"][1]);
    assert_eq!(
        one.json(),
        json!({"name": "web", "keys": 1, "class": "strong", "description": "", "history": 1,
               "version": version(&one)})
    );
    let tag = tags.last().unwrap().clone();
    let unchanged: Headers<'_> = &[("if-none-match", &tag)];
    member.ask("GET", "/v1/store", unchanged, "").await.is(304);
    member
        .ask("POST", "/v1/counters/c", &[], r#"{"add":1}"#)
        .await
        .is(200);
    member.ask("GET", "/v1/store", unchanged, "").await.is(304);
    member.delete("/v1/store/web").await.is(204);
    member.ask("GET", "/v1/store", unchanged, "").await.is(200);
}
