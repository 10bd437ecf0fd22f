//! Collecting tombstones, once every known member has them.
//!
//! A tombstone must outlive every copy of what it deleted. A member's *watermark* is the time up to
//! which it includes the writes of all known members; the least watermark of all known members is
//! the *stable time*: whatever was written up to it is everywhere, and whatever comes later has a
//! greater stamp. A tombstone at or below the stable time can go, and with it everything that it
//! stands above; what it hid can come from nowhere.
//!
//! What comes late all the same (a copy that was on its way, a member that was never heard of)
//! meets the version vector: a version that the vector covers and that is not here was let go.
//!
//! Reading: Wuu and Bernstein, "Efficient Solutions to the Replicated Log and Dictionary Problems"
//! (1984), for collecting what everybody is known to know; Baquero et al., "Pure Operation-Based
//! Replicated Data Types" (2017), for causal stability.

use super::{Node, Store};
use crate::model::{Entry, HybridTime, KeyName, NodeName, NodeState, Older, Row, Slot};

impl Store {
    /// The time up to which deleted things were collected here.
    pub fn horizon(&self) -> HybridTime {
        self.horizon
    }

    /// Sets the horizon, as read from disk or as reached; it only grows.
    pub fn set_horizon(&mut self, horizon: HybridTime) {
        self.horizon = self.horizon.max(horizon);
    }

    /// At most `limit` deleted keys and nodes at or below a time, to be let go once that time is
    /// stable. Keys in conflict stay: nothing is lost in silence.
    pub fn dead(&self, until: HybridTime, limit: usize) -> Vec<Slot> {
        let mut dead = Vec::new();
        for (name, node) in &self.nodes {
            if node.keys.len() > node.live {
                let keys = node
                    .keys
                    .iter()
                    .filter(|(_, entry)| node.is_dead(entry, until));
                let slots = keys.map(|(key, _)| Slot::Key(name.clone(), key.clone()));
                dead.extend(slots.take(limit - dead.len()));
            } else if node.keys.is_empty() && node.is_gone(until) {
                dead.push(Slot::Node(name.clone()));
            }
            if dead.len() >= limit {
                break;
            }
        }
        dead
    }

    /// The least time of what is deleted and not collected yet.
    pub fn first_dead(&self) -> Option<HybridTime> {
        let last = HybridTime::from_bits(u64::MAX);
        let mut first: Option<HybridTime> = None;
        let mut see = |time: HybridTime| first = Some(first.map_or(time, |at| at.min(time)));
        for (_, node) in &self.nodes {
            if node.keys.len() > node.live {
                let dead = node.keys.values().filter_map(|entry| node.dead_at(entry));
                dead.for_each(&mut see);
            }
            if let Some(register) = node.register.as_ref().filter(|_| node.is_gone(last)) {
                see(register.stamp.time);
            }
        }
        first
    }

    /// Lets a deleted key or node go that is at or below `until`; says whether it did.
    pub fn collect<E>(
        &mut self,
        slot: &Slot,
        until: HybridTime,
        older: impl Fn(&NodeName, &KeyName) -> Result<Vec<Older>, E>,
        rows: &mut Vec<Row>,
    ) -> Result<bool, E> {
        let dead = match slot {
            Slot::Key(name, key) => self.nodes.get(name).is_some_and(|node| {
                let entry = node.keys.get(key);
                entry.is_some_and(|entry| node.is_dead(entry, until))
            }),
            Slot::Node(name) => {
                let node = self.nodes.get(name);
                node.is_some_and(|node| node.keys.is_empty() && node.is_gone(until))
            }
            Slot::Member(_) => false,
        };
        if !dead {
            return Ok(false);
        }
        // What is held aside below the deletion would come back when its time has come.
        let deletion = match slot {
            Slot::Key(node, key) => {
                let entry = self.entry(node.as_str(), key.as_str());
                entry
                    .map(|entry| entry.head.stamp)
                    .max(self.nodes.get(node).and_then(Node::cleared))
            }
            Slot::Node(node) => self.register(node.as_str()).map(|at| at.stamp),
            Slot::Member(_) => None,
        };
        let gone = self.let_go(slot, older, rows)?;
        if let Some(deletion) = deletion.filter(|_| gone) {
            self.release_upto(slot, deletion, rows);
        }
        Ok(gone)
    }

