//! What a group survives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::io::tasks::Tasks;
use gaggle::strong::engine::{Matter, MemoryDisk, Plan, StrongError};

use crate::net::{Member, Net};
use crate::steps::{LONG, add, leader, members, read, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_is_replaced_and_nothing_is_lost() {
    let net = Net::default();
    let mut three = members(&net, 3, &Plan::Size(3)).await;
    let at = leader(&three).await;
    for value in 1..=20 {
        assert_eq!(add(&three[at].engine, "c", 1).await, Ok(value));
    }
    let dead = three.remove(at);
    let number = dead.id.as_u64();
    let disk = net.kill(dead);
    leader(&three).await;
    assert_eq!(add(&three[0].engine, "c", 1).await, Ok(21));
    assert_eq!(read(&three[1].engine, "c").await, Ok(Some(21)));
    let back = net.start(number, Plan::Size(3), disk).await;
    assert_eq!(read(&back.engine, "c").await, Ok(Some(21)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_what_is_old_from_a_leader_that_is_back_before_it_is_missed() {
    let net = Net::default();
    let mut three = members(&net, 3, &Plan::Size(3)).await;
    for round in 1..=12 {
        let at = leader(&three).await;
        assert_eq!(add(&three[at].engine, "c", 1).await, Ok(round));
        let leads = three.remove(at);
        let number = leads.id.as_u64();
        let disk = net.kill(leads);
        // Some are told what is committed later than they are told who leads.
        net.slow_about(Matter::Append, Duration::from_millis(2), 400);
        let back = net.start(number, Plan::Size(3), disk).await;
        until("it takes part", || back.engine.status().state == "working").await;
        three.insert(at, back);
        let tasks = Tasks::new();
        let stale = Arc::new(AtomicUsize::new(0));
        for place in 0..12_u64 {
            let engine = three[usize::try_from(place % 3).unwrap()].engine.clone();
            let stale = stale.clone();
            tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(2 * place)).await;
                let seen = engine.fresh(Duration::from_millis(500)).await;
                let is_stale = seen.is_ok_and(|view| {
                    let counter = view.state.counters().counter("c");
                    counter.map(|at| at.value) != Some(round)
                });
                stale.fetch_add(is_stale.into(), Ordering::Relaxed);
            });
        }
        assert!(tasks.stop(LONG).await, "a read does not end");
        assert_eq!(stale.load(Ordering::Relaxed), 0, "in round {round}");
        net.heal();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_start_again_with_what_they_had() {
    let net = Net::default();
    let three = members(&net, 3, &Plan::Size(3)).await;
    leader(&three).await;
    assert_eq!(add(&three[0].engine, "c", 9).await, Ok(9));
    let disks: Vec<_> = three.into_iter().map(|member| net.kill(member)).collect();
    let mut again = Vec::new();
    for (number, disk) in (1..).zip(disks) {
        again.push(net.start(number, Plan::Size(3), disk).await);
    }
    assert_eq!(read(&again[2].engine, "c").await, Ok(Some(9)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_refuses_soon_and_never_answers_stale() {
    let net = Net::default();
    let three = members(&net, 3, &Plan::Size(3)).await;
    let at = leader(&three).await;
    assert_eq!(add(&three[at].engine, "c", 1).await, Ok(1));
    net.cut(&[three[at].id.as_u64()]);
    let other = (at + 1) % 3;
    let others = || three[other].engine.status().leader;
    until("another one leads", || {
        others().is_some_and(|it| it != three[at].id)
    })
    .await;
    assert_eq!(add(&three[other].engine, "c", 1).await, Ok(2));
    // The old leader was alone all that time.
    // It sees too few voters to hope for an election: one takes 0.9 s at most.
    let soon = |begun| mono().since(begun) < Duration::from_millis(1_700);
    let begun = mono();
    let refused = three[at].engine.fresh(LONG).await;
    assert!(matches!(refused, Err(StrongError::NoQuorum)), "{refused:?}");
    assert!(soon(begun));
    let begun = mono();
    let refused = add(&three[at].engine, "c", 1).await;
    assert_eq!(refused, Err(StrongError::NoQuorum));
    assert!(soon(begun));
    net.heal();
    assert_eq!(read(&three[at].engine, "c").await, Ok(Some(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_takes_the_place_of_a_voter_that_is_away() {
    let net = Net::default();
    let soon = Some(Duration::from_secs(1));
    let mut four = Vec::new();
    for number in 1..=4 {
        let disk = Arc::new(MemoryDisk::new());
        four.push(net.start_with(number, Plan::Size(3), disk, soon).await);
    }
    leader(&four).await;
    until("the fourth learns", || {
        four[0].engine.status().members.len() == 4
    })
    .await;
    let voters = |at: usize| {
        let status = four[at].engine.status();
        let voters = status.members.into_iter().filter(|it| it.votes);
        voters.map(|it| it.member).collect::<Vec<_>>()
    };
    let lead = leader(&four).await;
    let dead = (0..4)
        .find(|at| *at != lead && voters(0).contains(&four[*at].id))
        .unwrap();
    let dead_id = four[dead].id;
    let rest: Vec<usize> = (0..4).filter(|at| *at != dead).collect();
    net.cut(&[dead_id.as_u64()]);
    until("the learner votes", || {
        let now = voters(rest[0]);
        now.len() == 3 && !now.contains(&dead_id)
    })
    .await;
    // Another one may go now.
    let second = rest.into_iter().find(|at| *at != lead).unwrap();
    net.cut(&[four[second].id.as_u64(), dead_id.as_u64()]);
    assert_eq!(add(&four[lead].engine, "c", 1).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_set_back_to_an_older_copy_gets_another_id() {
    let net = Net::default();
    let mut three = members(&net, 3, &Plan::Size(3)).await;
    let lead = leader(&three).await;
    let at = (lead + 1) % 3;
    assert_eq!(add(&three[lead].engine, "c", 1).await, Ok(1));
    assert_eq!(read(&three[at].engine, "c").await, Ok(Some(1)));
    let copy = Arc::new(three[at].disk.copy());
    let voter = three[at].engine.status().voter;
    for _ in 0..50 {
        add(&three[lead].engine, "c", 1).await.unwrap();
    }
    assert_eq!(read(&three[at].engine, "c").await, Ok(Some(51)));
    let number = three[at].id.as_u64();
    let gone = three.remove(at);
    net.kill(gone);
    let back = net.start(number, Plan::Size(3), copy).await;
    until("it begins again", || back.engine.status().voter != voter).await;
    assert_eq!(read(&back.engine, "c").await, Ok(Some(51)));
    until("the id that nobody has any more leaves", || {
        let ids = |member: &Member| {
            let members = member.engine.status().members;
            members.iter().filter(|it| it.votes).count() == 3 && members.len() == 3
        };
        ids(&three[0]) && ids(&back)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_majority_is_recovered_from_one_survivor() {
    let net = Net::default();
    let mut three = members(&net, 3, &Plan::Size(3)).await;
    leader(&three).await;
    assert_eq!(add(&three[0].engine, "c", 3).await, Ok(3));
    assert_eq!(read(&three[2].engine, "c").await, Ok(Some(3)));
    let survivor = three.pop().unwrap();
    let other = three.pop().unwrap();
    let lost = three.pop().unwrap();
    net.kill(lost);
    net.cut(&[2]);
    until("the leader is missed", || {
        survivor.engine.status().leader.is_none()
    })
    .await;
    survivor.engine.recover().await.unwrap();
    assert_eq!(add(&survivor.engine, "c", 1).await, Ok(4));
    // The other survivor of the group before begins again as a learner.
    net.heal();
    assert_eq!(read(&other.engine, "c").await, Ok(Some(4)));
    let groups = [&survivor, &other].map(|it| it.engine.status().group);
    until("both are in one group", || {
        survivor.engine.status().group.map(|group| group.id)
            == other.engine.status().group.map(|group| group.id)
    })
    .await;
    assert!(groups[0].as_ref().is_some_and(|group| group.epoch == 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_voter_can_be_made_to_lead() {
    let net = Net::default();
    let three = members(&net, 3, &Plan::Size(3)).await;
    assert_eq!(add(&three[0].engine, "c", 1).await, Ok(1));
    // Asked of the leader, of the one that is to lead, and of the third.
    for (round, of) in (2..).zip([0, 1, 2]) {
        let lead = leader(&three).await;
        let next = (lead + 1) % 3;
        let asked = &three[(lead + of) % 3].engine;
        asked.transfer(three[next].id).await.unwrap();
        assert_eq!(leader(&three).await, next);
        assert_eq!(add(&three[lead].engine, "c", 1).await, Ok(round));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_less_than_another_survivor_recovers_nothing() {
    let net = Net::default();
    let mut four = members(&net, 4, &Plan::Size(4)).await;
    let lead = leader(&four).await;
    let behind = four.remove((lead + 1) % 4);
    net.cut(&[behind.id.as_u64()]);
    let lead = leader(&four).await;
    assert_eq!(add(&four[lead].engine, "c", 7).await, Ok(7));
    let survivor = four.remove((lead + 1) % 3);
    assert_eq!(read(&survivor.engine, "c").await, Ok(Some(7)));
    for lost in four {
        net.kill(lost);
    }
    net.heal();
    until("nobody leads", || {
        let led = |member: &Member| member.engine.status().leader.is_some();
        !led(&survivor) && !led(&behind)
    })
    .await;
    let refused = behind.engine.recover().await;
    assert!(
        matches!(&refused, Err(StrongError::Impossible(why)) if why.contains("recover there")),
        "{refused:?}"
    );
    survivor.engine.recover().await.unwrap();
    assert_eq!(add(&survivor.engine, "c", 1).await, Ok(8));
    assert_eq!(read(&behind.engine, "c").await, Ok(Some(8)));
}
