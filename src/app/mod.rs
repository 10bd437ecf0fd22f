//! What a member can do, whoever asks: one handle, used by every face.
//!
//! Reads take the published store (a pointer) and never wait. Writes go through a bounded queue to
//! the one writer thread ([`writer`]), which decides them in order, makes them durable many at a
//! time, publishes the new store and only then answers.

mod edit;
mod error;
mod health;
mod history;
mod publish;
mod tag;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::io::disk::DiskReader;
use crate::model::{Applied, Change, MemberId, Stamp, TooOld, WallTime};

pub use edit::{Edit, Request};
pub use error::EditError;
pub use health::{Check, Health};
pub use history::DiskHistory;
pub use publish::{Published, View};
pub use tag::{Condition, Tags, key_tag, node_tag, store_tag};
pub use writer::{Limits, Writer, WriterParts};

use writer::Command;

/// A handle to the member's store. Cheap to clone; all clones are the same member.
#[derive(Clone)]
pub struct App {
    published: Arc<Published>,
    queue: mpsc::Sender<Command>,
    disk: DiskReader,
    health: Arc<Health>,
    limits: Limits,
}

/// What became of a write that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whether the node or key was not there before.
    pub created: bool,
    /// The stamp of the last change; none if nothing had to be changed.
    pub stamp: Option<Stamp>,
    /// This member's revision after it.
    pub revision: u64,
}

impl App {
    /// The handle to a writer's store.
    pub fn new(
        published: Arc<Published>,
        queue: mpsc::Sender<Command>,
        disk: DiskReader,
        health: Arc<Health>,
        limits: Limits,
    ) -> Self {
        Self {
            published,
            queue,
            disk,
            health,
            limits,
        }
    }

    /// The store as it is now, with its revision. It does not change while it is held.
    pub fn view(&self) -> Arc<View> {
        self.published.view()
    }

    /// Does an edit; returns when it is durable on this member.
    pub async fn write(&self, request: Request) -> Result<Written, EditError> {
        self.limits.check(&request.edit)?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Edit { request, reply })?;
        answer.await.map_err(|_| EditError::Lost)?
    }

    /// Merges changes that a peer sent; returns when they are durable here. Gives how many of them
    /// were new.
    pub async fn merge(&self, from: MemberId, changes: Vec<Change>) -> Result<usize, EditError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Merge {
            from,
            changes,
            reply,
        })?;
        answer.await.map_err(|_| EditError::Lost)?
    }

    /// Has the writer find out whether the disk takes writes again; the health tells. A full queue
    /// means that it finds out anyway.
    pub fn probe_disk(&self) {
        self.send(Command::Probe).unwrap_or_default();
    }

    fn send(&self, command: Command) -> Result<(), EditError> {
        if self.health.is_stopping() {
            return Err(EditError::Stopping);
        }
        self.queue.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EditError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => EditError::Stopping,
        })
    }

    /// The revision of the last applied change, and a way to wait for the next.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.published.revisions()
    }

    /// The root of the digest, and a way to wait for another.
    pub fn roots(&self) -> watch::Receiver<u128> {
        self.published.roots()
    }

    /// At most `limit` applied changes after revision `since`.
    pub fn changes_after(&self, since: u64, limit: usize) -> Result<Vec<Arc<Applied>>, TooOld> {
        self.published.changes_after(since, limit)
    }

    /// A reader of the older versions on disk. It blocks: for threads that may.
    pub fn disk(&self) -> &DiskReader {
        &self.disk
    }

    /// What is known of this member's health.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The limits on what may be written.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The wall clock by which expiry and writing are judged.
    pub fn now(&self) -> WallTime {
        crate::io::clock::wall()
    }
}
