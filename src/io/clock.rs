//! The only place that reads a clock.
#![expect(
    clippy::disallowed_methods,
    reason = "this module is the one that may read clocks"
)]

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::WallTime;
use crate::protocol::Mono;

static ZERO: OnceLock<Instant> = OnceLock::new();

/// Monotonic time since this process first asked.
pub fn mono() -> Mono {
    let zero = *ZERO.get_or_init(Instant::now);
    Mono(zero.elapsed())
}

/// The wall clock (UTC). A clock before 1970 reads as 1970.
pub fn wall() -> WallTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    WallTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Sleeps until the monotonic time `at`; returns at once if that has passed.
pub async fn sleep_until(at: Mono) {
    tokio::time::sleep(at.since(mono())).await;
}
