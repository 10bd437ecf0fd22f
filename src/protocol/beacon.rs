//! The beacon: "here I am", at the start, every five seconds, and at once when something changed.
//!
//! A beacon carries the sender's [`Identity`]. It is a hint where somebody may be asked, never
//! authority over anything: who hears it asks the member itself.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::membership::Identity;
use super::{Mono, Protocol};

/// How often a beacon is sent, give or take a fifth.
pub const PERIOD: Duration = Duration::from_secs(5);
/// The least time between two beacons.
pub const SPACING: Duration = Duration::from_millis(200);

/// When to send the next beacon.
#[derive(Debug)]
pub struct Beacon {
    rng: StdRng,
    last: Option<Mono>,
    next: Mono,
}

/// What may happen to a beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What it says has changed.
    Changed,
}

/// What a beacon wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send our identity to the group on every interface.
    Announce,
}

impl Beacon {
    /// A beacon that is first due at `now`.
    pub fn new(now: Mono, seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            last: None,
            next: now,
        }
    }
}

impl Protocol for Beacon {
    type Event = Event;
    type Effect = Effect;

    fn on_event(&mut self, now: Mono, event: Event, _out: &mut Vec<Effect>) {
        match event {
            Event::Changed => {
                let free = self.last.map_or(now, |last| last.plus(SPACING));
                self.next = self.next.min(now.max(free));
            }
        }
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if now < self.next {
            return;
        }
        self.last = Some(now);
        self.next = now.plus(jittered(PERIOD, &mut self.rng));
        out.push(Effect::Announce);
    }

    fn deadline(&self) -> Option<Mono> {
        Some(self.next)
    }
}

/// `period`, give or take a fifth.
pub(super) fn jittered(period: Duration, rng: &mut StdRng) -> Duration {
    period.mul_f64(rng.random_range(0.8..1.2))
}

/// The bytes of a beacon, or of a goodbye.
pub(super) fn encode(identity: &Identity) -> Vec<u8> {
    postcard::to_allocvec(identity).expect("an identity has nothing that cannot be encoded")
}

/// Reads a beacon or a goodbye; what a newer member appended is ignored.
pub(super) fn decode(bytes: &[u8]) -> Option<Identity> {
    postcard::take_from_bytes(bytes)
        .ok()
        .map(|(identity, _newer)| identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(beacon: &mut Beacon) -> Mono {
        let at = beacon.deadline().unwrap();
        let mut out = vec![];
        beacon.on_deadline(at, &mut out);
        assert_eq!(out, [Effect::Announce]);
        at
    }

    #[test]
    fn is_sent_at_the_start_and_then_about_every_five_seconds() {
        let start = Mono(Duration::from_secs(100));
        let mut beacon = Beacon::new(start, 1);
        assert_eq!(due(&mut beacon), start);
        let mut last = start;
        for _ in 0..100 {
            let at = due(&mut beacon);
            let apart = at.since(last);
            assert!((4.0..6.0).contains(&apart.as_secs_f64()), "{apart:?}");
            last = at;
        }
    }

    #[test]
    fn a_change_is_told_at_once_but_a_storm_of_changes_is_not() {
        let start = Mono::default();
        let mut beacon = Beacon::new(start, 1);
        due(&mut beacon);
        let later = start.plus(Duration::from_secs(1));
        beacon.on_event(later, Event::Changed, &mut vec![]);
        assert_eq!(due(&mut beacon), later);
        beacon.on_event(later, Event::Changed, &mut vec![]);
        assert_eq!(due(&mut beacon), later.plus(SPACING));
    }

    #[test]
    fn nothing_is_sent_before_its_time() {
        let mut beacon = Beacon::new(Mono(Duration::from_secs(1)), 1);
        let mut out = vec![];
        beacon.on_deadline(Mono::default(), &mut out);
        assert_eq!(out, []);
    }
}
