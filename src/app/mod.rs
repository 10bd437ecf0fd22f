//! What a member can do, whoever asks: one handle, used by every face.
//!
//! Reads take the published store (a pointer) and never wait. Writes go through a bounded queue to
//! the one writer thread, which decides them in order, makes them durable many at a
//! time, publishes the new store and only then answers.

mod acks;
mod block_list;
mod command;
mod conflicts;
mod edit;
mod error;
mod health;
mod history;
mod ledger;
mod limits;
mod mend;
mod past;
mod publish;
mod session;
mod strong;
mod tag;
#[cfg(test)]
mod tests;
mod working;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::io::clock::{mono, sleep_until};
use crate::io::disk::DiskReader;
use crate::io::random;
use crate::model::{
    Applied, ClusterId, HybridTime, KeyName, MemberId, NodeName, Stamp, Store, TooOld, WallTime,
};
use crate::protocol::Protocol;
use crate::protocol::collect::{CollectEffect, CollectEvent, Collector};
use crate::protocol::message::About;

pub use acks::{Ack, AckError, Acknowledged, Acks};
pub use block_list::{BlockList, BlockListError};
pub use command::{Arrival, Command, Merging, Upkeep};
pub use edit::{Edit, Request};
pub use error::EditError;
pub use health::{Check, Health, Severity};
pub use history::DiskHistory;
pub use ledger::{Ledger, LedgerParts};
pub use limits::Limits;
pub use mend::{Finding, FindingKind, Look, Mended, Place};
pub use past::{Choice, Past, Shown, Standing};
pub use publish::{Fed, Published, View};
pub use session::{Seen, Session, SessionError};
pub use strong::{Strong, StrongOff};
pub use tag::{Condition, Tags, key_tag, node_tag, store_tag};
pub use writer::Writer;

/// A handle to the member's store. Cheap to clone; all clones are the same member.
#[derive(Clone)]
pub struct App {
    published: Arc<Published>,
    queue: mpsc::Sender<Command>,
    disk: DiskReader,
    health: Arc<Health>,
    limits: Limits,
    collector: Arc<Collecting>,
    acks: Arc<Acks>,
    run: u64,
    cluster: u32,
    wanted: watch::Sender<Vec<MemberId>>,
}

/// What the members tell each other about collecting, and who is to be woken by news.
struct Collecting {
    collector: Mutex<Collector>,
    news: Notify,
    /// Deleted keys and nodes that were let go since the start.
    collected: AtomicU64,
}

/// What became of a write that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whether the node or key was not there before.
    pub created: bool,
    /// The stamp of the last change; none if nothing had to be changed.
    pub stamp: Option<Stamp>,
    /// This member's revision after it.
    pub revision: u64,
    /// This member's position after it: who includes its writes up to here has this one.
    pub position: HybridTime,
}

impl App {
    /// The handle to a writer's store.
    pub fn new(
        published: Arc<Published>,
        queue: mpsc::Sender<Command>,
        disk: DiskReader,
        health: Arc<Health>,
        limits: Limits,
    ) -> Self {
        let collector = Arc::new(Collecting {
            collector: Mutex::new(Collector::new(published.member(), random::seed())),
            news: Notify::new(),
            collected: AtomicU64::new(0),
        });
        Self {
            published,
            queue,
            disk,
            health,
            limits,
            collector,
            acks: Arc::default(),
            run: random::seed(),
            cluster: 0,
            wanted: watch::Sender::new(Vec::new()),
        }
    }

    /// The same for a member of this cluster: its tokens are told from another cluster's.
    #[must_use]
    pub fn in_cluster(mut self, cluster: &ClusterId) -> Self {
        let hash = blake3::hash(cluster.as_str().as_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        self.cluster = u32::from_le_bytes([a, b, c, d]);
        self
    }

    fn cluster_word(&self) -> u32 {
        self.cluster
    }

    /// A number that is another one in each run of the member.
    fn run(&self) -> u64 {
        self.run
    }

    /// Somebody waits for writes of these members, or for them to have ours: sync with them.
    pub fn want(&self, members: Vec<MemberId>) {
        self.wanted.send_replace(members);
    }

    /// The members that somebody waits for, as they change.
    pub fn wants(&self) -> watch::Receiver<Vec<MemberId>> {
        self.wanted.subscribe()
    }

    /// Who this member is.
    pub fn member(&self) -> MemberId {
        self.published.member()
    }

    /// What this member tells a peer of itself, with this store.
    pub fn about(&self, store: &Store) -> About {
        self.collector.collector.lock().about(store)
    }

    /// A peer told something, or who is alive has changed.
    pub fn collecting(&self, event: CollectEvent) -> Vec<CollectEffect> {
        let mut out = Vec::new();
        let collector = &self.collector;
        collector.collector.lock().on_event(mono(), event, &mut out);
        collector.news.notify_one();
        out
    }

    /// Waits until the collector wants something done; gives what.
    pub async fn collect_next(&self) -> Vec<CollectEffect> {
        loop {
            let deadline = self.collector.collector.lock().deadline();
            let wait = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.collector.news.notified() => {}
                () = wait => {
                    let mut out = Vec::new();
                    self.collector.collector.lock().on_deadline(mono(), &mut out);
                    if !out.is_empty() {
                        return out;
                    }
                }
            }
        }
    }

