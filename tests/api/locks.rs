//! `/v1/locks`: holding, renewing and giving back; semaphores; what is shown; what is refused.

use std::time::Duration;

use gaggle::io::clock::mono;
use serde_json::{Value, json};

use crate::member::{Answer, Member, strong_member};

/// Asks for a lock.
pub(crate) async fn acquire(member: &Member, name: &str, body: &Value) -> Answer {
    let path = format!("/v1/locks/{name}/acquire");
    member.post(&path, body.to_string()).await
}

/// Does something with the nonce of an answer.
pub(crate) async fn act(member: &Member, name: &str, action: &str, grant: &Value) -> Answer {
    let body = json!({"nonce": grant["nonce"]});
    let path = format!("/v1/locks/{name}/{action}");
    member.post(&path, body.to_string()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_held_renewed_shown_and_given_back() {
    let member = strong_member().await;
    member
        .get("/v1/locks/l")
        .await
        .is_problem(404, "lock-not-found");
    let body = json!({"ttl": "10s", "value": "here:1"});
    let answer = acquire(&member, "l", &body).await;
    let grant = answer.is(200).json();
    assert_eq!(grant["nonce"].as_str().unwrap().len(), 32);
    assert_eq!(grant["ttl_ms"], 10_000);
    let expires = grant["expires"].as_str().unwrap();
    assert!(expires.starts_with("2027-01-15T08:00:1"), "{expires}");
    let held = acquire(&member, "l", &json!({})).await;
    held.is_problem(409, "lock-held");
    let (problem, token) = (held.json(), &grant["token"]);
    let detail = problem["detail"].as_str().unwrap();
    let held_by = format!("held by ann (value \"here:1\", token {token}) until {expires}, ");
    assert!(detail.contains(&held_by), "{held_by}: {detail}");
    let hint = problem["hint"].as_str().unwrap();
    assert!(hint.contains("max_wait"), "{hint}");

    let shown = member.get("/v1/locks/l").await;
    assert!(!shown.text().contains("nonce"), "{}", shown.text());
    assert!(!shown.text().contains(grant["nonce"].as_str().unwrap()));
    let shown = shown.json();
    let holder = &shown["holders"][0];
    assert_eq!(
        (&shown["limit"], &shown["token"], &holder["token"]),
        (&json!(1), &grant["token"], &grant["token"])
    );
    assert_eq!(
        (&holder["author"], &holder["value"], &holder["ttl_ms"]),
        (&json!("ann"), &json!("here:1"), &json!(10_000))
    );
    assert!(holder["age_ms"].as_u64().unwrap() < 9_000);
    assert!(holder["expires_in_ms"].as_u64().unwrap() > 1_000);

    let longer = json!({"nonce": grant["nonce"], "ttl": "1h"}).to_string();
    let renewed = member.post("/v1/locks/l/renew", longer).await;
    let renewed = renewed.is(200).json();
    assert_eq!(renewed["token"], grant["token"]);
    assert_eq!(renewed["ttl_ms"], 3_600_000);
    let value = json!({"nonce": grant["nonce"], "value": "here:2"}).to_string();
    let published = member.post("/v1/locks/l/value", value).await;
    assert_eq!(published.is(200).json()["ttl_ms"], 3_600_000);
    let shown = member.get("/v1/locks/l").await.json();
    assert_eq!(shown["holders"][0]["value"], "here:2");

    act(&member, "l", "release", &grant).await.is(204);
    let shown = member.get("/v1/locks/l").await.json();
    assert_eq!(shown["holders"], json!([]));
    for action in ["release", "renew"] {
        let answer = act(&member, "l", action, &grant).await;
        answer.is_problem(409, "wrong-nonce");
    }
    let again = acquire(&member, "l", &json!({})).await.json();
    assert!(again["token"].as_u64() > grant["token"].as_u64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_nonce_fails_at_once_and_harms_nobody() {
    let member = strong_member().await;
    let grant = acquire(&member, "l", &json!({"ttl": "1h"})).await.json();
    let wrong = json!({"nonce": "0".repeat(32)});
    let begun = mono();
    for action in ["release", "renew"] {
        let answer = act(&member, "l", action, &wrong).await;
        answer.is_problem(409, "wrong-nonce");
        let answer = act(&member, "none", action, &wrong).await;
        answer.is_problem(404, "lock-not-found");
    }
    assert!(mono().since(begun) < Duration::from_secs(5), "at once");
    act(&member, "l", "renew", &grant).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_semaphore_has_as_many_holders_as_its_limit() {
    let member = strong_member().await;
    let three = json!({"ttl": "1h", "limit": 3});
    let mut grants = Vec::new();
    for _ in 0..3 {
        grants.push(acquire(&member, "s", &three).await.is(200).json());
    }
    acquire(&member, "s", &three)
        .await
        .is_problem(409, "lock-held");
    let other = acquire(&member, "s", &json!({"limit": 4})).await;
    other.is_problem(409, "limit-differs");
    act(&member, "s", "release", &grants[1]).await.is(204);
    acquire(&member, "s", &three).await.is(200);
    let shown = member.get("/v1/locks/s").await.json();
    assert_eq!(shown["holders"].as_array().unwrap().len(), 3);
    act(&member, "s", "renew", &grants[0]).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_can_free_a_lock() {
    let member = strong_member().await;
    member
        .delete("/v1/locks/l")
        .await
        .is_problem(404, "lock-not-found");
    let grant = acquire(&member, "l", &json!({"ttl": "1h"})).await.json();
    member.delete("/v1/locks/l").await.is(204);
    let answer = act(&member, "l", "renew", &grant).await;
    answer.is_problem(404, "lock-not-found");
    let next = acquire(&member, "l", &json!({})).await.is(200).json();
    assert!(next["token"].as_u64() > grant["token"].as_u64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_are_listed_in_pages() {
    let member = strong_member().await;
    for name in ["b", "a", "%C3%A4", "c"] {
        acquire(&member, name, &json!({})).await.is(200);
    }
    let names = async |query: &str| {
        let answer = member.get(&format!("/v1/locks?{query}")).await.json();
        let locks = answer["locks"].as_array().unwrap().clone();
        let names: Vec<Value> = locks.iter().map(|lock| lock["name"].clone()).collect();
        (json!(names), answer["next"].clone())
    };
    let all = (json!(["a", "b", "c", "ä"]), Value::Null);
    assert_eq!(names("").await, all);
    assert_eq!(names("limit=4").await, all);
    assert_eq!(names("limit=2").await, (json!(["a", "b"]), json!("b")));
    assert_eq!(
        names("limit=2&after=b").await,
        (json!(["c", "ä"]), Value::Null)
    );
    assert_eq!(names("after=zz&consistency=stale").await.0, json!(["ä"]));
    for bad in ["limit=0", "limit=1001", "x=1", "consistency=x"] {
        let answer = member.get(&format!("/v1/locks?{bad}")).await;
        answer.is_problem(400, "invalid-query");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_for_a_lock_is_refused() {
    let member = strong_member().await;
    for body in [
        "[]",
        "x",
        r#"{"ttl":10}"#,
        r#"{"ttl":"10"}"#,
        r#"{"ttl":"soon"}"#,
        r#"{"ttl":"-1s"}"#,
        r#"{"max_wait":""}"#,
        r#"{"limit":-1}"#,
        r#"{"limit":1.5}"#,
        r#"{"limit":4294967296}"#,
        r#"{"value":5}"#,
        r#"{"more":1}"#,
        r#"{"ttl":"1s","ttl":"2s"}"#,
        "{\"value\":\"\\ud800\"}",
    ] {
        let answer = member.post("/v1/locks/l/acquire", body).await;
        answer.is_problem(400, "invalid-body");
    }
    let long = json!({"value": "x".repeat(4097)}).to_string();
    for (body, code) in [
        (r#"{"ttl":"0"}"#, "below-least"),
        (r#"{"limit":0}"#, "below-least"),
        (r#"{"ttl":"25h"}"#, "over-limit"),
        (r#"{"max_wait":"2d"}"#, "over-limit"),
        (r#"{"limit":1001}"#, "over-limit"),
        (&*long, "over-limit"),
    ] {
        let answer = member.post("/v1/locks/l/acquire", body.to_owned()).await;
        answer.is_problem(422, code);
    }
    for body in ["", "{}", r#"{"nonce":"xyz"}"#, r#"{"nonce":7}"#] {
        for action in ["renew", "release", "value"] {
            let path = format!("/v1/locks/l/{action}");
            member
                .post(&path, body)
                .await
                .is_problem(400, "invalid-body");
        }
    }
    member
        .get("/v1/locks/l")
        .await
        .is_problem(404, "lock-not-found");
    for (name, code) in [("%2F", "invalid-name"), ("%zz", "invalid-name")] {
        let answer = acquire(&member, name, &json!({})).await;
        answer.is_problem(400, code);
    }
    let answer = member.post("/v1/locks/l/acquire?x=1", "").await;
    answer.is_problem(400, "invalid-query");
    member
        .post("/v1/locks/l/steal", "")
        .await
        .is_problem(404, "not-found");
    member.post("/v1/locks/l/acquire", "").await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_path_of_locks_and_logs_knows_its_methods() {
    let member = strong_member().await;
    for (path, allow) in [
        ("/v1/locks", "GET, HEAD, OPTIONS"),
        ("/v1/locks/l", "GET, HEAD, DELETE, OPTIONS"),
        ("/v1/locks/l/acquire", "POST, OPTIONS"),
        ("/v1/locks/l/observe", "GET, HEAD, OPTIONS"),
        ("/v1/log", "GET, HEAD, OPTIONS"),
        ("/v1/log/l", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
        ("/v1/log/l/follow", "GET, HEAD, OPTIONS"),
        ("/v1/counters/c", "GET, HEAD, POST, DELETE, OPTIONS"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let is_stream = path.ends_with("/observe") || path.ends_with("/follow");
            if is_stream && method == "GET" {
                continue;
            }
            let answer = member.ask(method, path, &[], "").await;
            let is_known = allow.split(", ").any(|one| one == method);
            assert_eq!(
                answer.status == 405,
                !is_known,
                "{method} {path}: {answer:?}"
            );
            if !is_known || method == "OPTIONS" {
                assert_eq!(answer.header("allow"), allow, "{method} {path}");
            }
        }
    }
}
