//! HTTP clients: one towards peers, one for the command line, tests and benchmarks.
//!
//! The idea: a call says not only that it failed, but what is known about its outcome. A request
//! that was never sent was not applied; one that was sent and not answered may have been. So
//! dialling, sending and waiting fail with different errors, and an HTTP/2 connection counts as
//! made only when the server has spoken on it: under TLS 1.3 a refused client certificate shows
//! up no earlier.
//!
//! | file | what lives there |
//! |---|---|
//! | `dial` | TCP and TLS, within a time limit |
//! | `channel` | one open HTTP connection, of either version |
//! | `tapped` | the stream that tells when the server first spoke, or why it hung up |
//! | `peer` | [`PeerClient`]: one HTTP/2 connection for each peer, with our certificate |
//! | `peer_error` | what is known when a call to a peer failed |
//! | `api` | [`ApiClient`]: any request to one server, with a password |
//! | `api_url` | the server's address |
//! | `api_error` | errors for people |
//!
//! Invariants: the server is always verified; every wait has a limit; every answer has one.

mod api;
mod api_error;
mod api_url;
mod channel;
mod dial;
mod peer;
mod peer_error;
mod tapped;
#[cfg(test)]
mod tests;

pub use api::{ApiAnswer, ApiClient, ApiOptions, ApiRequest, Credentials};
pub use api_error::ApiError;
pub use peer::{MEMBER_HEADER, PeerClient, PeerLimits, Target};
pub use peer_error::PeerCallError;
