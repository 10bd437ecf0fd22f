//! What a user notices of transactions.

use super::super::samples::{Run, acquire, append, fenced, set, text};
use super::super::{Command, CounterOp, NodeOp};
use super::*;

fn add(name: &str, by: i64) -> Op {
    let name = name.parse().unwrap();
    CounterOp::Add { name, by }.into()
}

fn get(key: &str) -> Op {
    let (node, key) = ("n".parse().unwrap(), key.parse().unwrap());
    NodeOp::Get { node, key }.into()
}

fn then(list: Vec<Op>) -> Command {
    Command::Txn(Txn {
        then: list,
        ..Txn::default()
    })
}

/// Whether these tests hold.
fn hold(run: &mut Run, tests: Vec<Test>) -> bool {
    let txn = Txn {
        tests,
        ..Txn::default()
    };
    match run.command(Command::Txn(txn)) {
        Ok(Outcome::Txn { held, .. }) => held,
        other => panic!("{other:?}"),
    }
}

fn key(is: KeyTest) -> Test {
    Test::Key {
        node: "n".parse().unwrap(),
        key: "k".parse().unwrap(),
        is,
    }
}

#[test]
fn one_list_or_the_other_is_done_with_an_outcome_for_each_operation() {
    let mut run = Run::default();
    let txn = |value: i64| {
        Command::Txn(Txn {
            tests: vec![Test::Counter {
                name: "c".parse().unwrap(),
                relation: Relation::Equal,
                value,
            }],
            then: vec![add("c", 2), set("n", "k", "v").into(), get("k")],
            otherwise: vec![append("x", "1").into()],
        })
    };
    let Ok(Outcome::Txn { held, results }) = run.command(txn(0)) else {
        panic!();
    };
    assert!(held);
    let item = run.state.nodes().key("n", "k").cloned();
    assert!(item.is_some(), "an operation sees those before it");
    let (version, created) = (1, true);
    let expected = [
        Outcome::Counter(Some(2)),
        Outcome::Written { version, created },
        Outcome::Key(item),
    ];
    assert_eq!(results, expected);
    let other = run.command(txn(0)).unwrap();
    let (index, position) = (1, 2);
    let results = vec![Outcome::Appended { index, position }];
    let held = false;
    assert_eq!(other, Outcome::Txn { held, results });
    assert_eq!(run.state.counters().counter("c").unwrap().value, 2);
}

#[test]
fn a_transaction_with_one_refused_operation_does_nothing() {
    let mut run = Run::default();
    run.op(add("c", i64::MAX)).unwrap();
    let before = run.state.clone();
    let list = vec![
        set("n", "k", "v").into(),
        append("x", "1").into(),
        add("c", 1),
    ];
    let refused = run.command(then(list)).unwrap_err();
    let (index, value, by) = (2, i64::MAX, 1);
    let why = Box::new(Refused::CounterOverflow { value, by });
    assert_eq!(refused, Refused::InTransaction { index, why });
    assert_eq!(refused.code(), "counter-overflow");
    assert_eq!(run.events, []);
    assert_eq!(run.state.nodes(), before.nodes());
    assert_eq!(run.state.logs(), before.logs());
    assert_eq!(run.state.counters(), before.counters());
}

#[test]
fn every_test_of_a_key_holds_when_it_should() {
    let mut run = Run::default();
    let value = |relation, text: &str| key(KeyTest::Value(relation, text.as_bytes().into()));
    let version = |relation, version| key(KeyTest::Version(relation, version));
    assert!(hold(&mut run, vec![key(KeyTest::Exists(false))]));
    assert!(hold(&mut run, vec![version(Relation::Equal, 0)]));
    assert!(!hold(&mut run, vec![value(Relation::NotEqual, "m")]));
    run.op(set("n", "k", "m")).unwrap();
    let at = run.index();
    for (test, expected) in [
        (key(KeyTest::Exists(true)), true),
        (key(KeyTest::Exists(false)), false),
        (version(Relation::Equal, at), true),
        (version(Relation::Greater, at), false),
        (version(Relation::AtLeast, at), true),
        (version(Relation::Less, at + 1), true),
        (value(Relation::Equal, "m"), true),
        (value(Relation::NotEqual, "m"), false),
        (value(Relation::Less, "n"), true),
        (value(Relation::AtMost, "l"), false),
        (value(Relation::Greater, "ma"), false),
    ] {
        assert_eq!(hold(&mut run, vec![test.clone()]), expected, "{test:?}");
        let both = vec![key(KeyTest::Exists(true)), test.clone()];
        assert_eq!(hold(&mut run, both), expected, "all of them: {test:?}");
    }
}

