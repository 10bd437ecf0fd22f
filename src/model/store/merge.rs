//! Merging: the one door through which everything gets into a store.

use std::sync::Arc;

use super::{Merged, Node, Store, depth};
use crate::model::planted::{self, Bug};
use crate::model::{
    Bucket, Change, Entry, KeyName, MemberId, NodeName, NodeRegister, Older, Place, Replaces, Row,
    Settings, Slot, Stamp, Standing, Version, beyond, losers, place,
};

impl Store {
    /// Merges a change. `older` tells the older versions of a key from disk, if they are needed;
    /// what must be written goes into `rows`. On an error nothing was changed.
    ///
    /// What the vector covers and is not here was seen and let go, if it lies at or below the
    /// horizon: it does not come back.
    pub fn merge<E>(
        &mut self,
        change: &Change,
        older: impl Fn(&NodeName, &KeyName) -> Result<Vec<Older>, E>,
        rows: &mut Vec<Row>,
    ) -> Result<Merged, E> {
        if self.was_let_go(change) {
            return Ok(Merged::Gone);
        }
        self.take_in(change, older, rows)
    }

    /// Whether a change was seen and let go: the vector covers it, it lies at or below the horizon,
    /// and nothing is here of what it is about.
    pub fn was_let_go(&self, change: &Change) -> bool {
        let gone = |stamp: Stamp| stamp.time <= self.horizon && self.vector.covers(stamp);
        let gone = change.stamp().is_some_and(gone);
        gone && !self.has(&change.slot()) && !planted::is(Bug::GoneReturns)
    }

    /// Whether something newer of the same key or node is here already: merging the change makes it
    /// at most history.
    pub fn stands_above(&self, change: &Change) -> bool {
        match change {
            Change::Key { node, key, version } => {
                let entry = self.entry(node.as_str(), key.as_str());
                entry.is_some_and(|entry| entry.head.stamp >= version.stamp)
            }
            Change::Node { node, register } => {
                let here = self.register(node.as_str());
                here.is_some_and(|here| {
                    here.stamp >= register.stamp && here.cleared >= register.cleared
                })
            }
            Change::Member { .. } => false,
        }
    }

    /// Merges a change whether the vector covers it or not: one that was held aside.
    pub fn take_in<E>(
        &mut self,
        change: &Change,
        older: impl Fn(&NodeName, &KeyName) -> Result<Vec<Older>, E>,
        rows: &mut Vec<Row>,
    ) -> Result<Merged, E> {
        match change {
            Change::Key { node, key, version } => self.merge_key(node, key, version, older, rows),
            Change::Node { node, register } => self.merge_node(node, register, older, rows),
            Change::Member { member, standing } => Ok(self.merge_member(*member, standing, rows)),
        }
    }

    fn merge_key<E>(
        &mut self,
        node: &NodeName,
        key: &KeyName,
        version: &Arc<Version>,
        older: impl Fn(&NodeName, &KeyName) -> Result<Vec<Older>, E>,
        rows: &mut Vec<Row>,
    ) -> Result<Merged, E> {
        if planted::is(Bug::NoTombstone) && version.value().is_none() {
            self.let_go(&Slot::Key(node.clone(), key.clone()), older, rows)?;
            return Ok(Merged::Current);
        }
        let at = self.nodes.get(node);
        let depth = at.map_or(Settings::default().history, Node::history);
        let Some(old) = at.and_then(|at| at.keys.get(key)) else {
            self.put_first(node, key, version, rows);
            return Ok(Merged::Current);
        };
        let head = Older {
            stamp: old.head.stamp,
            hash: 0,
            replaces: old.head.replaces.clone(),
        };
        let count = usize::from(old.older);
        let list = || older(node, key);
        let (merged, dropped) =
            match place(head, count, usize::from(depth.max(1)), version.stamp, list)? {
                Place::Known | Place::Stale => return Ok(Merged::Nothing),
                Place::Head(dropped) => (Merged::Current, dropped),
                Place::Older(dropped) => (Merged::History, dropped),
            };
        let knows = merged == Merged::Current && version.replaces.has(old.head.stamp);
        let losers = if knows && old.losers == 0 || planted::is(Bug::LosersUncounted) {
            0
        } else {
            let older = if old.older == 0 { Vec::new() } else { list()? };
            losers_with(old, &older, version, &dropped)
        };
        let joins = Joins {
            version,
            merged,
            dropped: &dropped,
            losers,
        };
        let new = next_entry(node, key, old, &joins, rows);
        let old = old.clone();
        self.replace(node, key, &old, new);
        Ok(merged)
    }

    fn put_first(
        &mut self,
        node: &NodeName,
        key: &KeyName,
        version: &Arc<Version>,
        rows: &mut Vec<Row>,
    ) {
        let sum = version.hash(node, key);
        let entry = Entry {
            head: version.clone(),
            sum,
            older: 0,
            losers: 0,
            bucket: Bucket::of_key(node, key),
        };
        rows.push(head_row(node, key, &entry));
        self.insert(node, key, entry);
    }

