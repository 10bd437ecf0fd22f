//! The other faces: binds what the configuration asks for, and serves it beside the API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;

use crate::api::Desk;
use crate::api::metrics::Metrics;
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

    /// Serves the map face until the tasks stop.
    pub(super) fn serve(self, with: &MapWith<'_>, tasks: &Tasks) {
        let counters = Arc::new(MapCounters::default());
        let connections = Arc::new(ServeCounters::default());
        count(with.metrics, &counters, &connections);
        let face = map::answerer(MapParts {
            inside: with.desk.inside(map::AUTHOR),
            node: self.face.node.clone(),
            reach: self.face.reach,
            counters,
            uptime: Uptime {
                since: clock::wall(),
                mono: clock::mono(),
            },
            syncs: with.syncs(),
        });
        let serving = Serving {
            speaks: Speaks::Http,
            limits: ServeLimits {
                reserved_for_peers: 0,
                ..serving::limits(with.config)
            },
            counters: connections,
            tasks: tasks.clone(),
        };
        let (listen, node) = (self.listen, &self.face.node);
        match self.face.reach {
            Reach::Loopback => tracing::info!(%listen, %node, "the map face is served"),
            Reach::Anywhere => tracing::warn!(
                %listen, %node,
                "the map face is served, without a password, to whoever reaches it (--map-expose)"
            ),
        }
        tasks.spawn(serve(self.listener, serving, face));
    }
}

/// What the map face works with.
pub(super) struct MapWith<'a> {
    pub(super) config: &'a Config,
    pub(super) desk: &'a Desk,
    pub(super) metrics: &'a Metrics,
    pub(super) replication: &'a Replication,
    /// Exchanges that peers began.
    pub(super) taken: Arc<AtomicU64>,
}

impl MapWith<'_> {
    fn syncs(&self) -> Syncs {
        let (push, sync) = (self.replication.push.clone(), self.replication.sync.clone());
        let sent = move || push.lock().counters().requests + sync.walks.load(Ordering::Relaxed);
        let taken = self.taken.clone();
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
