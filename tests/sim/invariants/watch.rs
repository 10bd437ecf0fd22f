//! Watch without a gap: whoever follows a member's feed gets each change in order, or is told that
//! it is too late; and what was followed adds up to what the member's readers see: which keys, each
//! as of which stamp, and which nodes.

use std::collections::{BTreeMap, BTreeSet};

use gaggle::model::{Change, KeyName, NodeName, Stamp, Store};

use super::{Held, Step, Violation};

/// Somebody who has followed a process since its start.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    /// The last revision seen.
    pub(crate) revision: u64,
    nodes: BTreeMap<NodeName, Node>,
}

/// A node as it was followed.
#[derive(Debug, Default)]
struct Node {
    stamp: Option<Stamp>,
    present: bool,
    cleared: Option<Stamp>,
    /// The current version of each key, and whether it is a value.
    keys: BTreeMap<KeyName, (Stamp, bool)>,
}

impl Node {
    fn shown(&self) -> BTreeMap<&KeyName, Stamp> {
        let shown = |(stamp, value): (Stamp, bool)| value && Some(stamp) > self.cleared;
        let keys = self.keys.iter().filter(|(_, at)| shown(**at));
        keys.map(|(key, (stamp, _))| (key, *stamp)).collect()
    }
}

fn broken(what: String) -> Held {
    let invariant = "watch";
    Err(Violation { invariant, what })
}

impl Watcher {
    /// Begins with the state as it is.
    pub(crate) fn of(store: &Store, revision: u64) -> Self {
        let mut nodes = BTreeMap::new();
        for (name, at) in store.all_nodes() {
            let register = at.register();
            let value = |(key, entry): (&KeyName, &gaggle::model::Entry)| {
                let head = &entry.head;
                (key.clone(), (head.stamp, head.value().is_some()))
            };
            let node = Node {
                stamp: register.map(|at| at.stamp),
                present: register.is_some_and(|at| at.settings().is_some()),
                cleared: register.and_then(|at| at.cleared),
                keys: at.entries().map(value).collect(),
            };
            nodes.insert(name.clone(), node);
        }
        Self { revision, nodes }
    }

    /// Follows what a commit applied.
    pub(crate) fn check(&mut self, step: &Step<'_>) -> Held {
        let mut touched = BTreeSet::new();
        for applied in step.applied {
            if applied.revision != self.revision + 1 {
                return broken(format!(
                    "[{}] revision {} follows {}",
                    step.host, applied.revision, self.revision
                ));
            }
            self.revision = applied.revision;
            if applied.current {
                self.follow(&applied.change, step.after);
            }
            if let Change::Key { node, .. } | Change::Node { node, .. } = &applied.change {
                touched.insert(node.clone());
            }
        }
        for name in touched {
            self.check_node(step.host, step.after, &name)?;
        }
        Ok(())
    }

    fn check_node(&self, host: usize, store: &Store, name: &NodeName) -> Held {
        let empty = Node::default();
        let seen = self.nodes.get(name).unwrap_or(&empty);
        let now = Self::of_node(store, name);
        let (shown, wanted) = (seen.shown(), now.shown());
        if shown != wanted || seen.present != now.present {
            let differs = wanted.iter().find(|(key, at)| shown.get(*key) != Some(at));
            let more = shown.iter().find(|(key, _)| !wanted.contains_key(*key));
            return broken(format!(
                "[{host}] shows {name} (present: {}) with {differs:?}, who watched it saw \
                 (present: {}) {more:?}",
                now.present, seen.present
            ));
        }
        Ok(())
    }

    fn of_node(store: &Store, name: &NodeName) -> Node {
        let mut all = Self::default();
        if let Some((name, at)) = store.all_nodes().find(|(other, _)| *other == name) {
            let register = at.register();
            let node = all.nodes.entry(name.clone()).or_default();
            node.present = register.is_some_and(|at| at.settings().is_some());
            node.cleared = register.and_then(|at| at.cleared);
            for (key, entry) in at.entries() {
                let head = &entry.head;
                let seen = (head.stamp, head.value().is_some());
                node.keys.insert(key.clone(), seen);
            }
        }
        all.nodes.remove(name).unwrap_or_default()
    }

    fn follow(&mut self, change: &Change, after: &Store) {
        match change {
            Change::Key { node, key, version } => {
                let at = self.nodes.entry(node.clone()).or_default();
                let seen = (version.stamp, version.value().is_some());
                at.keys.insert(key.clone(), seen);
            }
            Change::Node { node, register } => {
                let at = self.nodes.entry(node.clone()).or_default();
                let now = after.register(node.as_str());
                // It may bring nothing new but a deletion that is remembered; or the state from
                // before one that is no longer remembered.
                let again = now
                    .filter(|now| now.stamp == register.stamp && Some(register.stamp) < at.stamp);
                at.cleared = match again {
                    Some(now) => now.cleared,
                    None => at.cleared.max(register.cleared),
                };
                if Some(register.stamp) >= at.stamp || again.is_some() {
                    at.stamp = Some(register.stamp);
                    at.present = register.settings().is_some();
                }
            }
            Change::Member { .. } => {}
        }
    }

    /// Whether all that was followed is what a store shows.
    pub(crate) fn check_whole(&self, host: usize, store: &Store) -> Held {
        let there = store.all_nodes().map(|(name, _)| name);
        let all: BTreeSet<_> = self.nodes.keys().chain(there).cloned().collect();
        for name in &all {
            self.check_node(host, store, name)?;
        }
        Ok(())
    }
}
