//! What must hold, one file each. A run ends at the first thing that does not.

pub(crate) mod ahead;
pub(crate) mod audit;
pub(crate) mod bounded;
pub(crate) mod conflicts;
pub(crate) mod convergence;
pub(crate) mod durable;
pub(crate) mod later_wins;
pub(crate) mod origin;
pub(crate) mod resurrection;
pub(crate) mod silent;
pub(crate) mod vector;
pub(crate) mod watch;

use std::fmt;
use std::sync::Arc;

use gaggle::model::{Applied, Change, KeyName, NodeName, Slot, Stamp, Store, WallTime};
use imbl::OrdMap;

/// Something did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// The name of the invariant: that of its file.
    pub(crate) invariant: &'static str,
    /// What was seen.
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

pub(crate) type Held = Result<(), Violation>;

/// What one commit did on one member.
pub(crate) struct Step<'a> {
    pub(crate) host: usize,
    /// What the member's wall clock said.
    pub(crate) wall: WallTime,
    pub(crate) before: &'a Store,
    pub(crate) after: &'a Store,
    pub(crate) applied: &'a [Arc<Applied>],
}

/// What is known of what a disk holds, beside the store itself. It goes with copies of the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Belief {
    /// The greatest deletion of each key, and of each node, that was ever on this disk.
    pub(crate) deleted: OrdMap<Slot, Stamp>,
    /// The same without what a member took in while it knew nobody else: it may collect that at
    /// once, before it meets others that have older values.
    pub(crate) firm: OrdMap<Slot, Stamp>,
    /// The greatest stamp of each key and register that was ever on it.
    pub(crate) newest: OrdMap<Slot, Stamp>,
}

impl Belief {
    /// Takes in what a commit did, after which the store is this.
    pub(crate) fn take(&mut self, applied: &[Arc<Applied>], after: &Store) {
        let firm = knows_others(after);
        for applied in applied {
            self.take_change(&applied.change, firm);
        }
    }

    fn take_change(&mut self, change: &Change, firm: bool) {
        let (slot, Some(stamp)) = (change.slot(), change.stamp()) else {
            return;
        };
        let deletion = match change {
            Change::Key { version, .. } => version.value().is_none().then_some(version.stamp),
            Change::Node { register, .. } => register.cleared,
            Change::Member { .. } => return,
        };
        if let Some(deletion) = deletion {
            raise(&mut self.deleted, &slot, deletion);
            if firm {
                raise(&mut self.firm, &slot, deletion);
            }
        }
        raise(&mut self.newest, &slot, stamp);
    }

    /// What a store shows that was read from a disk of which nothing else is known.
    pub(crate) fn take_store(&mut self, store: &Store) {
        let firm = knows_others(store);
        for (node, at) in store.all_nodes() {
            if let Some(register) = at.register() {
                let (node, register) = (node.clone(), register.clone());
                self.take_change(&Change::Node { node, register }, firm);
            }
            for (key, entry) in at.entries() {
                let (node, key) = (node.clone(), key.clone());
                let version = entry.head.clone();
                self.take_change(&Change::Key { node, key, version }, firm);
            }
        }
    }

    /// The greatest deletion that concerns a key or a node: its own, or its node's.
    pub(crate) fn deletion(&self, slot: &Slot) -> Option<Stamp> {
        deletion(&self.deleted, slot)
    }

    /// The greatest deletion below which nothing may be seen again.
    pub(crate) fn firm(&self, slot: &Slot) -> Option<Stamp> {
        deletion(&self.firm, slot)
    }

    /// The deletions of nodes.
    pub(crate) fn cleared(&self) -> impl Iterator<Item = (&NodeName, Stamp)> {
        self.deleted.iter().filter_map(|(slot, stamp)| match slot {
            Slot::Node(node) => Some((node, *stamp)),
            Slot::Key(..) | Slot::Member(_) => None,
        })
    }
}

fn knows_others(store: &Store) -> bool {
    store.known().count() > 1
}

fn deletion(of: &OrdMap<Slot, Stamp>, slot: &Slot) -> Option<Stamp> {
    let own = of.get(slot);
    let nodes = match slot {
        Slot::Key(node, _) => of.get(&Slot::Node(node.clone())),
        Slot::Node(_) | Slot::Member(_) => None,
    };
    own.max(nodes).copied()
}

fn raise(map: &mut OrdMap<Slot, Stamp>, slot: &Slot, stamp: Stamp) {
    if map.get(slot).is_none_or(|old| *old < stamp) {
        map.insert(slot.clone(), stamp);
    }
}

/// The stamp of the version of a key that readers see in a store, expiry aside.
pub(crate) fn readable(store: &Store, node: &NodeName, key: &KeyName) -> Option<Stamp> {
    let head = &store.entry(node.as_str(), key.as_str())?.head;
    let cleared = store.register(node.as_str()).and_then(|at| at.cleared);
    let shown = head.value().is_some() && cleared.is_none_or(|at| head.stamp > at);
    shown.then_some(head.stamp)
}

/// The stamp that a store has for a slot: of its newest version, or of the register.
pub(crate) fn newest(store: &Store, slot: &Slot) -> Option<Stamp> {
    match slot {
        Slot::Key(node, key) => Some(store.entry(node.as_str(), key.as_str())?.head.stamp),
        Slot::Node(node) => Some(store.register(node.as_str())?.stamp),
        Slot::Member(_) => None,
    }
}
