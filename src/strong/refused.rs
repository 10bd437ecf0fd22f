//! Why a command was refused. A refused command changed nothing, whatever it is about, except that
//! the log's time went on.

use serde::{Deserialize, Serialize};

use super::clock::LogTime;

/// Why a command was refused. Nothing was changed by it.
///
/// The order of the variants is part of the format of snapshots: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// Happens in normal life: the node is not there.
    #[error("there is no such strong node")]
    NodeNotFound,
    /// Happens in normal life: the key is not there.
    #[error("there is no such key in this strong node")]
    KeyNotFound,
    /// Happens in normal life: the counter is not there.
    #[error("there is no such counter")]
    CounterNotFound,
    /// Happens in normal life: no such lock is known.
    #[error("there is no such lock")]
    LockNotFound,
    /// Happens in normal life: no such log is known.
    #[error("there is no such log")]
    LogNotFound,
    /// Happens in normal life: `If-Match`, `If-None-Match` or an expected value does not hold.
    #[error("the condition does not hold: {}", match current {
        Some(version) => format!("the current version is \"{version}\""),
        None => "there is nothing there".to_owned(),
    })]
    PreconditionFailed {
        /// The version of what is there, if anything is.
        current: Option<u64>,
    },
    /// Happens after a pause: a newer token of the lock was granted, or the lock was forgotten.
    #[error("the fencing token {token} is stale: {}", match newest {
        Some(newest) => format!("token {newest} was granted since; acquire the lock again"),
        None => "the lock is not known any more; acquire it again".to_owned(),
    })]
    StaleFence {
        /// The token that was shown.
        token: u64,
        /// The newest token of that lock, if the lock is known.
        newest: Option<u64>,
    },
    /// The token was never granted: a mistake of the client's.
    #[error("the fencing token {token} was never granted; the newest one is {newest}")]
    UnknownFence {
        /// The token that was shown.
        token: u64,
        /// The newest token of that lock.
        newest: u64,
    },
    /// Happens in normal life: the sum does not fit into 64 bits; the counter stays as it is.
    #[error("the counter stands at {value}: adding {by} would overflow 64 bits")]
    CounterOverflow {
        /// What the counter holds.
        value: i64,
        /// What was to be added.
        by: i64,
    },
    /// Happens in normal life: the counter does not hold what was expected.
    #[error("the counter holds {value}, not what was expected")]
    CounterDiffers {
        /// What the counter holds.
        value: i64,
    },
    /// Happens in normal life: every place is held, and the request did not want to wait.
    #[error("the lock is held{}", match until {
        Some(_) => "; ask with max_wait to wait for it",
        None => "",
    })]
    LockHeld {
        /// When the first holder's lease runs out.
        until: Option<LogTime>,
    },
    /// Happens in normal life: the lock did not become free within `max_wait`.
    #[error("the lock did not become free within max_wait")]
    WaitOver,
    /// The nonce is not that of a holder or waiter: it is wrong, or its lease ran out.
    #[error("this nonce does not hold the lock: it is wrong, or its lease ran out")]
    WrongNonce,
    /// The lock is in use with another limit.
    #[error("the lock is in use with a limit of {limit}; use the same")]
    LimitDiffers {
        /// The limit in force.
        limit: u32,
    },
    /// The lock was deleted while the request waited for it.
    #[error("the lock was deleted while this request waited for it")]
    LockDeleted,
    /// Happens in normal life: the entries asked for were let go.
    #[error("the log begins at index {first}: what was before it was let go")]
    Trimmed {
        /// The first index that is kept.
        first: u64,
    },
    /// The idempotency key was used before, for another request.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    /// Something is larger than it may be.
    #[error("{what}: {size} is over the limit of {limit}")]
    OverLimit {
        /// What it is.
        what: Measure,
        /// Its size.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// Something is smaller than it must be.
    #[error("{what}: {size} is below the least, {least}")]
    BelowLeast {
        /// What it is.
        what: Measure,
        /// Its size.
        size: u64,
        /// The least that is allowed.
        least: u64,
    },
    /// The strong side holds as much of something as it may. Deleting goes on.
    #[error("{what}: as many as there may be, {limit}")]
    Full {
        /// What there is too much of.
        what: Measure,
        /// What is allowed.
        limit: u64,
    },
    /// An operation of a transaction was refused, and with it the whole transaction.
    #[error("operation {index} of the transaction: {why}")]
    InTransaction {
        /// Which one, from 0, in the list that was to be done.
        index: u32,
        /// Why.
        why: Box<Refused>,
    },
}

