//! How fast the disk is: durable batches, commits of the strong log, and the time to load a store.
//!
//! `cargo bench --bench disk -- [KEYS] [DIRECTORY] [kill]` (default 100000 and a temporary
//! directory). With `kill` the database is left as after a kill; another run on the same directory
//! then tells how long it takes to start again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gaggle::io::clock;
use gaggle::io::disk::{DataDir, Disk, Loaded, Opening};
use gaggle::model::{
    Change, Content, HybridTime, MemberId, NodeName, Stamp, Store, Value, Version, WallTime,
};
use gaggle::strong::engine::LogChange;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let keys: u64 = arguments.next().map_or(Ok(100_000), |word| word.parse())?;
    let temp = tempfile::tempdir()?;
    let path = arguments
        .next()
        .map_or(temp.path().join("data"), PathBuf::from);

    let ((mut disk, loaded), took) = timed(|| open(&path))?;
    let mut store = loaded.store;
    if !loaded.created {
        println!("load of {} keys: {took:?}", store.counts().keys);
        return Ok(());
    }
    let ((), took) = timed(|| fill(&mut disk, &mut store, keys, 1000))?;
    println!("fill: {keys} keys in batches of 1000: {}", rate(keys, took));
    for size in [1, 16, 64, 256] {
        let count = 200;
        let ((), took) = timed(|| update(&mut disk, &mut store, keys, size, count))?;
        println!(
            "durable batches of {size}: {}, {}",
            rate(count, took),
            rate(count * size, took)
        );
    }
    log(&disk)?;
    println!("size: {:?}", disk.room());
    disk.close();
    let ((disk, loaded), took) = timed(|| open(&path))?;
    println!(
        "load after a clean stop: {took:?} ({} keys)",
        loaded.store.counts().keys
    );
    anyhow::ensure!(loaded.store.digest().root() == store.digest().root());
    if arguments.next().is_some() {
        // Leaves the database as a kill would.
        std::process::exit(0);
    }
    disk.close();
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<(Disk, Loaded)> {
    let opening = Opening {
        cluster: "bench".parse()?,
        member: MemberId::from_u64(1),
        now: clock::wall(),
        cache: 32 << 20,
    };
    Ok(Disk::open(&DataDir::open(path, clock::wall())?, &opening)?)
}

fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let start = clock::mono();
    let done = work()?;
    Ok((done, clock::mono().since(start)))
}

fn rate(count: u64, took: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = count as f64 / took.as_secs_f64();
    format!("{rate:.0}/s")
}

fn fill(disk: &mut Disk, store: &mut Store, keys: u64, size: u64) -> anyhow::Result<()> {
    let mut sequence = 0;
    while sequence < keys {
        let numbers = (sequence..keys.min(sequence + size)).map(|number| (number, number + 1));
        commit(disk, store, numbers)?;
        sequence += size;
    }
    Ok(())
}

/// Entries of 200 bytes, in commits of some sizes; and what it takes to read and to drop them.
fn log(disk: &Disk) -> anyhow::Result<()> {
    let log = disk.log_disk();
    let mut next = 1;
    for size in [1, 16, 64] {
        let count = 500;
        let ((), took) = timed(|| {
            for _ in 0..count {
                let append = |index| LogChange::Append {
                    index,
                    entry: vec![7; 200].into(),
                };
                let changes: Vec<LogChange> = (next..next + size).map(append).collect();
                log.commit(&changes)?;
                next += size;
            }
            Ok(())
        })?;
        println!(
            "strong log, {size} entries a commit: {}, {}",
            rate(count, took),
            rate(count * size, took)
        );
    }
    let (kept, took) = timed(|| Ok(log.load()?))?;
    println!("load of the log {:?}: {took:?}", kept.log);
    let (found, took) = timed(|| Ok(log.entries(1, next, usize::MAX)?))?;
    println!("reading {} entries: {took:?}", found.len());
    let (one, took) = timed(|| Ok(log.entries(next - 1, next, 0)?))?;
    println!("reading {} entry: {took:?}", one.len());
    let ((), took) = timed(|| Ok(log.commit(&[LogChange::Purge(next - 100)])?))?;
    println!("dropping all but 99: {took:?}");
    Ok(())
}

fn update(
    disk: &mut Disk,
    store: &mut Store,
    keys: u64,
    size: u64,
    count: u64,
) -> anyhow::Result<()> {
    for batch in 0..count {
        let first = store.counts().older as u64 + keys;
        let numbers = (0..size).map(|i| {
            let number = first + i;
            (
                number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % keys,
                number + batch,
            )
        });
        commit(disk, store, numbers)?;
    }
    Ok(())
}

fn commit(
    disk: &mut Disk,
    store: &mut Store,
    numbers: impl Iterator<Item = (u64, u64)>,
) -> anyhow::Result<()> {
    let node: NodeName = "a-node-of-the-benchmark".parse()?;
    let author: Arc<str> = "admin".into();
    let mut batch = disk.begin()?;
    let mut rows = Vec::new();
    let mut last = 0;
    for (number, sequence) in numbers {
        last = sequence;
        let version = Version {
            stamp: Stamp {
                time: HybridTime::from_bits(sequence),
                member: MemberId::from_u64(1),
                sequence,
            },
            replaces: gaggle::model::Replaces::Nothing,
            author: author.clone(),
            written: WallTime::from_millis(sequence),
            expires: None,
            content: Content::Value(Value::untyped(format!("{sequence:064}").into_bytes())),
        };
        let change = Change::Key {
            node: node.clone(),
            key: format!("key/{number:020}").parse()?,
            version: version.into(),
        };
        store.merge(&change, |node, key| batch.older(node, key), &mut rows)?;
        for row in rows.drain(..) {
            batch.write(&row);
        }
    }
    batch.clock(HybridTime::from_bits(last), last);
    batch.commit()?;
    Ok(())
}