#[test]
fn nodes_counters_and_locks_can_be_tested() {
    let mut run = Run::default();
    let node = |relation, version| Test::Node {
        node: "n".parse().unwrap(),
        relation,
        version,
    };
    let exists = |exists| Test::CounterExists {
        name: "c".parse().unwrap(),
        exists,
    };
    let held = |held| Test::LockHeld {
        name: "l".parse().unwrap(),
        held,
    };
    let token = |token| {
        Test::LockToken(Fence {
            lock: "l".parse().unwrap(),
            token,
        })
    };
    let none = vec![node(Relation::Equal, 0), exists(false), held(false)];
    assert!(hold(&mut run, none.clone()));
    assert!(!hold(&mut run, vec![token(0)]));
    run.op(set("n", "k", "v")).unwrap();
    let version = run.index();
    run.op(add("c", 0)).unwrap();
    run.command(acquire("l", 1, 100, 0, 1)).unwrap();
    let newest = run.index();
    for one in none {
        assert!(!hold(&mut run, vec![one]));
    }
    let all = vec![
        node(Relation::Equal, version),
        exists(true),
        held(true),
        token(newest),
    ];
    assert!(hold(&mut run, all));
    run.wait(100);
    assert!(!hold(&mut run, vec![token(newest)]), "its lease is over");
    assert!(hold(&mut run, vec![held(false)]));
}

#[test]
fn a_stale_token_stops_a_whole_transaction() {
    let mut run = Run::default();
    run.command(acquire("l", 1, 100, 0, 1)).unwrap();
    let write = || then(vec![add("c", 1), append("x", "1").into()]);
    assert!(run.entry(fenced("l", 1, write())).is_ok());
    run.wait(100).command(acquire("l", 2, 100, 0, 1)).unwrap();
    let refused = run.entry(fenced("l", 1, write())).unwrap_err();
    assert_eq!(refused.code(), "stale-fence");
    assert_eq!(run.state.counters().counter("c").unwrap().value, 1);
}

#[test]
fn a_transaction_has_its_limits() {
    let mut run = Run::default();
    let over = |answer: Answer, what: Measure| {
        let refused = answer.unwrap_err();
        assert!(matches!(refused, Refused::OverLimit { what: of, .. } if of == what));
    };
    let most = vec![add("c", 1); TXN_LIMIT];
    assert!(run.command(then(most.clone())).is_ok());
    assert_eq!(run.state.counters().counter("c").unwrap().value, 1_000);
    let more = [most, vec![add("c", 1)]].concat();
    over(run.command(then(more.clone())), Measure::Operations);
    let otherwise = Txn {
        otherwise: more,
        ..Txn::default()
    };
    over(run.command(Command::Txn(otherwise)), Measure::Operations);
    let tests = vec![key(KeyTest::Exists(false)); TXN_LIMIT + 1];
    let tests = Txn {
        tests,
        ..Txn::default()
    };
    over(run.command(Command::Txn(tests)), Measure::Operations);
    let large = "x".repeat(RESULT_LIMIT / 4);
    assert_eq!(text(&large).octets.len() * 4, RESULT_LIMIT);
    run.op(set("n", "k", &large)).unwrap();
    assert!(run.command(then(vec![get("k"); 4])).is_ok());
    over(run.command(then(vec![get("k"); 5])), Measure::ResultBytes);
}
