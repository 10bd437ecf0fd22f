//! Reading past the engine: the same rows, and every flipped bit found.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::audit::Cursor;
use super::super::pages::Pages;
use super::super::{Portion, verify};
use super::member::{all, write};
use super::script::{batch, open, run};
use super::sim::{Plan, SimDisk};

/// A disk with a few small rows, closed cleanly, and what is known on it.
fn closed() -> (SimDisk, BTreeSet<String>) {
    let sim = SimDisk::new();
    let (mut disk, loaded) = open(&sim).unwrap();
    let mut store = loaded.store;
    let [first, second] = [batch(7), batch(8)];
    let few = [first[0].clone(), second[0].clone(), first[3].clone()];
    write(&mut disk, &mut store, &few, 1).unwrap();
    let known = all(&store, &disk.reader());
    disk.close();
    (sim, known)
}

fn portions(mut read: impl FnMut(&Cursor) -> Portion) -> Vec<Portion> {
    let mut portions = Vec::new();
    let mut at = Some(Cursor::default());
    while let Some(cursor) = at.take() {
        let portion = read(&cursor);
        at.clone_from(&portion.next);
        portions.push(portion);
    }
    portions
}

/// What portions hold, as [`all`] tells it.
fn told(portions: &[Portion]) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    for portion in portions {
        assert_eq!(portion.faults, Vec::new());
        let nodes = portion.nodes.iter();
        told.extend(nodes.map(|(name, register)| format!("{name} {register:?}")));
        for found in &portion.entries {
            assert!(found.is_whole);
            let (node, key) = (&found.node, &found.key);
            told.insert(format!("{node} {key} {:?} {}", found.head, found.older));
            let older = found.versions.iter();
            told.extend(older.map(|version| format!("{node} {key} {version:?}")));
        }
    }
    told
}

#[test]
fn what_is_read_past_the_engine_is_what_was_written_whatever_the_portions() {
    let sim = SimDisk::new();
    let (mut disk, loaded) = open(&sim).unwrap();
    let mut store = loaded.store;
    run(&mut disk, &mut store, 1, &sim);
    let known = all(&store, &disk.reader());
    for limit in [1, 700, 20_000, u64::MAX] {
        let read = portions(|cursor| disk.reader().portion(cursor, limit).unwrap());
        assert_eq!(told(&read), known, "portions of {limit}");
        assert_eq!(read.len() > 10, limit < 1000, "{limit}: {}", read.len());
    }
    let mut found = verify::bytes(Arc::new(sim.clone()), None, &mut |_, _| {});
    assert_eq!(found.faults, [], "while it is open");
    disk.close();
    found = verify::bytes(Arc::new(sim.clone()), None, &mut |_, _| {});
    assert_eq!(found.faults, []);
    assert_eq!(found.entries, store.counts().entries as u64);
    assert_eq!(found.older, store.counts().older as u64);
    assert_eq!(found.identity.unwrap().member.as_u64(), 7);
}

/// The parts of a disk that some checksum covers.
#[test]
fn a_commit_that_is_half_written_is_no_damage() {
    let sim = SimDisk::new();
    let (mut disk, loaded) = open(&sim).unwrap();
    let (mut store, reader) = (loaded.store, disk.reader());
    write(&mut disk, &mut store, &batch(1), 1).unwrap();
    // Some commits whose pages reach the file one by one, the header among the first.
    sim.plan(Plan::Slow(Duration::from_millis(2)));
    let (is_done, mut read) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 2..=6 {
                write(&mut disk, &mut store, &batch(number), number).unwrap();
            }
            is_done.store(true, Ordering::Relaxed);
        });
        while !is_done.load(Ordering::Relaxed) {
            let portions = portions(|cursor| reader.portion(cursor, 3000).unwrap());
            assert_ne!(told(&portions), BTreeSet::new());
            read += 1;
        }
    });
    assert!(read > 2, "{read}");
}

fn covered(sim: &SimDisk) -> Vec<Range<u64>> {
    let mut pages = Pages::open(Arc::new(sim.clone())).unwrap();
    pages.covered = Some(Vec::new());
    assert_eq!(verify::newest(&mut pages, &mut |_, _| {}).0.fault_count, 0);
    pages.covered.unwrap()
}

/// How many faults there are with this bit flipped.
fn faults_with(bytes: &[u8], at: usize, bit: usize, whole: Whole) -> u64 {
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 1 << bit;
    let damaged = Arc::new(SimDisk::holding(flipped));
    if whole == Whole::Yes {
        return verify::bytes(damaged, None, &mut |_, _| {}).fault_count;
    }
    let mut pages = Pages::open(damaged).unwrap();
    verify::newest(&mut pages, &mut |_, _| {}).0.fault_count
}

/// Whether the engine is asked as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

#[test]
fn every_flipped_bit_of_a_page_in_use_is_found_and_no_other_matters() {
    let (sim, _) = closed();
    let bytes = sim.bytes();
    let covered = covered(&sim);
    let is_covered = |at: usize| covered.iter().any(|range| range.contains(&(at as u64)));
    let in_use: usize = (4096..bytes.len()).filter(|at| is_covered(*at)).count();
    let (mut found, mut harmless) = (0, 0);
    for at in (4096..bytes.len()).filter(|at| is_covered(*at)) {
        for bit in 0..8 {
            let faults = faults_with(&bytes, at, bit, Whole::No);
            found += usize::from(faults > 0);
            assert!(faults > 0, "byte {at} bit {bit}");
        }
    }
    for at in (4096..bytes.len())
        .filter(|at| !is_covered(*at))
        .step_by(499)
    {
        let faults = faults_with(&bytes, at, at % 8, Whole::Yes);
        assert_eq!(faults, 0, "byte {at} is in no page in use");
        harmless += 1;
    }
    assert_eq!((found, in_use > 1000), (in_use * 8, true), "{in_use}");
    assert!(harmless > 100, "{harmless}");
}

#[test]
fn a_flipped_bit_of_the_header_is_found_or_the_start_is_right() {
    let (sim, known) = closed();
    let bytes = sim.bytes();
    let mut found = 0;
    for at in 0..320 {
        for bit in 0..8 {
            if faults_with(&bytes, at, bit, Whole::Yes) > 0 {
                found += 1;
                continue;
            }
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let (disk, loaded) = open(&SimDisk::holding(flipped)).unwrap();
            let again = all(&loaded.store, &disk.reader());
            assert_eq!(again, known, "byte {at} bit {bit}");
        }
    }
    assert_eq!(found, 1262, "of 2560 bits");
}
