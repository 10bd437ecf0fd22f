//! What is left of a damaged database, brought into a new one.
//!
//! Every row that still checks is taken over with its stamp, under a new member id: the old one
//! gave stamps that may be lost, and must not give them again. What was lost comes from the peers
//! by sync. A key whose current version is damaged is left out with its history, for an older
//! version would pass for the current one.
//!
//! Nothing is taken over of the strong side's log, votes and snapshots: a voter that may have lost
//! a part of them must not vote under its old id, and under the new one they mean nothing.
//!
//! The damaged file stays under a dated name. At every moment of the repair `gaggle.redb` is the
//! old file or the new one, whole, and the mark fits to the new one alone: so a crash leaves a
//! directory that is refused as before, or repaired.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::StorageBackend;

use super::aside::{free, rename_if_there};
use super::audit::{Cursor, Portion, Tables};
use super::dir::{refusal, sync_dir};
use super::file::{FileMedium, Straight};
use super::mark::Mark;
use super::medium::Medium;
use super::pages::Pages;
use super::state::{About, about_in};
use super::{DataDir, Disk, DiskError, Identity, Loaded, Opening, verify};
use crate::io::snapshot::compact_date;
use crate::model::{Change, HybridTime, MemberId, Store};

/// Bytes that are taken over in one batch.
const PORTION: u64 = 1 << 20;

/// What a repair came to.
#[derive(Clone, Debug, Default)]
pub struct Repaired {
    /// What was wrong with the database.
    pub why: String,
    /// Where the damaged file is now; none if there was no file.
    pub aside: Option<PathBuf>,
    /// Where the readable copy is now that was beside it.
    pub copy: Option<PathBuf>,
    /// The member that it belonged to, if that could be read.
    pub was: Option<MemberId>,
    /// Keys that were taken over, deleted ones included.
    pub keys: u64,
    /// Older versions that were taken over.
    pub older: u64,
    /// Registers of nodes that were taken over.
    pub nodes: u64,
    /// Pages and rows that were damaged.
    pub damaged: u64,
}

impl Disk {
    /// As [`Disk::open`]; but a database that is damaged is set aside, and what is sound of it is
    /// taken over into a new one, under the id of `opening`. Says what was done if that was
    /// necessary.
    ///
    /// # Errors
    /// As [`Disk::open`], for whatever else is wrong; nothing was changed then.
    pub fn open_or_repair(
        dir: &DataDir,
        opening: &Opening,
    ) -> Result<(Self, Loaded, Option<Repaired>), DiskError> {
        let why = match Self::open(dir, opening) {
            Ok((disk, loaded)) => return Ok((disk, loaded, None)),
            Err(why @ (DiskError::Corrupt { .. } | DiskError::Io { .. })) => why,
            Err(other) => return Err(other),
        };
        let why = match why {
            DiskError::Corrupt { what, .. } => what,
            other => other.to_string(),
        };
        let repaired = Repaired {
            why,
            ..repair(dir, opening)?
        };
        let (disk, loaded) = Self::open(dir, opening)?;
        Ok((disk, loaded, Some(repaired)))
    }
}

fn repair(dir: &DataDir, opening: &Opening) -> Result<Repaired, DiskError> {
    let medium = Arc::new(FileMedium::making(dir.clone()));
    let old: Option<Arc<dyn StorageBackend>> = match Straight::open(&dir.database()) {
        Ok(file) => Some(Arc::new(file)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => None,
        Err(why) => return Err(refusal(&dir.database(), why).into()),
    };
    let mut repaired = into_new(medium.clone(), old.clone(), opening)?;
    let date = compact_date(opening.now);
    let aside = |name: &str| free(&dir.path().join(format!("{name}.damaged-{date}")));
    let exchange = || -> io::Result<Repaired> {
        if old.is_some() {
            let to = aside("gaggle.redb");
            keep(&dir.database(), &to)?;
            repaired.aside = Some(to);
        }
        if dir.snapshot().exists() {
            let to = aside("store.json");
            std::fs::rename(dir.snapshot(), &to)?;
            repaired.copy = Some(to);
        }
        let sum = dir.path().join("store.json.sum");
        rename_if_there(&sum, &aside("store.json.sum"))?;
        let mark = Mark {
            member: opening.member,
            commits: 0,
        };
        write(&dir.path().join("gaggle.mark"), &mark.to_bytes())?;
        sync_dir(dir.path())?;
        Ok(repaired)
    };
    let repaired = exchange().map_err(|why| refusal(dir.path(), why))?;
    medium.install()?;
    Ok(repaired)
}

/// Gives a file a second name; a file system that knows none gets a copy.
fn keep(from: &Path, to: &Path) -> io::Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to)?;
    std::fs::File::open(to)?.sync_all()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("mark.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(new, path)
}

