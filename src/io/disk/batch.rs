//! A batch: the rows of many writes that reach the disk together or not at all.
//!
//! Rows gather in memory and go to the engine at the commit, so an abandoned batch costs nothing,
//! and nothing of a refused one was ever on the disk.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::engine::{Failure, guarded};
use super::reader::{self, HistoryTable, Sifted};
use super::turn::Reserve;
use super::{Disk, DiskError};
use crate::model::{HybridTime, KeyName, NodeName, Older, Row, Stamp};

/// Rows on their way to the disk. Dropped without [`Batch::commit`], it changes nothing.
#[derive(Debug)]
pub struct Batch<'disk> {
    pub(super) disk: &'disk mut Disk,
    pub(super) rows: Vec<Row>,
    pub(super) clock: Option<(HybridTime, u64)>,
    reserve: Reserve,
    root: Option<u128>,
    moved: HashMap<(NodeName, KeyName), Vec<Moved>>,
    history: OnceCell<HistoryTable>,
}

/// What a row of this batch does to the history of a key.
#[derive(Clone, Debug)]
enum Moved {
    In(Older),
    Out(Stamp),
}

impl<'disk> Batch<'disk> {
    pub(super) fn new(disk: &'disk mut Disk, reserve: Reserve) -> Self {
        Self {
            disk,
            rows: Vec::new(),
            clock: None,
            reserve,
            root: None,
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
                Moved::In(older) => list.push(older.clone()),
                Moved::Out(stamp) => list.retain(|older| older.stamp != *stamp),
            }
        }
        list.sort_unstable_by_key(|older| std::cmp::Reverse(older.stamp));
        Ok(list)
    }

    fn older_on_disk(&self, node: &NodeName, key: &KeyName) -> Result<Vec<Older>, DiskError> {
        self.in_history(|table| reader::older(table, node, key))
    }

    /// Reads from the history as it was before this batch.
    pub(super) fn in_history<T>(
        &self,
        read: impl FnOnce(&HistoryTable) -> Result<T, Failure>,
    ) -> Result<T, DiskError> {
        let shared = &self.disk.shared;
        let engine = shared.engine()?;
        let found = guarded(|| {
            if let Some(table) = self.history.get() {
                return read(table);
            }
            let table = reader::history(&engine.db)?;
            read(self.history.get_or_init(|| table))
        });
        found.map_err(|failure| shared.judge(&engine, "reading the history of a key", failure))
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
                let older = Older::of(version, *hash);
                self.note(node, key, Moved::In(older));
            }
            Row::Drop { node, key, stamp } => self.note(node, key, Moved::Out(*stamp)),
            Row::Head { .. }
            | Row::Node { .. }
            | Row::Gone(_)
            | Row::Member { .. }
            | Row::Hold(_)
            | Row::Release(_)
            | Row::Horizon(_)
            | Row::Gap(_) => {}
        }
        self.rows.push(row.clone());
    }

    /// Takes a row that is on the disk already and may be damaged there.
    pub fn write_again(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// What is left of the older versions of a key. None if rows of this batch change them: then it
    /// is too early to tell.
    pub fn sift(&self, node: &NodeName, key: &KeyName) -> Result<Option<Sifted>, DiskError> {
        if self.moved.contains_key(&(node.clone(), key.clone())) {
            return Ok(None);
        }
        let shared = &self.disk.shared;
        let found = shared.read("sifting older versions", |db| reader::sift(db, node, key));
        found.map(Some)
    }

    fn note(&mut self, node: &NodeName, key: &KeyName, moved: Moved) {
        let at = self.moved.entry((node.clone(), key.clone()));
        at.or_default().push(moved);
    }

    /// Whether it holds no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Keeps the position of the member's clock (the hybrid time and the sequence it gave last),
    /// so that a restart goes on above it.
    pub fn clock(&mut self, time: HybridTime, sequence: u64) {
        self.clock = Some((time, sequence));
    }

    /// What the database must add up to after this batch: the root of the store's digest. Without
    /// it, that follows from the rows, of which one that is overwritten may be damaged.
    pub fn root(&mut self, root: u128) {
        self.root = Some(root);
    }

    /// Writes everything; when this returns `Ok`, it has reached the disk. An empty batch
    /// succeeds without touching it.
    pub fn commit(self) -> Result<(), DiskError> {
        drop(self.history);
        if self.rows.is_empty() && self.clock.is_none() {
            return Ok(());
        }
        self.disk
            .commit(&self.rows, self.clock, self.root, self.reserve)
    }
}
