//! The log's own time, by which leases run out.
//!
//! Wall clocks of two leaders differ, by seconds or by years. If a lease ran out by whatever wall
//! time the next entry carries, a new leader whose clock is ahead would end every lease at once,
//! and one whose clock is behind would keep dead holders for as long as it is behind. So the log
//! has a clock of its own: it begins at zero and goes on by what *one and the same leader's* clock
//! went on between two of its entries. Where the leader changes it stands still, so a lease is
//! never shortened by that, only prolonged; it never goes back.
//!
//! What it needs of the engine: within a term the times of a leader's entries come from a
//! monotonic clock, so that a wall clock which is set does not show here.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::model::{MemberId, WallTime};

/// Where an entry stands in the Raft log, and who put it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The index in the Raft log.
    pub index: u64,
    /// The term of the leader that appended it.
    pub term: u64,
    /// That leader.
    pub leader: MemberId,
}

/// A length of time in whole milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Millis(pub u64);

impl Millis {
    /// That many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
}

impl From<Duration> for Millis {
    /// Rounded up, so that nothing ends before its time; beyond 64 bits the greatest one.
    fn from(duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// A point of the log's own time: milliseconds since the log began, leaderless time left out.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LogTime(u64);

impl LogTime {
    /// The first one.
    pub const MIN: Self = Self(0);

    /// The point that many milliseconds after the log began.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the log began.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The point that much later, or the last one.
    #[must_use]
    pub const fn after(self, by: Millis) -> Self {
        Self(self.0.saturating_add(by.0))
    }

    /// How long it is since an earlier point; zero for a later one.
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

/// The log's clock: see the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogClock {
    place: Option<Place>,
    now: LogTime,
    last: Option<WallTime>,
}

impl LogClock {
    /// The last entry that was applied.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// The time now.
    pub fn now(&self) -> LogTime {
        self.now
    }

    /// The time by now, if the present leader's wall clock shows `wall`: the log's clock itself
    /// stands still from one entry to the next. For people.
    pub fn by(&self, wall: WallTime) -> LogTime {
        let last = self.last.unwrap_or(wall).millis();
        self.now.after(Millis(wall.millis().saturating_sub(last)))
    }

    /// When a point of log time is, or was, by the wall clock of the present leader, as far as that
    /// is known. For people.
    pub fn wall(&self, at: LogTime) -> WallTime {
        let last = self.last.unwrap_or_default().millis();
        let millis = last.saturating_add(at.since(self.now).0);
        WallTime::from_millis(millis.saturating_sub(self.now.since(at).0))
    }

    /// Goes on to an entry; `time` is the leader's wall clock, which an entry without a command
    /// lacks. Says whether the entry is the first one of its leader.
    pub(super) fn advance(&mut self, at: Place, time: Option<WallTime>) -> bool {
        let led = |place: Place| (place.term, place.leader) == (at.term, at.leader);
        let is_new = !self.place.is_some_and(led);
        self.place = Some(at);
        if is_new {
            self.last = None;
        }
        if let Some(time) = time {
            let last = self.last.unwrap_or(time);
            let by = time.millis().saturating_sub(last.millis());
            self.now = self.now.after(Millis(by));
            self.last = Some(last.max(time));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(index: u64, term: u64) -> Place {
        Place {
            index,
            term,
            leader: MemberId::from_u64(term),
        }
    }

    /// Applies an entry with this time; says whether it is the first one of its leader.
    fn go(clock: &mut LogClock, at: Place, millis: u64) -> bool {
        clock.advance(at, Some(WallTime::from_millis(millis)))
    }

    #[test]
    fn time_goes_on_with_one_leader_and_stands_still_between_two() {
        let mut clock = LogClock::default();
        assert!(go(&mut clock, place(1, 1), 5_000));
        assert!(!go(&mut clock, place(2, 1), 5_300));
        assert_eq!(clock.now(), LogTime::from_millis(300));
        // A leader that is years ahead ends no lease.
        assert!(go(&mut clock, place(3, 2), 9_000_000));
        assert_eq!(clock.now(), LogTime::from_millis(300));
        go(&mut clock, place(4, 2), 9_000_050);
        // One that is behind holds none up.
        clock.advance(place(5, 3), None);
        assert!(!go(&mut clock, place(6, 3), 10));
        go(&mut clock, place(7, 3), 60);
        assert_eq!(clock.now(), LogTime::from_millis(400));
    }

    #[test]
    fn time_never_goes_back() {
        let mut clock = LogClock::default();
        go(&mut clock, place(1, 1), 1_000);
        go(&mut clock, place(2, 1), 1_200);
        go(&mut clock, place(3, 1), 700);
        assert_eq!(clock.now(), LogTime::from_millis(200));
        // What was lost by going back is not counted twice.
        go(&mut clock, place(4, 1), 1_100);
        assert_eq!(clock.now(), LogTime::from_millis(200));
        go(&mut clock, place(5, 1), 1_201);
        assert_eq!(clock.now(), LogTime::from_millis(201));
    }

    #[test]
    fn a_point_is_told_by_the_leaders_wall_clock() {
        let mut clock = LogClock::default();
        go(&mut clock, place(1, 1), 1_000);
        go(&mut clock, place(2, 1), 1_200);
        let wall = |millis| clock.wall(LogTime::from_millis(millis)).millis();
        assert_eq!((wall(200), wall(250), wall(150)), (1_200, 1_250, 1_150));
    }

    #[test]
    fn a_length_is_rounded_up() {
        assert_eq!(Millis::from(Duration::from_micros(1)), Millis(1));
        assert_eq!(Millis::from(Duration::from_millis(7)), Millis(7));
        assert_eq!(Millis::from(Duration::MAX), Millis(u64::MAX));
    }
}
