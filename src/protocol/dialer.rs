//! The dialer: whom to ask over HTTPS who is not (or not any more) known to be alive.
//!
//! Three kinds of address wait here: *seeds* from the ways of `--discover`, *hints* from beacons,
//! and members that are *dead*. Each is tried, then again with growing, jittered pauses: seeds and
//! dead members for ever (two halves must meet again after a cut of any length), hints a few times
//! (the next beacon brings them again). The number of addresses and of dials under way is bounded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::beacon::jittered;
use super::{Mono, Protocol};
use crate::model::MemberId;

/// The most addresses kept; more hints are left out (beacons bring them again).
pub const ADDRESS_LIMIT: usize = 1_024;
/// The most dials under way.
pub const IN_FLIGHT_LIMIT: usize = 4;
/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How soon somebody who answers, but whom SWIM does not see, is asked again.
const AGAIN: Duration = Duration::from_secs(10);
/// How soon a seed is looked at again that has become a live member, or is ourselves.
const SETTLED: Duration = Duration::from_mins(5);
/// The least time between two dials of one address for news of its member's death.
const SPACING: Duration = Duration::from_secs(2);
/// How often a hint is tried.
const HINT_TRIES: u32 = 6;

/// What may happen to the dialer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The seeds, resolved anew: these, and no others.
    Seeds(Vec<SocketAddr>),
    /// A member not seen alive may answer there.
    Hint {
        /// Where.
        address: SocketAddr,
        /// Who.
        member: MemberId,
        /// How long to wait whether it shows up by itself.
        patience: Duration,
    },
    /// A member died; it was last known there.
    Dead {
        /// Where.
        address: SocketAddr,
        /// Who.
        member: MemberId,
    },
    /// A member is alive, has left or was forgotten: no need to look for it.
    Settled(MemberId),
    /// A dial has ended.
    Done {
        /// Where.
        address: SocketAddr,
        /// How.
        outcome: Outcome,
    },
}

/// How a dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This member answered.
    Met(MemberId),
    /// We reached ourselves.
    Ourselves,
    /// Nobody answered, or not as a member.
    Failed,
}

/// What the dialer wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Exchange state with whoever answers at `address`.
    Dial {
        /// Where.
        address: SocketAddr,
        /// Who should answer, if known.
        expected: Option<MemberId>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Seed,
    Hint,
    Dead,
}

#[derive(Debug)]
struct Entry {
    why: Why,
    member: Option<MemberId>,
    failures: u32,
    next: Mono,
    last: Option<Mono>,
    under_way: bool,
    /// How the last dial ended.
    outcome: Option<Outcome>,
}

/// Whom to dial, and when.
#[derive(Debug)]
pub struct Dialer {
    rng: StdRng,
    entries: BTreeMap<SocketAddr, Entry>,
    under_way: usize,
}

