//! A simulated disk: what was synced stays, what was not may be lost, torn or reordered by a
//! crash, and any operation can be made to fail.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redb::StorageBackend;

use super::super::mark::MARK_BYTES;
use super::super::medium::{Medium, Room};
use super::super::{DirError, DiskError};

/// The smallest part of a write that reaches a disk whole or not at all.
const SECTOR: usize = 512;

/// One change of the disk.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Write(usize, Vec<u8>),
    SetLen(usize),
    Sync,
    /// A new database got its name; before that, nobody finds it.
    Install,
    /// The mark was left, and not synced.
    Mark(Vec<u8>),
    /// Not a disk's: the program was told that its batch is safe.
    Acknowledged,
}

/// Which operations fail, and how.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    Healthy,
    /// From the n-th operation that takes space on, so many find none.
    Full {
        from: usize,
        count: usize,
    },
    /// The n-th sync fails, those after it would succeed.
    SyncFails(usize),
    /// The n-th write fails with an input/output error.
    WriteFails(usize),
    /// Every read fails from now on.
    ReadsFail,
    /// Every write takes so long, and is seen by readers before the next one is.
    Slow(Duration),
}

#[derive(Debug)]
struct Inner {
    bytes: Vec<u8>,
    mark: Option<Vec<u8>>,
    trace: Vec<Operation>,
    plan: Plan,
    space: usize,
    syncs: usize,
    writes: usize,
    /// What is told to be free, and whether the reserve is taken out of it.
    free: Option<u64>,
    reserve: bool,
}

/// The size of the reserve, in bytes.
pub(super) const RESERVE: u64 = 4 << 20;

/// A simulated disk. Copies are the same disk.
#[derive(Clone, Debug)]
pub(super) struct SimDisk(Arc<Mutex<Inner>>);

impl SimDisk {
    pub(super) fn new() -> Self {
        Self::holding(Vec::new())
    }

    /// A healthy disk with these bytes on it.
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            bytes,
            mark: None,
            trace: Vec::new(),
            plan: Plan::Healthy,
            space: 0,
            syncs: 0,
            writes: 0,
            free: None,
            reserve: false,
        })))
    }

    /// Counts operations from here on and fails those of the plan.
    pub(super) fn plan(&self, plan: Plan) {
        let mut inner = self.0.lock();
        (inner.plan, inner.space, inner.syncs, inner.writes) = (plan, 0, 0, 0);
    }

    /// From here on tells that this much is free besides the reserve, in bytes.
    pub(super) fn set_free(&self, free: u64) {
        let mut inner = self.0.lock();
        (inner.free, inner.reserve) = (Some(free), true);
    }

    /// Flips a bit of what is on it.
    pub(super) fn flip(&self, at: usize, bit: usize) {
        self.0.lock().bytes[at] ^= 1 << bit;
    }

    /// Notes that a batch was acknowledged.
    pub(super) fn acknowledged(&self) {
        self.0.lock().trace.push(Operation::Acknowledged);
    }

    /// Everything that happened so far.
    pub(super) fn trace(&self) -> Vec<Operation> {
        self.0.lock().trace.clone()
    }

    /// How many operations took space, and how many were syncs and writes, since the last plan.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let inner = self.0.lock();
        (inner.space, inner.syncs, inner.writes)
    }

    /// Puts the mark of another disk on this one.
    pub(super) fn with_mark_of(self, other: &Self) -> Self {
        self.0.lock().mark = other.0.lock().mark.clone();
        self
    }

    /// What a reader of the disk sees now.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().bytes.clone()
    }
}

impl Inner {
    fn taking_space(&mut self) -> io::Result<()> {
        self.space += 1;
        match self.plan {
            Plan::Full { from, count } if (from..from + count).contains(&self.space) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, offset: usize, data: &[u8]) -> io::Result<()> {
        self.writes += 1;
        if matches!(self.plan, Plan::WriteFails(n) if n == self.writes) {
            return Err(io::Error::other("input/output error"));
        }
        self.taking_space()?;
        let operation = Operation::Write(offset, data.to_vec());
        operation.apply(&mut self.bytes);
        self.trace.push(operation);
        Ok(())
    }
}

impl Operation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
            Self::Sync | Self::Install | Self::Mark(_) | Self::Acknowledged => {}
        }
    }

    /// The parts of it that a crash may keep or lose on their own.
    fn parts(&self) -> Vec<Self> {
        match self {
            Self::Write(offset, data) => data
                .chunks(SECTOR)
                .enumerate()
                .map(|(i, part)| Self::Write(offset + i * SECTOR, part.to_vec()))
                .collect(),
            other => vec![other.clone()],
        }
    }
}