/// What a limit is about. The order of the variants is part of the format of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// Bytes of a whole command.
    CommandBytes,
    /// Bytes of the author's name.
    AuthorBytes,
    /// Fencing tokens of a command.
    Fences,
    /// Versions in a condition.
    Versions,
    /// Bytes of a value.
    ValueBytes,
    /// Bytes of a media type.
    ContentTypeBytes,
    /// Milliseconds until a key goes.
    KeyTtl,
    /// Strong nodes.
    Nodes,
    /// Keys in all strong nodes.
    Keys,
    /// Bytes in all strong nodes.
    NodesBytes,
    /// Operations in one list of a transaction.
    Operations,
    /// Bytes that a transaction reads.
    ResultBytes,
    /// Counters.
    Counters,
    /// Locks in use.
    Locks,
    /// Holders of one semaphore.
    Holders,
    /// Waiters of one lock.
    Waiters,
    /// Waiters of all locks.
    AllWaiters,
    /// Milliseconds of a lease.
    LockTtl,
    /// Milliseconds of waiting.
    MaxWait,
    /// Bytes of a lock's value.
    LockValueBytes,
    /// Logs.
    Logs,
    /// Bytes in all logs.
    LogsBytes,
    /// Entries that a log keeps.
    Retention,
    /// Milliseconds for which a log keeps its entries.
    RetentionAge,
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CommandBytes => "bytes of a request",
            Self::AuthorBytes => "bytes of an author's name",
            Self::Fences => "tokens in If-Fence",
            Self::Versions => "versions in a condition",
            Self::ValueBytes => "bytes of a value",
            Self::ContentTypeBytes => "bytes of a media type",
            Self::KeyTtl => "milliseconds of a key's ttl",
            Self::Nodes => "strong nodes",
            Self::Keys => "keys in strong nodes",
            Self::NodesBytes => "bytes in strong nodes",
            Self::Operations => "operations in one list of a transaction",
            Self::ResultBytes => "bytes that a transaction reads",
            Self::Counters => "counters",
            Self::Locks => "locks in use",
            Self::Holders => "holders of a semaphore",
            Self::Waiters => "waiters of a lock",
            Self::AllWaiters => "waiters of all locks",
            Self::LockTtl => "milliseconds of a lock's ttl",
            Self::MaxWait => "milliseconds of max_wait",
            Self::LockValueBytes => "bytes of a lock's value",
            Self::Logs => "logs",
            Self::LogsBytes => "bytes in all logs",
            Self::Retention => "entries that a log keeps",
            Self::RetentionAge => "milliseconds for which a log keeps its entries",
        })
    }
}

impl Refused {
    /// The stable code that clients go by.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NodeNotFound => "node-not-found",
            Self::KeyNotFound => "key-not-found",
            Self::CounterNotFound => "counter-not-found",
            Self::LockNotFound => "lock-not-found",
            Self::LogNotFound => "log-not-found",
            Self::PreconditionFailed { .. } => "precondition-failed",
            Self::StaleFence { .. } => "stale-fence",
            Self::UnknownFence { .. } => "unknown-fence",
            Self::CounterOverflow { .. } => "counter-overflow",
            Self::CounterDiffers { .. } => "counter-differs",
            Self::LockHeld { .. } => "lock-held",
            Self::WaitOver => "wait-over",
            Self::WrongNonce => "wrong-nonce",
            Self::LimitDiffers { .. } => "limit-differs",
            Self::LockDeleted => "lock-deleted",
            Self::Trimmed { .. } => "trimmed",
            Self::KeyReused => "idempotency-key-reused",
            Self::OverLimit { .. } => "over-limit",
            Self::BelowLeast { .. } => "below-least",
            Self::Full { .. } => "strong-side-full",
            Self::InTransaction { why, .. } => why.code(),
        }
    }
}

/// Refuses what is over its limit.
pub(super) fn at_most(what: Measure, size: usize, limit: usize) -> Result<(), Refused> {
    within(what, size as u64, 0, limit as u64)
}

/// Refuses what is below the least or over the limit.
pub(super) fn within(what: Measure, size: u64, least: u64, limit: u64) -> Result<(), Refused> {
    if size > limit {
        return Err(Refused::OverLimit { what, size, limit });
    }
    if size < least {
        return Err(Refused::BelowLeast { what, size, least });
    }
    Ok(())
}

/// Refuses when there is more of something than there may be.
pub(super) fn room(what: Measure, size: usize, limit: usize) -> Result<(), Refused> {
    let limit = limit as u64;
    if size as u64 > limit {
        return Err(Refused::Full { what, limit });
    }
    Ok(())
}
