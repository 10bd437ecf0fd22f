//! The strong log when the disk is full or fails, and after a crash at any point.

use bytes::Bytes;

use super::super::{Disk, DiskError, DiskState};
use super::crash::tosses;
use super::member::write;
use super::script::{batch, open};
use super::sim::{Operation, Plan, Replay, SimDisk, crashed};
use super::strong_model::{Model, commit};
use crate::model::Store;
use crate::strong::engine::{Cell, LogChange, LogDiskError};

/// Commits in a run.
const COMMITS: u64 = 26;

/// A member with a store and a log, both on one disk.
struct Both {
    disk: Disk,
    store: Store,
    model: Model,
}

impl Both {
    fn open(sim: &SimDisk) -> Self {
        let (disk, loaded) = open(sim).unwrap_or_else(|error| panic!("{error}"));
        let model = Model::of(&*disk.log_disk()).unwrap();
        Self {
            disk,
            store: loaded.store,
            model,
        }
    }

    /// After the first commits.
    fn after(sim: &SimDisk, commits: u64) -> Self {
        let mut both = Self::open(sim);
        for number in 1..=commits {
            both.commit(number).unwrap();
        }
        both
    }

    fn commit(&mut self, number: u64) -> Result<(), LogDiskError> {
        let changes = commit(number, &self.model);
        self.disk.log_disk().commit(&changes)?;
        assert!(self.model.commit(&changes));
        Ok(())
    }

    /// Commits from `from` on until one fails; gives the last one that did not.
    fn run(&mut self, from: u64) -> (u64, Option<LogDiskError>) {
        for number in from..=COMMITS {
            if let Err(error) = self.commit(number) {
                return (number - 1, Some(error));
            }
        }
        (COMMITS, None)
    }

    fn is_on_disk(&self) {
        assert_eq!(Model::of(&*self.disk.log_disk()).as_ref(), Ok(&self.model));
    }
}

/// What the log holds after each commit.
fn states() -> Vec<Model> {
    let mut states = vec![Model::default()];
    for number in 1..=COMMITS {
        let mut next = states.last().unwrap().clone();
        let changes = commit(number, &next);
        assert!(next.commit(&changes));
        states.push(next);
    }
    states
}

/// How many operations of each kind the commits after the tenth have.
fn rest_of_run() -> (usize, usize, usize) {
    let sim = SimDisk::new();
    let mut both = Both::after(&sim, 10);
    sim.plan(Plan::Healthy);
    both.run(11);
    sim.counts()
}

#[test]
fn a_crash_at_any_point_leaves_every_commit_whole_or_not_at_all() {
    let sim = SimDisk::new();
    let mut both = Both::open(&sim);
    let created = sim.trace().len();
    // Every third step is the store's.
    let mut steps = vec![(Model::default(), 0)];
    for number in 1..=COMMITS {
        if number % 3 == 0 {
            write(&mut both.disk, &mut both.store, &batch(number), number).unwrap();
        } else {
            both.commit(number).unwrap();
        }
        sim.acknowledged();
        let of_store = number - number % 3;
        steps.push((both.model.clone(), of_store));
    }
    let (mut acknowledged, mut replay) = (0, Replay::default());
    for (point, operation) in sim.trace().iter().enumerate() {
        replay.push(operation);
        acknowledged += usize::from(matches!(operation, Operation::Acknowledged));
        if point < created {
            continue;
        }
        let seed = point as u64 + 1;
        for disk in [
            replay.crash(|| false),
            replay.crash(tosses(seed * 0x9E37_79B9)),
            replay.crash(tosses(seed * 0x85EB_CA6B)),
        ] {
            let (disk, loaded) = open(&disk).unwrap_or_else(|error| panic!("{point}: {error}"));
            let found = (Model::of(&*disk.log_disk()).unwrap(), loaded.clock.1);
            let may_be = &steps[acknowledged..(acknowledged + 2).min(steps.len())];
            assert!(may_be.contains(&found), "after a crash at {point}");
        }
    }
    assert_eq!(acknowledged as u64, COMMITS);
}

