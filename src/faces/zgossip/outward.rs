//! Which keys a connection still has to look at: all of them at its beginning, then those that
//! change.
//!
//! A connection pulls keys when it has room for tuples, and looks the value up only then. So a slow
//! one skips values that were replaced meanwhile, and holds nothing here but its place in the feed;
//! if it falls out of the feed it looks at all keys again.

use std::collections::VecDeque;

use super::tuples::Tuples;
use crate::model::KeyName;

/// How many changes are taken from the feed at once.
const CHANGES: usize = 256;

/// Where a connection stands.
#[derive(Debug, Default)]
pub(super) struct Outward {
    waiting: VecDeque<KeyName>,
    /// Up to which revision of the store changes were looked at; none: nothing is told.
    since: Option<u64>,
}

impl Outward {
    /// All keys are to be looked at.
    pub(super) fn begin(&mut self, tuples: &Tuples) {
        let (revision, keys) = tuples.keys();
        self.waiting = keys;
        self.since = Some(revision);
    }

    /// Nothing is to be told any more.
    pub(super) fn pause(&mut self) {
        *self = Self::default();
    }

    /// This key is to be looked at again.
    pub(super) fn again(&mut self, key: KeyName) {
        self.waiting.push_back(key);
    }

    /// The next key to look at; none: there is nothing to do until the store changes.
    pub(super) fn next(&mut self, tuples: &Tuples) -> Option<KeyName> {
        loop {
            let since = self.since?;
            if let Some(key) = self.waiting.pop_front() {
                return Some(key);
            }
            let Ok(changes) = tuples.changes(since, CHANGES) else {
                self.begin(tuples);
                if self.waiting.is_empty() {
                    return None;
                }
                continue;
            };
            self.since = Some(changes.last().map(|applied| applied.revision)?);
            let keys = changes.iter().filter_map(|applied| tuples.key_of(applied));
            self.waiting.extend(keys.cloned());
        }
    }
}
