//! A simulated disk under the real storage code.
//!
//! What was synced stays. What was not is lost or torn by a power cut, sector by sector, in any
//! combination; a mere kill leaves all that was written. Any operation can be the last one of the
//! process, a sync can fail, space can run out and a read can come back with a bit flipped.
//!
//! Only what changed since the last sync is kept twice, so that a crash costs little.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use gaggle::io::disk::{DirError, DiskError, MARK_BYTES, Medium, Room};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::StorageBackend;

/// The smallest part of a write that reaches a disk whole or not at all.
const SECTOR: usize = 512;
/// What is set aside for deletes on a full disk, in bytes.
const RESERVE: u64 = 4 << 20;
/// A disk on which space never ends, in bytes.
const PLENTY: u64 = 1 << 40;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Killed: what was written is in the page cache and stays.
    Kill,
    /// The host lost its power: only what was synced is sure to be there.
    PowerCut,
}

#[derive(Clone, Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

#[derive(Debug)]
struct Inner {
    bytes: Vec<u8>,
    /// The length and the sectors as they were synced, of those that were changed since.
    synced_len: usize,
    undo: BTreeMap<usize, Vec<u8>>,
    pending: Vec<Pending>,
    installed: bool,
    mark: Option<Vec<u8>>,
    reserve: bool,
    free: u64,
    /// Operations that still succeed before the process is gone.
    left: Option<u64>,
    failing_syncs: u32,
    /// One read in so many comes back with a bit flipped.
    flips: Option<u32>,
    /// A sync failed: nobody knows what is in the page cache.
    doubtful: bool,
    random: StdRng,
}

/// A data directory on a simulated disk. Copies are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct SimMedium(Arc<Mutex<Inner>>);

impl SimMedium {
    /// An empty, healthy disk.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            bytes: Vec::new(),
            synced_len: 0,
            undo: BTreeMap::new(),
            pending: Vec::new(),
            installed: false,
            mark: None,
            reserve: false,
            free: PLENTY,
            left: None,
            failing_syncs: 0,
            flips: None,
            doubtful: false,
            random: StdRng::seed_from_u64(seed),
        })))
    }

    /// A copy of the directory, as a backup or a clone takes it while nobody works in it.
    pub(crate) fn copy(&self, seed: u64) -> Self {
        let copy = Self::new(seed);
        let (from, mut to) = (self.0.lock(), copy.0.lock());
        to.bytes.clone_from(&from.bytes);
        to.synced_len = from.bytes.len();
        to.installed = from.installed;
        to.mark.clone_from(&from.mark);
        drop(to);
        drop(from);
        copy
    }

    /// The process is gone; leaves what the next one finds.
    pub(crate) fn end(&self, how: End) {
        let mut inner = self.0.lock();
        if how == End::PowerCut || inner.doubtful {
            inner.lose_unsynced();
        }
        inner.left = None;
        inner.doubtful = false;
        if !inner.installed {
            inner.bytes.clear();
            inner.synced_len = 0;
            inner.undo.clear();
            inner.pending.clear();
        }
    }

    /// The process ends within its next operations on the disk: after `operations` of them.
    pub(crate) fn end_after(&self, operations: u64) {
        self.0.lock().left = Some(operations);
    }

    /// Whether the process has come to the end that was set.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.lock().left == Some(0)
    }

    /// Takes back an end that was set and has not come.
    pub(crate) fn survive(&self) {
        self.0.lock().left = None;
    }

    /// The next syncs fail.
    pub(crate) fn fail_syncs(&self, count: u32) {
        self.0.lock().failing_syncs = count;
    }

    /// So many bytes are free from now on; none: plenty.
    pub(crate) fn set_free(&self, free: Option<u64>) {
        self.0.lock().free = free.unwrap_or(PLENTY);
    }

    /// One read in so many has a bit flipped; none: all are good.
    pub(crate) fn flip(&self, one_in: Option<u32>) {
        self.0.lock().flips = one_in;
    }
}

