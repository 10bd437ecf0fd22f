//! What monitors read: health, status, members, metrics.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::member::member;

#[tokio::test]
async fn readiness_tells_a_code_to_all_and_reasons_to_users() {
    let member = member();
    let live = member.ask_as_is("GET", "/livez", &[], "").await;
    assert_eq!(
        (live.is(200).text(), live.header("cache-control")),
        ("ok", "no-store")
    );
    let ready = member.ask_as_is("GET", "/readyz", &[], "").await;
    assert_eq!(ready.is(200).text(), "ready");

    member.app.health().set("disk", false, "/data is on fire");
    let ready = member.ask_as_is("GET", "/readyz", &[], "").await;
    assert_eq!(ready.is(503).text(), "not ready: disk");
    let verbose = member.get("/readyz?verbose").await;
    let expected = json!({ "ready": false, "checks": [
        { "code": "disk", "ok": false, "severity": "failure", "detail": "/data is on fire" },
        { "code": "stopping", "ok": true, "severity": "failure",
          "detail": "the member is serving" },
        { "code": "strong-side", "ok": true, "severity": "warning",
          "detail": "off: this member has neither --voters nor --cluster-size" },
    ]});
    assert_eq!(verbose.is(503).json(), expected);
    member
        .ask_as_is("GET", "/readyz?x", &[], "")
        .await
        .is_problem(400, "invalid-query");
    member
        .ask_as_is("GET", "/livez?verbose", &[], "")
        .await
        .is_problem(400, "invalid-query");

    member.app.health().set("disk", true, "well again");
    member.get("/readyz?verbose=true").await.is(200);
    member
        .app
        .health()
        .warn("integrity", false, "a row was damaged");
    let ready = member.ask_as_is("GET", "/readyz", &[], "").await;
    assert_eq!(
        ready.is(200).text(),
        "ready",
        "a warning takes no client away"
    );
    let verbose = member.get("/readyz?verbose").await;
    let warning = json!({ "code": "integrity", "ok": false, "severity": "warning",
                          "detail": "a row was damaged" });
    let verbose = verbose.is(200).json();
    assert_eq!(
        (&verbose["ready"], &verbose["checks"][1]),
        (&json!(true), &warning)
    );
    member.app.health().stop();
    let ready = member.ask_as_is("GET", "/readyz", &[], "").await;
    assert_eq!(ready.is(503).text(), "not ready: stopping");
    member.ask_as_is("GET", "/livez", &[], "").await.is(200);
}

