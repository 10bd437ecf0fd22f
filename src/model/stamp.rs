//! Stamps: the total order of writes.
//!
//! Wall clocks disagree and jump. A hybrid logical clock (Kulkarni et al., "Logical Physical
//! Clocks", 2014) keeps close to the wall clock, yet never goes back and always gives a time above
//! what it was shown. Two members can still draw the same time, so the member's id decides, and its
//! own count of writes makes every stamp unique.
//!
//! Invariant: a stamp that a member gives is greater than every stamp that it gave before *for that
//! key* and than the stamp that the write replaces, whatever the wall clock says.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::planted::{self, Bug};
use super::{MemberId, WallTime};

/// A hybrid logical time: 48 bits of milliseconds since 1970 and 16 bits of counter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct HybridTime(u64);

impl HybridTime {
    /// The first hybrid time of a wall-clock millisecond. Beyond 48 bits (the year 10889) the
    /// greatest one.
    pub const fn from_wall(at: WallTime) -> Self {
        let millis = at.millis();
        if millis >= 1 << 48 {
            Self(u64::MAX)
        } else {
            Self(millis << 16)
        }
    }

    /// The time with these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The time as one number whose order is the order of times.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The wall-clock part.
    pub const fn wall(self) -> WallTime {
        WallTime::from_millis(self.0 >> 16)
    }

    /// The next greater time; an overflowing counter carries into the milliseconds.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The place of one write in the total order of writes: time, then member, then the member's own
/// sequence. Unique, for a member never uses a sequence twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// When, by the writer's hybrid clock.
    pub time: HybridTime,
    /// The member that took the write (the origin).
    pub member: MemberId,
    /// The origin's own count of writes, from 1.
    pub sequence: u64,
}

/// The number of bytes of a stamp in its ordered form.
pub const STAMP_BYTES: usize = 24;

impl Stamp {
    /// The stamp as bytes whose order is the order of stamps (big endian).
    pub fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..8].copy_from_slice(&self.time.bits().to_be_bytes());
        bytes[8..16].copy_from_slice(&self.member.as_u64().to_be_bytes());
        bytes[16..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    /// Reads what [`Stamp::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; STAMP_BYTES]) -> Self {
        let number = |at: usize| {
            let mut part = [0; 8];
            part.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(part)
        };
        Self {
            time: HybridTime(number(0)),
            member: MemberId::from_u64(number(8)),
            sequence: number(16),
        }
    }
}

impl fmt::Display for Stamp {
    /// `<time in hex>-<member>-<sequence>`, the text of an `ETag`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:016x}-{}-{}",
            self.time.bits(),
            self.member,
            self.sequence
        )
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is no stamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stamp looks like 0199f3a2c4d50000-1f3a2b4c5d6e7f80-42")]
pub struct StampError;

impl FromStr for Stamp {
    type Err = StampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let (Some(time), Some(member), Some(sequence), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(StampError);
        };
        let time: MemberId = time.parse().map_err(|_| StampError)?;
        Ok(Self {
            time: HybridTime(time.as_u64()),
            member: member.parse().map_err(|_| StampError)?,
            sequence: sequence.parse().map_err(|_| StampError)?,
        })
    }
}

/// One member's hybrid clock. What it gave last must be kept with the writes that used it, so that
/// a restart goes on above it.
#[derive(Clone, Debug)]
pub struct HybridClock {
    member: MemberId,
    last: HybridTime,
    sequence: u64,
    reach: Duration,
}

impl HybridClock {
    /// A clock that goes on after `last` and `sequence` (both zero for a new member). `reach` is
    /// how far ahead of the wall clock it lets itself be lifted by what it sees
    /// (`--max-clock-skew`).
    pub fn new(member: MemberId, last: HybridTime, sequence: u64, reach: Duration) -> Self {
        Self {
            member,
            last,
            sequence,
            reach,
        }
    }

    /// The stamp of a write at wall time `now` that must be above `above`.
    ///
    /// A stamp far in the future (a key written under a broken clock) can still be overwritten at
    /// once: the new stamp goes above it, but the clock itself is not lifted so far.
    pub fn stamp(&mut self, now: WallTime, above: Option<HybridTime>) -> Stamp {
        let above = above.filter(|_| !planted::is(Bug::StampBelowSeen));
        if planted::is(Bug::RawClock) {
            (self.last, self.sequence) = (HybridTime::from_wall(now), self.sequence + 1);
            let (time, member, sequence) = (self.last, self.member, self.sequence);
            return Stamp {
                time,
                member,
                sequence,
            };
        }
        self.last = self.last.next().max(HybridTime::from_wall(now));
        let mut time = self.last;
        if let Some(above) = above
            && above >= time
        {
            time = above.next();
            if time <= self.farthest(now) {
                self.last = time;
            }
        }
        self.sequence += 1;
        Stamp {
            time,
            member: self.member,
            sequence: self.sequence,
        }
    }

