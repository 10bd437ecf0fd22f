//! The state as a stream of bounded pieces, and back.
//!
//! A piece is one byte of version, then postcard rows, one behind the other, up to [`PIECE_BYTES`]
//! (one row may be larger on its own: a value is not cut). The rows stand in the order of the maps,
//! so equal states give equal pieces: a follower that was cut off goes on with the next piece of
//! the same snapshot, whichever member sends it. The last row carries the count and a hash of all
//! rows before it; a stream that is short, mixed or damaged makes no state. Sums and deadlines are
//! not sent but made again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{KeyName, NodeName};

use super::clock::{LogClock, LogTime, Place};
use super::counters::Counter;
use super::locks::{Holder, Waiter};
use super::log::{self, Retention};
use super::name::{CounterName, LockName, LogName};
use super::nodes::Item;
use super::requests::{Record, RequestId};
use super::state::State;

/// The version of the pieces.
pub const PIECE_VERSION: u8 = 2;
/// The size at which a piece is full, in bytes: 1 MiB.
pub const PIECE_BYTES: usize = 1 << 20;

/// One row. The order of the variants is the format.
#[derive(Debug, Serialize, Deserialize)]
enum Row {
    Clock(LogClock),
    Node(NodeName, u64, u64),
    Key(NodeName, KeyName, Arc<Item>),
    Counter(CounterName, Counter),
    Tokens(u64),
    Lock(LockName, u32, u64, Option<LogTime>),
    Holder(LockName, u64, Holder),
    Waiter(LockName, u64, Waiter),
    Log(LogName, u64, Retention),
    Item(LogName, u64, Arc<log::Item>),
    Request(RequestId, Arc<Record>),
    End { rows: u64, hash: [u8; 32] },
    Leader(Place),
}

/// Why pieces make no state. Nothing was changed: the state in force goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It was written by another release.
    #[error(
        "the snapshot has version {0}, this member knows {PIECE_VERSION}: update the older one"
    )]
    Version(u8),
    /// A row does not read, or belongs to nothing.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// Pieces are missing.
    #[error("the snapshot is not whole")]
    Short,
}

/// The pieces of a state, one after the other.
#[expect(
    missing_debug_implementations,
    reason = "it holds an iterator over a whole state"
)]
pub struct Pieces<'a> {
    rows: Box<dyn Iterator<Item = Row> + Send + 'a>,
    hasher: blake3::Hasher,
    count: u64,
    over: Option<Vec<u8>>,
    is_done: bool,
}

impl State {
    /// The state as pieces. The same state always gives the same ones.
    pub fn pieces(&self) -> Pieces<'_> {
        Pieces {
            rows: Box::new(self.rows()),
            hasher: blake3::Hasher::new(),
            count: 0,
            over: None,
            is_done: false,
        }
    }

    fn rows(&self) -> impl Iterator<Item = Row> + Send + '_ {
        let nodes = self.nodes.iter().flat_map(|(name, node)| {
            let head = Row::Node(name.clone(), node.created(), node.version());
            let keys = node.keys();
            std::iter::once(head)
                .chain(keys.map(|(key, item)| Row::Key(name.clone(), key.clone(), item.clone())))
        });
        let counters = self.counters.iter();
        let counters = counters.map(|(name, counter)| Row::Counter(name.clone(), *counter));
        let locks = self.locks.iter().flat_map(|(name, lock)| {
            let head = Row::Lock(name.clone(), lock.limit(), lock.newest(), lock.idle());
            let holders = lock.holders();
            let holders = holders.map(|(at, one)| Row::Holder(name.clone(), *at, one.clone()));
            let waiters = lock.waiters();
            let waiters = waiters.map(|(at, one)| Row::Waiter(name.clone(), *at, one.clone()));
            std::iter::once(head).chain(holders).chain(waiters)
        });
        let logs = self.logs.iter().flat_map(|(name, log)| {
            let head = Row::Log(name.clone(), log.next(), log.retention());
            let items = log.items();
            std::iter::once(head)
                .chain(items.map(|(index, item)| Row::Item(name.clone(), *index, item.clone())))
        });
        let requests = self.requests.iter();
        let requests = requests.map(|(id, record)| Row::Request(id.clone(), record.clone()));
        [
            Row::Clock(self.clock.clone()),
            Row::Tokens(self.locks.newest()),
        ]
        .into_iter()
        .chain(self.leaders.all().map(Row::Leader))
        .chain(nodes)
        .chain(counters)
        .chain(locks)
        .chain(logs)
        .chain(requests)
    }
}

