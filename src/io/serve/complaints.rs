//! How often the log hears of something that strangers can cause at will.

use std::time::Duration;

use parking_lot::Mutex;

use crate::protocol::Mono;

/// The least time between two complaints.
const PAUSE: Duration = Duration::from_secs(10);

/// Lets one complaint through now and then.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Option<Mono>>);

impl Complaints {
    /// Whether a complaint may be made now; if so, the next must wait.
    pub(super) fn may_speak(&self, now: Mono) -> bool {
        let mut last = self.0.lock();
        let may = last.is_none_or(|last| now.since(last) >= PAUSE);
        if may {
            *last = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hears_of_it_at_once_and_then_seldom() {
        let complaints = Complaints::default();
        let heard = (0..30).filter(|s| complaints.may_speak(Mono(Duration::from_secs(*s))));
        assert_eq!(heard.collect::<Vec<_>>(), [0, 10, 20]);
    }
}