#[test]
fn a_full_disk_refuses_a_commit_whole_and_takes_it_when_there_is_room() {
    let states = states();
    let (space, ..) = rest_of_run();
    let (mut refused, mut tried) = (0, 0);
    for from in (1..=space).step_by(3) {
        for count in [1, 40] {
            tried += 1;
            let sim = SimDisk::new();
            let mut both = Both::after(&sim, 10);
            sim.plan(Plan::Full { from, count });
            let (reached, error) = both.run(11);
            both.is_on_disk();
            if let Some(error) = error {
                refused += 1;
                assert_eq!(error, LogDiskError::Full);
                assert_eq!(both.disk.state(), DiskState::Full);
                sim.plan(Plan::Healthy);
                assert_eq!(both.run(reached + 1), (COMMITS, None));
                assert_eq!(both.disk.state(), DiskState::Ok);
            }
            write(&mut both.disk, &mut both.store, &batch(1), 1).unwrap();
            let after = Both::open(&crashed(&sim.trace(), || false));
            assert_eq!(after.model, states[usize::try_from(COMMITS).unwrap()]);
        }
    }
    assert!(refused > tried / 2, "{refused} of {tried}");
}

#[test]
fn the_log_leaves_the_reserve_to_the_stores_deletes() {
    let sim = SimDisk::new();
    let mut both = Both::after(&sim, 3);
    sim.set_free(100 << 10);
    let written = sim.trace().len();
    assert_eq!(both.commit(4), Err(LogDiskError::Full));
    assert_eq!(both.commit(4), Err(LogDiskError::Full));
    assert_eq!(sim.trace().len(), written, "nothing was tried");
    both.is_on_disk();
    for _ in 0..2 {
        both.disk.begin().expect_err("no room");
        let mut deletes = both.disk.begin_reserved().unwrap();
        deletes.clock(crate::model::HybridTime::from_bits(9), 9);
        deletes.commit().expect("deletes may have the reserve");
        assert_eq!(both.disk.state(), DiskState::Full);
        assert_eq!(both.commit(4), Err(LogDiskError::Full), "not the log");
    }
    sim.set_free(3 << 20);
    assert_eq!(both.run(4), (COMMITS, None));
    assert_eq!(both.disk.state(), DiskState::Ok);
    // A commit is measured before it is tried, and a lesser one still goes.
    let size = usize::try_from(2_u64 << 20).unwrap();
    let big = LogChange::Set(Cell::Snapshot, Bytes::from(vec![1; size]));
    assert_eq!(both.disk.log_disk().commit(&[big]), Err(LogDiskError::Full));
    assert_eq!(both.commit(COMMITS + 1), Ok(()));
}

#[test]
fn a_failed_sync_or_write_fences_the_log_and_the_store() {
    let states = states();
    let (_, syncs, writes) = rest_of_run();
    for n in 1..=syncs {
        fences(Plan::SyncFails(n), &states);
    }
    for n in (1..=writes).step_by(5) {
        fences(Plan::WriteFails(n), &states);
    }
}

fn fences(plan: Plan, states: &[Model]) {
    let sim = SimDisk::new();
    let mut both = Both::after(&sim, 10);
    sim.plan(plan);
    let (reached, error) = both.run(11);
    let Some(error) = error else {
        assert!(matches!(plan, Plan::WriteFails(_)), "{plan:?}");
        return;
    };
    assert!(matches!(&error, LogDiskError::Failed(why) if why.contains("input/output")));
    let written = sim.trace().len();
    for _ in 0..2 {
        let error = both.commit(reached + 1).unwrap_err();
        assert!(
            matches!(error, LogDiskError::Failed(_)),
            "{plan:?}: {error}"
        );
        let error = write(&mut both.disk, &mut both.store, &batch(1), 1).unwrap_err();
        assert!(matches!(error, DiskError::Fenced(_)), "{plan:?}: {error}");
    }
    let reached = usize::try_from(reached).unwrap();
    let may_be = &states[reached..=reached + 1];
    let read = Model::of(&*both.disk.log_disk()).expect("reads go on");
    assert!(may_be.contains(&read), "{plan:?}");
    both.disk.close();
    assert_eq!(sim.trace().len(), written, "{plan:?}: it is left as it is");
    let after = Both::open(&SimDisk::holding(sim.bytes()));
    assert!(may_be.contains(&after.model), "{plan:?}");
}

#[test]
fn a_failed_sync_of_the_store_fences_the_log() {
    let sim = SimDisk::new();
    let mut both = Both::after(&sim, 5);
    sim.plan(Plan::SyncFails(1));
    write(&mut both.disk, &mut both.store, &batch(1), 1).unwrap_err();
    let error = both.commit(6).unwrap_err();
    assert!(matches!(error, LogDiskError::Failed(_)), "{error}");
    both.is_on_disk();
}
