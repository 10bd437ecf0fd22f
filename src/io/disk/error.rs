//! What the disk may answer instead of a result.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::DirError;
use crate::model::ClusterId;

const FILE: &str = "gaggle.redb";

/// Why the disk did not do what it was asked. Whatever the variant, nothing of the batch is
/// visible afterwards, except where it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// No space is left. Happens in normal life; the batch was refused whole and may be tried
    /// again when space is back.
    #[error("the disk is full; free some space, writes then go on by themselves")]
    Full,
    /// An earlier write or sync failed, so nothing is taken until a restart. Nothing was changed.
    #[error("writes are fenced until a restart, for the disk failed: {0}")]
    Fenced(Arc<str>),
    /// The disk failed just now; writes are fenced from here on. Whether the batch that met the
    /// error is on the disk is unknown until the restart.
    #[error("{FILE}: {what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The database holds bytes that cannot be ours. Nothing was changed.
    #[error("{what} is damaged. {hint}")]
    Corrupt {
        /// The file and what is wrong with it.
        what: String,
        /// What to do now.
        hint: String,
    },
    /// The database was written by a newer program. Nothing was changed.
    #[error(
        "the database has format {found} and this gaggle reads formats up to {known}: start a \
         newer gaggle on it"
    )]
    Format {
        /// The format of the file.
        found: u16,
        /// The newest format that this program reads.
        known: u16,
    },
    /// The data directory belongs to another cluster. Nothing was changed.
    #[error(
        "the data directory belongs to the cluster \"{has}\", not \"{asked}\": give the cluster \
         id {has}, or another data directory"
    )]
    OtherCluster {
        /// The cluster id in the database.
        has: ClusterId,
        /// The cluster id that was asked for.
        asked: ClusterId,
    },
    /// The data directory cannot be used. Nothing was changed.
    #[error(transparent)]
    Directory(#[from] DirError),
    /// The database was closed: the daemon is stopping. Nothing was changed.
    #[error("the database is closed")]
    Closed,
}

impl DiskError {
    /// Damage in the database, with the hint that fits every case of it.
    pub(super) fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Corrupt {
            what: format!("{FILE} ({what})"),
            hint: "`gaggle verify` tells what is damaged. `gaggle serve --repair` sets the file \
                   aside, keeps every row that is sound and takes the rest from the other members \
                   under a new member id. If there is no other member, put back a backup, or keep \
                   only store.json of this directory, which is then imported."
                .to_owned(),
        }
    }

    /// Names the damaged file with its whole path.
    pub(super) fn with_path(self, path: &Path) -> Self {
        match self {
            Self::Corrupt { what, hint } => Self::Corrupt {
                what: what.replacen(FILE, &path.display().to_string(), 1),
                hint,
            },
            other => other,
        }
    }
}
