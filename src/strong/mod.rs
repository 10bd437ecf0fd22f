//! What the Raft log means: the replicated state machine of the strong side, pure.
//!
//! Raft gives every member the same entries in the same order. This room says what an entry is and
//! what it does: [`State::apply`] takes one after the other, and the same entries give the same
//! state, to the byte, on every member. So nothing here reads a clock, draws a random number or
//! asks anybody: the leader writes its time, and the nonce of a request, into the entry.
//!
//! | file | what it is about |
//! |---|---|
//! | `command` | entries as they stand in the log, their bytes and their limits |
//! | `clock` | the log's own time, by which leases run out |
//! | `state` | the whole state; how an entry is applied: time first, then the command, all or nothing |
//! | `nodes` | strong nodes: keys with versions, conditions, time to live |
//! | `leaders` | who led, since when |
//! | `listing` | nodes of both classes, as readers see them |
//! | `txn` | transactions: compare, then, else |
//! | `counters` | numbers |
//! | `locks` | locks, semaphores, elections; fencing tokens |
//! | `log` | ordered logs with retention |
//! | `requests` | idempotency keys: a retry is done once |
//! | `outcome` | what comes of a command: the answer, and events for those who follow |
//! | `refused` | why a command is refused, with stable codes |
//! | `snapshot` | the state as a stream of bounded pieces, and back |
//!
//! A command that is refused changes nothing but the time. Everything that comes from outside has a
//! bound, a named constant beside what it bounds.

mod clock;
mod command;
mod counters;
pub mod engine;
mod leaders;
mod listing;
mod locks;
mod log;
mod name;
mod nodes;
mod outcome;
mod refused;
mod requests;
#[cfg(test)]
pub(crate) mod samples;
mod snapshot;
mod state;
mod txn;

pub use clock::{LogClock, LogTime, Millis, Place};
pub use command::{
    COMMAND_LIMIT, Command, ENTRY_VERSION, Entry, EntryError, FENCES_LIMIT, Fence, Op,
};
pub use counters::{COUNTERS_LIMIT, Counter, CounterOp, Counters};
pub use leaders::{LEADERS_LIMIT, Leaders};
pub use listing::{Listed, listing};
pub use locks::{
    ALL_WAITERS_LIMIT, Acquire, HOLDERS_LIMIT, Holder, LOCK_IDLE, LOCK_TTL_LEAST, LOCK_TTL_LIMIT,
    LOCK_VALUE_LIMIT, LOCKS_LIMIT, Lock, LockCommand, Locks, MAX_WAIT_LIMIT, Nonce, WAITERS_LIMIT,
    Waiter,
};
pub use log::{
    AGE_LIMIT, AGE_STEP, LOG_BYTES_LIMIT, LOGS_BYTES_LIMIT, LOGS_LIMIT, Log, LogOp, Logs,
    PAGE_BYTES_LIMIT, PAGE_LIMIT, Page, RETENTION_LIMIT, Retention,
};
pub use log::{ITEM_BYTES as LOG_ITEM_BYTES, Item as LogItem};
pub use name::{CounterName, JSON_DEPTH, JSON_LIMIT, Json, JsonError, LockName, LogName};
pub use nodes::{
    Condition, ITEM_BYTES, Item, KEY_TTL_LIMIT, KEYS_LIMIT, Match, NODES_BYTES_LIMIT, NODES_LIMIT,
    Node, NodeOp, Nodes, STRONG_VALUE_LIMIT, VERSIONS_LIMIT,
};
pub use outcome::{Answer, Cause, End, Event, LockEvent, Outcome};
pub use refused::{Measure, Refused};
pub use requests::{
    RECORD_BYTES, REQUEST_AGE, REQUEST_KEY_LIMIT, REQUESTS_BYTES_LIMIT, REQUESTS_LIMIT, RequestId,
    RequestKey, RequestKeyError, Requests,
};
pub use snapshot::{PIECE_BYTES, PIECE_VERSION, Pieces, Restore, SnapshotError};
pub use state::{Applied, OutOfOrder, State};
pub use txn::{KeyTest, RESULT_LIMIT, Relation, TXN_LIMIT, Test, Txn};
