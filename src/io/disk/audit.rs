//! Every row as it lies on the disk, and whether it is what was written.
//!
//! One reader serves all who ask: `gaggle verify`, the scrub of a running member, and the rescue
//! of rows from a damaged database. It goes through nodes, then through entries together with
//! their histories (both tables stand in the order of names, so one pass over each is enough), in
//! portions of bounded size; the last key of a portion is where the next one begins. Last comes the
//! log of the strong side (`log_audit`), of which only the soundness is told.
//!
//! What is checked of a row: the page it is in, its own check, its names, its stamp, and the hash
//! of its version computed anew; of an entry also the number and the sum of its versions.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::fault::{Fault, of_page};
use super::log_audit::LogAt;
use super::pages::{Commit, PageFault, Pages, Root, Tree};
use super::rows::{self, BadRow, EntryRow, HELD, MEMBERS, MemberRow, NODES};
use crate::model::{
    Change, KeyName, MemberId, NodeName, NodeRegister, STAMP_BYTES, Stamp, Standing, Version,
};

/// A key as the disk has it.
#[derive(Clone, Debug)]
pub struct FoundEntry {
    /// The node.
    pub node: NodeName,
    /// The key.
    pub key: KeyName,
    /// The current version.
    pub head: Arc<Version>,
    /// The hash of the current version, computed from what was read.
    pub hash: u128,
    /// The sum that the row tells.
    pub sum: u128,
    /// The number of older versions that the row tells.
    pub older: u16,
    /// The older versions that are sound, oldest first.
    pub versions: Vec<Arc<Version>>,
    /// Whether the older versions are as many as the row tells, and add up to its sum.
    pub is_whole: bool,
}

/// Where a portion begins: after which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(At);

#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    Nodes(Option<Vec<u8>>),
    Entries(Option<Vec<u8>>),
    Log(LogAt),
}

impl Default for Cursor {
    /// Before everything.
    fn default() -> Self {
        Self(At::Nodes(None))
    }
}

/// A name of a key with its node.
pub type Names = (NodeName, KeyName);

impl Cursor {
    /// The key that the portion begins after; none at the beginning of the keys, and while it is
    /// about nodes.
    pub fn names(&self) -> Option<Names> {
        match &self.0 {
            At::Entries(Some(key)) => names(key).ok(),
            At::Entries(None) | At::Nodes(_) | At::Log(_) => None,
        }
    }

    /// The node that the portion begins after; none at the beginning, and while it is about keys.
    pub fn node(&self) -> Option<NodeName> {
        match &self.0 {
            At::Nodes(Some(key)) => std::str::from_utf8(key).ok()?.parse().ok(),
            At::Nodes(None) | At::Entries(_) | At::Log(_) => None,
        }
    }

    /// Whether nodes come next.
    pub fn is_in_nodes(&self) -> bool {
        matches!(self.0, At::Nodes(_))
    }

    /// Whether keys come next.
    pub fn is_in_entries(&self) -> bool {
        matches!(self.0, At::Entries(_))
    }
}

/// What a portion of the tables holds.
#[derive(Debug, Default)]
pub struct Portion {
    /// Registers that are sound.
    pub nodes: Vec<(NodeName, Arc<NodeRegister>)>,
    /// Keys whose entry is sound.
    pub entries: Vec<FoundEntry>,
    /// What is not as it was written.
    pub faults: Vec<Fault>,
    /// Rows that were looked at.
    pub rows: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Where the next portion begins; none after the last one.
    pub next: Option<Cursor>,
}

/// The tables of one commit, to be read in portions.
#[derive(Debug)]
pub(super) struct Tables {
    nodes: Option<Root>,
    entries: Option<Root>,
    history: Option<Root>,
    meta: Option<Root>,
    pub(super) log: Option<Root>,
    pub(super) snapshots: Option<Root>,
    /// Tables that this reader knows no rows of.
    others: Vec<(String, Root)>,
}

const KNOWN: [&str; 6] = [
    "nodes",
    "entries",
    "history",
    "meta",
    "raft-log",
    "raft-snapshots",
];

