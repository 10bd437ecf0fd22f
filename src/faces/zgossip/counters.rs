//! What the face counts, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the face counts since the start; `open` goes down again.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that are open, of both kinds.
    pub open: AtomicU64,
    /// Connections that came in.
    pub accepted: AtomicU64,
    /// Those turned away because there were as many as there may be.
    pub refused_connections: AtomicU64,
    /// Times that a server could not be connected to.
    pub failed_dials: AtomicU64,
    /// Tuples that others published.
    pub received: AtomicU64,
    /// Those of them that were news and written.
    pub written: AtomicU64,
    /// Those of them whose key or value the store does not take.
    pub refused: AtomicU64,
    /// Times that a key was damped because it flapped.
    pub damped: AtomicU64,
    /// Tuples that were told to others.
    pub sent: AtomicU64,
    /// Values with a NUL in them, which others would cut short: not told.
    pub not_exported: AtomicU64,
    /// Connections ended because of what was said on them.
    pub malformed: AtomicU64,
    /// Connections ended because the other end did not take what it was sent.
    pub slow: AtomicU64,
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64) {
        Self::add(counter, 1);
    }

    pub(super) fn add(counter: &AtomicU64, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Where a counter stands.
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// An open connection; dropping it ends the count.
pub(super) struct Open<'a>(&'a Counters);

impl<'a> Open<'a> {
    /// One more connection, of at most so many.
    pub(super) fn one_of(counters: &'a Counters, most: u64) -> Option<Self> {
        let one_more = |open: u64| (open < most).then_some(open + 1);
        let (set, get) = (Ordering::AcqRel, Ordering::Acquire);
        let taken = counters.open.fetch_update(set, get, one_more);
        taken.ok().map(|_| Self(counters))
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}
