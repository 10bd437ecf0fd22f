//! `/v1/locks/{name}/observe`: who holds a lock, as it changes.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::locks::{acquire, act};
use crate::member::{Member, strong_member};

async fn publish(member: &Member, grant: &Value, value: &str) {
    let body = json!({"nonce": grant["nonce"], "value": value}).to_string();
    member.post("/v1/locks/e/value", body).await.is(200);
}

/// Token and value of an event's data.
fn who(data: &Value) -> (Value, Value) {
    (data["token"].clone(), data["value"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_is_told_how_it_stands_and_then_each_change() {
    let member = Arc::new(strong_member().await);
    let mut early = member.stream("/v1/locks/e/observe", &[]).await;
    assert_eq!(who(&early.take("vacant").await), (json!(0), Value::Null));

    let body = json!({"ttl": "1h", "value": "a:1"});
    let first = acquire(&member, "e", &body).await.is(200).json();
    let held = early.take("holder").await;
    assert_eq!(who(&held), (first["token"].clone(), json!("a:1")));
    publish(&member, &first, "a:2").await;
    // The same again is no change.
    publish(&member, &first, "a:2").await;

    let mut late = member.stream("/v1/locks/e/observe", &[]).await;
    let now = (first["token"].clone(), json!("a:2"));
    assert_eq!(who(&late.take("holder").await), now);
    assert_eq!(who(&early.take("holder").await), now);

    act(&member, "e", "release", &first).await.is(204);
    let second = json!({"ttl": "100ms", "value": "b:1"});
    let second = acquire(&member, "e", &second).await.is(200).json();
    for events in [&mut early, &mut late] {
        let gone = events.next().await.unwrap();
        assert!(!gone.data.contains(first["nonce"].as_str().unwrap()));
        assert_eq!(
            (&*gone.name, &gone.json()["token"]),
            ("vacant", &first["token"])
        );
        let held = events.take("holder").await;
        assert_eq!(who(&held), (second["token"].clone(), json!("b:1")));
        // Its lease runs out by itself.
        assert_eq!(events.take("vacant").await["token"], second["token"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_locks_are_not_told_of() {
    let member = strong_member().await;
    let mut events = member.stream("/v1/locks/e/observe", &[]).await;
    events.take("vacant").await;
    acquire(&member, "f", &json!({"value": "f"})).await.is(200);
    acquire(&member, "e", &json!({"value": "e"})).await.is(200);
    assert_eq!(events.take("holder").await["value"], "e");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_that_falls_behind_begins_with_the_state_again() {
    const COUNT: usize = 300;
    let member = strong_member().await;
    let two = |value: &str| json!({"ttl": "1h", "limit": 2, "value": value});
    let stays = acquire(&member, "e", &two("0")).await.is(200).json();
    let goes = acquire(&member, "e", &two("x")).await.is(200).json();
    let mut events = member.stream("/v1/locks/e/observe", &[]).await;
    assert_eq!(events.take("holder").await["value"], "0");
    assert_eq!(events.take("holder").await["value"], "x");
    // More than wait for one who does not read; that one holder went is among what is lost.
    act(&member, "e", "release", &goes).await.is(204);
    for number in 1..=COUNT {
        publish(&member, &stays, &number.to_string()).await;
    }
    let position = events.take("resync").await["position"].clone();
    let held = events.take("holder").await;
    assert_eq!(held["value"], COUNT.to_string());
    assert_eq!(held["position"], position);
    // What the state had already is not told again.
    publish(&member, &stays, "end").await;
    assert_eq!(events.take("holder").await["value"], "end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_holders_of_a_semaphore_are_told() {
    let member = strong_member().await;
    let two = |value: &str| json!({"ttl": "1h", "limit": 2, "value": value});
    let a = acquire(&member, "s", &two("a")).await.is(200).json();
    let b = acquire(&member, "s", &two("b")).await.is(200).json();
    let mut events = member.stream("/v1/locks/s/observe", &[]).await;
    assert_eq!(events.take("holder").await["value"], "a");
    assert_eq!(events.take("holder").await["value"], "b");
    act(&member, "s", "release", &b).await.is(204);
    assert_eq!(events.take("vacant").await["token"], b["token"]);
    member.delete("/v1/locks/s").await.is(204);
    assert_eq!(events.take("vacant").await["token"], a["token"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_the_member_stops() {
    let member = strong_member().await;
    let mut observed = member.stream("/v1/locks/e/observe", &[]).await;
    let mut followed = member.stream("/v1/log/l/follow", &[]).await;
    observed.take("vacant").await;
    followed.take("leader").await;
    member.app.health().leave();
    assert_eq!(observed.next().await, None);
    assert_eq!(followed.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_only_so_many_streams_and_they_are_counted() {
    let member = strong_member().await;
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        streams.push(member.stream("/v1/locks/e/observe", &[]).await);
    }
    let refused = member.get("/v1/locks/e/observe").await;
    refused.is_problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), "5");
    member
        .get("/v1/log/l/follow")
        .await
        .is_problem(503, "overloaded");
    let metrics = member.get("/metrics").await;
    assert!(metrics.text().contains("gaggle_event_streams 1000"));
    streams.pop();
    let mut one = member.stream("/v1/log/l/follow", &[]).await;
    one.take("leader").await;
    // HEAD holds no place.
    streams.pop();
    for _ in 0..3 {
        let head = member.ask("HEAD", "/v1/locks/e/observe", &[], "").await;
        head.is(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_to_observe_is_refused() {
    let member = strong_member().await;
    for (path, code) in [
        ("/v1/locks/e/observe?x=1", "invalid-query"),
        ("/v1/locks/e/observe?consistency=x", "invalid-query"),
        ("/v1/locks/%2F/observe", "invalid-name"),
        ("/v1/log/l/follow?from=x", "invalid-query"),
        ("/v1/log/l/follow?from=-1", "invalid-query"),
        ("/v1/log/%2F/follow", "invalid-name"),
    ] {
        member.get(path).await.is_problem(400, code);
    }
    let odd = [("last-event-id", "yesterday")];
    let answer = member.ask("GET", "/v1/log/l/follow", &odd, "").await;
    answer.is_problem(400, "invalid-header");
}