impl Inner {
    /// Counts an operation; an error once the process is gone.
    fn operation(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("the process is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn keep_synced(&mut self, from: usize, to: usize) {
        let end = to.min(self.synced_len);
        let mut sector = from / SECTOR;
        while sector * SECTOR < end {
            let at = sector * SECTOR;
            let bytes = &self.bytes;
            self.undo.entry(sector).or_insert_with(|| {
                let stop = (at + SECTOR).min(bytes.len());
                bytes[at.min(stop)..stop].to_vec()
            });
            sector += 1;
        }
    }

    fn set_len(&mut self, len: usize) {
        if len < self.bytes.len() {
            self.keep_synced(len, self.bytes.len());
        }
        self.bytes.resize(len, 0);
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.keep_synced(offset, end);
        self.bytes[offset..end].copy_from_slice(data);
    }

    fn settle(&mut self) {
        self.undo.clear();
        self.pending.clear();
        self.synced_len = self.bytes.len();
    }

    /// Goes back to what was synced, then lets some of what was written since happen after all.
    fn lose_unsynced(&mut self) {
        self.bytes.resize(self.synced_len, 0);
        for (sector, old) in std::mem::take(&mut self.undo) {
            let at = sector * SECTOR;
            let end = (at + old.len()).min(self.bytes.len());
            self.bytes[at..end].copy_from_slice(&old[..end - at]);
        }
        // All, nothing and any mixture are of interest.
        let kept = [0.0, 0.5, 0.95, 1.0][self.random.random_range(0..4)];
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::SetLen(len) => {
                    if self.random.random_bool(kept) {
                        self.bytes.resize(len, 0);
                    }
                }
                Pending::Write(offset, data) => {
                    for (i, part) in data.chunks(SECTOR).enumerate() {
                        if self.random.random_bool(kept) {
                            let at = offset + i * SECTOR;
                            let end = at + part.len();
                            if self.bytes.len() < end {
                                self.bytes.resize(end, 0);
                            }
                            self.bytes[at..end].copy_from_slice(part);
                        }
                    }
                }
            }
        }
        self.synced_len = self.bytes.len();
    }
}

impl Medium for SimMedium {
    fn open(&self) -> Result<Arc<dyn StorageBackend>, DiskError> {
        Ok(Arc::new(self.clone()))
    }

    fn look(&self) -> io::Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(self.clone()))
    }

    fn install(&self) -> Result<(), DirError> {
        self.0.lock().installed = true;
        Ok(())
    }

    fn mark(&self) -> Option<Vec<u8>> {
        self.0.lock().mark.clone()
    }

    fn set_mark(&self, mark: &[u8; MARK_BYTES]) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.operation()?;
        inner.mark = Some(mark.to_vec());
        Ok(())
    }

    fn room(&self) -> Option<Room> {
        let inner = self.0.lock();
        Some(Room {
            free: inner.free,
            total: PLENTY,
            used: inner.bytes.len() as u64,
        })
    }

    fn hold_reserve(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        if !inner.reserve {
            inner.free = inner
                .free
                .checked_sub(RESERVE)
                .ok_or(io::ErrorKind::StorageFull)?;
            inner.reserve = true;
        }
        Ok(())
    }

    fn release_reserve(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        if std::mem::take(&mut inner.reserve) {
            inner.free += RESERVE;
        }
        Ok(())
    }
}

impl StorageBackend for SimMedium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut inner = self.0.lock();
        if inner.left == Some(0) {
            return Err(io::Error::other("the process is gone"));
        }
        let offset = to_usize(offset);
        let found = inner.bytes.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        if let Some(one_in) = inner.flips
            && !out.is_empty()
            && inner.random.random_range(0..one_in) == 0
        {
            let at = inner.random.random_range(0..out.len());
            out[at] ^= 1 << inner.random.random_range(0..8);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.operation()?;
        let len = to_usize(len);
        let more = len.saturating_sub(inner.bytes.len()) as u64;
        inner.free = inner
            .free
            .checked_sub(more)
            .ok_or(io::ErrorKind::StorageFull)?;
        inner.free += inner.bytes.len().saturating_sub(len) as u64;
        inner.set_len(len);
        inner.pending.push(Pending::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.operation()?;
        if inner.failing_syncs > 0 {
            inner.failing_syncs -= 1;
            inner.doubtful = true;
            return Err(io::Error::other("input/output error"));
        }
        inner.settle();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.operation()?;
        let offset = to_usize(offset);
        inner.write(offset, data);
        inner.pending.push(Pending::Write(offset, data.to_vec()));
        Ok(())
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("simulated disks are small")
}
