//! What somebody changed in `store.json`, as writes to be made.

use std::collections::BTreeMap;

use super::Document;
use crate::model::{HybridTime, KeyName, Node, NodeName, Stamp, Store, Value, Version, WallTime};

/// One write that an edited file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The node is in the file and not in the store.
    AddNode(NodeName),
    /// The node is in the store and not in the file.
    RemoveNode(NodeName),
    /// The key is new or has another value.
    Set {
        /// The node.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// The value of the file.
        value: Value,
    },
    /// The key is in the store and not in the file.
    Remove {
        /// The node.
        node: NodeName,
        /// The key.
        key: KeyName,
    },
}

/// What a file asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// The writes, node by node.
    pub edits: Vec<Edit>,
    /// Keys and nodes that differ but were written after the file was, so that whoever edited it
    /// cannot have seen them: they stay as they are.
    pub kept: usize,
}

/// Compares a file with the store as readers see it at `now`. A value with the same octets is no
/// edit, whatever its type. Nothing newer than `seen` was in the copy that somebody edited.
pub(super) fn edits(document: &Document, seen: HybridTime, store: &Store, now: WallTime) -> Import {
    let mut compare = Compare {
        seen,
        store,
        now,
        import: Import::default(),
    };
    for (name, keys) in document {
        match store.node(name.as_str()) {
            Some(node) => compare.node(name, keys, node),
            None => compare.add_node(name, keys),
        }
    }
    for (name, node) in store.nodes() {
        if !document.contains_key(name) {
            compare.missing_node(name, node);
        }
    }
    compare.import
}

struct Compare<'a> {
    seen: HybridTime,
    store: &'a Store,
    now: WallTime,
    import: Import,
}

impl Compare<'_> {
    fn add_node(&mut self, name: &NodeName, keys: &BTreeMap<KeyName, Value>) {
        let register = self.store.register(name.as_str());
        if register.is_some_and(|register| register.stamp.time > self.seen) {
            self.import.kept += 1;
            return;
        }
        self.import.edits.push(Edit::AddNode(name.clone()));
        for (key, value) in keys {
            self.set(name, key, value);
        }
    }

    fn missing_node(&mut self, name: &NodeName, node: &Node) {
        let newest = node
            .live_keys(self.now)
            .map(|(_, head)| head.stamp.time)
            .max();
        let made = node.register().map(|register| register.stamp.time);
        if newest.max(made).is_none_or(|time| time <= self.seen) {
            self.import.edits.push(Edit::RemoveNode(name.clone()));
        } else {
            self.import.kept += 1;
            self.node(name, &BTreeMap::new(), node);
        }
    }

    fn node(&mut self, name: &NodeName, keys: &BTreeMap<KeyName, Value>, node: &Node) {
        let cleared = node.register().and_then(|register| register.cleared);
        for (key, value) in keys {
            let entry = self.store.entry(name.as_str(), key.as_str());
            match entry.map(|entry| &entry.head) {
                Some(head) if holds(head, cleared, value) => {}
                Some(head) if head.stamp.time > self.seen => self.import.kept += 1,
                _ => self.set(name, key, value),
            }
        }
        let missing = node
            .live_keys(self.now)
            .filter(|(key, _)| !keys.contains_key(*key));
        for (key, head) in missing {
            if head.stamp.time <= self.seen {
                self.import.edits.push(Edit::Remove {
                    node: name.clone(),
                    key: key.clone(),
                });
            } else {
                self.import.kept += 1;
            }
        }
    }

    fn set(&mut self, node: &NodeName, key: &KeyName, value: &Value) {
        self.import.edits.push(Edit::Set {
            node: node.clone(),
            key: key.clone(),
            value: value.clone(),
        });
    }
}

/// Whether a version is this value and no deletion of its node hides it. One that has expired
/// since the copy was written still holds it: an edit of another key must not bring it back.
fn holds(head: &Version, cleared: Option<Stamp>, value: &Value) -> bool {
    let same = head.value().is_some_and(|held| held.octets == value.octets);
    same && cleared.is_none_or(|at| head.stamp > at)
}
