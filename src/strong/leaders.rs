//! Who led, since when: the changes of the leader, in the order of what they committed.
//!
//! They are a part of the state and of its snapshots, so every member tells the same ones to those
//! who follow a log: who goes on at another member misses none and hears none twice.

use imbl::OrdMap;

use super::clock::Place;

/// How many changes of the leader are kept; the oldest are let go.
pub const LEADERS_LIMIT: usize = 4096;

/// The first entries of leaders, by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaders(OrdMap<u64, Place>);

impl Leaders {
    /// Those who took over behind one position and up to another, oldest first.
    pub fn between(&self, behind: u64, up_to: u64) -> impl Iterator<Item = Place> + '_ {
        let begin = behind.saturating_add(1).min(up_to);
        let all = self.0.range(begin..=up_to).map(|(_, at)| *at);
        all.filter(move |at| at.index > behind)
    }

    /// Who led at a position; none: nobody yet, or it is too long ago.
    pub fn at(&self, position: u64) -> Option<Place> {
        self.0.get_prev(&position).map(|(_, at)| *at)
    }

    /// All that are kept, oldest first.
    pub fn all(&self) -> impl Iterator<Item = Place> + '_ {
        self.0.values().copied()
    }

    /// Notes the first entry of a leader.
    pub(super) fn took_over(&mut self, at: Place) {
        self.0.insert(at.index, at);
        while self.0.len() > LEADERS_LIMIT {
            self.0 = self.0.without_min().1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::place;
    use super::*;

    #[test]
    fn they_are_found_by_position_and_bounded() {
        let mut leaders = Leaders::default();
        for number in 1..=LEADERS_LIMIT as u64 + 3 {
            leaders.took_over(place(10 * number, number));
        }
        let begins = |behind, up_to| {
            let some = leaders.between(behind, up_to).map(|at| at.index);
            some.collect::<Vec<_>>()
        };
        assert_eq!(leaders.all().count(), LEADERS_LIMIT);
        assert_eq!(begins(0, 50), [40, 50], "the oldest were let go");
        assert_eq!(begins(50, 69), [60]);
        assert_eq!(begins(60, 60), [0; 0]);
        assert_eq!(begins(99, 60), [0; 0]);
        assert_eq!(begins(u64::MAX, u64::MAX), [0; 0]);
        let led = |position| leaders.at(position).map(|at| at.term);
        assert_eq!(
            [led(39), led(40), led(49), led(50)],
            [None, Some(4), Some(4), Some(5)]
        );
    }
}
