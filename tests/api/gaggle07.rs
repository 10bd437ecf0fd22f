//! `/api`: clients of gaggle 0.7 and Manada 0.9 get what they know, without its faults.

use std::time::Duration;

use axum::body::Body;
use futures_util::stream;
use gaggle::app::{Arrival, Edit};
use gaggle::model::{HybridTime, Source};
use gaggle::protocol::message::Claim;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

use crate::member::{Answer, Member, member, member_as, member_with, strong_member};
use crate::transcript::replay;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[tokio::test]
async fn the_first_interface_answers_as_its_transcript_says() {
    replay(&member(), include_str!("transcripts/gaggle07.txt")).await;
}

#[tokio::test]
async fn the_second_interface_answers_as_its_transcript_says() {
    replay(&member(), include_str!("transcripts/manada.txt")).await;
}

async fn create(member: &Member, node: &str, key: &str, body: &str) {
    let node = format!("/api/store/{node}");
    let key = format!("{node}/{key}");
    let made = member.post(&node, "").await;
    assert!([201, 409].contains(&made.status.as_u16()), "{made:?}");
    member.post(&key, "").await.is(201);
    member.ask("PUT", &key, JSON, body.to_owned()).await.is(200);
}

async fn sum(member: &Member) -> String {
    let answer = member.get("/api/status/checksum").await;
    answer.is(200).text().to_owned()
}

/// What push does: `to` gets all that `from` has applied.
async fn replicate(from: &Member, to: &Member) {
    let applied = from.app.changes_after(0, 1000).expect("few changes");
    let changes = applied.iter().map(|applied| applied.change.clone());
    let base = HybridTime::default();
    let upto = from.app.view().store.vector().get(from.app.member());
    let arrival = Arrival {
        source: Source::Push(from.app.member()),
        changes: changes.collect(),
        claims: vec![(from.app.member(), Claim { base, upto })],
    };
    to.app.merge(arrival).await.expect("it is taken");
}

