//! Members of one process that are connected through memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::io::disk::{DataDir, Disk, Opening};
use crate::io::tasks::Tasks;
use crate::io::{clock, random};
use crate::model::{ClusterId, MemberId};
use crate::strong::engine::{AskError, Engine, LogDisk, Matter, MemoryDisk, Plan, Seen, Settings};

use super::super::strong::{Here, Way};
use super::{EmbedError, Embedded, Keep, Life};

/// How long a member may take to stop.
const STOPPING: Duration = Duration::from_secs(5);
/// Memory for pages of a database, in bytes.
const CACHE: usize = 8 << 20;

/// Connects the members of one process. Cloning gives another handle to the same hall.
#[derive(Clone, Default)]
pub struct Hall(Arc<Mutex<BTreeMap<MemberId, Place>>>);

struct Place {
    seen: Seen,
    engine: Engine,
    sees: watch::Sender<Arc<Vec<Seen>>>,
}

impl Hall {
    /// An empty hall.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a member of a group that the first `size` members found. In a directory that was used
    /// before it is the member that it was.
    ///
    /// # Errors
    /// See [`EmbedError`]; a directory can be used by one member at a time.
    pub async fn start(&self, name: &str, size: usize, keep: Keep) -> Result<Embedded, EmbedError> {
        let (id, log, disk): (MemberId, Arc<dyn LogDisk>, Option<Disk>) = match keep {
            Keep::InMemory => {
                let id = MemberId::from_u64(random::seed());
                (id, Arc::new(MemoryDisk::new()), None)
            }
            Keep::OnDisk(path) => {
                let dir = DataDir::open(&path, clock::wall())?;
                let opening = Opening {
                    cluster: ClusterId::default(),
                    member: MemberId::from_u64(random::seed()),
                    now: clock::wall(),
                    cache: CACHE,
                };
                let (disk, loaded) = Disk::open(&dir, &opening)?;
                (loaded.identity.member, disk.log_disk(), Some(disk))
            }
        };
        let seen = Seen {
            member: id,
            name: name.into(),
            generation: random::seed(),
        };
        let tasks = Tasks::new();
        let (sees, watched) = watch::channel(Arc::default());
        let settings = Settings {
            me: seen.clone(),
            plan: Plan::Size(size),
            promote_after: None,
        };
        let way = Inside {
            hall: self.clone(),
            me: id,
        };
        let world = Arc::new(Here {
            way,
            tasks: tasks.clone(),
        });
        let engine = Engine::start(settings, log, world, watched).await?;
        let place = Place {
            seen,
            engine: engine.clone(),
            sees,
        };
        self.0.lock().insert(id, place);
        self.look();
        let guest = Guest {
            hall: self.clone(),
            id,
            tasks,
            disk,
        };
        Ok(Embedded {
            engine,
            id,
            name: name.into(),
            life: Life::Guest(guest),
        })
    }

    /// Tells everybody who is here.
    fn look(&self) {
        let places = self.0.lock();
        for (id, place) in &*places {
            let others = places.iter().filter(|(other, _)| *other != id);
            let seen = others.map(|(_, place)| place.seen.clone()).collect();
            place.sees.send_replace(Arc::new(seen));
        }
    }

    fn leave(&self, id: MemberId) {
        self.0.lock().remove(&id);
        self.look();
    }
}

/// What a member of a hall has that ends with it.
pub(super) struct Guest {
    hall: Hall,
    id: MemberId,
    tasks: Tasks,
    disk: Option<Disk>,
}

impl Guest {
    /// Ends the member; what it has acknowledged stays where it keeps it.
    pub(super) async fn stop(mut self, engine: &Engine) {
        self.hall.leave(self.id);
        engine.stop().await;
        self.tasks.stop(STOPPING).await;
        if let Some(disk) = self.disk.take() {
            disk.close();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.hall.leave(self.id);
        self.tasks.cancel();
    }
}

/// The way of a member in a hall.
struct Inside {
    hall: Hall,
    me: MemberId,
}

impl Way for Inside {
    fn ask(
        &self,
        to: MemberId,
        about: Matter,
        body: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Bytes, AskError>> {
        let places = self.hall.0.lock();
        let target = places.get(&to).map(|place| place.engine.clone());
        drop(places);
        let me = self.me;
        async move {
            let away = || AskError::NotReached(format!("{to} is not in the hall"));
            let target = target.ok_or_else(away)?;
            let silence = |_| AskError::NoAnswer("no answer in time".to_owned());
            let answer = tokio::time::timeout(limit, target.take(me, about, &body)).await;
            let answer = answer.map_err(silence)?;
            answer.map_err(|why| AskError::NoAnswer(why.to_string()))
        }
        .boxed()
    }
}
