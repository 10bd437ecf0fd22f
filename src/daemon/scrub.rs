//! The scrub: everything on disk is read again and again, slowly, and compared with memory and
//! digest; what is damaged is mended.
//!
//! It takes a fiftieth of the time at most: after each portion it rests for 49 times as long as
//! that took. What disagrees is looked at again before it counts, for writes go on meanwhile.
//!
//! What the disk has wrong is written again from memory through the one writer. An older version
//! that cannot be read at all leaves the set of its key: then the digest differs from the peers',
//! and sync brings it again. What cannot be mended so stays reported until a pass finds it no more;
//! it takes no client away, for what is served comes from memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::app::{App, Finding, FindingKind, Look, Place};
use crate::io::clock::{mono, wall};
use crate::io::disk::{Cursor, DiskError};
use crate::io::random;
use crate::io::tasks::Tasks;

/// The health check that tells what the scrub found.
const CHECK: &str = "integrity";
/// Bytes that are looked at in one go.
const PORTION: u64 = 256 << 10;
/// A rest is so many times as long as the work before it.
const REST: u32 = 49;
/// The wait before something that disagrees is looked at again.
const AGAIN: Duration = Duration::from_millis(250);
/// So often it must be found in a row.
const LOOKS: usize = 3;
/// So many findings are named in one message.
const NAMED: usize = 10;

/// Numbers for the metrics, since the start.
#[derive(Debug, Default)]
pub(super) struct ScrubCounters {
    /// Rows looked at.
    pub rows: AtomicU64,
    /// Bytes in them.
    pub bytes: AtomicU64,
    /// Things that were not as they should be.
    pub faults: AtomicU64,
    /// Rows that were written again.
    pub mended: AtomicU64,
    /// Older versions that were left to the peers.
    pub dropped: AtomicU64,
    /// Whole passes.
    pub passes: AtomicU64,
    /// When the last whole pass ended, in seconds since 1970; 0: never.
    pub last_pass: AtomicU64,
}

/// What the scrub works with.
pub(super) struct Scrub {
    pub(super) app: App,
    pub(super) counters: Arc<ScrubCounters>,
    /// The time from one pass to the next.
    pub(super) every: Duration,
    pub(super) tasks: Tasks,
}

/// What became of one pass.
#[derive(Debug, Default)]
struct Pass {
    rows: u64,
    mended: usize,
    /// What is still not as it should be.
    left: Vec<Finding>,
}

