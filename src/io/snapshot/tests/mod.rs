//! Tests of the readable copy.

mod directory;
mod edits;
mod parsing;
mod strong;

use std::sync::Arc;

use crate::model::{Change, Content, HybridTime, MemberId, Stamp, Store, Value, Version, WallTime};

const NOW: WallTime = WallTime::from_millis(1_795_229_155_000);

/// A store with these values, written at times 1, 2, 3 and so on.
fn store(values: &[(&str, &str, Value)]) -> Store {
    let mut store = Store::new();
    for (time, (node, key, value)) in (1..).zip(values) {
        put(&mut store, node, key, value.clone(), time);
    }
    store
}

/// Merges a value written at `time`.
fn put(store: &mut Store, node: &str, key: &str, value: Value, time: u64) {
    let version = Version {
        stamp: Stamp {
            time: HybridTime::from_bits(time),
            member: MemberId::from_u64(1),
            sequence: time,
        },
        replaces: crate::model::Replaces::Nothing,
        author: "ann".into(),
        written: NOW,
        expires: None,
        content: Content::Value(value),
    };
    merge(store, node, key, version);
}

fn merge(store: &mut Store, node: &str, key: &str, version: Version) {
    let change = Change::Key {
        node: node.parse().unwrap(),
        key: key.parse().unwrap(),
        version: Arc::new(version),
    };
    let older = |_: &_, _: &_| Ok::<_, std::convert::Infallible>(Vec::new());
    let _ = store.merge(&change, older, &mut Vec::new());
}

fn text(value: &str) -> Value {
    Value::untyped(value.as_bytes())
}
