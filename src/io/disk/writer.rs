//! The disk as its one writer sees it.

use std::sync::Arc;

use redb::ReadableDatabase;

use super::engine::Shared;
use super::file::FileMedium;
use super::mark::Mark;
use super::medium::Medium;
use super::state::{self, About, State, about};
use super::strong::StrongLog;
use super::tables::{self, Scratch};
use super::turn::Reserve;
use super::{Batch, DataDir, DiskError, DiskReader, DiskState, Identity, Loaded, Room, load};
use crate::model::planted::{self, Bug};
use crate::model::{ClusterId, HybridTime, MemberId, Row, WallTime};
use crate::strong::engine::LogDisk;

/// The database of a data directory, opened for writing. One thread owns it.
#[derive(Debug)]
pub struct Disk {
    pub(super) shared: Arc<Shared>,
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

    /// Makes a new database on a medium that has none, and does not install it.
    pub(super) fn make_on(medium: Arc<dyn Medium>, opening: &Opening) -> Result<Self, DiskError> {
        let shared = Arc::new(Shared::open(medium, opening.cache)?);
        let fresh = Identity {
            member: opening.member,
            cluster: opening.cluster.clone(),
        };
        shared.write("making the database", |db| state::create_if_new(db, &fresh))?;
        shared.turns.begin(opening.member, State::default());
        Ok(Self {
            shared,
            scratch: Scratch::default(),
        })
    }

    /// Opens the database on any medium, as [`Disk::open`] does on a directory.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub fn open_on(
        medium: Arc<dyn Medium>,
        opening: &Opening,
    ) -> Result<(Self, Loaded), DiskError> {
        let shared = Arc::new(Shared::open(medium, opening.cache)?);
        let fresh = Identity {
            member: opening.member,
            cluster: opening.cluster.clone(),
        };
        let created = shared.write("opening the database", |db| {
            state::create_if_new(db, &fresh)
        })?;
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
        let (mut store, gap) = shared.read("reading the store", |db| {
            let read = db.begin_read()?;
            Ok((load::store(&read, &state)?, load::gap(&read)?))
        })?;
        store.set_vector(identity.member, gap.map_or(state.time, |gap| gap.from));
        let state = state.booted(opening.now.millis());
        shared.turns.begin(identity.member, state);
        shared.hold_reserve();
        let mut disk = Self {
            shared,
            scratch: Scratch::default(),
        };
        disk.boot()?;
        let loaded = Loaded {
            store,
            clock: if planted::is(Bug::ClockForgotten) {
                (HybridTime::default(), 0)
            } else {
                (state.time, state.sequence)
            },
            identity,
            gap,
            generation: state.generation,
            boots: state.boots,
            created: state.sequence == 0 && state.entries == 0 && state.nodes == 0,
        };
        Ok((disk, loaded))
    }

    /// Writes the new generation down. A full disk must not keep a member from starting: the
    /// generation then goes with the first batch that finds room.
    fn boot(&mut self) -> Result<(), DiskError> {
        match self.commit(&[], None, None, Reserve::MayBeUsed) {
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
        self.shared.turn().ready()?;
        Ok(Batch::new(self, Reserve::IsLeftAlone))
    }

    /// Begins a batch that holds only deletes: on a full disk it may use the reserve.
    ///
    /// # Errors
    /// [`DiskError::Fenced`] after the disk failed.
    pub fn begin_reserved(&mut self) -> Result<Batch<'_>, DiskError> {
        match self.shared.state() {
            DiskState::Fenced(why) => Err(DiskError::Fenced(why)),
            DiskState::Ok | DiskState::Full => Ok(Batch::new(self, Reserve::MayBeUsed)),
        }
    }

    /// A reader of older versions; it works beside the writer.
    pub fn reader(&self) -> DiskReader {
        DiskReader {
            shared: self.shared.clone(),
        }
    }

    /// The log of the strong side in the same database; it works beside the writer, on any thread
    /// that may block. An error of the disk fences both. After [`Disk::close`] every call fails.
    pub fn log_disk(&self) -> Arc<dyn LogDisk> {
        Arc::new(StrongLog::new(self.shared.clone()))
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

    pub(super) fn commit(
        &mut self,
        rows: &[Row],
        clock: Option<(HybridTime, u64)>,
        root: Option<u128>,
        reserve: Reserve,
    ) -> Result<(), DiskError> {
        let cost = rows.iter().map(tables::cost).sum();
        let scratch = &mut self.scratch;
        self.shared.turn().commit(cost, reserve, |db, state| {
            if let Some((time, sequence)) = clock {
                (state.time, state.sequence) = (time, sequence);
            }
            tables::apply(db, rows, root, state, scratch)
        })
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
