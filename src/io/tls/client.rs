//! TLS configurations of our own clients: towards peers, and for the command line.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;

use super::identity::TlsIdentity;
use super::provider::{HouseClock, provider};
use super::trust::Trust;

/// Sessions remembered by a command-line client or a benchmark, for resumption.
const SESSIONS: usize = 32;

/// Which versions of HTTP a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/2, and HTTP/1.1 if the server has no better.
    Best,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

impl Offer {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Best => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
        }
    }
}

/// Towards peers: shows our leaf, trusts the cluster's authorities, resumes nothing.
pub(crate) fn towards_peers(
    identity: Arc<TlsIdentity>,
    peers: &Trust,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(HouseClock))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(peers.roots())
        .with_client_cert_resolver(identity);
    config.alpn_protocols = Offer::Http2.protocols();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// For the command line: shows no certificate, trusts what it was given.
pub(crate) fn towards_servers(
    trust: &Trust,
    offer: Offer,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(HouseClock))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trust.roots())
        .with_no_client_auth();
    config.alpn_protocols = offer.protocols();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}
