//! `/v1/log/{name}/follow`: from any index, no gap, nothing twice, while others append.

use std::sync::Arc;

use serde_json::json;

use crate::logs::fill;
use crate::member::{ID, Member, strong_member};
use crate::stream::Events;

/// Appends so many entries in several tasks at once.
#[expect(clippy::disallowed_methods, reason = "clients run beside the test")]
fn append(member: &Arc<Member>, tasks: u64, each: u64) -> Vec<tokio::task::JoinHandle<()>> {
    let task = |number: u64| {
        let member = member.clone();
        tokio::spawn(async move {
            for turn in 0..each {
                let body = json!({"task": number, "turn": turn}).to_string();
                member.post("/v1/log/l", body).await.is(201);
            }
        })
    };
    (0..tasks).map(task).collect()
}

/// Reads committed entries of the indexes `from` to `to`: every one once, in order.
async fn read(events: &mut Events, from: u64, to: u64) -> Vec<serde_json::Value> {
    let (mut read, mut position) = (Vec::new(), 0);
    for index in from..=to {
        let event = events.next().await.unwrap();
        assert_eq!(event.name, "committed");
        let entry = event.json();
        assert_eq!(entry["index"], index);
        let next = entry["position"].as_u64().unwrap();
        assert!(next > position, "{next} after {position}");
        assert_eq!(event.id, format!("{index}-{next}"));
        position = next;
        read.push(entry);
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_from_everywhere_see_each_entry_once_in_order() {
    let member = Arc::new(strong_member().await);
    fill(&member, "l", 1..=40).await;
    let mut begin = member.stream("/v1/log/l/follow", &[]).await;
    let mut middle = member.stream("/v1/log/l/follow?from=20", &[]).await;
    let mut end = member.stream("/v1/log/l/follow?from=41", &[]).await;
    let mut ahead = member.stream("/v1/log/l/follow?from=100", &[]).await;
    let tasks = append(&member, 4, 40);
    for (events, from) in [
        (&mut begin, 1),
        (&mut middle, 20),
        (&mut end, 41),
        (&mut ahead, 100),
    ] {
        let leader = events.take("leader").await;
        assert_eq!(leader["leader"], json!(ID.to_string()));
        assert!(leader["term"].as_u64().unwrap() > 0);
        let told = read(events, from, 200).await;
        let path = format!("/v1/log/l?from={from}&limit=10000");
        let page = member.get(&path).await.json();
        assert_eq!(
            page["entries"].as_array().unwrap()[..],
            told[..],
            "as it is read"
        );
    }
    for task in tasks {
        task.await.unwrap();
    }
    let page = member.get("/v1/log/l").await.json();
    assert_eq!(page["end"], 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_again_goes_on_where_it_was() {
    let member = Arc::new(strong_member().await);
    fill(&member, "l", 1..=10).await;
    let mut first = member.stream("/v1/log/l/follow?from=1", &[]).await;
    let leader = first.next().await.unwrap();
    assert_eq!(leader.name, "leader");
    read(&mut first, 1, 4).await;
    drop(first);
    // The header says more than the query, which a browser sends again as it was.
    let after = [("last-event-id", "4")];
    let mut again = member.stream("/v1/log/l/follow?from=1", &after).await;
    read(&mut again, 5, 10).await;
    fill(&member, "l", 11..=12).await;
    read(&mut again, 11, 12).await;
    let after = [("last-event-id", &*leader.id)];
    let mut again = member.stream("/v1/log/l/follow", &after).await;
    read(&mut again, 1, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_not_there_is_waited_for() {
    let member = Arc::new(strong_member().await);
    let mut events = member.stream("/v1/log/l/follow", &[]).await;
    events.take("leader").await;
    fill(&member, "other", 1..=3).await;
    fill(&member, "l", 1..=3).await;
    read(&mut events, 1, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_too_slow_is_told_what_it_missed() {
    let member = Arc::new(strong_member().await);
    fill(&member, "l", 1..=5).await;
    let mut events = member.stream("/v1/log/l/follow?from=3", &[]).await;
    events.take("leader").await;
    read(&mut events, 3, 5).await;
    let retention = r#"{"retention":{"count":10}}"#;
    member.put("/v1/log/l", retention).await.is(200);
    fill(&member, "l", 6..=50).await;
    let trimmed = events.next().await.unwrap();
    assert_eq!(trimmed.name, "trimmed");
    assert!(trimmed.id.starts_with("40-"), "{}", trimmed.id);
    assert_eq!(trimmed.json(), json!({"from": 6, "first": 41}));
    read(&mut events, 41, 50).await;
    // From the start it is the same: an explicit gap, never a silent one.
    let mut late = member.stream("/v1/log/l/follow?from=1", &[]).await;
    assert_eq!(late.take("trimmed").await, json!({"from": 1, "first": 41}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_with_line_breaks_comes_in_several_lines_of_data() {
    let member = Arc::new(strong_member().await);
    let text = "{\r\n  \"a\": [1,\n\r2]}";
    member.post("/v1/log/l", text).await.is(201);
    let mut events = member.stream("/v1/log/l/follow", &[]).await;
    events.take("leader").await;
    let event = events.next().await.unwrap();
    assert!(
        event.data.contains("\"data\":{\n  \"a\": [1,\n\n2]}"),
        "{}",
        event.data
    );
    assert_eq!(event.json()["data"], json!({"a": [1, 2]}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_entries_come_whole_and_slow_readers_hold_nothing_up() {
    let member = Arc::new(strong_member().await);
    let large = format!("\"{}\"", "x".repeat(900_000));
    let mut slow = member.stream("/v1/log/l/follow", &[]).await;
    for _ in 0..8 {
        member.post("/v1/log/l", large.clone()).await.is(201);
    }
    slow.take("leader").await;
    for entry in read(&mut slow, 1, 8).await {
        assert_eq!(entry["data"].as_str().unwrap().len(), 900_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_another_history_is_refused_and_not_waited_for() {
    let member = Arc::new(strong_member().await);
    fill(&member, "l", 1..=3).await;
    let path = "/v1/log/l/follow";
    let ahead = [("last-event-id", "90-900")];
    let answer = member.ask("GET", path, &ahead, "").await;
    answer.is_problem(410, "other-history");
    // A member that is only behind may not know better.
    let stale = format!("{path}?consistency=stale");
    drop(member.stream(&stale, &ahead).await);
    fill(&member, "l", 4..=4).await;
    let begin = [("last-event-id", "3")];
    let mut again = member.stream(path, &begin).await;
    read(&mut again, 4, 4).await;
}
