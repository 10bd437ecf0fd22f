//! Opens the store: the data directory, the database, the writer and the handle.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::app::{App, Health, Ledger, LedgerParts, Limits, Published, Writer};
use crate::config::{Config, Repair};
use crate::io::disk::{DataDir, Disk, DiskState, Identity, Loaded, Opening, Repaired, sync_dir};
use crate::io::snapshot::SnapshotFile;
use crate::io::tasks::Tasks;
use crate::io::{clock, random};
use crate::model::{HybridClock, MemberId};
use crate::protocol::membership::Generation;
use crate::strong::engine::LogDisk;

use super::DaemonError;

/// How many commands may wait for the writer; more are refused as overload.
const QUEUE: usize = 4096;
/// The file of the greatest generation that others were told.
const GENERATION: &str = "generation";
/// The file of who is away, and for how long.
const ABSENCES: &str = "absences.json";
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
    /// The member whose damaged database was repaired, under a new id.
    pub(super) was: Option<MemberId>,
    /// Whether the database was made just now.
    pub(super) created: bool,
    /// The log of the strong side, in the same database.
    pub(super) log: Arc<dyn LogDisk>,
    /// The readable copy.
    pub(super) file: SharedFile,
    /// The writer; it ends when the last handle is gone, and closes the database.
    pub(super) writer: JoinHandle<()>,
}

/// Has a disk that was full tried again and again, so that the member is ready by itself when there
/// is room; and one that failed once, for the strong side may have found that out, and nobody who
/// writes to the store asks.
pub(super) async fn keep_disk(app: App) {
    let mut is_fenced = false;
    loop {
        tokio::time::sleep(PROBE).await;
        match app.disk().state() {
            DiskState::Full => app.probe_disk(),
            DiskState::Fenced(_) if !is_fenced => {
                is_fenced = true;
                app.probe_disk();
            }
            DiskState::Fenced(_) | DiskState::Ok => {}
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
        let (dir, number) = (dir.clone(), told.borrow_and_update().number());
        // A slow disk must not hold up anybody else.
        let keep = move || keep_generation(&dir, number);
        let _ = Tasks::new().blocking(keep).await;
    }
}

/// Keeps a generation, so that the next start goes on above it even if the clock was set back.
pub(super) fn keep_generation(dir: &DataDir, number: u64) {
    keep(dir, GENERATION, &number.to_string());
}

/// Puts a small file in the place of the one before it; one that cannot be written is a warning.
fn keep(dir: &DataDir, name: &str, text: &str) {
    let (path, new) = (
        dir.path().join(name),
        dir.path().join(format!("{name}.new")),
    );
    let kept = File::create(&new)
        .and_then(|mut file| {
            writeln!(file, "{text}")?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(new, path))
        .and_then(|()| sync_dir(dir.path()));
    if let Err(error) = kept {
        tracing::warn!(%error, "the file {name} could not be kept");
    }
}

/// Who is away, and for how many seconds: a member may be started again more often than another may
/// be away.
pub(super) fn keep_absences(dir: &DataDir, away: &BTreeMap<MemberId, Duration>) {
    let seconds: BTreeMap<_, _> = away
        .iter()
        .map(|(member, long)| (member, long.as_secs()))
        .collect();
    let text = serde_json::to_string(&seconds).unwrap_or_default();
    keep(dir, ABSENCES, &text);
}

/// What was kept last; nobody if nothing was, or nothing that reads.
pub(super) fn kept_absences(dir: &DataDir) -> BTreeMap<MemberId, Duration> {
    let text = std::fs::read_to_string(dir.path().join(ABSENCES)).unwrap_or_default();
    let seconds: BTreeMap<MemberId, u64> = serde_json::from_str(&text).unwrap_or_default();
    let long = |(member, seconds)| (member, Duration::from_secs(seconds));
    seconds.into_iter().map(long).collect()
}

/// The generation that was kept last; zero if none was.
fn kept_generation(dir: &DataDir) -> u64 {
    let text = std::fs::read_to_string(dir.path().join(GENERATION)).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// Opens the database; one that is damaged is repaired if that was asked for. Then the member that
/// it belonged to is told, too.
fn open_disk(
    dir: &DataDir,
    opening: &Opening,
    repair: Repair,
) -> Result<(Disk, Loaded, Option<MemberId>), DaemonError> {
    if repair == Repair::Never {
        let (disk, loaded) = Disk::open(dir, opening)?;
        return Ok((disk, loaded, None));
    }
    let (disk, loaded, repaired) = Disk::open_or_repair(dir, opening)?;
    if let Some(repaired) = &repaired {
        tell(repaired, loaded.identity.member);
    } else {
        tracing::info!("the database is sound: there is nothing to repair");
    }
    Ok((disk, loaded, repaired.and_then(|repaired| repaired.was)))
}

fn tell(repaired: &Repaired, member: MemberId) {
    let path = |path: &Option<PathBuf>| {
        let shown = path.as_ref().map(|path| path.display().to_string());
        shown.unwrap_or_else(|| "none".to_owned())
    };
    tracing::warn!(
        why = repaired.why, damaged = repaired.damaged, keys = repaired.keys,
        older_versions = repaired.older, nodes = repaired.nodes,
        set_aside = path(&repaired.aside), readable_copy = path(&repaired.copy),
        %member, was = repaired.was.map(|was| was.to_string()),
        "the database was damaged and is repaired: what was sound was taken over under a new \
         member id, the rest comes from the other members by itself; keys that no other member \
         has are missing, see the files that were set aside",
    );
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
    let (disk, loaded, was) = open_disk(&dir, &opening, config.repair)?;
    let identity = loaded.identity;
    let (reader, log) = (disk.reader(), disk.log_disk());
    let published = Arc::new(Published::new(loaded.store.clone(), identity.member));
    let health = Arc::new(Health::default());
    health.set("disk", true, "writes are durable");
    let limits = Limits {
        name_bytes: config.limits.name_bytes,
        value_bytes: config.limits.value_bytes,
        keys: config.limits.keys,
    };
    let (time, sequence) = loaded.clock;
    let parts = LedgerParts {
        disk,
        store: loaded.store,
        gap: loaded.gap,
        clock: HybridClock::new(identity.member, time, sequence, config.max_clock_skew),
        published: published.clone(),
        health: health.clone(),
        limits,
    };
    let (queue, commands) = mpsc::channel(QUEUE);
    let writer = Writer::new(Ledger::new(parts), commands);
    let writer =
        Tasks::thread("writer", move || writer.run().close()).map_err(DaemonError::Thread)?;
    let app = App::new(published, queue, reader, health, limits).in_cluster(&config.cluster);
    let created = loaded.created;
    let generation = loaded.generation.max(kept_generation(&dir) + 1);
    if generation > loaded.generation {
        // The database does not know of it, and the next start must go above it.
        keep_generation(&dir, generation);
    }
    let file = Arc::new(Mutex::new(SnapshotFile::open(dir.path())));
    Ok(OpenStore {
        app,
        dir,
        identity,
        generation,
        was,
        created,
        log,
        file,
        writer,
    })
}
