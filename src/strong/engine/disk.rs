//! What the engine keeps, and the door to whatever keeps it: the database of a data directory, or
//! memory.
//!
//! The engine makes the bytes; a disk only has to give back exactly what it was given.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The small things that are kept beside the log, one value each. The order of the variants is the
/// format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cell {
    /// The vote: for whom, in which term.
    Vote,
    /// The entry that is known to be committed.
    Committed,
    /// The last entry that was dropped from the beginning of the log.
    Purged,
    /// The group, and the id under which this member votes.
    Group,
    /// Which snapshot is current, and what it holds.
    Snapshot,
    /// The seal of this member, see ADR 12.
    Seal,
    /// The seals of other members, as they told them last.
    Seals,
}

impl Cell {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Vote,
        Self::Committed,
        Self::Purged,
        Self::Group,
        Self::Snapshot,
        Self::Seal,
        Self::Seals,
    ];
}

/// A change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogChange {
    /// Puts an entry behind the last one.
    Append {
        /// Its index: one more than the last entry's, or anything if the log has none.
        index: u64,
        /// Its bytes.
        entry: Bytes,
    },
    /// Drops the entry of this index and all behind it.
    Truncate(u64),
    /// Drops the entry of this index and all before it.
    Purge(u64),
    /// Keeps a value.
    Set(Cell, Bytes),
    /// Forgets a value.
    Clear(Cell),
    /// Keeps a piece of a snapshot.
    Piece {
        /// The number of the snapshot.
        snapshot: u64,
        /// Which piece, from 0.
        piece: u32,
        /// Its bytes, at most some MiB.
        bytes: Bytes,
    },
    /// Drops all pieces of a snapshot.
    DropSnapshot(u64),
    /// Drops everything: log, values and snapshots.
    Wipe,
}

/// What is kept, but for the entries and the snapshots' pieces.
/// The order of the fields is the format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The values.
    pub cells: BTreeMap<Cell, Bytes>,
    /// The indices of the first and the last entry.
    pub log: Option<(u64, u64)>,
    /// How many pieces there are of each snapshot.
    pub snapshots: BTreeMap<u64, u32>,
}

impl Kept {
    /// What is kept after a change. The pieces of a snapshot are left for the disk to count with
    /// [`Kept::count_piece`], which alone knows whether one was there before.
    ///
    /// # Errors
    /// [`LogDiskError::Corrupt`] for an entry that does not follow the last one.
    pub fn change(&mut self, change: &LogChange) -> Result<(), LogDiskError> {
        match change {
            LogChange::Append { index, .. } => self.append(*index)?,
            LogChange::Truncate(from) => {
                let left =
                    |(first, last): (u64, u64)| Some((first, last.min(from.checked_sub(1)?)));
                self.log = self
                    .log
                    .and_then(left)
                    .filter(|(first, last)| first <= last);
            }
            LogChange::Purge(upto) => {
                let left =
                    |(first, last): (u64, u64)| Some((first.max(upto.checked_add(1)?), last));
                self.log = self
                    .log
                    .and_then(left)
                    .filter(|(first, last)| first <= last);
            }
            LogChange::Set(cell, bytes) => {
                self.cells.insert(*cell, bytes.clone());
            }
            LogChange::Clear(cell) => {
                self.cells.remove(cell);
            }
            LogChange::Piece { .. } => {}
            LogChange::DropSnapshot(snapshot) => {
                self.snapshots.remove(snapshot);
            }
            LogChange::Wipe => *self = Self::default(),
        }
        Ok(())
    }

    /// Counts one more piece of a snapshot.
    pub fn count_piece(&mut self, snapshot: u64) {
        *self.snapshots.entry(snapshot).or_default() += 1;
    }

    fn append(&mut self, index: u64) -> Result<(), LogDiskError> {
        let first = match self.log {
            None => index,
            Some((first, last)) if last.checked_add(1) == Some(index) => first,
            Some((_, last)) => {
                let told = format!("entry {index} does not follow entry {last}");
                return Err(LogDiskError::Corrupt(told));
            }
        };
        self.log = Some((first, index));
        Ok(())
    }
}

/// Why a disk did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogDiskError {
    /// No space is left; nothing was written. It may be tried again later.
    #[error("the disk is full")]
    Full,
    /// The disk failed, and takes no more writes until the member is started again.
    #[error("the disk failed: {0}")]
    Failed(String),
    /// Something is not as it was written.
    #[error("what is on the disk is damaged: {0}")]
    Corrupt(String),
}

/// Keeps the log, the votes and the snapshots of one member. Calls may block.
pub trait LogDisk: Debug + Send + Sync + 'static {
    /// What is kept.
    ///
    /// # Errors
    /// [`LogDiskError::Corrupt`] also for a log with a gap.
    fn load(&self) -> Result<Kept, LogDiskError>;

    /// The entries from `from` up to but without `to`: from the first on as many as have `bytes`
    /// bytes together, but at least one, if there is one. An entry that is not there is left out.
    ///
    /// # Errors
    /// See [`LogDiskError`].
    fn entries(&self, from: u64, to: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, LogDiskError>;

    /// A piece of a snapshot; none if it is not there.
    ///
    /// # Errors
    /// See [`LogDiskError`].
    fn piece(&self, snapshot: u64, piece: u32) -> Result<Option<Bytes>, LogDiskError>;

    /// Makes the changes in this order, all or none. When it returns `Ok`, they have reached the
    /// disk.
    ///
    /// # Errors
    /// See [`LogDiskError`]. After [`LogDiskError::Full`] nothing was changed, nor after
    /// [`LogDiskError::Corrupt`], which also says that an entry does not follow the last one;
    /// after [`LogDiskError::Failed`] nobody knows.
    fn commit(&self, changes: &[LogChange]) -> Result<(), LogDiskError>;

    /// Where this is kept, in bytes that a copy of it does not have; none if that cannot be told.
    fn place(&self) -> Option<Bytes>;
}
