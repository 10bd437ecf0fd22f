//! How groups come to be.

use std::sync::Arc;

use gaggle::strong::engine::{MemoryDisk, Plan, StrongError};

use crate::net::{Member, Net};
use crate::steps::{add, leader, members, read, until};

fn names(names: &[&str]) -> Plan {
    Plan::Names(names.iter().map(|name| (*name).to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_works_alone_at_once() {
    let net = Net::default();
    let alone = members(&net, 1, &Plan::Size(1)).await;
    assert_eq!(add(&alone[0].engine, "c", 5).await, Ok(5));
    assert_eq!(read(&alone[0].engine, "c").await, Ok(Some(5)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_found_one_group_and_any_of_them_takes_commands() {
    let net = Net::default();
    let three = members(&net, 3, &Plan::Size(3)).await;
    leader(&three).await;
    for (at, member) in three.iter().enumerate() {
        let value = i64::try_from(at).unwrap() + 1;
        assert_eq!(add(&member.engine, "c", 1).await, Ok(value));
    }
    for member in &three {
        assert_eq!(read(&member.engine, "c").await, Ok(Some(3)));
    }
    let groups: Vec<_> = three.iter().map(|it| it.engine.status().group).collect();
    assert!(
        groups
            .iter()
            .all(|group| group.is_some() && *group == groups[0])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_wait_and_say_for_whom() {
    let net = Net::default();
    let two = members(&net, 2, &Plan::Size(3)).await;
    let why = || two[0].engine.status().why.unwrap_or_default();
    until("they say what they wait for", || why().contains("1 more")).await;
    assert_eq!(two[0].engine.status().state, "forming");
    let disk = Arc::new(MemoryDisk::new());
    let third = net.start(3, Plan::Size(3), disk).await;
    assert_eq!(add(&third.engine, "c", 1).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_voters_found_the_group_and_others_learn() {
    let net = Net::default();
    let plan = names(&["m2", "m3", "m4"]);
    let four = members(&net, 4, &plan).await;
    leader(&four).await;
    let votes = || {
        let status = four[1].engine.status();
        let votes: Vec<_> = status
            .members
            .iter()
            .map(|it| (it.name.clone(), it.votes))
            .collect();
        votes
    };
    until("the first one learns", || {
        votes().contains(&("m1".to_owned(), false))
    })
    .await;
    assert_eq!(votes().iter().filter(|(_, votes)| *votes).count(), 3);
    assert_eq!(add(&four[0].engine, "c", 1).await, Ok(1));
    assert_eq!(read(&four[0].engine, "c").await, Ok(Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_other_plans_found_nothing_together() {
    let net = Net::default();
    let one = net
        .start(1, names(&["m1", "m2"]), Arc::new(MemoryDisk::new()))
        .await;
    let two = net
        .start(2, names(&["m1", "m2", "m3"]), Arc::new(MemoryDisk::new()))
        .await;
    let why = |at: &crate::net::Member| at.engine.status().why.unwrap_or_default();
    until("they wait", || {
        why(&one).contains("m2") && why(&two).contains("m1")
    })
    .await;
    assert_eq!(one.engine.status().group, None);
    assert_eq!(two.engine.status().group, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_groups_that_meet_the_younger_one_is_fenced() {
    let net = Net::default();
    let older = net
        .start(1, Plan::Size(1), Arc::new(MemoryDisk::new()))
        .await;
    assert_eq!(add(&older.engine, "c", 1).await, Ok(1));
    // It does not see the other one yet.
    let apart = Net::default();
    let younger = apart
        .start(2, Plan::Size(1), Arc::new(MemoryDisk::new()))
        .await;
    assert_eq!(add(&younger.engine, "c", 7).await, Ok(7));
    let disk = apart.kill(younger);
    let younger = net.start(2, Plan::Size(1), disk).await;
    until("it is fenced", || younger.engine.status().state == "fenced").await;
    assert!(add(&younger.engine, "c", 1).await.is_err());
    // What it has can be read, to be saved; it goes on alone by no means.
    until("it shows what it has", || {
        let view = younger.engine.local();
        view.state.counters().counter("c").map(|at| at.value) == Some(7)
    })
    .await;
    let refused = younger.engine.recover().await;
    assert!(
        matches!(&refused, Err(StrongError::Impossible(why)) if why.contains("founded before")),
        "{refused:?}"
    );
    assert_eq!(read(&older.engine, "c").await, Ok(Some(1)));
    let strangers = |member: &Member| {
        let met = member.engine.status().strangers.into_iter();
        met.map(|(name, _)| name).collect::<Vec<_>>()
    };
    until("each names the other", || {
        strangers(&older) == ["m2"] && strangers(&younger) == ["m1"]
    })
    .await;
    // The way out: it gives its own up and learns from the other.
    younger.engine.reset(false).await.unwrap();
    assert_eq!(read(&younger.engine, "c").await, Ok(Some(1)));
    until("none is a stranger", || {
        strangers(&older).is_empty() && strangers(&younger).is_empty()
    })
    .await;
}
