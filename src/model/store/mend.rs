//! Looking the store over, and putting a key right whose older versions were damaged on disk.

use std::ops::Bound;

use super::Store;
use super::merge::{count, head_row, seen};
use crate::model::{Entry, KeyName, NodeName, Older, Row, Stamp, losers};

/// A place among the keys: a key in a node.
type At<'a> = (&'a NodeName, &'a KeyName);

impl Store {
    /// The keys after `after` up to and including `to`, in the order of their names; without a
    /// bound from the first, or to the last. Deleted and hidden ones too.
    pub fn between<'a>(
        &'a self,
        after: Option<At<'a>>,
        to: Option<At<'a>>,
    ) -> impl Iterator<Item = (&'a NodeName, &'a KeyName, &'a Entry)> {
        let first = after.map_or(Bound::Unbounded, |(node, _)| Bound::Included(node));
        let nodes = self.nodes.range::<_, NodeName>((first, Bound::Unbounded));
        let entries = nodes.flat_map(move |(node, at)| {
            let first = match after {
                Some((first, key)) if first == node => Bound::Excluded(key),
                _ => Bound::Unbounded,
            };
            let keys = at.keys.range::<_, KeyName>((first, Bound::Unbounded));
            keys.map(move |(key, entry)| (node, key, entry))
        });
        entries.take_while(move |(node, key, _)| to.is_none_or(|to| (*node, *key) <= to))
    }

    /// The sum over all entries and registers, added up anew: the digest's root, if memory is
    /// sound.
    pub fn recounted_root(&self) -> u128 {
        let members = self.members.iter();
        let members = members.map(|(member, standing)| standing.hash(*member));
        let members = members.fold(0, u128::wrapping_add);
        let nodes = self.nodes.iter();
        nodes.fold(members, |sum: u128, (node, at)| {
            let register = at.register.as_ref().map_or(0, |of| of.hash(node));
            let keys = at.keys.values().map(|entry| entry.sum);
            keys.fold(sum.wrapping_add(register), u128::wrapping_add)
        })
    }

    /// Takes note that only `sound` is left of a key's older versions, and that `bad` ones must
    /// leave the disk. The digest changes if anything is lost, so sync brings it again. What must
    /// be written goes into `rows`, the current version in any case. Says whether the key is known.
    pub fn mend(
        &mut self,
        (node, key): At<'_>,
        sound: &[Older],
        bad: &[Stamp],
        rows: &mut Vec<Row>,
    ) -> bool {
        let at = self.nodes.get(node);
        let Some(old) = at.and_then(|at| at.keys.get(key)).cloned() else {
            return false;
        };
        let head = old.head.hash(node, key);
        let all = (old.head.stamp, &old.head.replaces);
        let new = Entry {
            sum: sound
                .iter()
                .fold(head, |sum, older| sum.wrapping_add(older.hash)),
            older: u16::try_from(sound.len()).unwrap_or(u16::MAX),
            losers: count(&losers(all, &seen(sound))),
            ..old.clone()
        };
        rows.extend(bad.iter().map(|stamp| Row::Drop {
            node: node.clone(),
            key: key.clone(),
            stamp: *stamp,
        }));
        rows.push(head_row(node, key, &new));
        self.replace(node, key, &old, new);
        true
    }
}