/// What a crash leaves, operation after operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Replay {
    synced: Vec<u8>,
    pending: Vec<Operation>,
    mark: Option<Vec<u8>>,
}

impl Replay {
    /// A replay that begins with these bytes, all of them synced.
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        Self {
            synced: bytes,
            ..Self::default()
        }
    }

    /// One more operation happened.
    pub(super) fn push(&mut self, operation: &Operation) {
        match operation {
            Operation::Sync => {
                for pending in self.pending.drain(..) {
                    pending.apply(&mut self.synced);
                }
            }
            Operation::Mark(mark) => self.mark = Some(mark.clone()),
            other => self.pending.push(other.clone()),
        }
    }

    /// What the disk holds after a crash now: all that was synced, and of the rest the sectors for
    /// which `kept` says so. The mark is the newest one, as after a kill.
    pub(super) fn crash(&self, mut kept: impl FnMut() -> bool) -> SimDisk {
        let mut bytes = self.synced.clone();
        for part in self.pending.iter().flat_map(Operation::parts) {
            if kept() {
                part.apply(&mut bytes);
            }
        }
        let disk = SimDisk::holding(bytes);
        disk.0.lock().mark.clone_from(&self.mark);
        disk
    }
}

/// What a disk holds after a crash if all this happened before it.
pub(super) fn crashed(trace: &[Operation], kept: impl FnMut() -> bool) -> SimDisk {
    let mut replay = Replay::default();
    for operation in trace {
        replay.push(operation);
    }
    replay.crash(kept)
}

impl Medium for SimDisk {
    fn open(&self) -> Result<Arc<dyn StorageBackend>, DiskError> {
        Ok(Arc::new(self.clone()))
    }

    fn look(&self) -> io::Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(self.clone()))
    }

    fn install(&self) -> Result<(), DirError> {
        self.0.lock().trace.push(Operation::Install);
        Ok(())
    }

    fn mark(&self) -> Option<Vec<u8>> {
        self.0.lock().mark.clone()
    }

    fn set_mark(&self, mark: &[u8; MARK_BYTES]) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.mark = Some(mark.to_vec());
        inner.trace.push(Operation::Mark(mark.to_vec()));
        Ok(())
    }

    fn room(&self) -> Option<Room> {
        let inner = self.0.lock();
        inner.free.map(|free| Room {
            free,
            total: 1 << 40,
            used: inner.bytes.len() as u64,
        })
    }

    fn hold_reserve(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        if let (Some(free), false) = (inner.free, inner.reserve) {
            let left = free.checked_sub(RESERVE);
            inner.free = Some(left.ok_or(io::ErrorKind::StorageFull)?);
            inner.reserve = true;
        }
        Ok(())
    }

    fn release_reserve(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        if std::mem::take(&mut inner.reserve) {
            inner.free = inner.free.map(|free| free + RESERVE);
        }
        Ok(())
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.0.lock();
        if matches!(inner.plan, Plan::ReadsFail) {
            return Err(io::Error::other("input/output error"));
        }
        let offset = usize::try_from(offset).unwrap();
        let found = inner.bytes.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.0.lock();
        let len = usize::try_from(len).unwrap();
        if len > inner.bytes.len() {
            inner.taking_space()?;
        }
        inner.bytes.resize(len, 0);
        inner.trace.push(Operation::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.syncs += 1;
        if matches!(inner.plan, Plan::SyncFails(n) if n == inner.syncs) {
            return Err(io::Error::other("input/output error"));
        }
        inner.trace.push(Operation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.write(usize::try_from(offset).unwrap(), data)?;
        if let Plan::Slow(time) = inner.plan {
            drop(inner);
            std::thread::sleep(time);
        }
        Ok(())
    }
}
