//! What lies on the disk against what is in memory; and writing it again where it is damaged.
//!
//! Both are looked at while writes go on, so what differs is not damaged yet: it counts only if
//! memory did not change around the look, and if a later look finds it again (a commit is on the
//! disk a moment before it is published).

use std::collections::{BTreeMap, BTreeSet};

use crate::io::disk::{Batch, Cursor, DiskError, Fault, FoundEntry, Portion};
use crate::model::{KeyName, NodeName, Older, Row, Store};

use super::App;

/// A node's register, or a key.
pub type Place = (NodeName, Option<KeyName>);

/// What was written again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Keys and registers that were written again.
    pub written: usize,
    /// Older versions that were damaged beyond that, and left the set of their key.
    pub dropped: usize,
}

/// What does not agree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What it is about, if a name can be read and memory knows it.
    pub place: Option<Place>,
    /// What kind of disagreement it is.
    pub kind: FindingKind,
    /// In words, with all names.
    pub what: String,
}

/// Who is wrong, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// The disk: what memory has can be written again.
    Disk,
    /// The disk has something that memory does not know.
    Unknown,
    /// Memory: what the disk has is sound in itself.
    Memory,
}

/// What a look at a portion of the disk found.
#[derive(Debug)]
pub struct Look {
    /// What does not agree, at this moment.
    pub findings: BTreeSet<Finding>,
    /// Everything that memory has where this portion is.
    pub places: Vec<Place>,
    /// Rows that were read.
    pub rows: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Where the next portion begins; none after the last one.
    pub next: Option<Cursor>,
}

impl App {
    /// Compares a portion of about `limit` bytes of what lies on the disk with the store. It
    /// blocks: for threads that may.
    ///
    /// # Errors
    /// When the disk cannot be read at all.
    pub fn look(&self, from: &Cursor, limit: u64) -> Result<Look, DiskError> {
        let before = self.view();
        let portion = self.disk().portion(from, limit)?;
        let after = self.view();
        let mut comparison = Comparison {
            before: &before.store,
            after: &after.store,
            findings: BTreeSet::new(),
            places: Vec::new(),
        };
        comparison.faults(&portion.faults);
        if from.is_in_entries() {
            comparison.entries(from, &portion);
        } else if from.is_in_nodes() {
            comparison.nodes(from, &portion);
        }
        Ok(Look {
            findings: comparison.findings,
            places: comparison.places,
            rows: portion.rows,
            bytes: portion.bytes,
            next: portion.next,
        })
    }
}

/// The store before and after the disk was read, against the disk.
struct Comparison<'a> {
    before: &'a Store,
    after: &'a Store,
    findings: BTreeSet<Finding>,
    places: Vec<Place>,
}

