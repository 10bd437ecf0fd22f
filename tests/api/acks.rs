//! `?ack=`: a write that waits until several members have it on disk, and what is told if not.

use std::sync::Arc;

use gaggle::app::{Arrival, Upkeep};
use gaggle::model::{Change, MemberId, Source, Standing, WallTime};
use serde_json::json;

use crate::member::{Member, member};

const PATH: &str = "/v1/store/web/a";

/// A member that knows of `count` others.
async fn among(count: u64) -> Member {
    let member = member();
    let known = |id| Change::Member {
        member: MemberId::from_u64(id),
        standing: Arc::new(Standing::Known {
            since: WallTime::from_millis(1),
            name: "a peer".into(),
        }),
    };
    let arrival = Arrival {
        source: Source::Sync(MemberId::from_u64(100)),
        changes: (100..100 + count).map(known).collect(),
        claims: Vec::new(),
    };
    member.app.merge(arrival).await.expect("it is taken");
    let enlist = Upkeep::Enlist("seven".into());
    member.app.upkeep(enlist).await.expect("it is taken");
    assert_eq!(member.app.view().store.known().count() as u64, count + 1);
    member
}

/// A peer tells that it has all that this member wrote.
fn tells(member: &Member, peer: u64) {
    let position = member.app.view().own;
    member.app.acks().tell(MemberId::from_u64(peer), position);
}

#[tokio::test]
async fn a_write_that_waits_for_nobody_else_is_answered_at_once() {
    let member = among(2).await;
    member.put(&format!("{PATH}?ack=1"), "x").await.is(201);
    member
        .put(&format!("{PATH}?ack=1&timeout=1s"), "x")
        .await
        .is(204);
    let alone = crate::member::member();
    alone.put(&format!("{PATH}?ack=all"), "x").await.is(201);
    alone.put(&format!("{PATH}?ack=quorum"), "x").await.is(204);
}

#[tokio::test]
async fn a_write_is_answered_when_so_many_have_it() {
    let member = among(4).await;
    for (ack, peers) in [("2", 1), ("quorum", 2), ("all", 4)] {
        let path = format!("{PATH}?ack={ack}&timeout=1m");
        let before = member.app.view().own;
        let put = member.put(&path, "x");
        let peers = async {
            let mut revisions = member.app.revisions();
            while member.app.view().own == before {
                revisions.changed().await.unwrap();
            }
            (100..100 + peers).for_each(|peer| tells(&member, peer));
        };
        let (answer, ()) = tokio::join!(put, peers);
        assert!(answer.status.is_success(), "{ack}: {answer:?}");
    }
}

#[tokio::test]
async fn a_write_that_too_few_have_in_time_is_done_here_and_says_so() {
    let member = among(2).await;
    // One that does not belong to the cluster counts for nothing.
    member.app.acks().tell(
        MemberId::from_u64(999),
        gaggle::model::HybridTime::from_bits(u64::MAX),
    );
    let late = member
        .put(&format!("{PATH}?ack=all&timeout=20ms"), "x")
        .await;
    let problem = late.is_problem(504, "ack-timeout").json();
    assert_eq!(
        [
            &problem["outcome"],
            &problem["acknowledged"],
            &problem["wanted"]
        ],
        [&json!("applied"), &json!(1), &json!(3)]
    );
    let peer = |id| json!({ "id": MemberId::from_u64(id).to_string(), "name": "a peer" });
    assert_eq!(problem["missing"], json!([peer(100), peer(101)]));
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("a peer (0000000000000064), a peer"),
        "{detail}"
    );
    assert_eq!(member.get(PATH).await.text(), "x");
    // The same again changes nothing for a PATCH, and still waits for what was written before.
    let patch = async |timeout: &str| {
        let path = format!("/v1/store/web?ack=2&timeout={timeout}");
        member.ask("PATCH", &path, &[], r#"{"a":"x"}"#).await
    };
    patch("20ms").await.is_problem(504, "ack-timeout");
    tells(&member, 101);
    patch("1m").await.is(204);
    let many = member.put(&format!("{PATH}?ack=9&timeout=20ms"), "y").await;
    let many = many.is_problem(504, "ack-timeout").json();
    assert_eq!(many["wanted"], 9);
    assert_eq!(many["missing"], json!([peer(100), peer(101)]));
    let hint = many["hint"].as_str().unwrap();
    assert!(hint.contains("has 3 of 9 members"), "{hint}");
}

#[tokio::test]
async fn peers_that_do_not_say_are_asked() {
    let member = among(2).await;
    tells(&member, 100);
    let path = format!("{PATH}?ack=all&timeout=1m");
    let put = member.put(&path, "x");
    let asked = async {
        let mut wants = member.app.wants();
        wants.changed().await.unwrap();
        let asked = wants.borrow().clone();
        let missing = [100, 101].map(MemberId::from_u64);
        assert!(missing.iter().all(|peer| asked.contains(peer)), "{asked:?}");
        (100..102).for_each(|peer| tells(&member, peer));
    };
    let (answer, ()) = tokio::join!(put, asked);
    answer.is(201);
}

#[tokio::test]
async fn every_write_takes_it_and_nonsense_changes_nothing() {
    let member = member();
    for bad in [
        "ack=0",
        "ack=",
        "ack=most",
        "timeout=1s",
        "ack=1&timeout=x",
        "ack=1&x=1",
    ] {
        for (method, path) in [
            ("PUT", PATH),
            ("PUT", "/v1/store/web"),
            ("PATCH", "/v1/store/web"),
            ("PUT", "/v1/nodes/web"),
            ("DELETE", PATH),
            ("POST", "/v1/history/web/a/restore"),
        ] {
            let got = member
                .ask(method, &format!("{path}?{bad}"), &[], "{}")
                .await;
            got.is_problem(400, "invalid-query");
        }
    }
    member
        .get("/v1/store/web")
        .await
        .is_problem(404, "node-not-found");
    member
        .get("/v1/store/web?ack=1")
        .await
        .is_problem(400, "invalid-query");
    let ask = async |method: &str, path: &str, body: String| {
        let path = format!("{path}?ack=quorum&timeout=1s");
        member.ask(method, &path, &[], body).await
    };
    ask("PUT", "/v1/store/web", r#"{"a":"1"}"#.into())
        .await
        .is(201);
    ask("PATCH", "/v1/store/web", r#"{"a":"2"}"#.into())
        .await
        .is(204);
    ask("PUT", "/v1/nodes/web", r#"{"history":3}"#.into())
        .await
        .is(204);
    ask("PATCH", "/v1/nodes/web", r#"{"history":4}"#.into())
        .await
        .is(204);
    let stamp = member.get(PATH).await.header("etag").replace('"', "");
    let body = json!({ "stamp": stamp }).to_string();
    ask("POST", "/v1/history/web/a/restore", body).await.is(204);
    ask("DELETE", PATH, String::new()).await.is(204);
    ask("DELETE", "/v1/store/web", String::new()).await.is(204);
}
