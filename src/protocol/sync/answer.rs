//! The answering side of a sync: a pure function of the store.

use crate::model::{Stamp, Store};
use crate::protocol::message::{Ask, Have, MESSAGE_BYTES, Reply};

use super::{History, changes_of, fill, items_in, stamps_of};

/// The most places that one question may name: as many as there are places above the buckets.
const PLACES: usize = 4096;

/// Answers a question about the store. [`Ask::Push`] is not one: `None`.
pub fn answer<H: History>(store: &Store, history: &H, ask: Ask) -> Result<Option<Reply>, H::Error> {
    match ask {
        Ask::Push(_) => Ok(None),
        Ask::Sums { level, prefixes } => {
            let digest = store.digest();
            let places = prefixes.iter().take(PLACES);
            let below = places
                .map(|prefix| digest.children(level, *prefix))
                .collect();
            Ok(Some(Reply::Sums {
                root: digest.root(),
                below,
            }))
        }
        Ask::Items(mut buckets) => {
            buckets.sort_unstable();
            Ok(Some(Reply::Items(items_in(store, &buckets))))
        }
        Ask::Fetch(wants) => fetch(store, history, wants).map(Some),
    }
}

/// Sends what the asker lacks, at least one change if there is any, until the message is full; and
/// lists what we lack of all keys.
fn fetch<H: History>(store: &Store, history: &H, wants: Vec<Have>) -> Result<Reply, H::Error> {
    let (mut changes, mut lacking, mut bytes) = (Vec::new(), Vec::new(), 0);
    for want in wants {
        let Have {
            node,
            key,
            stamps: theirs,
        } = want;
        let ours = stamps_of(store, history, &node, key.as_ref())?;
        if bytes < MESSAGE_BYTES {
            let missing: Vec<Stamp> = ours
                .iter()
                .filter(|stamp| !theirs.contains(stamp))
                .copied()
                .collect();
            if key.is_none() || !missing.is_empty() {
                let found = changes_of(store, history, &node, key.as_ref(), &missing)?;
                // What does not fit is found again by the next walk: the sums still differ.
                fill(found, &mut bytes, &mut changes);
            }
        }
        let stamps: Vec<Stamp> = theirs
            .into_iter()
            .filter(|stamp| !ours.contains(stamp))
            .collect();
        if key.is_none() || !stamps.is_empty() {
            lacking.push(Have { node, key, stamps });
        }
    }
    Ok(Reply::Versions { changes, lacking })
}
