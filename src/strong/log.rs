//! Ordered logs: JSON texts, each with an index, on every member in the same order.
//!
//! Within a log, indexes are 1, 2, 3 … without a gap; they go on after entries were let go, so an
//! index never means two entries. Over all logs, entries are ordered by position (the index of the
//! Raft log) and then, for those of one transaction, as they stand in it. Old entries are let go by
//! the log's retention; a reader who is too late is told so ([`Refused::Trimmed`]) and from where
//! on it can go on: never a silent gap. A log cannot be deleted, for its indexes would begin again.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::model::WallTime;

use super::clock::{LogTime, Millis};
use super::name::{Json, LogName};
use super::outcome::{Answer, Event, Outcome, Scene};
use super::refused::{Measure, Refused, room, within};

/// The most logs.
pub const LOGS_LIMIT: usize = 10_000;
/// The most entries that a log can be set to keep.
pub const RETENTION_LIMIT: u64 = 1_000_000;
/// The most bytes that one log keeps, [`ITEM_BYTES`] for each entry included: 64 MiB. Beyond it the
/// oldest are let go, whatever the retention says.
pub const LOG_BYTES_LIMIT: usize = 64 << 20;
/// The most bytes in all logs: 1 GiB. Beyond it nothing is appended.
pub const LOGS_BYTES_LIMIT: usize = 1 << 30;
/// What an entry is counted for beside its text, in bytes.
pub const ITEM_BYTES: usize = 128;
/// The most entries of one page.
pub const PAGE_LIMIT: usize = 10_000;
/// The most bytes of one page, unless one entry alone has more: 8 MiB.
pub const PAGE_BYTES_LIMIT: usize = 8 << 20;
/// The longest time for which a log can be set to keep its entries, short of for ever: ten years.
pub const AGE_LIMIT: Millis = Millis::seconds(10 * 366 * 24 * 3600);
/// How often a log is looked at for entries that are too old.
pub const AGE_STEP: Millis = Millis::seconds(60);

/// An operation on an ordered log. The order of the variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogOp {
    /// Appends an entry; the log is made if it is not there.
    Append {
        /// The log.
        name: LogName,
        /// The entry.
        json: Json,
    },
    /// Sets what the log keeps; it is made if it is not there.
    Configure {
        /// The log.
        name: LogName,
        /// What it keeps.
        retention: Retention,
    },
    /// Lets go of entries.
    Trim {
        /// The log.
        name: LogName,
        /// Those with a smaller index.
        before: u64,
    },
}

/// What a log keeps. What is too much or too old by either is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How many entries, 1 to [`RETENTION_LIMIT`], default 100,000.
    pub count: u64,
    /// For how long, up to [`AGE_LIMIT`]; none: for ever. In steps of [`AGE_STEP`]: an entry can
    /// stay that much longer.
    pub age: Option<Millis>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            count: 100_000,
            age: None,
        }
    }
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The index in the Raft log.
    pub position: u64,
    /// When it was appended.
    pub at: LogTime,
    /// The leader's wall clock at that time; for people.
    pub written: WallTime,
    /// Who appended it.
    pub author: Arc<str>,
    /// What was appended.
    pub json: Json,
}

/// One log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    next: u64,
    retention: Retention,
    items: OrdMap<u64, Arc<Item>>,
    bytes: usize,
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries with their indexes.
    pub items: Vec<(u64, Arc<Item>)>,
    /// The first index that the log keeps, or the next one if it keeps none.
    pub first: u64,
    /// From where to read on: the index behind the last entry of this page.
    pub resume: u64,
}

/// All logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    all: OrdMap<LogName, Log>,
    bytes: usize,
    due: OrdSet<(LogTime, LogName)>,
}

impl LogOp {
    pub(super) fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Configure { retention, .. } => {
                let age = retention.age.unwrap_or(AGE_LIMIT).0;
                within(Measure::RetentionAge, age, 1, AGE_LIMIT.0)?;
                within(Measure::Retention, retention.count, 1, RETENTION_LIMIT)
            }
            Self::Append { .. } | Self::Trim { .. } => Ok(()),
        }
    }
}

impl Log {
    fn new(next: u64, retention: Retention) -> Self {
        Self {
            next,
            retention,
            items: OrdMap::new(),
            bytes: 0,
        }
    }

    /// The index that the next entry gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The first index that is kept, or the next one if none is.
    pub fn first(&self) -> u64 {
        self.items.get_min().map_or(self.next, |(index, _)| *index)
    }

    /// What it keeps.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// The entries that are kept, with their indexes, the oldest first.
    pub fn items(&self) -> impl Iterator<Item = (&u64, &Arc<Item>)> {
        self.items.iter()
    }

    /// The entry with an index, if it is kept.
    pub fn item(&self, index: u64) -> Option<&Arc<Item>> {
        self.items.get(&index)
    }

    /// The entries from an index on (0: from the first that is kept): at most `limit`, and at most
    /// `bytes` unless the first one alone has more; both within [`PAGE_LIMIT`] and
    /// [`PAGE_BYTES_LIMIT`]. An index that is yet to come gives an empty page.
    pub fn read(&self, from: u64, limit: usize, bytes: usize) -> Result<Page, Refused> {
        let first = self.first();
        if (1..first).contains(&from) {
            return Err(Refused::Trimmed { first });
        }
        let mut page = Page {
            items: Vec::new(),
            first,
            resume: from.max(first),
        };
        let mut left = bytes.min(PAGE_BYTES_LIMIT);
        for (index, item) in self.items.range(page.resume..).take(limit.min(PAGE_LIMIT)) {
            let size = weight(item);
            if size > left && !page.items.is_empty() {
                break;
            }
            left = left.saturating_sub(size);
            page.items.push((*index, item.clone()));
            page.resume = index + 1;
        }
        Ok(page)
    }

