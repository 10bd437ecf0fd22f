//! Opens the store: the data directory, the database, the writer and the handle.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::app::{App, Health, Limits, Published, Writer, WriterParts};
use crate::config::Config;
use crate::io::disk::{DataDir, Disk, DiskState, Identity, Opening};
use crate::io::snapshot::SnapshotFile;
use crate::io::tasks::Tasks;
use crate::io::{clock, random};
use crate::model::{HybridClock, MemberId};
use crate::protocol::membership::Generation;

use super::DaemonError;

/// How many commands may wait for the writer; more are refused as overload.
const QUEUE: usize = 4096;
/// The file of the greatest generation that others were told.
const GENERATION: &str = "generation";
/// How often a full disk is tried.
const PROBE: Duration = Duration::from_secs(1);
/// Memory for pages of the database.
const CACHE_BYTES: usize = 64 << 20;

/// The readable copy, shared with the task that keeps it up to date.
pub(super) type SharedFile = Arc<Mutex<SnapshotFile>>;

/// The open store.
pub(super) struct OpenStore {
    /// The handle for everybody.
    pub(super) app: App,
    /// The lock on the data directory and the way to its files.
    pub(super) dir: DataDir,
    /// Who this member is.
    pub(super) identity: Identity,
    /// A number greater than at every earlier start.
    pub(super) generation: u64,
    /// Whether the database was made just now.
    pub(super) created: bool,
    /// The readable copy.
    pub(super) file: SharedFile,
    /// The writer; it ends when the last handle is gone, and closes the database.
    pub(super) writer: JoinHandle<()>,
}

/// Has a disk that was full tried again and again, so that the member is ready by itself when there
/// is room.
pub(super) async fn keep_disk(app: App) {
    loop {
        tokio::time::sleep(PROBE).await;
        if app.disk().state() == DiskState::Full {
            app.probe_disk();
        }
    }
}

/// Opens the store on a thread that may block, however long it takes.
pub(super) async fn load(config: &Config) -> Result<OpenStore, DaemonError> {
    let config = config.clone();
    let opened = Tasks::new().blocking(move || open(&config)).await;
    let ended = || std::io::Error::other("the thread that opens the store ended");
    opened.unwrap_or_else(|| Err(DaemonError::Thread(ended())))
}

/// Keeps the greatest generation that this member told others, as it grows.
pub(super) async fn keep_generations(dir: DataDir, mut told: watch::Receiver<Generation>) {
    while told.changed().await.is_ok() {
        let number = told.borrow_and_update().number();
        keep_generation(&dir, number);
    }
}

/// Keeps a generation, so that the next start goes on above it even if the clock was set back.
pub(super) fn keep_generation(dir: &DataDir, number: u64) {
    let (path, new) = (
        dir.path().join(GENERATION),
        dir.path().join("generation.new"),
    );
    let kept =
        std::fs::write(&new, format!("{number}\n")).and_then(|()| std::fs::rename(new, path));
    if let Err(error) = kept {
        tracing::warn!(%error, "the member's generation could not be kept");
    }
}

/// The generation that was kept last; zero if none was.
fn kept_generation(dir: &DataDir) -> u64 {
    let text = std::fs::read_to_string(dir.path().join(GENERATION)).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// Locks the data directory, loads the database and starts the writer.
fn open(config: &Config) -> Result<OpenStore, DaemonError> {
    let now = clock::wall();
    let dir = DataDir::open(config.data.path(), now)?;
    let opening = Opening {
        cluster: config.cluster.clone(),
        member: MemberId::from_u64(random::seed()),
        now,
        cache: CACHE_BYTES,
    };
    let (disk, loaded) = Disk::open(&dir, &opening)?;
    let identity = loaded.identity;
    let reader = disk.reader();
    let published = Arc::new(Published::new(loaded.store.clone()));
    let health = Arc::new(Health::default());
    health.set("disk", true, "writes are durable");
    let limits = Limits {
        name_bytes: config.limits.name_bytes,
        value_bytes: config.limits.value_bytes,
        keys: config.limits.keys,
    };
    let (time, sequence) = loaded.clock;
    let parts = WriterParts {
        disk,
        store: loaded.store,
        clock: HybridClock::new(identity.member, time, sequence, config.max_clock_skew),
        published: published.clone(),
        health: health.clone(),
        limits,
    };
    let (queue, commands) = mpsc::channel(QUEUE);
    let writer = Writer::new(parts, commands);
    let writer =
        Tasks::thread("writer", move || writer.run().close()).map_err(DaemonError::Thread)?;
    let app = App::new(published, queue, reader, health, limits);
    let created = loaded.created;
    let generation = loaded.generation.max(kept_generation(&dir) + 1);
    let file = Arc::new(Mutex::new(SnapshotFile::open(dir.path())));
    Ok(OpenStore {
        app,
        dir,
        identity,
        generation,
        created,
        file,
        writer,
    })
}
