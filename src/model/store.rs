//! The store: node → key → value, as one value that can be copied by copying a pointer.
//!
//! Everything that arrives goes through [`Store::merge`], whether it was written here or came from
//! a peer; the same changes in any order give the same store and the same digest. What must reach
//! the disk comes out as rows, in order.
//!
//! Invariants: the digest's root is the sum over all entries and registers; `live` of a node is the
//! number of its keys that readers see (expiry aside); a hidden entry is still an entry.

mod collect;
mod held;
mod members;
mod mend;
mod merge;

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use self::held::Held;

use super::{
    Bucket, Digest, Entry, HybridTime, KeyName, MemberId, NodeName, NodeRegister, Older, Settings,
    Stamp, Standing, Version, VersionVector, WallTime,
};

/// The store with its digest and counts. Copies share their structure.
#[derive(Clone, Debug, Default)]
pub struct Store {
    nodes: OrdMap<NodeName, Node>,
    members: OrdMap<MemberId, Arc<Standing>>,
    /// Members whose forgetting is in force.
    forgotten: Arc<BTreeSet<MemberId>>,
    vector: VersionVector,
    horizon: HybridTime,
    held: Held,
    digest: Digest,
    counts: Counts,
}

/// One node: its register, if one was ever seen, and its keys.
#[derive(Clone, Debug, Default)]
pub struct Node {
    register: Option<Arc<NodeRegister>>,
    bucket: Option<Bucket>,
    keys: OrdMap<KeyName, Entry>,
    live: usize,
}

/// What the store holds, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys that readers see.
    pub keys: usize,
    /// Keys with any version: live, deleted and hidden ones.
    pub entries: usize,
    /// Older versions kept on disk.
    pub older: usize,
    /// Bytes in the current values, hidden ones included.
    pub bytes: usize,
    /// Keys with versions that lost against one whose writer did not know them.
    pub conflicts: usize,
}

/// What a merge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// Nothing: it was known, or older than all that is kept.
    Nothing,
    /// Nothing: it was seen before, deleted, and let go.
    Gone,
    /// It joined the history behind the current version.
    History,
    /// It is the current version, or the register's new state.
    Current,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an entry that is new to this store, as read from disk.
    pub fn insert(&mut self, node: &NodeName, key: &KeyName, entry: Entry) {
        self.digest.change(entry.bucket, 0, entry.sum);
        self.counts.entries += 1;
        self.counts.older += usize::from(entry.older);
        self.counts.bytes += entry.head.size();
        self.counts.conflicts += usize::from(entry.losers > 0);
        let at = self.nodes.entry(node.clone()).or_default();
        let live = usize::from(at.shows(&entry.head));
        at.live += live;
        self.counts.keys += live;
        at.keys.insert(key.clone(), entry);
    }

    fn replace(&mut self, node: &NodeName, key: &KeyName, old: &Entry, new: Entry) {
        self.digest.change(new.bucket, old.sum, new.sum);
        self.counts.older = self.counts.older + usize::from(new.older) - usize::from(old.older);
        self.counts.bytes = self.counts.bytes + new.head.size() - old.head.size();
        self.counts.conflicts += usize::from(new.losers > 0);
        self.counts.conflicts -= usize::from(old.losers > 0);
        let Some(at) = self.nodes.get_mut(node) else {
            return;
        };
        let (was, is) = (
            usize::from(at.shows(&old.head)),
            usize::from(at.shows(&new.head)),
        );
        at.live = at.live + is - was;
        self.counts.keys = self.counts.keys + is - was;
        at.keys.insert(key.clone(), new);
    }

    /// Puts a node's register, as read from disk or merged.
    pub fn set_register(&mut self, node: &NodeName, register: Arc<NodeRegister>) {
        let at = self.nodes.entry(node.clone()).or_default();
        let bucket = *at.bucket.get_or_insert_with(|| Bucket::of_node(node));
        let old = at.register.as_ref().map_or(0, |old| old.hash(node));
        self.digest.change(bucket, old, register.hash(node));
        let hidden_more = register.cleared != at.register.as_ref().and_then(|old| old.cleared);
        at.register = Some(register);
        if hidden_more {
            let live = at
                .keys
                .values()
                .filter(|entry| at.shows(&entry.head))
                .count();
            self.counts.keys = self.counts.keys + live - at.live;
            at.live = live;
        }
    }

    /// The current version of a key if readers see it at `now`.
    pub fn get(&self, node: &str, key: &str, now: WallTime) -> Option<&Arc<Version>> {
        let at = self.nodes.get(node)?;
        let head = &at.keys.get(key)?.head;
        (at.shows(head) && head.is_live(now)).then_some(head)
    }

    /// What memory keeps of a key, also a deleted or hidden one.
    pub fn entry(&self, node: &str, key: &str) -> Option<&Entry> {
        self.nodes.get(node)?.keys.get(key)
    }

    /// A node that readers see: present, or with a live key.
    pub fn node(&self, node: &str) -> Option<&Node> {
        self.nodes.get(node).filter(|at| at.is_visible())
    }

    /// The register of a node, also of a deleted one.
    pub fn register(&self, node: &str) -> Option<&Arc<NodeRegister>> {
        self.nodes.get(node)?.register.as_ref()
    }

    /// All nodes that readers see, by name.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeName, &Node)> {
        self.nodes.iter().filter(|(_, at)| at.is_visible())
    }

    /// Every node of which anything is known, also deleted ones, by name.
    pub fn all_nodes(&self) -> impl Iterator<Item = (&NodeName, &Node)> {
        self.nodes.iter()
    }

    /// The digest over everything that is merged. What peers compare is [`Store::root`] and
    /// [`Store::sums`], which know of what is held aside, too.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What it holds, in numbers.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