    /// When it must be looked at for entries that are too old.
    fn due(&self) -> Option<LogTime> {
        let age = self.retention.age?;
        let (_, oldest) = self.items.get_min()?;
        let over = oldest.at.after(age).millis();
        let rounded = over.div_ceil(AGE_STEP.0).saturating_mul(AGE_STEP.0);
        Some(LogTime::from_millis(rounded))
    }

    fn drop_oldest(&mut self) {
        if let Some(index) = self.items.get_min().map(|(index, _)| *index)
            && let Some(item) = self.items.remove(&index)
        {
            self.bytes -= weight(&item);
        }
    }

    /// Lets go of what the retention does not keep.
    fn retain(&mut self) {
        let over = |log: &Self| {
            log.items.len() as u64 > log.retention.count || log.bytes > LOG_BYTES_LIMIT
        };
        while over(self) {
            self.drop_oldest();
        }
    }

    fn drop_older(&mut self, now: LogTime) {
        let Some(age) = self.retention.age else {
            return;
        };
        while let Some((_, oldest)) = self.items.get_min()
            && oldest.at.after(age) <= now
        {
            self.drop_oldest();
        }
    }

    fn drop_before(&mut self, before: u64) {
        while self
            .items
            .get_min()
            .is_some_and(|(index, _)| *index < before)
        {
            self.drop_oldest();
        }
    }
}

fn weight(item: &Item) -> usize {
    item.json.as_str().len() + ITEM_BYTES
}

impl Logs {
    /// A log.
    pub fn log(&self, name: &str) -> Option<&Log> {
        self.all.get(name)
    }

    /// All logs in the order of their names' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&LogName, &Log)> {
        self.all.iter()
    }

    /// The bytes in all logs, as [`LOGS_BYTES_LIMIT`] counts them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn next_deadline(&self) -> Option<LogTime> {
        self.due.get_min().map(|(at, _)| *at)
    }

    /// Lets go of entries that are too old.
    pub(super) fn lapse(&mut self, scene: &mut Scene<'_>) {
        while let Some((at, name)) = self.due.get_min().cloned()
            && at <= scene.now
        {
            let now = scene.now;
            self.change(&name, scene, |log| log.drop_older(now));
        }
    }

    pub(super) fn perform(&mut self, op: &LogOp, scene: &mut Scene<'_>) -> Answer {
        match op {
            LogOp::Append { name, json } => self.append(name, json, scene),
            LogOp::Configure { name, retention } => {
                self.make(name)?;
                let now = scene.now;
                let first = self.change(name, scene, |log| {
                    log.retention = *retention;
                    log.retain();
                    log.drop_older(now);
                });
                Ok(Outcome::Kept { first })
            }
            LogOp::Trim { name, before } => {
                self.log(name.as_str()).ok_or(Refused::LogNotFound)?;
                let first = self.change(name, scene, |log| log.drop_before(*before));
                Ok(Outcome::Kept { first })
            }
        }
    }

    fn append(&mut self, name: &LogName, json: &Json, scene: &mut Scene<'_>) -> Answer {
        self.make(name)?;
        let item = Arc::new(Item {
            position: scene.index,
            at: scene.now,
            written: scene.written,
            author: scene.author.clone(),
            json: json.clone(),
        });
        let index = self.log(name.as_str()).map_or(1, Log::next);
        scene.events.push(Event::Appended {
            name: name.clone(),
            index,
            item: item.clone(),
        });
        self.change(name, scene, |log| {
            log.next += 1;
            log.bytes += weight(&item);
            log.items.insert(index, item);
            log.retain();
        });
        room(Measure::LogsBytes, self.bytes, LOGS_BYTES_LIMIT)?;
        let position = scene.index;
        Ok(Outcome::Appended { index, position })
    }

    fn make(&mut self, name: &LogName) -> Result<(), Refused> {
        if !self.all.contains_key(name) {
            room(Measure::Logs, self.all.len() + 1, LOGS_LIMIT)?;
            let log = Log::new(1, Retention::default());
            self.all.insert(name.clone(), log);
        }
        Ok(())
    }

    /// The one place where a log changes: the sums and deadlines go with it, and what was let go is
    /// told. Returns the first index that is kept.
    fn change(
        &mut self,
        name: &LogName,
        scene: &mut Scene<'_>,
        change: impl FnOnce(&mut Log),
    ) -> u64 {
        let Some(log) = self.all.get_mut(name) else {
            return 1;
        };
        let (bytes, first, due) = (log.bytes, log.first(), log.due());
        change(log);
        self.bytes = self.bytes - bytes + log.bytes;
        let kept = log.first();
        if due != log.due() {
            if let Some(at) = due {
                self.due.remove(&(at, name.clone()));
            }
            if let Some(at) = log.due() {
                self.due.insert((at, name.clone()));
            }
        }
        if kept > first {
            let (name, first) = (name.clone(), kept);
            scene.events.push(Event::Trimmed { name, first });
        }
        kept
    }

    /// Takes a log from a snapshot, as yet without entries.
    pub(super) fn restore(&mut self, name: LogName, next: u64, retention: Retention) {
        self.all.insert(name, Log::new(next, retention));
    }

    /// Takes an entry from a snapshot; says whether its log is there.
    pub(super) fn restore_item(&mut self, name: &LogName, index: u64, item: Arc<Item>) -> bool {
        let Some(log) = self.all.get_mut(name) else {
            return false;
        };
        log.bytes += weight(&item);
        self.bytes += weight(&item);
        log.items.insert(index, item);
        if let Some(at) = log.due() {
            self.due.insert((at, name.clone()));
        }
        true
    }
}

#[cfg(test)]
mod tests;
