//! A host's wall clock: wrong from the start, drifting, and set now and then.

use gaggle::model::WallTime;
use gaggle::protocol::Mono;

/// What a right clock says when a run begins, in milliseconds since 1970.
pub(crate) const EPOCH_MS: i64 = 1_790_000_000_000;

/// One host's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WallClock {
    /// How far it was ahead when it was set last, in milliseconds.
    ahead_ms: i64,
    /// How much too fast it runs, in millionths.
    drift_ppm: i64,
    set_at: Mono,
}

impl WallClock {
    /// What it says at `now`.
    pub(crate) fn read(&self, now: Mono) -> WallTime {
        let right = EPOCH_MS + millis(now);
        WallTime::from_millis(u64::try_from(right + self.ahead(now)).unwrap_or(0))
    }

    /// How far it is ahead at `now`, in milliseconds.
    pub(crate) fn ahead(&self, now: Mono) -> i64 {
        self.ahead_ms + (millis(now) - millis(self.set_at)) * self.drift_ppm / 1_000_000
    }

    /// Sets it: this far ahead, and drifting so.
    pub(crate) fn set(&mut self, now: Mono, ahead_ms: i64, drift_ppm: i64) {
        *self = Self {
            ahead_ms,
            drift_ppm,
            set_at: now,
        };
    }
}

fn millis(at: Mono) -> i64 {
    i64::try_from(at.0.as_millis()).unwrap_or(i64::MAX)
}
