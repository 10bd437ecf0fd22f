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

use crate::model::{Change, KeyName, NodeName, Stamp, Store};

pub use answer::answer;
pub use schedule::{Schedule, ScheduleEvent, SyncWith};
pub use walk::{Walk, WalkStep, Walked};

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
            items.push(Item {
                node: name.clone(),
                key: None,
                sum: register.hash(name),
            });
        }
        let here = node.entries().filter(|(_, entry)| wanted(entry.bucket.0));
        items.extend(here.map(|(key, entry)| Item {
            node: name.clone(),
            key: Some(key.clone()),
            sum: entry.sum,
        }));
    }
    items
}

/// The stamps of all versions kept of a key; none for a register or an unknown key.
fn stamps_of<H: History>(
    store: &Store,
    history: &H,
    node: &NodeName,
    key: Option<&KeyName>,
) -> Result<Vec<Stamp>, H::Error> {
    let Some((key, entry)) =
        key.and_then(|key| Some((key, store.entry(node.as_str(), key.as_str())?)))
    else {
        return Ok(Vec::new());
    };
    let mut stamps = if entry.older > 0 {
        history.older_stamps(node, key)?
    } else {
        Vec::new()
    };
    stamps.push(entry.head.stamp);
    Ok(stamps)
}

/// The changes with these stamps of a key, or the register of a node.
fn changes_of<H: History>(
    store: &Store,
    history: &H,
    node: &NodeName,
    key: Option<&KeyName>,
    stamps: &[Stamp],
) -> Result<Vec<Change>, H::Error> {
    let Some(key) = key else {
        let register = store.register(node.as_str()).cloned();
        let change = register.map(|register| Change::Node {
            node: node.clone(),
            register,
        });
        return Ok(change.into_iter().collect());
    };
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
    if stamps.iter().any(|stamp| *stamp != head) {
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
