//! A batch: the rows of many writes that reach the disk together or not at all.
//!
//! Rows gather in memory and go to the engine at the commit, so an abandoned batch costs nothing,
//! and nothing of a refused one was ever on the disk.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::engine::guarded;
use super::reader::{self, HistoryTable};
use super::{Disk, DiskError};
use crate::model::{HybridTime, KeyName, NodeName, Older, Row, Stamp};

/// Rows on their way to the disk. Dropped without [`Batch::commit`], it changes nothing.
#[derive(Debug)]
pub struct Batch<'disk> {
    pub(super) disk: &'disk mut Disk,
    pub(super) rows: Vec<Row>,
    pub(super) clock: Option<(HybridTime, u64)>,
    pub(super) may_use_reserve: bool,
    moved: HashMap<(NodeName, KeyName), Vec<Moved>>,
    history: OnceCell<HistoryTable>,
}

/// What a row of this batch does to the history of a key.
#[derive(Clone, Copy, Debug)]
enum Moved {
    In(Older),
    Out(Stamp),
}

impl<'disk> Batch<'disk> {
    pub(super) fn new(disk: &'disk mut Disk, may_use_reserve: bool) -> Self {
        Self {
            disk,
            rows: Vec::new(),
            clock: None,
            may_use_reserve,
            moved: HashMap::new(),
            history: OnceCell::new(),
        }
    }

    /// The stamps and hashes of the older versions of a key, newest first, as they are with the
    /// rows of this batch.
    pub fn older(&self, node: &NodeName, key: &KeyName) -> Result<Vec<Older>, DiskError> {
        let mut list = self.older_on_disk(node, key)?;
        let moved = self.moved.get(&(node.clone(), key.clone()));
        for moved in moved.into_iter().flatten() {
            match moved {
                Moved::In(older) => list.push(*older),
                Moved::Out(stamp) => list.retain(|older| older.stamp != *stamp),
            }
        }
        list.sort_unstable_by_key(|older| std::cmp::Reverse(older.stamp));
        Ok(list)
    }

    fn older_on_disk(&self, node: &NodeName, key: &KeyName) -> Result<Vec<Older>, DiskError> {
        let shared = &self.disk.shared;
        let engine = shared.engine()?;
        let found = guarded(|| {
            if let Some(table) = self.history.get() {
                return reader::older(table, node, key);
            }
            let table = reader::history(&engine.db)?;
            reader::older(self.history.get_or_init(|| table), node, key)
        });
        found.map_err(|failure| shared.judge(&engine, "reading older stamps", failure))
    }

    /// Takes a row; it reaches the disk with [`Batch::commit`], after those taken before.
    pub fn write(&mut self, row: &Row) {
        match row {
            Row::Older {
                node,
                key,
                version,
                hash,
            } => {
                let older = Older {
                    stamp: version.stamp,
                    hash: *hash,
                };
                self.note(node, key, Moved::In(older));
            }
            Row::Drop { node, key, stamp } => self.note(node, key, Moved::Out(*stamp)),
            Row::Head { .. } | Row::Node { .. } => {}
        }
        self.rows.push(row.clone());
    }

    fn note(&mut self, node: &NodeName, key: &KeyName, moved: Moved) {
        let at = self.moved.entry((node.clone(), key.clone()));
        at.or_default().push(moved);
    }

    /// Keeps the position of the member's clock (the hybrid time and the sequence it gave last),
    /// so that a restart goes on above it.
    pub fn clock(&mut self, time: HybridTime, sequence: u64) {
        self.clock = Some((time, sequence));
    }

    /// Writes everything; when this returns `Ok`, it has reached the disk. An empty batch
    /// succeeds without touching it.
    pub fn commit(self) -> Result<(), DiskError> {
        drop(self.history);
        if self.rows.is_empty() && self.clock.is_none() {
            return Ok(());
        }
        self.disk
            .commit(&self.rows, self.clock, self.may_use_reserve)
    }
}
