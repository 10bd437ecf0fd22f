//! The change feed: the last changes that this member applied, each with its revision.
//!
//! The ring is bounded by count and by bytes. Who falls out of it is told so ([`TooOld`]) and must
//! take the state again: never a silent gap.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Change, MemberId};

/// A change as this member applied it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// This member's own count of applied changes.
    pub revision: u64,
    /// What was applied.
    pub change: Change,
    /// Whether it is the current state now; otherwise it joined the history only.
    pub current: bool,
    /// Where it came from.
    pub source: Source,
}

/// Where a change came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This member wrote it.
    Own,
    /// A peer pushed it.
    Push(MemberId),
    /// A peer had it, as a sync found; or it was held aside.
    Sync(MemberId),
}

/// The position asked for is no longer (or not yet) in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision {asked} is not in the feed, which goes from {first} to {last}")]
pub struct TooOld {
    /// The revision asked for.
    pub asked: u64,
    /// The first revision that can still be read.
    pub first: u64,
    /// The last revision.
    pub last: u64,
}

/// A bounded ring of applied changes.
#[derive(Debug)]
pub struct Feed {
    ring: VecDeque<Arc<Applied>>,
    last: u64,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

impl Feed {
    /// An empty feed after revision `last` that keeps at most `most` changes and `most_bytes` bytes
    /// (but always the newest one).
    pub fn new(last: u64, most: usize, most_bytes: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            last,
            bytes: 0,
            most,
            most_bytes,
        }
    }

    /// Takes a change and gives it the next revision.
    pub fn push(&mut self, change: Change, current: bool, source: Source) -> u64 {
        self.last += 1;
        self.bytes += change.size();
        self.ring.push_back(Arc::new(Applied {
            revision: self.last,
            change,
            current,
            source,
        }));
        while self.ring.len() > 1 && (self.ring.len() > self.most || self.bytes > self.most_bytes) {
            if let Some(gone) = self.ring.pop_front() {
                self.bytes -= gone.change.size();
            }
        }
        self.last
    }

    /// The revision of the last change.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// At most `limit` changes after revision `since`, in order, without a gap.
    ///
    /// # Errors
    /// [`TooOld`] when changes after `since` have left the ring, or `since` lies ahead.
    pub fn after(&self, since: u64, limit: usize) -> Result<Vec<Arc<Applied>>, TooOld> {
        let first = self.last + 1 - self.ring.len() as u64;
        if since + 1 < first || since > self.last {
            return Err(TooOld {
                asked: since,
                first,
                last: self.last,
            });
        }
        let skip = usize::try_from(since + 1 - first).unwrap_or(usize::MAX);
        Ok(self.ring.iter().skip(skip).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::names;
    use super::super::{HybridTime, NodeRegister, NodeState, Settings, Stamp, WallTime};
    use super::*;

    fn change(sequence: u64) -> Change {
        let stamp = Stamp {
            time: HybridTime::from_bits(sequence),
            member: MemberId::from_u64(1),
            sequence,
        };
        let register = NodeRegister {
            stamp,
            replaces: None,
            author: "a".into(),
            written: WallTime::default(),
            state: NodeState::Present(Settings::default()),
            cleared: None,
        };
        Change::Node {
            node: names().0,
            register: Arc::new(register),
        }
    }

    fn revisions(feed: &Feed, since: u64) -> Result<Vec<u64>, TooOld> {
        feed.after(since, 100)
            .map(|changes| changes.iter().map(|c| c.revision).collect())
    }

    #[test]
    fn a_reader_gets_every_change_once_or_is_told_that_it_fell_behind() {
        let mut feed = Feed::new(10, 3, usize::MAX);
        assert_eq!(revisions(&feed, 10), Ok(vec![]));
        for sequence in 1..=5 {
            feed.push(change(sequence), true, Source::Own);
        }
        assert_eq!(revisions(&feed, 12), Ok(vec![13, 14, 15]));
        assert_eq!(revisions(&feed, 14), Ok(vec![15]));
        assert_eq!(revisions(&feed, 15), Ok(vec![]));
        assert_eq!(
            revisions(&feed, 11),
            Err(TooOld {
                asked: 11,
                first: 13,
                last: 15
            })
        );
        assert_eq!(
            revisions(&feed, 16),
            Err(TooOld {
                asked: 16,
                first: 13,
                last: 15
            })
        );
        assert_eq!(feed.after(12, 1).unwrap().len(), 1);
    }

    #[test]
    fn large_changes_leave_earlier_but_the_newest_stays() {
        let mut feed = Feed::new(0, 100, 1);
        feed.push(change(1), true, Source::Own);
        feed.push(change(2), true, Source::Own);
        assert_eq!(revisions(&feed, 1), Ok(vec![2]));
        assert!(revisions(&feed, 0).is_err());
    }
}
