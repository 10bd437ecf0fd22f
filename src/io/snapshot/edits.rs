//! What somebody changed in `store.json`, as writes to be made.

use std::collections::{BTreeMap, BTreeSet};

use super::Document;
use super::record::{self, Record};
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
    /// Strong nodes that differ from what was written. They are written with a majority only, so
    /// they stay as they are.
    pub strong: Vec<NodeName>,
}

/// Compares a file with the store as readers see it at `now`, and with what is known of the texts
/// that we wrote, one of which it was. A value with the same octets is no edit, whatever its type.
pub(super) fn edits(
    document: &Document,
    records: &[Record],
    store: &Store,
    now: WallTime,
) -> Import {
    let strong: BTreeSet<&NodeName> = records.iter().flat_map(|it| it.strong.keys()).collect();
    let is_changed = |name: &&NodeName| {
        let sum = document.get(*name).map(|keys| record::sum(keys.iter()));
        !records
            .iter()
            .any(|record| record.strong.get(*name).copied() == sum)
    };
    // Nothing newer was in the copy that somebody edited. With two records nobody knows which of
    // them became the file; without any, what the file was made from.
    let seen = records.iter().map(|record| record.newest).min();
    let mut compare = Compare {
        seen: seen.unwrap_or_default(),
        store,
        now,
        import: Import {
            strong: strong.iter().copied().filter(is_changed).cloned().collect(),
            ..Import::default()
        },
    };
    let of_us = |name: &NodeName| !strong.contains(name);
    for (name, keys) in document.iter().filter(|(name, _)| of_us(name)) {
        match store.node(name.as_str()) {
            Some(node) => compare.node(name, keys, node),
            None => compare.add_node(name, keys),
        }
    }
    for (name, node) in store.nodes().filter(|(name, _)| of_us(name)) {
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
