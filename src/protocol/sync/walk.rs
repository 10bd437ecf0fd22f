//! The asking side of a sync: goes down where sums differ, then exchanges what differs.

use std::collections::BTreeMap;

use crate::model::planted::{self, Bug};
use crate::model::{Change, FAN, HybridTime, LEVELS, Stamp, Store, VersionVector};
use crate::protocol::message::{About, Ask, Have, Item, MESSAGE_BYTES, Reply, Taken};

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
    /// Merge these changes here, tell [`Walk::took`] what came of it, then call [`Walk::next`].
    Merge(Vec<Change>),
    /// The peer had all of this and let it go. Let it go here, too, where it is exactly this still;
    /// then call [`Walk::next`].
    LetGo {
        /// What it is.
        gone: Vec<Have>,
        /// Up to where the peer collected.
        horizon: HybridTime,
    },
    /// Everything that the peer had when the walk began is here: include this. Then call
    /// [`Walk::next`].
    Include(VersionVector),
    /// Nothing is left to do.
    Done,
}

/// What came of changes that were merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brought {
    /// How many were new.
    pub new: usize,
    /// Whether each of them was taken, was known, or is held aside.
    pub whole: bool,
}

/// What a walk came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Changes that the peer sent and that were new here, and those that were let go.
    pub fetched: usize,
    /// Changes that the peer was sent and that were new to it.
    pub pushed: usize,
    /// Whether everything was exchanged that differed when it began.
    pub whole: bool,
    /// Changes that the peer would not take, with its reason.
    pub refused: Vec<String>,
    /// What the peer told of itself when it began.
    pub peer: About,
    /// Up to where the peer includes our own writes, as far as it told.
    pub has: HybridTime,
}

/// How far a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was asked yet.
    Begin,
    /// Comparing and exchanging.
    Exchange,
    /// All is exchanged; we include what the peer did.
    Ours,
    /// The peer is to include what we did.
    Theirs,
    Over,
}

/// One sync with one peer.
#[derive(Debug)]
pub struct Walk {
    about: About,
    stage: Stage,
    theirs: VersionVector,
    /// Places whose sums differ, deepest last: (level, prefix).
    places: Vec<(u8, u16)>,
    /// What was asked about, in order.
    asked: Vec<(u8, u16)>,
    wants: Vec<Have>,
    to_push: Vec<Have>,
    to_let_go: Vec<Have>,
    walked: Walked,
}

impl Walk {
    /// A walk that has not begun, by a member that tells this of itself. The vector in `about` is
    /// that of the store now, or an earlier one.
    pub fn new(about: About) -> Self {
        Self {
            about,
            stage: Stage::Begin,
            theirs: VersionVector::new(),
            places: Vec::new(),
            asked: Vec::new(),
            wants: Vec::new(),
            to_push: Vec::new(),
            to_let_go: Vec::new(),
            walked: Walked {
                whole: true,
                ..Walked::default()
            },
        }
    }

    /// What came of it so far.
    pub fn walked(&self) -> &Walked {
        &self.walked
    }

    /// This came of the changes to be merged, or of what was to be let go.
    pub fn took(&mut self, brought: Brought) {
        self.walked.fetched += brought.new;
        self.walked.whole &= brought.whole;
    }

