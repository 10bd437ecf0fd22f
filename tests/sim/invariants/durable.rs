//! Acknowledged writes survive: what a member had published is there after a crash; and once all
//! members agree, each key has the newest version that was ever durable on a disk that was not lost
//! since, or a greater one.
//!
//! What is lost with a disk is known exactly: that which was on no other disk (`Promised::forget`).

use gaggle::model::{Slot, Stamp, Store};
use imbl::OrdMap;

use super::{Belief, Held, Violation, newest};

fn broken(what: String) -> Held {
    let invariant = "durable";
    Err(Violation { invariant, what })
}

/// Looks at a store loaded after a crash; `last` is what the process had published.
pub(crate) fn check_loaded(host: usize, last: &Store, loaded: &Store) -> Held {
    let mut belief = Belief::default();
    belief.take_store(last);
    for (slot, stamp) in &belief.newest {
        let has = newest(loaded, slot);
        // A collection that was under way may have been durable.
        let collected = has.is_none() && belief.deletion(slot) >= Some(*stamp);
        if has < Some(*stamp) && !collected {
            return broken(format!(
                "[{host}] had {slot} as of {stamp}, after the crash it has {has:?}"
            ));
        }
    }
    for (node, stamp) in belief.cleared() {
        let register = loaded.register(node.as_str());
        let has = register.and_then(|at| at.cleared);
        if register.is_some() && has < Some(stamp) {
            return broken(format!(
                "[{host}] had the deletion {stamp} of {node}, after the crash it has {has:?}"
            ));
        }
    }
    for change in last.held() {
        let (slot, stamp) = (change.slot(), change.stamp());
        let there = loaded.held_of(&slot).any(|held| held == change);
        if !there && newest(loaded, &slot) < stamp {
            return broken(format!("[{host}] held {slot} {stamp:?} aside and lost it"));
        }
    }
    Ok(())
}

/// What all disks together hold.
pub(crate) fn promised<'a>(beliefs: impl Iterator<Item = &'a Belief>) -> Belief {
    let mut all = Belief::default();
    for belief in beliefs {
        raise_all(&mut all.newest, &belief.newest);
        raise_all(&mut all.deleted, &belief.deleted);
        raise_all(&mut all.firm, &belief.firm);
    }
    all
}

fn raise_all(to: &mut OrdMap<Slot, Stamp>, from: &OrdMap<Slot, Stamp>) {
    for (slot, stamp) in from {
        if to.get(slot).is_none_or(|old| old < stamp) {
            to.insert(slot.clone(), *stamp);
        }
    }
}

/// Looks at a store on which all members agree.
pub(crate) fn check_converged(host: usize, store: &Store, promised: &Belief) -> Held {
    for (slot, stamp) in &promised.newest {
        let has = newest(store, slot);
        if has >= Some(*stamp) {
            continue;
        }
        // A tombstone, and what is under one, may have been collected; a member that began empty
        // with its clock far behind may have written below the node's deletion since, unseen.
        let hidden = matches!(slot, Slot::Key(node, _)
            if has <= store.register(node.as_str()).and_then(|at| at.cleared));
        if (has.is_none() || hidden) && promised.deletion(slot) >= Some(*stamp) {
            continue;
        }
        return broken(format!(
            "all agree, and [{host}] has {has:?} of {slot}, but {stamp} was durable"
        ));
    }
    for (node, stamp) in promised.cleared() {
        let register = store.register(node.as_str());
        let has = register.and_then(|at| at.cleared);
        if register.is_some_and(|at| at.stamp <= stamp) && has < Some(stamp) {
            return broken(format!(
                "all agree, [{host}] has the deletion {has:?} of {node}, but {stamp} was durable"
            ));
        }
    }
    Ok(())
}
