//! Waiting for a lock: in order, as long as it was asked for, and not for a client that has gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gaggle::io::clock::mono;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::locks::{acquire, act};
use crate::member::{Answer, Member, PASSWORD, USER, basic, strong_member};

/// Starts waiting for a lock.
#[expect(clippy::disallowed_methods, reason = "a client runs beside the test")]
fn wait_for(member: &Arc<Member>, name: &'static str, body: Value) -> JoinHandle<Answer> {
    let member = member.clone();
    tokio::spawn(async move { acquire(&member, name, &body).await })
}

/// The same with an idempotency key.
#[expect(clippy::disallowed_methods, reason = "a client runs beside the test")]
fn wait_with_key(
    member: &Arc<Member>,
    name: &'static str,
    key: &'static str,
) -> JoinHandle<Answer> {
    let member = member.clone();
    tokio::spawn(async move {
        let body = json!({"ttl": "1h", "max_wait": "1h"}).to_string();
        let path = format!("/v1/locks/{name}/acquire");
        member
            .ask("POST", &path, &[("idempotency-key", key)], body)
            .await
    })
}

async fn waiters(member: &Member, name: &str) -> usize {
    let shown = member
        .get(&format!("/v1/locks/{name}?consistency=stale"))
        .await;
    shown.json()["waiters"].as_array().map_or(0, Vec::len)
}

