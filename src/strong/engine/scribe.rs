//! The one who writes: a thread that takes changes from a queue and makes them durable, many with
//! one sync.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::disk::{LogChange, LogDisk, LogDiskError};
use super::world::World;

/// How many sets of changes may wait.
const QUEUE: usize = 256;
/// At most so many bytes go with one sync.
const BATCH_BYTES: usize = 16 << 20;

struct Job {
    changes: Vec<LogChange>,
    done: oneshot::Sender<Result<(), LogDiskError>>,
}

/// The queue of the thread that writes. Changes are made in the order in which they were handed in.
#[derive(Clone, Debug)]
pub(super) struct Scribe(mpsc::Sender<Job>);

impl Scribe {
    /// Starts the thread; it ends when nobody holds the queue any more.
    pub(super) fn start(disk: Arc<dyn LogDisk>, world: &dyn World) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        world.block(Box::new(move || write(disk.as_ref(), queue)));
        Self(jobs)
    }

    /// Makes the changes; when this returns `Ok`, they have reached the disk.
    pub(super) async fn write(&self, changes: Vec<LogChange>) -> Result<(), LogDiskError> {
        self.begin(changes).await.finished().await
    }

    /// Hands the changes in, in their place, and does not wait for the disk.
    pub(super) async fn begin(&self, changes: Vec<LogChange>) -> Writing {
        let (done, finished) = oneshot::channel();
        // If nobody takes it, `done` is dropped, which says so.
        drop(self.0.send(Job { changes, done }).await);
        Writing(finished)
    }
}

/// Changes on their way to the disk.
#[derive(Debug)]
pub(super) struct Writing(oneshot::Receiver<Result<(), LogDiskError>>);

impl Writing {
    /// Completes when they have reached it.
    pub(super) async fn finished(self) -> Result<(), LogDiskError> {
        let gone = || LogDiskError::Failed("nobody writes any more".to_owned());
        self.0.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn write(disk: &dyn LogDisk, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let mut bytes = size(&first.changes);
        let (mut changes, mut done) = (first.changes, vec![first.done]);
        while bytes < BATCH_BYTES
            && let Ok(next) = queue.try_recv()
        {
            bytes += size(&next.changes);
            changes.extend(next.changes);
            done.push(next.done);
        }
        let written = disk.commit(&changes);
        for done in done {
            // Who does not wait any more need not be told.
            let _ = done.send(written.clone());
        }
    }
}

fn size(changes: &[LogChange]) -> usize {
    let bytes = changes.iter().map(|change| match change {
        LogChange::Append { entry: bytes, .. }
        | LogChange::Set(_, bytes)
        | LogChange::Piece { bytes, .. } => bytes.len(),
        LogChange::Truncate(_)
        | LogChange::Purge(_)
        | LogChange::Clear(_)
        | LogChange::DropSnapshot(_)
        | LogChange::Wipe => 0,
    });
    bytes.sum()
}