    /// Lets a key with all its versions, or a node's register, go; says whether it did. A register
    /// that still hides keys stays: without it they would be seen again.
    pub fn let_go<E>(
        &mut self,
        slot: &Slot,
        older: impl Fn(&NodeName, &KeyName) -> Result<Vec<Older>, E>,
        rows: &mut Vec<Row>,
    ) -> Result<bool, E> {
        match slot {
            Slot::Key(node, key) => {
                let Some(entry) = self.entry(node.as_str(), key.as_str()).cloned() else {
                    return Ok(false);
                };
                let kept = if entry.older > 0 {
                    older(node, key)?
                } else {
                    Vec::new()
                };
                rows.extend(kept.into_iter().map(|older| Row::Drop {
                    node: node.clone(),
                    key: key.clone(),
                    stamp: older.stamp,
                }));
                self.remove(node, key, &entry);
            }
            Slot::Node(name) => {
                let Some(node) = self.nodes.get_mut(name).filter(|node| !node.hides_any()) else {
                    return Ok(false);
                };
                if let (Some(register), Some(bucket)) = (node.register.take(), node.bucket.take()) {
                    self.digest.change(bucket, register.hash(name), 0);
                }
            }
            Slot::Member(_) => return Ok(false),
        }
        if let Slot::Key(name, _) | Slot::Node(name) = slot
            && self.nodes.get(name).is_some_and(Node::is_empty)
        {
            self.nodes.remove(name);
        }
        rows.push(Row::Gone(slot.clone()));
        Ok(true)
    }

    fn remove(&mut self, node: &NodeName, key: &KeyName, entry: &Entry) {
        self.digest.change(entry.bucket, entry.sum, 0);
        self.counts.entries -= 1;
        self.counts.older -= usize::from(entry.older);
        self.counts.bytes -= entry.head.size();
        self.counts.conflicts -= usize::from(entry.losers > 0);
        if let Some(at) = self.nodes.get_mut(node) {
            let live = usize::from(at.shows(&entry.head));
            at.live -= live;
            self.counts.keys -= live;
            at.keys.remove(key);
        }
    }
}

impl Node {
    /// The time from which on a key may be collected: that of its tombstone, or of the deletion of
    /// the node that hides it. None if readers see it, or its conflict is not settled.
    fn dead_at(&self, entry: &Entry) -> Option<HybridTime> {
        let head = &entry.head;
        let hidden = self.cleared().filter(|at| head.stamp <= *at);
        let deleted = head.value().is_none().then_some(head.stamp);
        let at = deleted.or(hidden).filter(|_| entry.losers == 0);
        at.map(|at| at.time)
    }

    /// Whether a key is deleted or hidden at or below a time.
    fn is_dead(&self, entry: &Entry, until: HybridTime) -> bool {
        self.dead_at(entry).is_some_and(|at| at <= until)
    }

    /// Whether the node was deleted at or below a time.
    fn is_gone(&self, until: HybridTime) -> bool {
        let register = self.register.as_ref();
        register.is_some_and(|at| at.state == NodeState::Deleted && at.stamp.time <= until)
    }

    /// Whether its deletion hides any key.
    fn hides_any(&self) -> bool {
        let cleared = self.cleared();
        cleared.is_some_and(|at| self.keys.values().any(|entry| entry.head.stamp <= at))
    }

    fn is_empty(&self) -> bool {
        self.register.is_none() && self.keys.is_empty()
    }
}
