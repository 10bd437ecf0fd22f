//! What is known when a call to a peer failed.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::dial::DialError;
use crate::io::tls::TlsRefusal;

/// A call to a peer that gave no result. All but [`PeerCallError::Refused`] happen in normal life:
/// members stop, crash and are cut off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerCallError {
    /// There is no connection. The peer did not see the request.
    #[error("no connection to the peer at {address}: {why}")]
    NotReached {
        /// Where it was sought.
        address: SocketAddr,
        /// What happened.
        why: String,
    },
    /// One side refused the other's certificate. The peer did not see the request.
    #[error("the peer at {address} and we cannot trust each other: {why}")]
    Refused {
        /// Where it was sought.
        address: SocketAddr,
        /// Who refused what, and what to look at.
        why: TlsRefusal,
    },
    /// No answer in time. The peer may have acted on the request, or may yet.
    #[error("the peer at {address} did not answer within {after:?}")]
    TimedOut {
        /// Where it is.
        address: SocketAddr,
        /// The limit that was set.
        after: Duration,
    },
    /// The connection broke while the answer was awaited. The peer may have acted on the request.
    #[error("the connection to the peer at {address} broke: {why}")]
    Broken {
        /// Where it is.
        address: SocketAddr,
        /// What happened.
        why: String,
    },
    /// The peer answered something other than success: a problem document, usually.
    #[error("the peer at {address} answered {status}")]
    Answered {
        /// Where it is.
        address: SocketAddr,
        /// Its status.
        status: StatusCode,
        /// What it said.
        body: Bytes,
    },
    /// The answer is larger than the limit. The peer acted on the request.
    #[error("the peer at {address} answered with more than {limit} bytes")]
    TooLarge {
        /// Where it is.
        address: SocketAddr,
        /// The limit, in bytes.
        limit: usize,
    },
}

impl PeerCallError {
    /// Whether the peer certainly did not see the request, so that it can be sent again.
    pub fn was_not_sent(&self) -> bool {
        match self {
            Self::NotReached { .. } | Self::Refused { .. } => true,
            Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Answered { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    pub(super) fn dialling(address: SocketAddr, why: DialError) -> Self {
        match why {
            DialError::Tls(why) => Self::Refused { address, why },
            other => Self::NotReached {
                address,
                why: other.to_string(),
            },
        }
    }
}
