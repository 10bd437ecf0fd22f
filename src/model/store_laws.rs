//! The laws of the store, tried against arbitrary changes in arbitrary orders.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use proptest::prelude::*;

use super::samples::{register, version};
use super::{
    Bucket, Change, FAN, KeyName, LEVELS, Merged, NodeName, Older, Row, Stamp, Store, Version,
    WallTime,
};

type Kept = BTreeMap<Stamp, (Arc<Version>, u128)>;

/// A store with a disk that is a map: rows go in, older versions come out.
#[derive(Clone, Default)]
struct Member {
    store: Store,
    disk: BTreeMap<(NodeName, KeyName), Kept>,
}

impl Member {
    fn merge(&mut self, change: &Change) -> Merged {
        let mut rows = Vec::new();
        let disk = &self.disk;
        let older = |node: &NodeName, key: &KeyName| {
            let kept = disk.get(&(node.clone(), key.clone()));
            let list = kept.into_iter().flatten();
            Ok::<_, Infallible>(
                list.map(|(stamp, (_, hash))| Older {
                    stamp: *stamp,
                    hash: *hash,
                })
                .collect(),
            )
        };
        let merged = self.store.merge(change, older, &mut rows).unwrap();
        for row in rows {
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
                Row::Head { .. } | Row::Node { .. } => {}
            }
        }
        merged
    }

    fn fed<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut member = Self::default();
        for change in changes {
            member.merge(change);
        }
        member
    }

    /// Everything that the member knows, dead and alive.
    fn all(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for (name, node) in self.store.all_nodes() {
            all.extend(
                node.register()
                    .map(|register| format!("{name:?} {register:?}")),
            );
            for (key, entry) in node.entries() {
                all.insert(format!("{name:?} {key:?} {:?}", entry.head));
                let older = self.disk.get(&(name.clone(), key.clone()));
                let older = older.into_iter().flatten();
                all.extend(older.map(|(_, (v, _))| format!("{name:?} {key:?} {v:?}")));
            }
        }
        all
    }

    /// The sums and counts made anew from what is there.
    fn check(&self) {
        let (mut root, mut live, mut entries) = (0u128, 0, 0);
        for (name, node) in self.store.all_nodes() {
            root = root.wrapping_add(node.register().map_or(0, |register| register.hash(name)));
            live += node.live_keys(WallTime::default()).count();
            for (key, entry) in node.entries() {
                let kept = self.disk.get(&(name.clone(), key.clone()));
                let older: Vec<_> = kept.into_iter().flatten().collect();
                let sum = older
                    .iter()
                    .fold(entry.head.hash(name, key), |sum, (_, (_, hash))| {
                        sum.wrapping_add(*hash)
                    });
                assert_eq!(sum, entry.sum);
                assert_eq!(older.len(), usize::from(entry.older));
                assert_eq!(entry.bucket, Bucket::of_key(name, key));
                root = root.wrapping_add(sum);
                entries += 1;
            }
        }
        assert_eq!(self.store.digest().root(), root);
        assert_eq!(self.store.counts().keys, live);
        assert_eq!(self.store.counts().entries, entries);
    }
}

fn change() -> impl Strategy<Value = Change> {
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
    prop_oneof![4 => of_key, 1 => of_node]
}

/// One depth for all: while the depth itself differs, histories may differ too, until sync.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 0..60)
}

proptest! {
    #[test]
    fn any_order_and_any_repetition_give_the_same_store(list in changes(), turn in 0usize..60) {
        let mut other = list.clone();
        other.rotate_left(if list.is_empty() { 0 } else { turn % list.len() });
        other.reverse();
        other.extend(list.clone());
        let (a, b) = (Member::fed(&list), Member::fed(&other));
        a.check();
        b.check();
        prop_assert_eq!(a.all(), b.all());
        prop_assert_eq!(a.store.digest().root(), b.store.digest().root());
    }

    #[test]
    fn digests_are_equal_if_and_only_if_what_is_kept_is_equal(a in changes(), b in changes()) {
        let (a, b) = (Member::fed(&a), Member::fed(&b));
        prop_assert_eq!(a.all() == b.all(), a.store.digest().root() == b.store.digest().root());
    }

    #[test]
    fn merging_again_changes_nothing(list in changes()) {
        let mut member = Member::fed(&list);
        let before = member.all();
        for change in &list {
            prop_assert_eq!(member.merge(change), Merged::Nothing);
        }
        prop_assert_eq!(member.all(), before);
    }

    #[test]
    fn a_deleted_node_hides_what_was_written_before_and_nothing_else(list in changes()) {
        let member = Member::fed(&list);
        for (_, node) in member.store.all_nodes() {
            let cleared = node.register().and_then(|register| register.cleared);
            let seen: BTreeSet<_> = node.live_keys(WallTime::default()).map(|(k, _)| k).collect();
            for (key, entry) in node.entries() {
                let hidden = cleared.is_some_and(|at| entry.head.stamp <= at);
                let value = entry.head.value().is_some();
                prop_assert_eq!(seen.contains(key), value && !hidden);
            }
        }
    }

    #[test]
    fn a_copy_is_a_snapshot(list in changes(), more in changes()) {
        let mut member = Member::fed(&list);
        let copy = member.clone();
        let before = copy.all();
        for change in &more {
            member.merge(change);
        }
        prop_assert_eq!(copy.all(), before);
        copy.check();
    }

    #[test]
    fn every_sum_of_the_digest_is_the_sum_of_its_children(list in changes()) {
        let digest = Member::fed(&list).store.digest().clone();
        let top = digest.children(0, 0);
        prop_assert_eq!(top.iter().fold(0u128, |s, c| s.wrapping_add(*c)), digest.root());
        for level in 1..LEVELS {
            for (i, sum) in digest.children(level - 1, 0).iter().enumerate().take(FAN) {
                let prefix = u16::try_from(i << (4 * (LEVELS - level))).unwrap();
                let below = digest.children(level, prefix);
                prop_assert_eq!(below.iter().fold(0u128, |s, c| s.wrapping_add(*c)), *sum);
            }
        }
    }
}
