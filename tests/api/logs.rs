//! `/v1/log`: appending, reading in pages, what is kept.

use serde_json::{Value, json};

use crate::member::{Member, strong_member};

/// Appends that many numbers.
pub(crate) async fn fill(member: &Member, name: &str, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let path = format!("/v1/log/{name}");
        let answer = member.post(&path, number.to_string()).await;
        assert_eq!(answer.is(201).json()["index"], number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_json_comes_out_octet_by_octet_as_it_went_in() {
    let member = strong_member().await;
    let texts = [
        "0",
        "-0",
        "1e400",
        "9007199254740993",
        "0.10",
        "null",
        "\"\"",
        "\"\\u00e9 é \\ud83e\\udda2 🦢 \\u2028\"",
        r#"{"b":1,"a":2,"b":3}"#,
        " {\"mary\" : [1, 2.50,\r\n\tnull ] }\n",
        &format!("{}1{}", "[".repeat(120), "]".repeat(120)),
        &format!("\"{}\"", "x".repeat((1 << 20) - 2)),
    ];
    for (place, text) in texts.iter().enumerate() {
        let answer = member.post("/v1/log/l", (*text).to_owned()).await;
        let answer = answer.is(201).json();
        assert_eq!(answer["index"], place + 1);
        assert!(answer["position"].as_u64().unwrap() > 0);
    }
    for (place, text) in texts.iter().enumerate() {
        let path = format!("/v1/log/l?from={}&limit=1", place + 1);
        let page = member.get(&path).await;
        assert!(
            page.text().contains(&format!(r#","data":{text}}}"#)),
            "{text:.60}"
        );
        assert_eq!(page.text().matches("\"index\"").count(), 1);
    }
    let page = member.get("/v1/log/l?limit=2").await.json();
    let entry = &page["entries"][1];
    assert_eq!(
        (&entry["index"], &entry["author"]),
        (&json!(2), &json!("ann"))
    );
    let written = entry["written"].as_str().unwrap();
    assert!(written.starts_with("2027-01-15T08:00:"), "{written}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_read_in_pages_to_its_end() {
    let member = strong_member().await;
    member
        .get("/v1/log/l")
        .await
        .is_problem(404, "log-not-found");
    fill(&member, "l", 1..=10).await;
    let (mut from, mut read) = (0, Vec::new());
    loop {
        let path = format!("/v1/log/l?from={from}&limit=4");
        let page = member.get(&path).await.is(200).json();
        assert_eq!((&page["first"], &page["end"]), (&json!(1), &json!(11)));
        let entries = page["entries"].as_array().unwrap();
        if entries.is_empty() {
            break;
        }
        read.extend(entries.iter().map(|entry| entry["data"].as_u64().unwrap()));
        from = page["next"].as_u64().unwrap();
    }
    assert_eq!(read, (1..=10).collect::<Vec<_>>());
    assert_eq!(from, 11);
    let yet_to_come = member.get("/v1/log/l?from=99").await.is(200).json();
    assert_eq!(yet_to_come["entries"], json!([]));
    for bad in ["from=x", "from=-1", "limit=0", "limit=10001", "x=1"] {
        let answer = member.get(&format!("/v1/log/l?{bad}")).await;
        answer.is_problem(400, "invalid-query");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_keeps_what_it_is_told_to_keep() {
    let member = strong_member().await;
    fill(&member, "l", 1..=10).await;
    let shown = member.get("/v1/log").await.json();
    let usual = json!({"count": 100_000, "age": null});
    let expected = json!({"name": "l", "first": 1, "next": 11, "retention": usual});
    assert_eq!(shown, json!({"logs": [expected]}));

    let retention = r#"{"retention":{"count":3,"age":"7d"}}"#;
    let kept = member.put("/v1/log/l", retention).await.is(200).json();
    let retention = json!({"count": 3, "age": "7d"});
    assert_eq!(
        kept,
        json!({"name": "l", "first": 8, "retention": retention})
    );
    let trimmed = member.get("/v1/log/l?from=7").await;
    trimmed.is_problem(410, "trimmed");
    assert_eq!(trimmed.json()["first"], 8);
    assert_eq!(
        member.get("/v1/log/l?from=8").await.is(200).json()["first"],
        8
    );

    member.delete("/v1/log/l?before=10").await.is(204);
    assert_eq!(member.get("/v1/log/l").await.json()["first"], 10);
    member.delete("/v1/log/l").await.is(204);
    let empty = member.get("/v1/log/l").await.is(200).json();
    assert_eq!(
        (&empty["entries"], &empty["first"]),
        (&json!([]), &json!(11))
    );
    // An index never means two entries.
    fill(&member, "l", 11..=12).await;

    let empty = r#"{"retention":{}}"#;
    let made = member.put("/v1/log/new", empty).await.is(200).json();
    assert_eq!((&made["first"], &made["retention"]), (&json!(1), &usual));
    member
        .delete("/v1/log/none")
        .await
        .is_problem(404, "log-not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_appended_once() {
    let member = strong_member().await;
    let key = [("idempotency-key", "k")];
    for _ in 0..3 {
        let answer = member.ask("POST", "/v1/log/l", &key, "[1]").await;
        assert_eq!(answer.is(201).json()["index"], 1);
    }
    let answer = member.ask("POST", "/v1/log/l", &key, "[2]").await;
    answer.is_problem(422, "idempotency-key-reused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_entry_or_setting_is_refused() {
    let member = strong_member().await;
    for bad in [
        "",
        " ",
        "{",
        "nul",
        "1 2",
        "'a'",
        "\u{feff}1",
        "[1,]",
        "01",
        r#""\ud800""#,
    ] {
        let answer = member.post("/v1/log/l", bad.to_owned()).await;
        answer.is_problem(400, "invalid-body");
    }
    let answer = member.post("/v1/log/l", vec![b'"', 0xff, b'"']).await;
    answer.is_problem(400, "invalid-body");
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    member
        .post("/v1/log/l", deep)
        .await
        .is_problem(400, "invalid-body");
    let long = format!("\"{}\"", "x".repeat((1 << 20) - 1));
    member
        .post("/v1/log/l", long)
        .await
        .is_problem(413, "value-too-large");
    for bad in [
        "",
        "{}",
        "[]",
        r#"{"retention":{"count":"3"}}"#,
        r#"{"retention":{"count":-3}}"#,
        r#"{"retention":{"age":7}}"#,
        r#"{"retention":{"age":"7"}}"#,
        r#"{"retention":{"age":"soon"}}"#,
        r#"{"retention":{"more":7}}"#,
        r#"{"retention":{},"more":7}"#,
    ] {
        let answer = member.put("/v1/log/l", bad).await;
        answer.is_problem(400, "invalid-body");
    }
    for (bad, code) in [
        (r#"{"retention":{"count":0}}"#, "below-least"),
        (r#"{"retention":{"age":"0s"}}"#, "below-least"),
        (r#"{"retention":{"count":1000001}}"#, "over-limit"),
        (r#"{"retention":{"age":"4000d"}}"#, "over-limit"),
    ] {
        member.put("/v1/log/l", bad).await.is_problem(422, code);
    }
    let answer = member.delete("/v1/log/l?before=x").await;
    answer.is_problem(400, "invalid-query");
    let none: Value = member.get("/v1/log").await.json();
    assert_eq!(none, json!({"logs": []}));
}
