//! Every bound on what a stranger may take from the server.

use std::time::Duration;

/// Limits of a server. All of them apply to peers as well, except where said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// From accept to the end of the TLS handshake. Default 10 s.
    pub handshake: Duration,
    /// From the end of the handshake to the first request, and (HTTP/1.1) from the first byte of a
    /// request to the end of its header. Default 10 s.
    pub header: Duration,
    /// The longest pause between two pieces of a request's body that a handler waits for. Default
    /// 30 s.
    pub body_idle: Duration,
    /// The longest time that a request's body may take in all. Default 5 min.
    pub body_total: Duration,
    /// How long a connection may stay open between requests. Default 120 s.
    pub idle: Duration,
    /// The longest time that a client may take to take the next 64 KiB of an answer. Default 30 s.
    pub stall: Duration,
    /// HTTP/2: how often a silent client is asked whether it is there. Default 20 s.
    pub ping_interval: Duration,
    /// HTTP/2: how long it may take to say so. Default 20 s.
    pub ping_timeout: Duration,
    /// Connections open at a time. Default 10,000, at least 1.
    pub connections: usize,
    /// So many of `connections` are kept for peers. Default 64.
    pub reserved_for_peers: usize,
    /// Connections open at a time from one address (IPv6: from one /64 network); the loopback is
    /// exempt. Default 1,024.
    pub connections_per_address: usize,
    /// HTTP/2: requests in flight on one connection. Default 256.
    pub streams: u32,
    /// Bytes of a request's header, with the request line; beyond: 431. Default 64 KiB; from 4 KiB
    /// to 64 KiB make sense.
    pub header_bytes: u32,
    /// Fields of a request's header; beyond: 431. Default 100.
    pub headers: usize,
    /// How long requests in flight may go on when the server stops. Default 8 s.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            body_total: Duration::from_mins(5),
            idle: Duration::from_mins(2),
            stall: Duration::from_secs(30),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            connections: 10_000,
            reserved_for_peers: 64,
            connections_per_address: 1024,
            streams: 256,
            header_bytes: 64 * 1024,
            headers: 100,
            drain: Duration::from_secs(8),
        }
    }
}
