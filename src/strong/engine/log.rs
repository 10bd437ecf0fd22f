//! The Raft log: recent entries in memory, all of them on the disk.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, EntryPayload, ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogReader,
    StorageIOError,
};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk::{Cell, Kept, LogChange, LogDisk, LogDiskError};
use super::encoding::{decode, encode};
use super::scribe::Scribe;
use super::types::{Entry, LogId, StorageError, Types, Vote, VoterId};
use super::world::World;

/// Entries that have reached the disk stay in memory, too, as long as all have fewer bytes: peers
/// that keep up are served from there.
const RECENT_BYTES: usize = 16 << 20;
/// The most bytes of entries that are read from the disk, and sent, at once.
const PAGE_BYTES: usize = 4 << 20;

/// The log of one member; a clone is another handle.
#[derive(Clone)]
pub(super) struct Log {
    disk: Arc<dyn LogDisk>,
    scribe: Scribe,
    world: Arc<dyn World>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// The committed entry as it is on the disk.
    noted: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    recent: BTreeMap<u64, (Entry, usize)>,
    bytes: usize,
    /// Bytes appended since the log was opened.
    written: u64,
}

impl Inner {
    fn insert(&mut self, entry: Entry, size: usize) {
        self.last = Some(entry.log_id);
        self.bytes += size;
        self.written += size as u64;
        self.recent.insert(entry.log_id.index, (entry, size));
    }

    fn remove(&mut self, index: u64) {
        if let Some((_, size)) = self.recent.remove(&index) {
            self.bytes -= size;
        }
    }

    /// Lets go of entries up to this one, which are on the disk, until few enough are left.
    fn shrink(&mut self, upto: u64) {
        while self.bytes > RECENT_BYTES
            && let Some((&index, _)) = self.recent.first_key_value()
            && index <= upto
        {
            self.remove(index);
        }
    }

    /// What is to be noted of the committed entry, beside something that is written anyway. It is
    /// only a hint, so it has no sync of its own.
    fn note(&mut self) -> Option<LogChange> {
        if self.noted == self.committed {
            return None;
        }
        self.noted = self.committed;
        let committed = self.committed?;
        Some(LogChange::Set(Cell::Committed, encode(&committed)))
    }
}

impl Log {
    /// The log as it is on the disk. May block.
    pub(super) fn open(
        disk: Arc<dyn LogDisk>,
        kept: &Kept,
        scribe: Scribe,
        world: Arc<dyn World>,
    ) -> Result<Self, LogDiskError> {
        let purged: Option<LogId> = cell(kept, Cell::Purged)?;
        let mut inner = Inner {
            vote: cell(kept, Cell::Vote)?,
            committed: cell(kept, Cell::Committed)?,
            last: purged,
            purged,
            ..Inner::default()
        };
        inner.noted = inner.committed;
        if let Some((first, last)) = kept.log {
            let before = purged.map_or(0, |purged| purged.index + 1);
            if first > before {
                let gap = format!("the log begins at {first} instead of {before}");
                return Err(LogDiskError::Corrupt(gap));
            }
            let page = disk.entries(last, last + 1, 1)?;
            let (_, bytes) = page.first().ok_or_else(|| missing(last))?;
            inner.last = inner.last.max(Some(read(bytes)?.log_id));
        }
        Ok(Self {
            disk,
            scribe,
            world,
            inner: Arc::new(Mutex::new(inner)),
        })
    }

    /// The vote that was given last.
    pub(super) fn vote(&self) -> Option<Vote> {
        self.inner.lock().vote
    }

    /// The last entry that is known to be committed.
    pub(super) fn committed(&self) -> Option<LogId> {
        self.inner.lock().committed
    }

    /// The last entry.
    pub(super) fn last(&self) -> Option<LogId> {
        self.inner.lock().last
    }

    /// The vote by which this voter leads, and its last entry; none if it does not lead.
    pub(super) fn led_by(&self, voter: VoterId) -> Option<(Vote, u64)> {
        let inner = self.inner.lock();
        let vote = inner.vote?;
        let leads = vote.is_committed() && vote.leader_id().node_id == voter;
        leads.then_some((vote, inner.last?.index))
    }

    /// How many bytes of entries were appended since the log was opened.
    pub(super) fn written(&self) -> u64 {
        self.inner.lock().written
    }

    /// All entries from this index on.
    pub(super) async fn all_from(&self, from: u64) -> Result<Vec<Entry>, LogDiskError> {
        self.read(from, u64::MAX, usize::MAX).await
    }

