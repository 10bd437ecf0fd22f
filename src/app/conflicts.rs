//! How many conflicts a batch brought: for the counter that only grows.

use std::collections::HashSet;

use crate::model::{Change, Store};

/// How many versions have lost against one whose writer did not know them, `new` against `old`,
/// among the keys of `changes`. What a batch brings and settles again is not counted.
pub(super) fn found<'a>(
    old: &Store,
    new: &Store,
    changes: impl Iterator<Item = &'a Change>,
) -> u64 {
    if new.counts().conflicts == 0 {
        return 0;
    }
    let losers = |store: &Store, node: &str, key: &str| {
        let entry = store.entry(node, key);
        entry.map_or(0, |entry| u64::from(entry.losers))
    };
    let mut seen = HashSet::new();
    let mut count = 0;
    for change in changes {
        if let Change::Key { node, key, .. } = change
            && seen.insert((node, key))
        {
            let (node, key) = (node.as_str(), key.as_str());
            count += losers(new, node, key).saturating_sub(losers(old, node, key));
        }
    }
    count
}
