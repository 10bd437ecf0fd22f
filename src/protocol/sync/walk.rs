//! The asking side of a sync: goes down where sums differ, then exchanges what differs.

use std::collections::BTreeMap;

use crate::model::{Change, FAN, LEVELS, Store};
use crate::protocol::message::{Ask, Have, Item, MESSAGE_BYTES, Reply};

use super::{History, changes_of, fill, items_in, stamps_of};

/// The most places asked about in one message.
const PLACES: usize = 512;
/// The most keys asked about in one message.
const KEYS: usize = 4096;
/// The most changes pushed in one message.
const CHANGES: usize = 4096;

/// What the walk wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// Ask the peer this, and hand its answer to [`Walk::on_reply`].
    Ask(Ask),
    /// Merge these changes here, tell [`Walk::took`] how many were new, then call [`Walk::next`].
    Merge(Vec<Change>),
    /// Nothing is left to do.
    Done,
}

/// What a walk came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Changes that the peer sent and that were new here.
    pub fetched: usize,
    /// Changes that the peer was sent and that were new to it.
    pub pushed: usize,
}

/// One sync with one peer.
#[derive(Debug, Default)]
pub struct Walk {
    /// Places whose sums differ, deepest last: (level, prefix).
    places: Vec<(u8, u16)>,
    /// What was asked about, in order.
    asked: Vec<(u8, u16)>,
    wants: Vec<Have>,
    to_push: Vec<Have>,
    begun: bool,
    walked: Walked,
}

impl Walk {
    /// A walk that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// What came of it so far.
    pub fn walked(&self) -> Walked {
        self.walked
    }

    /// So many of the changes to be merged were new.
    pub fn took(&mut self, new: usize) {
        self.walked.fetched += new;
    }

    /// What to do next.
    pub fn next<H: History>(&mut self, store: &Store, history: &H) -> Result<WalkStep, H::Error> {
        if !self.begun {
            self.begun = true;
            self.places.push((0, 0));
        }
        if !self.to_push.is_empty() {
            let changes = self.take_push(store, history)?;
            if !changes.is_empty() {
                return Ok(WalkStep::Ask(Ask::Push(changes)));
            }
        }
        if !self.wants.is_empty() {
            let rest = self.wants.split_off(KEYS.min(self.wants.len()));
            return Ok(WalkStep::Ask(Ask::Fetch(std::mem::replace(
                &mut self.wants,
                rest,
            ))));
        }
        Ok(self.descend())
    }

    /// Takes the deepest places, as many of one level as fit into a question.
    fn descend(&mut self) -> WalkStep {
        let Some((level, _)) = self.places.last().copied() else {
            return WalkStep::Done;
        };
        let mut asked = Vec::new();
        while asked.len() < PLACES && self.places.last().is_some_and(|place| place.0 == level) {
            asked.extend(self.places.pop());
        }
        let prefixes: Vec<u16> = asked.iter().map(|(_, prefix)| *prefix).collect();
        self.asked = asked;
        WalkStep::Ask(match level {
            LEVELS => Ask::Items(prefixes),
            _ => Ask::Sums { level, prefixes },
        })
    }

    /// Takes the peer's answer to the last question; gives what to do next.
    pub fn on_reply<H: History>(
        &mut self,
        store: &Store,
        history: &H,
        reply: Reply,
    ) -> Result<WalkStep, H::Error> {
        match reply {
            Reply::Sums { below, .. } => self.compare_sums(store, &below),
            Reply::Items(theirs) => self.compare_items(store, history, theirs)?,
            Reply::Versions { changes, lacking } => {
                self.to_push.extend(lacking);
                if !changes.is_empty() {
                    return Ok(WalkStep::Merge(changes));
                }
            }
            Reply::Taken(new) => {
                self.walked.pushed += usize::try_from(new).unwrap_or(usize::MAX);
            }
        }
        self.next(store, history)
    }

    fn compare_sums(&mut self, store: &Store, theirs: &[[u128; FAN]]) {
        for ((level, prefix), theirs) in std::mem::take(&mut self.asked).into_iter().zip(theirs) {
            let ours = store.digest().children(level, prefix);
            let shift = 4 * (LEVELS - 1 - level.min(LEVELS - 1));
            for (digit, (ours, theirs)) in (0u16..).zip(ours.iter().zip(theirs)) {
                if ours != theirs {
                    self.places.push((level + 1, prefix | (digit << shift)));
                }
            }
        }
    }

    /// Keys that the peer has and we do not, or that differ, are wanted; keys that only we have are
    /// pushed.
    fn compare_items<H: History>(
        &mut self,
        store: &Store,
        history: &H,
        theirs: Vec<Item>,
    ) -> Result<(), H::Error> {
        let mut buckets: Vec<u16> = self.asked.drain(..).map(|(_, bucket)| bucket).collect();
        buckets.sort_unstable();
        let ours = items_in(store, &buckets);
        let mut only_ours: BTreeMap<_, u128> = ours
            .into_iter()
            .map(|item| ((item.node, item.key), item.sum))
            .collect();
        for Item { node, key, sum } in theirs {
            let place = (node, key);
            let same = only_ours.remove(&place) == Some(sum);
            if !same {
                let (node, key) = place;
                let stamps = stamps_of(store, history, &node, key.as_ref())?;
                self.wants.push(Have { node, key, stamps });
            }
        }
        for ((node, key), _) in only_ours {
            let stamps = stamps_of(store, history, &node, key.as_ref())?;
            self.to_push.push(Have { node, key, stamps });
        }
        Ok(())
    }

    /// The next message of changes that the peer lacks.
    fn take_push<H: History>(
        &mut self,
        store: &Store,
        history: &H,
    ) -> Result<Vec<Change>, H::Error> {
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while bytes < MESSAGE_BYTES && changes.len() < CHANGES {
            let Some(Have { node, key, stamps }) = self.to_push.pop() else {
                break;
            };
            let found = changes_of(store, history, &node, key.as_ref(), &stamps)?;
            let rest = fill(found, &mut bytes, &mut changes);
            if !rest.is_empty() {
                let stamps = rest.iter().map(Change::stamp).collect();
                self.to_push.push(Have { node, key, stamps });
                break;
            }
        }
        Ok(changes)
    }
}
