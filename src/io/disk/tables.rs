//! One transaction: rows into tables, and the state that goes with them.

use redb::{Database, Durability, WriteTransaction};

use super::engine::Failure;
use super::rows::{self, ENTRIES, EntryRow, HELD, HISTORY, MEMBERS, META, MemberRow, NODES};
use super::state::{self, GAP_KEY, HORIZON_KEY, STATE_KEY, State};
use crate::model::planted::{self, Bug};
use crate::model::{KeyName, MemberId, NodeName, NodeRegister, Row, Slot};

pub(super) type Opened<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

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
    root: Option<u128>,
    state: &mut State,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    let mut txn = db.begin_write()?;
    txn.set_durability(if planted::is(Bug::NoSync) {
        Durability::None
    } else {
        Durability::Immediate
    })?;
    let mut tables = Tables::open(&txn, state, scratch)?;
    for row in rows {
        tables.put(row)?;
    }
    tables.finish(root)?;
    txn.commit()?;
    Ok(())
}

/// What a row may add to the file, roughly: itself twice (the page of a B-tree is copied, not
/// changed), and its share of two such pages.
pub(super) fn cost(row: &Row) -> u64 {
    let value = match row {
        Row::Head { head, .. } => head.size(),
        Row::Older { version, .. } => version.size(),
        Row::Hold(change) => change.size(),
        Row::Drop { .. }
        | Row::Node { .. }
        | Row::Gone(_)
        | Row::Member { .. }
        | Row::Release(_)
        | Row::Horizon(_)
        | Row::Gap(_) => 0,
    };
    8192 + 2 * value as u64
}

struct Tables<'txn, 'a> {
    entries: Opened<'txn>,
    history: Opened<'txn>,
    nodes: Opened<'txn>,
    members: Opened<'txn>,
    held: Opened<'txn>,
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
            members: txn.open_table(MEMBERS)?,
            held: txn.open_table(HELD)?,
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
                losers,
            } => {
                let row = EntryRow {
                    older: *older,
                    losers: *losers,
                    sum: *sum,
                    head: head.clone(),
                };
                self.head(node, key, &row)
            }
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
            Row::Gone(slot) => self.gone(slot),
            Row::Member {
                member,
                standing,
                upto,
            } => self.member(*member, &(standing.clone(), *upto)),
            Row::Hold(change) => {
                let Scratch { key: at, value } = self.scratch;
                rows::held_key(change, at);
                rows::encode(HELD, at, &[], change, value);
                self.held.insert(at.as_slice(), value.as_slice())?;
                Ok(())
            }
            Row::Release(change) => {
                rows::held_key(change, &mut self.scratch.key);
                self.held.remove(self.scratch.key.as_slice())?;
                Ok(())
            }
            Row::Horizon(time) => {
                state::encode(HORIZON_KEY, time, &mut self.scratch.value);
                self.meta
                    .insert(HORIZON_KEY, self.scratch.value.as_slice())?;
                Ok(())
            }
            Row::Gap(Some(gap)) => {
                state::encode(GAP_KEY, gap, &mut self.scratch.value);
                self.meta.insert(GAP_KEY, self.scratch.value.as_slice())?;
                Ok(())
            }
            Row::Gap(None) => {
                self.meta.remove(GAP_KEY)?;
                Ok(())
            }
        }
    }

    /// Takes the row of a key or a node's register away.
    fn gone(&mut self, slot: &Slot) -> Result<(), Failure> {
        let at = &mut self.scratch.key;
        match slot {
            Slot::Key(node, key) => {
                rows::entry_key(node, key, at);
                let old = self.entries.remove(at.as_slice())?;
                self.state.entries -= u64::from(old.is_some());
                let old = old.and_then(|old| rows::entry_sum(old.value()).ok());
                self.state.replace(old, 0);
            }
            Slot::Node(node) => {
                let at = node.as_str().as_bytes();
                let old = self.nodes.remove(at)?;
                self.state.nodes -= u64::from(old.is_some());
                let old = old
                    .and_then(|old| rows::decode::<NodeRegister>(NODES, at, old.value()).ok())
                    .map(|old| old.hash(node));
                self.state.replace(old, 0);
            }
            Slot::Member(_) => {}
        }
        Ok(())
    }

    fn member(&mut self, member: MemberId, row: &MemberRow) -> Result<(), Failure> {
        let at = rows::member_key(member);
        rows::encode(MEMBERS, &at, &[], row, &mut self.scratch.value);
        let old = self
            .members
            .insert(at.as_slice(), self.scratch.value.as_slice())?;
        let old = old.and_then(|old| rows::decode::<MemberRow>(MEMBERS, &at, old.value()).ok());
        let hash = |row: &MemberRow| row.0.as_ref().map_or(0, |at| at.hash(member));
        self.state.replace(old.as_ref().map(hash), hash(row));
        Ok(())
    }

    fn head(&mut self, node: &NodeName, key: &KeyName, row: &EntryRow) -> Result<(), Failure> {
        let Scratch { key: at, value } = self.scratch;
        rows::entry_key(node, key, at);
        row.encode(at, value);
        let old = self.entries.insert(at.as_slice(), value.as_slice())?;
        let is_new = old.is_none();
        // A damaged row tells nothing; the root that the ledger gives makes up for it.
        let old = old.and_then(|old| rows::entry_sum(old.value()).ok());
        self.state.entries += u64::from(is_new);
        self.state.replace(old, row.sum);
        Ok(())
    }

    fn node(&mut self, node: &NodeName, register: &NodeRegister) -> Result<(), Failure> {
        let at = node.as_str().as_bytes();
        rows::encode_node(at, register, &mut self.scratch.value);
        let old = self.nodes.insert(at, self.scratch.value.as_slice())?;
        self.state.nodes += u64::from(old.is_none());
        let old = old
            .and_then(|old| rows::decode::<NodeRegister>(NODES, at, old.value()).ok())
            .map(|old| old.hash(node));
        self.state.replace(old, register.hash(node));
        Ok(())
    }

    fn finish(mut self, root: Option<u128>) -> Result<(), Failure> {
        self.state.root = root.unwrap_or(self.state.root);
        state::encode(STATE_KEY, self.state, &mut self.scratch.value);
        self.meta.insert(STATE_KEY, self.scratch.value.as_slice())?;
        Ok(())
    }
}