impl Dialer {
    /// A dialer that knows nobody.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            entries: BTreeMap::new(),
            under_way: 0,
        }
    }

    /// How many addresses are kept.
    pub fn waiting(&self) -> usize {
        self.entries.len()
    }

    /// How the last dial of `address` ended, if it is kept and was dialled.
    pub fn outcome(&self, address: SocketAddr) -> Option<Outcome> {
        self.entries.get(&address)?.outcome
    }

    fn seeds(&mut self, now: Mono, seeds: &[SocketAddr]) {
        self.entries
            .retain(|address, entry| entry.why != Why::Seed || seeds.contains(address));
        for address in seeds.iter().take(ADDRESS_LIMIT) {
            let known = self.entries.get_mut(address);
            if let Some(entry) = known {
                entry.why = Why::Seed;
            } else {
                self.add(now, *address, Why::Seed, None);
            }
        }
        self.count();
    }

    fn dead(&mut self, now: Mono, address: SocketAddr, member: MemberId) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.member = Some(member);
            if entry.why == Why::Hint {
                entry.why = Why::Dead;
            }
        } else {
            self.add(now, address, Why::Dead, Some(member));
        }
        let of_it = |entry: &&mut Entry| entry.member == Some(member);
        for entry in self.entries.values_mut().filter(of_it) {
            if entry.failures == 0 {
                let free = entry.last.map_or(now, |last| last.plus(SPACING));
                entry.next = entry.next.min(now.max(free));
            }
        }
    }

    fn hint(&mut self, next: Mono, address: SocketAddr, member: MemberId) {
        if !self.entries.contains_key(&address) {
            self.add(next, address, Why::Hint, Some(member));
        }
    }

    fn add(&mut self, next: Mono, address: SocketAddr, why: Why, member: Option<MemberId>) {
        if self.entries.len() >= ADDRESS_LIMIT && why == Why::Hint {
            return;
        }
        let entry = Entry {
            why,
            member,
            failures: 0,
            next,
            last: None,
            under_way: false,
            outcome: None,
        };
        self.entries.insert(address, entry);
    }

    fn settled(&mut self, now: Mono, member: MemberId) {
        let pause = jittered(SETTLED, &mut self.rng);
        self.entries.retain(|_, entry| {
            if entry.member != Some(member) {
                return true;
            }
            entry.next = now.plus(pause);
            entry.failures = 0;
            entry.why == Why::Seed
        });
        self.count();
    }

    fn done(&mut self, now: Mono, address: SocketAddr, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(&address) else {
            return;
        };
        entry.under_way = false;
        entry.outcome = Some(outcome);
        let pause = match outcome {
            Outcome::Met(member) => {
                entry.member = Some(member);
                entry.failures = 0;
                AGAIN
            }
            Outcome::Ourselves => SETTLED,
            Outcome::Failed => {
                let pause = FIRST_PAUSE.saturating_mul(1 << entry.failures.min(6));
                entry.failures = entry.failures.saturating_add(1);
                pause.min(LONGEST_PAUSE)
            }
        };
        entry.next = now.plus(jittered(pause, &mut self.rng));
        let used_up = entry.failures >= HINT_TRIES || outcome == Outcome::Ourselves;
        if entry.why == Why::Hint && used_up {
            self.entries.remove(&address);
        }
        self.count();
    }

    fn count(&mut self) {
        self.under_way = self.entries.values().filter(|e| e.under_way).count();
    }
}

impl Protocol for Dialer {
    type Event = Event;
    type Effect = Effect;

    fn on_event(&mut self, now: Mono, event: Event, _out: &mut Vec<Effect>) {
        match event {
            Event::Seeds(seeds) => self.seeds(now, &seeds),
            Event::Hint {
                address,
                member,
                patience,
            } => {
                let spread = patience.mul_f64(self.rng.random_range(0.5..1.5));
                self.hint(now.plus(spread), address, member);
            }
            Event::Dead { address, member } => self.dead(now, address, member),
            Event::Settled(member) => self.settled(now, member),
            Event::Done { address, outcome } => self.done(now, address, outcome),
        }
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        for (address, entry) in &mut self.entries {
            if self.under_way >= IN_FLIGHT_LIMIT {
                break;
            }
            if entry.under_way || entry.next > now {
                continue;
            }
            entry.under_way = true;
            entry.last = Some(now);
            self.under_way += 1;
            out.push(Effect::Dial {
                address: *address,
                expected: entry.member.filter(|_| entry.why != Why::Seed),
            });
        }
    }

