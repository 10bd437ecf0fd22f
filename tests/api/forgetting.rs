//! `/v1/members`: who belongs to the cluster without being here, and forgetting them.

use std::sync::Arc;

use gaggle::api::{MemberState, MemberView};
use gaggle::app::Arrival;
use gaggle::model::{Change, MemberId, Source, Standing, WallTime};

use crate::member::{ID, Member, USER, member};

/// A member that knows another one, which is in this state.
async fn with(id: u64, name: &str, state: MemberState) -> Member {
    let member = member();
    know(&member, id, name, state).await;
    member
}

async fn know(member: &Member, id: u64, name: &str, state: MemberState) {
    let id = MemberId::from_u64(id);
    let standing = Standing::Known {
        since: WallTime::from_millis(1),
        name: name.into(),
    };
    let arrival = Arrival {
        source: Source::Sync(id),
        changes: vec![Change::Member {
            member: id,
            standing: Arc::new(standing),
        }],
        claims: Vec::new(),
    };
    member.app.merge(arrival).await.unwrap();
    let view = MemberView {
        id,
        name: name.to_owned(),
        address: None,
        state,
        incarnation: None,
        version: None,
        since: WallTime::from_millis(1),
        lag_ms: None,
        digest: None,
        in_sync: false,
        watched_over: None,
        clock_offset_ms: None,
        forgotten_by: (state == MemberState::Forgotten).then(|| "bob".to_owned()),
        is_self: false,
    };
    member.directory.more.lock().unwrap().push(view);
}

fn is_forgotten(member: &Member, id: u64) -> bool {
    member.app.view().store.is_forgotten(MemberId::from_u64(id))
}

#[tokio::test]
async fn a_dead_member_is_forgotten_once_and_for_all() {
    let member = with(9, "nine", MemberState::Dead).await;
    for _ in 0..2 {
        let answer = member.delete("/v1/members/nine").await;
        assert!(answer.is(204).body.is_empty());
        assert!(is_forgotten(&member, 9));
    }
    let view = member.app.view();
    let standing = view.store.standing(MemberId::from_u64(9)).unwrap();
    let Standing::Forgotten { author, stamp, .. } = &**standing else {
        panic!("{standing:?}")
    };
    assert_eq!((&**author, stamp.member), (USER, ID));
}

#[tokio::test]
async fn a_member_that_is_here_is_forgotten_only_by_force() {
    let member = with(9, "nine", MemberState::Suspect).await;
    for path in [
        "/v1/members/nine",
        "/v1/members/0000000000000009?force=false",
    ] {
        let answer = member.delete(path).await;
        answer.is_problem(409, "member-alive");
        assert!(answer.json()["hint"].as_str().unwrap().contains("force"));
    }
    assert!(!is_forgotten(&member, 9));
    let answer = member.delete("/v1/members/nine?force=true").await;
    let warning = answer.is(204).header("gaggle-warning").to_owned();
    assert!(warning.contains("it was suspect"), "{warning}");
    assert!(is_forgotten(&member, 9));
}

#[tokio::test]
async fn forgetting_from_the_smaller_side_of_a_cut_is_warned_of() {
    let member = with(9, "nine", MemberState::Dead).await;
    for (id, name) in [(10, "ten"), (11, "eleven"), (12, "twelve")] {
        know(&member, id, name, MemberState::Dead).await;
    }
    let answer = member.delete("/v1/members/nine").await;
    let warning = answer.is(204).header("gaggle-warning").to_owned();
    assert!(warning.contains("only 2 of the 6 members"), "{warning}");
}

#[tokio::test]
async fn who_cannot_be_forgotten_is_told_why() {
    let member = with(9, "twin", MemberState::Dead).await;
    know(&member, 10, "twin", MemberState::Dead).await;
    for (word, status, code) in [
        ("seven", 409, "member-is-self"),
        ("0000000000000007?force=true", 409, "member-is-self"),
        ("twin", 409, "member-ambiguous"),
        ("nobody", 404, "member-not-found"),
        ("00000000000000ff", 404, "member-not-found"),
        ("nine?force=perhaps", 400, "invalid-query"),
        ("%zz", 400, "invalid-name"),
    ] {
        let answer = member.delete(&format!("/v1/members/{word}")).await;
        answer.is_problem(status, code);
    }
    member.delete("/v1/members/000000000000000a").await.is(204);
    assert!(is_forgotten(&member, 10) && !is_forgotten(&member, 9));
}

#[tokio::test]
async fn forgotten_members_are_listed_only_when_asked_for() {
    let member = with(9, "nine", MemberState::Forgotten).await;
    know(&member, 10, "ten", MemberState::Dead).await;
    let listed = async |path: &str| {
        let list = member.get(path).await.is(200).json();
        let names = list["members"].as_array().unwrap().iter();
        names
            .map(|at| at["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed("/v1/members").await, ["seven", "eight", "ten"]);
    let all = listed("/v1/members?all=true").await;
    assert_eq!(all, ["seven", "eight", "nine", "ten"]);
    let all = member.get("/v1/members?all=true").await.json();
    assert_eq!(all["members"][2]["forgotten_by"], "bob");
    assert_eq!(all["members"][2]["state"], "forgotten");
    assert!(all["members"][3]["address"].is_null());
    let answer = member.get("/v1/members?all=perhaps").await;
    answer.is_problem(400, "invalid-query");
}
