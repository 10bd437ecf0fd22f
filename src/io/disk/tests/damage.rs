//! Bytes changed behind our back: noticed, or without effect; never a wrong value.

use std::collections::BTreeSet;

use super::super::DiskError;
use super::member::write;
use super::script::{BATCHES, batch, open, run, states};
use super::sim::SimDisk;

/// What a damaged disk turned out to be.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Right,
}

/// A disk whose daemon stopped cleanly, and one whose daemon was killed.
fn disks() -> [SimDisk; 2] {
    let sim = SimDisk::new();
    let (mut disk, loaded) = open(&sim).unwrap();
    let mut store = loaded.store;
    run(&mut disk, &mut store, 1, &sim);
    let killed = SimDisk::holding(sim.bytes()).with_mark_of(&sim);
    disk.close();
    [sim, killed]
}

/// Opens a damaged disk: refused, or everything is right; older versions right or refused.
fn opened(sim: &SimDisk, expected: &BTreeSet<String>, place: &str) -> Outcome {
    let (mut disk, loaded) = match open(sim) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!matches!(error, DiskError::Full), "{place}: {error}");
            return Outcome::Refused;
        }
    };
    let mut store = loaded.store;
    assert_eq!(loaded.clock.1, BATCHES, "{place}");
    let reader = disk.reader();
    for (name, node) in store.all_nodes() {
        for (key, entry) in node.entries() {
            let line = format!("{name} {key} {:?} {}", entry.head, entry.older);
            assert!(expected.contains(&line), "{place}: {line}");
            let Ok(older) = reader.versions(name, key) else {
                return Outcome::Refused;
            };
            assert_eq!(older.len(), usize::from(entry.older), "{place}");
            for version in older {
                assert!(
                    expected.contains(&format!("{name} {key} {version:?}")),
                    "{place}"
                );
            }
        }
    }
    write(&mut disk, &mut store, &batch(BATCHES + 1), BATCHES + 1).unwrap();
    let root = store.digest().root();
    disk.close();
    let (_, again) = open(sim).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(again.store.digest().root(), root, "{place}");
    Outcome::Right
}

#[test]
fn a_flipped_bit_is_noticed_or_has_no_effect() {
    let expected = states().pop().unwrap();
    let mut refused = 0;
    for (number, disk) in disks().iter().enumerate() {
        let bytes = disk.bytes();
        // Every third byte of the header, and some of all others.
        for place in (number..320)
            .step_by(3)
            .chain((320..bytes.len()).step_by(4801))
        {
            let bit = 1 << (place * 7 % 8);
            let mut bytes = bytes.clone();
            bytes[place] ^= bit;
            let damaged = SimDisk::holding(bytes).with_mark_of(disk);
            let told = format!("disk {number}, byte {place}, bit {bit:#04x}");
            refused += u32::from(opened(&damaged, &expected, &told) == Outcome::Refused);
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn a_file_cut_short_or_emptied_never_starts_as_less_than_it_was() {
    let expected = states().pop().unwrap();
    for (number, disk) in disks().iter().enumerate() {
        let bytes = disk.bytes();
        for length in (0..bytes.len())
            .step_by(4096)
            .chain([1, 511, bytes.len() - 1])
        {
            let cut = SimDisk::holding(bytes[..length].to_vec()).with_mark_of(disk);
            let told = format!("disk {number}, cut to {length}");
            opened(&cut, &expected, &told);
        }
        let mut zeros = bytes.clone();
        zeros[..4096].fill(0);
        let zeros = SimDisk::holding(zeros).with_mark_of(disk);
        assert_eq!(opened(&zeros, &expected, "zeros"), Outcome::Refused);
        assert_eq!(
            opened(&SimDisk::new().with_mark_of(disk), &expected, "gone"),
            Outcome::Refused
        );
    }
}

#[test]
fn an_older_file_of_ours_and_a_file_of_another_member_are_refused() {
    let [now, _] = disks();
    let before = SimDisk::new();
    let (mut disk, loaded) = open(&before).unwrap();
    write(&mut disk, &mut loaded.store.clone(), &batch(1), 1).unwrap();
    disk.close();
    let error = open(&before.clone().with_mark_of(&now)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("29 acknowledged batches are missing"),
        "{error}"
    );
    let other = SimDisk::new();
    let mut opening = super::opening(1);
    opening.member = crate::model::MemberId::from_u64(8);
    super::super::Disk::open_on(std::sync::Arc::new(other.clone()), &opening).unwrap();
    let error = open(&other.with_mark_of(&now)).unwrap_err();
    assert!(error.to_string().contains("of member"), "{error}");
}