impl Pieces<'_> {
    /// The next row as bytes: the last one seals the others.
    fn row(&mut self) -> Option<Vec<u8>> {
        if let Some(over) = self.over.take() {
            return Some(over);
        }
        if self.is_done {
            return None;
        }
        let row = self.rows.next().unwrap_or_else(|| {
            self.is_done = true;
            Row::End {
                rows: self.count,
                hash: self.hasher.finalize().into(),
            }
        });
        let bytes = postcard::to_stdvec(&row).expect("writing to memory does not fail");
        self.hasher.update(&bytes);
        self.count += 1;
        Some(bytes)
    }
}

impl Iterator for Pieces<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut piece = vec![PIECE_VERSION];
        piece.extend(self.row()?);
        while piece.len() < PIECE_BYTES
            && let Some(row) = self.row()
        {
            if piece.len() + row.len() > PIECE_BYTES {
                self.over = Some(row);
                break;
            }
            piece.extend(row);
        }
        Some(piece)
    }
}

/// A state that is being made from pieces.
#[derive(Debug, Default)]
pub struct Restore {
    state: State,
    hasher: blake3::Hasher,
    count: u64,
    is_whole: bool,
}

impl Restore {
    /// Takes the next piece. After an error the whole snapshot must be sent again.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        let (version, mut rest) = piece.split_first().ok_or(SnapshotError::Short)?;
        if *version != PIECE_VERSION {
            return Err(SnapshotError::Version(*version));
        }
        while !rest.is_empty() {
            if self.is_whole {
                return Err(SnapshotError::Damaged("there are rows behind the last one"));
            }
            let damaged = |_| SnapshotError::Damaged("a row does not read");
            let (row, behind) = postcard::take_from_bytes(rest).map_err(damaged)?;
            let length = rest.len() - behind.len();
            self.row(row)?;
            self.hasher.update(&rest[..length]);
            self.count += 1;
            rest = behind;
        }
        Ok(())
    }

    /// The state, if the pieces were whole.
    pub fn finish(self) -> Result<State, SnapshotError> {
        if self.is_whole {
            Ok(self.state)
        } else {
            Err(SnapshotError::Short)
        }
    }

    fn row(&mut self, row: Row) -> Result<(), SnapshotError> {
        let state = &mut self.state;
        let has_owner = match row {
            Row::Clock(clock) => {
                state.clock = clock;
                true
            }
            Row::Leader(at) => {
                state.leaders.took_over(at);
                true
            }
            Row::Node(name, created, version) => {
                state.nodes.restore_node(name, created, version);
                true
            }
            Row::Key(node, key, item) => state.nodes.restore_key(&node, &key, &item),
            Row::Counter(name, counter) => {
                state.counters.restore(name, counter);
                true
            }
            Row::Tokens(newest) => {
                state.locks.restore_newest(newest);
                true
            }
            Row::Lock(name, limit, newest, idle) => {
                state.locks.restore(name, limit, newest, idle);
                true
            }
            Row::Holder(name, token, one) => state.locks.restore_holder(&name, token, one),
            Row::Waiter(name, at, one) => state.locks.restore_waiter(&name, at, one),
            Row::Log(name, next, retention) => {
                state.logs.restore(name, next, retention);
                true
            }
            Row::Item(name, index, item) => state.logs.restore_item(&name, index, item),
            Row::Request(id, record) => {
                state.requests.restore(id, Record::clone(&record));
                true
            }
            Row::End { rows, hash } => {
                self.is_whole = rows == self.count && self.hasher.finalize() == hash;
                if !self.is_whole {
                    return Err(SnapshotError::Damaged("rows are missing or changed"));
                }
                true
            }
        };
        if has_owner {
            Ok(())
        } else {
            Err(SnapshotError::Damaged("a row belongs to nothing"))
        }
    }
}

#[cfg(test)]
mod tests;
