//! Where the database's bytes are: a file in life, a simulated disk in tests.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use redb::StorageBackend;

use super::mark::MARK_BYTES;
use super::{DirError, DiskError};

/// A place for the bytes of one database. The daemon's is a data directory; the simulator brings
/// its own.
pub trait Medium: Debug + Send + Sync + 'static {
    /// Opens the bytes; called again after an error, for the engine trusts nothing then. A new
    /// database is built where nobody looks for it until it is whole.
    fn open(&self) -> Result<Arc<dyn StorageBackend>, DiskError>;
    /// The bytes of the database for reading only, past every cache where that can be had.
    fn look(&self) -> io::Result<Arc<dyn StorageBackend>>;
    /// Puts a new database, now whole and synced, in its place.
    fn install(&self) -> Result<(), DirError>;
    /// The mark as it was left; none if there is none.
    fn mark(&self) -> Option<Vec<u8>>;
    /// Leaves the mark, soon but not durably.
    fn set_mark(&self, mark: &[u8; MARK_BYTES]) -> io::Result<()>;
    /// How much room there is; none if the file system does not tell.
    fn room(&self) -> Option<Room>;
    /// Makes the reserve whole, if it is not. On an error it is not whole.
    fn hold_reserve(&self) -> io::Result<()>;
    /// Gives the reserve's space to others.
    fn release_reserve(&self) -> io::Result<()>;
    /// Where the database is, in bytes that a copy of it does not have; none if that cannot be
    /// told.
    fn place(&self) -> Option<Bytes> {
        None
    }
}

/// How much room there is for the database, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes of the file system that this user may still fill.
    pub free: u64,
    /// Bytes of the file system in all.
    pub total: u64,
    /// Bytes of it that the database takes.
    pub used: u64,
}

/// The first thing that went wrong with a backend.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// A write found no space. Nothing that matters was changed.
    Full,
    /// Something else, or a sync of any kind: what is on the disk is unknown.
    Broken(Arc<str>),
}

/// What went wrong with a backend so far, shared between it and who judges.
#[derive(Debug, Default)]
pub(super) struct Faults {
    gravest: Mutex<Option<Fault>>,
    stopped: AtomicBool,
}

impl Faults {
    /// The gravest thing that happened.
    pub(super) fn seen(&self) -> Option<Fault> {
        self.gravest.lock().clone()
    }

    /// Lets nothing more through: an engine that was replaced must not write when it is dropped.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// A commit went through: that an earlier page found no space no longer matters.
    pub(super) fn forgive(&self) {
        let mut gravest = self.gravest.lock();
        if matches!(*gravest, Some(Fault::Full)) {
            *gravest = None;
        }
    }

    fn lets_through(&self) -> bool {
        let broken = matches!(*self.gravest.lock(), Some(Fault::Broken(_)));
        !broken && !self.stopped.load(Ordering::SeqCst)
    }

    fn note(&self, what: &str, error: &io::Error, may_be_full: bool) {
        let full = may_be_full && is_full(error);
        let mut seen = self.gravest.lock();
        match (&*seen, full) {
            (Some(Fault::Broken(_)), _) | (Some(Fault::Full), true) => {}
            (_, true) => *seen = Some(Fault::Full),
            (_, false) => *seen = Some(Fault::Broken(format!("{what}: {error}").into())),
        }
    }
}

/// Whether an error says that there is no space.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A backend whose errors are noted down, for the engine passes on only some of them. Once
/// something broke, it writes no more.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) inner: Arc<dyn StorageBackend>,
    pub(super) faults: Arc<Faults>,
}

impl Watched {
    fn changing(
        &self,
        what: &str,
        may_be_full: bool,
        work: impl FnOnce(&dyn StorageBackend) -> io::Result<()>,
    ) -> io::Result<()> {
        if !self.faults.lets_through() {
            return Err(io::Error::other("the disk failed before"));
        }
        work(self.inner.as_ref()).inspect_err(|error| self.faults.note(what, error, may_be_full))
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        let len = self.inner.len();
        len.inspect_err(|error| self.faults.note("asking for the length", error, false))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out).inspect_err(|error| {
            let what = format!("reading {} bytes at offset {offset}", out.len());
            self.faults.note(&what, error, false);
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.changing("growing the file", true, |inner| inner.set_len(len))
    }

    /// An error here is never taken for a full disk: the kernel may have dropped the very pages
    /// that it failed to write, and still show them to who reads.
    fn sync_data(&self) -> io::Result<()> {
        self.changing("syncing", false, StorageBackend::sync_data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.changing("writing", true, |inner| inner.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}
