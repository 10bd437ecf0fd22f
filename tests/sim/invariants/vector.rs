//! Vectors tell the truth: a member whose vector includes another's writes up to a position has
//! on its disk, for each of them, that write or something newer of the same key, or its deletion.
//! And what a member is told that a peer has, the peer has.
//!
//! `ack=`, session tokens and the collection of tombstones rest on it.

use std::collections::{BTreeMap, BTreeSet};

use gaggle::model::{Change, HybridTime, MemberId, Slot, Source, Stamp, Store};

use super::{Belief, Held, Step, Violation};

/// Every write by its origin, in the order of its clock.
#[derive(Debug, Default)]
pub(crate) struct Written {
    of: BTreeMap<MemberId, BTreeMap<HybridTime, Vec<(Slot, Stamp)>>>,
    twice: BTreeSet<MemberId>,
    /// Every deletion of each key and node.
    deleted: BTreeMap<Slot, BTreeSet<Stamp>>,
    /// Up to where each host's claims were looked at.
    checked: Vec<BTreeMap<MemberId, HybridTime>>,
}

fn broken(what: String) -> Held {
    let invariant = "vector";
    Err(Violation { invariant, what })
}

impl Written {
    /// For so many hosts.
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            of: BTreeMap::new(),
            twice: BTreeSet::new(),
            deleted: BTreeMap::new(),
            checked: vec![BTreeMap::new(); hosts],
        }
    }

    /// Takes note of what a member's own clients wrote, and of every deletion.
    pub(crate) fn take(&mut self, step: &Step<'_>) {
        for applied in step.applied {
            let change = &applied.change;
            let deleted = match change {
                Change::Key { version, .. } if version.value().is_none() => Some(version.stamp),
                Change::Node { register, .. } => register.cleared,
                _ => None,
            };
            if let Some(at) = deleted {
                self.deleted.entry(change.slot()).or_default().insert(at);
            }
            if let (Source::Own, Some(stamp)) = (applied.source, change.stamp())
                && !matches!(change.slot(), Slot::Member(_))
                && !self.twice.contains(&stamp.member)
            {
                let of = self.of.entry(stamp.member).or_default();
                of.entry(stamp.time)
                    .or_default()
                    .push((change.slot(), stamp));
            }
        }
    }

    /// A member runs twice, which its clock cannot stand: what it says of itself means nothing.
    pub(crate) fn distrust(&mut self, member: MemberId) {
        self.of.remove(&member);
        self.twice.insert(member);
    }

    /// A member goes on from an older copy of its data: of what it wrote after that it knows
    /// nothing until a peer tells, and may claim to have told all. (What is lost of it `durable`
    /// finds.)
    pub(crate) fn restored(&mut self, member: MemberId, upto: HybridTime) {
        if let Some(writes) = self.of.get_mut(&member) {
            writes.split_off(&upto.next());
        }
    }

    /// A host's disk is another: its claims are looked at anew.
    pub(crate) fn forget_host(&mut self, host: usize) {
        self.checked[host].clear();
    }

    /// A disk was lost; nobody can have any more what no disk has now.
    pub(crate) fn lose(&mut self, left: &Belief) {
        for writes in self.of.values_mut().flat_map(BTreeMap::values_mut) {
            writes.retain(|(slot, stamp)| has(left, slot, *stamp));
        }
    }

    /// Whether a write was deleted, by a deletion that may have been collected by now.
    fn collected(&self, slot: &Slot, stamp: Stamp, horizon: HybridTime) -> bool {
        let node = match slot {
            Slot::Key(node, _) => Some(Slot::Node(node.clone())),
            Slot::Node(_) | Slot::Member(_) => None,
        };
        let all = [Some(slot), node.as_ref()].into_iter().flatten();
        let mut all = all.filter_map(|slot| self.deleted.get(slot));
        all.any(|all| {
            all.range(stamp..)
                .next()
                .is_some_and(|at| at.time <= horizon)
        })
    }

    /// Looks at what a host newly claims. `horizon` is the greatest of all.
    pub(crate) fn check(
        &mut self,
        (host, own): (usize, MemberId),
        store: &Store,
        belief: &Belief,
        horizon: HybridTime,
    ) -> Held {
        let mut claimed = Vec::new();
        for (origin, upto) in store.vector().iter() {
            let from = self.checked[host].get(&origin).copied().unwrap_or_default();
            // What an older copy lacks of its own it learns from others, before it claims anything.
            if upto <= from || origin == own {
                continue;
            }
            claimed.push((origin, upto));
            let Some(writes) = self.of.get(&origin) else {
                continue;
            };
            for (slot, stamp) in writes.range(from.next()..=upto).flat_map(|(_, all)| all) {
                let held = || store.held().any(|held| holds(held, slot, *stamp));
                let collected = || self.collected(slot, *stamp, horizon);
                if !has(belief, slot, *stamp) && !held() && !collected() {
                    return broken(format!(
                        "[{host}] claims all of {origin} up to {upto:?}, but lacks {slot} {stamp}"
                    ));
                }
            }
        }
        self.checked[host].extend(claimed);
        Ok(())
    }
}

/// Whether what is held aside is such a write, something newer of the same key, or its deletion.
fn holds(held: &Change, slot: &Slot, stamp: Stamp) -> bool {
    match (held, slot) {
        (Change::Node { node, register }, Slot::Key(of, _)) => {
            node == of && register.cleared >= Some(stamp)
        }
        _ => held.slot() == *slot && held.stamp() >= Some(stamp),
    }
}

/// Whether a host has a write, or something newer of the same key, or its deletion.
fn has(belief: &Belief, slot: &Slot, stamp: Stamp) -> bool {
    belief.newest.get(slot).copied().max(belief.deletion(slot)) >= Some(stamp)
}

/// A member was told that `peer`, whose store this is, has its writes up to a position.
pub(crate) fn check_told(
    host: usize,
    member: MemberId,
    peer: (usize, &Store),
    told: HybridTime,
) -> Held {
    let has = peer.1.vector().get(member);
    if has >= told {
        return Ok(());
    }
    broken(format!(
        "[{host}] was told that [{}] has its writes up to {told:?}, which has {has:?}",
        peer.0
    ))
}
