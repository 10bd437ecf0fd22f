//! The disk as its one writer sees it.

use std::sync::Arc;

use redb::ReadableDatabase;

use super::engine::Shared;
use super::file::FileMedium;
use super::mark::Mark;
use super::medium::{Medium, is_full};
use super::state::{self, About, State, about};
use super::tables::{self, Scratch};
use super::{Batch, DataDir, DiskError, DiskReader, DiskState, Identity, Loaded, Room, load};
use crate::model::{ClusterId, HybridTime, MemberId, Row, WallTime};

/// With less than this free, a full disk counts as full still, in bytes.
const FLOOR: u64 = 1 << 20;
/// What a batch takes besides its rows, in bytes.
const SPARE: u64 = 128 << 10;

/// The database of a data directory, opened for writing. One thread owns it.
#[derive(Debug)]
pub struct Disk {
    pub(super) shared: Arc<Shared>,
    member: MemberId,
    state: State,
    scratch: Scratch,
}

/// What must be known to open a database.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The cluster that the member is to be in; a database of another one is refused.
    pub cluster: ClusterId,
    /// The id that the member gets if the database is new.
    pub member: MemberId,
    /// The wall clock, for the generation.
    pub now: WallTime,
    /// Memory for pages of the database, in bytes; 32 MiB is a good value.
    pub cache: usize,
}

impl Disk {
    /// Opens the database of a data directory, makes it if it is missing, checks it and reads the
    /// store from it.
    ///
    /// # Errors
    /// Never starts empty in the place of something that cannot be read: damage, a newer format
    /// and another cluster's data are errors.
    pub fn open(dir: &DataDir, opening: &Opening) -> Result<(Self, Loaded), DiskError> {
        let medium = Arc::new(FileMedium::of(dir.clone()));
        Self::open_on(medium, opening).map_err(|error| error.with_path(&dir.database()))
    }

    /// Opens the database on any medium.
    pub(super) fn open_on(
        medium: Arc<dyn Medium>,
        opening: &Opening,
    ) -> Result<(Self, Loaded), DiskError> {
        let shared = Arc::new(Shared::open(medium, opening.cache)?);
        let fresh = Identity {
            member: opening.member,
            cluster: opening.cluster.clone(),
        };
        let created = shared.write("making the database", |db| state::create_if_new(db, &fresh))?;
        let mark = shared
            .medium
            .mark()
            .and_then(|mark| Mark::from_bytes(&mark));
        if created {
            if mark.is_some_and(|mark| mark.commits > 0) {
                return Err(DiskError::corrupt("the file itself is missing"));
            }
            shared.medium.install()?;
        }
        let (identity, state) = whose(&shared, &opening.cluster)?;
        if let Some(mark) = mark {
            mark.check(identity.member, state.commits)?;
        }
        let store = shared.read("reading the store", |db| {
            load::store(&db.begin_read()?, &state)
        })?;
        let state = state.booted(opening.now.millis());
        let mut disk = Self {
            shared,
            member: identity.member,
            state,
            scratch: Scratch::default(),
        };
        disk.hold_reserve();
        disk.boot()?;
        let loaded = Loaded {
            store,
            clock: (state.time, state.sequence),
            identity,
            generation: state.generation,
            boots: state.boots,
            created: state.sequence == 0 && state.entries == 0 && state.nodes == 0,
        };
        Ok((disk, loaded))
    }

    /// Writes the new generation down. A full disk must not keep a member from starting: the
    /// generation then goes with the first batch that finds room.
    fn boot(&mut self) -> Result<(), DiskError> {
        match self.commit(&[], None, true) {
            Err(DiskError::Full) => {
                tracing::warn!("the disk is full: starting without taking writes");
                Ok(())
            }
            other => other,
        }
    }

