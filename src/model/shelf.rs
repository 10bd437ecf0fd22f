//! A store with a disk that is a map, for tests: rows go in, older versions come out.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::{
    Change, HybridTime, KeyName, MemberId, Merged, NodeName, Older, Row, Slot, Stamp, Store,
    Version,
};

/// The older versions of a key with their hashes.
pub(crate) type Kept = BTreeMap<Stamp, (Arc<Version>, u128)>;

/// A store with its disk.
#[derive(Clone, Default)]
pub(crate) struct Shelf {
    pub(crate) store: Store,
    pub(crate) disk: BTreeMap<(NodeName, KeyName), Kept>,
}

impl Shelf {
    /// A shelf that took these changes.
    pub(crate) fn fed<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut shelf = Self::default();
        shelf.merge_all(changes);
        shelf
    }

    pub(crate) fn merge_all<'a>(&mut self, changes: impl IntoIterator<Item = &'a Change>) {
        for change in changes {
            self.merge(change);
        }
    }

    pub(crate) fn merge(&mut self, change: &Change) -> Merged {
        self.with_older(|store, older, rows| store.merge(change, older, rows).unwrap())
    }

    /// Merges what was held aside until `now`.
    pub(crate) fn release(&mut self, now: HybridTime) {
        for change in self.store.held_until(now) {
            self.with_older(|store, older, rows| {
                store.release(&change, rows);
                store.take_in(&change, older, rows).unwrap()
            });
        }
    }

    pub(crate) fn collect(&mut self, slot: &Slot, until: HybridTime) -> bool {
        self.with_older(|store, older, rows| store.collect(slot, until, older, rows).unwrap())
    }

    pub(crate) fn let_go(&mut self, slot: &Slot) {
        self.with_older(|store, older, rows| store.let_go(slot, older, rows).unwrap());
    }

    /// Includes what a vector says.
    pub(crate) fn include(&mut self, vector: impl IntoIterator<Item = (MemberId, HybridTime)>) {
        for (origin, upto) in vector {
            self.store.raise(origin, upto, &mut Vec::new());
        }
    }

    /// The older versions of a key.
    pub(crate) fn older(
        &self,
        node: &NodeName,
        key: &KeyName,
    ) -> impl Iterator<Item = &Arc<Version>> {
        let kept = self.disk.get(&(node.clone(), key.clone()));
        kept.into_iter().flatten().map(|(_, (version, _))| version)
    }

    fn with_older<T>(
        &mut self,
        work: impl FnOnce(
            &mut Store,
            &dyn Fn(&NodeName, &KeyName) -> Result<Vec<Older>, Infallible>,
            &mut Vec<Row>,
        ) -> T,
    ) -> T {
        let mut rows = Vec::new();
        let disk = &self.disk;
        let older = |node: &NodeName, key: &KeyName| {
            let kept = disk.get(&(node.clone(), key.clone())).into_iter().flatten();
            Ok(kept
                .map(|(_, (version, hash))| Older::of(version, *hash))
                .collect())
        };
        let done = work(&mut self.store, &older, &mut rows);
        rows.into_iter().for_each(|row| self.put(row));
        done
    }

    fn put(&mut self, row: Row) {
        match row {
            Row::Older {
                node,
                key,
                version,
                hash,
            } => {
                let at = self.disk.entry((node, key)).or_default();
                assert!(at.insert(version.stamp, (version, hash)).is_none());
            }
            Row::Drop { node, key, stamp } => {
                let at = self.disk.get_mut(&(node, key)).unwrap();
                assert!(at.remove(&stamp).is_some());
            }
            Row::Gone(Slot::Key(node, key)) => {
                let left = self.disk.remove(&(node, key)).unwrap_or_default();
                assert!(left.is_empty(), "older versions were dropped before");
            }
            _ => {}
        }
    }
}
