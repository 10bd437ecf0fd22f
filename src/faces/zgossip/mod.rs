//! The zgossip face: programs that use czmq's zgossip share tuples with the store.
//!
//! | file | what lives there |
//! |---|---|
//! | `endpoint` | sockets: TCP and Unix, bound and connected |
//! | `serving` | accepts connections |
//! | `dialing` | connects, again and again |
//! | `connection` | runs one connection: the pure session and link against a socket |
//! | `outward` | which keys a connection still has to look at |
//! | `tuples` | the node of the store whose keys are the tuples |
//! | `counters` | what the metrics show |
//!
//! What a session and a link are, and who may say what when, is in `protocol::zgossip`. No part
//! here holds more of a stranger than a bound allows: octets that wait to be sent are pulled from
//! the store only when there is room for them.

mod connection;
mod counters;
mod dialing;
mod endpoint;
mod outward;
mod serving;
#[cfg(test)]
mod tests;
mod tuples;

use std::sync::Arc;

use parking_lot::Mutex;

pub use self::counters::Counters;
pub use self::endpoint::BindError;
use self::endpoint::Listener;
use self::tuples::Tuples;
use crate::app::{App, Strong};
use crate::config::{Connect, Zgossip as Config};
use crate::io::tasks::Tasks;

/// What the face works with.
#[derive(Clone)]
pub struct Parts {
    /// The member's store.
    pub app: App,
    /// The strong side: a strong node of the same name is left alone.
    pub strong: Strong,
    /// Owns every task of the face.
    pub tasks: Tasks,
}

/// The face of a member. Cheap to clone.
#[derive(Clone)]
pub struct Zgossip {
    shared: Arc<Shared>,
    bound: Arc<[Bound]>,
    dialled: Arc<[Dialled]>,
}

/// What all connections share.
struct Shared {
    tuples: Tuples,
    counters: Counters,
    tasks: Tasks,
}

/// Where the face listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// As it was asked for.
    pub asked: String,
    /// As it is: with the port in place of a `*`.
    pub endpoint: String,
    /// The port; none for a Unix socket.
    pub port: Option<u16>,
}

/// Whom the face connects to.
#[derive(Clone, Debug)]
struct Dialled {
    to: Connect,
    state: Arc<Mutex<DialState>>,
}

/// How it stands with a server that the face connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialState {
    /// Not connected, for this reason.
    Waiting(Arc<str>),
    /// Connected; tuples go both ways.
    Connected,
}

/// How the face is, for `/v1/status`.
#[derive(Clone, Debug)]
pub struct Status {
    /// The node whose keys are the tuples.
    pub node: String,
    /// Where it listens.
    pub bound: Vec<Bound>,
    /// Whom it connects to, and how that stands.
    pub dialled: Vec<(String, DialState)>,
    /// Open connections, of both kinds.
    pub connections: u64,
    /// Keys of the node that readers see.
    pub tuples: usize,
}

impl Zgossip {
    /// Binds all endpoints, then begins to serve and to connect.
    ///
    /// # Errors
    /// If an endpoint cannot be bound; nothing runs then.
    pub async fn start(config: &Config, parts: Parts) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        for bind in &config.bind {
            listeners.push(Listener::bind(bind).await?);
        }
        let Parts { app, strong, tasks } = parts;
        let shared = Arc::new(Shared {
            tuples: Tuples::new(app, strong, config.node.clone(), tasks.clone()),
            counters: Counters::default(),
            tasks: tasks.clone(),
        });
        let bound = listeners.iter().map(|at| at.bound().clone()).collect();
        for listener in listeners {
            tasks.spawn(serving::serve(listener, shared.clone()));
        }
        let dialled: Arc<[Dialled]> = config.connect.iter().map(Dialled::new).collect();
        for one in dialled.iter() {
            tasks.spawn(dialing::keep(one.clone(), shared.clone()));
        }
        Ok(Self {
            shared,
            bound,
            dialled,
        })
    }

    /// How it is.
    pub fn status(&self) -> Status {
        let state = |one: &Dialled| (one.to.to_string(), one.state.lock().clone());
        Status {
            node: self.shared.tuples.node().as_str().to_owned(),
            bound: self.bound.to_vec(),
            dialled: self.dialled.iter().map(state).collect(),
            connections: Counters::read(&self.shared.counters.open),
            tuples: self.shared.tuples.count(),
        }
    }

    /// What it counts.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

impl Dialled {
    fn new(to: &Connect) -> Self {
        let state = DialState::Waiting("not tried yet".into());
        Self {
            to: to.clone(),
            state: Arc::new(Mutex::new(state)),
        }
    }
}
