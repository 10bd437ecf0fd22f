//! A disk that is none: for members that are embedded and keep nothing, and for tests, where the
//! next commit can be made to fail.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;

use super::disk::{Kept, LogChange, LogDisk, LogDiskError};

/// Keeps everything in memory, as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: Kept,
    entries: BTreeMap<u64, Bytes>,
    pieces: BTreeMap<(u64, u32), Bytes>,
    trouble: Option<Trouble>,
    failed: bool,
    /// Which disk it is: a copy can be the same one, or another.
    place: u64,
}

/// What the next commit meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No space: it is refused, nothing is changed.
    Full,
    /// The disk fails before anything is changed.
    FailsBefore,
    /// The disk fails when all is changed, as after a sync whose answer was lost.
    FailsAfter,
}

impl MemoryDisk {
    /// A disk with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is on this disk now, as if the whole disk were set back to it later: nothing tells that
    /// it is a copy.
    #[must_use]
    pub fn copy(&self) -> Self {
        let inner = self.inner.lock();
        Self {
            inner: Mutex::new(Inner {
                place: inner.place,
                kept: inner.kept.clone(),
                entries: inner.entries.clone(),
                pieces: inner.pieces.clone(),
                trouble: None,
                failed: false,
            }),
        }
    }

    /// Another disk with what is on this one now, as a directory that was copied.
    #[must_use]
    pub fn copied(&self) -> Self {
        let copy = self.copy();
        copy.inner.lock().place += 1;
        copy
    }

    /// Lets the next commit that changes something meet trouble. After a failure all later ones
    /// fail, too, until [`MemoryDisk::restart`].
    pub fn trouble(&self, trouble: Trouble) {
        self.inner.lock().trouble = Some(trouble);
    }

    /// The member was started again: a disk that failed takes writes again, and has what it has.
    pub fn restart(&self) {
        let mut inner = self.inner.lock();
        (inner.trouble, inner.failed) = (None, false);
    }
}

impl Inner {
    fn apply(&mut self, changes: &[LogChange]) -> Result<(), LogDiskError> {
        let mut kept = self.kept.clone();
        changes.iter().try_for_each(|change| kept.change(change))?;
        for change in changes {
            self.kept.change(change)?;
            self.change(change);
        }
        Ok(())
    }

    fn change(&mut self, change: &LogChange) {
        match change {
            LogChange::Append { index, entry } => {
                self.entries.insert(*index, entry.clone());
            }
            LogChange::Truncate(from) => {
                drop(self.entries.split_off(from));
            }
            LogChange::Purge(upto) => self.entries.retain(|index, _| index > upto),
            LogChange::Set(..) | LogChange::Clear(_) => {}
            LogChange::Piece {
                snapshot,
                piece,
                bytes,
            } => {
                let old = self.pieces.insert((*snapshot, *piece), bytes.clone());
                if old.is_none() {
                    self.kept.count_piece(*snapshot);
                }
            }
            LogChange::DropSnapshot(snapshot) => self.pieces.retain(|(of, _), _| of != snapshot),
            LogChange::Wipe => {
                self.entries.clear();
                self.pieces.clear();
            }
        }
    }
}

fn failed() -> LogDiskError {
    LogDiskError::Failed("it was told to".to_owned())
}

impl LogDisk for MemoryDisk {
    fn load(&self) -> Result<Kept, LogDiskError> {
        Ok(self.inner.lock().kept.clone())
    }