impl Comparison<'_> {
    fn find(&mut self, place: Option<Place>, kind: FindingKind, what: String) {
        self.findings.insert(Finding { place, kind, what });
    }

    fn faults(&mut self, faults: &[Fault]) {
        for fault in faults {
            let node = fault.node.as_deref().unwrap_or_default();
            let key = fault.key.as_deref();
            let is_known = match key {
                Some(key) => self.after.entry(node, key).is_some(),
                None => self.after.register(node).is_some(),
            };
            let place = (node.parse().ok(), key.map(str::parse));
            let place = match place {
                (Some(node), Some(Ok(key))) => Some((node, Some(key))),
                (Some(node), None) => Some((node, None)),
                _ => None,
            };
            let place = place.filter(|_| is_known);
            self.find(place, FindingKind::Disk, fault.to_string());
        }
    }

    fn nodes(&mut self, from: &Cursor, portion: &Portion) {
        let on_disk: BTreeMap<_, _> = portion.nodes.iter().cloned().collect();
        for (name, register) in &on_disk {
            let (was, is) = (
                self.before.register(name.as_str()),
                self.after.register(name.as_str()),
            );
            if was == is && is != Some(register) {
                let kind = match is {
                    Some(_) => FindingKind::Disk,
                    None => FindingKind::Unknown,
                };
                let what = format!("nodes {name:?}: not what is in memory");
                self.find(is.map(|_| (name.clone(), None)), kind, what);
            }
        }
        let (after, to) = (from.node(), portion.next.as_ref().and_then(Cursor::node));
        let is_here = |name: &NodeName| {
            after.as_ref().is_none_or(|after| name > after)
                && to.as_ref().is_none_or(|to| name <= to)
        };
        let here = self.after.all_nodes().filter(|(name, _)| is_here(name));
        let here: Vec<NodeName> = here
            .filter(|(_, node)| node.register().is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in here {
            if !on_disk.contains_key(&name) && self.before.register(name.as_str()).is_some() {
                let what = format!("nodes {name:?}: missing on the disk");
                self.find(Some((name.clone(), None)), FindingKind::Disk, what);
            }
            self.places.push((name, None));
        }
    }

    fn entries(&mut self, from: &Cursor, portion: &Portion) {
        let mut on_disk = BTreeSet::new();
        for found in &portion.entries {
            on_disk.insert((&found.node, &found.key));
            self.entry(found);
        }
        let (after, to) = (from.names(), portion.next.as_ref().and_then(Cursor::names));
        let here = self.after.between(
            after.as_ref().map(|(node, key)| (node, key)),
            to.as_ref().map(|(node, key)| (node, key)),
        );
        let here: Vec<Place> = here
            .map(|(node, key, _)| (node.clone(), Some(key.clone())))
            .collect();
        for (node, key) in here.iter().filter_map(|(n, k)| Some((n, k.as_ref()?))) {
            let was = self.before.entry(node.as_str(), key.as_str());
            if was.is_some() && !on_disk.contains(&(node, key)) {
                let what = format!("entries {node:?}/{key:?}: missing on the disk");
                let place = Some((node.clone(), Some(key.clone())));
                self.find(place, FindingKind::Disk, what);
            }
        }
        self.places.extend(here);
    }

    fn entry(&mut self, found: &FoundEntry) {
        let (node, key) = (&found.node, &found.key);
        let of = |store: &Store| store.entry(node.as_str(), key.as_str()).cloned();
        let (was, is) = (of(self.before), of(self.after));
        let sum = |entry: &Option<_>| entry.as_ref().map(|at: &crate::model::Entry| at.sum);
        if sum(&was) != sum(&is) {
            return;
        }
        let place = Some((node.clone(), Some(key.clone())));
        let Some(entry) = is else {
            let what = format!("entries {node:?}/{key:?}: on the disk and not in memory");
            return self.find(None, FindingKind::Unknown, what);
        };
        let hash = entry.head.hash(node, key);
        let tells = (found.sum, found.older, found.hash);
        if found.is_whole && tells == (entry.sum, entry.older, hash) {
            return;
        }
        if found.is_whole && found.sum == entry.sum {
            let what = format!("entries {node:?}/{key:?}: memory is not what the disk has");
            return self.find(place, FindingKind::Memory, what);
        }
        let what = format!("entries {node:?}/{key:?}: not what is in memory");
        self.find(place, FindingKind::Disk, what);
    }
}

/// Writes places again, and older versions as far as they are sound; within a batch.
pub(super) fn mend(
    store: &mut Store,
    batch: &mut Batch<'_>,
    places: &[Place],
) -> Result<Mended, DiskError> {
    let mut mended = Mended::default();
    let mut rows = Vec::new();
    for (node, key) in places {
        let Some(key) = key else {
            if let Some(register) = store.register(node.as_str()) {
                mended.written += 1;
                batch.write_again(Row::Node {
                    node: node.clone(),
                    register: register.clone(),
                });
            }
            continue;
        };
        let Some(sifted) = batch.sift(node, key)? else {
            continue;
        };
        let older = |(hash, version): &(u128, std::sync::Arc<_>)| Older::of(version, *hash);
        let sound: Vec<Older> = sifted.sound.iter().map(older).collect();
        let before = store.entry(node.as_str(), key.as_str());
        let before = before.map_or(0, |entry| usize::from(entry.older));
        if !store.mend((node, key), &sound, &sifted.bad, &mut rows) {
            continue;
        }
        mended.written += 1;
        mended.dropped += before.saturating_sub(sound.len());
        for (hash, version) in sifted.sound {
            batch.write_again(Row::Older {
                node: node.clone(),
                key: key.clone(),
                version,
                hash,
            });
        }
        rows.drain(..).for_each(|row| batch.write(&row));
    }
    Ok(mended)
}