impl Tables {
    /// Finds the tables of a commit.
    pub(super) fn of(pages: &mut Pages, commit: Commit, faults: &mut Vec<Fault>) -> Self {
        let mut bad = Vec::new();
        let all = pages.tables(commit, &mut bad);
        faults.extend(bad.into_iter().map(|fault| of_page("tables", &fault)));
        let named = |name: &str| all.iter().find(|(n, _)| n == name).map(|(_, root)| *root);
        Self {
            nodes: named("nodes"),
            entries: named("entries"),
            history: named("history"),
            meta: named("meta"),
            log: named("raft-log"),
            snapshots: named("raft-snapshots"),
            others: all
                .iter()
                .filter(|(name, _)| !KNOWN.contains(&name.as_str()))
                .cloned()
                .collect(),
        }
    }

    /// The rows of another table, unchecked.
    pub(super) fn rows_of(&self, pages: &mut Pages, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let table = self.others.iter().find(|(other, _)| other == name);
        let mut rows = Rows::new(table.map(|(_, root)| *root), None);
        std::iter::from_fn(|| rows.next(pages, &mut Vec::new())).collect()
    }

    /// The standings of members that are sound.
    pub(super) fn standings(&self, pages: &mut Pages) -> Vec<(MemberId, Arc<Standing>)> {
        let rows = self.rows_of(pages, "members");
        let standing = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let row: MemberRow = rows::decode(MEMBERS, key, value).ok()?;
            Some((rows::member_of(key).ok()?, row.0?))
        };
        rows.iter().filter_map(standing).collect()
    }

    /// The changes that are held aside, as far as they are sound.
    pub(super) fn held(&self, pages: &mut Pages) -> Vec<Change> {
        let rows = self.rows_of(pages, "held");
        let change = |(key, value): &(Vec<u8>, Vec<u8>)| rows::decode(HELD, key, value).ok();
        rows.iter().filter_map(change).collect()
    }

    /// Checks the pages and rows of all other tables.
    pub(super) fn others(&self, pages: &mut Pages) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (name, root) in &self.others {
            let (mut bad, mut rows) = (Vec::new(), Rows::new(Some(*root), None));
            while let Some((key, value)) = rows.next(pages, &mut bad) {
                let why = rows::check_row(name, &key, &value).err();
                faults.extend(why.map(|why| Fault {
                    key: Some(String::from_utf8_lossy(&key).into_owned()),
                    ..Fault::new(name, why.0)
                }));
            }
            faults.extend(bad.iter().map(|fault| of_page(name, fault)));
        }
        faults
    }

    /// Tables that every database has and this one lacks.
    pub(super) fn missing(&self) -> Vec<Fault> {
        let all = [
            ("nodes", &self.nodes),
            ("entries", &self.entries),
            ("history", &self.history),
            ("meta", &self.meta),
        ];
        let missing = all.into_iter().filter(|(_, root)| root.is_none());
        missing
            .map(|(name, _)| Fault::new(name, "the table is missing"))
            .collect()
    }

    /// The rows of `meta`, unchecked.
    pub(super) fn meta(
        &self,
        pages: &mut Pages,
        faults: &mut Vec<Fault>,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Rows::new(self.meta, None);
        let mut bad = Vec::new();
        let all = std::iter::from_fn(|| rows.next(pages, &mut bad)).collect();
        faults.extend(bad.into_iter().map(|fault| of_page("meta", &fault)));
        all
    }

    /// Reads a portion of about `limit` bytes.
    pub(super) fn portion(&self, pages: &mut Pages, from: &Cursor, limit: u64) -> Portion {
        match &from.0 {
            At::Nodes(after) => self.of_nodes(pages, after.clone(), limit),
            At::Entries(after) => self.of_entries(pages, after.clone(), limit),
            At::Log(at) => {
                let (mut portion, next) = self.of_log(pages, at, limit);
                portion.next = next.map(|at| Cursor(At::Log(at)));
                portion
            }
        }
    }

    fn of_nodes(&self, pages: &mut Pages, after: Option<Vec<u8>>, limit: u64) -> Portion {
        let mut portion = Portion::default();
        let mut bad = Vec::new();
        let mut rows = Rows::new(self.nodes, after);
        portion.next = Some(Cursor(At::Entries(None)));
        while let Some((key, value)) = rows.next(pages, &mut bad) {
            portion.count(&key, &value);
            match register(&key, &value) {
                Ok(row) => portion.nodes.push(row),
                Err(why) => {
                    let node = std::str::from_utf8(&key).ok().map(str::to_owned);
                    let fault = Fault::new("nodes", why.0);
                    portion.faults.push(Fault { node, ..fault });
                }
            }
            if portion.bytes >= limit {
                portion.next = Some(Cursor(At::Nodes(Some(key))));
                break;
            }
        }
        portion
            .faults
            .extend(bad.iter().map(|fault| of_page("nodes", fault)));
        portion
    }

    fn of_entries(&self, pages: &mut Pages, after: Option<Vec<u8>>, limit: u64) -> Portion {
        let mut portion = Portion::default();
        let behind = after.as_deref().map(last_version);
        let mut walk = Both {
            entries: Rows::new(self.entries, after),
            history: Rows::new(self.history, behind),
            portion: &mut portion,
            bad_pages: [Vec::new(), Vec::new()],
            lost: BTreeSet::new(),
        };
        let last = walk.run(pages, limit);
        let [entries, history] = walk.bad_pages;
        let of = |table: &'static str| move |fault: &PageFault| of_page(table, fault);
        portion.faults.extend(entries.iter().map(of("entries")));
        portion.faults.extend(history.iter().map(of("history")));
        portion.next = match last {
            Some(key) => Some(Cursor(At::Entries(Some(key)))),
            None => self.log_begins().map(|at| Cursor(At::Log(at))),
        };
        portion
    }
}

