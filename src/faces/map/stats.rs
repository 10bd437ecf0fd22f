//! What this face counts, and `GET /stats`: one `name=value` per line.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use super::MapParts;
use crate::io::clock;
use crate::model::{TEXT, WallTime};
use crate::protocol::Mono;

/// Requests of this face since the start.
#[derive(Debug, Default)]
pub struct MapCounters {
    /// Answered with a status below 400.
    pub good: AtomicU64,
    /// Answered with any other, a key that is not there included.
    pub bad: AtomicU64,
}

impl MapCounters {
    pub(super) fn count(&self, status: StatusCode) {
        let is_good = status.as_u16() < 400;
        let counter = if is_good { &self.good } else { &self.bad };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Since when the member runs.
#[derive(Clone, Copy, Debug)]
pub struct Uptime {
    /// By the clock on the wall.
    pub since: WallTime,
    /// By the clock that only goes forwards.
    pub mono: Mono,
}

/// How often members exchanged something, since the start.
#[derive(Clone)]
pub struct Syncs {
    /// Begun by this member: pushes that a peer took, and comparisons that ended well.
    pub sent: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Begun by others, and answered here.
    pub taken: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// The answer to `GET /stats`.
pub(super) fn told(parts: &MapParts) -> Response<Body> {
    let mut text = String::with_capacity(256);
    let up = clock::mono().since(parts.uptime.mono).as_secs();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    for (name, value) in [
        ("upTimeSecs", up.to_string()),
        ("upSince", parts.uptime.since.to_string()),
        ("nOutSyncs", (parts.syncs.sent)().to_string()),
        ("nInSyncs", (parts.syncs.taken)().to_string()),
        ("nBadHttpReqs", read(&parts.counters.bad).to_string()),
        ("nGoodHttpReqs", read(&parts.counters.good).to_string()),
    ] {
        // A String grows as it must.
        let _ = writeln!(text, "{name}={value}");
    }
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
