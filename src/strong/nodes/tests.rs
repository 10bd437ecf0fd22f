//! What a user notices of strong nodes.

use super::super::Command;
use super::super::samples::{Run, entry, set, text};
use super::*;

fn n() -> NodeName {
    "n".parse().unwrap()
}

fn k(name: &str) -> KeyName {
    name.parse().unwrap()
}

fn set_if(value: &str, condition: Condition) -> NodeOp {
    NodeOp::SetKey {
        node: n(),
        key: k("k"),
        value: text(value),
        ttl: None,
        condition,
    }
}

fn set_for(value: &str, millis: u64) -> NodeOp {
    NodeOp::SetKey {
        node: n(),
        key: k("k"),
        value: text(value),
        ttl: Some(Millis(millis)),
        condition: Condition::default(),
    }
}

fn delete_if(condition: Condition) -> NodeOp {
    NodeOp::DeleteKey {
        node: n(),
        key: k("k"),
        condition,
    }
}

fn replace(keys: &[(&str, &str)], condition: Condition) -> NodeOp {
    let keys = keys.iter().map(|(key, value)| (k(key), text(value)));
    NodeOp::Replace {
        node: n(),
        keys: keys.collect(),
        condition,
    }
}

fn patch(keys: &[(&str, Option<&str>)]) -> NodeOp {
    let keys = keys.iter().map(|(key, value)| (k(key), value.map(text)));
    NodeOp::Patch {
        node: n(),
        keys: keys.collect(),
        condition: Condition::default(),
    }
}

fn delete() -> NodeOp {
    NodeOp::Delete {
        node: n(),
        condition: Condition::default(),
    }
}

fn written(version: u64, created: bool) -> Outcome {
    Outcome::Written { version, created }
}

