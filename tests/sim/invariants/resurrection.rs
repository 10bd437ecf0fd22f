//! No resurrection: once a deletion (of a key or of its node) was ever on a disk whose member knew
//! that there are others, no reader of that disk's member sees a value of the key with a smaller
//! stamp again; and once all members agree, nobody sees one whose deletion is still on any disk or
//! was on one that was not lost since.

use gaggle::model::{Change, KeyName, NodeName, Slot, Store};

use super::{Belief, Held, Step, Violation, readable};

fn broken(what: String) -> Held {
    let invariant = "resurrection";
    Err(Violation { invariant, what })
}

/// Looks at the keys that a commit touched; `belief` has taken the commit in.
pub(crate) fn check(step: &Step<'_>, belief: &Belief) -> Held {
    for applied in step.applied {
        match &applied.change {
            Change::Key { node, key, .. } => check_key(step.host, step.after, belief, node, key)?,
            Change::Node { node, .. } => {
                let at = step.after.all_nodes().find(|(name, _)| *name == node);
                for (key, _) in at.into_iter().flat_map(|(_, at)| at.entries()) {
                    check_key(step.host, step.after, belief, node, key)?;
                }
            }
            Change::Member { .. } => {}
        }
    }
    Ok(())
}

fn check_key(host: usize, store: &Store, belief: &Belief, node: &NodeName, key: &KeyName) -> Held {
    let slot = Slot::Key(node.clone(), key.clone());
    let (seen, gone) = (readable(store, node, key), belief.firm(&slot));
    match (seen, gone) {
        (Some(seen), Some(gone)) if seen <= gone => broken(format!(
            "[{host}] shows {node}/{key} as of {seen}, which was deleted by {gone}"
        )),
        _ => Ok(()),
    }
}

/// Looks at every key of a store against everything that is known of deletions.
pub(crate) fn check_whole(host: usize, store: &Store, belief: &Belief) -> Held {
    for (node, at) in store.all_nodes() {
        for (key, _) in at.entries() {
            check_key(host, store, belief, node, key)?;
        }
    }
    Ok(())
}
