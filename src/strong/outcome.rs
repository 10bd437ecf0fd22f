//! What comes of a command: its outcome, for whoever asked, and events, for whoever follows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{KeyName, NodeName, WallTime};

use super::clock::{LogTime, Place};
use super::locks::Nonce;
use super::log;
use super::name::{CounterName, LockName, LogName};
use super::nodes::Item;
use super::refused::Refused;
use super::requests::RequestId;

/// What a command came to, or why it was refused.
pub type Answer = Result<Outcome, Refused>;

/// What a command came to. The order of the variants is part of the format of snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// There is nothing to tell.
    Done,
    /// A key or node was written.
    Written {
        /// Its version: the index of this entry, or the old one if nothing had to be changed.
        version: u64,
        /// Whether it was not there before.
        created: bool,
    },
    /// A key or node was deleted.
    Deleted,
    /// What a key holds.
    Key(Option<Arc<Item>>),
    /// What a counter holds; none if there is no such counter.
    Counter(Option<i64>),
    /// The lock is held.
    Granted {
        /// What proves it; a secret of the holder's.
        nonce: Nonce,
        /// The fencing token.
        token: u64,
        /// When the lease runs out unless it is renewed.
        expires: LogTime,
    },
    /// The request waits for the lock. What becomes of it is told by an event with this nonce.
    Waiting {
        /// What will prove it.
        nonce: Nonce,
        /// How many wait before it.
        ahead: u64,
        /// When it gives up.
        until: LogTime,
    },
    /// The lock was given back, or the place among the waiters.
    Released,
    /// An entry was appended to an ordered log.
    Appended {
        /// Its index in that log.
        index: u64,
        /// The index in the Raft log, by which entries of all logs are in order.
        position: u64,
    },
    /// A log keeps what is from this index on.
    Kept {
        /// The first index kept, or the next one if there is none.
        first: u64,
    },
    /// A transaction was done.
    Txn {
        /// Whether the tests held: which of the two lists was done.
        held: bool,
        /// What each operation of that list came to.
        results: Vec<Outcome>,
    },
}

/// Something that happened to the state, in the order in which it did. The events of one entry
/// belong together: a reader of the state sees all of them or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A leader took over: this is its first entry.
    Leader(Place),
    /// A strong node came into being.
    NodeCreated(NodeName),
    /// A strong node was deleted; an event for each of its keys came before.
    NodeDeleted(NodeName),
    /// A key was written or went.
    Key {
        /// The node.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// What it held, if it was there.
        old: Option<Arc<Item>>,
        /// What it holds, if it is there.
        new: Option<Arc<Item>>,
        /// Why.
        cause: Cause,
    },
    /// A counter was written or deleted.
    Counter {
        /// The counter.
        name: CounterName,
        /// What it held.
        old: Option<i64>,
        /// What it holds.
        new: Option<i64>,
    },
    /// Something happened to a lock.
    Lock {
        /// The lock.
        name: LockName,
        /// What happened.
        what: LockEvent,
    },
    /// An entry was appended to an ordered log.
    Appended {
        /// The log.
        name: LogName,
        /// Its index in that log.
        index: u64,
        /// The entry.
        item: Arc<log::Item>,
    },
    /// A log let go of what was before an index.
    Trimmed {
        /// The log.
        name: LogName,
        /// The first index that is kept.
        first: u64,
    },
}

/// Why a key changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A command asked for it.
    Command,
    /// Its time to live was over.
    Time,
}

/// What happened to a lock. Nonces are for whoever waits on this member for this very request; a
/// face must not show them to anybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockEvent {
    /// It was granted.
    Granted {
        /// The request.
        nonce: Nonce,
        /// Its fencing token.
        token: u64,
        /// When the lease runs out.
        expires: LogTime,
        /// The value that the holder publishes.
        value: Option<Arc<str>>,
    },
    /// A request waits for it.
    Queued {
        /// The request.
        nonce: Nonce,
    },
    /// A request that holds it or waits for it was sent again.
    Asked {
        /// The request.
        nonce: Nonce,
        /// What was drawn for this try.
        by: Nonce,
    },
    /// The holder published another value.
    Published {
        /// The holder's fencing token.
        token: u64,
        /// The value.
        value: Arc<str>,
    },
    /// A holder does not hold it any more.
    Ended {
        /// The holder.
        nonce: Nonce,
        /// Its fencing token.
        token: u64,
        /// Why.
        why: End,
    },
    /// A waiter does not wait any more.
    Left {
        /// The request.
        nonce: Nonce,
        /// Why.
        why: End,
    },
}

/// Why somebody holds a lock, or waits for it, no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was given back.
    Released,
    /// The lease ran out, or `max_wait` passed.
    TimeOut,
    /// The lock was deleted.
    Deleted,
}

/// Where a command is applied: when, by whom, and where events go.
pub(super) struct Scene<'a> {
    /// The index of the entry.
    pub(super) index: u64,
    /// The log's time.
    pub(super) now: LogTime,
    /// The leader's wall clock; for people.
    pub(super) written: WallTime,
    /// Who asks.
    pub(super) author: &'a Arc<str>,
    /// Under which idempotency key.
    pub(super) request: Option<&'a RequestId>,
    /// What happened.
    pub(super) events: Vec<Event>,
    /// Requests that waited and have their answer now.
    pub(super) settled: Vec<Settled>,
}

/// A request that waited and has its answer now.
pub(super) struct Settled {
    /// Under which idempotency key it was asked.
    pub(super) request: RequestId,
    /// The index of its entry, by which it is told from a later one with the same key.
    pub(super) index: u64,
    /// The answer.
    pub(super) answer: Answer,
}
