//! Two stores sync through the real messages until they are equal, whatever they held.
#![expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::samples::{register_with, version};
use crate::model::{NodeState, Older, Row, Settings, Version};
use crate::protocol::message::{Ask, MESSAGE_BYTES, Reply, decode, encode};

type Kept = BTreeMap<Stamp, (Arc<Version>, u128)>;

#[derive(Clone, Default)]
struct Member {
    store: Store,
    disk: BTreeMap<(NodeName, KeyName), Kept>,
}

impl History for Member {
    type Error = Infallible;

    fn older_stamps(&self, node: &NodeName, key: &KeyName) -> Result<Vec<Stamp>, Infallible> {
        let kept = self.disk.get(&(node.clone(), key.clone()));
        Ok(kept
            .into_iter()
            .flatten()
            .map(|(stamp, _)| *stamp)
            .collect())
    }

    fn older_versions(
        &self,
        node: &NodeName,
        key: &KeyName,
        stamps: &[Stamp],
    ) -> Result<Vec<Change>, Infallible> {
        let kept = self
            .disk
            .get(&(node.clone(), key.clone()))
            .into_iter()
            .flatten();
        let wanted = kept.filter(|(stamp, _)| stamps.contains(stamp));
        Ok(wanted
            .map(|(_, (version, _))| Change::Key {
                node: node.clone(),
                key: key.clone(),
                version: version.clone(),
            })
            .collect())
    }
}

impl Member {
    fn merge(&mut self, change: &Change) {
        let mut rows = Vec::new();
        let disk = &self.disk;
        let older = |node: &NodeName, key: &KeyName| {
            let kept = disk.get(&(node.clone(), key.clone())).into_iter().flatten();
            let of = |(stamp, kept): (&Stamp, &(_, u128))| Older {
                stamp: *stamp,
                hash: kept.1,
            };
            Ok::<_, Infallible>(kept.map(of).collect())
        };
        self.store.merge(change, older, &mut rows).unwrap();
        for row in rows {
            match row {
                Row::Older {
                    node,
                    key,
                    version,
                    hash,
                } => {
                    let kept = self.disk.entry((node, key)).or_default();
                    kept.insert(version.stamp, (version, hash));
                }
                Row::Drop { node, key, stamp } => {
                    self.disk.get_mut(&(node, key)).unwrap().remove(&stamp);
                }
                Row::Head { .. } | Row::Node { .. } => {}
            }
        }
    }

    fn fed(changes: &[Change]) -> Self {
        let mut member = Self::default();
        changes.iter().for_each(|change| member.merge(change));
        member
    }

    fn root(&self) -> u128 {
        self.store.digest().root()
    }
}

/// Walks once; gives the bytes that went over the wire and the number of questions.
fn sync(asker: &mut Member, answerer: &mut Member) -> (usize, usize) {
    let (mut bytes, mut questions) = (0, 0);
    let mut walk = Walk::new();
    let mut step = walk.next(&asker.store, asker).unwrap();
    loop {
        step = match step {
            WalkStep::Done => return (bytes, questions),
            WalkStep::Merge(changes) => {
                changes.iter().for_each(|change| asker.merge(change));
                walk.next(&asker.store, asker).unwrap()
            }
            WalkStep::Ask(ask) => {
                let sent = encode(&ask);
                let reply = match decode::<Ask>(&sent).unwrap() {
                    Ask::Push(changes) => {
                        changes.iter().for_each(|change| answerer.merge(change));
                        Reply::Taken(changes.len() as u64)
                    }
                    ask => answer(&answerer.store, answerer, ask).unwrap().unwrap(),
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
        replaces: None,
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
        prop_assert_eq!(left.root(), right.root());
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
                key @ Change::Key { .. } => key,
            })
            .collect();
        let mut other = only_smaller.clone();
        let by = turn % other.len().max(1);
        other.rotate_left(by);
        prop_assert_eq!(Member::fed(&only_smaller).root(), Member::fed(&other).root());
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
        assert_eq!(empty.root(), full.root());
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
    assert_eq!(left.root(), right.root());
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
        node @ Change::Node { .. } => node,
    };
    let (mut left, mut right) = (
        Member::default(),
        Member::fed(&(0..11).map(big).collect::<Vec<_>>()),
    );
    for _ in 0..4 {
        sync(&mut left, &mut right);
    }
    assert_eq!(left.root(), right.root());
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
        node @ Change::Node { .. } => node,
    };
    let all: Vec<Change> = (1..=12).map(heavy).chain([key_change(1, 1, 100)]).collect();
    for empty_asks in [true, false] {
        let (mut full, mut empty) = (Member::fed(&all), Member::default());
        let mut walks = 0;
        while full.root() != empty.root() {
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
