//! Asking a peer: one message there, one back, over its HTTPS API with mutual TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::io::http_client::{PeerCallError, PeerClient, Target};
use crate::model::MemberId;
use crate::protocol::message::{Ask, MESSAGE_BYTES, MessageError, Reply, decode, encode};

/// The slowest link that replication works over, in bytes per second: a message gets the time that
/// it takes there, on top of the time to answer.
const SLOWEST: usize = 64 << 10;

/// A peer that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerAddress {
    /// Who it is; its certificate must say so.
    pub member: MemberId,
    /// Where its HTTPS API answers.
    pub address: SocketAddr,
}

/// Why a peer was not asked with success. The next push or sync tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The call did not succeed.
    #[error(transparent)]
    Call(#[from] PeerCallError),
    /// The peer says that this member was forgotten.
    #[error("the peer says that this member was forgotten")]
    Forgotten,
    /// The answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    Message(#[from] MessageError),
}

/// Bytes of replication traffic, for the metrics.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Bytes sent in questions.
    pub sent: AtomicU64,
    /// Bytes received in answers.
    pub received: AtomicU64,
}

/// Asks peers; cheap to clone.
#[derive(Clone)]
pub(super) struct Peers {
    client: Arc<PeerClient>,
    limit: Duration,
    traffic: Arc<Traffic>,
    forgotten: Arc<Notify>,
}

impl Peers {
    /// Asks through this client; a peer may take `limit` to answer.
    pub(super) fn new(client: Arc<PeerClient>, limit: Duration) -> Self {
        Self {
            client,
            limit,
            traffic: Arc::default(),
            forgotten: Arc::default(),
        }
    }

    /// The bytes so far.
    pub(super) fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }

    /// Completes when a peer says that this member was forgotten.
    pub(super) fn forgotten(&self) -> Arc<Notify> {
        self.forgotten.clone()
    }

    /// Asks a peer and waits for its answer.
    pub(super) async fn ask(&self, peer: PeerAddress, ask: Ask) -> Result<Reply, AskError> {
        let path = if matches!(ask, Ask::Push { .. }) {
            "/v1/peer/push"
        } else {
            "/v1/peer/sync"
        };
        let body = Bytes::from(encode(&ask));
        let limit = self.limit + carrying(&ask, body.len());
        let target = Target {
            address: peer.address,
            member: Some(peer.member),
        };
        self.traffic
            .sent
            .fetch_add(body.len() as u64, Ordering::Relaxed);
        let answer = self.client.post(&target, path, body, limit).await?;
        self.traffic
            .received
            .fetch_add(answer.len() as u64, Ordering::Relaxed);
        match decode(&answer)? {
            Reply::Forgotten => {
                self.forgotten.notify_one();
                Err(AskError::Forgotten)
            }
            reply => Ok(reply),
        }
    }
}

/// The time that a question and its answer may take on the way.
fn carrying(ask: &Ask, sent: usize) -> Duration {
    let answer = match ask {
        Ask::Push { .. }
        | Ask::Sums { .. }
        | Ask::Meet(_)
        | Ask::Include(_)
        | Ask::Position
        | Ask::Standings(_) => 0,
        Ask::Items(_) | Ask::Fetch(_) => MESSAGE_BYTES,
    };
    Duration::from_millis(((sent + answer) * 1000 / SLOWEST) as u64)
}
