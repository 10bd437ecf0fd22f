//! `/v1/counters`, `/v1/leader`, `/v1/quorum`, and a strong side that is off.

use crate::member::{member, strong_member};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_add_set_and_go() {
    let member = strong_member().await;
    let answer = member.ask("GET", "/v1/counters/hits", &[], "").await;
    answer.is_problem(404, "counter-not-found");
    for (body, value) in [
        (r#"{"add":5}"#, 5),
        (r#"{"add":-7}"#, -2),
        (r#"{"set":40}"#, 40),
        (r#"{"set":42,"expect":40}"#, 42),
    ] {
        let answer = member.ask("POST", "/v1/counters/hits", &[], body).await;
        assert_eq!(answer.json()["value"], value, "{body}");
    }
    let answer = member
        .ask("POST", "/v1/counters/hits", &[], r#"{"set":1,"expect":40}"#)
        .await;
    answer.is_problem(409, "counter-differs");
    let answer = member.ask("GET", "/v1/counters", &[], "").await;
    assert_eq!(answer.json()["counters"][0]["value"], 42);
    let answer = member.ask("DELETE", "/v1/counters/hits", &[], "").await;
    answer.is(204);
    let answer = member
        .ask("GET", "/v1/counters/hits?consistency=stale", &[], "")
        .await;
    answer.is(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_with_its_key_is_done_once() {
    let member = strong_member().await;
    let key: &[(&str, &str)] = &[("idempotency-key", "k1")];
    for _ in 0..3 {
        let answer = member
            .ask("POST", "/v1/counters/c", key, r#"{"add":1}"#)
            .await;
        assert_eq!(answer.json()["value"], 1);
    }
    let answer = member
        .ask("POST", "/v1/counters/c", key, r#"{"add":2}"#)
        .await;
    answer.is_problem(422, "idempotency-key-reused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_for_a_counter_is_refused() {
    let member = strong_member().await;
    for body in [
        "",
        "{}",
        "[]",
        r#"{"add":1,"set":2}"#,
        r#"{"add":1.5}"#,
        r#"{"more":1}"#,
        r#"{"add":1,"expect":0}"#,
        r#"{"add":9223372036854775808}"#,
    ] {
        let answer = member.ask("POST", "/v1/counters/c", &[], body).await;
        answer.is_problem(400, "invalid-body");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(!detail.contains("i64"), "{detail}");
    }
    let slash = member.ask("GET", "/v1/counters/a%2Fb", &[], "").await;
    let detail = slash.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail, "this name has no \"/\" (only a key's name may)");
    let answer = member
        .ask("POST", "/v1/counters/c?x=1", &[], r#"{"add":1}"#)
        .await;
    assert_eq!(answer.code(), "invalid-query");
    let full = r#"{"set":9223372036854775807}"#;
    member
        .ask("POST", "/v1/counters/c", &[], full)
        .await
        .is(200);
    let answer = member
        .ask("POST", "/v1/counters/c", &[], r#"{"add":1}"#)
        .await;
    answer.is_problem(409, "counter-overflow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_reads_tell_their_age() {
    let member = strong_member().await;
    member
        .ask("POST", "/v1/counters/c", &[], r#"{"add":1}"#)
        .await;
    let fresh = member.ask("GET", "/v1/counters/c", &[], "").await;
    assert_eq!(fresh.header("gaggle-age-ms"), "");
    let stale = member
        .ask("GET", "/v1/counters/c?consistency=stale", &[], "")
        .await;
    assert_eq!(stale.header("gaggle-age-ms"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_group_and_its_leader_are_shown() {
    let member = strong_member().await;
    member
        .ask("POST", "/v1/counters/c", &[], r#"{"add":1}"#)
        .await;
    let leader = member.ask("GET", "/v1/leader", &[], "").await.json();
    assert_eq!(
        (&leader["is_me"], &leader["name"]),
        (&true.into(), &"seven".into())
    );
    let quorum = member.ask("GET", "/v1/quorum", &[], "").await.json();
    assert_eq!(quorum["state"], "working");
    assert_eq!(quorum["members"][0]["role"], "leader");
    assert_eq!(quorum["members"][0]["id"], leader["id"]);
    assert_eq!(leader["id"].as_str().map(str::len), Some(16));
    let answer = member
        .ask("POST", "/v1/quorum/demote", &[], r#"{"member":"seven"}"#)
        .await;
    answer.is_problem(409, "quorum-refused");
    let answer = member
        .ask("POST", "/v1/quorum/promote", &[], r#"{"member":"x"}"#)
        .await;
    answer.is_problem(404, "not-in-group");
    let answer = member.ask("POST", "/v1/quorum/recover", &[], "").await;
    answer.is_problem(409, "quorum-refused");
}

#[tokio::test]
async fn without_a_strong_side_all_of_it_says_so() {
    let member = member();
    for path in ["/v1/counters", "/v1/counters/c", "/v1/leader", "/v1/quorum"] {
        let answer = member.ask("GET", path, &[], "").await;
        answer.is_problem(503, "strong-side-off");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_on_what_has_no_tag_is_refused_and_not_passed_over() {
    let member = strong_member().await;
    let conditions = [
        ("if-match", "\"1\""),
        ("if-none-match", "*"),
        ("if-unmodified-since", "Sat, 21 Nov 2026 00:00:00 GMT"),
    ];
    for condition in conditions {
        for (method, path, body) in [
            ("POST", "/v1/counters/c", r#"{"add":1}"#),
            ("DELETE", "/v1/counters/c", ""),
            ("POST", "/v1/log/l", "1"),
            ("POST", "/v1/locks/l/acquire", r#"{"ttl":"10s"}"#),
            ("POST", "/v1/txn", r#"{"then":[]}"#),
        ] {
            let answer = member.ask(method, path, &[condition], body).await;
            answer.is_problem(400, "invalid-header");
        }
    }
    let counters = member.ask("GET", "/v1/counters", &[], "").await;
    assert_eq!(counters.json()["counters"].as_array().unwrap().len(), 0);
}
