//! The server's two faces on one port, told apart by the name that the client asks for.
//!
//! A client that asks for `….gaggle.internal` is a peer: it sees the cluster's leaf and must show
//! one of the cluster's. Everybody else is a client: it sees the operator's certificate, or the
//! cluster's leaf if there is none, and is not asked for a certificate (browsers would bother their
//! users with it). Sessions are resumed for clients only: each connection of a peer is verified.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;

use super::identity::TlsIdentity;
use super::names::is_peer_name;
use super::own_certificate::{CertificateFiles, FileMarks, OwnCertificateError};
use super::provider::{HouseClock, provider};
use super::trust::Trust;
use crate::model::WallTime;

/// Why the TLS side of the server cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsServerError {
    /// The operator's certificate cannot be used; happens when the files are wrong.
    #[error(transparent)]
    Own(#[from] OwnCertificateError),
    /// rustls refuses the configuration; not expected.
    #[error("the TLS configuration cannot be built: {0}")]
    Config(String),
}

/// Whom a connection is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Another member of the cluster, with a certificate.
    Peer,
    /// Everybody else.
    Client,
}

/// The TLS side of the server.
#[derive(Debug)]
pub struct TlsServer {
    peer: Arc<ServerConfig>,
    client: Arc<ServerConfig>,
    shown: Arc<Shown>,
    own: Option<(CertificateFiles, ArcSwap<FileMarks>)>,
}

/// What clients see.
#[derive(Debug)]
struct Shown {
    own: ArcSwapOption<CertifiedKey>,
    identity: Arc<TlsIdentity>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match self.own.load_full() {
            Some(own) => Some(own),
            None => ResolvesServerCert::resolve(self.identity.as_ref(), hello),
        }
    }
}

impl TlsServer {
    /// Builds both faces. `peers` are the authorities whose leaves are accepted from peers; `own`
    /// is the operator's certificate for clients, if any.
    ///
    /// # Errors
    /// When the operator's certificate cannot be used at `now`.
    pub fn new(
        identity: Arc<TlsIdentity>,
        peers: &Trust,
        own: Option<CertificateFiles>,
        now: WallTime,
    ) -> Result<Self, TlsServerError> {
        let shown = Arc::new(Shown {
            own: ArcSwapOption::empty(),
            identity: identity.clone(),
        });
        let server = Self {
            peer: Arc::new(peer_config(identity, peers)?),
            client: Arc::new(client_config(shown.clone())?),
            shown,
            own: own.map(|files| (files, ArcSwap::default())),
        };
        server.reload(now)?;
        Ok(server)
    }

    /// Reads the operator's certificate again; does nothing if there is none. Reads two small
    /// files.
    ///
    /// # Errors
    /// When it cannot be used; the one in use stays in use.
    pub fn reload(&self, now: WallTime) -> Result<(), OwnCertificateError> {
        let Some((files, marks)) = &self.own else {
            return Ok(());
        };
        // The marks first: what is replaced while we read is noticed the next time. They are kept
        // even if the files are bad, so that one bad pair is complained about once.
        marks.store(Arc::new(files.marks()));
        self.shown.own.store(Some(Arc::new(files.load(now)?)));
        Ok(())
    }

    /// Whether the files of the operator's certificate look other than when they were last read
    /// (time of modification and length; a look every second is cheap and also works where file
    /// notification misses a replacement).
    pub fn changed_on_disk(&self) -> bool {
        self.own
            .as_ref()
            .is_some_and(|(files, marks)| **marks.load() != files.marks())
    }

    /// Which face a client sees that asks for `name`.
    pub(crate) fn face(&self, name: Option<&str>) -> (Audience, Arc<ServerConfig>) {
        if name.is_some_and(is_peer_name) {
            (Audience::Peer, self.peer.clone())
        } else {
            (Audience::Client, self.client.clone())
        }
    }
}

fn peer_config(identity: Arc<TlsIdentity>, peers: &Trust) -> Result<ServerConfig, TlsServerError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(peers.roots(), provider())
        .build()
        .map_err(|why| TlsServerError::Config(why.to_string()))?;
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(HouseClock))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity);
    config.alpn_protocols = protocols();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(shown: Arc<Shown>) -> Result<ServerConfig, TlsServerError> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(HouseClock))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = protocols();
    // Tickets keep nothing on the server, whatever the number of clients that come back. Early
    // data stays off (rustls' default): a write must not be replayable.
    config.ticketer = Ticketer::new().map_err(refused)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn protocols() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "map_err hands the error over"
)]
fn refused(why: rustls::Error) -> TlsServerError {
    TlsServerError::Config(why.to_string())
}
