//! What counts as an edit, and what does not.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::edits::{Edit, edits};
use super::super::record::Record;
use super::super::{Import, Limits, parse, text as writer};
use super::{NOW, merge, put, store, text};
use crate::model::{Content, HybridTime, Store, Value, WallTime};
use crate::strong::Nodes;

const ALL: HybridTime = HybridTime::from_bits(u64::MAX);

fn written(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    writer::write(store, &Nodes::default(), NOW, &mut bytes).unwrap();
    bytes
}

fn compared(file: &[u8], seen: HybridTime, store: &Store) -> Import {
    let record = Record {
        hash: blake3::hash(b""),
        length: 0,
        newest: seen,
        strong: BTreeMap::new(),
    };
    edits(
        &parse(file, Limits::default()).unwrap(),
        &[record],
        store,
        NOW,
    )
}

fn set(node: &str, key: &str, value: Value) -> Edit {
    Edit::Set {
        node: node.parse().unwrap(),
        key: key.parse().unwrap(),
        value,
    }
}

fn remove(node: &str, key: &str) -> Edit {
    Edit::Remove {
        node: node.parse().unwrap(),
        key: key.parse().unwrap(),
    }
}

#[test]
fn the_file_is_the_seeds_to_the_byte() {
    let store = store(&[
        ("web", "colour", text("blue")),
        ("web", "a\"b", text("1\n\t\u{1}é🦆/")),
        ("db", "octets", Value::untyped([255, 0])),
    ]);
    let expected = r#"{
    "db": {
        "octets": {
            "$base64": "/wA="
        }
    },
    "web": {
        "a\"b": "1\n\t\u0001é🦆/",
        "colour": "blue"
    }
}"#;
    assert_eq!(String::from_utf8(written(&store)).unwrap(), expected);
    assert_eq!(written(&Store::new()), b"{}");
}

#[test]
fn what_an_editor_changed_becomes_writes() {
    let store = store(&[
        ("web", "colour", text("blue")),
        ("web", "size", text("4")),
        ("web", "gone", text("x")),
        ("old", "k", text("x")),
    ]);
    let file =
        br#"{"web": {"colour": "red", "size": 4, "new": [1]}, "more": {"k": "v"}, "bare": {}}"#;
    let import = compared(file, ALL, &store);
    let node = |name: &str| name.parse().unwrap();
    assert_eq!(
        import.edits,
        vec![
            Edit::AddNode(node("bare")),
            Edit::AddNode(node("more")),
            set("more", "k", text("v")),
            set("web", "colour", text("red")),
            set("web", "new", Value::new("application/json", *b"[1]")),
            remove("web", "gone"),
            Edit::RemoveNode(node("old")),
        ]
    );
    assert_eq!(import.kept, 0);
}

#[test]
fn a_value_of_another_type_with_the_same_octets_is_no_edit() {
    let store = store(&[("n", "k", Value::new("image/svg+xml", *b"<svg/>"))]);
    assert_eq!(
        compared(br#"{"n": {"k": "<svg/>"}}"#, ALL, &store),
        Import::default()
    );
}

#[test]
fn what_was_written_after_the_copy_is_not_undone_by_an_edit_of_the_copy() {
    let mut store = store(&[("n", "a", text("1")), ("n", "b", text("1"))]);
    put(&mut store, "n", "b", text("2"), 50);
    put(&mut store, "n", "c", text("2"), 51);
    put(&mut store, "later", "k", text("2"), 52);
    let edited = br#"{"n": {"a": "9", "b": "9"}}"#;
    let import = compared(edited, HybridTime::from_bits(40), &store);
    assert_eq!(import.edits, vec![set("n", "a", text("9"))]);
    assert_eq!(import.kept, 4, "b, c, the node later and its key");
}

#[test]
fn an_edit_of_another_key_does_not_bring_back_what_expired() {
    let mut store = store(&[("n", "a", text("1"))]);
    let mut version = (*store.entry("n", "a").unwrap().head).clone();
    version.stamp.sequence = 9;
    version.content = Content::Value(text("short"));
    version.expires = Some(WallTime::from_millis(NOW.millis() - 1));
    merge(&mut store, "n", "ttl", version);
    let import = compared(br#"{"n": {"a": "2", "ttl": "short"}}"#, ALL, &store);
    assert_eq!(import.edits, vec![set("n", "a", text("2"))]);
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<Vec<u8>>().prop_map(Value::untyped),
        ".{0,20}".prop_map(|text| Value::untyped(text.into_bytes())),
        Just(text(r#"{"$base64": "AA=="}"#)),
        Just(text(r#""quoted""#)),
        Just(text("")),
    ]
}

proptest! {
    #[test]
    fn any_store_written_and_read_back_gives_no_edits(
        values in prop::collection::vec(("[a-cé]{1,2}", "[a-c/ \"\\\\]{1,3}", value()), 0..20)
    ) {
        let values: Vec<_> = values
            .iter()
            .map(|(node, key, value)| (node.as_str(), key.as_str(), value.clone()))
            .collect();
        let store = store(&values);
        let import = compared(&written(&store), ALL, &store);
        prop_assert_eq!(import, Import::default());
        let fresh = compared(&written(&store), HybridTime::default(), &Store::new());
        prop_assert_eq!(
            fresh.edits.iter().filter(|edit| matches!(edit, Edit::Set { .. })).count(),
            store.counts().keys
        );
    }
}
