//! Errors of the disk: what is refused, what goes on, and what is never acknowledged.

use std::collections::BTreeSet;

use super::super::{Disk, DiskError, DiskState};
use super::member::{all, write};
use super::script::{BATCHES, batch, open, reopened, run, states};
use super::sim::{Plan, SimDisk, crashed};
use crate::model::Store;

/// A disk with the first ten batches on it.
fn after_ten(sim: &SimDisk) -> (Disk, Store) {
    let (mut disk, loaded) = open(sim).unwrap();
    let mut store = loaded.store;
    for number in 1..=10 {
        write(&mut disk, &mut store, &batch(number), number).unwrap();
    }
    (disk, store)
}

/// How many operations of each kind the rest of the run has.
fn rest_of_run() -> (usize, usize, usize) {
    let sim = SimDisk::new();
    let (mut disk, mut store) = after_ten(&sim);
    sim.plan(Plan::Healthy);
    run(&mut disk, &mut store, 11, &sim);
    sim.counts()
}

#[test]
fn a_full_disk_refuses_the_batch_whole_and_goes_on_when_space_is_back() {
    let states = states();
    let (space, ..) = rest_of_run();
    let mut refused = 0;
    let mut tried = 0;
    for from in (1..=space).step_by(5) {
        for count in [1, 40] {
            tried += 1;
            let sim = SimDisk::new();
            let (mut disk, mut store) = after_ten(&sim);
            sim.plan(Plan::Full { from, count });
            let reached = run(&mut disk, &mut store, 11, &sim);
            assert_eq!(
                all(&store, &disk.reader()),
                states[usize::try_from(reached).unwrap()]
            );
            if reached < BATCHES {
                refused += 1;
                assert_eq!(disk.state(), DiskState::Full);
                sim.plan(Plan::Healthy);
                assert_eq!(run(&mut disk, &mut store, reached + 1, &sim), BATCHES);
                assert_eq!(disk.state(), DiskState::Ok);
            }
            assert_eq!(
                all(&store, &disk.reader()),
                states[usize::try_from(BATCHES).unwrap()]
            );
            let after = crashed(&sim.trace(), || false);
            assert_eq!(reopened(&after, &states), BATCHES);
        }
    }
    assert!(refused > tried / 2, "{refused} of {tried}");
}

#[test]
fn the_first_failed_sync_fences_and_nothing_is_acknowledged_after_it() {
    let (_, syncs, _) = rest_of_run();
    let states = states();
    for n in 1..=syncs {
        fences(Plan::SyncFails(n), &states);
    }
}

#[test]
fn the_first_failed_write_fences_and_nothing_is_acknowledged_after_it() {
    let (_, _, writes) = rest_of_run();
    let states = states();
    for n in (1..=writes).step_by(7) {
        fences(Plan::WriteFails(n), &states);
    }
}

fn fences(plan: Plan, states: &[BTreeSet<String>]) {
    let sim = SimDisk::new();
    let (mut disk, mut store) = after_ten(&sim);
    sim.plan(plan);
    let reached = run(&mut disk, &mut store, 11, &sim);
    if reached == BATCHES {
        assert!(
            matches!(plan, Plan::WriteFails(_)),
            "{plan:?}: an evicted page may be tried again"
        );
        return;
    }
    let written = sim.trace().len();
    for _ in 0..3 {
        let error = write(&mut disk, &mut store, &batch(reached + 1), reached + 1).unwrap_err();
        assert!(matches!(error, DiskError::Fenced(_)), "{plan:?}: {error}");
        assert!(matches!(disk.begin_reserved(), Err(DiskError::Fenced(_))));
    }
    let DiskState::Fenced(why) = disk.state() else {
        panic!("{plan:?}: not fenced")
    };
    assert!(why.contains("input/output error"), "{why}");
    for (node, at) in store.all_nodes() {
        for (key, _) in at.entries() {
            disk.reader().versions(node, key).expect("reads go on");
        }
    }
    disk.close();
    assert_eq!(
        sim.trace().len(),
        written,
        "{plan:?}: a disk that failed is left as it is"
    );
    let number = reopened(&SimDisk::holding(sim.bytes()), states);
    assert!(
        (reached..=reached + 1).contains(&number),
        "{plan:?}: {number}"
    );
}

#[test]
fn a_disk_that_cannot_be_read_at_the_start_is_refused() {
    let sim = SimDisk::new();
    after_ten(&sim).0.close();
    sim.plan(Plan::ReadsFail);
    let error = open(&sim).unwrap_err();
    assert!(matches!(error, DiskError::Io { .. }), "{error}");
    assert!(error.to_string().contains("offset"), "{error}");
}