    /// Begins a batch of any rows.
    ///
    /// # Errors
    /// [`DiskError::Full`] while no space is back, [`DiskError::Fenced`] after the disk failed.
    pub fn begin(&mut self) -> Result<Batch<'_>, DiskError> {
        match self.shared.state() {
            DiskState::Ok => {}
            DiskState::Fenced(why) => return Err(DiskError::Fenced(why)),
            DiskState::Full => self.look_for_room()?,
        }
        Ok(Batch::new(self, false))
    }

    /// Begins a batch that holds only deletes: on a full disk it may use the reserve.
    ///
    /// # Errors
    /// [`DiskError::Fenced`] after the disk failed.
    pub fn begin_reserved(&mut self) -> Result<Batch<'_>, DiskError> {
        match self.shared.state() {
            DiskState::Fenced(why) => Err(DiskError::Fenced(why)),
            DiskState::Ok | DiskState::Full => Ok(Batch::new(self, true)),
        }
    }

    /// A reader of older versions; it works beside the writer.
    pub fn reader(&self) -> DiskReader {
        DiskReader {
            shared: self.shared.clone(),
        }
    }

    /// Whether the disk takes writes.
    pub fn state(&self) -> DiskState {
        self.shared.state()
    }

    /// How much room there is; none if the file system does not tell.
    pub fn room(&self) -> Option<Room> {
        self.shared.medium.room()
    }

    /// Closes the database cleanly, so that the next start need not check it.
    pub fn close(self) {
        self.shared.close();
    }

    /// Whether space is back: the reserve is whole and a little more is free.
    fn look_for_room(&mut self) -> Result<(), DiskError> {
        let medium = &self.shared.medium;
        if medium.hold_reserve().is_err() || medium.room().is_some_and(|room| room.free < FLOOR) {
            return Err(DiskError::Full);
        }
        self.shared.live_engine()?;
        self.shared.set_full(false);
        tracing::info!("space is back on the disk: taking writes again");
        Ok(())
    }

    fn hold_reserve(&self) {
        match self.shared.medium.hold_reserve() {
            Ok(()) => {}
            Err(error) if is_full(&error) => self.shared.set_full(true),
            Err(error) => tracing::warn!(%error, "no reserve for deletes on a full disk"),
        }
    }

    pub(super) fn commit(
        &mut self,
        rows: &[Row],
        clock: Option<(HybridTime, u64)>,
        may_use_reserve: bool,
    ) -> Result<(), DiskError> {
        self.check_room(rows, may_use_reserve)?;
        let mut state = self.state;
        state.commits += 1;
        if let Some((time, sequence)) = clock {
            (state.time, state.sequence) = (time, sequence);
        }
        let scratch = &mut self.scratch;
        self.shared.write("writing to gaggle.redb", |db| {
            tables::apply(db, rows, &mut state, scratch)
        })?;
        self.state = state;
        self.leave_mark();
        Ok(())
    }

    /// The batch is durable without it, so an error here is told and nothing else.
    fn leave_mark(&self) {
        let mark = Mark {
            member: self.member,
            commits: self.state.commits,
        };
        if let Err(error) = self.shared.medium.set_mark(&mark.to_bytes()) {
            tracing::debug!(%error, "the mark beside the database was not written");
        }
    }

    /// Refuses a batch that might not fit, before the engine has touched anything: an engine that
    /// meets the end of the disk must be opened anew, which takes time.
    fn check_room(&self, rows: &[Row], may_use_reserve: bool) -> Result<(), DiskError> {
        let need = SPARE + rows.iter().map(tables::cost).sum::<u64>();
        let medium = &self.shared.medium;
        let fits = || medium.room().is_none_or(|room| room.free >= need);
        if fits() {
            return Ok(());
        }
        self.shared.set_full(true);
        if may_use_reserve && medium.release_reserve().is_ok() && fits() {
            return Ok(());
        }
        Err(DiskError::Full)
    }
}

fn whose(shared: &Shared, asked: &ClusterId) -> Result<(Identity, State), DiskError> {
    match shared.read("reading the identity", |db| about(&db.begin_read()?))? {
        About::Known { identity, state } if identity.cluster == *asked => Ok((identity, state)),
        About::Known { identity, .. } => Err(DiskError::OtherCluster {
            has: identity.cluster,
            asked: asked.clone(),
        }),
        About::Newer(found) => Err(DiskError::Format {
            found,
            known: state::FORMAT,
        }),
    }
}
