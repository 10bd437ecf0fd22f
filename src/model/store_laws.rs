//! The laws of the store, tried against arbitrary changes in arbitrary orders.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::samples::{register, version};
use super::shelf::Shelf as Member;
use super::{
    Bucket, Change, FAN, HybridTime, KeyName, LEVELS, MemberId, Merged, NodeName, Slot, Version,
    WallTime,
};

impl Member {
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
        let (mut root, mut live, mut entries, mut conflicts) = (0u128, 0, 0, 0);
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
                let mut all: Vec<&Version> = older.iter().map(|(_, (v, _))| &**v).collect();
                all.push(&entry.head);
                let lost = |v: &&&Version| {
                    v.stamp != entry.head.stamp && !all.iter().any(|u| u.replaces.has(v.stamp))
                };
                assert_eq!(all.iter().filter(lost).count(), usize::from(entry.losers));
                conflicts += usize::from(entry.losers > 0);
                assert_eq!(entry.bucket, Bucket::of_key(name, key));
                root = root.wrapping_add(sum);
                entries += 1;
            }
        }
        assert_eq!(self.store.digest().root(), root);
        assert_eq!(self.store.counts().keys, live);
        assert_eq!(self.store.counts().entries, entries);
        assert_eq!(self.store.counts().conflicts, conflicts);
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

    #[test]
    fn what_was_collected_does_not_come_back_in_any_order(list in changes(), turn in 0usize..60) {
        let mut member = Member::fed(&list);
        member.include((0..9).map(|id| (MemberId::from_u64(id), LAST)));
        let readable = readable(&member);
        loop {
            let dead = member.store.dead(LAST, 3);
            if dead.is_empty() {
                break;
            }
            for slot in dead {
                prop_assert!(member.collect(&slot, LAST));
            }
        }
        member.check();
        prop_assert_eq!(&self::readable(&member), &readable);
        let conflicts = member.store.counts().conflicts;
        prop_assert!(member.store.counts().entries <= readable.len() + conflicts);
        let mut again = list.clone();
        again.rotate_left(if list.is_empty() { 0 } else { turn % list.len() });
        for change in &again {
            member.merge(change);
        }
        member.check();
        prop_assert_eq!(self::readable(&member), readable);
    }

    #[test]
    fn collecting_at_a_time_leaves_everything_that_is_later(list in changes(), time in 0u64..20) {
        let mut member = Member::fed(&list);
        let until = HybridTime::from_bits(time << 14);
        let before = member.all();
        // A node goes after its last key.
        for _ in 0..2 {
            for slot in member.store.dead(until, usize::MAX) {
                prop_assert!(slot_time(&member, &slot) <= until);
                member.collect(&slot, until);
            }
        }
        member.check();
        prop_assert!(member.all().is_subset(&before));
        prop_assert!(member.store.dead(until, 1).is_empty());
        let first = member.store.first_dead();
        let has_keys = member.store.all_nodes().any(|(_, node)| node.entries().count() > 0);
        prop_assert!(first.is_none_or(|first| first > until || has_keys));
    }

    #[test]
    fn what_something_stands_above_changes_nothing_that_readers_see(
        list in changes(), late in changes()
    ) {
        let mut member = Member::fed(&list);
        for change in late.iter().filter(|change| matches!(change, Change::Key { .. })) {
            let before = readable(&member);
            if member.store.stands_above(change) {
                member.merge(change);
                prop_assert_eq!(&before, &readable(&member));
            }
        }
    }

    #[test]
    fn what_is_held_aside_below_a_collected_deletion_does_not_come_back(
        list in changes(), from in 0usize..60
    ) {
        let at = from.min(list.len());
        let mut member = Member::fed(&list[..at]);
        for change in &list[at..] {
            member.store.hold(change, &mut Vec::new());
        }
        for slot in member.store.dead(LAST, 1000) {
            let deleted = match &slot {
                Slot::Key(node, key) => {
                    let entry = member.store.entry(node.as_str(), key.as_str());
                    entry.map(|entry| entry.head.stamp)
                }
                Slot::Node(node) => member.store.register(node.as_str()).map(|at| at.stamp),
                Slot::Member(_) => None,
            };
            if member.collect(&slot, LAST) {
                let late = |change: &Change| change.stamp() <= deleted;
                prop_assert!(!member.store.held_of(&slot).any(late));
            }
        }
        member.check();
    }

    #[test]
    fn what_is_held_aside_counts_as_received_and_merges_when_its_time_has_come(
        list in changes(), from in 0usize..60
    ) {
        let at = from.min(list.len());
        let mut member = Member::fed(&list[..at]);
        let mut plain = member.clone();
        for change in &list[at..] {
            member.store.hold(change, &mut Vec::new());
            plain.merge(change);
        }
        member.check();
        prop_assert_eq!(readable(&member), readable(&Member::fed(&list[..at])));
        let held: Vec<&Change> = member.store.held().collect();
        let bytes: usize = held.iter().map(|change| change.size()).sum();
        prop_assert_eq!(member.store.held_bytes(), bytes);
        for change in &held {
            let slot = change.slot();
            let of = member.store.held_of(&slot);
            let there = held.iter().filter(|other| other.slot() == slot);
            prop_assert!(of.eq(there.copied()), "by stamp");
        }
        member.release(LAST);
        prop_assert_eq!((member.store.held_count(), member.store.held_bytes()), (0, 0));
        prop_assert!(list.iter().all(|change| member.store.held_of(&change.slot()).count() == 0));
        prop_assert_eq!(member.store.root(), plain.store.root());
        prop_assert_eq!(member.all(), plain.all());
    }
}