/// Makes a new database on `medium` with everything in it that is sound in `old`, and closes it.
pub(super) fn into_new(
    medium: Arc<dyn Medium>,
    old: Option<Arc<dyn StorageBackend>>,
    opening: &Opening,
) -> Result<Repaired, DiskError> {
    let mut new = Rescue {
        disk: Disk::make_on(medium, opening)?,
        store: Store::new(),
        newest: HybridTime::default(),
        repaired: Repaired::default(),
    };
    // A file whose header is gone has nothing that could be found.
    if let Some(mut pages) = old.and_then(|old| Pages::open(old).ok()) {
        new.take(&mut pages, opening)?;
    }
    let Rescue { disk, repaired, .. } = new;
    disk.close();
    Ok(repaired)
}

/// A new database that takes over what is sound.
struct Rescue {
    disk: Disk,
    store: Store,
    newest: HybridTime,
    repaired: Repaired,
}

impl Rescue {
    fn take(&mut self, pages: &mut Pages, opening: &Opening) -> Result<(), DiskError> {
        let Some(commit) = verify::best(pages) else {
            return Ok(());
        };
        let mut faults = Vec::new();
        let tables = Tables::of(pages, commit, &mut faults);
        let meta = tables.meta(pages, &mut faults);
        if let Ok(About::Known { identity, state }) = about_in(&meta) {
            self.is_ours(&identity, opening)?;
            self.newest = self.newest.max(state.time);
        }
        self.repaired.damaged += faults.len() as u64;
        let mut at = Some(Cursor::default());
        while let Some(cursor) = at.take() {
            let portion = tables.portion(pages, &cursor, PORTION);
            self.merge(&portion)?;
            at = portion.next;
        }
        self.repaired.damaged += tables.others(pages).len() as u64;
        self.others(&tables, pages)
    }

    /// Who belongs to the cluster, and what is held aside. Not how much of each member's writes is
    /// included: some of them were lost, and must be taken again.
    fn others(&mut self, tables: &Tables, pages: &mut Pages) -> Result<(), DiskError> {
        let mut batch = self.disk.begin()?;
        let mut rows = Vec::new();
        for (member, standing) in tables.standings(pages) {
            let change = Change::Member { member, standing };
            let older = |node: &_, key: &_| batch.older(node, key);
            self.store.merge(&change, older, &mut rows)?;
        }
        for change in tables.held(pages) {
            self.store.hold(&change, &mut rows);
        }
        rows.drain(..).for_each(|row| batch.write(&row));
        batch.commit()
    }

    fn is_ours(&mut self, identity: &Identity, opening: &Opening) -> Result<(), DiskError> {
        self.repaired.was = Some(identity.member);
        if identity.cluster == opening.cluster {
            return Ok(());
        }
        Err(DiskError::OtherCluster {
            has: identity.cluster.clone(),
            asked: opening.cluster.clone(),
        })
    }

    fn merge(&mut self, portion: &Portion) -> Result<(), DiskError> {
        self.repaired.damaged += portion.faults.len() as u64;
        self.repaired.nodes += portion.nodes.len() as u64;
        self.repaired.keys += portion.entries.len() as u64;
        let mut batch = self.disk.begin()?;
        let mut rows = Vec::new();
        for change in changes(portion) {
            let older = |node: &_, key: &_| batch.older(node, key);
            self.store.merge(&change, older, &mut rows)?;
            rows.drain(..).for_each(|row| batch.write(&row));
            let time = change.stamp().map(|stamp| stamp.time);
            self.newest = self.newest.max(time.unwrap_or_default());
        }
        batch.clock(self.newest, 0);
        batch.commit()?;
        self.repaired.older = self.store.counts().older as u64;
        Ok(())
    }
}

/// Everything sound in a portion, as changes; the versions of a key in their order.
fn changes(portion: &Portion) -> Vec<Change> {
    let nodes = portion.nodes.iter().map(|(node, register)| Change::Node {
        node: node.clone(),
        register: register.clone(),
    });
    let keys = portion.entries.iter().flat_map(|found| {
        let versions = found.versions.iter().chain([&found.head]);
        versions.map(|version| Change::Key {
            node: found.node.clone(),
            key: found.key.clone(),
            version: version.clone(),
        })
    });
    nodes.chain(keys).collect()
}
