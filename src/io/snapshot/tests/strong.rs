//! Strong nodes in the readable copy: shown, and never taken from it.

use std::fs;

use super::super::edits::Edit;
use super::super::{Import, Limits, SnapshotFile};
use super::{NOW, put, store, text};
use crate::model::{NodeName, Store};
use crate::strong::samples::Run;
use crate::strong::{Condition, NodeOp, Nodes};

fn strong(keys: &[(&str, &str, &str)]) -> Nodes {
    let mut run = Run::default();
    for (node, key, value) in keys {
        let op = NodeOp::SetKey {
            node: node.parse().unwrap(),
            key: key.parse().unwrap(),
            value: text(value),
            ttl: None,
            condition: Condition::default(),
        };
        run.op(op).unwrap();
    }
    run.state.nodes().clone()
}

/// A copy of the store and these strong nodes, edited, and what is taken from it at the next start.
fn edited(store: &Store, nodes: &Nodes, edit: impl Fn(String) -> String) -> (Import, bool) {
    let temp = tempfile::tempdir().unwrap();
    let mut file = SnapshotFile::open(temp.path());
    file.write(store, nodes, NOW).unwrap();
    let text = fs::read_to_string(file.path()).unwrap();
    let edited = edit(text.clone());
    if edited != text {
        fs::write(file.path(), edited).unwrap();
    }
    let mut again = SnapshotFile::open(temp.path());
    assert!(again.has_strong_nodes());
    let import = again.read_edits(store, NOW, Limits::default()).unwrap();
    let aside = again.write(store, nodes, NOW).unwrap();
    (import, aside.is_some())
}

fn names(import: &Import) -> Vec<&str> {
    import.strong.iter().map(NodeName::as_str).collect()
}

#[test]
fn both_classes_are_in_the_copy_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let mut file = SnapshotFile::open(temp.path());
    let store = store(&[
        ("a", "k", text("1")),
        ("c", "k", text("3")),
        ("d", "k", text("4")),
    ]);
    let nodes = strong(&[("b", "k", "2"), ("d", "k", "strong")]);
    assert!(!file.has_strong_nodes());
    file.write(&store, &nodes, NOW).unwrap();
    let written: serde_json::Value =
        serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
    assert_eq!(
        written.to_string(),
        r#"{"a":{"k":"1"},"b":{"k":"2"},"c":{"k":"3"},"d":{"k":"strong"}}"#
    );
    assert!(file.has_strong_nodes());
}

#[test]
fn an_edit_beside_strong_nodes_is_taken_and_they_are_no_edits() {
    let store = store(&[("a", "k", text("1"))]);
    let nodes = strong(&[("b", "k", "2"), ("b c", "x", "y")]);
    let (import, aside) = edited(&store, &nodes, |text| text);
    assert_eq!((import, aside), (Import::default(), false));
    let (import, aside) = edited(&store, &nodes, |text| text.replace("\"1\"", "\"9\""));
    let set = Edit::Set {
        node: "a".parse().unwrap(),
        key: "k".parse().unwrap(),
        value: text("9"),
    };
    assert_eq!(
        (import.edits, import.strong, aside),
        (vec![set], Vec::new(), false)
    );
}

#[test]
fn an_edit_of_a_strong_node_is_not_taken_and_is_set_aside() {
    let store = store(&[("a", "k", text("1"))]);
    let nodes = strong(&[("b", "k", "2"), ("c", "k", "3")]);
    let change = |from: &'static str, to: &'static str| {
        edited(&store, &nodes, move |text| {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        })
    };
    for (from, to) in [
        ("\"2\"", "\"x\""),
        ("\"k\": \"2\"", "\"k\": \"2\", \"l\": \"\""),
        ("\"k\": \"2\"", ""),
        ("\"b\": {", "\"b\": {}, \"d\": {"),
    ] {
        let (import, aside) = change(from, to);
        assert_eq!(names(&import), ["b"], "{to}");
        let of_b = |edit: &&Edit| format!("{edit:?}").contains("\"b\"");
        assert_eq!(import.edits.iter().find(of_b), None, "{to}");
        assert!(aside, "{to}");
    }
    let (import, aside) = change("\"b\": {", "\"renamed\": {");
    assert_eq!((names(&import), aside), (vec!["b"], true));
    assert_eq!(
        import.edits.len(),
        2,
        "the new name is an eventual node: {:?}",
        import.edits
    );
}

#[test]
fn an_eventual_node_that_a_strong_one_hides_is_not_deleted_by_an_edit() {
    let store = store(&[("a", "k", text("1")), ("b", "hidden", text("2"))]);
    let nodes = strong(&[("b", "k", "2")]);
    let (import, _) = edited(&store, &nodes, |text| text.replace("\"1\"", "\"9\""));
    assert_eq!(import.edits.len(), 1, "{:?}", import.edits);
    assert_eq!((import.kept, names(&import)), (0, Vec::new()));
}

#[test]
fn whatever_a_crash_left_of_the_records_strong_nodes_are_known() {
    let temp = tempfile::tempdir().unwrap();
    let mut store = store(&[("a", "k", text("1"))]);
    let mut file = SnapshotFile::open(temp.path());
    let (before, after) = (strong(&[("b", "k", "old")]), strong(&[("b", "k", "new")]));
    file.write(&store, &before, NOW).unwrap();
    let old = fs::read_to_string(file.path()).unwrap();
    let record = fs::read_to_string(temp.path().join("store.json.sum")).unwrap();
    put(&mut store, "a", "k", text("2"), 9);
    file.write(&store, &after, NOW).unwrap();
    let newer = fs::read_to_string(temp.path().join("store.json.sum")).unwrap();
    fs::write(temp.path().join("store.json.sum"), newer + &record).unwrap();
    for (value, taken) in [("old", true), ("new", true), ("else", false)] {
        let edited = old.replace("\"old\"", &format!("\"{value}\"")) + "\n";
        fs::write(file.path(), edited).unwrap();
        let mut again = SnapshotFile::open(temp.path());
        let import = again.read_edits(&store, NOW, Limits::default()).unwrap();
        assert_eq!(import.strong.is_empty(), taken, "{value}");
    }
}