    /// What to do next.
    pub fn next<H: History>(&mut self, store: &Store, history: &H) -> Result<WalkStep, H::Error> {
        if self.stage == Stage::Begin {
            self.stage = Stage::Exchange;
            return Ok(WalkStep::Ask(Ask::Meet(self.about.clone())));
        }
        if !self.to_let_go.is_empty() {
            return Ok(WalkStep::LetGo {
                gone: std::mem::take(&mut self.to_let_go),
                horizon: self.walked.peer.horizon,
            });
        }
        if !self.to_push.is_empty() {
            let changes = self.take_push(store, history)?;
            if !changes.is_empty() {
                let (changes, claim) = (changes.into(), None);
                return Ok(WalkStep::Ask(Ask::Push { changes, claim }));
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
            return self.end();
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

    /// Both sides have what the other had when the walk began, if all of it went across.
    fn end(&mut self) -> WalkStep {
        if !self.walked.whole {
            self.stage = Stage::Over;
        }
        let ours = self.about.version_vector();
        if self.stage == Stage::Exchange {
            self.stage = Stage::Ours;
            if !ours.includes(&self.theirs) {
                return WalkStep::Include(self.theirs.clone());
            }
        }
        if self.stage == Stage::Ours {
            self.stage = Stage::Theirs;
            if !self.theirs.includes(&ours) {
                return WalkStep::Ask(Ask::Include(self.about.vector.clone()));
            }
        }
        self.stage = Stage::Over;
        WalkStep::Done
    }

    /// Takes the peer's answer to the last question; gives what to do next.
    pub fn on_reply<H: History>(
        &mut self,
        store: &Store,
        history: &H,
        reply: Reply,
    ) -> Result<WalkStep, H::Error> {
        match reply {
            Reply::Met { about, below, .. } => {
                self.theirs = about.version_vector();
                self.walked.peer = *about;
                self.asked = vec![(0, 0)];
                self.compare_sums(store, &[*below]);
                if planted::is(Bug::WalkClaimsEarly) {
                    return Ok(WalkStep::Include(self.theirs.clone()));
                }
            }
            Reply::Sums(below) => self.compare_sums(store, &below),
            Reply::Items(theirs) => self.compare_items(store, history, theirs)?,
            Reply::Versions {
                changes,
                lacking,
                whole,
            } => {
                self.to_push.extend(lacking);
                self.walked.whole &= whole && changes.refused.is_empty();
                if !changes.changes.is_empty() {
                    return Ok(WalkStep::Merge(changes.changes));
                }
            }
            Reply::Taken(Taken { new, has, refused }) => {
                // What the peer refused it does not include.
                self.walked.whole &= refused.is_empty();
                self.walked.pushed += usize::try_from(new).unwrap_or(usize::MAX);
                self.walked.has = self.walked.has.max(has);
                self.walked.refused.extend(refused);
            }
            // No answer to anything that a walk asks.
            Reply::Standings(_) | Reply::Forgotten => {
                self.walked.whole = false;
                return Ok(WalkStep::Done);
            }
        }
        self.next(store, history)
    }

    fn compare_sums(&mut self, store: &Store, theirs: &[[u128; FAN]]) {
        let asked = std::mem::take(&mut self.asked);
        self.walked.whole &= asked.len() == theirs.len();
        for ((level, prefix), theirs) in asked.into_iter().zip(theirs) {
            let ours = store.sums(level, prefix);
            let shift = 4 * (LEVELS - 1 - level.min(LEVELS - 1));
            for (digit, (ours, theirs)) in (0u16..).zip(ours.iter().zip(theirs)) {
                if ours != theirs {
                    self.places.push((level + 1, prefix | (digit << shift)));
                }
            }
        }
    }

    /// Keys that the peer has and we do not, or that differ, are wanted. Those that only we have
    /// are pushed, or let go if the peer had all of them and has them no more.
    fn compare_items<H: History>(
        &mut self,
        store: &Store,
        history: &H,
        theirs: Vec<Item>,
    ) -> Result<(), H::Error> {
        let mut buckets: Vec<u16> = self.asked.drain(..).map(|(_, bucket)| bucket).collect();
        buckets.sort_unstable();
        let ours = items_in(store, &buckets);
        let mut only_ours: BTreeMap<_, u128> =
            ours.into_iter().map(|item| (item.slot, item.sum)).collect();
        for Item { slot, sum } in theirs {
            if only_ours.remove(&slot) != Some(sum) {
                let stamps = stamps_of(store, history, &slot)?;
                self.wants.push(Have { slot, stamps });
            }
        }
        for slot in only_ours.into_keys() {
            let stamps = stamps_of(store, history, &slot)?;
            // Nothing above their horizon can have been collected, whatever their vector says; and
            // what goes here must not come back, so it lies at or below our watermark, too.
            let horizon = self.walked.peer.horizon.min(store.watermark());
            let gone = |at: &Stamp| at.time <= horizon && self.theirs.covers(*at);
            let gone = !stamps.is_empty() && stamps.iter().all(gone);
            let list = if gone {
                &mut self.to_let_go
            } else {
                &mut self.to_push
            };
            list.push(Have { slot, stamps });
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
            let Some(Have { slot, stamps }) = self.to_push.pop() else {
                break;
            };
            let mut found = changes_of(store, history, &slot, &stamps)?;
            if found.len() < stamps.len() && !planted::is(Bug::GaveWayUnseen) {
                // Some went since they were listed: what took their place stands for them.
                let now = stamps_of(store, history, &slot)?;
                found = changes_of(store, history, &slot, &now)?;
                self.walked.whole &= !found.is_empty();
            }
            let rest = fill(found, &mut bytes, &mut changes);
            if !rest.is_empty() {
                let stamps = rest.iter().filter_map(Change::stamp).collect();
                self.to_push.push(Have { slot, stamps });
                break;
            }
        }
        Ok(changes)
    }
}
