//! A reload gives back what was committed.

use proptest::prelude::*;

use super::super::{DataDir, Disk, DiskError};
use super::member::{all, change, write};
use super::opening;
use crate::model::{Change, HybridTime, Older, Row, Store, WallTime};

fn directory() -> (tempfile::TempDir, DataDir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&temp.path().join("data"), WallTime::default()).unwrap();
    (temp, dir)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_restart_gives_back_the_same_store_and_the_same_history(
        batches in prop::collection::vec(prop::collection::vec(change(), 1..12), 0..8)
    ) {
        let (_temp, dir) = directory();
        let (mut disk, loaded) = Disk::open(&dir, &opening(1)).unwrap();
        let mut store = loaded.store;
        for (number, changes) in batches.iter().enumerate() {
            write(&mut disk, &mut store, changes, number as u64 + 1).unwrap();
        }
        let before = all(&store, &disk.reader());
        disk.close();
        let (disk, loaded) = Disk::open(&dir, &opening(2)).unwrap();
        prop_assert_eq!(loaded.store.digest().root(), store.digest().root());
        prop_assert_eq!(loaded.store.counts(), store.counts());
        prop_assert_eq!(all(&loaded.store, &disk.reader()), before);
        let last = batches.len() as u64;
        prop_assert_eq!(loaded.clock, (HybridTime::from_bits(last << 16), last));
    }
}

#[test]
fn a_batch_that_is_dropped_changes_nothing() {
    let (_temp, dir) = directory();
    let (mut disk, mut loaded) = Disk::open(&dir, &opening(1)).unwrap();
    let mut batch = disk.begin().unwrap();
    let mut rows = Vec::new();
    let change = sample(1);
    let older = |_: &_, _: &_| Ok::<_, DiskError>(Vec::new());
    loaded.store.merge(&change, older, &mut rows).unwrap();
    for row in &rows {
        batch.write(row);
    }
    drop(batch);
    disk.close();
    let (_, loaded) = Disk::open(&dir, &opening(2)).unwrap();
    assert_eq!(loaded.store.counts(), Store::new().counts());
}

#[test]
fn a_batch_sees_its_own_rows_before_they_are_on_disk() {
    let (_temp, dir) = directory();
    let (mut disk, _) = Disk::open(&dir, &opening(1)).unwrap();
    let Change::Key { node, key, version } = sample(3) else {
        unreachable!()
    };
    let replaces = crate::model::Replaces::Nothing;
    let older = |stamp, hash| Older {
        stamp,
        hash,
        replaces: replaces.clone(),
    };
    let row = |number: u64| {
        let mut version = (*version).clone();
        version.stamp.sequence = number;
        Row::Older {
            node: node.clone(),
            key: key.clone(),
            version: version.into(),
            hash: number.into(),
        }
    };
    let stamp = |sequence| crate::model::Stamp {
        sequence,
        ..version.stamp
    };
    let mut batch = disk.begin().unwrap();
    batch.write(&row(1));
    batch.write(&row(2));
    batch.commit().unwrap();
    let mut batch = disk.begin().unwrap();
    batch.write(&row(3));
    batch.write(&Row::Drop {
        node: node.clone(),
        key: key.clone(),
        stamp: stamp(1),
    });
    let expected = vec![older(stamp(3), 3), older(stamp(2), 2)];
    assert_eq!(batch.older(&node, &key).unwrap(), expected);
    batch.commit().unwrap();
    assert_eq!(disk.reader().older(&node, &key).unwrap(), expected);
}

#[test]
fn a_database_is_new_until_something_was_written_to_it() {
    let (_temp, dir) = directory();
    for second in 1..3 {
        let (disk, loaded) = Disk::open(&dir, &opening(second)).unwrap();
        assert!(loaded.created);
        disk.close();
    }
    let (mut disk, mut loaded) = Disk::open(&dir, &opening(3)).unwrap();
    write(&mut disk, &mut loaded.store, &[sample(1)], 1).unwrap();
    disk.close();
    assert!(!Disk::open(&dir, &opening(4)).unwrap().1.created);
}

#[test]
fn the_generation_grows_with_every_start_also_when_the_clock_goes_back() {
    let (_temp, dir) = directory();
    let mut last = 0;
    for (boot, second) in [(1, 100), (2, 200), (3, 50), (4, 201)] {
        let (disk, loaded) = Disk::open(&dir, &opening(second)).unwrap();
        assert_eq!(loaded.boots, boot);
        assert!(loaded.generation > last && loaded.generation >= second * 1000);
        last = loaded.generation;
        disk.close();
    }
}

#[test]
fn the_member_keeps_its_first_id_and_another_cluster_is_refused() {
    let (_temp, dir) = directory();
    Disk::open(&dir, &opening(1)).unwrap().0.close();
    let mut other = opening(2);
    other.member = crate::model::MemberId::from_u64(99);
    let (disk, loaded) = Disk::open(&dir, &other).unwrap();
    assert_eq!(loaded.identity.member, opening(1).member);
    disk.close();
    other.cluster = "elsewhere".parse().unwrap();
    let error = Disk::open(&dir, &other).unwrap_err();
    assert!(matches!(error, DiskError::OtherCluster { .. }));
    assert!(error.to_string().contains("\"test\""), "{error}");
}

fn sample(sequence: u64) -> Change {
    use crate::model::{Content, MemberId, Stamp, Value, Version};
    let (node, key) = crate::model::samples::names();
    let version = Version {
        stamp: Stamp {
            time: HybridTime::from_bits(sequence),
            member: MemberId::from_u64(7),
            sequence,
        },
        replaces: crate::model::Replaces::Nothing,
        author: "ann".into(),
        written: WallTime::from_millis(1),
        expires: None,
        content: Content::Value(Value::untyped(*b"blue")),
    };
    Change::Key {
        node,
        key,
        version: version.into(),
    }
}
