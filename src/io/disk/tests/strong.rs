//! The strong log on the disk: it gives back what it was given, beside the store.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use redb::ReadableDatabase;

use super::super::audit::Cursor;
use super::super::pages::Pages;
use super::super::{DataDir, Disk, DiskState, verify};
use super::member::{all, write};
use super::script::{batch, open};
use super::sim::SimDisk;
use super::strong_model::{Model, any_move, commit};
use crate::model::WallTime;
use crate::strong::engine::{Cell, Kept, LogChange, LogDisk, LogDiskError, MemoryDisk};

/// Holds everything that a disk says against the model.
fn check(disk: &dyn LogDisk, model: &Model) {
    assert_eq!(Model::of(disk).as_ref(), Ok(model));
    assert_eq!(disk.load().unwrap(), model.kept());
    let (first, last) = model.kept().log.unwrap_or((3, 3));
    for (from, to) in [
        (0, last),
        (first, last + 1),
        (first + 3, first + 9),
        (9, 4),
        (0, 0),
    ] {
        for bytes in [0, 1, 500, 5000] {
            let found = disk.entries(from, to, bytes).unwrap();
            assert_eq!(
                found,
                model.portion(from, to, bytes),
                "{from}..{to}, {bytes} bytes"
            );
        }
    }
    assert_eq!(disk.piece(77, 0), Ok(None));
    assert_eq!(disk.piece(0, 77), Ok(None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_database_memory_and_a_model_agree_whatever_is_done(
        commits in prop::collection::vec(
            (prop::collection::vec(any_move(), 1..6), any::<bool>()), 1..25)
    ) {
        let (sim, memory) = (SimDisk::new(), MemoryDisk::new());
        let mut model = Model::default();
        let mut disk = open(&sim).unwrap().0;
        for (moves, reopen) in commits {
            let mut next = model.clone();
            let mut changes = Vec::new();
            for step in moves {
                let made = step.on(&next);
                next.commit(&made);
                changes.extend(made);
            }
            let done = model.commit(&changes);
            for disk in [&*disk.log_disk(), &memory as &dyn LogDisk] {
                let found = disk.commit(&changes);
                let refused = matches!(found, Err(LogDiskError::Corrupt(_)));
                prop_assert!(if done { found.is_ok() } else { refused }, "{:?}", found);
            }
            prop_assert_eq!(disk.state(), DiskState::Ok);
            if reopen {
                disk.close();
                disk = open(&sim).unwrap().0;
            }
            check(&*disk.log_disk(), &model);
            check(&memory, &model);
        }
        disk.close();
        let found = verify::bytes(Arc::new(sim), None, &mut |_, _| {});
        prop_assert_eq!(found.faults, []);
    }
}

#[test]
fn a_database_without_a_log_has_none_and_looking_makes_none() {
    let sim = SimDisk::new();
    let disk = open(&sim).unwrap().0;
    let written = sim.trace().len();
    let log = disk.log_disk();
    assert_eq!(log.load(), Ok(Kept::default()));
    assert_eq!(log.entries(0, 9, 9), Ok(Vec::new()));
    assert_eq!(log.piece(0, 0), Ok(None));
    assert_eq!(log.commit(&[]), Ok(()));
    assert_eq!(sim.trace().len(), written);
}

#[test]
fn the_store_adds_up_as_before_with_a_log_beside_it() {
    let (alone, shared) = (SimDisk::new(), SimDisk::new());
    let mut lines = Vec::new();
    for (sim, has_log) in [(&alone, false), (&shared, true)] {
        let (mut disk, loaded) = open(sim).unwrap();
        let (mut store, mut model) = (loaded.store, Model::default());
        for number in 1..=10 {
            write(&mut disk, &mut store, &batch(number), number).unwrap();
            if has_log {
                let changes = commit(number, &model);
                assert!(model.commit(&changes));
                disk.log_disk().commit(&changes).unwrap();
            }
        }
        disk.close();
        let (disk, loaded) = open(sim).unwrap();
        lines.push((loaded.clock, all(&loaded.store, &disk.reader())));
        assert_eq!(Model::of(&*disk.log_disk()).unwrap(), model);
    }
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn tables_and_facts_of_a_later_release_are_let_be() {
    const LATER: super::super::rows::Table = redb::TableDefinition::new("later");
    let sim = SimDisk::new();
    let (disk, _) = open(&sim).unwrap();
    let write = |db: &redb::Database| {
        let txn = db.begin_write()?;
        let mut value = Vec::new();
        super::super::rows::encode(LATER, b"row", &[b"some"], &(), &mut value);
        txn.open_table(LATER)?
            .insert(&b"row"[..], value.as_slice())?;
        super::super::state::encode(b"later", &7, &mut value);
        let mut meta = txn.open_table(super::super::rows::META)?;
        meta.insert(&b"later"[..], value.as_slice())?;
        drop(meta);
        txn.commit()?;
        Ok(())
    };
    disk.shared.write("test", write).unwrap();
    disk.close();
    let (disk, _) = open(&sim).unwrap();
    disk.log_disk().commit(&[LogChange::Purge(1)]).unwrap();
    disk.close();
    let found = verify::bytes(Arc::new(sim), None, &mut |_, _| {});
    assert_eq!(found.faults, []);
}

#[test]
fn a_handle_that_outlives_the_database_gets_errors_and_the_close_is_clean() {
    let sim = SimDisk::new();
    let disk = open(&sim).unwrap().0;
    let log = disk.log_disk();
    let vote = [LogChange::Set(Cell::Vote, Bytes::from_static(b"me"))];
    log.commit(&vote).unwrap();
    disk.close();
    let written = sim.trace().len();
    let closed = LogDiskError::Failed("the database is closed".to_owned());
    assert_eq!(log.commit(&vote).unwrap_err(), closed);
    assert_eq!(log.load().unwrap_err(), closed);
    assert_eq!(log.entries(0, 1, 1).unwrap_err(), closed);
    assert_eq!(log.piece(0, 0).unwrap_err(), closed);
    drop(log);
    assert_eq!(sim.trace().len(), written);
    assert!(!Pages::open(Arc::new(sim)).unwrap().is_unclean());
}

#[test]
fn an_older_file_that_lacks_a_commit_of_the_log_alone_is_refused() {
    let sim = SimDisk::new();
    open(&sim).unwrap().0.close();
    let before = sim.bytes();
    let disk = open(&sim).unwrap().0;
    let vote = |who| [LogChange::Set(Cell::Vote, Bytes::from_static(who))];
    disk.log_disk().commit(&vote(b"me")).unwrap();
    disk.log_disk().commit(&vote(b"you")).unwrap();
    disk.close();
    let old = SimDisk::holding(before).with_mark_of(&sim);
    let error = open(&old).unwrap_err().to_string();
    assert!(
        error.contains("3 acknowledged batches are missing"),
        "{error}"
    );
}

#[test]
fn the_store_and_the_log_are_written_and_read_at_once() {
    const COMMITS: u64 = 150;
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&temp.path().join("data"), WallTime::default()).unwrap();
    let (mut disk, loaded) = Disk::open(&dir, &super::opening(1)).unwrap();
    let (log, reader) = (disk.log_disk(), disk.reader());
    let (mut store, mut model) = (loaded.store, Model::default());
    std::thread::scope(|scope| {
        let store = &mut store;
        let disk = &mut disk;
        scope.spawn(move || {
            for number in 1..=COMMITS {
                write(disk, store, &batch(number), number).unwrap();
            }
        });
        let model = &mut model;
        scope.spawn(move || {
            for number in 1..=COMMITS {
                let changes = commit(number, model);
                assert!(model.commit(&changes));
                log.commit(&changes).unwrap();
                assert_eq!(log.load().unwrap(), model.kept());
            }
        });
        scope.spawn(move || {
            for _ in 0..20 {
                let mut at = Some(Cursor::default());
                while let Some(cursor) = at {
                    let portion = reader.portion(&cursor, 3000).unwrap();
                    assert_eq!(portion.faults, []);
                    at = portion.next;
                }
            }
        });
    });
    let known = all(&store, &disk.reader());
    disk.close();
    let (disk, loaded) = Disk::open(&dir, &super::opening(2)).unwrap();
    assert_eq!(all(&loaded.store, &disk.reader()), known);
    assert_eq!(Model::of(&*disk.log_disk()).unwrap(), model);
    let read = |db: &redb::Database| super::super::state::about(&db.begin_read()?);
    let about = disk.shared.read("test", read).unwrap();
    let super::super::state::About::Known { state, .. } = about else {
        panic!("{about:?}")
    };
    assert_eq!(state.commits, 2 * COMMITS + 2, "with two starts");
    disk.close();
    drop(dir);
    let found = verify(&temp.path().join("data"), &mut |_, _| {}).unwrap();
    assert_eq!(found.faults, []);
}
