//! Sync (anti-entropy): two members find what differs between them and exchange it, both ways.
//!
//! The digest is a tree of sums ([`crate::model::Digest`]). The asker goes down only where its sums
//! differ from the peer's: the root, sixteen sums, theirs, down to buckets; then it compares the
//! keys in the buckets that differ, fetches the versions that it lacks and pushes those that the
//! peer lacks. The cost follows the difference, not the store.
//!
//! Nothing here must be exact to be right: merging is idempotent, so a store that changes during
//! the walk, an answer cut short or a walk given up leave a smaller difference for the next walk.
//!
//! [`Walk`] is the asker, [`answer()`] the answerer, [`Schedule`] decides when to walk with whom.

mod answer;
mod schedule;
mod walk;

use std::collections::BTreeMap;

use crate::model::planted::{self, Bug};
use crate::model::{Change, KeyName, NodeName, Slot, Stamp, Store};

pub use answer::answer;
pub use schedule::{Alarms, Schedule, ScheduleEvent, SyncWith};
pub use walk::{Brought, Walk, WalkStep, Walked};

use super::message::{Item, MESSAGE_BYTES};

/// Older versions of keys, which are not in memory. The owner reads them from disk.
pub trait History {
    /// Why reading failed.
    type Error;

    /// The stamps of the older versions of a key, in any order.
    fn older_stamps(&self, node: &NodeName, key: &KeyName) -> Result<Vec<Stamp>, Self::Error>;

    /// The older versions of a key with these stamps, as far as they are still kept.
    fn older_versions(
        &self,
        node: &NodeName,
        key: &KeyName,
        stamps: &[Stamp],
    ) -> Result<Vec<Change>, Self::Error>;
}

/// Everything in some buckets (sorted), by one pass over the store.
fn items_in(store: &Store, buckets: &[u16]) -> Vec<Item> {
    let wanted = |bucket: u16| buckets.binary_search(&bucket).is_ok();
    let mut items = Vec::new();
    for (name, node) in store.all_nodes() {
        if let (Some(register), Some(bucket)) = (node.register(), node.bucket())
            && wanted(bucket.0)
        {
            let (slot, sum) = (Slot::Node(name.clone()), register.hash(name));
            items.push(Item { slot, sum });
        }
        let here = node.entries().filter(|(_, entry)| wanted(entry.bucket.0));
        items.extend(here.map(|(key, entry)| Item {
            slot: Slot::Key(name.clone(), key.clone()),
            sum: entry.sum,
        }));
    }
    for (member, standing) in store.members() {
        let slot = Slot::Member(member);
        if wanted(slot.bucket().0) {
            let sum = standing.hash(member);
            items.push(Item { slot, sum });
        }
    }
    add_held(store, &wanted, &mut items);
    items
}

/// What is held aside counts as received.
fn add_held(store: &Store, wanted: &impl Fn(u16) -> bool, items: &mut Vec<Item>) {
    let mut held: BTreeMap<Slot, u128> = BTreeMap::new();
    for change in store.held() {
        let slot = change.slot();
        if wanted(slot.bucket().0) {
            let sum = held.entry(slot).or_default();
            *sum = sum.wrapping_add(change.hash());
        }
    }
    if held.is_empty() {
        return;
    }
    for item in items.iter_mut() {
        let more = held.remove(&item.slot).unwrap_or_default();
        item.sum = item.sum.wrapping_add(more);
    }
    items.extend(held.into_iter().map(|(slot, sum)| Item { slot, sum }));
}

/// The stamps of everything received of a key: of its versions, and of what is held aside. Of a
/// register its stamp, if it has one; none if nothing is known.
fn stamps_of<H: History>(store: &Store, history: &H, slot: &Slot) -> Result<Vec<Stamp>, H::Error> {
    let mut stamps = Vec::new();
    match slot {
        Slot::Key(node, key) => {
            if let Some(entry) = store.entry(node.as_str(), key.as_str()) {
                if entry.older > 0 && !planted::is(Bug::HeadsOnly) {
                    stamps = history.older_stamps(node, key)?;
                }
                stamps.push(entry.head.stamp);
            }
        }
        Slot::Node(node) => stamps.extend(store.register(node.as_str()).map(|at| at.stamp)),
        Slot::Member(_) => {}
    }
    stamps.extend(store.held_of(slot).filter_map(Change::stamp));
    Ok(stamps)
}

/// The changes with these stamps of a key, or the register of a node or member.
fn changes_of<H: History>(
    store: &Store,
    history: &H,
    slot: &Slot,
    stamps: &[Stamp],
) -> Result<Vec<Change>, H::Error> {
    let mut found = match slot {
        Slot::Key(node, key) => versions_of(store, history, (node, key), stamps)?,
        Slot::Node(node) => {
            let register = store.register(node.as_str()).cloned();
            let of = |register| Change::Node {
                node: node.clone(),
                register,
            };
            register.map(of).into_iter().collect()
        }
        Slot::Member(member) => {
            let standing = store.standing(*member).cloned();
            let of = |standing| Change::Member {
                member: *member,
                standing,
            };
            standing.map(of).into_iter().collect()
        }
    };
    let wanted = |change: &&Change| change.stamp().is_some_and(|stamp| stamps.contains(&stamp));
    found.extend(store.held_of(slot).filter(wanted).cloned());
    Ok(found)
}

fn versions_of<H: History>(
    store: &Store,
    history: &H,
    (node, key): (&NodeName, &KeyName),
    stamps: &[Stamp],
) -> Result<Vec<Change>, H::Error> {
    let Some(entry) = store.entry(node.as_str(), key.as_str()) else {
        return Ok(Vec::new());
    };
    let head = entry.head.stamp;
    let mut found = Vec::new();
    if stamps.contains(&head) {
        found.push(Change::Key {
            node: node.clone(),
            key: key.clone(),
            version: entry.head.clone(),
        });
    }
    if entry.older > 0 && stamps.iter().any(|stamp| *stamp != head) {
        found.extend(history.older_versions(node, key, stamps)?);
    }
    Ok(found)
}

/// Moves changes into a message until it is full, one at least into an empty one; gives the rest.
fn fill(found: Vec<Change>, bytes: &mut usize, message: &mut Vec<Change>) -> Vec<Change> {
    let mut rest = Vec::new();
    for change in found {
        if message.is_empty() || *bytes + change.size() <= MESSAGE_BYTES {
            *bytes += change.size();
            message.push(change);
        } else {
            rest.push(change);
        }
    }
    rest
}

#[cfg(test)]
mod tests;
