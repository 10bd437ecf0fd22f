//! TLS: the cluster's secret, what is derived from it, certificates, and the two faces of the
//! server's one port.
//!
//! The idea: everybody who knows the secret derives the same certificate authority from it, byte
//! for byte, and issues a leaf to itself, in memory. So no private key is ever shared or stored,
//! clients trust one file (`gaggle ca`), and members recognise each other without any ceremony.
//!
//! | file | what lives there |
//! |---|---|
//! | `secret` | the secret as text: made, read, checked |
//! | `keys` | what is derived from it: the datagram key and the authority |
//! | `authority` | the certificate authority, and the leaf it issues |
//! | `names` | the names in leaves: `<id>.member.gaggle.internal`, `peer.gaggle.internal` |
//! | `identity` | this member's own leaf, renewed in time |
//! | `peer_leaf` | the leaf that a peer has shown |
//! | `own_certificate` | the operator's certificate instead of the cluster's, reloaded |
//! | `trust` | whom a client trusts |
//! | `server`, `client` | rustls configurations made of the above |
//! | `refusal` | why a handshake failed, in words that say what to do |
//!
//! Invariants: there is no way to turn verification off; a peer's leaf is verified against the
//! cluster's authorities and nothing else; keys and secrets never appear in a log.

mod authority;
mod client;
mod identity;
mod keys;
mod names;
mod own_certificate;
mod peer_leaf;
mod provider;
mod refusal;
mod secret;
mod server;
mod trust;

pub use authority::{Authority, AuthorityError, LEAF_LIFE, Leaf};
pub use client::Offer;
pub(crate) use client::{towards_peers, towards_servers};
pub use identity::{Renewal, TlsIdentity};
pub use keys::{ClusterKeys, Keyring};
pub(crate) use names::server_name;
pub use names::{LeafNames, PEER_NAME};
pub use own_certificate::{CertificateFiles, OwnCertificateError};
pub use peer_leaf::PeerLeaf;
pub use refusal::TlsRefusal;
pub use secret::{SECRET_LEAST, SECRET_MOST, Secret, SecretError, Secrets};
pub use server::{Audience, TlsServer, TlsServerError};
pub use trust::{Trust, TrustError};
