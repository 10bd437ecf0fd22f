//! The zgossip face as `/v1/status` shows it.

use std::sync::Arc;

use serde::Serialize;

/// Tells how the zgossip face is; implemented by whoever starts it.
pub trait ZgossipDirectory: Send + Sync {
    /// How it is now.
    fn view(&self) -> ZgossipView;
}

/// The face.
#[derive(Clone, Debug, Serialize)]
pub struct ZgossipView {
    /// The node of the store whose keys are the tuples.
    pub node: String,
    /// Where it listens.
    pub bind: Vec<ZgossipBound>,
    /// Whom it connects to.
    pub connect: Vec<ZgossipServer>,
    /// Open connections, of both kinds.
    pub connections: u64,
    /// Keys of the node.
    pub tuples: usize,
}

/// Where the face listens.
#[derive(Clone, Debug, Serialize)]
pub struct ZgossipBound {
    /// As it was asked for.
    pub asked: String,
    /// As it is: with the port in place of a `*`.
    pub endpoint: String,
    /// The port; none for a Unix socket.
    pub port: Option<u16>,
}

/// Whom the face connects to.
#[derive(Clone, Debug, Serialize)]
pub struct ZgossipServer {
    /// The endpoint.
    pub endpoint: String,
    /// `connected` or `waiting`.
    pub state: &'static str,
    /// Why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Arc<str>>,
}

/// The face, or that it is off.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Shown {
    Off { state: &'static str },
    On(On),
}

#[derive(Serialize)]
pub(super) struct On {
    state: &'static str,
    #[serde(flatten)]
    view: ZgossipView,
}

impl Shown {
    pub(super) fn of(face: Option<&Arc<dyn ZgossipDirectory>>) -> Self {
        match face {
            None => Self::Off { state: "off" },
            Some(face) => Self::On(On {
                state: "on",
                view: face.view(),
            }),
        }
    }
}
