//! Two stores sync through the real messages until they are equal, whatever they held.
#![expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]

use std::convert::Infallible;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::samples::{register_with, version};
use crate::model::shelf::Shelf as Member;
use crate::model::{HybridTime, MemberId, NodeState, Settings, Version};
use crate::protocol::collect::Collector;
use crate::protocol::message::{About, Ask, MESSAGE_BYTES, Reply, Taken, decode, encode};

impl History for Member {
    type Error = Infallible;

    fn older_stamps(&self, node: &NodeName, key: &KeyName) -> Result<Vec<Stamp>, Infallible> {
        Ok(self.older(node, key).map(|version| version.stamp).collect())
    }

    fn older_versions(
        &self,
        node: &NodeName,
        key: &KeyName,
        stamps: &[Stamp],
    ) -> Result<Vec<Change>, Infallible> {
        let wanted = self
            .older(node, key)
            .filter(|older| stamps.contains(&older.stamp));
        let change = |version: &Arc<Version>| Change::Key {
            node: node.clone(),
            key: key.clone(),
            version: version.clone(),
        };
        Ok(wanted.map(change).collect())
    }
}

fn root(member: &Member) -> u128 {
    member.store.root()
}

fn about(store: &Store) -> About {
    Collector::new(MemberId::from_u64(99), 1).about(store)
}

fn taken(new: usize) -> Reply {
    Reply::Taken(Taken {
        new: new as u64,
        ..Taken::default()
    })
}

