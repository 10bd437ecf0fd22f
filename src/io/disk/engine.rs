//! The database engine and its replacement after an error.
//!
//! redb stops for good at the first error of its file: from then on every call answers "previous
//! error", reads too. So after an error the engine is replaced by a fresh one on the same medium.
//! After a full disk that is an engine like the one before, for nothing was lost: redb finds the
//! last commit again by its checksums. After any other error it is a *frozen* one, which keeps
//! what it would write in memory, so that reads go on and the disk is left as it is.
//!
//! Invariant: a live engine exists only while nobody ever saw an error other than "no space".

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redb::{Database, StorageBackend};

use super::frozen::Frozen;
use super::medium::{Fault, Faults, Medium, Watched};
use super::rows::BadRow;
use super::turn::Turns;
use super::{DiskError, DiskState};

/// One opened database.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) db: Database,
    faults: Arc<Faults>,
    mode: Mode,
    /// Whether every page was read and checked when it was opened.
    checked: bool,
}

/// A database that was closed cleanly is read whole at the start and checked, if it is not
/// greater than this, in bytes; of a greater one only the rows of the store are checked.
const CHECKED_UP_TO: u64 = 2 << 30;

/// Where an engine's writes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// To the medium.
    Live,
    /// Into memory.
    Frozen,
}

/// What the writer and the readers share.
#[derive(Debug)]
pub(super) struct Shared {
    // Before the medium, so that the database is closed before the directory's lock is released.
    engine: ArcSwapOption<Engine>,
    /// Held only to look and to set: whoever asks for the state must not wait for a recovery.
    state: Mutex<DiskState>,
    /// Held while an engine is replaced.
    recovery: Mutex<()>,
    pub(super) turns: Turns,
    cache: usize,
    pub(super) medium: Arc<dyn Medium>,
}

/// Why work on an engine failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The engine said so; the medium's faults tell why.
    Engine(redb::Error),
    /// A row cannot be ours.
    Row(BadRow),
    /// The engine broke off.
    Panic,
}

macro_rules! engine_failures {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Engine(error.into())
            }
        }
    )*};
}
engine_failures!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::SetDurabilityError,
    redb::DatabaseError
);

impl From<BadRow> for Failure {
    fn from(bad: BadRow) -> Self {
        Self::Row(bad)
    }
}

impl Shared {
    /// Opens a live engine on the medium.
    pub(super) fn open(medium: Arc<dyn Medium>, cache: usize) -> Result<Self, DiskError> {
        let mut engine = open(medium.as_ref(), cache, Mode::Live)?;
        if !engine.checked && medium.room().is_none_or(|room| room.used <= CHECKED_UP_TO) {
            verify(&mut engine)?;
        }
        Ok(Self {
            engine: ArcSwapOption::from_pointee(engine),
            state: Mutex::new(DiskState::Ok),
            recovery: Mutex::default(),
            turns: Turns::default(),
            cache,
            medium,
        })
    }

    /// The engine in use.
    pub(super) fn engine(&self) -> Result<Arc<Engine>, DiskError> {
        self.engine.load_full().ok_or(DiskError::Closed)
    }

    /// An engine to write with: the one in use, or a fresh one if that is frozen for want of space.
    pub(super) fn live_engine(&self) -> Result<Arc<Engine>, DiskError> {
        let recovery = self.recovery.lock();
        if let DiskState::Fenced(why) = self.state() {
            return Err(DiskError::Fenced(why));
        }
        let mut engine = self.engine()?;
        if engine.mode == Mode::Frozen {
            let live = open(self.medium.as_ref(), self.cache, Mode::Live);
            engine = Arc::new(live.inspect_err(|error| self.note(error))?);
            self.engine.store(Some(engine.clone()));
        }
        drop(recovery);
        Ok(engine)
    }

    /// Notes an error of the disk: full for now, or fenced for good.
    fn note(&self, error: &DiskError) {
        if matches!(error, DiskError::Full) {
            return self.set_full(true);
        }
        let mut state = self.state.lock();
        if !matches!(*state, DiskState::Fenced(_)) {
            tracing::error!(%error, "the disk failed: writes are fenced until a restart");
            *state = DiskState::Fenced(error.to_string().into());
        }
    }

    /// Whether writes are taken.
    pub(super) fn state(&self) -> DiskState {
        self.state.lock().clone()
    }

    /// Notes that no space was left, or that there is some again. A fence stays.
    pub(super) fn set_full(&self, full: bool) {
        let mut state = self.state.lock();
        if !matches!(*state, DiskState::Fenced(_)) {
            *state = if full { DiskState::Full } else { DiskState::Ok };
        }
    }

    /// Does `work` on the engine in use, and once more if that one turned out to have stopped.
    pub(super) fn read<T>(
        &self,
        what: &str,
        work: impl Fn(&Database) -> Result<T, Failure>,
    ) -> Result<T, DiskError> {
        let engine = self.engine()?;
        let failure = match guarded(|| work(&engine.db)) {
            Ok(found) => return Ok(found),
            Err(failure) => self.judge(&engine, what, failure),
        };
        let next = self.engine()?;
        if Arc::ptr_eq(&engine, &next) {
            return Err(failure);
        }
        guarded(|| work(&next.db)).map_err(|failure| self.judge(&next, what, failure))
    }