    async fn read_disk(&self, from: u64, to: u64) -> Result<Vec<Entry>, LogDiskError> {
        let disk = self.disk.clone();
        let (done, read_all) = tokio::sync::oneshot::channel();
        self.world.block(Box::new(move || {
            // Who does not wait any more need not be told.
            let _ = done.send(pages(disk.as_ref(), from, to));
        }));
        let gone = || LogDiskError::Failed("reading the log broke off".to_owned());
        read_all.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Entries from the first of the range on, as many as have `bytes` bytes together; at least one
    /// if there is one.
    async fn read(&self, from: u64, to: u64, bytes: usize) -> Result<Vec<Entry>, LogDiskError> {
        let (mut found, first_recent) = {
            let inner = self.inner.lock();
            let mut found = Vec::new();
            let mut left = bytes;
            for (_, (entry, size)) in inner.recent.range(from..to) {
                if !found.is_empty() && *size > left {
                    break;
                }
                left = left.saturating_sub(*size);
                found.push(entry.clone());
            }
            let first = inner.recent.first_key_value().map(|(index, _)| *index);
            (found, first)
        };
        let missing_to = first_recent.map_or(to, |first| first.min(to));
        if from >= missing_to {
            return Ok(found);
        }
        let mut older = self.read_disk(from, missing_to).await?;
        if bytes == usize::MAX {
            older.append(&mut found);
        } else {
            let mut left = bytes;
            let fits = older.iter().take_while(|entry| {
                let size = encode(*entry).len();
                let fits = size <= left || left == bytes;
                left = left.saturating_sub(size);
                fits
            });
            let count = fits.count();
            older.truncate(count);
        }
        Ok(older)
    }
}

fn pages(disk: &dyn LogDisk, from: u64, to: u64) -> Result<Vec<Entry>, LogDiskError> {
    let mut entries = Vec::new();
    let mut next = from;
    while next < to {
        let page = disk.entries(next, to, PAGE_BYTES)?;
        let Some((last, _)) = page.last() else {
            break;
        };
        next = last + 1;
        for (_, bytes) in &page {
            entries.push(read(bytes)?);
        }
    }
    Ok(entries)
}

fn read(bytes: &[u8]) -> Result<Entry, LogDiskError> {
    decode(bytes).map_err(|why| LogDiskError::Corrupt(format!("an entry of the log: {why}")))
}

fn missing(index: u64) -> LogDiskError {
    LogDiskError::Corrupt(format!("entry {index} of the log is missing"))
}

/// A value that is kept beside the log.
pub(super) fn cell<T: DeserializeOwned>(
    kept: &Kept,
    cell: Cell,
) -> Result<Option<T>, LogDiskError> {
    let damaged = |why| LogDiskError::Corrupt(format!("{cell:?}: {why}"));
    let bytes = kept.cells.get(&cell);
    bytes
        .map(|bytes| decode(bytes).map_err(damaged))
        .transpose()
}

/// Keeps a value beside the log.
pub(super) fn set(cell: Cell, value: &impl Serialize) -> LogChange {
    LogChange::Set(cell, encode(value))
}

/// An error of the disk, for `openraft`: it stops at the first one.
pub(super) fn storage_error(
    subject: ErrorSubject<super::VoterId>,
    verb: ErrorVerb,
    error: &LogDiskError,
) -> StorageError {
    StorageIOError::new(subject, verb, AnyError::new(error)).into()
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        let found = self.read(from, to, usize::MAX).await;
        found.map_err(|error| storage_error(ErrorSubject::Logs, ErrorVerb::Read, &error))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let found = self.read(start, end, PAGE_BYTES).await;
        found.map_err(|error| storage_error(ErrorSubject::Logs, ErrorVerb::Read, &error))
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let inner = self.inner.lock();
        Ok(LogState {
            last_purged_log_id: inner.purged,
            last_log_id: inner.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let written = self.scribe.write(vec![set(Cell::Vote, vote)]).await;
        written.map_err(|error| storage_error(ErrorSubject::Vote, ErrorVerb::Write, &error))?;
        self.inner.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.vote())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.inner.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.inner.lock().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut changes = Vec::new();
        let mut last = 0;
        {
            let mut inner = self.inner.lock();
            for entry in entries {
                if let EntryPayload::Normal(proposal) = &entry.payload {
                    proposal.mark_logged();
                }
                let (index, bytes) = (entry.log_id.index, encode(&entry));
                last = index;
                inner.insert(entry, bytes.len());
                changes.push(LogChange::Append {
                    index,
                    entry: bytes,
                });
            }
            changes.extend(inner.note());
        }
        let writing = self.scribe.begin(changes).await;
        let inner = self.inner.clone();
        self.world.spawn(Box::pin(async move {
            let written = writing.finished().await;
            if written.is_ok() {
                inner.lock().shrink(last);
            }
            callback.log_io_completed(written.map_err(io::Error::other));
        }));
        Ok(())
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        let before = since.index.checked_sub(1);
        let behind = match before {
            None => None,
            Some(before) => {
                let kept = self.inner.lock().purged.filter(|it| it.index >= before);
                match kept {
                    Some(purged) => Some(purged),
                    None => self.id_of(before).await?,
                }
            }
        };
        {
            let mut inner = self.inner.lock();
            let gone: Vec<u64> = inner
                .recent
                .range(since.index..)
                .map(|(index, _)| *index)
                .collect();
            gone.into_iter().for_each(|index| inner.remove(index));
            inner.last = behind;
        }
        let written = self.scribe.write(vec![LogChange::Truncate(since.index)]);
        let written = written.await;
        written.map_err(|error| storage_error(ErrorSubject::Log(since), ErrorVerb::Delete, &error))
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        {
            let mut inner = self.inner.lock();
            let gone: Vec<u64> = inner
                .recent
                .range(..=upto.index)
                .map(|(index, _)| *index)
                .collect();
            gone.into_iter().for_each(|index| inner.remove(index));
            inner.purged = Some(upto);
            inner.last = inner.last.max(Some(upto));
        }
        let changes = vec![set(Cell::Purged, &upto), LogChange::Purge(upto.index)];
        let written = self.scribe.write(changes).await;
        written.map_err(|error| storage_error(ErrorSubject::Log(upto), ErrorVerb::Delete, &error))
    }
}

impl Log {
    async fn id_of(&self, index: u64) -> Result<Option<LogId>, StorageError> {
        let found = self.read(index, index + 1, usize::MAX).await;
        let found =
            found.map_err(|error| storage_error(ErrorSubject::Logs, ErrorVerb::Read, &error))?;
        Ok(found.first().map(|entry| entry.log_id))
    }
}
