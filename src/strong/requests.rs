//! What was answered under which idempotency key, so that a retry is done once.
//!
//! A record is kept for [`REQUEST_AGE`] of log time, and only as long as there is room: the oldest
//! goes first. A retry gets the answer of the first try, refusals included. A request that waits
//! for a lock has its record changed when it is granted or leaves, so a retry is told what became
//! of it; not, however, that a lease that was granted has run out since: that is told by its end.

use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::clock::{LogTime, Millis};
use super::command::size;
use super::outcome::{Answer, Settled};
use super::refused::Refused;

/// The longest idempotency key, in bytes.
pub const REQUEST_KEY_LIMIT: usize = 255;
/// How long an answer is remembered: a day.
pub const REQUEST_AGE: Millis = Millis::seconds(24 * 3600);
/// The most answers that are remembered.
pub const REQUESTS_LIMIT: usize = 100_000;
/// The most bytes of answers that are remembered: 64 MiB.
pub const REQUESTS_BYTES_LIMIT: usize = 64 << 20;
/// What a record is counted for beside its answer and names, in bytes.
pub const RECORD_BYTES: usize = 128;

/// A text that is no idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an Idempotency-Key has 1 to {REQUEST_KEY_LIMIT} bytes and no control characters")]
pub struct RequestKeyError;

/// The key under which a client repeats a request: 1 to 255 bytes, no control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestKey(Arc<str>);

impl RequestKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for RequestKey {
    type Err = RequestKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=REQUEST_KEY_LIMIT).contains(&text.len());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(RequestKeyError)
        }
    }
}

impl TryFrom<String> for RequestKey {
    type Error = RequestKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RequestKey> for String {
    fn from(key: RequestKey) -> Self {
        key.as_str().to_owned()
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// Whose request it is, and under which key. Two authors can use the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// Who asked.
    pub author: Arc<str>,
    /// Under which key.
    pub key: RequestKey,
}

/// What is remembered of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The index of its entry.
    pub(super) index: u64,
    /// When it was.
    pub(super) at: LogTime,
    /// What was asked: [`super::Entry::fingerprint`].
    pub(super) fingerprint: u128,
    /// What was answered.
    pub(super) answer: Answer,
}

/// All requests that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    records: OrdMap<RequestId, Arc<Record>>,
    by_age: OrdMap<u64, RequestId>,
    bytes: usize,
}

impl Requests {
    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The answer to a request that was done before; a refusal if the key was used for another.
    pub(super) fn recall(&self, id: &RequestId, fingerprint: u128) -> Option<Answer> {
        let record = self.records.get(id)?;
        if record.fingerprint == fingerprint {
            Some(record.answer.clone())
        } else {
            Some(Err(Refused::KeyReused))
        }
    }

    /// Remembers an answer; the oldest ones go if there is no room.
    pub(super) fn remember(&mut self, id: RequestId, record: Record) {
        self.restore(id, record);
        while (self.records.len() > REQUESTS_LIMIT || self.bytes > REQUESTS_BYTES_LIMIT)
            && self.forget_oldest()
        {}
    }

    /// Changes the answer of a request that waited, if it is remembered still.
    pub(super) fn settle(&mut self, settled: Settled) {
        let id = settled.request;
        if let Some(record) = self.records.get(&id)
            && record.index == settled.index
        {
            let record = Record {
                answer: settled.answer,
                ..Record::clone(record)
            };
            self.remember(id, record);
        }
    }

    /// Forgets what is older than [`REQUEST_AGE`].
    pub(super) fn lapse(&mut self, now: LogTime) {
        while let Some((_, id)) = self.by_age.get_min()
            && let Some(record) = self.records.get(id)
            && record.at.after(REQUEST_AGE) <= now
        {
            self.forget_oldest();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&RequestId, &Arc<Record>)> {
        self.records.iter()
    }

    fn forget_oldest(&mut self) -> bool {
        let oldest = self.by_age.get_min().map(|(_, id)| id.clone());
        oldest.is_some_and(|id| self.forget(&id))
    }

    fn forget(&mut self, id: &RequestId) -> bool {
        let Some(record) = self.records.remove(id) else {
            return false;
        };
        self.by_age.remove(&record.index);
        self.bytes -= weight(id, &record);
        true
    }

    /// Takes a record, also from a snapshot.
    pub(super) fn restore(&mut self, id: RequestId, record: Record) {
        self.forget(&id);
        self.bytes += weight(&id, &record);
        self.by_age.insert(record.index, id.clone());
        self.records.insert(id, Arc::new(record));
    }
}

fn weight(id: &RequestId, record: &Record) -> usize {
    size(id) + size(&record.answer) + RECORD_BYTES
}

#[cfg(test)]
mod tests;