    fn deadline(&self) -> Option<Mono> {
        if self.under_way >= IN_FLIGHT_LIMIT {
            return None;
        }
        let idle = self.entries.values().filter(|entry| !entry.under_way);
        idle.map(|entry| entry.next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn member(number: u64) -> MemberId {
        MemberId::from_u64(number)
    }

    fn tell(dialer: &mut Dialer, now: Mono, event: Event) {
        dialer.on_event(now, event, &mut vec![]);
    }

    /// The dials due up to `until`, all of which end with `outcome` at once.
    fn dials(dialer: &mut Dialer, until: Mono, outcome: Outcome) -> Vec<Mono> {
        let mut times = vec![];
        while let Some(now) = dialer.deadline().filter(|next| *next <= until) {
            let mut out = vec![];
            dialer.on_deadline(now, &mut out);
            assert!(!out.is_empty(), "a deadline with nothing to do");
            for Effect::Dial { address, .. } in out {
                times.push(now);
                tell(dialer, now, Event::Done { address, outcome });
            }
        }
        times
    }

    #[test]
    fn a_seed_is_tried_for_ever_with_growing_pauses() {
        let mut dialer = Dialer::new(1);
        tell(&mut dialer, at(0), Event::Seeds(vec![address(1)]));
        let times = dials(&mut dialer, at(3_600), Outcome::Failed);
        assert!((55..90).contains(&times.len()), "{}", times.len());
        assert!(times[1].since(times[0]) < Duration::from_secs(2));
        let last = times[times.len() - 1].since(times[times.len() - 2]);
        assert!(last > Duration::from_secs(45), "{last:?}");
    }

    #[test]
    fn a_dead_member_is_tried_now_and_then_until_it_is_settled() {
        let mut dialer = Dialer::new(1);
        let (address, member) = (address(1), member(7));
        tell(&mut dialer, at(0), Event::Dead { address, member });
        let hour = dials(&mut dialer, at(3_600), Outcome::Failed).len();
        assert!(hour > 50, "{hour}");
        tell(&mut dialer, at(3_600), Event::Settled(member));
        assert_eq!(dialer.deadline(), None);
        assert_eq!(dialer.waiting(), 0);
    }

    #[test]
    fn a_hint_waits_whether_the_member_shows_up_and_is_given_up() {
        let mut dialer = Dialer::new(1);
        let (address, member) = (address(1), member(7));
        let hint = || Event::Hint {
            address,
            member,
            patience: PATIENCE,
        };
        tell(&mut dialer, at(0), hint());
        assert!(dialer.deadline().unwrap() >= at(1));
        tell(&mut dialer, at(0), Event::Settled(member));
        assert_eq!(dialer.deadline(), None);
        tell(&mut dialer, at(0), hint());
        let times = dials(&mut dialer, at(3_600), Outcome::Failed);
        assert_eq!(times.len(), HINT_TRIES as usize);
        assert_eq!(dialer.waiting(), 0);
    }

    #[test]
    fn a_seed_that_is_a_live_member_or_ourselves_rests() {
        let mut dialer = Dialer::new(1);
        tell(&mut dialer, at(0), Event::Seeds(vec![address(1)]));
        let mut out = vec![];
        dialer.on_deadline(at(0), &mut out);
        let met = Event::Done {
            address: address(1),
            outcome: Outcome::Met(member(7)),
        };
        tell(&mut dialer, at(0), met);
        tell(&mut dialer, at(0), Event::Settled(member(7)));
        assert!(dialer.deadline().unwrap() > at(200));
        let dead = Event::Dead {
            address: address(2),
            member: member(7),
        };
        tell(&mut dialer, at(50), dead);
        assert_eq!(dialer.deadline(), Some(at(50)), "its seed is tried as well");
        tell(&mut dialer, at(50), Event::Seeds(vec![]));
        assert_eq!(dialer.waiting(), 1, "seeds that are gone are forgotten");
    }

    #[test]
    fn neither_addresses_nor_dials_under_way_grow_without_bound() {
        let mut dialer = Dialer::new(1);
        for port in 1..3_000 {
            let hint = Event::Hint {
                address: address(port),
                member: member(u64::from(port)),
                patience: Duration::ZERO,
            };
            tell(&mut dialer, at(0), hint);
        }
        assert_eq!(dialer.waiting(), ADDRESS_LIMIT);
        let mut out = vec![];
        dialer.on_deadline(at(1), &mut out);
        assert_eq!(out.len(), IN_FLIGHT_LIMIT);
        assert_eq!(dialer.deadline(), None);
    }
}
