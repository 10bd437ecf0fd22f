//! The log of the strong side, in the database of the store.
//!
//! One commit is one transaction, beside those of the store's writer: both take turns. A row of
//! `meta` says what is kept (the values, the ends of the log, how many pieces there are of each
//! snapshot) and is written with every commit; the entries and the pieces have tables of their own.
//! What is read is held against that row, so that a row that is damaged, missing or at a wrong
//! place is noticed, and never taken for the end of the log or for a vote that was not given.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableHandle, WriteTransaction};

use super::engine::{Failure, Shared};
use super::load;
use super::reader::HistoryTable;
use super::rows::{self, BadRow, META, RAFT_LOG, RAFT_SNAPSHOTS};
use super::state::{self, LOG_KEY, STATE_KEY, State};
use super::tables::Opened;
use super::turn::Reserve;
use super::{DiskError, DiskState};
use crate::strong::engine::{Kept, LogChange, LogDisk, LogDiskError};

const GAP: BadRow = BadRow("an entry of the log is missing, or at a wrong place");
const NOT_KEPT: BadRow = BadRow("there is a log, and the row that tells of it is missing");
const PIECES: BadRow = BadRow("pieces of a snapshot are missing");
const NO_PLACE: BadRow = BadRow("a row whose key is none");
const DOES_NOT_FOLLOW: BadRow = BadRow("an entry that does not follow the last one was refused");

/// The log, votes and snapshots of a member.
#[derive(Debug)]
pub(super) struct StrongLog {
    shared: Arc<Shared>,
}

impl StrongLog {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn error(&self, error: DiskError) -> LogDiskError {
        match (error, self.shared.state()) {
            (DiskError::Full, _) => LogDiskError::Full,
            (DiskError::Corrupt { what, .. }, _) => LogDiskError::Corrupt(what),
            (error @ DiskError::Closed, _) | (error, DiskState::Ok | DiskState::Full) => {
                LogDiskError::Failed(error.to_string())
            }
            (_, DiskState::Fenced(why)) => LogDiskError::Failed(why.to_string()),
        }
    }
}

impl LogDisk for StrongLog {
    fn load(&self) -> Result<Kept, LogDiskError> {
        let loaded = self.shared.read("reading the strong log", load);
        loaded.map_err(|error| self.error(error))
    }

