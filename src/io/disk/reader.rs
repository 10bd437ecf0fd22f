//! Older versions, read beside the writer.

use std::sync::Arc;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};

use super::audit::{self, Cursor, Portion, Tables};
use super::engine::{Failure, Shared};
use super::fault::Fault;
use super::pages::Pages;
use super::rows::{self, BadRow, ENTRIES, EntryRow, HISTORY};
use super::state::{About, about, about_in};
use super::{DiskError, DiskState, Room};
use crate::model::{KeyName, NodeName, Older, Stamp, Version};

/// Reads older versions from disk, on any thread that may block. Copies share the database.
#[derive(Clone, Debug)]
pub struct DiskReader {
    pub(super) shared: Arc<Shared>,
}

pub(super) type HistoryTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

impl DiskReader {
    /// The older versions of a key, newest first, without the current one; empty if the key has
    /// none or is unknown. Checked against what the key's entry says about them.
    pub fn versions(&self, node: &NodeName, key: &KeyName) -> Result<Vec<Arc<Version>>, DiskError> {
        self.shared
            .read("reading older versions", |db| versions(db, node, key))
    }

    /// The stamps and hashes of the older versions of a key, newest first.
    pub fn older(&self, node: &NodeName, key: &KeyName) -> Result<Vec<Older>, DiskError> {
        self.shared
            .read("reading older stamps", |db| older(&history(db)?, node, key))
    }

    /// A portion of about `limit` bytes of what lies on the disk now, read past the engine and past
    /// every cache. The newest commit is held while it is read, no longer.
    ///
    /// # Errors
    /// When the database is closed, or the disk cannot be read. Damage is part of the portion.
    pub fn portion(&self, from: &Cursor, limit: u64) -> Result<Portion, DiskError> {
        self.shared.read("reading what is on the disk", |db| {
            portion(&self.shared, db, from, limit)
        })
    }

    /// Whether the disk takes writes.
    pub fn state(&self) -> DiskState {
        self.shared.state()
    }

    /// How much room there is; none if the file system does not tell.
    pub fn room(&self) -> Option<Room> {
        self.shared.medium.room()
    }
}

pub(super) fn history(db: &Database) -> Result<HistoryTable, Failure> {
    Ok(db.begin_read()?.open_table(HISTORY)?)
}

/// What is left of the older versions of a key.
#[derive(Debug, Default)]
pub struct Sifted {
    /// Those that are sound, with their hashes, oldest first.
    pub sound: Vec<(u128, Arc<Version>)>,
    /// The stamps of those that are damaged.
    pub bad: Vec<Stamp>,
}

pub(super) fn sift(db: &Database, node: &NodeName, key: &KeyName) -> Result<Sifted, Failure> {
    let range = rows::history_range(node, key);
    let range = range.start().as_slice()..=range.end().as_slice();
    let mut sifted = Sifted::default();
    for row in ReadableTable::range(&history(db)?, range)? {
        let (row_key, value) = row?;
        match audit::older(row_key.value(), value.value(), node, key) {
            Ok(found) => sifted.sound.push(found),
            Err(_) => sifted.bad.extend(audit::stamp_in(row_key.value())),
        }
    }
    Ok(sifted)
}

pub(super) fn older(
    table: &HistoryTable,
    node: &NodeName,
    key: &KeyName,
) -> Result<Vec<Older>, Failure> {
    let range = rows::history_range(node, key);
    let range = range.start().as_slice()..=range.end().as_slice();
    let mut list = Vec::new();
    for row in ReadableTable::range(table, range)?.rev() {
        let (key, value) = row?;
        list.push(rows::older(key.value(), value.value())?);
    }
    Ok(list)
}

fn versions(db: &Database, node: &NodeName, key: &KeyName) -> Result<Vec<Arc<Version>>, Failure> {
    let read = db.begin_read()?;
    let mut entry_key = Vec::new();
    rows::entry_key(node, key, &mut entry_key);
    let Some(entry) = read.open_table(ENTRIES)?.get(entry_key.as_slice())? else {
        return Ok(Vec::new());
    };
    let entry = EntryRow::decode(&entry_key, entry.value())?;
    let (mut list, mut sum) = (Vec::new(), entry.head.hash(node, key));
    let range = rows::history_range(node, key);
    let range = range.start().as_slice()..=range.end().as_slice();
    for row in read.open_table(HISTORY)?.range(range)?.rev() {
        let (row_key, value) = row?;
        let (hash, version) = rows::decode_older(row_key.value(), value.value())?;
        sum = sum.wrapping_add(hash);
        list.push(version);
    }
    if list.len() == usize::from(entry.older) && sum == entry.sum {
        Ok(list)
    } else {
        Err(BadRow("the older versions of a key do not add up to what its entry says").into())
    }
}

fn portion(shared: &Shared, db: &Database, from: &Cursor, limit: u64) -> Result<Portion, Failure> {
    // The engine may write the header before the pages of a commit: who reads the file while one
    // is written takes it for damage.
    let turn = shared.turn();
    // Pages that this transaction can see are not used again while it lives.
    let read = db.begin_read()?;
    let newest = commits_in(&about(&read)?);
    let opened = shared
        .medium
        .look()
        .map_err(|_| BadRow("it cannot be opened"))
        .and_then(Pages::open);
    drop(turn);
    let mut faults = Vec::new();
    match opened {
        Ok(mut pages) => {
            for commit in pages.commits() {
                let mut here = Vec::new();
                let tables = Tables::of(&mut pages, commit, &mut here);
                let meta = tables.meta(&mut pages, &mut here);
                if about_in(&meta).is_ok_and(|about| commits_in(&about) == newest) {
                    if *from == Cursor::default() {
                        here.extend(tables.others(&mut pages));
                    }
                    let mut portion = tables.portion(&mut pages, from, limit);
                    drop(read);
                    portion.faults.append(&mut here);
                    return Ok(portion);
                }
                faults.append(&mut here);
            }
            let what = "the newest commit is not on the disk";
            faults.push(Fault::new("gaggle.redb", what));
        }
        Err(why) => faults.push(Fault::new("gaggle.redb", why.0)),
    }
    Ok(Portion {
        faults,
        ..Portion::default()
    })
}

fn commits_in(about: &About) -> Option<u64> {
    match about {
        About::Known { state, .. } => Some(state.commits),
        About::Newer(_) => None,
    }
}