#[tokio::test]
async fn status_counts_what_the_member_holds() {
    let member = member();
    member
        .put("/v1/store/web", r#"{"a":"12","b":"345"}"#)
        .await
        .is(201);
    member.put("/v1/store/db/x", "1").await.is(201);
    member.delete("/v1/store/db/x").await.is(204);
    let got = member.get("/v1/status").await;
    assert_eq!(got.header("cache-control"), "no-store");
    let mut status = got.is(200).json();
    let digest = format!("{:032x}", member.app.view().store.digest().root());
    let fields = status.as_object_mut().unwrap();
    assert!(fields.remove("uptime_ms").unwrap().is_u64());
    let disk = fields.remove("disk").unwrap();
    assert_eq!(disk["state"], "ok");
    assert!(
        disk["free_bytes"].is_u64() && disk["used_bytes"].is_u64(),
        "{disk}"
    );
    let collecting = fields.remove("collecting").unwrap();
    assert!(collecting["oldest"].is_string(), "{collecting}");
    assert_eq!(collecting["collected"], 0);
    assert_eq!(collecting["known_members"], 0);
    assert!(collecting["horizon"].is_null() && collecting["stable"].is_null());
    assert_eq!(
        status,
        json!({
            "member": "0000000000000007", "name": "seven", "cluster": "gaggle", "version": "0.1.0",
            "started": "2027-01-15T08:00:00Z", "address": "192.0.2.7:8000",
            "revision": member.app.view().revision, "digest": digest, "nodes": 2, "keys": 2,
            "tombstones": 1,
            "bytes": 5, "conflicts": 0, "held_aside": { "count": 0 }, "ready": true,
            "strong": { "state": "off" },
            "members": {
                "alive": 1, "suspect": 1, "dead": 0, "left": 0, "forgotten": 0, "over_https": 1,
            },
            "zgossip": {"state": "off"},
            "discovery": [{
                "way": "dns:gaggle.example", "asked": "2027-01-15T08:00:00Z", "trouble": null,
                "found": [{
                    "address": "192.0.2.8:8000", "outcome": "member", "member": "eight",
                }],
            }],
        })
    );
}

#[tokio::test]
async fn members_are_listed_for_clients_to_fail_over() {
    let member = member();
    let got = member.get("/v1/members").await;
    let since = "2027-01-15T08:00:00Z";
    assert_eq!(
        got.is(200).json(),
        json!({ "members": [
            { "id": "0000000000000007", "name": "seven", "address": "192.0.2.7:8000",
              "state": "alive",
              "incarnation": 1, "version": "0.1.0", "since": since, "lag_ms": 0,
              "digest": "000000000000000000000000000000ab", "in_sync": true,
              "watched_over": null, "clock_offset_ms": 0, "self": true },
            { "id": "0000000000000008", "name": "eight", "address": "192.0.2.7:8000",
              "state": "suspect",
              "incarnation": 1, "version": "0.1.0", "since": since, "lag_ms": null,
              "digest": null, "in_sync": false,
              "watched_over": "https", "clock_offset_ms": -12, "self": false },
        ]})
    );
}

#[tokio::test]
async fn metrics_count_requests_and_show_the_store() {
    let member = member();
    member
        .metrics
        .gauge_fn("gaggle_members_alive", "Members that answer", || 3.0);
    member.put("/v1/store/web/a", "12345").await.is(201);
    member.put("/v1/store/web/b", "1").await.is(201);
    member.delete("/v1/store/web/b").await.is(204);
    member.get("/v1/store/web/a").await.is(200);
    member.get("/v1/store/web/no").await.is(404);
    member.ask_as_is("GET", "/v1/store", &[], "").await.is(401);
    let page = member.get("/metrics").await;
    assert_eq!(
        page.is(200).header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    for line in [
        r#"gaggle_http_requests_total{route="/v1/store/{node}/{key}",method="PUT",status="2xx"} 2"#,
        r#"gaggle_http_requests_total{route="/v1/store/{node}/{key}",method="GET",status="2xx"} 1"#,
        r#"gaggle_http_requests_total{route="/v1/store/{node}/{key}",method="GET",status="4xx"} 1"#,
        r#"gaggle_http_requests_total{route="/v1/store",method="GET",status="4xx"} 1"#,
        r#"gaggle_http_request_seconds_count{route="/v1/store/{node}/{key}"} 5"#,
        "gaggle_store_keys 1.0",
        "gaggle_store_nodes 1.0",
        "gaggle_store_tombstones 1.0",
        "gaggle_store_bytes 5.0",
        "gaggle_held_aside 0.0",
        "gaggle_members_known 0.0",
        "gaggle_members_forgotten 0.0",
        "gaggle_collected_total 0",
        "gaggle_auth_failures_total 0",
        "gaggle_members_alive 3.0",
        r#"gaggle_health{check="stopping"} 1.0"#,
    ] {
        assert!(
            page.text().lines().any(|found| found == line),
            "{line} is not in:\n{}",
            page.text()
        );
    }
}

#[tokio::test]
async fn a_fault_in_one_answer_is_that_answers_only() {
    let member = member();
    member.directory.panics.store(true, Ordering::Relaxed);
    for path in ["/v1/members", "/v1/status"] {
        let answer = member.get(path).await;
        answer.is_problem(500, "internal");
        assert_eq!(answer.json()["outcome"], "unknown");
        assert!(
            !answer.text().contains("planted"),
            "the log says it, not the answer"
        );
    }
    member.put("/v1/store/web/a", "1").await.is(201);
    let page = member.get("/metrics").await;
    let line = r#"gaggle_http_requests_total{route="/v1/members",method="GET",status="5xx"} 1"#;
    assert!(page.text().contains(line), "{}", page.text());
}