    fn merge_node<E>(
        &mut self,
        node: &NodeName,
        register: &Arc<NodeRegister>,
        older: impl Fn(&NodeName, &KeyName) -> Result<Vec<Older>, E>,
        rows: &mut Vec<Row>,
    ) -> Result<Merged, E> {
        let at = self.nodes.get(node);
        let old = at.and_then(|at| at.register.clone());
        let mut new = old.clone().unwrap_or_else(|| register.clone());
        if old.is_some() && !Arc::make_mut(&mut new).merge(register) {
            return Ok(Merged::Nothing);
        }
        let depth = usize::from(depth(Some(&new)));
        let pruned = at.map_or(Ok(Vec::new()), |at| at.beyond(node, depth, older))?;
        rows.push(Row::Node {
            node: node.clone(),
            register: new.clone(),
        });
        self.set_register(node, new);
        for (key, older) in pruned {
            self.prune(node, &key, older, depth, rows);
        }
        Ok(Merged::Current)
    }

    /// Takes the older versions out of a key's set that have no room in it.
    fn prune(
        &mut self,
        node: &NodeName,
        key: &KeyName,
        mut kept: Vec<Older>,
        depth: usize,
        rows: &mut Vec<Row>,
    ) {
        let Some(old) = self
            .nodes
            .get(node)
            .and_then(|at| at.keys.get(key))
            .cloned()
        else {
            return;
        };
        let mut new = old.clone();
        for gone in beyond(&mut kept, depth.saturating_sub(1)) {
            if !planted::is(Bug::PruneKeepsSum) {
                new.sum = new.sum.wrapping_sub(gone.hash);
            }
            new.older -= 1;
            rows.push(Row::Drop {
                node: node.clone(),
                key: key.clone(),
                stamp: gone.stamp,
            });
        }
        if old.losers > 0 {
            new.losers = count(&losers((old.head.stamp, &old.head.replaces), &seen(&kept)));
        }
        rows.push(head_row(node, key, &new));
        self.replace(node, key, &old, new);
    }

    fn merge_member(
        &mut self,
        member: MemberId,
        standing: &Arc<Standing>,
        rows: &mut Vec<Row>,
    ) -> Merged {
        let mut new = standing.clone();
        if let Some(old) = self.members.get(&member) {
            new = old.clone();
            if !Arc::make_mut(&mut new).merge(standing) {
                return Merged::Nothing;
            }
        }
        self.set_standing(member, new);
        rows.push(self.member_row(member));
        Merged::Current
    }

    /// Whether anything is here under a slot.
    pub(super) fn has(&self, slot: &Slot) -> bool {
        match slot {
            Slot::Key(node, key) => self.entry(node.as_str(), key.as_str()).is_some(),
            Slot::Node(node) => self.register(node.as_str()).is_some(),
            Slot::Member(member) => self.members.contains_key(member),
        }
    }
}

pub(super) fn head_row(node: &NodeName, key: &KeyName, entry: &Entry) -> Row {
    Row::Head {
        node: node.clone(),
        key: key.clone(),
        head: entry.head.clone(),
        sum: entry.sum,
        older: entry.older,
        losers: entry.losers,
    }
}

/// How older versions look to [`losers`].
pub(super) fn seen(older: &[Older]) -> impl Iterator<Item = (Stamp, &Replaces)> + Clone {
    older.iter().map(|older| (older.stamp, &older.replaces))
}

pub(super) fn count(stamps: &[Stamp]) -> u16 {
    u16::try_from(stamps.len()).unwrap_or(u16::MAX)
}

/// How many versions have lost once `version` has joined a set and `dropped` have left it.
fn losers_with(old: &Entry, older: &[Older], version: &Version, dropped: &[Older]) -> u16 {
    let head = &old.head;
    let first = if version.stamp > head.stamp {
        version
    } else {
        head
    };
    let all = seen(older)
        .chain([
            (head.stamp, &head.replaces),
            (version.stamp, &version.replaces),
        ])
        .filter(|(stamp, _)| dropped.iter().all(|gone| gone.stamp != *stamp));
    count(&losers((first.stamp, &first.replaces), &all))
}

/// A version that joins a key's set.
struct Joins<'a> {
    version: &'a Arc<Version>,
    merged: Merged,
    /// What leaves the set for it.
    dropped: &'a [Older],
    /// How many have lost once it is in.
    losers: u16,
}

/// The entry after a version joined it; the rows go out as well.
fn next_entry(
    node: &NodeName,
    key: &KeyName,
    old: &Entry,
    joins: &Joins<'_>,
    rows: &mut Vec<Row>,
) -> Entry {
    let Joins {
        version,
        merged,
        dropped,
        losers,
    } = *joins;
    let hash = version.hash(node, key);
    let mut entry = Entry {
        sum: old.sum.wrapping_add(hash),
        older: old.older + 1,
        losers,
        ..old.clone()
    };
    let joins = |version: &Arc<Version>, hash| Row::Older {
        node: node.clone(),
        key: key.clone(),
        version: version.clone(),
        hash,
    };
    if merged == Merged::Current {
        let old_hash = old.head.hash(node, key);
        if dropped.iter().any(|gone| gone.stamp == old.head.stamp) {
            entry.sum = entry.sum.wrapping_sub(old_hash);
            entry.older -= 1;
        } else {
            rows.push(joins(&old.head, old_hash));
        }
        entry.head = version.clone();
    } else {
        rows.push(joins(version, hash));
    }
    for gone in dropped.iter().filter(|gone| gone.stamp != old.head.stamp) {
        entry.sum = entry.sum.wrapping_sub(gone.hash);
        entry.older -= 1;
        rows.push(Row::Drop {
            node: node.clone(),
            key: key.clone(),
            stamp: gone.stamp,
        });
    }
    rows.push(head_row(node, key, &entry));
    entry
}
