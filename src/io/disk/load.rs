//! From rows to the store in memory, with everything checked on the way.

use std::collections::HashSet;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, TableError};

use super::Identity;
use super::engine::Failure;
use super::reader::HistoryTable;
use super::rows::{self, BadRow, ENTRIES, EntryRow, HELD, MEMBERS, META, MemberRow, NODES};
use super::state::{GAP_KEY, HORIZON_KEY, State};
use crate::model::{
    Bucket, Change, Content, Entry, Gap, HybridTime, KeyName, NodeName, NodeRegister, Store,
    Version,
};

/// What a database held when it was opened.
#[derive(Debug)]
pub struct Loaded {
    /// The store with its digest.
    pub store: Store,
    /// The last hybrid time and sequence that the member's clock gave.
    pub clock: (HybridTime, u64),
    /// Who the data directory belongs to.
    pub identity: Identity,
    /// What is missing of its own writes.
    pub gap: Option<Gap>,
    /// A number greater than at every earlier start; about the time of this one in ms.
    pub generation: u64,
    /// Starts of the daemon on this directory, this one included.
    pub boots: u64,
    /// Whether the store is new: made just now, or nothing was ever written to it.
    pub created: bool,
}

/// Reads the whole store and checks that it adds up to what the last batch wrote down.
pub(super) fn store(read: &ReadTransaction, state: &State) -> Result<Store, Failure> {
    let mut store = Store::new();
    let nodes = registers(read, &mut store)?;
    entries(read, &mut store)?;
    members(read, &mut store)?;
    held(read, &mut store)?;
    if let Some(row) = read.open_table(META)?.get(HORIZON_KEY)? {
        store.set_horizon(rows::decode(META, HORIZON_KEY, row.value())?);
    }
    let found = (nodes, store.counts().entries as u64, store.digest().root());
    if found == (state.nodes, state.entries, state.root) {
        Ok(store)
    } else {
        Err(BadRow("rows are missing or old: they do not add up to the last batch").into())
    }
}

/// What is missing of the member's own writes, if its data directory was an older copy.
pub(super) fn gap(read: &ReadTransaction) -> Result<Option<Gap>, Failure> {
    let meta = read.open_table(META)?;
    let row = meta.get(GAP_KEY)?;
    let gap = row.map(|row| rows::decode(META, GAP_KEY, row.value()));
    Ok(gap.transpose()?)
}

fn registers(read: &ReadTransaction, store: &mut Store) -> Result<u64, Failure> {
    let mut count = 0;
    for row in read.open_table(NODES)?.iter()? {
        let (key, value) = row?;
        let name = std::str::from_utf8(key.value()).map_err(|_| BAD_NAME)?;
        let node: NodeName = name.parse().map_err(|_| BAD_NAME)?;
        let register: NodeRegister = rows::decode(NODES, key.value(), value.value())?;
        store.set_register(&node, Arc::new(register));
        count += 1;
    }
    Ok(count)
}

fn entries(read: &ReadTransaction, store: &mut Store) -> Result<(), Failure> {
    let mut words = Words::default();
    let mut at: Option<NodeName> = None;
    for row in read.open_table(ENTRIES)?.iter()? {
        let (key, value) = row?;
        let (node, name) = rows::split_entry_key(key.value())?;
        let node = match at.take() {
            Some(same) if same.as_str() == node => same,
            _ => node.parse().map_err(|_| BAD_NAME)?,
        };
        let name: KeyName = name.parse().map_err(|_| BAD_NAME)?;
        let mut row = EntryRow::decode(key.value(), value.value())?;
        words.share(Arc::make_mut(&mut row.head));
        let entry = Entry {
            bucket: Bucket::of_key(&node, &name),
            sum: row.sum,
            older: row.older,
            losers: row.losers,
            head: row.head,
        };
        store.insert(&node, &name, entry);
        at = Some(node);
    }
    Ok(())
}

/// A table that a database of an earlier release may lack.
pub(super) fn table(
    read: &ReadTransaction,
    which: rows::Table,
) -> Result<Option<HistoryTable>, Failure> {
    match read.open_table(which) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn members(read: &ReadTransaction, store: &mut Store) -> Result<(), Failure> {
    let Some(table) = table(read, MEMBERS)? else {
        return Ok(());
    };
    for row in table.iter()? {
        let (key, value) = row?;
        let member = rows::member_of(key.value())?;
        let (standing, upto): MemberRow = rows::decode(MEMBERS, key.value(), value.value())?;
        if let Some(standing) = standing {
            store.set_standing(member, standing);
        }
        store.set_vector(member, upto);
    }
    Ok(())
}

fn held(read: &ReadTransaction, store: &mut Store) -> Result<(), Failure> {
    let Some(table) = table(read, HELD)? else {
        return Ok(());
    };
    for row in table.iter()? {
        let (key, value) = row?;
        let change: Change = rows::decode(HELD, key.value(), value.value())?;
        store.set_held(&change);
    }
    Ok(())
}

const BAD_NAME: BadRow = BadRow("a name that is none");

/// Authors and content types: few words, many times, kept once.
#[derive(Default)]
struct Words(HashSet<Arc<str>>);

/// Beyond so many different words the rest is not shared.
const WORDS: usize = 4096;

impl Words {
    fn share(&mut self, version: &mut Version) {
        self.one(&mut version.author);
        if let Content::Value(value) = &mut version.content {
            self.one(&mut value.content_type);
        }
    }

    fn one(&mut self, word: &mut Arc<str>) {
        if let Some(known) = self.0.get(word) {
            *word = known.clone();
        } else if self.0.len() < WORDS {
            self.0.insert(word.clone());
        }
    }
}
