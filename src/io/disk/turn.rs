//! Taking turns: two threads write to the database, the store's writer and the strong log.
//!
//! The engine lets one transaction write at a time anyway. What must be done in one go around it
//! is more than that: to see whether there is room (and who may have the reserve), to write, to
//! judge a failure by what the medium saw during this very transaction, to count the commit, and
//! to leave the mark. So whoever writes holds the turn, and with it what the last commit wrote
//! down about the database. Turns are handed on fairly: neither of two busy writers starves the
//! other.

use parking_lot::{Mutex, MutexGuard};
use redb::Database;

use super::engine::{Failure, Shared};
use super::mark::Mark;
use super::medium::is_full;
use super::state::State;
use super::{DiskError, DiskState};
use crate::model::MemberId;

/// With less than this free, a full disk counts as full still, in bytes.
const FLOOR: u64 = 1 << 20;
/// What a commit takes besides its rows, in bytes.
const SPARE: u64 = 128 << 10;

/// Whose the database is, and what its last commit wrote down.
#[derive(Clone, Copy, Debug)]
struct Last {
    member: MemberId,
    state: State,
}

/// Who has the turn. It is nobody's before the database was read.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Option<Last>>);

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'shared> {
    shared: &'shared Shared,
    last: MutexGuard<'shared, Option<Last>>,
}

/// Whether a commit may use the space that is kept for deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserve {
    MayBeUsed,
    IsLeftAlone,
}

impl Turns {
    /// The database was read: it is this member's, and its last commit wrote this down.
    pub(super) fn begin(&self, member: MemberId, state: State) {
        *self.0.lock() = Some(Last { member, state });
    }
}

impl Shared {
    /// Waits for the turn.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn {
            shared: self,
            last: self.turns.0.lock(),
        }
    }

    /// Makes the reserve for deletes whole, as far as there is room for it.
    pub(super) fn hold_reserve(&self) {
        match self.medium.hold_reserve() {
            Ok(()) => {}
            Err(error) if is_full(&error) => self.set_full(true),
            Err(error) => tracing::warn!(%error, "no reserve for deletes on a full disk"),
        }
    }
}

impl Turn<'_> {
    /// Whether ordinary writes are taken; on a disk that was full, whether space is back.
    pub(super) fn ready(&self) -> Result<(), DiskError> {
        match self.shared.state() {
            DiskState::Ok => Ok(()),
            DiskState::Fenced(why) => Err(DiskError::Fenced(why)),
            DiskState::Full => self.look_for_room(),
        }
    }

    /// Commits what `work` writes, with the state that it is given, in which this commit is counted
    /// already; durable when this returns `Ok`. `rows` is what the rows may take, in bytes.
    pub(super) fn commit(
        mut self,
        rows: u64,
        reserve: Reserve,
        work: impl FnOnce(&Database, &mut State) -> Result<(), Failure>,
    ) -> Result<(), DiskError> {
        let Some(last) = self.last.as_mut() else {
            return Err(DiskError::Closed);
        };
        check_room(self.shared, SPARE + rows, reserve)?;
        let mut state = last.state;
        state.commits += 1;
        self.shared
            .write("writing to gaggle.redb", |db| work(db, &mut state))?;
        last.state = state;
        leave_mark(self.shared, *last);
        MutexGuard::unlock_fair(self.last);
        Ok(())
    }

    /// Whether space is back: the reserve is whole and a little more is free.
    fn look_for_room(&self) -> Result<(), DiskError> {
        let medium = &self.shared.medium;
        if medium.hold_reserve().is_err() || medium.room().is_some_and(|room| room.free < FLOOR) {
            return Err(DiskError::Full);
        }
        self.shared.live_engine()?;
        self.shared.set_full(false);
        tracing::info!("space is back on the disk: taking writes again");
        Ok(())
    }
}

/// Refuses a commit that might not fit, before the engine has touched anything: an engine that
/// meets the end of the disk must be opened anew, which takes time.
fn check_room(shared: &Shared, need: u64, reserve: Reserve) -> Result<(), DiskError> {
    let medium = &shared.medium;
    let fits = || medium.room().is_none_or(|room| room.free >= need);
    if fits() {
        return Ok(());
    }
    shared.set_full(true);
    if reserve == Reserve::MayBeUsed && medium.release_reserve().is_ok() && fits() {
        return Ok(());
    }
    Err(DiskError::Full)
}

/// The commit is durable without it, so an error here is told and nothing else.
fn leave_mark(shared: &Shared, last: Last) {
    let mark = Mark {
        member: last.member,
        commits: last.state.commits,
    };
    if let Err(error) = shared.medium.set_mark(&mark.to_bytes()) {
        tracing::debug!(%error, "the mark beside the database was not written");
    }
}
