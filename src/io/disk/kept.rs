//! All that is kept of one key: the current version and the older ones, in one look at the disk.
//!
//! A key can keep hundreds of versions of a megabyte each. So a reader first sees what is there in
//! short, chooses, and gets the contents of its choice up to a bound.

use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::engine::Failure;
use super::reader::{self, DiskReader, HistoryTable};
use super::rows::{self, BadRow, ENTRIES, EntryRow};
use super::{Batch, DiskError};
use crate::model::{KeyName, NodeName, Older, Row, Stamp, Version};

/// All that is kept of one key; of the older versions what they are, not what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The current version.
    pub head: Arc<Version>,
    /// The sum of the hashes of all versions: different for every set of versions.
    pub sum: u128,
    /// The older versions, newest first.
    pub older: Vec<Older>,
    /// The versions that were chosen, in the order of the choice.
    pub chosen: Vec<Arc<Version>>,
}

impl DiskReader {
    /// All that is kept of a key, with the versions that `choose` takes from it, as far as their
    /// values together have no more than `bytes` (but always the first); none if the key is
    /// unknown. It blocks.
    ///
    /// # Errors
    /// [`DiskError::Corrupt`] if a row is damaged or the rows do not add up.
    pub fn kept(
        &self,
        node: &NodeName,
        key: &KeyName,
        choose: impl Fn(&Kept) -> Vec<Stamp>,
        bytes: usize,
    ) -> Result<Option<Kept>, DiskError> {
        self.shared.read("reading the versions of a key", |db| {
            read(db, node, key, &choose, bytes)
        })
    }
}

fn read(
    db: &Database,
    node: &NodeName,
    key: &KeyName,
    choose: &impl Fn(&Kept) -> Vec<Stamp>,
    bytes: usize,
) -> Result<Option<Kept>, Failure> {
    let read = db.begin_read()?;
    let mut entry_key = Vec::new();
    rows::entry_key(node, key, &mut entry_key);
    let Some(row) = read.open_table(ENTRIES)?.get(entry_key.as_slice())? else {
        return Ok(None);
    };
    let entry = EntryRow::decode(&entry_key, row.value())?;
    let table = read.open_table(rows::HISTORY)?;
    let mut kept = Kept {
        older: reader::older(&table, node, key)?,
        head: entry.head,
        sum: entry.sum,
        chosen: Vec::new(),
    };
    let hashes = kept.older.iter().map(|older| older.hash);
    let sum = hashes.fold(kept.head.hash(node, key), u128::wrapping_add);
    if kept.older.len() != usize::from(entry.older) || sum != kept.sum {
        return Err(BadRow("the versions of a key do not add up to what its entry says").into());
    }
    let mut size = 0_usize;
    for stamp in choose(&kept) {
        let version = if stamp == kept.head.stamp {
            Some(kept.head.clone())
        } else {
            one(&table, node, key, stamp)?
        };
        let Some(version) = version else { continue };
        size = size.saturating_add(version.size());
        if size > bytes && !kept.chosen.is_empty() {
            break;
        }
        kept.chosen.push(version);
    }
    Ok(Some(kept))
}

/// One older version.
pub(super) fn one(
    table: &HistoryTable,
    node: &NodeName,
    key: &KeyName,
    stamp: Stamp,
) -> Result<Option<Arc<Version>>, Failure> {
    let mut at = Vec::new();
    rows::history_key(node, key, stamp, &mut at);
    let Some(row) = ReadableTable::get(table, at.as_slice())? else {
        return Ok(None);
    };
    Ok(Some(rows::decode_older(&at, row.value())?.1))
}

impl Batch<'_> {
    /// One older version of a key, as it is with the rows of this batch; none if it is not kept.
    pub fn version(
        &self,
        node: &NodeName,
        key: &KeyName,
        stamp: Stamp,
    ) -> Result<Option<Arc<Version>>, DiskError> {
        for row in self.rows.iter().rev() {
            match row {
                Row::Older {
                    node: n,
                    key: k,
                    version,
                    ..
                } if (n, k, version.stamp) == (node, key, stamp) => {
                    return Ok(Some(version.clone()));
                }
                Row::Drop {
                    node: n,
                    key: k,
                    stamp: gone,
                } if (n, k, *gone) == (node, key, stamp) => return Ok(None),
                _ => {}
            }
        }
        self.in_history(|table| one(table, node, key, stamp))
    }
}
