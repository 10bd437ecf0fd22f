//! The only place that reads a clock.
#![expect(
    clippy::disallowed_methods,
    reason = "this module is the one that may read clocks"
)]

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::model::WallTime;
use crate::protocol::Mono;
use crate::protocol::clocks::{Reading, is_plausible};

static ZERO: OnceLock<Instant> = OnceLock::new();
static TOLD: Mutex<Option<Reading>> = Mutex::new(None);

/// Monotonic time since this process first asked.
pub fn mono() -> Mono {
    let zero = *ZERO.get_or_init(Instant::now);
    Mono(zero.elapsed())
}

/// The wall clock (UTC). While it cannot be right and somebody told the time (see [`correct`]), it
/// is the time as told, plus what went by since.
pub fn wall() -> WallTime {
    let own = own_wall();
    if is_plausible(own) {
        return own;
    }
    let told = *TOLD.lock();
    told.map_or(own, |told| told.now(mono()))
}

/// Takes the time that peers told, to go by while the host's own clock cannot be right.
pub fn correct(told: Reading) {
    *TOLD.lock() = Some(told);
}

/// What the host's clock says itself. A clock before 1970 reads as 1970. In builds for tests of
/// clocks it can be turned, see `io::test_clock`.
pub fn own_wall() -> WallTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let now = WallTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    #[cfg(feature = "test-clock")]
    let now = super::test_clock::turned(now, mono());
    now
}

/// Sleeps until the monotonic time `at`; returns at once if that has passed.
pub async fn sleep_until(at: Mono) {
    tokio::time::sleep(at.since(mono())).await;
}