/// The keys of the node with their values.
fn content(run: &Run) -> Vec<(String, String)> {
    let node = run.state.nodes().node("n").unwrap();
    let keys = node.keys().map(|(key, item)| {
        let value = item.value.text().unwrap().to_owned();
        (key.to_string(), value)
    });
    keys.collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    let all = all.iter();
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn versions_are_the_indexes_of_entries_and_never_come_again() {
    let mut run = Run::default();
    assert_eq!(run.op(set("n", "k", "red")), Ok(written(1, true)));
    assert_eq!(run.op(set("n", "k", "blue")), Ok(written(2, false)));
    assert_eq!(
        run.op(delete_if(Condition::default())),
        Ok(Outcome::Deleted)
    );
    assert_eq!(run.op(set("n", "k", "red")), Ok(written(4, true)));
    let item = run.state.nodes().key("n", "k").unwrap();
    assert_eq!((item.version, item.created, &*item.author), (4, 4, "ann"));
}

#[test]
fn a_write_is_done_only_if_its_condition_holds() {
    let mut run = Run::default();
    let any = || Condition {
        if_match: Some(Match::Any),
        ..Condition::default()
    };
    let failed = |current| Err(Refused::PreconditionFailed { current });
    assert_eq!(run.op(set_if("a", any())), failed(None));
    assert!(run.state.nodes().node("n").is_none(), "not even the node");
    assert_eq!(run.op(set_if("a", Condition::version(1))), failed(None));
    assert_eq!(
        run.op(set_if("a", Condition::absent())),
        Ok(written(3, true))
    );
    assert_eq!(run.op(set_if("b", Condition::absent())), failed(Some(3)));
    assert_eq!(run.op(set_if("b", Condition::version(2))), failed(Some(3)));
    assert_eq!(
        run.op(set_if("b", Condition::version(3))),
        Ok(written(6, false))
    );
    let but = |versions: &[u64]| Condition {
        if_none_match: Some(Match::OneOf(versions.into())),
        ..Condition::default()
    };
    assert_eq!(run.op(set_if("c", but(&[6]))), failed(Some(6)));
    assert_eq!(run.op(set_if("c", but(&[3, 5]))), Ok(written(8, false)));
    assert_eq!(run.op(delete_if(Condition::version(6))), failed(Some(8)));
    assert_eq!(run.op(delete_if(any())), Ok(Outcome::Deleted));
    assert_eq!(
        run.op(replace(&[], Condition::version(8))),
        failed(Some(10))
    );
}

#[test]
fn what_is_not_there_cannot_be_deleted() {
    let mut run = Run::default();
    let plain = Condition::default;
    assert_eq!(run.op(delete()), Err(Refused::NodeNotFound));
    assert_eq!(run.op(delete_if(plain())), Err(Refused::NodeNotFound));
    run.op(set("n", "other", "v")).unwrap();
    assert_eq!(run.op(delete_if(plain())), Err(Refused::KeyNotFound));
}

#[test]
fn a_node_is_replaced_and_what_stays_the_same_is_not_written_again() {
    let mut run = Run::default();
    run.op(replace(&[("a", "1"), ("b", "2")], Condition::absent()))
        .unwrap();
    let again = run.op(replace(&[("b", "2"), ("c", "3")], Condition::version(1)));
    assert_eq!(again, Ok(written(2, false)));
    assert_eq!(content(&run), pairs(&[("b", "2"), ("c", "3")]));
    assert_eq!(run.state.nodes().key("n", "b").unwrap().version, 1);
    assert_eq!(run.events.len(), 2);
    // Nothing to do is no change: the version stays.
    let same = run.op(replace(&[("b", "2"), ("c", "3")], Condition::default()));
    assert_eq!(same, Ok(written(2, false)));
    assert_eq!(run.events, []);
    run.op(replace(&[], Condition::default())).unwrap();
    assert_eq!(content(&run), pairs(&[]));
}

#[test]
fn a_patch_sets_and_deletes_and_leaves_the_rest() {
    let mut run = Run::default();
    run.op(patch(&[("a", Some("1")), ("b", Some("2"))]))
        .unwrap();
    let patched = run.op(patch(&[("a", None), ("c", Some("3")), ("gone", None)]));
    assert_eq!(patched, Ok(written(2, false)));
    assert_eq!(content(&run), pairs(&[("b", "2"), ("c", "3")]));
}

#[test]
fn a_deleted_node_tells_of_each_of_its_keys() {
    let mut run = Run::default();
    run.op(replace(&[("a", "1"), ("b", "2")], Condition::absent()))
        .unwrap();
    assert_eq!(run.op(delete()), Ok(Outcome::Deleted));
    assert_eq!(run.events.len(), 3);
    assert_eq!(run.events[2], Event::NodeDeleted(n()));
    assert_eq!(run.state.nodes().keys(), 0);
    assert_eq!(run.state.nodes().bytes(), 0);
}

#[test]
fn a_key_goes_when_its_time_is_over_and_a_new_write_prolongs_it() {
    let mut run = Run::default();
    run.op(set_for("v", 100)).unwrap();
    run.wait(99).op(set_for("w", 100)).unwrap();
    run.wait(99).tick();
    assert!(run.state.nodes().key("n", "k").is_some());
    run.wait(1).tick();
    assert!(run.state.nodes().key("n", "k").is_none());
    let Event::Key {
        old: Some(old),
        new: None,
        cause: Cause::Time,
        ..
    } = &run.events[0]
    else {
        panic!("{:?}", run.events);
    };
    assert_eq!(old.value, text("w"));
    assert_eq!(run.state.nodes().node("n").unwrap().version(), run.index());
    // A write without a time to live takes it away.
    run.op(set_for("v", 100)).unwrap();
    run.op(set("n", "k", "v")).unwrap();
    run.wait(1_000).tick();
    assert!(run.state.nodes().key("n", "k").is_some());
    assert_eq!(run.state.next_deadline(), None);
}

#[test]
fn a_replaced_node_keeps_for_ever_what_had_a_time_to_live() {
    let mut run = Run::default();
    run.op(set_for("v", 100)).unwrap();
    run.op(replace(&[("k", "v")], Condition::default()))
        .unwrap();
    run.wait(1_000).tick();
    assert_eq!(content(&run), pairs(&[("k", "v")]));
}

#[test]
fn what_is_over_a_limit_is_refused_with_its_name() {
    let mut run = Run::default();
    let long = "x".repeat(STRONG_VALUE_LIMIT + 1);
    let many = Condition {
        if_match: Some(Match::OneOf(vec![1; VERSIONS_LIMIT + 1])),
        ..Condition::default()
    };
    let typed = NodeOp::SetKey {
        node: n(),
        key: k("k"),
        value: Value::new("x".repeat(CONTENT_TYPE_LIMIT + 1), *b"v"),
        ttl: None,
        condition: Condition::default(),
    };
    for (op, what) in [
        (set("n", "k", &long), Measure::ValueBytes),
        (
            replace(&[("k", &long)], Condition::default()),
            Measure::ValueBytes,
        ),
        (patch(&[("k", Some(&long))]), Measure::ValueBytes),
        (typed, Measure::ContentTypeBytes),
        (set_if("v", many.clone()), Measure::Versions),
        (delete_if(many), Measure::Versions),
        (set_for("v", KEY_TTL_LIMIT.0 + 1), Measure::KeyTtl),
        (set_for("v", 0), Measure::KeyTtl),
    ] {
        let refused = run.op(op).unwrap_err();
        let (Refused::OverLimit { what: of, .. } | Refused::BelowLeast { what: of, .. }) = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!(of, what);
    }
    assert!(run.state.nodes().node("n").is_none());
    assert!(run.op(set("n", "k", &long[1..])).is_ok());
}

#[test]
fn a_command_has_a_limit_as_a_whole() {
    let value = "x".repeat(STRONG_VALUE_LIMIT);
    let keys = (0..9).map(|key| (k(&key.to_string()), text(&value)));
    let large = NodeOp::Replace {
        node: n(),
        keys: keys.collect(),
        condition: Condition::default(),
    };
    let refused = entry(Command::Op(large.into())).check().unwrap_err();
    let what = Measure::CommandBytes;
    assert!(matches!(refused, Refused::OverLimit { what: of, .. } if of == what));
}

#[test]
fn there_are_only_so_many_nodes() {
    let mut run = Run::default();
    let mut keys = 0;
    for number in 0..NODES_LIMIT {
        run.op(set(&format!("n{number}"), "k", "")).unwrap();
        keys += 1;
    }
    let (what, limit) = (Measure::Nodes, keys);
    assert_eq!(
        run.op(set("more", "k", "")),
        Err(Refused::Full { what, limit })
    );
    assert!(run.state.nodes().node("more").is_none());
    assert!(run.op(set("n1", "k", "v")).is_ok(), "others can be written");
    let name = "n1".parse().unwrap();
    let condition = Condition::default();
    let delete = NodeOp::Delete {
        node: name,
        condition,
    };
    run.op(delete).unwrap();
    assert!(run.op(set("more", "k", "")).is_ok());
}
