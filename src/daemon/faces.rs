//! The other faces: binds what the configuration asks for, and serves it beside the API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;

use crate::api::Desk;
use crate::api::metrics::Metrics;
use crate::api::peer::{self, PeerParts};
use crate::config::{Config, Listen, MapFace, Reach};
use crate::faces::map::{self, MapCounters, MapParts, Syncs, Uptime};
use crate::io::clock;
use crate::io::serve::{ServeCounters, ServeLimits, Serving, Speaks, serve};
use crate::io::tasks::Tasks;

use super::replication::Replication;
use super::{DaemonError, serving};

/// The doors of a member, open but not served yet.
pub(super) struct Doors {
    /// The REST API's.
    pub(super) api: TcpListener,
    /// Where that is.
    pub(super) listen: SocketAddr,
    /// The map face's, if it is on.
    pub(super) map: Option<MapDoor>,
}

/// The port of the map face.
pub(super) struct MapDoor {
    listener: TcpListener,
    pub(super) listen: SocketAddr,
    face: MapFace,
}

impl Doors {
    /// Binds every port that the configuration names.
    pub(super) async fn open(config: &Config) -> Result<Self, DaemonError> {
        let (api, listen) = serving::listen(&config.listen, "--listen").await?;
        let map = match &config.map {
            Some(face) => Some(MapDoor::open(face).await?),
            None => None,
        };
        Ok(Self { api, listen, map })
    }

    /// Serves all of them until the tasks stop.
    pub(super) fn serve(self, serving: Serving, door: PeerParts, behind: &Behind<'_>) {
        let taken = door.taken.clone();
        let answerer = behind.desk.front(peer::router(door));
        behind.tasks.spawn(serve(self.api, serving, answerer));
        if let Some(map) = self.map {
            map.serve(behind, taken);
        }
    }
}

impl MapDoor {
    async fn open(face: &MapFace) -> Result<Self, DaemonError> {
        let place = Listen {
            first: face.listen,
            without_ipv6: None,
        };
        let (listener, listen) = serving::listen(&place, "--map-listen").await?;
        Ok(Self {
            listener,
            listen,
            face: face.clone(),
        })
    }

    /// Serves the map face; `taken` counts the exchanges that peers began.
    fn serve(self, behind: &Behind<'_>, taken: Arc<AtomicU64>) {
        let counters = Arc::new(MapCounters::default());
        let connections = Arc::new(ServeCounters::default());
        count(&behind.metrics, &counters, &connections);
        let face = map::answerer(MapParts {
            inside: behind.desk.inside(map::AUTHOR),
            node: self.face.node.clone(),
            reach: self.face.reach,
            counters,
            uptime: Uptime {
                since: clock::wall(),
                mono: clock::mono(),
            },
            syncs: behind.syncs(taken),
        });
        let serving = Serving {
            speaks: Speaks::Http,
            limits: ServeLimits {
                reserved_for_peers: 0,
                ..serving::limits(behind.config)
            },
            counters: connections,
            tasks: behind.tasks.clone(),
        };
        let (listen, node) = (self.listen, &self.face.node);
        match self.face.reach {
            Reach::Loopback => tracing::info!(%listen, %node, "the map face is served"),
            Reach::Anywhere => tracing::warn!(
                %listen, %node,
                "the map face is served, without a password, to whoever reaches it (--map-expose)"
            ),
        }
        behind.tasks.spawn(serve(self.listener, serving, face));
    }
}

/// What stands behind the doors.
pub(super) struct Behind<'a> {
    pub(super) config: &'a Config,
    /// The resources.
    pub(super) desk: Desk,
    pub(super) metrics: Arc<Metrics>,
    pub(super) replication: &'a Replication,
    /// Owns what serves.
    pub(super) tasks: &'a Tasks,
}

impl Behind<'_> {
    fn syncs(&self, taken: Arc<AtomicU64>) -> Syncs {
        let (push, sync) = (self.replication.push.clone(), self.replication.sync.clone());
        let sent = move || push.lock().counters().requests + sync.walks.load(Ordering::Relaxed);
        Syncs {
            sent: Arc::new(sent),
            taken: Arc::new(move || taken.load(Ordering::Relaxed)),
        }
    }
}

fn count(metrics: &Metrics, counters: &Arc<MapCounters>, connections: &Arc<ServeCounters>) {
    type Of<T> = (&'static str, &'static str, fn(&T) -> &AtomicU64);
    let requests: [Of<MapCounters>; 2] = [
        (
            "gaggle_map_requests_good",
            "Requests of the map face that were answered with a status below 400.",
            |c| &c.good,
        ),
        (
            "gaggle_map_requests_bad",
            "Requests of the map face that were answered with another status.",
            |c| &c.bad,
        ),
    ];
    for (name, help, counter) in requests {
        let counters = counters.clone();
        metrics.counter_fn(name, help, move || ServeCounters::read(counter(&counters)));
    }
    let rows: [Of<ServeCounters>; 3] = [
        (
            "gaggle_map_connections_accepted",
            "Connections to the map face.",
            |c| &c.accepted,
        ),
        (
            "gaggle_map_connections_refused",
            "Connections to the map face refused by a limit.",
            |c| &c.refused_by_limit,
        ),
        (
            "gaggle_map_connections_too_slow",
            "Connections to the map face ended by a time limit.",
            |c| &c.too_slow,
        ),
    ];
    for (name, help, counter) in rows {
        let connections = connections.clone();
        metrics.counter_fn(name, help, move || {
            ServeCounters::read(counter(&connections))
        });
    }
}