const LAST: HybridTime = HybridTime::from_bits(u64::MAX);

/// What readers see, with its stamps.
fn readable(member: &Member) -> BTreeSet<String> {
    let nodes = member.store.nodes();
    let seen = nodes.flat_map(|(name, node)| {
        let keys = node.live_keys(WallTime::default());
        keys.map(move |(key, version)| format!("{name:?} {key:?} {version:?}"))
    });
    seen.collect()
}

fn slot_time(member: &Member, slot: &super::Slot) -> HybridTime {
    match slot {
        super::Slot::Key(node, key) => {
            let entry = member.store.entry(node.as_str(), key.as_str());
            entry.unwrap().head.stamp.time
        }
        super::Slot::Node(node) => member.store.register(node.as_str()).unwrap().stamp.time,
        super::Slot::Member(_) => LAST,
    }
}

#[test]
fn a_register_that_hides_keys_is_not_let_go_before_them() {
    use super::{NodeState, Stamp, samples};
    let (node, key) = samples::names();
    let stamp = |time| Stamp {
        time: HybridTime::from_bits(time),
        member: MemberId::from_u64(1),
        sequence: time,
    };
    let version = |time| {
        let content = super::Content::Value(super::Value::untyped(*b"v"));
        Arc::new(Version {
            stamp: stamp(time),
            replaces: super::Replaces::Nothing,
            author: "a".into(),
            written: WallTime::default(),
            expires: None,
            content,
        })
    };
    let register = Arc::new(super::NodeRegister {
        stamp: stamp(5),
        replaces: None,
        author: "a".into(),
        written: WallTime::default(),
        state: NodeState::Deleted,
        cleared: Some(stamp(5)),
    });
    let hidden = Change::Key {
        node: node.clone(),
        key: key.clone(),
        version: version(3),
    };
    let deleted = Change::Node {
        node: node.clone(),
        register,
    };
    let mut member = Member::fed([&hidden, &deleted]);
    member.let_go(&Slot::Node(node.clone()));
    assert!(member.store.register(node.as_str()).is_some(), "it stays");
    assert_eq!(member.store.counts().keys, 0);
    member.let_go(&Slot::Key(node.clone(), key));
    member.let_go(&Slot::Node(node.clone()));
    assert_eq!(member.store.all_nodes().count(), 0);
    member.check();
}
