//! Older versions, read beside the writer.

use std::sync::Arc;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};

use super::engine::{Failure, Shared};
use super::rows::{self, BadRow, ENTRIES, EntryRow, HISTORY};
use super::{DiskError, DiskState, Room};
use crate::model::{KeyName, NodeName, Older, Version};

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
