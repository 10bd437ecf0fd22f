//! How often the log hears of something that strangers can cause at will.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use crate::protocol::Mono;

/// The least time between two complaints.
const PAUSE: Duration = Duration::from_secs(10);
/// The least time between two complaints of the same.
const AGAIN: Duration = Duration::from_hours(1);
/// How many things are remembered as said.
const REMEMBERED: usize = 256;

/// Lets one complaint through now and then, and the same one seldom.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Mono>,
    when: BTreeMap<(IpAddr, String), Mono>,
}

impl Complaints {
    /// Whether a complaint of `what` from this address may be made now; if so, the next must wait.
    pub(super) fn may_speak(&self, now: Mono, from: IpAddr, what: &str) -> bool {
        let mut said = self.0.lock();
        if said.last.is_some_and(|last| now.since(last) < PAUSE) {
            return false;
        }
        said.when.retain(|_, at| now.since(*at) < AGAIN);
        let this = (from, what.to_owned());
        if said.when.contains_key(&this) || said.when.len() >= REMEMBERED {
            return false;
        }
        said.last = Some(now);
        said.when.insert(this, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_log_hears_of_the_same_at_once_and_then_once_an_hour() {
        let complaints = Complaints::default();
        let heard = (0..8000)
            .step_by(5)
            .filter(|s| complaints.may_speak(Mono(Duration::from_secs(*s)), from(1), "x"));
        assert_eq!(heard.collect::<Vec<_>>(), [0, 3600, 7200]);
    }

    #[test]
    fn many_who_complain_of_many_things_cannot_fill_the_log() {
        let complaints = Complaints::default();
        let speaks = |second, last, what: &str| {
            complaints.may_speak(Mono(Duration::from_secs(second)), from(last), what)
        };
        assert!(speaks(0, 1, "x"));
        assert!(!speaks(9, 2, "x"), "too soon after the first");
        assert!(speaks(10, 2, "x"));
        assert!(speaks(20, 2, "y"));
        let heard = (3..3500).filter(|s| speaks(s * 10, 9, &s.to_string()));
        assert!(heard.count() <= REMEMBERED * 10, "so many an hour at most");
    }
}
