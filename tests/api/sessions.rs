//! `Gaggle-Session`: who brings back a token is answered with as much as it has seen, or not at
//! all.

use gaggle::app::Arrival;
use gaggle::model::{Change, HybridTime, MemberId, Source};
use gaggle::protocol::message::Claim;

use crate::member::{Answer, Member, member_as};
use crate::peers::{stamp, write};

const PATH: &str = "/v1/store/web/a";

fn token(answer: &Answer) -> String {
    let token = answer.header("gaggle-session");
    assert!(!token.is_empty(), "{answer:?}");
    token.to_owned()
}

async fn get_in(member: &Member, session: &str, path: &str) -> Answer {
    member
        .ask("GET", path, &[("gaggle-session", session)], "")
        .await
}

/// What push does: `to` gets all that `from` has applied, with the claim that these are all.
async fn replicate(from: &Member, to: &Member) {
    let applied = from.app.changes_after(0, 1000).expect("few changes");
    let changes = applied
        .iter()
        .map(|applied| applied.change.clone())
        .collect();
    let claim = Claim {
        base: HybridTime::default(),
        upto: from.app.view().store.vector().get(from.app.member()),
    };
    hears(
        to,
        from.app.member(),
        changes,
        vec![(from.app.member(), claim)],
    )
    .await;
}

async fn hears(
    member: &Member,
    from: MemberId,
    changes: Vec<Change>,
    claims: Vec<(MemberId, Claim)>,
) {
    let arrival = Arrival {
        source: Source::Push(from),
        changes,
        claims,
    };
    member.app.merge(arrival).await.expect("it is taken");
}

#[tokio::test]
async fn every_answer_from_the_store_carries_a_token_and_no_other_does() {
    let member = member_as(1);
    let put = member.put(PATH, "1").await;
    token(put.is(201));
    for path in [
        PATH,
        "/v1/store",
        "/v1/store/web",
        "/v1/nodes",
        "/v1/nodes/web",
        "/v1/history/web/a",
        "/v1/conflicts",
        "/v1/store/web/missing",
        "/v1/store/missing",
    ] {
        let first = token(&member.get(path).await);
        let again = get_in(&member, &first, path).await;
        assert_ne!(again.status, 503, "{path}");
        assert_eq!(token(&again), first, "nothing new was seen: {path}");
    }
    token(member.delete(PATH).await.is(204));
    for path in ["/v1/status", "/v1/members", "/metrics", "/livez"] {
        assert_eq!(
            member.get(path).await.header("gaggle-session"),
            "",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_reader_waits_for_its_own_write_on_another_member() {
    let (one, other) = (member_as(1), member_as(2));
    let session = token(&one.put(PATH, "mine").await);
    let read = get_in(&other, &session, PATH);
    let (read, ()) = tokio::join!(read, replicate(&one, &other));
    assert_eq!(read.is(200).text(), "mine");
}

#[tokio::test]
async fn a_member_that_stays_behind_says_so_and_asks_its_peers() {
    let (one, other) = (member_as(1), member_as(2));
    let session = token(&one.put(PATH, "mine").await);
    let read = get_in(&other, &session, PATH);
    let asked = async {
        let mut wants = other.app.wants();
        wants.changed().await.unwrap();
        wants.borrow().clone()
    };
    let (read, asked) = tokio::join!(read, asked);
    assert_eq!(
        read.is_problem(503, "session-behind").header("retry-after"),
        "1"
    );
    assert_eq!(read.json()["outcome"], "not-applied");
    assert!(asked.contains(&one.app.member()));
    let body = [("gaggle-session", &*session)];
    let write = other.ask("PUT", PATH, &body, "yours").await;
    write.is_problem(503, "session-behind");
    other.get(PATH).await.is(404);
    replicate(&one, &other).await;
    get_in(&other, &session, PATH).await.is(200);
}

#[tokio::test]
async fn what_a_member_only_heard_moves_no_token_that_others_could_not_follow() {
    let (one, other) = (member_as(1), member_as(2));
    one.put(PATH, "1").await.is(201);
    replicate(&one, &other).await;
    other.put(PATH, "2").await.is(204);
    replicate(&other, &one).await;
    // The clock of `one` went on with what it heard, and nobody was told.
    let session = token(&one.get(PATH).await);
    assert_eq!(get_in(&other, &session, PATH).await.is(200).text(), "2");
}

#[tokio::test]
async fn a_version_that_came_without_a_claim_is_in_the_token_of_who_read_it() {
    let (one, other) = (member_as(1), member_as(2));
    let path = "/v1/store/web/colour";
    let red = write(9, 1, &[], Some(b"red"));
    hears(&one, MemberId::from_u64(9), vec![red.clone()], Vec::new()).await;
    let of_key = token(one.get(path).await.is(200));
    let of_node = token(one.get("/v1/store/web").await.is(200));
    let of_another = token(&one.get(PATH).await);
    get_in(&other, &of_another, path).await.is(404);
    for session in [&of_key, &of_node] {
        get_in(&other, session, path)
            .await
            .is_problem(503, "session-behind");
    }
    let claim = Claim {
        base: HybridTime::default(),
        upto: stamp(9, 1).time,
    };
    let claims = vec![(MemberId::from_u64(9), claim)];
    hears(&other, MemberId::from_u64(9), vec![red], claims).await;
    for session in [&of_key, &of_node] {
        assert_eq!(get_in(&other, session, path).await.is(200).text(), "red");
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let member = member_as(1);
    let session = token(&member.put(PATH, "1").await);
    for bad in ["", "x", "!", &session[1..], &format!("{session}AA")] {
        let got = get_in(&member, bad, PATH).await;
        got.is_problem(400, "bad-session");
    }
    let twice = [("gaggle-session", &*session), ("gaggle-session", &*session)];
    let got = member.ask("GET", PATH, &twice, "").await;
    got.is_problem(400, "bad-session");
    let elsewhere = [("gaggle-session", "x")];
    member
        .ask("GET", "/v1/status", &elsewhere, "")
        .await
        .is(200);
}
