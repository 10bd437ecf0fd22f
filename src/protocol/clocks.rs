//! What the peers' clocks say about our own.
//!
//! A member whose clock is far ahead would write stamps that all others hold aside, so it refuses
//! to write; a clock that stands in 1970 is no clock, and the peers' time is used in its place.
//! Nothing here decides about data that was taken: the order of writes never depends on clocks
//! agreeing.
//!
//! A peer's clock is read off what it sends: its wall clock when it wrote, and our monotonic clock
//! when that arrived. From then on both go on together, so that a jump of our own wall clock shows
//! at once. A message may have been on its way for long, which makes its sender look behind; so of
//! two readings the one that says the later time counts, unless it is old or the other one is
//! the answer to a question of ours.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Mono;
use crate::model::{HybridClock, HybridTime, WallTime};

/// 2026-01-01T00:00:00Z: before this program was written no clock is right.
pub const FIRST_PLAUSIBLE: WallTime = WallTime::from_millis(1_767_225_600_000);
/// How long a reading counts.
const FRESH: Duration = Duration::from_mins(1);

/// Whether a clock can be right at all.
pub fn is_plausible(wall: WallTime) -> bool {
    wall >= FIRST_PLAUSIBLE
}

/// What a clock said, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it said.
    pub wall: WallTime,
    /// When that arrived, by our monotonic clock.
    pub at: Mono,
}

/// How a reading came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As an answer to what we asked just now.
    Answer,
    /// By itself: it may have been on its way for long.
    Letter,
}

impl Reading {
    /// What that clock says now, if it went right since.
    pub fn now(self, now: Mono) -> WallTime {
        let since = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        WallTime::from_millis(self.wall.millis().saturating_add(since))
    }

    /// Whether it counts still.
    pub fn is_fresh(self, now: Mono) -> bool {
        now.since(self.at) <= FRESH
    }

    /// How far that clock is ahead of one that says `wall` now, in milliseconds.
    pub fn offset_ms(self, now: Mono, wall: WallTime) -> i64 {
        let there = i64::try_from(self.now(now).millis()).unwrap_or(i64::MAX);
        let here = i64::try_from(wall.millis()).unwrap_or(i64::MAX);
        there.saturating_sub(here)
    }

    /// Takes a newer reading of the same clock, if it tells more than what is known.
    pub fn improve(known: &mut Option<Self>, new: Self, way: Way) {
        let keep = known.is_some_and(|old| {
            way == Way::Letter && old.is_fresh(new.at) && old.now(new.at) >= new.wall
        });
        if !keep {
            *known = Some(new);
        }
    }
}

/// The clocks of the peers that are alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerClocks(Vec<(Arc<str>, Reading)>);

impl PeerClocks {
    /// The clocks of these peers, with their names. Old readings and implausible clocks are left
    /// out.
    pub fn new(now: Mono, peers: impl IntoIterator<Item = (Arc<str>, Reading)>) -> Self {
        let counts = |(_, reading): &(Arc<str>, Reading)| {
            reading.is_fresh(now) && is_plausible(reading.now(now))
        };
        Self(peers.into_iter().filter(counts).collect())
    }

    /// The median of what they say now; of an even number the later one of the two in the middle,
    /// so that one peer that is behind does not make us look ahead.
    pub fn median(&self, now: Mono) -> Option<WallTime> {
        self.middle(now).map(|(_, later)| later)
    }

    /// The two in the middle of what they say now, the earlier one first; of an odd number they are
    /// the same.
    pub fn middle(&self, now: Mono) -> Option<(WallTime, WallTime)> {
        let mut walls: Vec<WallTime> = self.0.iter().map(|(_, reading)| reading.now(now)).collect();
        walls.sort_unstable();
        let later = *walls.get(walls.len() / 2)?;
        let earlier = *walls.get((walls.len() - 1) / 2)?;
        Some((earlier, later))
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Those that are further than `limit` from `wall`, with how far they are ahead of it in
    /// milliseconds.
    pub fn far(&self, now: Mono, wall: WallTime, limit: Duration) -> Vec<(Arc<str>, i64)> {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let offsets = self.0.iter().map(|(name, reading)| {
            let offset = reading.offset_ms(now, wall);
            (name.clone(), offset)
        });
        offsets
            .filter(|(_, offset)| offset.unsigned_abs() > limit)
            .collect()
    }
}

/// Why a member should not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockTrouble {
    /// Its wall clock is too far ahead.
    #[error(
        "this member's clock is {} ahead of the median of its live peers, more than \
         --max-clock-skew {}: the others would hold its writes aside", Span(*.by), Span(*.limit)
    )]
    Ahead {
        /// By how much.
        by: Duration,
        /// `--max-clock-skew`.
        limit: Duration,
    },
    /// Its clock was far ahead and is not any more; what it writes must still be above what it
    /// wrote then.
    #[error(
        "this member wrote while its clock was ahead; its writes would still be stamped {} ahead \
         of its live peers, more than --max-clock-skew {}: the others would hold them aside",
        Span(*.by), Span(*.limit)
    )]
    Jumped {
        /// By how much.
        by: Duration,
        /// `--max-clock-skew`.
        limit: Duration,
    },
    /// Its wall clock cannot be right, and no peer has told the time yet.
    #[error(
        "this member's clock says {wall}, which is before it last wrote ({last}) and cannot be \
         right, and no peer has told the time yet"
    )]
    Implausible {
        /// What its clock says.
        wall: WallTime,
        /// When it wrote last.
        last: WallTime,
    },
}