    /// Who has this member's writes.
    pub fn acks(&self) -> &Acks {
        &self.acks
    }

    /// The stable time as far as it is known here.
    pub fn stable(&self) -> HybridTime {
        self.collector.collector.lock().stable()
    }

    /// How many deleted keys and nodes were collected since the start.
    pub fn collected(&self) -> u64 {
        self.collector.collected.load(Ordering::Relaxed)
    }

    /// The store as it is now, with its revision. It does not change while it is held.
    pub fn view(&self) -> Arc<View> {
        self.published.view()
    }

    /// Does an edit; returns when it is durable on this member.
    pub async fn write(&self, request: Request) -> Result<Written, EditError> {
        self.limits.check(&request.edit)?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Edit { request, reply })?;
        answer.await.map_err(|_| EditError::Lost)?
    }

    /// Takes what a peer sent; returns when it is durable here.
    pub async fn merge(&self, arrival: Arrival) -> Result<Merging, EditError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Merge { arrival, reply })?;
        answer.await.map_err(|_| EditError::Lost)?
    }

    /// Does what the member itself must do; returns when it is durable. Gives how much was done.
    pub async fn upkeep(&self, upkeep: Upkeep) -> Result<usize, EditError> {
        let collects = matches!(upkeep, Upkeep::Collect { .. } | Upkeep::LetGo { .. });
        let (reply, answer) = oneshot::channel();
        self.send(Command::Upkeep { upkeep, reply })?;
        let done = answer.await.map_err(|_| EditError::Lost)??;
        if collects {
            let done = u64::try_from(done).unwrap_or(u64::MAX);
            self.collector.collected.fetch_add(done, Ordering::Relaxed);
        }
        Ok(done)
    }

    /// Writes again what is damaged on disk; returns when it is durable. Older versions that are
    /// damaged beyond that leave the set of their key, so that sync brings them again.
    pub async fn mend(
        &self,
        places: Vec<(NodeName, Option<KeyName>)>,
    ) -> Result<Mended, EditError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Mend { places, reply })?;
        answer.await.map_err(|_| EditError::Lost)?
    }

    /// Has the writer find out whether the disk takes writes again; the health tells. A full queue
    /// means that it finds out anyway.
    pub fn probe_disk(&self) {
        self.send(Command::Probe).unwrap_or_default();
    }

    fn send(&self, command: Command) -> Result<(), EditError> {
        if self.health.is_stopping() {
            return Err(EditError::Stopping);
        }
        self.queue.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EditError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => EditError::Stopping,
        })
    }

    /// The revision of the last applied change, and a way to wait for the next.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.published.revisions()
    }

    /// The root of the digest, and a way to wait for another.
    pub fn roots(&self) -> watch::Receiver<u128> {
        self.published.roots()
    }

    /// At most `limit` applied changes after revision `since`.
    pub fn changes_after(&self, since: u64, limit: usize) -> Result<Vec<Arc<Applied>>, TooOld> {
        self.published.changes_after(since, limit)
    }

    /// The same, with what they amount to.
    pub fn changes_upto(&self, since: u64, limit: usize) -> Result<Fed, TooOld> {
        self.published.changes_upto(since, limit)
    }

    /// How many versions were found since the start that lost against one whose writer did not
    /// know them. Some of them settle when what was written between them arrives.
    pub fn conflicts_found(&self) -> u64 {
        self.published.conflicts_found()
    }

    /// A reader of the older versions on disk. It blocks: for threads that may.
    pub fn disk(&self) -> &DiskReader {
        &self.disk
    }

    /// What is known of this member's health.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The limits on what may be written.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The wall clock by which expiry and writing are judged.
    pub fn now(&self) -> WallTime {
        crate::io::clock::wall()
    }
}
