//! Waiting for a state, never for a time.

use std::fmt::Debug;
use std::time::Duration;

use gaggle::io::clock::mono;

/// That many seconds.
pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Asks `probe` again and again until it gives a value; `None` if `limit` runs out first.
pub(crate) fn within<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let started = mono();
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if mono().since(started) > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// Waits until `state` is as `wanted`; fails with the last state seen when `limit` runs out.
pub(crate) fn until<T: Debug>(
    what: &str,
    limit: Duration,
    mut state: impl FnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let mut last = None;
    let found = within(limit, || {
        let now = state();
        if wanted(&now) {
            return Some(now);
        }
        last = Some(now);
        None
    });
    found.unwrap_or_else(|| panic!("not within {limit:?}: {what}; last seen: {last:?}"))
}

/// Asks `check` again and again for that long: for states that must last.
pub(crate) fn throughout(time: Duration, mut check: impl FnMut()) {
    let started = mono();
    while mono().since(started) < time {
        check();
        std::thread::sleep(Duration::from_millis(100));
    }
}
