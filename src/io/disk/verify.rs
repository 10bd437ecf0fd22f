//! Is a data directory what its member left? Reads everything, changes nothing.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::StorageBackend;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::audit::{Cursor, Portion, Tables};
use super::dir::{in_use, refusal};
use super::fault::{Fault, of_page};
use super::file::Straight;
use super::mark::Mark;
use super::pages::{Commit, Pages, Tree};
use super::rows::META;
use super::state::{About, State, about_in};
use super::{DirError, Identity, engine, rows, state};

/// Bytes that are read in one go.
const PORTION: u64 = 1 << 20;
/// Faults that are kept one by one; more are only counted.
const TOLD: usize = 1000;

/// What was found in a data directory.
#[derive(Debug, Default)]
pub struct Verified {
    /// Whose it is, if that can be read.
    pub identity: Option<Identity>,
    /// Keys, deleted ones included.
    pub entries: u64,
    /// Older versions of keys.
    pub older: u64,
    /// Registers of nodes.
    pub nodes: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is not as it was left, the first thousand of it.
    pub faults: Vec<Fault>,
    /// How much is not as it was left.
    pub fault_count: u64,
}

impl Verified {
    /// Notes faults.
    pub fn note(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.fault_count += 1;
            if self.faults.len() < TOLD {
                self.faults.push(fault);
            }
        }
    }
}

/// Verifies the database in a data directory and the mark beside it. `progress` is told how many
/// bytes of how many were read.
///
/// # Errors
/// When a member runs in it, or it cannot be read at all. Damage is no error but a finding.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, DirError> {
    let _lock = share(dir)?;
    let path = dir.join("gaggle.redb");
    let mark = std::fs::read(dir.join("gaggle.mark")).ok();
    match Straight::open(&path) {
        Ok(file) => Ok(bytes(Arc::new(file), mark.as_deref(), progress)),
        Err(why) if why.kind() == io::ErrorKind::NotFound && mark.is_some() => {
            let mut found = Verified::default();
            let what = "the file is missing, though its mark is there";
            found.note([Fault::new("gaggle.redb", what)]);
            Ok(found)
        }
        Err(why) => Err(refusal(&path, why)),
    }
}

/// Takes part in the lock of a directory, so that no daemon starts in it meanwhile.
fn share(dir: &Path) -> Result<Option<File>, DirError> {
    let path = dir.join("lock");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(refusal(&path, why)),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Err(in_use(dir, &mut file)),
        // Where there are no locks, no daemon runs either.
        _ => Ok(Some(file)),
    }
}

/// Verifies the bytes of a database against themselves and their mark.
pub(super) fn bytes(
    file: Arc<dyn StorageBackend>,
    mark: Option<&[u8]>,
    progress: &mut dyn FnMut(u64, u64),
) -> Verified {
    let mut pages = match Pages::open(file.clone()) {
        Ok(pages) => pages,
        Err(why) => {
            let mut found = Verified::default();
            found.note([Fault::new("gaggle.redb", why.0)]);
            return found;
        }
    };
    let (mut found, state) = newest(&mut pages, progress);
    if found.fault_count == 0
        && let Err(why) = engine::try_open(file)
    {
        found.note([Fault::new("gaggle.redb", why.to_string())]);
    }
    if let (Some(identity), Some(state)) = (&found.identity, state)
        && let Some(mark) = mark.and_then(Mark::from_bytes)
        && let Err(why) = mark.check(identity.member, state.commits)
    {
        found.note([Fault::new("gaggle.mark", why.to_string())]);
    }
    found.bytes = pages.bytes_read();
    found
}

/// The commit to take rows from: the newest, for what it lost is missed and not wrong; but the one
/// before it if hardly anything of the newest can be found.
pub(super) fn best(pages: &mut Pages) -> Option<Commit> {
    let commits = pages.commits();
    let rows = |commit: &Commit| of_commit(pages, *commit, &mut |_, _| {}).0.entries;
    let found: Vec<u64> = commits.iter().map(rows).collect();
    let newest = found.first()?;
    let before = found.get(1).filter(|before| **before / 2 > *newest);
    commits.get(usize::from(before.is_some())).copied()
}

