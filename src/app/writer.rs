//! The one writer: a thread that takes commands from a bounded queue, all that wait at once, and
//! has the ledger commit them. While the disk syncs, the queue fills the next batch: the busier,
//! the larger the batches.

use tokio::sync::mpsc;

use crate::io::clock;
use crate::io::disk::Disk;

use super::command::Command;
use super::ledger::Ledger;

/// The most commands that share one commit.
const BATCH_COMMANDS: usize = 1024;
/// The bytes of values after which a batch takes no more commands.
const BATCH_BYTES: usize = 8 << 20;

/// The writer; [`Writer::run`] it on a thread of its own.
pub struct Writer {
    ledger: Ledger,
    queue: mpsc::Receiver<Command>,
}

/// Ends the process if it is dropped by a panic.
struct EndWithFault;

impl Drop for EndWithFault {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the writer met a fault of this program; the process ends");
            std::process::abort();
        }
    }
}

impl Writer {
    /// A writer that takes its commands from `queue`.
    pub fn new(ledger: Ledger, queue: mpsc::Receiver<Command>) -> Self {
        Self { ledger, queue }
    }

    /// Works until the queue is closed and empty; then gives the disk back.
    ///
    /// A fault of the writer itself ends the process: what is acknowledged is on disk, and nobody
    /// else could take writes.
    pub fn run(mut self) -> Disk {
        let _end = EndWithFault;
        while let Some(first) = self.queue.blocking_recv() {
            let commands = self.gather(first);
            let peers = self.ledger.health().peers_time(clock::mono());
            self.ledger.compare(peers);
            self.ledger.commit(clock::wall(), commands);
        }
        self.ledger.into_disk()
    }

    /// The first command and all that wait behind it, up to the size of a batch.
    fn gather(&mut self, first: Command) -> Vec<Command> {
        let mut bytes = first.size();
        let mut commands = vec![first];
        while commands.len() < BATCH_COMMANDS && bytes < BATCH_BYTES {
            let Ok(next) = self.queue.try_recv() else {
                break;
            };
            bytes += next.size();
            commands.push(next);
        }
        commands
    }
}