/// Waits until so many wait.
async fn until_waiting(member: &Member, name: &str, count: usize) {
    let begun = mono();
    while waiters(member, name).await != count {
        assert!(
            mono().since(begun) < Duration::from_secs(40),
            "never {count} waiters"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_lock_goes_to_the_next_at_once() {
    let member = Arc::new(strong_member().await);
    let first = acquire(&member, "l", &json!({"ttl": "700ms"})).await.json();
    let begun = mono();
    let next = acquire(&member, "l", &json!({"max_wait": "1m"})).await;
    let took = mono().since(begun);
    assert!(next.is(200).json()["token"].as_u64() > first["token"].as_u64());
    assert!(took < Duration::from_millis(1_700), "{took:?}");
    assert!(
        took > Duration::from_millis(400),
        "not before its time: {took:?}"
    );
    act(&member, "l", "renew", &first)
        .await
        .is_problem(409, "wrong-nonce");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_is_told_so() {
    let member = Arc::new(strong_member().await);
    acquire(&member, "l", &json!({"ttl": "1h"})).await.is(200);
    let begun = mono();
    let answer = acquire(&member, "l", &json!({"max_wait": "300ms"})).await;
    answer.is_problem(408, "wait-over");
    assert_eq!(answer.json()["outcome"], "not-applied");
    let took = mono().since(begun);
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(waiters(&member, "l").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_waiters_are_served_once_each_in_their_order() {
    const COUNT: usize = 1_000;
    // Those of one batch come at once, and the next batch when all of them wait.
    const BATCH: usize = 100;
    let member = Arc::new(strong_member().await);
    let first = acquire(&member, "l", &json!({"ttl": "1h"})).await.json();
    let holders = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for number in 0..COUNT {
        let body = json!({"ttl": "1h", "max_wait": "1h", "value": number.to_string()});
        let (member, holders) = (member.clone(), holders.clone());
        #[expect(clippy::disallowed_methods, reason = "a client runs beside the test")]
        let task = tokio::spawn({
            let member = member.clone();
            async move {
                let grant = acquire(&member, "l", &body).await.is(200).json();
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "alone");
                tokio::task::yield_now().await;
                holders.fetch_sub(1, Ordering::SeqCst);
                act(&member, "l", "release", &grant).await.is(204);
                grant["token"].as_u64().unwrap()
            }
        });
        tasks.push(task);
        if (number + 1) % BATCH == 0 {
            until_waiting(&member, "l", number + 1).await;
        }
    }
    let shown = member.get("/v1/locks/l").await.json();
    assert_eq!(shown["waiters"][0]["author"], USER);
    assert!(!shown.to_string().contains("nonce"));
    act(&member, "l", "release", &first).await.is(204);
    let mut last = first["token"].as_u64().unwrap();
    let mut tokens = Vec::new();
    for task in tasks {
        let token = tokio::time::timeout(Duration::from_mins(1), task).await;
        tokens.push(token.expect("everybody is served").unwrap());
    }
    for (number, batch) in tokens.chunks(BATCH).enumerate() {
        let first = *batch.iter().min().unwrap();
        assert!(first > last, "batch {number} had its turn out of order");
        last = *batch.iter().max().unwrap();
    }
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), COUNT, "each has a token of its own");
    assert_eq!(waiters(&member, "l").await, 0);
    acquire(&member, "l", &json!({})).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_leaves_the_line() {
    let member = Arc::new(strong_member().await);
    let first = acquire(&member, "l", &json!({"ttl": "1h"})).await.json();
    let patient = json!({"ttl": "1h", "max_wait": "1h"});
    let gone = wait_for(&member, "l", patient.clone());
    until_waiting(&member, "l", 1).await;
    let stays = wait_for(&member, "l", patient);
    until_waiting(&member, "l", 2).await;
    gone.abort();
    until_waiting(&member, "l", 1).await;
    act(&member, "l", "release", &first).await.is(204);
    stays.await.unwrap().is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_taken_gives_the_lock_back() {
    let member = Arc::new(strong_member().await);
    let authorization = basic(USER, PASSWORD);
    let headers = [("authorization", &*authorization)];
    let body = json!({"ttl": "1h"}).to_string();
    let answer = member
        .send("POST", "/v1/locks/l/acquire", &headers, body)
        .await;
    assert_eq!(answer.status(), 200);
    acquire(&member, "l", &json!({}))
        .await
        .is_problem(409, "lock-held");
    drop(answer);
    acquire(&member, "l", &json!({"max_wait": "10s"}))
        .await
        .is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_finds_what_its_first_try_got() {
    let member = Arc::new(strong_member().await);
    let first = wait_with_key(&member, "l", "k1").await.unwrap();
    let again = wait_with_key(&member, "l", "k1").await.unwrap();
    let (first, again) = (first.is(200).json(), again.is(200).json());
    assert_eq!(first["nonce"], again["nonce"]);
    assert_eq!(first["token"], again["token"]);
    assert!(again["ttl_ms"].as_u64().unwrap() <= 3_600_000);

    // One that waits keeps its place though its client lost the connection.
    let lost = wait_with_key(&member, "l", "k2");
    until_waiting(&member, "l", 1).await;
    lost.abort();
    let behind = wait_for(&member, "l", json!({"ttl": "1h", "max_wait": "1h"}));
    until_waiting(&member, "l", 2).await;
    let retry = wait_with_key(&member, "l", "k2");
    let twice = wait_with_key(&member, "l", "k2");
    act(&member, "l", "release", &first).await.is(204);
    let (retry, twice) = (retry.await.unwrap(), twice.await.unwrap());
    let second = retry.is(200).json();
    assert_eq!(second["nonce"], twice.is(200).json()["nonce"]);
    assert_eq!(waiters(&member, "l").await, 1, "no place is taken twice");
    act(&member, "l", "release", &second).await.is(204);
    let third = behind.await.unwrap().is(200).json();
    assert!(third["token"].as_u64() > second["token"].as_u64());

    // A lease that is over is not granted again, nor claimed to be held.
    let late = wait_with_key(&member, "l", "k2").await.unwrap();
    late.is_problem(409, "wrong-nonce");
    let path = "/v1/locks/l/acquire";
    let other = member
        .ask("POST", path, &[("idempotency-key", "k2")], "")
        .await;
    other.is_problem(422, "idempotency-key-reused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_key_that_does_not_come_again_leaves_the_line_too() {
    let member = Arc::new(strong_member().await);
    let held = acquire(&member, "l", &json!({"ttl": "1h"})).await.json();
    let goes = wait_with_key(&member, "l", "goes");
    until_waiting(&member, "l", 1).await;
    let returns = wait_with_key(&member, "l", "returns");
    until_waiting(&member, "l", 2).await;
    // The one that comes again has less time left than the other.
    let begun = mono();
    returns.abort();
    let returns = wait_with_key(&member, "l", "returns");
    goes.abort();
    until_waiting(&member, "l", 1).await;
    assert!(
        mono().since(begun) > Duration::from_secs(10),
        "there was time to come again"
    );
    act(&member, "l", "release", &held).await.is(204);
    returns.await.unwrap().is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_lock_that_is_deleted_is_told_so() {
    let member = Arc::new(strong_member().await);
    acquire(&member, "l", &json!({"ttl": "1h"})).await.is(200);
    let waiting = wait_for(&member, "l", json!({"max_wait": "1h"}));
    until_waiting(&member, "l", 1).await;
    member.delete("/v1/locks/l").await.is(204);
    waiting.await.unwrap().is_problem(409, "lock-deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stops_sends_its_waiters_elsewhere() {
    let member = Arc::new(strong_member().await);
    acquire(&member, "l", &json!({"ttl": "1h"})).await.is(200);
    let waiting = wait_for(&member, "l", json!({"max_wait": "1h"}));
    until_waiting(&member, "l", 1).await;
    member.app.health().leave();
    waiting.await.unwrap().is_problem(503, "shutting-down");
    until_waiting(&member, "l", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_leases_pass_from_one_to_the_next() {
    let member = Arc::new(strong_member().await);
    let first = acquire(&member, "l", &json!({"ttl": "1h"})).await.json();
    let waiting: Vec<_> = (0..50)
        .map(|_| wait_for(&member, "l", json!({"max_wait": "1h", "ttl": "10ms"})))
        .collect();
    until_waiting(&member, "l", 50).await;
    act(&member, "l", "release", &first).await.is(204);
    // Nobody gives back: each lease runs out, and the next one has its turn.
    for task in waiting {
        let answer = tokio::time::timeout(Duration::from_secs(30), task).await;
        let answer = answer.expect("everybody is told").unwrap();
        // Ten milliseconds can be over before their holder hears of them.
        assert!(
            answer.status == 200 || answer.code() == "wrong-nonce",
            "{answer:?}"
        );
    }
    assert_eq!(waiters(&member, "l").await, 0);
}