/// Entries and their histories, side by side.
struct Both<'a> {
    entries: Rows,
    history: Rows,
    portion: &'a mut Portion,
    bad_pages: [Vec<PageFault>; 2],
    /// Keys whose entry was seen and is damaged, or whose absence was told.
    lost: BTreeSet<Vec<u8>>,
}

impl Both<'_> {
    /// Reads until `limit`; gives the last key, or nothing at the end of the tables.
    fn run(&mut self, pages: &mut Pages, limit: u64) -> Option<Vec<u8>> {
        while let Some((key, value)) = self.entries.next(pages, &mut self.bad_pages[0]) {
            self.portion.count(&key, &value);
            let entry = names(&key).and_then(|names| {
                let row = EntryRow::decode(&key, &value)?;
                Ok((names, row))
            });
            match entry {
                Ok((names, row)) => {
                    self.strays(pages, Some(&key));
                    let found = self.entry(pages, &key, names, row);
                    self.portion.entries.push(found);
                }
                Err(why) => {
                    self.fault("entries", &key, None, &why);
                    self.lost.insert(key.clone());
                    if names(&key).is_err() {
                        continue;
                    }
                }
            }
            if self.portion.bytes >= limit {
                self.strays(pages, Some(&after_versions(&key)));
                return Some(key);
            }
        }
        self.strays(pages, None);
        None
    }

    fn entry(
        &mut self,
        pages: &mut Pages,
        at: &[u8],
        (node, key): Names,
        row: EntryRow,
    ) -> FoundEntry {
        let hash = row.head.hash(&node, &key);
        let (mut sum, mut versions, mut is_sound) = (hash, Vec::new(), true);
        while let Some((row_key, value)) = self.history.peek(pages, &mut self.bad_pages[1]) {
            if entry_of(row_key) != Some(at) {
                break;
            }
            let (row_key, value) = (row_key.to_vec(), value.to_vec());
            self.history.drop_first();
            self.portion.count(&row_key, &value);
            match older(&row_key, &value, &node, &key) {
                Ok((hash, version)) => {
                    sum = sum.wrapping_add(hash);
                    versions.push(version);
                }
                Err(why) => {
                    is_sound = false;
                    self.fault("history", at, stamp_in(&row_key), &why);
                }
            }
        }
        let is_whole = versions.len() == usize::from(row.older) && sum == row.sum;
        if is_sound && !is_whole {
            let why = BadRow("its versions do not add up to what the row tells");
            self.fault("entries", at, None, &why);
        }
        FoundEntry {
            node,
            key,
            head: row.head,
            hash,
            sum: row.sum,
            older: row.older,
            versions,
            is_whole,
        }
    }

    /// Older versions that stand before `before` and belong to no entry.
    fn strays(&mut self, pages: &mut Pages, before: Option<&[u8]>) {
        while let Some((key, value)) = self.history.peek(pages, &mut self.bad_pages[1]) {
            if before.is_some_and(|before| key >= before) {
                break;
            }
            let (key, value) = (key.to_vec(), value.to_vec());
            self.history.drop_first();
            self.portion.count(&key, &value);
            let of = entry_of(&key).unwrap_or(&key).to_vec();
            if self.lost.insert(of.clone()) {
                let why = BadRow("older versions of a key that has no current one");
                self.fault("history", &of, stamp_in(&key), &why);
            }
        }
    }

    fn fault(&mut self, table: &str, at: &[u8], stamp: Option<Stamp>, why: &BadRow) {
        let text = String::from_utf8_lossy(at);
        let (node, key) = match text.split_once('\0') {
            Some((node, key)) => (node.to_owned(), Some(key.to_owned())),
            None => (text.into_owned(), None),
        };
        self.portion.faults.push(Fault {
            node: Some(node),
            key,
            stamp,
            ..Fault::new(table, why.0)
        });
    }
}

