//! The store as readers see it: the newest root behind an atomic pointer, and the change feed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::planted::{self, Bug};
use crate::model::{Applied, Change, Feed, HybridTime, MemberId, Source, Stamp, Store, TooOld};

use super::conflicts;
use super::session::Seen;

/// How many changes the feed keeps at most.
const FEED_CHANGES: usize = 16_384;
/// How many bytes of changes the feed keeps at most.
const FEED_BYTES: usize = 32 << 20;

/// A store at a revision.
#[derive(Debug)]
pub struct View {
    /// The store.
    pub store: Store,
    /// This member's count of applied changes.
    pub revision: u64,
    /// This member's position when it took its last own write, or when it started: who includes its
    /// writes up to here includes all of them.
    pub own: HybridTime,
    /// How many commits found own writes missing, because the data directory was an older copy.
    gaps: u64,
    /// Whether some are missing now.
    gap: bool,
    /// Of each origin the greatest write that is here and that the vector does not cover yet.
    uncovered: Uncovered,
}

type Uncovered = BTreeMap<MemberId, Stamp>;

impl View {
    fn new(store: Store, revision: u64, own: HybridTime, uncovered: Uncovered) -> Self {
        Self {
            store,
            revision,
            own,
            gaps: 0,
            gap: false,
            uncovered,
        }
    }

    /// What who read all of this has seen: as far as the vector tells (of this member itself, its
    /// own writes and not what its clock went on to, which is told to nobody until there is a
    /// write), and what is here before the vector covers it.
    pub fn seen(&self, me: MemberId) -> Seen {
        let mut seen = Seen::default();
        let vector = self.store.vector().iter();
        for (origin, upto) in vector.filter(|(origin, _)| *origin != me) {
            seen.position(origin, upto);
        }
        seen.position(me, self.own);
        self.uncovered.values().for_each(|stamp| seen.stamp(*stamp));
        seen
    }
}

/// Changes from the feed, and what they amount to.
#[derive(Debug, Default)]
pub struct Fed {
    /// The changes.
    pub changes: Vec<Arc<Applied>>,
    /// This member's position if these are all: every own write up to it is among them or came
    /// before. None also while own writes are missing.
    pub upto: Option<HybridTime>,
    /// Grows while own writes are missing: then what came before amounts to nothing.
    pub gaps: u64,
}

/// What the writer publishes and everybody reads.
#[derive(Debug)]
pub struct Published {
    view: ArcSwap<View>,
    feed: Mutex<Feed>,
    revision: watch::Sender<u64>,
    root: watch::Sender<u128>,
    conflicts_found: AtomicU64,
    me: MemberId,
}

impl Published {
    /// Publishes the store of this member as it was loaded. Revisions count from zero in each run.
    pub fn new(store: Store, me: MemberId) -> Self {
        let root = store.root();
        let own = store.vector().get(me);
        let nodes = store.all_nodes();
        let keys = nodes.flat_map(|(_, node)| node.entries());
        let heads = keys.map(|(_, entry)| entry.head.stamp);
        let registers = store.all_nodes().filter_map(|(_, node)| node.register());
        let registers = registers.map(|register| register.stamp);
        let uncovered = uncovered(&store, me, heads.chain(registers));
        Self {
            view: ArcSwap::from_pointee(View::new(store, 0, own, uncovered)),
            feed: Mutex::new(Feed::new(0, FEED_CHANGES, FEED_BYTES)),
            revision: watch::Sender::new(0),
            root: watch::Sender::new(root),
            conflicts_found: AtomicU64::new(0),
            me,
        }
    }

    /// The newest store.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Takes the store after a commit, what was applied in it, and the clock's position then; gives
    /// the new revision.
    pub(super) fn publish(
        &self,
        store: Store,
        applied: impl IntoIterator<Item = (Change, bool, Source)>,
        position: HybridTime,
    ) -> u64 {
        let root = store.root();
        let applied: Vec<_> = applied.into_iter().collect();
        let changes = applied.iter().map(|(change, ..)| change);
        let before = self.view();
        let found = conflicts::found(&before.store, &store, changes);
        self.conflicts_found.fetch_add(found, Ordering::Relaxed);
        let is_own = |applied: &(Change, bool, Source)| matches!(applied.2, Source::Own);
        let own = if applied.iter().any(is_own) {
            position
        } else {
            before.own
        };
        let stamps = applied.iter().filter_map(|(change, ..)| change.stamp());
        let stamps = before.uncovered.values().copied().chain(stamps);
        let uncovered = uncovered(&store, self.me, stamps);
        let mut feed = self.feed.lock();
        for (change, current, source) in applied {
            if planted::is(Bug::FeedSkipsSync) && matches!(source, Source::Sync(_)) {
                continue;
            }
            feed.push(change, current, source);
        }
        let revision = feed.last();
        let mut view = View::new(store, revision, own, uncovered);
        view.gap = view.store.vector().get(self.me) < position;
        view.gaps = before.gaps + u64::from(view.gap);
        self.view.store(Arc::new(view));
        drop(feed);
        self.revision.send_replace(revision);
        self.root
            .send_if_modified(|old| std::mem::replace(old, root) != root);
        revision
    }

    /// How many versions were found since the start that lost against one whose writer did not
    /// know them.
    pub(super) fn conflicts_found(&self) -> u64 {
        self.conflicts_found.load(Ordering::Relaxed)
    }

    /// Whose store it is.
    pub(super) fn member(&self) -> MemberId {
        self.me
    }

    pub(super) fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub(super) fn roots(&self) -> watch::Receiver<u128> {
        self.root.subscribe()
    }

    /// At most `limit` changes after a revision, and what they amount to.
    pub(super) fn changes_upto(&self, since: u64, limit: usize) -> Result<Fed, TooOld> {
        let feed = self.feed.lock();
        let changes = feed.after(since, limit)?;
        let last = changes.last().map_or(since, |applied| applied.revision);
        let view = self.view.load();
        let all = last == feed.last() && !view.gap;
        let upto = all.then(|| view.store.vector().get(self.me));
        let gaps = view.gaps;
        Ok(Fed {
            changes,
            upto,
            gaps,
        })
    }

    pub(super) fn changes_after(
        &self,
        since: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Applied>>, TooOld> {
        self.feed.lock().after(since, limit)
    }
}

/// Of each origin the greatest of these stamps that a store's vector does not cover.
fn uncovered(store: &Store, me: MemberId, stamps: impl Iterator<Item = Stamp>) -> Uncovered {
    let mut greatest = Uncovered::new();
    for stamp in stamps.filter(|stamp| stamp.member != me && !store.vector().covers(*stamp)) {
        let at = greatest.entry(stamp.member).or_insert(stamp);
        *at = stamp.max(*at);
    }
    greatest
}