    /// Does `work` that writes, on a live engine. It is not tried again. Whoever calls it has the
    /// turn, or has told nobody yet of this database.
    pub(super) fn write<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Database) -> Result<T, Failure>,
    ) -> Result<T, DiskError> {
        let engine = self.live_engine()?;
        let done =
            guarded(|| work(&engine.db)).map_err(|failure| self.judge(&engine, what, failure))?;
        engine.faults.forgive();
        Ok(done)
    }

    /// Says what a failure of `engine` means, and puts another engine in its place if it stopped.
    pub(super) fn judge(&self, engine: &Arc<Engine>, what: &str, failure: Failure) -> DiskError {
        let damaged_row = matches!(failure, Failure::Row(_));
        let error = verdict(&engine.faults, what, failure);
        if !damaged_row && !matches!(error, DiskError::Closed) {
            self.replace(engine, &error);
        }
        error
    }

    /// Puts a fresh engine in the place of one that stopped; the first to come does it.
    fn replace(&self, stopped: &Arc<Engine>, error: &DiskError) {
        let recovery = self.recovery.lock();
        let in_use = self.engine.load_full();
        if !in_use.is_some_and(|engine| Arc::ptr_eq(&engine, stopped)) {
            return;
        }
        self.note(error);
        let full = matches!(error, DiskError::Full);
        if stopped.mode == Mode::Frozen {
            return;
        }
        stopped.faults.stop();
        let medium = self.medium.as_ref();
        let live = full.then(|| open(medium, self.cache, Mode::Live));
        let fresh = match live {
            Some(Ok(engine)) => Ok(engine),
            _ => open(medium, self.cache, Mode::Frozen),
        };
        match fresh {
            Ok(engine) => self.engine.store(Some(Arc::new(engine))),
            Err(error) => tracing::error!(%error, "older versions cannot be read any more"),
        }
        drop(recovery);
    }

    /// Closes the database, as soon as the last reader is done: a clean close makes the next
    /// start quick. A commit that is under way is waited for; later calls find it closed.
    pub(super) fn close(&self) {
        let turn = self.turn();
        let recovery = self.recovery.lock();
        self.engine.store(None);
        drop((recovery, turn));
    }
}

fn verdict(faults: &Faults, what: &str, failure: Failure) -> DiskError {
    if let Failure::Row(bad) = failure {
        return DiskError::corrupt(bad);
    }
    match (faults.seen(), failure) {
        (Some(Fault::Full), _) => DiskError::Full,
        (Some(Fault::Broken(why)), _) => DiskError::Io {
            what: what.to_owned(),
            source: io::Error::other(why.to_string()),
        },
        (None, Failure::Engine(redb::Error::DatabaseClosed)) => DiskError::Closed,
        (None, Failure::Engine(error)) => DiskError::corrupt(error),
        (None, Failure::Row(_) | Failure::Panic) => {
            DiskError::corrupt("its pages do not fit together")
        }
    }
}

/// Runs work on the engine; damage can make it panic, which must not reach the caller.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Failure::Panic))
}

fn open(medium: &dyn Medium, cache: usize, mode: Mode) -> Result<Engine, DiskError> {
    let faults = Arc::new(Faults::default());
    let mut inner = medium.open()?;
    if mode == Mode::Frozen {
        inner = Arc::new(Frozen::over(inner));
    }
    let watched = Watched {
        inner,
        faults: faults.clone(),
    };
    let checked = Arc::new(AtomicBool::new(false));
    let noted = checked.clone();
    let opened = guarded(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(cache);
        builder.set_repair_callback(move |repair| {
            noted.store(true, Ordering::Relaxed);
            let percent = (repair.progress() * 100.0).round();
            tracing::warn!(percent, "the database was not closed cleanly: checking it");
        });
        Ok(builder.create_with_backend(watched)?)
    });
    match opened {
        Ok(db) => Ok(Engine {
            db,
            faults,
            mode,
            checked: checked.load(Ordering::Relaxed),
        }),
        Err(failure) => Err(verdict(&faults, "opening gaggle.redb", failure)),
    }
}

/// Reads every page and checks it against the checksum that its parent holds.
fn verify(engine: &mut Engine) -> Result<(), DiskError> {
    let db = &mut engine.db;
    match guarded(|| Ok(db.check_integrity()?)) {
        Ok(true) => engine.checked = true,
        // What it lost, if anything, is found by the sums of the store and by the mark.
        Ok(false) => tracing::warn!("the database was damaged and repaired itself"),
        Err(failure) => return Err(verdict(&engine.faults, "checking gaggle.redb", failure)),
    }
    Ok(())
}

/// Opens a file as a start would, without writing to it, and checks every page.
pub(super) fn try_open(file: Arc<dyn StorageBackend>) -> Result<(), DiskError> {
    let faults = Arc::new(Faults::default());
    let watched = Watched {
        inner: Arc::new(Frozen::over(file)),
        faults: faults.clone(),
    };
    let tried = guarded(|| {
        let mut db = Database::builder().create_with_backend(watched)?;
        Ok(db.check_integrity()?)
    });
    match tried {
        Ok(true) => Ok(()),
        Ok(false) => Err(DiskError::corrupt("the engine had to repair it")),
        Err(failure) => Err(verdict(&faults, "opening gaggle.redb", failure)),
    }
}
