//! Starts the strong side, and is the world around its engine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::app::Strong;
use crate::config::{self, Founders};
use crate::io::http_client::{PeerClient, Target};
use crate::io::tasks::Tasks;
use crate::io::{clock, random};
use crate::model::{MemberId, WallTime};
use crate::protocol::Mono;
use crate::protocol::membership::MemberTable;
use crate::strong::engine::{AskError, Engine, LogDisk, Matter, Plan, Seen, Settings, World};

use super::DaemonError;

/// What the strong side is started with.
pub(super) struct StrongParts<'a> {
    pub(super) config: Option<&'a config::Strong>,
    pub(super) me: Seen,
    pub(super) disk: Arc<dyn LogDisk>,
    pub(super) client: Arc<PeerClient>,
    pub(super) table: watch::Receiver<Arc<MemberTable>>,
    pub(super) tasks: &'a Tasks,
}

/// Starts the engine, if the strong side is on.
pub(super) async fn start(parts: StrongParts<'_>) -> Result<Strong, DaemonError> {
    let Some(config) = parts.config else {
        return Ok(Strong::off());
    };
    let settings = Settings {
        me: parts.me,
        plan: match &config.founders {
            Founders::First(size) => Plan::Size(*size),
            Founders::Named(names) => Plan::Names(names.clone()),
        },
        promote_after: config.promote_after,
    };
    let (out, seen) = watch::channel(seen(&parts.table.borrow()));
    parts.tasks.spawn_until_stop(tell(parts.table.clone(), out));
    let world = Arc::new(Here {
        way: Https {
            client: parts.client,
            table: parts.table,
        },
        tasks: parts.tasks.clone(),
    });
    let started = Engine::start(settings, parts.disk, world, seen).await;
    let engine = started.map_err(|error| DaemonError::Strong(error.to_string()))?;
    let ending = engine.clone();
    let tasks = parts.tasks.clone();
    parts.tasks.spawn(async move {
        tasks.stopping().await;
        ending.stop().await;
    });
    Ok(Strong::on(engine))
}

/// Passes on who is alive, as the member table changes.
async fn tell(mut table: watch::Receiver<Arc<MemberTable>>, out: watch::Sender<Arc<Vec<Seen>>>) {
    while table.changed().await.is_ok() {
        let now = seen(&table.borrow_and_update());
        out.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    }
}

fn seen(table: &MemberTable) -> Arc<Vec<Seen>> {
    let peers = table.live().map(|row| Seen {
        member: row.id,
        name: row.name.to_string().into(),
        generation: row.generation.number(),
    });
    Arc::new(peers.collect())
}

/// The way to the other members.
pub(super) trait Way: Send + Sync + 'static {
    /// See [`World::ask`].
    fn ask(
        &self,
        to: MemberId,
        about: Matter,
        body: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Bytes, AskError>>;
}

/// The world of an engine in this process: the clocks, the kernel's randomness and the tasks of
/// this program, and a way to the others.
pub(super) struct Here<W> {
    pub(super) way: W,
    pub(super) tasks: Tasks,
}

impl<W: Way> World for Here<W> {
    fn mono(&self) -> Mono {
        clock::mono()
    }

    fn wall(&self) -> WallTime {
        clock::wall()
    }

    fn random(&self) -> [u8; 16] {
        random::bytes16()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.tasks.spawn_until_stop(task);
    }

    fn block(&self, work: Box<dyn FnOnce() + Send>) {
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            let _ = tasks.blocking(work).await;
        });
    }

    fn ask(
        &self,
        to: MemberId,
        about: Matter,
        body: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Bytes, AskError>> {
        self.way.ask(to, about, body, limit)
    }
}

/// The way of a daemon: its peers answer over HTTPS.
struct Https {
    client: Arc<PeerClient>,
    table: watch::Receiver<Arc<MemberTable>>,
}

impl Way for Https {
    fn ask(
        &self,
        to: MemberId,
        about: Matter,
        body: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Bytes, AskError>> {
        let address = self.table.borrow().find(to).map(|row| row.https);
        let client = self.client.clone();
        async move {
            let address = address.ok_or_else(|| AskError::NotReached(format!("{to} is away")))?;
            let target = Target {
                address,
                member: Some(to),
            };
            let path = format!("/v1/peer/raft/{}", about.word());
            let answer = client.post(&target, &path, body, limit).await;
            answer.map_err(|error| {
                if error.was_not_sent() {
                    AskError::NotReached(error.to_string())
                } else {
                    AskError::NoAnswer(error.to_string())
                }
            })
        }
        .boxed()
    }
}