    /// Goes on above a time that it was shown, so that what is written here next is later than what
    /// was seen. Not beyond the reach: a clock that runs ahead must not drag others along.
    pub fn observe(&mut self, now: WallTime, time: HybridTime) {
        if time > self.last && !self.is_ahead(now, time) {
            self.last = time;
        }
    }

    /// Goes on above a time in any case: it gave that itself once and lost the memory of it.
    pub fn lift(&mut self, to: HybridTime) {
        self.last = self.last.max(to);
    }

    /// Whether a time lies further ahead of the wall clock than the reach.
    pub fn is_ahead(&self, now: WallTime, time: HybridTime) -> bool {
        time > self.farthest(now) && !planted::is(Bug::AheadMergedAtOnce)
    }

    /// Whose clock it is.
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// How far ahead of the wall clock it lets itself be lifted by what it sees.
    pub fn reach(&self) -> Duration {
        self.reach
    }

    /// The greatest time that is not ahead of the wall clock.
    pub fn limit(&self, now: WallTime) -> HybridTime {
        self.farthest(now)
    }

    /// The greatest time that the clock gave or was lifted to, and the last sequence used.
    pub fn position(&self) -> (HybridTime, u64) {
        (self.last, self.sequence)
    }

    fn farthest(&self, now: WallTime) -> HybridTime {
        let reach = u64::try_from(self.reach.as_millis()).unwrap_or(u64::MAX);
        HybridTime::from_wall(WallTime::from_millis(now.millis().saturating_add(reach)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEMBER: MemberId = MemberId::from_u64(7);

    fn clock() -> HybridClock {
        HybridClock::new(MEMBER, HybridTime::default(), 0, Duration::from_secs(10))
    }

    #[test]
    fn a_write_goes_above_what_it_replaces_without_dragging_the_clock_along() {
        let mut clock = clock();
        let now = WallTime::from_millis(1_000_000);
        let future = HybridTime::from_wall(WallTime::from_millis(999_000_000));
        let poisoned = clock.stamp(now, Some(future));
        assert!(poisoned.time > future);
        let other = clock.stamp(now, None);
        assert_eq!(other.time.wall(), now, "the clock stays near the wall");
        assert!(clock.stamp(now, Some(poisoned.time)) > poisoned);
    }

    #[test]
    fn more_than_65536_writes_in_one_millisecond_carry_into_the_next() {
        let mut clock = clock();
        let now = WallTime::from_millis(5);
        let first = clock.stamp(now, None);
        let mut last = first;
        for _ in 0..70_000 {
            let next = clock.stamp(now, None);
            assert!(next > last);
            last = next;
        }
        assert_eq!(last.time.wall(), WallTime::from_millis(6));
    }

    proptest! {
        #[test]
        fn the_clock_never_goes_back(
            steps in prop::collection::vec((0u64..1 << 49, prop::option::of(any::<u64>())), 1..60),
        ) {
            let mut clock = clock();
            let mut before = clock.position();
            for (now, above) in steps {
                let above = above.map(|bits| HybridTime::from_bits(bits >> 1));
                let stamp = clock.stamp(WallTime::from_millis(now), above);
                let after = clock.position();
                prop_assert!(after.0 >= before.0 && after.1 == before.1 + 1);
                prop_assert!(above.is_none_or(|above| stamp.time > above));
                before = after;
            }
        }

        #[test]
        fn bytes_and_text_give_the_stamp_back_and_keep_the_order(
            a in any::<(u64, u64, u64)>(),
            b in any::<(u64, u64, u64)>(),
        ) {
            let stamp = |(time, member, sequence): (u64, u64, u64)| Stamp {
                time: HybridTime::from_bits(time), member: MemberId::from_u64(member), sequence };
            let (a, b) = (stamp(a), stamp(b));
            prop_assert_eq!(Stamp::from_bytes(a.to_bytes()), a);
            prop_assert_eq!(a.to_string().parse::<Stamp>(), Ok(a));
            prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,60}") {
            let _ = text.parse::<Stamp>();
        }
    }
}
