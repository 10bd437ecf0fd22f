//! A reference run of some thirty batches, and what the store is after each of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::{Disk, DiskError, Loaded};
use super::member::{all, write};
use super::opening;
use super::sim::SimDisk;
use crate::model::{
    Change, Content, HybridTime, MemberId, NodeRegister, NodeState, Settings, Stamp, Store, Value,
    Version, WallTime,
};

/// Batches in the run.
pub(super) const BATCHES: u64 = 30;

/// The changes of batch `number` (from 1): overwritten keys, new ones, deletes, big values, and a
/// node whose short history makes rows leave.
pub(super) fn batch(number: u64) -> Vec<Change> {
    let key = |node: &str, key: String, sequence, content| Change::Key {
        node: node.parse().unwrap(),
        key: key.parse().unwrap(),
        version: Arc::new(Version {
            stamp: stamp(number * 100 + sequence),
            replaces: crate::model::Replaces::Nothing,
            author: "ann".into(),
            written: WallTime::from_millis(number),
            expires: None,
            content,
        }),
    };
    let value = |text: String| Content::Value(Value::untyped(text.into_bytes()));
    let big = "x".repeat(usize::try_from(number % 7).unwrap() * 1500);
    vec![
        key("web", "colour".into(), 1, value(format!("blue {number}"))),
        key("web", format!("key/{number}"), 2, value(big)),
        key("db", format!("k{}", number % 4), 3, Content::Tombstone),
        node("short", stamp(4), 3),
        key("short", "k".into(), 5, value(format!("{number}"))),
    ]
}

fn stamp(sequence: u64) -> Stamp {
    Stamp {
        time: HybridTime::from_bits(sequence << 16),
        member: MemberId::from_u64(7),
        sequence,
    }
}

fn node(name: &str, stamp: Stamp, history: u16) -> Change {
    Change::Node {
        node: name.parse().unwrap(),
        register: Arc::new(NodeRegister {
            stamp,
            replaces: None,
            author: "ann".into(),
            written: WallTime::from_millis(1),
            state: NodeState::Present(Settings {
                description: "".into(),
                history,
            }),
            cleared: None,
        }),
    }
}

/// Everything that is known after each batch; number 0 is the empty store.
pub(super) fn states() -> Vec<BTreeSet<String>> {
    let (mut disk, loaded) = open(&SimDisk::new()).unwrap();
    let mut store = loaded.store;
    let mut states = vec![all(&store, &disk.reader())];
    for number in 1..=BATCHES {
        write(&mut disk, &mut store, &batch(number), number).unwrap();
        states.push(all(&store, &disk.reader()));
    }
    states
}

/// Opens what is on a simulated disk.
pub(super) fn open(sim: &SimDisk) -> Result<(Disk, Loaded), DiskError> {
    Disk::open_on(Arc::new(sim.clone()), &opening(1))
}

/// Runs batches `from` to the last, as long as they succeed; gives the last one acknowledged.
pub(super) fn run(disk: &mut Disk, store: &mut Store, from: u64, sim: &SimDisk) -> u64 {
    for number in from..=BATCHES {
        if write(disk, store, &batch(number), number).is_err() {
            return number - 1;
        }
        sim.acknowledged();
    }
    BATCHES
}

/// Opens what is on a disk and checks that it is the state after some whole batch; gives which.
pub(super) fn reopened(sim: &SimDisk, states: &[BTreeSet<String>]) -> u64 {
    let (disk, loaded) = open(sim).unwrap_or_else(|error| panic!("{error}"));
    let number = loaded.clock.1;
    let found = all(&loaded.store, &disk.reader());
    assert_eq!(
        found,
        states[usize::try_from(number).unwrap()],
        "batch {number}"
    );
    number
}
