//! Pure state machines: events and the time go in, effects come out, in the order in which they
//! must happen. No async, no socket, no file, no clock, no randomness of their own.

pub mod absence;
pub mod clocks;
pub mod collect;
pub mod message;
pub mod push;
pub mod sync;
pub mod zgossip;

use std::time::Duration;

pub mod beacon;
pub mod dialer;
pub mod envelope;
pub mod membership;

/// Monotonic time: how long ago the member's own zero was. Never set back, unknown to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mono(pub Duration);

impl Mono {
    /// The time `later` than this one.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }

    /// How much time has gone by since `earlier`; zero if that lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A protocol as a plain value. One loop runs any of them against the world, one simulator runs
/// any of them, a thousand at a time, from one seed.
pub trait Protocol {
    /// What may happen to it.
    type Event;
    /// What it wants done, in order.
    type Effect;
    /// Takes an event at `now`; puts what must be done into `out`.
    fn on_event(&mut self, now: Mono, event: Self::Event, out: &mut Vec<Self::Effect>);
    /// Called at or after [`Protocol::deadline`].
    fn on_deadline(&mut self, now: Mono, out: &mut Vec<Self::Effect>);
    /// When it wants to be called next, if at all.
    fn deadline(&self) -> Option<Mono>;
}