/// Verifies the commit that a start would take: the newest, or after a crash the one before it if
/// the newest is torn.
pub(super) fn newest(
    pages: &mut Pages,
    progress: &mut dyn FnMut(u64, u64),
) -> (Verified, Option<State>) {
    let mut first = None;
    for commit in pages.commits() {
        let found = of_commit(pages, commit, progress);
        if found.0.fault_count == 0 {
            return found;
        }
        first.get_or_insert(found);
        if !pages.is_unclean() {
            break;
        }
    }
    first.unwrap_or_default()
}

fn of_commit(
    pages: &mut Pages,
    commit: Commit,
    progress: &mut dyn FnMut(u64, u64),
) -> (Verified, Option<State>) {
    let mut found = Verified::default();
    let mut faults = Vec::new();
    let tables = Tables::of(pages, commit, &mut faults);
    let meta = tables.meta(pages, &mut faults);
    faults.extend(tables.missing());
    faults.extend(bad_meta(&meta));
    let mut state = None;
    match about_in(&meta) {
        Ok(About::Known {
            identity,
            state: known,
        }) => {
            found.identity = Some(identity);
            state = Some(known);
        }
        Ok(About::Newer(format)) => {
            let what = format!("format {format} is newer than this gaggle");
            faults.push(Fault::new("meta", what));
        }
        Err(why) => faults.push(Fault::new("meta", why.0)),
    }
    let mut root = 0_u128;
    let mut at = Some(Cursor::default());
    while let Some(cursor) = at.take() {
        let portion = tables.portion(pages, &cursor, PORTION);
        root = root.wrapping_add(found.count(&portion));
        faults.extend(portion.faults);
        at = portion.next;
        progress(pages.bytes_read().min(pages.length()), pages.length());
    }
    let standings = tables.standings(pages);
    let hashes = standings.iter().map(|(member, of)| of.hash(*member));
    root = hashes.fold(root, u128::wrapping_add);
    faults.extend(tables.others(pages));
    faults.extend(system(pages, commit));
    let adds_up = |state: State| {
        (state.nodes, state.entries, state.root) == (found.nodes, found.entries, root)
    };
    if faults.is_empty() && !state.is_none_or(adds_up) {
        let what = "rows are missing or old: they do not add up to the last batch";
        faults.push(Fault::new("meta", what));
    }
    found.note(faults);
    (found, state)
}

impl Verified {
    /// Counts what a portion holds; gives what it adds to the root of the digest.
    fn count(&mut self, portion: &Portion) -> u128 {
        self.nodes += portion.nodes.len() as u64;
        self.entries += portion.entries.len() as u64;
        let older = portion.entries.iter().map(|entry| entry.versions.len());
        self.older += older.sum::<usize>() as u64;
        let nodes = portion.nodes.iter().map(|(node, at)| at.hash(node));
        let keys = portion.entries.iter().map(|entry| entry.sum);
        nodes.chain(keys).fold(0, u128::wrapping_add)
    }
}

/// Rows of `meta` that do not check, those that nothing else reads included.
fn bad_meta(meta: &[(Vec<u8>, Vec<u8>)]) -> Vec<Fault> {
    let checked = meta.iter().filter(|(key, _)| key != state::FORMAT_KEY);
    checked
        .filter_map(|(key, value)| {
            let why = rows::payload(META, key, value).err()?;
            Some(Fault {
                key: Some(String::from_utf8_lossy(key).into_owned()),
                ..Fault::new("meta", why.0)
            })
        })
        .collect()
}

/// The engine's own tables: which pages are free, and which will be.
fn system(pages: &mut Pages, commit: Commit) -> Vec<Fault> {
    let mut bad = Vec::new();
    for (_, root) in pages.system(commit, &mut bad) {
        let mut tree = Tree::new(root, None);
        while tree.next(pages, &mut bad).is_some() {}
    }
    bad.iter()
        .map(|fault| of_page("free pages", fault))
        .collect()
}