    fn entries(&self, from: u64, to: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, LogDiskError> {
        let found = self.shared.read("reading entries of the strong log", |db| {
            entries(&Tables::open(db)?, from, to, bytes)
        });
        found.map_err(|error| self.error(error))
    }

    fn piece(&self, snapshot: u64, piece: u32) -> Result<Option<Bytes>, LogDiskError> {
        let found = self.shared.read("reading a snapshot", |db| {
            one_piece(&Tables::open(db)?, snapshot, piece)
        });
        found.map_err(|error| self.error(error))
    }

    fn commit(&self, changes: &[LogChange]) -> Result<(), LogDiskError> {
        if changes.is_empty() {
            return Ok(());
        }
        let turn = self.shared.turn();
        let done = turn.ready().and_then(|()| {
            let cost = changes.iter().map(cost).sum();
            turn.commit(cost, Reserve::IsLeftAlone, |db, state| {
                apply(db, changes, state)
            })
        });
        done.map_err(|error| match self.shared.state() {
            // Whatever it was, it fenced: nobody knows what became of it.
            DiskState::Fenced(why) => LogDiskError::Failed(why.to_string()),
            DiskState::Ok | DiskState::Full => self.error(error),
        })
    }

    fn place(&self) -> Option<Bytes> {
        self.shared.medium.place()
    }
}

/// What a change may add to the file, roughly: see [`super::tables::cost`]. Entries stand beside
/// each other, so they share the pages on the way to them.
fn cost(change: &LogChange) -> u64 {
    let (fixed, bytes) = match change {
        LogChange::Append { entry, .. } => (1024, entry),
        LogChange::Set(_, bytes) => (1024, bytes),
        LogChange::Piece { bytes, .. } => (8192, bytes),
        LogChange::Truncate(_)
        | LogChange::Purge(_)
        | LogChange::Clear(_)
        | LogChange::DropSnapshot(_)
        | LogChange::Wipe => return 0,
    };
    fixed + 2 * bytes.len() as u64
}

/// Where an entry stands.
pub(super) fn entry_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The index of the entry that stands here.
pub(super) fn index_of(key: &[u8]) -> Result<u64, BadRow> {
    let bytes = key.try_into().map_err(|_| NO_PLACE)?;
    Ok(u64::from_be_bytes(bytes))
}

fn piece_key(snapshot: u64, piece: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&snapshot.to_be_bytes());
    key[8..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// Which piece of which snapshot stands here.
pub(super) fn piece_of(key: &[u8]) -> Result<(u64, u32), BadRow> {
    let (snapshot, piece) = key.split_first_chunk().ok_or(NO_PLACE)?;
    let piece = piece.try_into().map_err(|_| NO_PLACE)?;
    Ok((u64::from_be_bytes(*snapshot), u32::from_be_bytes(piece)))
}

fn pieces_of(snapshot: u64) -> RangeInclusive<[u8; 12]> {
    piece_key(snapshot, 0)..=piece_key(snapshot, u32::MAX)
}

/// The tables of one moment, for reading.
struct Tables {
    kept: Kept,
    log: Option<HistoryTable>,
    snapshots: Option<HistoryTable>,
}

impl Tables {
    fn open(db: &Database) -> Result<Self, Failure> {
        let read = db.begin_read()?;
        let log = load::table(&read, RAFT_LOG)?;
        let snapshots = load::table(&read, RAFT_SNAPSHOTS)?;
        let meta = read.open_table(META)?;
        let kept = match meta.get(LOG_KEY)? {
            Some(row) => rows::decode(META, LOG_KEY, row.value())?,
            None if log.is_none() && snapshots.is_none() => Kept::default(),
            None => return Err(NOT_KEPT.into()),
        };
        Ok(Self {
            kept,
            log,
            snapshots,
        })
    }
}

/// What is kept, after every row was checked and counted.
fn load(db: &Database) -> Result<Kept, Failure> {
    let tables = Tables::open(db)?;
    let mut log: Option<(u64, u64)> = None;
    if let Some(table) = &tables.log {
        for row in table.iter()? {
            let (key, value) = row?;
            rows::payload(RAFT_LOG, key.value(), value.value())?;
            let index = index_of(key.value())?;
            log = match log {
                None => Some((index, index)),
                Some((first, last)) if last.checked_add(1) == Some(index) => Some((first, index)),
                Some(_) => return Err(GAP.into()),
            };
        }
    }
    let mut found = Kept {
        log,
        cells: tables.kept.cells.clone(),
        ..Kept::default()
    };
    if let Some(table) = &tables.snapshots {
        for row in table.iter()? {
            let (key, value) = row?;
            rows::payload(RAFT_SNAPSHOTS, key.value(), value.value())?;
            found.count_piece(piece_of(key.value())?.0);
        }
    }
    if found.log != tables.kept.log {
        return Err(GAP.into());
    }
    if found != tables.kept {
        return Err(PIECES.into());
    }
    Ok(found)
}

fn entries(
    tables: &Tables,
    from: u64,
    to: u64,
    bytes: usize,
) -> Result<Vec<(u64, Bytes)>, Failure> {
    let mut found = Vec::new();
    let (Some((first, last)), Some(end)) = (tables.kept.log, to.checked_sub(1)) else {
        return Ok(found);
    };
    let (from, end) = (from.max(first), end.min(last));
    if from > end {
        return Ok(found);
    }
    let table = tables.log.as_ref().ok_or(GAP)?;
    let (low, high) = (entry_key(from), entry_key(end));
    let mut left = bytes;
    let there = ReadableTable::range(table, low.as_slice()..=high.as_slice())?;
    for (expected, row) in (from..=end).zip(there) {
        let (key, value) = row?;
        if index_of(key.value())? != expected {
            return Err(GAP.into());
        }
        let entry = rows::payload(RAFT_LOG, key.value(), value.value())?;
        match left.checked_sub(entry.len()) {
            Some(rest) => left = rest,
            None if found.is_empty() => left = 0,
            None => return Ok(found),
        }
        found.push((expected, Bytes::copy_from_slice(entry)));
        if expected == end {
            return Ok(found);
        }
    }
    Err(GAP.into())
}

fn one_piece(tables: &Tables, snapshot: u64, piece: u32) -> Result<Option<Bytes>, Failure> {
    let Some(count) = tables.kept.snapshots.get(&snapshot) else {
        return Ok(None);
    };
    let table = tables.snapshots.as_ref().ok_or(PIECES)?;
    let key = piece_key(snapshot, piece);
    if let Some(row) = ReadableTable::get(table, key.as_slice())? {
        let bytes = rows::payload(RAFT_SNAPSHOTS, &key, row.value())?;
        return Ok(Some(Bytes::copy_from_slice(bytes)));
    }
    // It is not there, unless a damaged key hides it.
    let all = pieces_of(snapshot);
    let mut there = 0;
    for row in ReadableTable::range(table, all.start().as_slice()..=all.end().as_slice())? {
        let (key, value) = row?;
        rows::payload(RAFT_SNAPSHOTS, key.value(), value.value())?;
        there += 1;
    }
    if there == *count {
        Ok(None)
    } else {
        Err(PIECES.into())
    }
}

/// Makes the changes, and writes the state of the database down with them.
fn apply(db: &Database, changes: &[LogChange], state: &State) -> Result<(), Failure> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    write(&txn, changes, state)?;
    txn.commit()?;
    Ok(())
}

fn write(txn: &WriteTransaction, changes: &[LogChange], state: &State) -> Result<(), Failure> {
    let mut meta = txn.open_table(META)?;
    let kept = match meta.get(LOG_KEY)? {
        Some(row) => rows::decode(META, LOG_KEY, row.value())?,
        None if has_log(txn)? => return Err(NOT_KEPT.into()),
        None => Kept::default(),
    };
    let mut work = Work {
        txn,
        log: Some(txn.open_table(RAFT_LOG)?),
        snapshots: None,
        kept,
        value: Vec::new(),
    };
    for change in changes {
        work.change(change)?;
    }
    state::encode(LOG_KEY, &work.kept, &mut work.value);
    meta.insert(LOG_KEY, work.value.as_slice())?;
    state::encode(STATE_KEY, state, &mut work.value);
    meta.insert(STATE_KEY, work.value.as_slice())?;
    Ok(())
}

fn has_log(txn: &WriteTransaction) -> Result<bool, Failure> {
    let mut tables = txn.list_tables()?;
    Ok(tables.any(|table| table.name() == RAFT_LOG.name()))
}

/// A transaction under way.
struct Work<'txn> {
    txn: &'txn WriteTransaction,
    kept: Kept,
    log: Option<Opened<'txn>>,
    snapshots: Option<Opened<'txn>>,
    value: Vec<u8>,
}

