//! The log of the strong side as it lies on the disk, and whether it is what was written.
//!
//! Each portion is held against the row of `meta` of the same commit, which says where the log
//! begins and ends: so it does not matter what is dropped between two portions.

use redb::TableHandle;

use super::audit::{Portion, Rows, Tables};
use super::fault::{Fault, of_page};
use super::pages::Pages;
use super::rows::{self, BadRow, META, RAFT_LOG, RAFT_SNAPSHOTS};
use super::state::LOG_KEY;
use super::strong::{index_of, piece_of};
use crate::strong::engine::Kept;

/// Where a portion of the log begins: after which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LogAt {
    Entries(Option<Vec<u8>>),
    Pieces(Option<Vec<u8>>),
}

impl Tables {
    /// The beginning of the log; none if there is none.
    pub(super) fn log_begins(&self) -> Option<LogAt> {
        let is_there = self.log.is_some() || self.snapshots.is_some();
        is_there.then_some(LogAt::Entries(None))
    }

    /// Reads a portion of about `limit` bytes; says where the next one begins.
    pub(super) fn of_log(
        &self,
        pages: &mut Pages,
        at: &LogAt,
        limit: u64,
    ) -> (Portion, Option<LogAt>) {
        let mut portion = Portion::default();
        let kept = match self.kept(pages) {
            Ok(kept) => kept,
            Err(why) => {
                let what = format!("log: {why}");
                portion.faults.push(Fault::new("meta", what));
                return (portion, None);
            }
        };
        let next = match at {
            LogAt::Entries(after) => {
                self.of_log_entries(pages, &kept, after.as_ref(), limit, &mut portion)
            }
            LogAt::Pieces(after) => self.of_pieces(pages, after.as_ref(), limit, &mut portion),
        };
        (portion, next)
    }

    fn kept(&self, pages: &mut Pages) -> Result<Kept, BadRow> {
        let rows = self.meta(pages, &mut Vec::new());
        let row = rows.iter().find(|(key, _)| key == LOG_KEY);
        let (key, value) = row.ok_or(BadRow("the row is missing, and there is a log"))?;
        rows::decode(META, key, value)
    }

    fn of_log_entries(
        &self,
        pages: &mut Pages,
        kept: &Kept,
        after: Option<&Vec<u8>>,
        limit: u64,
        portion: &mut Portion,
    ) -> Option<LogAt> {
        let table = RAFT_LOG.name();
        let mut rest = Expected::after(kept, after.map(Vec::as_slice));
        let (mut bad, mut rows) = (Vec::new(), Rows::new(self.log, after.cloned()));
        let mut next = Some(LogAt::Pieces(None));
        while let Some((key, value)) = rows.next(pages, &mut bad) {
            portion.count(&key, &value);
            match index_of(&key) {
                Ok(index) => {
                    portion.faults.extend(rest.take(index));
                    if let Err(why) = rows::payload(RAFT_LOG, &key, &value) {
                        let what = format!("entry {index}: {why}");
                        portion.faults.push(Fault::new(table, what));
                    }
                }
                Err(why) => portion.faults.push(Fault::new(table, why.0)),
            }
            if portion.bytes >= limit {
                next = Some(LogAt::Entries(Some(key)));
                break;
            }
        }
        if next == Some(LogAt::Pieces(None)) {
            portion.faults.extend(rest.end());
        }
        let bad = bad.iter().map(|fault| of_page(table, fault));
        portion.faults.extend(bad);
        next
    }

    fn of_pieces(
        &self,
        pages: &mut Pages,
        after: Option<&Vec<u8>>,
        limit: u64,
        portion: &mut Portion,
    ) -> Option<LogAt> {
        let table = RAFT_SNAPSHOTS.name();
        let (mut bad, mut rows) = (Vec::new(), Rows::new(self.snapshots, after.cloned()));
        let mut next = None;
        while let Some((key, value)) = rows.next(pages, &mut bad) {
            portion.count(&key, &value);
            if let Err(why) = rows::payload(RAFT_SNAPSHOTS, &key, &value) {
                let what = match piece_of(&key) {
                    Ok((snapshot, piece)) => format!("snapshot {snapshot} piece {piece}: {why}"),
                    Err(why) => why.to_string(),
                };
                portion.faults.push(Fault::new(table, what));
            }
            if portion.bytes >= limit {
                next = Some(LogAt::Pieces(Some(key)));
                break;
            }
        }
        let bad = bad.iter().map(|fault| of_page(table, fault));
        portion.faults.extend(bad);
        next
    }
}

/// The indices that must still come.
struct Expected {
    next: Option<u64>,
    last: Option<u64>,
}

impl Expected {
    /// What comes after the entry under this key.
    fn after(kept: &Kept, after: Option<&[u8]>) -> Self {
        let after = after.and_then(|key| index_of(key).ok());
        let next = kept.log.and_then(|(first, last)| {
            let from = after.map_or(Some(first), |after| after.checked_add(1))?;
            Some(from.max(first)).filter(|from| *from <= last)
        });
        Self {
            next,
            last: kept.log.map(|(_, last)| last),
        }
    }

    /// This entry came.
    fn take(&mut self, index: u64) -> Option<Fault> {
        let fault = match self.next {
            Some(next) if next == index => None,
            Some(next) => Some(format!("entry {index} stands where {next} should")),
            None => Some(format!("entry {index} stands behind the last one")),
        };
        let next = index.checked_add(1);
        self.next = next.filter(|next| self.last.is_some_and(|last| *next <= last));
        fault.map(|what| Fault::new(RAFT_LOG.name(), what))
    }

    /// No more came.
    fn end(&self) -> Option<Fault> {
        let next = self.next?;
        let what = format!("entry {next} and all behind it are missing");
        Some(Fault::new(RAFT_LOG.name(), what))
    }
}
