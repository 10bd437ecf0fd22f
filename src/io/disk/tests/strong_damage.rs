//! The strong log when bytes were changed behind our back: noticed or without effect, and never
//! carried over by halves.

use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadableTable};

use super::super::audit::Cursor;
use super::super::engine::Failure;
use super::super::rows::{self, META, RAFT_LOG, Table};
use super::super::state::LOG_KEY;
use super::super::{DataDir, Disk, Opening, repair, verify};
use super::script::open;
use super::sim::SimDisk;
use super::strong_model::{Model, commit};
use crate::model::MemberId;
use crate::strong::engine::{Cell, Kept, LogChange, LogDisk, LogDiskError};

/// A log with entries, values and pieces that can be found in the file.
fn fill(log: &dyn LogDisk) -> Model {
    let text = |what: String| Bytes::from(format!("<{what}>"));
    let entry = |index| LogChange::Append {
        index,
        entry: text(format!("entry {index}")),
    };
    let piece = |piece| LogChange::Piece {
        snapshot: 4,
        piece,
        bytes: text(format!("piece {piece}")),
    };
    let mut changes = vec![LogChange::Set(Cell::Vote, text("vote".to_owned()))];
    changes.extend((1..=40).map(entry));
    changes.extend((0..3).map(piece));
    log.commit(&changes).unwrap();
    let mut model = Model::default();
    assert!(model.commit(&changes));
    model
}

fn filled() -> (SimDisk, Model) {
    let sim = SimDisk::new();
    let disk = open(&sim).unwrap().0;
    let model = fill(&*disk.log_disk());
    disk.close();
    (sim, model)
}

fn opening() -> Opening {
    Opening {
        cache: 0,
        ..super::opening(1)
    }
}

/// What is read is right, or refused; says whether it was refused.
fn is_refused(log: &dyn LogDisk, model: &Model, place: &str) -> bool {
    let mut refused = false;
    let mut hold = |result: Result<(), LogDiskError>| match result {
        Ok(()) => {}
        Err(LogDiskError::Corrupt(_) | LogDiskError::Failed(_)) => refused = true,
        Err(LogDiskError::Full) => panic!("{place}: full"),
    };
    hold(
        log.load()
            .map(|kept| assert_eq!(kept, model.kept(), "{place}")),
    );
    for from in [0, 7, 39, 40] {
        for (to, bytes) in [(u64::MAX, usize::MAX), (from + 1, 0), (30, 40)] {
            hold(log.entries(from, to, bytes).map(|found| {
                let expected = model.portion(from, to, bytes);
                assert_eq!(found, expected, "{place}: {from}..{to}");
            }));
        }
    }
    for piece in 0..4 {
        hold(log.piece(4, piece).map(|found| {
            let expected = model.pieces.get(&(4, piece));
            assert_eq!(found.as_ref(), expected, "{place}: piece {piece}");
        }));
    }
    refused
}

#[test]
fn a_flipped_bit_is_noticed_at_the_start_or_has_no_effect() {
    let (sim, model) = filled();
    let bytes = sim.bytes();
    let mut refused = 0;
    for at in (0..320).step_by(5).chain((320..bytes.len()).step_by(1699)) {
        let disk = SimDisk::holding(bytes.clone()).with_mark_of(&sim);
        disk.flip(at, at % 8);
        match open(&disk) {
            Err(_) => refused += 1,
            Ok((disk, _)) => {
                let log = disk.log_disk();
                refused += u32::from(is_refused(&*log, &model, &format!("byte {at}")));
            }
        }
    }
    assert!(refused > 30, "{refused}");
}

/// The pages that hold a part of the log.
fn pages_of_log(bytes: &[u8]) -> Vec<usize> {
    let holds = |page: &[u8], text: &str| page.windows(text.len()).any(|at| at == text.as_bytes());
    let pages = bytes.chunks(4096).enumerate();
    let of_log = |page: &[u8]| {
        ["<entry", "<piece", "<vote"]
            .iter()
            .any(|text| holds(page, text))
    };
    pages
        .filter(|(_, page)| of_log(page))
        .map(|(number, _)| number * 4096)
        .collect()
}

#[test]
fn a_bit_that_flips_while_the_member_runs_is_noticed_when_it_is_read() {
    let (sim, model) = filled();
    let bytes = sim.bytes();
    let mut refused = 0;
    for page in pages_of_log(&bytes) {
        for at in (page..page + 4096).step_by(17) {
            let sim = SimDisk::holding(bytes.clone());
            let (disk, _) = Disk::open_on(Arc::new(sim.clone()), &opening()).unwrap();
            sim.flip(at, at % 8);
            let log = disk.log_disk();
            refused += u32::from(is_refused(&*log, &model, &format!("byte {at}")));
        }
    }
    assert!(refused > 70, "{refused}");
}

/// Where a text stands in the pages that are in use.
fn places(sim: &SimDisk, text: &str) -> Vec<usize> {
    let bytes = sim.bytes();
    let windows = bytes.windows(text.len()).enumerate();
    let found = windows.filter(|(_, at)| *at == text.as_bytes());
    found.map(|(at, _)| at).collect()
}

#[test]
fn verify_and_the_scrub_name_the_damaged_row() {
    let (sim, _) = filled();
    for (text, named) in [
        ("<entry 17>", "raft-log: entry 17"),
        ("<piece 1>", "raft-snapshots: snapshot 4 piece 1"),
        ("<vote>", "meta: log: "),
    ] {
        let live = SimDisk::holding(sim.bytes());
        let (disk, _) = open(&live).unwrap();
        for at in places(&live, text) {
            live.flip(at + 2, 3);
        }
        let found = verify::bytes(Arc::new(live.clone()), None, &mut |_, _| {});
        let told: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|told| told.contains(named)), "{told:?}");
        assert!(told.iter().any(|told| told.contains("at byte")), "{told:?}");
        let (mut told, mut at) = (Vec::new(), Some(Cursor::default()));
        while let Some(cursor) = at {
            let portion = disk.reader().portion(&cursor, 100).unwrap();
            told.extend(portion.faults.iter().map(ToString::to_string));
            at = portion.next;
        }
        assert!(told.iter().any(|told| told.contains(named)), "{told:?}");
    }
}

