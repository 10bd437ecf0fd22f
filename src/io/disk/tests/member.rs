//! A member without a daemon: a store and a disk, fed with changes as the writer feeds them.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::{Disk, DiskError, DiskReader};
use crate::model::samples::{register, version};
use crate::model::{Change, KeyName, NodeName, Store};

/// A change of two nodes and two keys.
pub(super) fn change() -> impl Strategy<Value = Change> {
    let node = prop::sample::select(vec!["a", "b"]).prop_map(|n| n.parse::<NodeName>().unwrap());
    let key = prop::sample::select(vec!["x", "y/z"]).prop_map(|k| k.parse::<KeyName>().unwrap());
    let of_key = (node.clone(), key, version()).prop_map(|(node, key, version)| Change::Key {
        node,
        key,
        version: Arc::new(version),
    });
    let of_node = (node, register()).prop_map(|(node, register)| Change::Node {
        node,
        register: Arc::new(register),
    });
    prop_oneof![6 => of_key, 1 => of_node]
}

/// Merges changes into a copy of the store and commits them as one batch. On an error the store
/// is as it was.
pub(super) fn write(
    disk: &mut Disk,
    store: &mut Store,
    changes: &[Change],
    sequence: u64,
) -> Result<(), DiskError> {
    let mut batch = disk.begin()?;
    let mut next = store.clone();
    let mut rows = Vec::new();
    for change in changes {
        next.merge(change, |node, key| batch.older(node, key), &mut rows)?;
        for row in rows.drain(..) {
            batch.write(&row);
        }
    }
    batch.clock(
        crate::model::HybridTime::from_bits(sequence << 16),
        sequence,
    );
    batch.commit()?;
    *store = next;
    Ok(())
}

/// Everything that a member knows, older versions included, as text.
pub(super) fn all(store: &Store, reader: &DiskReader) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (name, node) in store.all_nodes() {
        all.extend(
            node.register()
                .map(|register| format!("{name} {register:?}")),
        );
        for (key, entry) in node.entries() {
            all.insert(format!("{name} {key} {:?} {}", entry.head, entry.older));
            let older = reader.versions(name, key).unwrap();
            all.extend(
                older
                    .iter()
                    .map(|version| format!("{name} {key} {version:?}")),
            );
        }
    }
    all
}