#[tokio::test]
async fn two_members_that_create_different_keys_at_once_have_equal_sums() {
    let (one, two) = (member_as(1), member_as(2));
    create(&one, "web", "colour", r#"{"value":"blue"}"#).await;
    create(&one, "b", "n", r#"{"value":1}"#).await;
    create(&two, "web", "area", r#"{"value":"{\"x\":[1]}"}"#).await;
    create(&two, "a", "n", r#"{"value":2}"#).await;
    assert_ne!(sum(&one).await, sum(&two).await);
    replicate(&one, &two).await;
    replicate(&two, &one).await;
    let text = r#"{"a":{"n":2},"b":{"n":1},"web":{"area":{"x":[1]},"colour":"blue"}}"#;
    for member in [&one, &two] {
        assert_eq!(member.get("/api/store").await.text(), text);
        // md5sum of that text.
        assert_eq!(sum(member).await, "22a95824f804deb445c609d923bf05e8");
        assert_eq!(
            member.get("/api/status").await.json()["checksum"],
            "22a95824f804deb445c609d923bf05e8"
        );
    }
}

#[tokio::test]
async fn one_key_written_on_both_at_once_has_one_winner_and_one_sum() {
    let (one, two) = (member_as(1), member_as(2));
    create(&one, "web", "colour", r#"{"value":"one"}"#).await;
    create(&two, "web", "colour", r#"{"value":"two"}"#).await;
    replicate(&one, &two).await;
    replicate(&two, &one).await;
    assert_eq!(sum(&one).await, sum(&two).await);
    let path = "/api/store/web/colour";
    assert_eq!(one.get(path).await.text(), two.get(path).await.text());
}

#[tokio::test]
async fn odd_values_and_names_go_in_and_come_out() {
    let member = member();
    let values = [
        (r#"{"value":0}"#, "0"),
        (r#"{"value":"0"}"#, "0"),
        (r#"{"value":5}"#, "5"),
        (r#"{"value":200}"#, "200"),
        (r#"{"value":false}"#, "false"),
        (r#"{"value":1e400}"#, "1e400"),
        (r#"{"value":9007199254740993}"#, "9007199254740993"),
        (
            r#"{"value":"{\"statusCode\":418}"}"#,
            r#"{"statusCode":418}"#,
        ),
    ];
    for (place, (body, shown)) in values.into_iter().enumerate() {
        let key = format!("k{place}");
        create(&member, "web", &key, body).await;
        let got = member.get(&format!("/api/store/web/{key}")).await;
        assert_eq!(got.is(200).text(), shown);
        assert_eq!(
            got.header("content-type"),
            "application/json; charset=utf-8"
        );
        let second = member.get(&format!("/api/v2/store/web/{key}")).await;
        assert_eq!(
            (second.is(200).text(), second.header("content-type")),
            (shown, "application/json; charset=utf-8")
        );
    }
    create(&member, "web", "empty", r#"{"value":""}"#).await;
    let empty = member.get("/api/store/web/empty").await;
    assert_eq!(
        (empty.is(200).text(), empty.header("content-length")),
        ("", "0")
    );
    let node = member.get("/api/store/web").await;
    assert!(
        node.text().starts_with(r#"{"empty":"","k0":0,"k1":0,"#),
        "{node:?}"
    );
    member.delete("/api/store/web").await.is(200);
    for name in [
        "toString",
        "constructor",
        "__proto__",
        "hasOwnProperty",
        "status",
        "sync",
    ] {
        create(&member, name, name, r#"{"value":"here"}"#).await;
        let got = member.get(&format!("/api/store/{name}/{name}")).await;
        assert_eq!(got.is(200).text(), "here");
        member.post(&format!("/api/store/{name}"), "").await.is(409);
        assert_eq!(member.get("/api/store").await.json()[name][name], "here");
        member.delete(&format!("/api/store/{name}")).await.is(200);
        member.get(&format!("/api/store/{name}")).await.is(404);
    }
}

#[tokio::test]
async fn falsy_values_of_the_second_interface_are_values() {
    let member = member();
    member.post("/api/store/web", "").await.is(201);
    for (key, value) in [("zero", "0"), ("no", "false"), ("empty", r#""""#)] {
        let body = format!(r#"{{"path":"web","key":"{key}","value":{value}}}"#);
        let make = || member.ask("POST", "/api/v2/store", JSON, body.clone());
        make().await.is(201);
        make().await.is(409);
        let stored: Value = serde_json::from_str(value).unwrap();
        assert_eq!(member.get("/api/v2/store/web").await.json()[key], stored);
    }
    let body = r#"{"path":"web/zero","value":{"a":1,"b":2}}"#;
    member.ask("PUT", "/api/v2/store", JSON, body).await.is(200);
    let got = member.get("/api/v2/store/web/zero").await;
    assert_eq!(got.text(), r#"{"a":1,"b":2}"#);
}

#[tokio::test]
async fn large_and_chunked_bodies_are_taken() {
    let member = member();
    let large = "x".repeat(20_000);
    create(
        &member,
        "web",
        "large",
        &json!({ "value": large }).to_string(),
    )
    .await;
    assert_eq!(member.get("/api/store/web/large").await.text(), large);
    let text = json!({ "path": "web", "key": "pieces", "value": large }).to_string();
    let pieces: Vec<_> = text.as_bytes().chunks(1000).map(<[u8]>::to_vec).collect();
    let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let body = Body::from_stream(pieces);
    member
        .ask("POST", "/api/v2/store", JSON, body)
        .await
        .is(201);
    assert_eq!(member.get("/api/v2/store/web/pieces").await.text(), large);
}

#[tokio::test]
async fn limits_are_those_of_the_member() {
    let limits = gaggle::app::Limits {
        value_bytes: 1000,
        ..Default::default()
    };
    let member = member_with(limits, 4000);
    create(&member, "web", "k", r#"{"value":"fits"}"#).await;
    let put = |length: usize| {
        let body = json!({ "value": "x".repeat(length) }).to_string();
        member.ask("PUT", "/api/store/web/k", JSON, body)
    };
    put(1000).await.is(200);
    for (length, code) in [(1001, "value-too-large: "), (5000, "body-too-large: ")] {
        let refused = put(length).await;
        assert_eq!(refused.is(413).text(), "Payload Too Large");
        assert!(
            refused.header("gaggle-problem").starts_with(code),
            "{refused:?}"
        );
    }
    let long = format!("/api/store/{}", "n".repeat(256));
    member.post(&long, "").await.is(400);
}

#[tokio::test]
async fn values_that_came_another_way_are_shown_as_what_they_are() {
    let member = member();
    for (key, content_type, octets) in [
        ("a", "application/json", &b" { \"b\" : 1 } "[..]),
        ("b", "text/plain", b"{\"b\":1}"),
        ("c", "application/json", b"{oops"),
        ("d", "application/octet-stream", b"\xff\x00"),
        ("e", "application/json; charset=utf-8", b"null"),
        ("f", "application/json", b"\"text\""),
    ] {
        let path = format!("/v1/store/web/{key}");
        let headers = [("content-type", content_type)];
        member
            .ask("PUT", &path, &headers, octets.to_vec())
            .await
            .is(201);
    }
    let text = concat!(
        r#"{"web":{"a":{"b":1},"b":"{\"b\":1}","c":"{oops","#,
        r#""d":{"$base64":"/wA="},"e":null,"f":"text"}}"#
    );
    assert_eq!(member.get("/api/store").await.text(), text);
    assert_eq!(member.get("/api/store/web/f").await.text(), "text");
    assert_eq!(
        member.get("/api/store/web/d").await.text(),
        r#"{"$base64":"/wA="}"#
    );
    // And what came this way is read the other way, with who wrote it.
    create(&member, "mail", "port", r#"{"value":25}"#).await;
    let raw = member.get("/v1/store/mail/port").await;
    assert_eq!(
        (raw.text(), raw.header("content-type")),
        ("25", "application/json")
    );
    let accept = [("accept", "application/json")];
    let known = member.ask("GET", "/v1/store/mail/port", &accept, "").await;
    assert_eq!(known.json()["author"], crate::member::USER);
}

#[tokio::test]
async fn a_status_has_the_members_of_the_original() {
    let member = member();
    let status = member.get("/api/status").await.json();
    let names: Vec<&String> = status.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "sdate", "suptime", "hostname", "system", "version", "arch", "ouptime", "checksum",
            "isolated"
        ]
    );
    assert_eq!(status["sdate"], 1_800_000_000_000_u64);
    assert_eq!(status["suptime"], 0);
    assert_eq!(status["hostname"], "seven");
    assert_eq!(status["system"], "Linux");
    assert!(status["ouptime"].as_u64().unwrap() > 0);
    assert_eq!(status["checksum"], "99914b932bd37a50b983c5e7c90ae93b");
    assert_eq!(status["isolated"], false);
    let second = member.get("/api/v2/status").await.json();
    assert_eq!(second["checksum"], status["checksum"]);
}

#[tokio::test]
async fn members_are_those_that_are_here() {
    let member = member();
    let mut dead = gaggle::api::MemberDirectory::members(&*member.directory)[1].clone();
    dead.state = gaggle::api::MemberState::Dead;
    member.directory.more.lock().unwrap().push(dead);
    let begun = gaggle::io::clock::wall().millis();
    let config = member.get("/api/config").await.json();
    assert_eq!(config["clusterId"], "gaggle");
    assert_eq!(config["blacklist"], json!([]));
    let members = config["members"].as_array().unwrap();
    assert_eq!(members.len(), 2);
    assert_eq!(
        (&members[0]["address"], &members[0]["hostname"]),
        (&json!("192.0.2.7"), &json!("seven"))
    );
    assert!(members[0]["timestamp"].as_u64().unwrap() >= begun);
    assert_eq!(
        members[1]["timestamp"], 1_800_000_000_000_u64,
        "since when it is suspect"
    );
    let alone = member.get("/api/config/members").await.json();
    assert_eq!(alone[1], members[1]);
    assert_eq!(
        member
            .get("/api/v2/config/members")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn the_log_is_the_last_lines_and_tells_no_value() {
    let member = member();
    let subscriber = tracing_subscriber::registry().with(member.recent.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    create(&member, "web", "k", r#"{"value":"hunter2"}"#).await;
    member
        .post("/api/config/blacklist/add/10.0.0.1", "")
        .await
        .is(200);
    for count in 0..20 {
        tracing::info!(count, "line");
    }
    let log = member.get("/api/log").await;
    let lines = log.json();
    assert_eq!(lines.as_array().unwrap().len(), 21);
    assert_eq!(
        (&lines[0]["type"], &lines[20]["type"]),
        (&json!("WAR"), &json!("NFO"))
    );
    let first = lines[0]["msg"].as_str().unwrap();
    assert!(
        first.starts_with("the block list was changed user=ann address=10.0.0.1"),
        "{first}"
    );
    assert_eq!(lines[20]["msg"], "line count=19");
    assert!(lines[0]["date"].as_u64().unwrap() <= lines[20]["date"].as_u64().unwrap());
    assert!(!log.text().contains("hunter2"));
}

#[tokio::test]
async fn a_sync_is_begun_with_every_other_member_that_is_here() {
    let member = member();
    let mut wants = member.app.wants();
    wants.borrow_and_update();
    member
        .ask("PATCH", "/api/store/sync", &[], "")
        .await
        .is(200);
    let waiting = tokio::time::timeout(Duration::from_secs(5), wants.changed());
    waiting.await.expect("at once").unwrap();
    assert_eq!(*wants.borrow(), [gaggle::model::MemberId::from_u64(8)]);
}

#[tokio::test]
async fn requests_are_counted_by_their_route() {
    let member = member();
    member.get("/api/store/web/colour").await.is(404);
    member.get("/api/nope").await.is(404);
    let text = member.get("/metrics").await.text().to_owned();
    for route in ["/api/store/{node}/{key}", "/api/{other}"] {
        let line = format!(
            "gaggle_http_requests_total{{route=\"{route}\",method=\"GET\",status=\"4xx\"}} 1"
        );
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_fault_of_ours_is_500_without_a_trace() {
    let member = member();
    member
        .directory
        .panics
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let broken = member.get("/api/config").await;
    assert_eq!(broken.is(500).text(), "Internal Server Error");
    assert!(!broken.header("gaggle-problem").contains("planted"));
}

#[tokio::test]
async fn a_page_of_another_site_may_not_write() {
    let member = member();
    let headers = [("sec-fetch-site", "cross-site")];
    let refused = member.ask("POST", "/api/store/web", &headers, "").await;
    assert_eq!(refused.is(403).text(), "Forbidden");
    member.get("/api/store/web").await.is(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strong_nodes_are_read_and_written_like_the_others() {
    let member = strong_member().await;
    member
        .put("/v1/nodes/vault", r#"{"class":"strong"}"#)
        .await
        .is(201);
    member.post("/api/store/vault", "").await.is(409);
    let key = "/api/store/vault/k";
    let put = |body: &'static str| member.ask("PUT", key, JSON, body);
    put(r#"{"value":1}"#).await.is(404);
    member.post(key, "").await.is(201);
    member.post(key, "").await.is(409);
    put(r#"{"value":"7"}"#).await.is(200);
    let got: Answer = member.get(key).await;
    assert_eq!(got.is(200).text(), "7");
    assert_eq!(
        member.get("/api/store").await.text(),
        r#"{"vault":{"k":7}}"#
    );
    member.post("/api/store/web", "").await.is(201);
    let store = member.get("/api/store").await;
    assert_eq!(store.text(), r#"{"vault":{"k":7},"web":{}}"#);
    let found = member.get("/api/v2/search/k").await;
    assert_eq!(found.text(), r#"[{"parent":"vault","key":"k","value":7}]"#);
    member.delete(key).await.is(200);
    member.delete(key).await.is(404);
    member.get(key).await.is(404);
    member.delete("/api/store/vault").await.is(200);
    assert_eq!(member.get("/api/store").await.text(), r#"{"web":{}}"#);
}

#[tokio::test]
async fn of_two_that_make_one_key_at_once_one_is_told_so() {
    let member = member();
    member.post("/api/store/web", "").await.is(201);
    let all = (0..8).map(|_| member.post("/api/store/web/k", ""));
    let answers = futures_util::future::join_all(all).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let exist = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((made, exist), (1, 7));
}

#[tokio::test]
async fn a_large_store_has_the_sum_of_what_is_read() {
    let member = member();
    let node: gaggle::model::NodeName = "web".parse().unwrap();
    let keys = (0..3000).map(|n| {
        let value = gaggle::model::Value::new("application/json", format!("[{n}]").into_bytes());
        (format!("key {n:05}").parse().unwrap(), value)
    });
    let edit = Edit::ReplaceNode {
        node,
        keys: keys.collect(),
    };
    let request = gaggle::app::Request {
        edit,
        author: "ann".into(),
        condition: gaggle::app::Condition::default(),
    };
    member.app.write(request).await.unwrap();
    let text = member.get("/api/store").await;
    assert!(text.body.len() > 50_000);
    assert_eq!(text.text().matches("\"key ").count(), 3000);
    let whole: Value = text.json();
    assert_eq!(whole["web"]["key 02999"], json!([2999]));
    assert_eq!(
        member.get("/api/v2/search/key%2000007").await.text(),
        r#"[{"parent":"web","key":"key 00007","value":[7]}]"#
    );
}
