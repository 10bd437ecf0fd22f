//! What a server counts, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since start; `open` is the present number. Read them with [`ServeCounters::read`].
#[derive(Debug, Default)]
pub struct ServeCounters {
    /// Connections accepted from the system, refused ones included.
    pub accepted: AtomicU64,
    /// Connections closed at once because a limit on their number was reached.
    pub refused_by_limit: AtomicU64,
    /// TLS handshakes that failed or took too long.
    pub handshake_failures: AtomicU64,
    /// Connections open now, those in the handshake included.
    pub open: AtomicU64,
    /// Connections that spoke HTTP without TLS and were told so.
    pub plain_http: AtomicU64,
    /// Connections cut for a slow header or an answer that was not taken.
    pub too_slow: AtomicU64,
    /// Handlers that panicked; each was answered with 500.
    pub panics: AtomicU64,
}

impl ServeCounters {
    /// Reads a counter.
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