impl Scrub {
    /// Scrubs for ever.
    pub(super) async fn run(self) {
        let health = self.app.health();
        health.warn(CHECK, true, "checked at the start; no scrub has ended yet");
        loop {
            // Members that were started together do not scrub together.
            let earlier = u32::try_from(random::seed() % 100).unwrap_or_default();
            let part = 1.0 - f64::from(earlier) / 1000.0;
            tokio::time::sleep(self.every.mul_f64(part)).await;
            match self.pass().await {
                Ok(pass) => self.report(&pass),
                Err(DiskError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "the scrub cannot read the disk");
                    let detail = format!("the scrub cannot read the disk: {error}");
                    self.app.health().warn(CHECK, false, detail);
                }
            }
        }
    }

    async fn pass(&self) -> Result<Pass, DiskError> {
        let mut pass = Pass::default();
        let mut at = Some(Cursor::default());
        while let Some(cursor) = at.take() {
            let began = mono();
            let look = self.settled(&cursor).await?;
            self.count(&look);
            pass.rows += look.rows;
            at.clone_from(&look.next);
            if !look.findings.is_empty() {
                self.mend(&cursor, look, &mut pass).await?;
            }
            let took = mono().since(began);
            tokio::time::sleep(took.saturating_mul(REST)).await;
        }
        pass.left.extend(self.recount().await);
        Ok(pass)
    }

    fn count(&self, look: &Look) {
        self.counters.rows.fetch_add(look.rows, Ordering::Relaxed);
        self.counters.bytes.fetch_add(look.bytes, Ordering::Relaxed);
    }

    /// A look, in which only what was found again and again is left.
    async fn settled(&self, cursor: &Cursor) -> Result<Look, DiskError> {
        let mut look = self.look(cursor).await?;
        for _ in 1..LOOKS {
            if look.findings.is_empty() {
                break;
            }
            tokio::time::sleep(AGAIN).await;
            let again = self.look(cursor).await?;
            let both: BTreeSet<Finding> = look
                .findings
                .intersection(&again.findings)
                .cloned()
                .collect();
            look = Look {
                findings: both,
                ..again
            };
        }
        Ok(look)
    }

    async fn look(&self, cursor: &Cursor) -> Result<Look, DiskError> {
        let (app, cursor) = (self.app.clone(), cursor.clone());
        let look = self
            .tasks
            .blocking(move || app.look(&cursor, PORTION))
            .await;
        look.unwrap_or(Err(DiskError::Closed))
    }

    /// Has what was found written again, and looks whether that helped.
    async fn mend(&self, cursor: &Cursor, look: Look, pass: &mut Pass) -> Result<(), DiskError> {
        let found = u64::try_from(look.findings.len()).unwrap_or(u64::MAX);
        self.counters.faults.fetch_add(found, Ordering::Relaxed);
        let places = to_mend(&look);
        let is_memory = |finding: &Finding| finding.kind == FindingKind::Memory;
        if places.is_empty() || look.findings.iter().any(is_memory) {
            pass.left.extend(look.findings);
            return Ok(());
        }
        let mended = match self.app.mend(places).await {
            Ok(mended) => mended,
            Err(error) => {
                tracing::warn!(%error, "damaged rows could not be written again");
                pass.left.extend(look.findings);
                return Ok(());
            }
        };
        let left = self.settled(cursor).await?.findings;
        let is_left = |finding: &&Finding| left.contains(*finding);
        let gone: Vec<&Finding> = look.findings.iter().filter(|f| !is_left(f)).collect();
        pass.mended += mended.written;
        let add = |to: &AtomicU64, count: usize| to.fetch_add(count as u64, Ordering::Relaxed);
        add(&self.counters.mended, mended.written);
        add(&self.counters.dropped, mended.dropped);
        if !gone.is_empty() {
            tracing::error!(
                found = named(gone),
                written_again = mended.written,
                from_other_members = mended.dropped,
                "the disk held something else than this member wrote, and is mended: what memory \
                 knows was written again, older versions that were damaged come from the other \
                 members. Nothing wrong was served; look after the disk",
            );
        }
        pass.left.extend(left);
        Ok(())
    }

    /// Whether the digest is the sum of what memory holds.
    async fn recount(&self) -> Option<Finding> {
        let view = self.app.view();
        let (sum, root) = self
            .tasks
            .blocking(move || (view.store.recounted_root(), view.store.digest().root()))
            .await?;
        (sum != root).then(|| Finding {
            place: None,
            kind: FindingKind::Memory,
            what: "digest: it is not the sum of what memory holds".to_owned(),
        })
    }

    fn report(&self, pass: &Pass) {
        let now = wall();
        self.counters.passes.fetch_add(1, Ordering::Relaxed);
        let seconds = now.millis() / 1000;
        self.counters.last_pass.store(seconds, Ordering::Relaxed);
        let health = self.app.health();
        if pass.left.is_empty() {
            let rows = pass.rows;
            tracing::debug!(rows, mended = pass.mended, "scrubbed: all is sound");
            let mended = match pass.mended {
                0 => String::new(),
                count => format!(", {count} of them written again because the disk was damaged"),
            };
            return health.warn(
                CHECK,
                true,
                format!("{rows} rows are sound at {now}{mended}"),
            );
        }
        let all = named(&pass.left);
        if pass
            .left
            .iter()
            .any(|finding| finding.kind == FindingKind::Memory)
        {
            tracing::error!(
                found = all,
                "this member's memory is not what it wrote: restart it; its disk is read anew. \
                 Look after the memory of this host",
            );
            return health.warn(CHECK, false, format!("memory is damaged, restart: {all}"));
        }
        tracing::error!(
            found = all,
            "the disk holds damage that cannot be mended while the member runs: restart it with \
             --repair. What it serves comes from memory and is sound",
        );
        health.warn(CHECK, false, format!("restart with --repair: {all}"));
    }
}

/// What is to be written again: what was found, or everything around a damaged page.
fn to_mend(look: &Look) -> Vec<Place> {
    let is_disk = |finding: &&Finding| finding.kind == FindingKind::Disk;
    let found: Vec<&Finding> = look.findings.iter().filter(is_disk).collect();
    if found.iter().any(|finding| finding.place.is_none()) {
        return look.places.clone();
    }
    let places: BTreeSet<Place> = found
        .into_iter()
        .filter_map(|finding| finding.place.clone())
        .collect();
    places.into_iter().collect()
}

/// The first findings in words.
fn named<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> String {
    let all: Vec<&str> = findings.into_iter().map(|f| f.what.as_str()).collect();
    let (first, rest) = all.split_at(all.len().min(NAMED));
    match rest.len() {
        0 => first.join("; "),
        count => format!("{}; and {count} more", first.join("; ")),
    }
}