    fn entries(&self, from: u64, to: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, LogDiskError> {
        let inner = self.inner.lock();
        let mut found: Vec<(u64, Bytes)> = Vec::new();
        let mut left = bytes;
        for (index, entry) in inner.entries.range(from..to.max(from)) {
            match left.checked_sub(entry.len()) {
                Some(rest) => left = rest,
                None if found.is_empty() => left = 0,
                None => break,
            }
            found.push((*index, entry.clone()));
        }
        Ok(found)
    }

    fn piece(&self, snapshot: u64, piece: u32) -> Result<Option<Bytes>, LogDiskError> {
        Ok(self.inner.lock().pieces.get(&(snapshot, piece)).cloned())
    }

    fn commit(&self, changes: &[LogChange]) -> Result<(), LogDiskError> {
        let mut inner = self.inner.lock();
        if changes.is_empty() {
            return Ok(());
        }
        if inner.failed {
            return Err(failed());
        }
        match inner.trouble.take() {
            None => inner.apply(changes),
            Some(Trouble::Full) => Err(LogDiskError::Full),
            Some(Trouble::FailsBefore) => {
                inner.failed = true;
                Err(failed())
            }
            Some(Trouble::FailsAfter) => {
                inner.failed = true;
                inner.apply(changes)?;
                Err(failed())
            }
        }
    }

    fn place(&self) -> Option<Bytes> {
        let place = self.inner.lock().place;
        Some(Bytes::copy_from_slice(&place.to_le_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::Cell;
    use super::*;

    fn append(index: u64) -> LogChange {
        LogChange::Append {
            index,
            entry: Bytes::from(vec![7; 10]),
        }
    }

    fn indices(disk: &MemoryDisk, from: u64, to: u64, bytes: usize) -> Vec<u64> {
        let found = disk.entries(from, to, bytes).unwrap();
        found.into_iter().map(|(index, _)| index).collect()
    }

    #[test]
    fn a_portion_has_as_many_entries_as_fit_and_at_least_one() {
        let disk = MemoryDisk::new();
        disk.commit(&[append(5), append(6), append(7)]).unwrap();
        assert_eq!(indices(&disk, 0, 100, 0), [5]);
        assert_eq!(indices(&disk, 0, 100, 10), [5]);
        assert_eq!(indices(&disk, 0, 100, 29), [5, 6]);
        assert_eq!(indices(&disk, 6, 100, 30), [6, 7]);
        assert_eq!(indices(&disk, 6, 7, 30), [6]);
        assert_eq!(indices(&disk, 7, 5, 30), Vec::<u64>::new());
    }

    #[test]
    fn an_entry_that_does_not_follow_is_refused_with_all_that_came_with_it() {
        let disk = MemoryDisk::new();
        disk.commit(&[append(5)]).unwrap();
        let vote = LogChange::Set(Cell::Vote, Bytes::from_static(b"me"));
        for changes in [vec![vote.clone(), append(7)], vec![append(6), append(5)]] {
            let refused = disk.commit(&changes).unwrap_err();
            assert!(matches!(refused, LogDiskError::Corrupt(_)), "{refused}");
        }
        let kept = disk.load().unwrap();
        assert_eq!((kept.log, kept.cells.len()), (Some((5, 5)), 0));
        let anew = [LogChange::Truncate(5), append(9)];
        disk.commit(&anew).expect("an empty log begins anywhere");
        assert_eq!(disk.load().unwrap().log, Some((9, 9)));
    }

    #[test]
    fn the_ends_of_the_numbers_are_no_places_to_fall_off() {
        let disk = MemoryDisk::new();
        disk.commit(&[append(u64::MAX)]).unwrap();
        assert!(disk.commit(&[append(0)]).is_err());
        disk.commit(&[LogChange::Purge(u64::MAX), append(0)])
            .unwrap();
        assert_eq!(disk.load().unwrap().log, Some((0, 0)));
        disk.commit(&[LogChange::Truncate(0)]).unwrap();
        assert_eq!(disk.load().unwrap(), Kept::default());
    }

    #[test]
    fn a_commit_meets_the_trouble_that_was_asked_for() {
        for (trouble, changed, fenced) in [
            (Trouble::Full, None, false),
            (Trouble::FailsBefore, None, true),
            (Trouble::FailsAfter, Some((1, 1)), true),
        ] {
            let disk = MemoryDisk::new();
            disk.trouble(trouble);
            let error = disk.commit(&[append(1)]).unwrap_err();
            assert_eq!(error == LogDiskError::Full, !fenced, "{trouble:?}");
            assert_eq!(disk.load().unwrap().log, changed, "{trouble:?}");
            let next = [LogChange::Truncate(0), append(2)];
            assert_eq!(disk.commit(&next).is_err(), fenced, "{trouble:?}");
            disk.restart();
            disk.commit(&next).unwrap();
        }
    }
}