impl Node {
    /// The register, if one was ever seen.
    pub fn register(&self) -> Option<&Arc<NodeRegister>> {
        self.register.as_ref()
    }

    /// The settings in force: those written, or the defaults.
    pub fn settings(&self) -> Settings {
        self.register
            .as_ref()
            .and_then(|at| at.settings())
            .cloned()
            .unwrap_or_default()
    }

    fn history(&self) -> u16 {
        depth(self.register.as_ref())
    }

    /// The keys that keep more than `depth` versions, with their older ones. What is kept must
    /// depend on what is known alone, not on the order in which it came: so a smaller depth prunes
    /// at once.
    fn beyond<E>(
        &self,
        node: &NodeName,
        depth: usize,
        older: impl Fn(&NodeName, &KeyName) -> Result<Vec<Older>, E>,
    ) -> Result<Vec<(KeyName, Vec<Older>)>, E> {
        let mut pruned = Vec::new();
        for (key, entry) in &self.keys {
            if usize::from(entry.older) + 1 > depth {
                pruned.push((key.clone(), older(node, key)?));
            }
        }
        Ok(pruned)
    }

    /// The number of keys that readers see (expiry aside).
    pub fn live(&self) -> usize {
        self.live
    }

    /// The keys that readers see at `now`, by name.
    pub fn live_keys(&self, now: WallTime) -> impl Iterator<Item = (&KeyName, &Arc<Version>)> {
        let seen = move |entry: &Entry| self.shows(&entry.head) && entry.head.is_live(now);
        self.keys
            .iter()
            .filter(move |(_, entry)| seen(entry))
            .map(|(key, entry)| (key, &entry.head))
    }

    /// Every key with what memory keeps of it, also deleted and hidden ones.
    pub fn entries(&self) -> impl Iterator<Item = (&KeyName, &Entry)> {
        self.keys.iter()
    }

    /// The keys with versions that lost against one whose writer did not know them, by name.
    pub fn conflicts(&self) -> impl Iterator<Item = (&KeyName, &Entry)> {
        self.keys.iter().filter(|(_, entry)| entry.losers > 0)
    }

    /// The bucket of the node's register in the digest, if it has a register.
    pub fn bucket(&self) -> Option<Bucket> {
        self.bucket
    }

    fn cleared(&self) -> Option<Stamp> {
        self.register.as_ref().and_then(|at| at.cleared)
    }

    fn is_visible(&self) -> bool {
        self.live > 0
            || self
                .register
                .as_ref()
                .is_some_and(|at| at.settings().is_some())
    }

    /// Whether a version is a value that no deletion of the node hides.
    fn shows(&self, version: &Version) -> bool {
        version.value().is_some() && self.cleared().is_none_or(|at| version.stamp > at)
    }
}

/// How many versions of a key are kept under a register.
fn depth(register: Option<&Arc<NodeRegister>>) -> u16 {
    let set = register.and_then(|at| at.settings()).map(|set| set.history);
    set.unwrap_or(Settings::default().history).max(1)
}
