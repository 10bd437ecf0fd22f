//! What an operator sees of the strong side, and changes: `/v1/quorum`, status, readiness, metrics.

use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::strong::engine::Trouble;
use serde_json::{Value, json};

use crate::member::{Answer, Member, strong_member};
use crate::strong_classes::{Three, within};

/// The check of the strong side in `/readyz?verbose`, and whether the member is ready.
async fn check(member: &Member) -> (Value, Value) {
    let answer = member.get("/readyz?verbose").await.json();
    let checks = answer["checks"].as_array().unwrap();
    let mut checks = checks.iter().filter(|at| at["code"] == "strong-side");
    (checks.next().unwrap().clone(), answer["ready"].clone())
}

/// A value on the page of metrics.
async fn metric(member: &Member, name: &str) -> Option<f64> {
    let page = member.get("/metrics").await;
    let mut lines = page.text().lines();
    let line = lines.find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(' ')
            .map(str::to_owned)
    });
    line?.parse().ok()
}

async fn quorum(member: &Member) -> Value {
    member.get("/v1/quorum").await.is(200).json()
}

async fn act(member: &Member, action: &str, body: &Value) -> Answer {
    let path = format!("/v1/quorum/{action}");
    member.post(&path, body.to_string()).await
}

/// Time for others between two looks: an answer that waits for nothing lets nobody else run.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// Which member leads, as all see it.
async fn leader(three: &Three) -> usize {
    loop {
        pause().await;
        let mut told = Vec::new();
        for member in &three.members {
            told.push(member.get("/v1/leader").await.json()["id"].clone());
        }
        let numbers = ["1", "2", "3"].map(|number| json!(format!("{number:0>16}")));
        let at = numbers.iter().position(|id| *id == told[0]);
        if let Some(at) = at
            && told.iter().all(|id| *id == told[0])
        {
            return at;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_its_majority_says_so_everywhere() {
    let three = Three::start().await;
    let at = within(20, leader(&three)).await;
    let member = &three.members[at];
    let (found, ready) = check(member).await;
    assert_eq!((&found["ok"], &ready), (&json!(true), &json!(true)));
    let detail = found["detail"].as_str().unwrap();
    assert!(detail.contains("this member leads"), "{detail}");
    assert!(detail.contains("3 of 3 voters are alive"), "{detail}");
    let seen = quorum(member).await;
    assert_eq!(
        (&seen["majority"], &seen["missing"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(seen["role"], "leader");
    for part in seen["members"].as_array().unwrap() {
        assert_eq!(part["alive"], true, "{part}");
        assert!(part["lacks"].is_u64(), "the leader knows: {part}");
    }
    let status = member.get("/v1/status").await.json()["strong"].clone();
    assert_eq!(status["leader"], format!("m{}", at + 1));
    let all = json!([
        {"name": "m1", "alive": true}, {"name": "m2", "alive": true}, {"name": "m3", "alive": true}
    ]);
    assert_eq!(status["voters"], all);
    assert_eq!(
        (&status["role"], &status["group"]),
        (&json!("leader"), &seen["group"])
    );
    for (name, value) in [
        ("gaggle_strong_working", 1.0),
        ("gaggle_strong_is_leader", 1.0),
        ("gaggle_strong_has_leader", 1.0),
        ("gaggle_strong_has_majority", 1.0),
        ("gaggle_strong_voters", 3.0),
        ("gaggle_strong_voters_alive", 3.0),
        ("gaggle_strong_learners", 0.0),
        ("gaggle_health{check=\"strong-side\"}", 1.0),
    ] {
        assert_eq!(metric(member, name).await, Some(value), "{name}");
    }
    let count = |name| async move { metric(member, name).await.unwrap() };
    within(5, async {
        while count("gaggle_strong_leader_changes_total").await < 1.0 {
            pause().await;
        }
    })
    .await;
    let last = count("gaggle_strong_last_index").await;
    assert!(last >= 1.0);
    let entries = count("gaggle_strong_log_entries").await;
    assert!(
        (entries - last - 1.0).abs() < 0.1,
        "the first has the index 0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_cut_off_names_who_is_missing_and_stays_ready() {
    let three = Three::start().await;
    within(20, leader(&three)).await;
    three.net.cut(&[3]);
    let member = &three.members[2];
    within(10, async {
        let path = "/v1/counters/c?timeout=300ms";
        while member.post(path, r#"{"add":1}"#).await.code() != "no-quorum" {
            pause().await;
        }
    })
    .await;
    let (found, ready) = check(member).await;
    assert_eq!(
        (&found["ok"], &found["severity"]),
        (&json!(false), &json!("warning"))
    );
    assert_eq!(ready, true, "the eventual side serves on");
    member.ask_as_is("GET", "/readyz", &[], "").await.is(200);
    let detail = found["detail"].as_str().unwrap();
    assert!(detail.contains("nobody leads"), "{detail}");
    let needed = "1 of 3 voters are alive, 2 are needed; missing: m1, m2";
    assert!(detail.contains(needed), "{detail}");
    let seen = quorum(member).await;
    assert_eq!(
        (&seen["majority"], &seen["leader"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(seen["missing"], json!(["m1", "m2"]));
    let alive: Vec<&Value> = seen["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|at| &at["alive"])
        .collect();
    assert_eq!(alive, [&json!(false), &json!(false), &json!(true)]);
    assert_eq!(
        member.get("/v1/status").await.json()["strong"]["majority"],
        false
    );
    for (name, value) in [
        ("gaggle_strong_is_leader", 0.0),
        ("gaggle_strong_has_leader", 0.0),
        ("gaggle_strong_has_majority", 0.0),
        ("gaggle_strong_voters_alive", 1.0),
        ("gaggle_health{check=\"strong-side\"}", 0.0),
    ] {
        assert_eq!(metric(member, name).await, Some(value), "{name}");
    }
    let refused = r#"gaggle_strong_requests_total{kind="write",result="no-quorum"}"#;
    assert!(metric(member, refused).await.unwrap() >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_what_came_of_them() {
    let member = strong_member().await;
    member.post("/v1/counters/c", r#"{"add":1}"#).await.is(200);
    let expects = r#"{"set":1,"expect":7}"#;
    member.post("/v1/counters/c", expects).await.is(409);
    member.get("/v1/counters/c").await.is(200);
    for (name, value) in [
        (
            r#"gaggle_strong_requests_total{kind="write",result="ok"}"#,
            1.0,
        ),
        (
            r#"gaggle_strong_requests_total{kind="write",result="refused"}"#,
            1.0,
        ),
        (
            r#"gaggle_strong_requests_total{kind="read",result="ok"}"#,
            1.0,
        ),
        (r#"gaggle_strong_request_seconds_count{kind="write"}"#, 2.0),
        (r#"gaggle_strong_request_seconds_count{kind="read"}"#, 1.0),
    ] {
        assert_eq!(metric(&member, name).await, Some(value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_is_answered_with_the_new_leader_whoever_is_asked() {
    let three = Three::start().await;
    for asked in &three.members {
        let at = within(20, leader(&three)).await;
        let next = format!("m{}", (at + 1) % 3 + 1);
        let answer = act(asked, "transfer", &json!({"member": next})).await;
        let after = answer.is(200).json();
        let members = after["members"].as_array().unwrap();
        let leads = members.iter().find(|part| part["role"] == "leader");
        assert_eq!(
            leads.map(|part| &part["name"]),
            Some(&json!(next)),
            "{after}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_voters_is_in_the_answer_whoever_is_asked() {
    let three = Three::start().await;
    for asked in &three.members {
        let at = within(20, leader(&three)).await;
        let whom = json!({"member": format!("m{}", (at + 1) % 3 + 1)});
        let is_so = |after: &Value, role: &str| {
            let members = after["members"].as_array().unwrap();
            members
                .iter()
                .any(|it| it["name"] == whom["member"] && it["role"] == role)
        };
        let after = act(asked, "demote", &whom).await.is(200).json();
        assert!(is_so(&after, "learner"), "{after}");
        let nobody = act(asked, "promote", &json!({"member": "nobody"})).await;
        nobody.is_problem(404, "not-in-group");
        let name = whom["member"].as_str().unwrap();
        assert_eq!(nobody.json()["hint"], format!("its learners: {name}"));
        let after = act(asked, "promote", &whom).await.is(200).json();
        assert!(is_so(&after, "voter"), "{after}");
    }
    let nobody = act(&three.members[0], "promote", &json!({"member": "nobody"})).await;
    let hint = nobody.json()["hint"].as_str().unwrap().to_owned();
    assert!(
        hint.contains("no learner: start a member with --cluster-size 3"),
        "{hint}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovered_group_works_when_it_is_answered() {
    let three = Three::start().await;
    within(20, leader(&three)).await;
    three.net.cut(&[3]);
    let member = &three.members[2];
    within(20, async {
        while quorum(member).await["leader"] != Value::Null {
            pause().await;
        }
    })
    .await;
    let after = act(member, "recover", &json!({})).await.is(200).json();
    assert_eq!(
        (&after["role"], &after["epoch"]),
        (&json!("leader"), &json!(2))
    );
    assert_eq!(after["missing"], json!([]));
    let path = "/v1/counters/c?timeout=300ms";
    member.post(path, r#"{"add":1}"#).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_disk_failed_says_so_at_once() {
    let three = Three::start().await;
    let at = within(20, leader(&three)).await;
    let member = &three.members[at];
    three.disks[at].trouble(Trouble::FailsBefore);
    let path = "/v1/counters/c?timeout=300ms";
    within(20, async {
        while member.post(path, r#"{"add":1}"#).await.code() != "strong-side-down" {
            pause().await;
        }
    })
    .await;
    // No election of the others, and no try with the disk, makes it any slower.
    for _ in 0..20 {
        for (method, body) in [("POST", r#"{"add":1}"#), ("GET", "")] {
            let begun = mono();
            let answer = member.ask(method, "/v1/counters/c", &[], body).await;
            answer.is_problem(503, "strong-side-down");
            assert_eq!(answer.json()["outcome"], "not-applied");
            assert!(mono().since(begun) < Duration::from_millis(500));
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let (found, ready) = check(member).await;
    assert_eq!((&found["ok"], &ready), (&json!(false), &json!(true)));
    let detail = found["detail"].as_str().unwrap();
    assert!(detail.starts_with("failed: "), "{detail}");
    assert_eq!(quorum(member).await["state"], "failed");
    assert_eq!(metric(member, "gaggle_strong_working").await, Some(0.0));
    let down = r#"gaggle_strong_requests_total{kind="write",result="down"}"#;
    assert!(metric(member, down).await.unwrap() >= 20.0);
    three.disks[at].restart();
    within(20, async {
        while member.post(path, r#"{"add":1}"#).await.status != 200 {
            pause().await;
        }
    })
    .await;
    assert_eq!(check(member).await.0["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_names_a_voter_that_is_alive_and_does_not_answer_it() {
    let three = Three::start().await;
    let at = within(20, leader(&three)).await;
    let failed = format!("m{}", at + 1);
    three.disks[at].trouble(Trouble::FailsBefore);
    let path = "/v1/counters/c?timeout=300ms";
    within(20, async {
        while three.members[at].post(path, r#"{"add":1}"#).await.code() != "strong-side-down" {
            pause().await;
        }
    })
    .await;
    let others = [(at + 1) % 3, (at + 2) % 3].map(|other| &three.members[other]);
    let missing = || async {
        for other in others {
            let seen = quorum(other).await;
            if seen["role"] == "leader" {
                return seen["missing"].clone();
            }
        }
        json!("nobody leads")
    };
    within(20, async {
        while missing().await != json!([failed]) {
            pause().await;
        }
    })
    .await;
    for other in others {
        let seen = quorum(other).await;
        let parts = seen["members"].as_array().unwrap();
        let part = parts.iter().find(|part| part["name"] == failed).unwrap();
        let is_leader = seen["role"] == "leader";
        assert_eq!(
            (&part["alive"], &part["silent"]),
            (&json!(true), &json!(is_leader))
        );
    }
    three.disks[at].restart();
    within(20, async {
        while missing().await != json!([]) {
            pause().await;
        }
    })
    .await;
}
