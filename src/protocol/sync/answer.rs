//! The answering side of a sync: a pure function of the store.

use crate::model::{Slot, Stamp, Store};
use crate::protocol::message::{About, Ask, Have, MESSAGE_BYTES, Reply};

use super::{History, changes_of, fill, items_in, stamps_of};

/// The most places that one question may name: as many as there are places above the buckets.
const PLACES: usize = 4096;

/// Answers a question about the store; `about` is what we tell of ourselves, taken from the same
/// store. Questions that change something are none of these: `None`.
pub fn answer<H: History>(
    store: &Store,
    history: &H,
    about: impl FnOnce() -> About,
    ask: Ask,
) -> Result<Option<Reply>, H::Error> {
    match ask {
        Ask::Push { .. } | Ask::Include(_) | Ask::Position | Ask::Standings(_) => Ok(None),
        Ask::Meet(_) => Ok(Some(Reply::Met {
            about: Box::new(about()),
            root: store.root(),
            below: Box::new(store.sums(0, 0)),
        })),
        Ask::Sums { level, prefixes } => {
            let places = prefixes.iter().take(PLACES);
            let below = places.map(|prefix| store.sums(level, *prefix)).collect();
            Ok(Some(Reply::Sums(below)))
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
    let mut whole = true;
    for want in wants {
        let Have {
            slot,
            stamps: theirs,
        } = want;
        let register = !matches!(slot, Slot::Key(..));
        let ours = stamps_of(store, history, &slot)?;
        let lacks = |stamp: &&Stamp| !theirs.contains(stamp);
        let missing: Vec<Stamp> = ours.iter().filter(lacks).copied().collect();
        if bytes >= MESSAGE_BYTES {
            whole &= !register && missing.is_empty();
        } else if register || !missing.is_empty() {
            let found = changes_of(store, history, &slot, &missing)?;
            // What does not fit is found again by the next walk: the sums still differ.
            whole &= fill(found, &mut bytes, &mut changes).is_empty();
        }
        let lacking_here = |stamp: &Stamp| !ours.contains(stamp);
        let stamps: Vec<Stamp> = theirs.into_iter().filter(lacking_here).collect();
        if register || !stamps.is_empty() {
            lacking.push(Have { slot, stamps });
        }
    }
    let changes = changes.into();
    Ok(Reply::Versions {
        changes,
        lacking,
        whole,
    })
}
