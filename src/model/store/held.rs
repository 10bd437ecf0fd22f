//! Changes that are held aside: stamped so far ahead of this member's clock that they would win
//! over everything for a long time. They are neither merged nor dropped; when their time has come,
//! they are merged. Towards peers they count as received.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::Store;
use crate::model::{Change, Digest, FAN, HybridTime, Row, Slot, Stamp};

/// What is held aside, by stamp.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    changes: OrdMap<(Stamp, Slot), Change>,
    stamps: OrdMap<Slot, OrdSet<Stamp>>,
    bytes: usize,
    digest: Digest,
}

impl Held {
    fn put(&mut self, stamp: Stamp, slot: Slot, change: Change) {
        self.bytes += change.size();
        self.stamps.entry(slot.clone()).or_default().insert(stamp);
        if let Some(old) = self.changes.insert((stamp, slot), change) {
            self.bytes -= old.size();
        }
    }

    fn take(&mut self, stamp: Stamp, slot: Slot) -> Option<Change> {
        if let Some(stamps) = self.stamps.get_mut(&slot) {
            stamps.remove(&stamp);
            if stamps.is_empty() {
                self.stamps.remove(&slot);
            }
        }
        let change = self.changes.remove(&(stamp, slot))?;
        self.bytes -= change.size();
        Some(change)
    }
}

impl Store {
    /// Holds a change aside; says whether it was not held before.
    pub fn hold(&mut self, change: &Change, rows: &mut Vec<Row>) -> bool {
        let new = self.set_held(change);
        if new && let Some(stamp) = change.stamp() {
            let held = self.held.changes.get(&(stamp, change.slot()));
            rows.extend(held.cloned().map(Row::Hold));
        }
        new
    }

    /// Puts a change aside, as read from disk.
    pub fn set_held(&mut self, change: &Change) -> bool {
        let slot = change.slot();
        let Some(stamp) = change.stamp() else {
            return false;
        };
        let bucket = slot.bucket();
        let at = (stamp, slot);
        let Some(old) = self.held.changes.get(&at).cloned() else {
            self.held.digest.change(bucket, 0, change.hash());
            self.held.put(stamp, at.1, change.clone());
            return true;
        };
        // One state of a node can come with deletions that another copy of it does not tell of.
        let mut both = old.clone();
        if let (
            Change::Node { register, .. },
            Change::Node {
                register: other, ..
            },
        ) = (&mut both, change)
        {
            Arc::make_mut(register).merge(other);
        }
        let new = both != old;
        if new {
            self.held.digest.change(bucket, old.hash(), both.hash());
            self.held.put(stamp, at.1, both);
        }
        new
    }

    /// Holds a change aside no longer; it is merged next.
    pub fn release(&mut self, change: &Change, rows: &mut Vec<Row>) {
        let slot = change.slot();
        let Some(stamp) = change.stamp() else {
            return;
        };
        let bucket = slot.bucket();
        if let Some(held) = self.held.take(stamp, slot) {
            self.held.digest.change(bucket, held.hash(), 0);
            rows.push(Row::Release(held));
        }
    }

    /// Holds nothing of a key or register aside any longer that has a stamp up to this one.
    pub(super) fn release_upto(&mut self, slot: &Slot, stamp: Stamp, rows: &mut Vec<Row>) {
        let upto = |change: &&Change| change.stamp() <= Some(stamp);
        let gone: Vec<Change> = self.held_of(slot).filter(upto).cloned().collect();
        for change in gone {
            self.release(&change, rows);
        }
    }

    /// Everything that is held aside, by stamp.
    pub fn held(&self) -> impl Iterator<Item = &Change> {
        self.held.changes.values()
    }

    /// How many changes are held aside.
    pub fn held_count(&self) -> usize {
        self.held.changes.len()
    }

    /// How many bytes of changes are held aside.
    pub fn held_bytes(&self) -> usize {
        self.held.bytes
    }

    /// The changes held aside whose time has come at `now`.
    pub fn held_until(&self, now: HybridTime) -> Vec<Change> {
        let due = |change: &&Change| change.stamp().is_some_and(|stamp| stamp.time <= now);
        self.held().take_while(due).cloned().collect()
    }

    /// The least time of what is held aside.
    pub fn held_next(&self) -> Option<HybridTime> {
        let ((stamp, _), _) = self.held.changes.get_min()?;
        Some(stamp.time)
    }

    /// What is held aside of a key or register.
    pub fn held_of(&self, slot: &Slot) -> impl Iterator<Item = &Change> {
        let stamps = self.held.stamps.get(slot).into_iter().flatten();
        let changes = &self.held.changes;
        stamps.filter_map(|stamp| changes.get(&(*stamp, slot.clone())))
    }

    /// The root over everything received: merged or held aside.
    pub fn root(&self) -> u128 {
        self.digest.root().wrapping_add(self.held.digest.root())
    }

    /// The sixteen sums below a place, over everything received; see [`Digest::children`].
    pub fn sums(&self, level: u8, prefix: u16) -> [u128; FAN] {
        let mut sums = self.digest.children(level, prefix);
        if self.held_count() > 0 {
            let held = self.held.digest.children(level, prefix);
            for (sum, held) in sums.iter_mut().zip(held) {
                *sum = sum.wrapping_add(held);
            }
        }
        sums
    }
}
