//! A strong side of one member, in memory: `--cluster-size 1` without a network.
#![expect(
    clippy::disallowed_methods,
    reason = "here is the world that the engine is given"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gaggle::app::Strong;
use gaggle::model::{MemberId, WallTime};
use gaggle::protocol::Mono;
use gaggle::strong::engine::{AskError, Engine, Matter, MemoryDisk, Plan, Seen, Settings, World};
use tokio::sync::watch;

struct Alone(Instant);

impl World for Alone {
    fn mono(&self) -> Mono {
        Mono(self.0.elapsed())
    }

    fn wall(&self) -> WallTime {
        WallTime::from_millis(1_800_000_000_000)
    }

    fn random(&self) -> [u8; 16] {
        rand::random()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn block(&self, work: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(work);
    }

    fn ask(
        &self,
        _: MemberId,
        _: Matter,
        _: Bytes,
        _: Duration,
    ) -> BoxFuture<'static, Result<Bytes, AskError>> {
        async { Err(AskError::NotReached("nobody is there".to_owned())) }.boxed()
    }
}

/// Starts it for a member.
pub(crate) async fn strong(member: MemberId) -> Strong {
    let settings = Settings {
        me: Seen {
            member,
            name: "seven".into(),
            generation: 1,
        },
        plan: Plan::Size(1),
        promote_after: None,
    };
    let (_, seen) = watch::channel(Arc::default());
    let world = Arc::new(Alone(Instant::now()));
    let engine = Engine::start(settings, Arc::new(MemoryDisk::new()), world, seen).await;
    Strong::on(engine.unwrap())
}