impl Work<'_> {
    fn change(&mut self, change: &LogChange) -> Result<(), Failure> {
        let before = self.kept.log;
        self.kept.change(change).map_err(|_| DOES_NOT_FOLLOW)?;
        match change {
            LogChange::Append { index, entry } => {
                let key = entry_key(*index);
                rows::encode(RAFT_LOG, &key, &[entry], &(), &mut self.value);
                let log = open(&mut self.log, self.txn, RAFT_LOG)?;
                log.insert(key.as_slice(), self.value.as_slice())?;
                Ok(())
            }
            LogChange::Truncate(from) => self.drop_entries(before, *from..=u64::MAX),
            LogChange::Purge(upto) => self.drop_entries(before, 0..=*upto),
            LogChange::Set(..) | LogChange::Clear(_) => Ok(()),
            LogChange::Piece {
                snapshot,
                piece,
                bytes,
            } => {
                let key = piece_key(*snapshot, *piece);
                rows::encode(RAFT_SNAPSHOTS, &key, &[bytes], &(), &mut self.value);
                let table = open(&mut self.snapshots, self.txn, RAFT_SNAPSHOTS)?;
                let old = table.insert(key.as_slice(), self.value.as_slice())?;
                if old.is_none() {
                    drop(old);
                    self.kept.count_piece(*snapshot);
                }
                Ok(())
            }
            LogChange::DropSnapshot(snapshot) => {
                let table = open(&mut self.snapshots, self.txn, RAFT_SNAPSHOTS)?;
                let all = pieces_of(*snapshot);
                let all = all.start().as_slice()..=all.end().as_slice();
                table.retain_in::<&[u8], _>(all, |_, _| false)?;
                Ok(())
            }
            LogChange::Wipe => {
                (self.log, self.snapshots) = (None, None);
                self.txn.delete_table(RAFT_LOG)?;
                self.txn.delete_table(RAFT_SNAPSHOTS)?;
                open(&mut self.log, self.txn, RAFT_LOG)?;
                Ok(())
            }
        }
    }

    /// Drops the entries of these indices from a log with these ends.
    fn drop_entries(
        &mut self,
        log: Option<(u64, u64)>,
        indices: RangeInclusive<u64>,
    ) -> Result<(), Failure> {
        let Some((first, last)) = log else {
            return Ok(());
        };
        let (low, high) = (first.max(*indices.start()), last.min(*indices.end()));
        if low > high {
            return Ok(());
        }
        let (low, high) = (entry_key(low), entry_key(high));
        let log = open(&mut self.log, self.txn, RAFT_LOG)?;
        log.retain_in::<&[u8], _>(low.as_slice()..=high.as_slice(), |_, _| false)?;
        Ok(())
    }
}

/// A table that is opened when it is first needed.
fn open<'a, 'txn>(
    table: &'a mut Option<Opened<'txn>>,
    txn: &'txn WriteTransaction,
    which: rows::Table,
) -> Result<&'a mut Opened<'txn>, Failure> {
    let opened = match table.take() {
        Some(opened) => opened,
        None => txn.open_table(which)?,
    };
    Ok(table.insert(opened))
}
