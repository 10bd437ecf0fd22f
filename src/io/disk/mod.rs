//! The durable truth: the data directory and the database in it.
//!
//! A write is acknowledged after [`Batch::commit`] has returned: then it has reached the disk. One
//! thread writes (it owns the [`Disk`]); readers of older versions hold a [`DiskReader`] each and
//! never wait for it. The log of the strong side is kept in the same database and written by
//! another thread ([`Disk::log_disk`]): the two take turns, and an error of the disk is one for
//! both.
//!
//! What can go wrong, and what then holds:
//!
//! - The disk is full: the batch is refused whole ([`DiskError::Full`]), the database stays usable,
//!   and writes go on when space is back.
//! - Any other error of a write or a sync: nobody knows what is on the disk, so no later batch is
//!   taken until a restart ([`DiskError::Fenced`]); reads go on.
//! - A crash at any point: the next start finds some state that holds every acknowledged batch, and
//!   every batch whole or not at all.
//! - Bytes changed behind our back: noticed at the start or when they are read
//!   ([`DiskError::Corrupt`]), never served.
//!
//! The bytes are drawn in `docs/FORMATS.md`.

mod aside;
mod audit;
mod batch;
mod dir;
mod engine;
mod error;
mod fault;
mod file;
mod frozen;
mod kept;
mod load;
mod log_audit;
mod mark;
mod medium;
mod pages;
mod reader;
mod repair;
mod rows;
mod state;
mod strong;
mod tables;
mod turn;
mod verify;
mod writer;

pub use audit::{Cursor, FoundEntry, Names, Portion};
pub use batch::Batch;
pub(crate) use dir::sync_dir;
pub use dir::{DataDir, DirError};
pub use error::DiskError;
pub use fault::Fault;
pub use kept::Kept;
pub use load::Loaded;
pub use mark::MARK_BYTES;
pub use medium::{Medium, Room};
pub use reader::{DiskReader, Sifted};
pub use repair::Repaired;
pub use state::{DiskState, Identity};
pub use verify::{Verified, verify};
pub use writer::{Disk, Opening};

#[cfg(test)]
mod tests;