/// Walks once; gives the bytes that went over the wire and the number of questions.
fn sync(asker: &mut Member, answerer: &mut Member) -> (usize, usize) {
    let (mut bytes, mut questions) = (0, 0);
    let mut walk = Walk::new(about(&asker.store));
    let mut step = walk.next(&asker.store, asker).unwrap();
    loop {
        step = match step {
            WalkStep::Done => return (bytes, questions),
            WalkStep::Merge(changes) => {
                asker.merge_all(&changes);
                walk.next(&asker.store, asker).unwrap()
            }
            WalkStep::Include(vector) => {
                asker.include(vector.iter());
                walk.next(&asker.store, asker).unwrap()
            }
            WalkStep::LetGo { gone: all, .. } => {
                all.iter().for_each(|have| asker.let_go(&have.slot));
                walk.next(&asker.store, asker).unwrap()
            }
            WalkStep::Ask(ask) => {
                let sent = encode(&ask);
                let reply = match decode::<Ask>(&sent).unwrap() {
                    Ask::Push { changes, .. } => {
                        let changes = changes.changes;
                        answerer.merge_all(&changes);
                        taken(changes.len())
                    }
                    Ask::Include(vector) => {
                        answerer.include(vector);
                        taken(0)
                    }
                    ask => {
                        let about = || about(&answerer.store);
                        answer(&answerer.store, answerer, about, ask)
                            .unwrap()
                            .unwrap()
                    }
                };
                let received = encode(&reply);
                assert!(
                    sent.len().max(received.len()) < 2 * MESSAGE_BYTES,
                    "messages are bounded"
                );
                bytes += sent.len() + received.len();
                questions += 1;
                assert!(questions < 10_000, "a walk ends");
                walk.on_reply(&asker.store, asker, decode(&received).unwrap())
                    .unwrap()
            }
        };
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let node = prop::sample::select(vec!["a", "b"]).prop_map(|n| n.parse::<NodeName>().unwrap());
    let key = prop::sample::select(vec!["x", "y/z"]).prop_map(|k| k.parse::<KeyName>().unwrap());
    let of_key = (node.clone(), key, version()).prop_map(|(node, key, version)| Change::Key {
        node,
        key,
        version: Arc::new(version),
    });
    let of_node = (
        node,
        register_with(|stamp| u16::try_from(stamp.sequence % 5).unwrap() + 1),
    )
        .prop_map(|(node, register)| Change::Node {
            node,
            register: Arc::new(register),
        });
    prop::collection::vec(prop_oneof![4 => of_key, 1 => of_node], 0..60)
}

fn key_change(node: usize, key: usize, sequence: u64) -> Change {
    let stamp = Stamp {
        time: crate::model::HybridTime::from_bits(sequence << 16),
        member: crate::model::MemberId::from_u64(1),
        sequence,
    };
    let version = Version {
        stamp,
        replaces: crate::model::Replaces::Nothing,
        author: "a".into(),
        written: crate::model::WallTime::default(),
        expires: None,
        content: crate::model::Content::Value(crate::model::Value::untyped(vec![b'v'; 64])),
    };
    Change::Key {
        node: format!("node{node}").parse().unwrap(),
        key: format!("key{key}").parse().unwrap(),
        version: Arc::new(version),
    }
}

proptest! {
    /// Histories of any depth, which the members learn of in any order.
    #[test]
    fn walks_make_two_quiet_members_equal_and_then_find_nothing(a in changes(), b in changes()) {
        let (mut left, mut right) = (Member::fed(&a), Member::fed(&b));
        for _ in 0..3 {
            sync(&mut left, &mut right);
        }
        prop_assert_eq!(root(&left), root(&right));
        let (_, questions) = sync(&mut left, &mut right);
        prop_assert_eq!(questions, 1, "nothing is left to be asked about");
    }

    #[test]
    fn a_smaller_history_prunes_whichever_comes_first(list in changes(), turn in 0usize..60) {
        let only_smaller: Vec<Change> = list
            .into_iter()
            .map(|change| match change {
                Change::Node { node, register } => {
                    let mut register = (*register).clone();
                    let history = 16 - u16::try_from(register.stamp.time.bits() >> 14).unwrap() / 2;
                    register.state = NodeState::Present(Settings {
                        history,
                        ..Settings::default()
                    });
                    let register = Arc::new(register);
                    Change::Node { node, register }
                }
                other => other,
            })
            .collect();
        let mut other = only_smaller.clone();
        let by = turn % other.len().max(1);
        other.rotate_left(by);
        prop_assert_eq!(root(&Member::fed(&only_smaller)), root(&Member::fed(&other)));
    }
}

#[test]
fn an_empty_member_gets_everything_and_keeps_nothing_back() {
    let all: Vec<Change> = (0u64..20_000)
        .map(|i| key_change((i % 10) as usize, i as usize, i + 1))
        .collect();
    for empty_asks in [true, false] {
        let (mut full, mut empty) = (Member::fed(&all), Member::default());
        if empty_asks {
            sync(&mut empty, &mut full);
        } else {
            sync(&mut full, &mut empty);
        }
        assert_eq!(root(&empty), root(&full));
        assert_eq!(empty.store.counts().keys, 20_000);
    }
}

#[test]
fn the_cost_follows_the_difference() {
    let all: Vec<Change> = (0u64..20_000)
        .map(|i| key_change((i % 10) as usize, i as usize, i + 1))
        .collect();
    let mut left = Member::fed(&all);
    let mut right = left.clone();
    let (bytes, questions) = sync(&mut left, &mut right);
    assert!(
        bytes < 400 && questions == 1,
        "equal: {bytes} bytes, {questions} questions"
    );
    for i in 0..10 {
        right.merge(&key_change(i % 10, i, 100_000 + i as u64));
    }
    let (bytes, questions) = sync(&mut left, &mut right);
    assert_eq!(root(&left), root(&right));
    assert!(
        bytes < 20_000 && questions <= 8,
        "ten keys: {bytes} bytes, {questions} questions"
    );
}

#[test]
fn more_than_one_message_of_values_goes_across() {
    let big = |i: u64| match key_change(0, i as usize, i + 1) {
        Change::Key { node, key, version } => {
            let content =
                crate::model::Content::Value(crate::model::Value::untyped(vec![b'v'; 1 << 20]));
            let version = Arc::new(Version {
                content,
                ..(*version).clone()
            });
            Change::Key { node, key, version }
        }
        other => other,
    };
    let (mut left, mut right) = (
        Member::default(),
        Member::fed(&(0..11).map(big).collect::<Vec<_>>()),
    );
    for _ in 0..4 {
        sync(&mut left, &mut right);
    }
    assert_eq!(root(&left), root(&right));
}

#[test]
fn a_key_whose_versions_fill_many_messages_goes_across_and_holds_nobody_up() {
    let heavy = |sequence: u64| match key_change(0, 0, sequence) {
        Change::Key { node, key, version } => {
            let value = crate::model::Value::untyped(vec![b'v'; 3 << 20]);
            let content = crate::model::Content::Value(value);
            let version = Arc::new(Version {
                content,
                ..(*version).clone()
            });
            Change::Key { node, key, version }
        }
        other => other,
    };
    let all: Vec<Change> = (1..=12).map(heavy).chain([key_change(1, 1, 100)]).collect();
    for empty_asks in [true, false] {
        let (mut full, mut empty) = (Member::fed(&all), Member::default());
        let mut walks = 0;
        while root(&full) != root(&empty) {
            let (asker, answerer) = if empty_asks {
                (&mut empty, &mut full)
            } else {
                (&mut full, &mut empty)
            };
            sync(asker, answerer);
            walks += 1;
            assert!(walks <= 12, "each walk brings something");
        }
    }
}

/// A store includes what it and others wrote up to here.
fn upto(origins: &[u64], time: u64) -> Vec<(MemberId, HybridTime)> {
    let pair = |id: &u64| (MemberId::from_u64(*id), HybridTime::from_bits(time << 16));
    origins.iter().map(pair).collect()
}

fn deletion(node: usize, key: usize, sequence: u64) -> Change {
    match key_change(node, key, sequence) {
        Change::Key { node, key, version } => {
            let mut version = (*version).clone();
            version.content = crate::model::Content::Tombstone;
            version.replaces = crate::model::Replaces::One(Stamp {
                time: HybridTime::from_bits((sequence - 1) << 16),
                sequence: sequence - 1,
                ..version.stamp
            });
            let version = Arc::new(version);
            Change::Key { node, key, version }
        }
        other => other,
    }
}

#[test]
fn a_walk_that_went_through_makes_both_include_what_either_did() {
    let (mut left, mut right) = (
        Member::fed(&[key_change(0, 0, 1)]),
        Member::fed(&[key_change(0, 1, 2)]),
    );
    left.include(upto(&[1], 1));
    right.include(upto(&[2], 2));
    sync(&mut left, &mut right);
    assert_eq!(left.store.vector(), right.store.vector());
    assert!(
        left.store
            .vector()
            .includes(&upto(&[2], 2).into_iter().collect())
    );
    let (_, questions) = sync(&mut left, &mut right);
    assert_eq!(questions, 1);
}

#[test]
fn an_old_value_that_the_others_deleted_and_collected_goes_where_it_was_missed() {
    for stale_asks in [true, false] {
        let old = key_change(0, 0, 1);
        let (mut stale, mut ahead) = (Member::fed([&old]), Member::fed([&old, &deletion(0, 0, 2)]));
        let standing = crate::model::Standing::Known {
            since: crate::model::WallTime::default(),
            name: "a".into(),
        };
        ahead.merge(&Change::Member {
            member: MemberId::from_u64(1),
            standing: Arc::new(standing),
        });
        ahead.include(upto(&[1], 2));
        let dead = ahead.store.dead(HybridTime::from_bits(2 << 16), 9);
        assert!(ahead.collect(&dead[0], HybridTime::from_bits(2 << 16)));
        ahead.store.set_horizon(HybridTime::from_bits(2 << 16));
        if stale_asks {
            sync(&mut stale, &mut ahead);
            assert_eq!(
                stale.store.counts().entries,
                1,
                "not before it includes as much"
            );
            sync(&mut stale, &mut ahead);
            assert_eq!(stale.store.counts().entries, 0, "let go");
        } else {
            sync(&mut ahead, &mut stale);
        }
        assert_eq!(ahead.store.counts().entries, 0, "never taken back");
    }
}

#[test]
fn what_a_member_wrote_alone_is_not_taken_for_collected() {
    let write = key_change(0, 0, 1);
    let (mut alone, mut others) = (Member::fed([&write]), Member::default());
    // They include much of everybody but not of who wrote it.
    others.include(upto(&[2, 3], 1000));
    sync(&mut alone, &mut others);
    assert_eq!(others.store.counts().keys, 1);
    assert_eq!(alone.store.counts().keys, 1);
}

#[test]
fn what_one_holds_aside_is_not_asked_for_again_and_reaches_the_others() {
    let change = key_change(0, 0, 1);
    let (mut holds, mut other) = (Member::default(), Member::default());
    holds.store.hold(&change, &mut Vec::new());
    sync(&mut other, &mut holds);
    assert_eq!(
        other.store.counts().keys,
        1,
        "by its clock the time has come"
    );
    assert_eq!(root(&holds), root(&other));
    let (_, questions) = sync(&mut holds, &mut other);
    assert_eq!(questions, 1);
    assert_eq!(holds.store.counts().keys, 0, "still held aside");
}

#[test]
fn what_is_above_the_horizon_of_a_peer_is_never_let_go_whatever_its_vector_says() {
    let write = key_change(0, 0, 5);
    let (mut holds, mut claims) = (Member::fed([&write]), Member::default());
    claims.include(upto(&[1], 1000));
    claims.store.set_horizon(HybridTime::from_bits(4 << 16));
    sync(&mut holds, &mut claims);
    assert_eq!(holds.store.counts().keys, 1);
    assert_eq!(
        claims.store.counts().keys,
        1,
        "and the one with the false claim has it now"
    );
}

#[test]
fn a_version_that_gave_way_while_the_walk_went_on_is_stood_for_by_the_one_that_came() {
    let (first, theirs, newer) = (
        key_change(0, 0, 1),
        key_change(0, 0, 2),
        key_change(0, 0, 3),
    );
    let (before, after) = (Member::fed([&first]), Member::fed([&theirs, &newer]));
    let answerer = Member::fed([&theirs]);
    for (later, pushed) in [(&after, Some(newer)), (&Member::default(), None)] {
        let mut walk = Walk::new(about(&before.store));
        let mut step = walk.next(&before.store, &before).unwrap();
        while let WalkStep::Ask(ask) = step {
            let about = || about(&answerer.store);
            let reply = answer(&answerer.store, &answerer, about, ask).unwrap();
            step = walk
                .on_reply(&before.store, &before, reply.unwrap())
                .unwrap();
        }
        assert_eq!(step, WalkStep::Merge(vec![theirs.clone()]));
        let step = walk.next(&later.store, later).unwrap();
        if let Some(newer) = pushed {
            let WalkStep::Ask(Ask::Push { changes, .. }) = step else {
                panic!("{step:?}");
            };
            assert!(changes.changes.contains(&newer), "{changes:?}");
        } else {
            assert!(!walk.walked().whole, "nothing stands for what went");
        }
    }
}
