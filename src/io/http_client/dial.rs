//! TCP and TLS to one address, within a time limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::io::tls::TlsRefusal;

/// Why there is no connection. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DialError {
    /// Nobody there, or gone at once.
    #[error("{0}")]
    NotReached(String),
    /// Nobody answered in time.
    #[error("no connection within {0:?}")]
    TooSlow(Duration),
    /// One side refuses the other.
    #[error("{0}")]
    Tls(TlsRefusal),
}

impl DialError {
    /// Tells a refusal from an unreachable server.
    pub(super) fn of(why: &io::Error) -> Self {
        match TlsRefusal::find(why) {
            Some(refusal) => Self::Tls(refusal),
            None => Self::NotReached(why.to_string()),
        }
    }
}

/// What to dial and how.
pub(super) struct Dial {
    pub(super) address: SocketAddr,
    pub(super) name: ServerName<'static>,
    pub(super) config: Arc<ClientConfig>,
}

impl Dial {
    /// Connects and shakes hands.
    pub(super) async fn tls(self) -> Result<TlsStream<TcpStream>, DialError> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|why| DialError::of(&why))?;
        let _ = stream.set_nodelay(true);
        let connector = TlsConnector::from(self.config);
        connector
            .connect(self.name, stream)
            .await
            .map_err(|why| DialError::of(&why))
    }
}

/// Runs a dial within a limit. In a box: a handshake has a large state, which would otherwise be
/// part of every call for as long as it lasts.
pub(super) async fn within<T>(
    limit: Duration,
    dial: impl Future<Output = Result<T, DialError>>,
) -> Result<T, DialError> {
    match Box::pin(tokio::time::timeout(limit, dial)).await {
        Ok(dialled) => dialled,
        Err(_elapsed) => Err(DialError::TooSlow(limit)),
    }
}
