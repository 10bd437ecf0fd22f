//! One transaction: rows into tables, and the state that goes with them.

use redb::{Database, Durability, WriteTransaction};

use super::engine::Failure;
use super::rows::{self, ENTRIES, EntryRow, HISTORY, META, NODES};
use super::state::{self, STATE_KEY, State};
use crate::model::{KeyName, NodeName, NodeRegister, Row, Version};

type Opened<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

/// Buffers that are used again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Writes rows and the state that follows from them; durable when this returns `Ok`.
pub(super) fn apply(
    db: &Database,
    rows: &[Row],
    state: &mut State,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    let mut tables = Tables::open(&txn, state, scratch)?;
    for row in rows {
        tables.put(row)?;
    }
    tables.finish()?;
    txn.commit()?;
    Ok(())
}

/// What a row may add to the file, roughly: itself twice (the page of a B-tree is copied, not
/// changed), and its share of two such pages.
pub(super) fn cost(row: &Row) -> u64 {
    let value = match row {
        Row::Head { head, .. } => head.size(),
        Row::Older { version, .. } => version.size(),
        Row::Drop { .. } | Row::Node { .. } => 0,
    };
    8192 + 2 * value as u64
}

struct Tables<'txn, 'a> {
    entries: Opened<'txn>,
    history: Opened<'txn>,
    nodes: Opened<'txn>,
    meta: Opened<'txn>,
    state: &'a mut State,
    scratch: &'a mut Scratch,
}

impl<'txn, 'a> Tables<'txn, 'a> {
    fn open(
        txn: &'txn WriteTransaction,
        state: &'a mut State,
        scratch: &'a mut Scratch,
    ) -> Result<Self, Failure> {
        Ok(Self {
            entries: txn.open_table(ENTRIES)?,
            history: txn.open_table(HISTORY)?,
            nodes: txn.open_table(NODES)?,
            meta: txn.open_table(META)?,
            state,
            scratch,
        })
    }

    fn put(&mut self, row: &Row) -> Result<(), Failure> {
        match row {
            Row::Head {
                node,
                key,
                head,
                sum,
                older,
            } => self.head(node, key, head, *sum, *older),
            Row::Older {
                node,
                key,
                version,
                hash,
            } => {
                let Scratch { key: at, value } = self.scratch;
                rows::history_key(node, key, version.stamp, at);
                rows::encode_older(at, *hash, version, value);
                self.history.insert(at.as_slice(), value.as_slice())?;
                Ok(())
            }
            Row::Drop { node, key, stamp } => {
                rows::history_key(node, key, *stamp, &mut self.scratch.key);
                self.history.remove(self.scratch.key.as_slice())?;
                Ok(())
            }
            Row::Node { node, register } => self.node(node, register),
        }
    }

    fn head(
        &mut self,
        node: &NodeName,
        key: &KeyName,
        head: &Version,
        sum: u128,
        older: u16,
    ) -> Result<(), Failure> {
        let Scratch { key: at, value } = self.scratch;
        rows::entry_key(node, key, at);
        EntryRow::encode(at, older, sum, head, value);
        let old = self.entries.insert(at.as_slice(), value.as_slice())?;
        let old = old.map(|old| rows::entry_sum(old.value())).transpose()?;
        self.state.entries += u64::from(old.is_none());
        self.state.replace(old, sum);
        Ok(())
    }

    fn node(&mut self, node: &NodeName, register: &NodeRegister) -> Result<(), Failure> {
        let at = node.as_str().as_bytes();
        rows::encode_node(at, register, &mut self.scratch.value);
        let old = self.nodes.insert(at, self.scratch.value.as_slice())?;
        let old = old
            .map(|old| rows::decode::<NodeRegister>(NODES, at, old.value()))
            .transpose()?
            .map(|old| old.hash(node));
        self.state.nodes += u64::from(old.is_none());
        self.state.replace(old, register.hash(node));
        Ok(())
    }

    fn finish(mut self) -> Result<(), Failure> {
        state::encode(STATE_KEY, self.state, &mut self.scratch.value);
        self.meta.insert(STATE_KEY, self.scratch.value.as_slice())?;
        Ok(())
    }
}