impl ClockTrouble {
    /// Whether a member with this clock should write: its wall clock says `wall`, the median of its
    /// live peers' `peers`.
    pub fn of(clock: &HybridClock, wall: WallTime, peers: Option<WallTime>) -> Option<Self> {
        let position = clock.position().0;
        let Some(peers) = peers else {
            let last = position.wall();
            let implausible = !is_plausible(wall) && position > HybridTime::from_wall(wall);
            return implausible.then_some(Self::Implausible { wall, last });
        };
        let limit = clock.reach();
        let by =
            |time: WallTime| Duration::from_millis(time.millis().saturating_sub(peers.millis()));
        if clock.is_ahead(peers, HybridTime::from_wall(wall)) {
            Some(Self::Ahead {
                by: by(wall),
                limit,
            })
        } else if clock.is_ahead(peers, position) {
            let by = by(position.wall());
            Some(Self::Jumped { by, limit })
        } else {
            None
        }
    }

    /// How long until it has passed by itself, if it does; otherwise how soon to look again.
    pub fn retry_after(self) -> Duration {
        const AGAIN: Duration = Duration::from_secs(10);
        const LONGEST: Duration = Duration::from_mins(5);
        match self {
            Self::Ahead { .. } | Self::Implausible { .. } => AGAIN,
            Self::Jumped { by, limit } => by
                .saturating_sub(limit)
                .clamp(Duration::from_secs(1), LONGEST),
        }
    }
}

/// A span in seconds, for people.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MemberId;

    const NOON: u64 = FIRST_PLAUSIBLE.millis() + 43_200_000;

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    fn wall(millis: i64) -> WallTime {
        WallTime::from_millis(NOON.saturating_add_signed(millis))
    }

    fn clock(position: WallTime) -> HybridClock {
        let me = MemberId::from_u64(1);
        let reach = Duration::from_secs(2);
        HybridClock::new(me, HybridTime::from_wall(position), 0, reach)
    }

    /// Peers that are so far ahead of noon, in milliseconds, read at second 100.
    fn peers(offsets: &[i64]) -> PeerClocks {
        let reading = |offset: &i64| {
            let wall = wall(*offset);
            (Arc::from("b"), Reading { wall, at: at(100) })
        };
        PeerClocks::new(at(100), offsets.iter().map(reading))
    }

    #[test]
    fn who_is_ahead_of_the_median_of_the_others_should_not_write() {
        let check = |own: i64, others: &[i64], ahead: Option<u64>| {
            let median = peers(others).median(at(100));
            let by = match ClockTrouble::of(&clock(wall(-60_000)), wall(own), median) {
                Some(ClockTrouble::Ahead { by, .. }) => u64::try_from(by.as_millis()).ok(),
                other => {
                    assert_eq!(other, None);
                    None
                }
            };
            assert_eq!(by, ahead, "{own} against {others:?}");
        };
        check(0, &[], None);
        check(0, &[0, 0], None);
        check(2_000, &[0, 0], None);
        check(2_001, &[0, 0], Some(2_001));
        check(-3_600_000, &[0, 0], None);
        // One that is behind, or ahead, does not matter among three.
        check(0, &[-3_600_000, 0], None);
        check(0, &[3_600_000, 0], None);
        check(0, &[-3_600_000, -3_600_000, 0], Some(3_600_000));
        // Of two members nobody knows which is right; what we write would be held aside.
        check(0, &[-3_600_000], Some(3_600_000));
    }

    #[test]
    fn a_clock_that_jumped_forward_and_back_waits_for_its_own_stamps() {
        let clock = clock(wall(12_000));
        let trouble = ClockTrouble::of(&clock, wall(0), peers(&[0]).median(at(100)));
        let expected = ClockTrouble::Jumped {
            by: Duration::from_secs(12),
            limit: Duration::from_secs(2),
        };
        assert_eq!(trouble, Some(expected));
        assert_eq!(expected.retry_after(), Duration::from_secs(10));
        let later = peers(&[0]).median(at(110));
        assert_eq!(ClockTrouble::of(&clock, wall(10_000), later), None);
        assert_eq!(ClockTrouble::of(&clock, wall(0), None), None, "alone");
    }

    #[test]
    fn a_clock_that_stands_in_1970_is_none_unless_nothing_is_known_better() {
        let old = WallTime::from_millis(5_000);
        let trouble = ClockTrouble::of(&clock(wall(0)), old, None);
        assert!(matches!(trouble, Some(ClockTrouble::Implausible { .. })));
        assert_eq!(
            ClockTrouble::of(&clock(old), old, None),
            None,
            "a new member"
        );
        assert_eq!(ClockTrouble::of(&clock(wall(0)), wall(0), None), None);
        let reading = Reading {
            wall: old,
            at: at(0),
        };
        let none = PeerClocks::new(at(1), [(Arc::from("b"), reading)]);
        assert_eq!(none.count(), 0, "a peer in 1970 tells nothing");
    }

    #[test]
    fn what_was_long_on_its_way_does_not_count_unless_nothing_better_is_known() {
        let reading = |second: u64, offset: i64| Reading {
            wall: wall(offset + i64::try_from(second).unwrap() * 1000),
            at: at(second),
        };
        let check = |old: Reading, new: Reading, way: Way, taken: bool| {
            let mut known = Some(old);
            Reading::improve(&mut known, new, way);
            assert_eq!(known, Some(if taken { new } else { old }));
        };
        check(reading(0, 0), reading(5, -4_000), Way::Letter, false);
        check(reading(0, 0), reading(5, 10), Way::Letter, true);
        check(reading(0, 0), reading(5, -4_000), Way::Answer, true);
        check(reading(0, 0), reading(70, -4_000), Way::Letter, true);
        let mut none = None;
        Reading::improve(&mut none, reading(1, 0), Way::Letter);
        assert_eq!(none.unwrap().offset_ms(at(3), wall(0)), 3_000);
    }
}
