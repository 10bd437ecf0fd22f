//! The store as readers see it: the newest root behind an atomic pointer, and the change feed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::{Applied, Change, Feed, MemberId, Store, TooOld};

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
}

/// What the writer publishes and everybody reads.
#[derive(Debug)]
pub struct Published {
    view: ArcSwap<View>,
    feed: Mutex<Feed>,
    revision: watch::Sender<u64>,
    root: watch::Sender<u128>,
}

impl Published {
    /// Publishes the store as it was loaded. Revisions count from zero in each run.
    pub fn new(store: Store) -> Self {
        let root = store.digest().root();
        Self {
            view: ArcSwap::from_pointee(View { store, revision: 0 }),
            feed: Mutex::new(Feed::new(0, FEED_CHANGES, FEED_BYTES)),
            revision: watch::Sender::new(0),
            root: watch::Sender::new(root),
        }
    }

    /// The newest store.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Takes the store after a commit and what was applied in it; gives the new revision.
    pub(super) fn publish(
        &self,
        store: Store,
        applied: impl IntoIterator<Item = (Change, bool, Option<MemberId>)>,
    ) -> u64 {
        let root = store.digest().root();
        let mut feed = self.feed.lock();
        for (change, current, from) in applied {
            feed.push(change, current, from);
        }
        let revision = feed.last();
        self.view.store(Arc::new(View { store, revision }));
        drop(feed);
        self.revision.send_replace(revision);
        self.root
            .send_if_modified(|old| std::mem::replace(old, root) != root);
        revision
    }

    pub(super) fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub(super) fn roots(&self) -> watch::Receiver<u128> {
        self.root.subscribe()
    }

    pub(super) fn changes_after(
        &self,
        since: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Applied>>, TooOld> {
        self.feed.lock().after(since, limit)
    }
}