/// Takes a row away behind the back of everything.
fn lose(disk: &Disk, table: Table, key: &[u8]) {
    let lose = |db: &Database| -> Result<(), Failure> {
        let txn = db.begin_write()?;
        let lost = txn.open_table(table)?.remove(key)?.is_some();
        assert!(lost);
        txn.commit()?;
        Ok(())
    };
    disk.shared.write("test", lose).unwrap();
}

#[test]
fn an_entry_that_is_missing_is_never_taken_for_the_end_of_the_log() {
    for (lost, named) in [
        (1, "entry 2 stands where 1 should"),
        (20, "entry 21 stands where 20 should"),
        (40, "entry 40 and all behind it are missing"),
    ] {
        let sim = SimDisk::new();
        let disk = open(&sim).unwrap().0;
        let log = disk.log_disk();
        let model = fill(&*log);
        lose(&disk, RAFT_LOG, &u64::to_be_bytes(lost));
        assert!(matches!(log.load(), Err(LogDiskError::Corrupt(_))));
        assert!(matches!(
            log.entries(lost, lost + 1, 0),
            Err(LogDiskError::Corrupt(_))
        ));
        assert!(matches!(
            log.entries(0, 99, 9999),
            Err(LogDiskError::Corrupt(_))
        ));
        assert_eq!(log.entries(5, 9, 9999), Ok(model.portion(5, 9, 9999)));
        disk.close();
        let found = verify::bytes(Arc::new(sim), None, &mut |_, _| {});
        let told: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
        assert_eq!(told, [format!("raft-log: {named}")]);
    }
}

#[test]
fn a_log_without_the_row_that_tells_of_it_is_damage_and_no_new_log() {
    let disk = open(&SimDisk::new()).unwrap().0;
    let log = disk.log_disk();
    log.commit(&[LogChange::Set(Cell::Vote, Bytes::from_static(b"me"))])
        .unwrap();
    lose(&disk, META, LOG_KEY);
    assert!(matches!(log.load(), Err(LogDiskError::Corrupt(_))));
    let again = log.commit(&[LogChange::Set(Cell::Vote, Bytes::from_static(b"you"))]);
    assert!(matches!(again, Err(LogDiskError::Corrupt(_))), "{again:?}");
}

#[test]
fn portions_of_any_size_find_a_sound_log_sound_while_it_changes() {
    let disk = open(&SimDisk::new()).unwrap().0;
    let (log, mut model) = (disk.log_disk(), Model::default());
    let mut rows = 0;
    for limit in [1, 300, 100_000] {
        let (mut at, mut number) = (Some(Cursor::default()), 0);
        while let Some(cursor) = at {
            let portion = disk.reader().portion(&cursor, limit).unwrap();
            assert_eq!(portion.faults, []);
            rows += portion.rows;
            at = portion.next;
            number = number % 60 + 1;
            let changes = commit(number, &model);
            assert!(model.commit(&changes));
            log.commit(&changes).unwrap();
        }
    }
    assert!(rows > 5, "{rows}");
}

#[test]
fn a_repaired_or_new_member_has_no_log() {
    let (sim, _) = filled();
    let fresh = Opening {
        member: MemberId::from_u64(8),
        ..super::opening(2)
    };
    let new = SimDisk::new();
    let repaired = repair::into_new(Arc::new(new.clone()), Some(Arc::new(sim)), &fresh).unwrap();
    assert_eq!(repaired.damaged, 0);
    let log = open(&new).unwrap().0.log_disk();
    assert_eq!(log.load(), Ok(Kept::default()));

    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path(), fresh.now).unwrap();
    let disk = Disk::open(&dir, &super::opening(1)).unwrap().0;
    fill(&*disk.log_disk());
    disk.close();
    dir.set_aside(fresh.now).unwrap();
    let (disk, loaded) = Disk::open(&dir, &fresh).unwrap();
    assert!(loaded.created);
    assert_eq!(disk.log_disk().load(), Ok(Kept::default()));
}

#[test]
fn a_row_of_the_log_is_bound_to_its_place() {
    let disk = open(&SimDisk::new()).unwrap().0;
    let log = disk.log_disk();
    fill(&*log);
    let swap = |db: &Database| -> Result<(), Failure> {
        let txn = db.begin_write()?;
        let mut table = txn.open_table(RAFT_LOG)?;
        let get = |table: &redb::Table<'_, &[u8], &[u8]>, index: u64| {
            let row = table.get(index.to_be_bytes().as_slice())?;
            Ok::<_, Failure>(row.map(|row| row.value().to_vec()).unwrap_or_default())
        };
        let (five, six) = (get(&table, 5)?, get(&table, 6)?);
        assert!(rows::payload(RAFT_LOG, &5_u64.to_be_bytes(), &five).is_ok());
        table.insert(6_u64.to_be_bytes().as_slice(), five.as_slice())?;
        table.insert(5_u64.to_be_bytes().as_slice(), six.as_slice())?;
        drop(table);
        txn.commit()?;
        Ok(())
    };
    disk.shared.write("test", swap).unwrap();
    assert!(matches!(
        log.entries(5, 6, 99),
        Err(LogDiskError::Corrupt(_))
    ));
}
