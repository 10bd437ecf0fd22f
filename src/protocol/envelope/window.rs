//! The replay window of one boot: the greatest counter seen and which of the 64 up to it were.

/// What a window says about a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Not seen before.
    New,
    /// Seen: the datagram was repeated, or came by several interfaces.
    Before,
    /// So far behind that nobody knows.
    TooOld,
}

/// A sliding window (RFC 4303 §3.4.3) over the last 64 counters. Counters start at 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    top: u64,
    seen: u64,
}

impl Window {
    /// Whether `counter` was seen. Changes nothing.
    pub(super) fn check(&self, counter: u64) -> Seen {
        let Some(behind) = self.top.checked_sub(counter) else {
            return Seen::New;
        };
        match u32::try_from(behind) {
            Ok(behind @ 0..64) if self.seen >> behind & 1 == 1 => Seen::Before,
            Ok(0..64) => Seen::New,
            _ => Seen::TooOld,
        }
    }

    /// Notes that `counter` was seen.
    pub(super) fn note(&mut self, counter: u64) {
        if let Some(ahead) = counter.checked_sub(self.top) {
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
            self.top = counter;
        } else if let Ok(behind @ 0..64) = u32::try_from(self.top - counter) {
            self.seen |= 1 << behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sixty_four_counters_may_arrive_in_any_order_once() {
        let mut window = Window::default();
        for counter in (101..=164).rev() {
            assert_eq!(window.check(counter), Seen::New, "{counter}");
            window.note(counter);
            assert_eq!(window.check(counter), Seen::Before, "{counter}");
        }
        assert_eq!(window.check(100), Seen::TooOld);
        window.note(100);
        assert_eq!(window.check(101), Seen::Before);
        window.note(u64::MAX);
        assert_eq!(window.check(164), Seen::TooOld);
        assert_eq!(window.check(u64::MAX - 63), Seen::New);
    }

    proptest! {
        #[test]
        fn no_counter_is_ever_new_twice(counters in prop::collection::vec(1u64..200, 1..300)) {
            let mut window = Window::default();
            let mut taken = std::collections::BTreeSet::new();
            for counter in counters {
                if window.check(counter) == Seen::New {
                    prop_assert!(taken.insert(counter));
                    window.note(counter);
                }
            }
        }
    }
}