/// The rows of a table, one after the other.
pub(super) struct Rows {
    tree: Option<Tree>,
    ready: VecDeque<(Vec<u8>, Vec<u8>)>,
    last: Option<Vec<u8>>,
}

impl Rows {
    pub(super) fn new(root: Option<Root>, after: Option<Vec<u8>>) -> Self {
        Self {
            last: after.clone(),
            tree: root.map(|root| Tree::new(root, after)),
            ready: VecDeque::new(),
        }
    }

    pub(super) fn next(
        &mut self,
        pages: &mut Pages,
        faults: &mut Vec<PageFault>,
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        self.peek(pages, faults)?;
        self.ready.pop_front()
    }

    fn drop_first(&mut self) {
        self.ready.pop_front();
    }

    /// The next row. Rows that stand out of order are left out: only damage makes them, and the
    /// page's checksum tells it.
    fn peek(&mut self, pages: &mut Pages, faults: &mut Vec<PageFault>) -> Option<(&[u8], &[u8])> {
        while self.ready.is_empty() {
            let leaf = self.tree.as_mut()?.next(pages, faults)?;
            for (key, value) in leaf.rows() {
                if self.last.as_deref().is_none_or(|last| last < key) {
                    self.last = Some(key.to_vec());
                    self.ready.push_back((key.to_vec(), value.to_vec()));
                }
            }
        }
        let (key, value) = self.ready.front()?;
        Some((key, value))
    }
}

impl Portion {
    pub(super) fn count(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.bytes += (key.len() + value.len()) as u64;
    }
}

fn names(key: &[u8]) -> Result<Names, BadRow> {
    const NONE: BadRow = BadRow("a name that is none");
    let (node, key) = rows::split_entry_key(key)?;
    let node = node.parse().map_err(|_| NONE)?;
    Ok((node, key.parse().map_err(|_| NONE)?))
}

fn register(key: &[u8], value: &[u8]) -> Result<(NodeName, Arc<NodeRegister>), BadRow> {
    const NONE: BadRow = BadRow("a name that is none");
    let name = std::str::from_utf8(key).map_err(|_| NONE)?;
    let name = name.parse().map_err(|_| NONE)?;
    Ok((name, Arc::new(rows::decode(NODES, key, value)?)))
}

/// An older version, with everything checked that can be.
pub(super) fn older(
    row_key: &[u8],
    value: &[u8],
    node: &NodeName,
    key: &KeyName,
) -> Result<(u128, Arc<Version>), BadRow> {
    let (hash, version) = rows::decode_older(row_key, value)?;
    if version.hash(node, key) == hash {
        Ok((hash, version))
    } else {
        Err(BadRow("an older version with another hash than its own"))
    }
}

/// The key of the entry that a row of the history belongs to.
fn entry_of(key: &[u8]) -> Option<&[u8]> {
    let (entry, stamp) = key.split_at_checked(key.len().checked_sub(STAMP_BYTES + 1)?)?;
    (stamp.first() == Some(&0)).then_some(entry)
}

pub(super) fn stamp_in(key: &[u8]) -> Option<Stamp> {
    key.last_chunk().copied().map(Stamp::from_bytes)
}

/// The greatest key that a row of this entry's history may have.
fn last_version(entry: &[u8]) -> Vec<u8> {
    let mut key = entry.to_vec();
    key.push(0);
    key.extend_from_slice(&[0xff; STAMP_BYTES]);
    key
}

/// A key above all of this entry's history, and below every other's.
fn after_versions(entry: &[u8]) -> Vec<u8> {
    let mut key = entry.to_vec();
    key.push(1);
    key
}
