//! What a user notices of idempotency keys.

use super::super::samples::{Run, keyed, set};
use super::super::{Command, CounterOp, Entry, Outcome};
use super::*;

fn add(by: i64) -> Command {
    let name = "c".parse().unwrap();
    Command::Op(CounterOp::Add { name, by }.into())
}

#[test]
fn a_retry_is_answered_as_the_first_try_and_done_once() {
    let mut run = Run::default();
    assert_eq!(run.entry(keyed("a", add(1))), Ok(Outcome::Counter(Some(1))));
    run.entry(keyed("b", add(1))).unwrap();
    assert_eq!(run.entry(keyed("a", add(1))), Ok(Outcome::Counter(Some(1))));
    assert!(run.is_repeated);
    assert_eq!(run.events, []);
    assert_eq!(run.state.counters().counter("c").unwrap().value, 2);
}

#[test]
fn a_refusal_is_repeated_too() {
    let mut run = Run::default();
    let name = || "c".parse().unwrap();
    let expected = || {
        let op = CounterOp::Set {
            name: name(),
            to: 5,
            expected: Some(1),
        };
        keyed("a", Command::Op(op.into()))
    };
    let refused = Err(Refused::CounterDiffers { value: 0 });
    assert_eq!(run.entry(expected()), refused);
    run.command(add(1)).unwrap();
    assert_eq!(run.entry(expected()), refused);
}

#[test]
fn the_same_key_for_another_request_is_a_conflict() {
    let mut run = Run::default();
    run.entry(keyed("a", add(1))).unwrap();
    assert_eq!(run.entry(keyed("a", add(2))), Err(Refused::KeyReused));
    let fenced = Entry {
        fences: super::super::samples::fenced("l", 1, Command::Tick).fences,
        ..keyed("a", add(1))
    };
    assert_eq!(run.entry(fenced), Err(Refused::KeyReused));
    assert_eq!(run.state.counters().counter("c").unwrap().value, 1);
    let of_another = Entry {
        author: "bob".into(),
        ..keyed("a", add(2))
    };
    assert_eq!(run.entry(of_another), Ok(Outcome::Counter(Some(3))));
}

#[test]
fn an_answer_is_remembered_for_a_day() {
    let mut run = Run::default();
    run.entry(keyed("a", add(1))).unwrap();
    run.wait(REQUEST_AGE.0 - 1)
        .entry(keyed("a", add(1)))
        .unwrap();
    assert!(run.is_repeated);
    run.wait(1).entry(keyed("a", add(1))).unwrap();
    assert!(!run.is_repeated);
    assert_eq!(run.state.counters().counter("c").unwrap().value, 2);
    assert_eq!(run.state.requests().len(), 1);
}

#[test]
fn the_oldest_goes_when_there_are_too_many() {
    let mut run = Run::default();
    for number in 0..=REQUESTS_LIMIT {
        run.entry(keyed(&number.to_string(), add(1))).unwrap();
    }
    assert_eq!(run.state.requests().len(), REQUESTS_LIMIT);
    run.entry(keyed("1", add(1))).unwrap();
    assert!(run.is_repeated, "the second is there");
    run.entry(keyed("0", add(1))).unwrap();
    assert!(!run.is_repeated, "the first is not");
}

#[test]
fn the_oldest_goes_when_the_answers_are_too_large() {
    let mut run = Run::default();
    run.op(set("n", "k", &"x".repeat(1 << 20))).unwrap();
    let read = || {
        let (node, key) = ("n".parse().unwrap(), "k".parse().unwrap());
        Command::Op(super::super::NodeOp::Get { node, key }.into())
    };
    for number in 0..64 {
        run.entry(keyed(&number.to_string(), read())).unwrap();
    }
    assert_eq!(run.state.requests().len(), 63);
    assert!(run.state.requests().bytes <= REQUESTS_BYTES_LIMIT);
}

#[test]
fn a_key_is_a_short_text() {
    assert!("2f6c/…".parse::<RequestKey>().is_ok());
    for bad in ["", "a\nb", &"x".repeat(REQUEST_KEY_LIMIT + 1)] {
        assert_eq!(bad.parse::<RequestKey>(), Err(RequestKeyError), "{bad}");
    }
    assert!(postcard::from_bytes::<RequestKey>(&[0]).is_err());
}

#[test]
fn a_waiter_settles_its_own_record_and_not_a_later_one_of_the_same_key() {
    let id = || RequestId {
        author: "ann".into(),
        key: "a".parse().unwrap(),
    };
    let mut requests = Requests::default();
    let record = Record {
        index: 5,
        at: LogTime::MIN,
        fingerprint: 7,
        answer: Ok(Outcome::Done),
    };
    requests.remember(id(), record);
    let settled = |index| Settled {
        request: id(),
        index,
        answer: Err(Refused::WaitOver),
    };
    requests.settle(settled(3));
    assert_eq!(requests.recall(&id(), 7), Some(Ok(Outcome::Done)));
    requests.settle(settled(5));
    assert_eq!(requests.recall(&id(), 7), Some(Err(Refused::WaitOver)));
    assert_eq!(requests.len(), 1);
}
