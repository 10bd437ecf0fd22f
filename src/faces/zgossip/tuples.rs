//! The node of the store whose keys are the tuples.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::counters::Counters;
use crate::app::{App, Condition, Edit, EditError, Request, Strong};
use crate::io::tasks::Tasks;
use crate::model::{Applied, Change, KeyName, Node, NodeName, TooOld, Value, Version, WallTime};
use crate::protocol::zgossip::{Held, Print, Tuple};

/// The author of what others publish.
const AUTHOR: &str = "zgossip";
/// How often a batch is offered to a writer that is busy, and the pause between.
const TRIES: (u32, Duration) = (100, Duration::from_millis(50));

/// Values to be written, with their expiry.
pub(super) type Batch = BTreeMap<KeyName, (Value, Option<WallTime>)>;

/// The node of the store whose keys are the tuples.
pub(super) struct Tuples {
    app: App,
    strong: Strong,
    node: NodeName,
    author: Arc<str>,
    tasks: Tasks,
}

impl Tuples {
    pub(super) fn new(app: App, strong: Strong, node: NodeName, tasks: Tasks) -> Self {
        Self {
            app,
            strong,
            node,
            author: AUTHOR.into(),
            tasks,
        }
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    pub(super) fn node(&self) -> &NodeName {
        &self.node
    }

    /// Whether the name is that of a strong node, which this face leaves alone.
    fn is_strong(&self) -> bool {
        let view = self.strong.local();
        view.is_some_and(|view| view.state.nodes().node(self.node.as_str()).is_some())
    }

    /// How many keys readers see, those that have expired since included.
    pub(super) fn count(&self) -> usize {
        let view = self.app.view();
        let node = view.store.node(self.node.as_str());
        node.map_or(0, Node::live)
    }

    /// All keys that readers see, and the revision of which that is true.
    pub(super) fn keys(&self) -> (u64, VecDeque<KeyName>) {
        let view = self.app.view();
        let node = view.store.node(self.node.as_str()).into_iter();
        let live = node.flat_map(|node| node.live_keys(self.app.now()));
        (view.revision, live.map(|(key, _)| key.clone()).collect())
    }

    /// Changes of the store after a revision.
    pub(super) fn changes(&self, since: u64, limit: usize) -> Result<Vec<Arc<Applied>>, TooOld> {
        self.app.changes_after(since, limit)
    }

    /// The key that a change is about, if it is one of the tuples.
    pub(super) fn key_of<'a>(&self, applied: &'a Applied) -> Option<&'a KeyName> {
        match &applied.change {
            Change::Key { node, key, .. } if *node == self.node && applied.current => Some(key),
            Change::Key { .. } | Change::Node { .. } | Change::Member { .. } => None,
        }
    }

    /// What the store has under a key.
    pub(super) fn held(&self, key: &KeyName) -> Held {
        let (view, now) = (self.app.view(), self.app.now());
        let (node, key) = (self.node.as_str(), key.as_str());
        let print = |version: &Version| version.value().map(|value| Print::of(&value.octets));
        if let Some(version) = view.store.get(node, key, now) {
            return print(version).map_or(Held::Deleted, |print| Held::Live {
                print,
                expires: version.expires,
            });
        }
        let Some(entry) = view.store.entry(node, key) else {
            return Held::Never;
        };
        match print(&entry.head) {
            Some(print) if !entry.head.is_live(now) => Held::Expired(print),
            _ => Held::Deleted,
        }
    }

    /// The tuple of a key, if it has a value.
    pub(super) fn tuple(&self, key: &KeyName) -> Option<Tuple> {
        let (view, now) = (self.app.view(), self.app.now());
        let version = view.store.get(self.node.as_str(), key.as_str(), now)?;
        Some(Tuple {
            key: Bytes::copy_from_slice(key.as_str().as_bytes()),
            value: Bytes::copy_from_slice(&version.value()?.octets),
            // czmq does not use a TTL, but keeps the last one that it was told and sends it with
            // other tuples, which would then end here.
            ttl: 0,
        })
    }

    /// Whether the key has, or had, this value, as far back as its history is kept.
    pub(super) async fn was_former(&self, key: &KeyName, value: &[u8]) -> bool {
        let is_it = |version: &Version| version.value().is_some_and(|v| *v.octets == *value);
        let view = self.app.view();
        let entry = view.store.entry(self.node.as_str(), key.as_str());
        if entry.is_some_and(|entry| is_it(&entry.head)) {
            return true;
        }
        let (disk, node, key) = (self.app.disk().clone(), self.node.clone(), key.clone());
        let read = self
            .tasks
            .blocking(move || disk.versions(&node, &key))
            .await;
        // What cannot be read was perhaps this value: an old one brought back does more harm.
        let Some(Ok(versions)) = read else {
            return true;
        };
        versions.iter().any(|version| is_it(version))
    }

    /// Writes what others published; gives the keys that the store does not take, which it counts.
    ///
    /// # Errors
    /// If the store takes nothing now: the others have to say it again later.
    pub(super) async fn write(
        &self,
        batch: Batch,
        counters: &Counters,
    ) -> Result<Vec<KeyName>, EditError> {
        let mut refused = Vec::new();
        if batch.is_empty() {
            return Ok(refused);
        }
        if self.is_strong() {
            Counters::add(&counters.refused, batch.len());
            return Ok(batch.into_keys().collect());
        }
        let count = batch.len();
        match self.try_write(batch.clone()).await {
            Ok(()) => Counters::add(&counters.written, count),
            Err(why) if !is_about_the_key(&why) => return Err(why),
            Err(_) => {
                for (key, value) in batch {
                    match self.try_write(Batch::from([(key.clone(), value)])).await {
                        Ok(()) => Counters::count(&counters.written),
                        Err(why) if is_about_the_key(&why) => {
                            Counters::count(&counters.refused);
                            refused.push(key);
                        }
                        Err(why) => return Err(why),
                    }
                }
            }
        }
        Ok(refused)
    }

    async fn try_write(&self, keys: Batch) -> Result<(), EditError> {
        let mut left = TRIES.0;
        loop {
            let request = Request {
                edit: Edit::Publish {
                    node: self.node.clone(),
                    keys: keys.clone(),
                },
                author: self.author.clone(),
                condition: Condition::default(),
            };
            match self.app.write(request).await {
                Ok(_) => return Ok(()),
                Err(EditError::Overloaded) if left > 0 => left -= 1,
                Err(why) => return Err(why),
            }
            tokio::time::sleep(TRIES.1).await;
        }
    }
}

/// Whether a key of the batch is the reason, so that others may go through.
fn is_about_the_key(why: &EditError) -> bool {
    match why {
        EditError::NameTooLong { .. }
        | EditError::ValueTooLarge { .. }
        | EditError::TooManyKeys { .. }
        | EditError::Damaged(_) => true,
        EditError::NodeNotFound
        | EditError::KeyNotFound
        | EditError::VersionNotFound
        | EditError::PreconditionFailed { .. }
        | EditError::Clock(_)
        | EditError::DiskFull
        | EditError::Fenced(_)
        | EditError::InDoubt(_)
        | EditError::Forgotten
        | EditError::MemberNotFound
        | EditError::Overloaded
        | EditError::Stopping
        | EditError::Lost => false,
    }
}
