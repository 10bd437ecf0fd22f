//! The lead is handed over while others ask, and while who wanted it goes away.

use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::io::tasks::Tasks;
use gaggle::strong::engine::{Plan, StrongError};
use gaggle::strong::{Command, CounterOp, Op};

use crate::net::Net;
use crate::steps::{LONG, add, leader, members, request};

const PLAN: Plan = Plan::Size(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_goes_on_when_who_wanted_another_one_goes_away() {
    let net = Net::default();
    let three = members(&net, 3, &PLAN).await;
    assert_eq!(add(&three[0].engine, "c", 1).await, Ok(1));
    let lead = leader(&three).await;
    let (old, next) = (&three[lead].engine, three[(lead + 1) % 3].id);
    let asked = tokio::time::timeout(Duration::from_millis(200), old.transfer(next)).await;
    assert!(asked.is_err(), "it is not done so soon");
    let before = old.status();
    // Longer than any election takes, and nobody writes.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let after = old.status();
    assert_eq!((after.leader, after.term), (before.leader, before.term));
    assert_eq!(add(old, "c", 1).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_lead_is_handed_over_nobody_waits_longer_than_it_said() {
    let net = Net::default();
    let three = members(&net, 3, &PLAN).await;
    assert_eq!(add(&three[0].engine, "c", 1).await, Ok(1));
    let lead = leader(&three).await;
    let (old, next) = (three[lead].engine.clone(), three[(lead + 1) % 3].id);
    let handing_over = Tasks::new();
    let asked = old.clone();
    handing_over.spawn(async move { asked.transfer(next).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (begun, limit) = (mono(), Duration::from_millis(200));
    let name = "c".parse().unwrap();
    let one = request(Command::Op(Op::Counter(CounterOp::Add { name, by: 1 })));
    let (read, written) = tokio::join!(old.fresh(limit), old.propose(one, limit));
    let took = mono().since(begun);
    assert_eq!(read.err(), Some(StrongError::NoQuorum));
    assert!(
        matches!(written, Err(StrongError::Unknown(_))),
        "{written:?}"
    );
    assert!(took < Duration::from_millis(600), "{took:?}");
    assert!(handing_over.stop(LONG).await, "it is not handed over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_before_is_answered_while_the_lead_is_handed_over() {
    let net = Net::default();
    let three = members(&net, 3, &PLAN).await;
    assert_eq!(add(&three[0].engine, "c", 1).await, Ok(1));
    let lead = leader(&three).await;
    let (old, next) = (&three[lead].engine, three[(lead + 1) % 3].id);
    net.slow(Duration::from_millis(40), 0);
    let later = |time| tokio::time::sleep(Duration::from_millis(time));
    let begun = mono();
    let first = async {
        assert_eq!(add(old, "c", 1).await, Ok(2));
        mono().since(begun)
    };
    let handing_over = async {
        later(15).await;
        old.transfer(next).await.unwrap();
    };
    // It waits for the new leader.
    let second = async {
        later(30).await;
        assert_eq!(add(old, "c", 1).await, Ok(3));
        mono().since(begun)
    };
    let (first, (), second) = tokio::join!(first, handing_over, second);
    assert!(first < Duration::from_millis(600), "{first:?}");
    assert!(second > Duration::from_millis(900), "{second:?}");
}
