//! When tombstones may go, and how the members find that out together.
//!
//! [`crate::model::Store::collect`] says what the stable time is: the least watermark of all known
//! members. Watermarks only rise when members tell each other up to where they have written, and a
//! member that writes nothing has nothing to tell. So whoever has something to collect says up to
//! which time it would like to (*wanted*); members tell each other in the first message of a walk,
//! and everybody who hears of it takes part: it lets its clock's position reach that time, and
//! walks with one peer after the other. Each walk brings both sides the other's vector and all
//! watermarks that it knows, so after some log n rounds everybody knows that everybody is there,
//! collects, and is silent again.
//!
//! Nobody takes part while a member that is known and not far enough is away: nothing would come of
//! it. So an idle cluster stays silent however long a member is dead; tombstones wait for it until
//! it is back or forgotten.
//!
//! Invariant: what is collected lies at or below the watermarks of all known members, each told by
//! that member itself; no age and no timer decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::message::About;
use super::{Mono, Protocol};
use crate::model::planted::{self, Bug};
use crate::model::{HybridTime, MemberId, Store};

/// How often a member looks whether there is something to collect.
const LOOK: Duration = Duration::from_mins(1);
/// The wait between two walks while it pays.
const ROUND: Duration = Duration::from_secs(1);
/// The longest wait between two walks that do not.
const ROUND_LONGEST: Duration = Duration::from_mins(5);

/// What happens to the collector.
#[derive(Clone, Debug)]
pub enum CollectEvent {
    /// These peers are alive.
    Alive(BTreeSet<MemberId>),
    /// A member was forgotten: what waited for it may go now.
    Forgotten,
    /// A peer told this of itself.
    Heard(MemberId, About),
    /// The answer to [`CollectEffect::Look`].
    Looked(Looked),
}

/// What the store says about collecting.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The members that belong to the cluster.
    pub known: Vec<MemberId>,
    /// Our watermark.
    pub watermark: HybridTime,
    /// Our position.
    pub position: HybridTime,
    /// Up to where we collected.
    pub horizon: HybridTime,
    /// The least time of what is deleted and not collected yet.
    pub first_dead: Option<HybridTime>,
    /// What was deleted up to here is old enough to go.
    pub old: HybridTime,
    /// Our wall clock.
    pub now: HybridTime,
}

impl Looked {
    /// Looks at a store.
    pub fn at(store: &Store, me: MemberId, now: HybridTime, old: HybridTime) -> Self {
        Self {
            known: store.known().collect(),
            watermark: store.watermark(),
            position: store.vector().get(me),
            horizon: store.horizon(),
            first_dead: store.first_dead(),
            old,
            now,
        }
    }
}

/// What the collector wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollectEffect {
    /// Look at the store and tell [`CollectEvent::Looked`].
    Look,
    /// Have our clock's position reach the wall clock.
    Advance,
    /// Sync with this peer.
    Sync(MemberId),
    /// Let everything go that is deleted at or below this time.
    Collect(HybridTime),
}

/// Finds out when what may be collected.
#[derive(Debug)]
pub struct Collector {
    me: MemberId,
    alive: BTreeSet<MemberId>,
    watermarks: BTreeMap<MemberId, HybridTime>,
    /// The greatest time that somebody wanted.
    wanted: HybridTime,
    /// The part of it that we work for, and tell.
    told: HybridTime,
    /// The greatest horizon that a peer told.
    reached: HybridTime,
    stable: HybridTime,
    next: Mono,
    round: Duration,
    random: StdRng,
}

impl Collector {
    /// The collector of this member. The seed is for choices and jitter.
    pub fn new(me: MemberId, seed: u64) -> Self {
        Self {
            me,
            alive: BTreeSet::new(),
            watermarks: BTreeMap::new(),
            wanted: HybridTime::default(),
            told: HybridTime::default(),
            reached: HybridTime::default(),
            stable: HybridTime::default(),
            next: Mono::default(),
            round: ROUND,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// What this member tells of itself, with this store.
    pub fn about(&self, store: &Store) -> About {
        let mut watermarks = self.watermarks.clone();
        watermarks.insert(self.me, store.watermark());
        watermarks.retain(|member, _| store.standing(*member).is_some());
        About {
            vector: store.vector().iter().collect(),
            watermarks: watermarks.into_iter().collect(),
            horizon: store.horizon(),
            wanted: self.told,
        }
    }

    /// The stable time as far as it is known here.
    pub fn stable(&self) -> HybridTime {
        self.stable
    }

    fn heard(&mut self, now: Mono, from: MemberId, about: &About) {
        let mut news = about.wanted > self.wanted || about.horizon > self.reached;
        self.wanted = self.wanted.max(about.wanted);
        self.reached = self.reached.max(about.horizon);
        for (member, watermark) in &about.watermarks {
            let known = self.watermarks.entry(*member).or_default();
            // Our own we know better; the peer's, it does.
            if *member != self.me && (*watermark > *known || *member == from) {
                news |= *watermark > *known;
                *known = *watermark;
            }
        }
        if news {
            self.soon(now);
        }
    }

    fn soon(&mut self, now: Mono) {
        self.round = ROUND;
        let wait = ROUND.mul_f64(self.random.random_range(0.1..1.0));
        self.next = self.next.min(now.plus(wait));
    }

    fn looked(&mut self, now: Mono, looked: &Looked, out: &mut Vec<CollectEffect>) {
        self.watermarks.insert(self.me, looked.watermark);
        let of = |member: &MemberId| self.watermarks.get(member).copied().unwrap_or_default();
        let counts = |member: &&MemberId| {
            let here = **member == self.me || self.alive.contains(member);
            here || !planted::is(Bug::HorizonOfLive)
        };
        let known = looked.known.iter().filter(counts);
        let stable = known.map(of).min().unwrap_or_default();
        let due = |until: HybridTime| looked.first_dead.is_some_and(|first| first <= until);
        let together = if planted::is(Bug::CollectByAge) {
            looked.old
        } else {
            stable.min(looked.old)
        };
        // What a peer collected, everybody had; so had we, if we are that far.
        let reached = self.reached.min(looked.watermark);
        let until = together.max(reached);
        if until > looked.horizon && due(until) {
            out.push(CollectEffect::Collect(until));
        }
        if self.wanted > looked.now {
            // Somebody's clock was far ahead; who has a better one wants less.
            self.wanted = self.told;
        }
        let asked = self.wanted.min(looked.old);
        if due(looked.old) && looked.first_dead > Some(stable) && asked <= stable {
            self.wanted = looked.old;
        }
        let wanted = self.wanted.min(looked.old);
        self.told = wanted;
        let behind = |member: &&MemberId| of(member) < wanted;
        let mut waiting = looked.known.iter().filter(behind).peekable();
        let here = |member: &MemberId| *member == self.me || self.alive.contains(member);
        if waiting.peek().is_none() || !waiting.all(here) {
            self.stable = stable;
            self.round = ROUND;
            self.next = now.plus(LOOK.mul_f64(self.random.random_range(0.8..1.2)));
            return;
        }
        if looked.position < wanted && looked.now >= wanted {
            out.push(CollectEffect::Advance);
        }
        let peers: Vec<MemberId> = self.alive.iter().copied().collect();
        out.extend(
            peers
                .choose(&mut self.random)
                .map(|id| CollectEffect::Sync(*id)),
        );
        let paid = stable > self.stable;
        self.round = if paid {
            ROUND
        } else {
            (self.round * 2).min(ROUND_LONGEST)
        };
        self.stable = stable;
        self.next = now.plus(self.round.mul_f64(self.random.random_range(0.5..1.0)));
    }
}

impl Protocol for Collector {
    type Event = CollectEvent;
    type Effect = CollectEffect;

    fn on_event(&mut self, now: Mono, event: CollectEvent, out: &mut Vec<CollectEffect>) {
        match event {
            CollectEvent::Alive(alive) => {
                if alive != self.alive {
                    self.alive = alive;
                    self.soon(now);
                }
            }
            CollectEvent::Forgotten => self.soon(now),
            CollectEvent::Heard(from, about) => self.heard(now, from, &about),
            CollectEvent::Looked(looked) => self.looked(now, &looked, out),
        }
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<CollectEffect>) {
        if self.next <= now {
            self.next = now.plus(LOOK);
            out.push(CollectEffect::Look);
        }
    }

    fn deadline(&self) -> Option<Mono> {
        Some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: MemberId = MemberId::from_u64(1);
    const B: MemberId = MemberId::from_u64(2);
    const C: MemberId = MemberId::from_u64(3);

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    fn time(number: u64) -> HybridTime {
        HybridTime::from_bits(number)
    }

    /// A store with something deleted at 50, of which what is older than 60 may go; it is 100.
    fn looked(watermark: u64) -> Looked {
        Looked {
            known: vec![ME, B, C],
            watermark: time(watermark),
            position: time(watermark),
            horizon: time(0),
            first_dead: Some(time(50)),
            old: time(60),
            now: time(100),
        }
    }

    fn told(watermarks: &[(MemberId, u64)]) -> About {
        About {
            watermarks: watermarks.iter().map(|(id, at)| (*id, time(*at))).collect(),
            ..About::default()
        }
    }

    fn collector(alive: &[MemberId]) -> Collector {
        let mut collector = Collector::new(ME, 7);
        let alive = alive.iter().copied().collect();
        collector.on_event(at(0), CollectEvent::Alive(alive), &mut Vec::new());
        collector
    }

    fn look(collector: &mut Collector, seconds: u64, looked: Looked) -> Vec<CollectEffect> {
        let mut out = Vec::new();
        collector.on_event(at(seconds), CollectEvent::Looked(looked), &mut out);
        out
    }

    #[test]
    fn nothing_goes_before_every_known_member_is_there() {
        let mut collector = collector(&[B, C]);
        let effects = look(&mut collector, 0, looked(40));
        assert!(effects.contains(&CollectEffect::Advance), "{effects:?}");
        assert!(matches!(effects.last(), Some(CollectEffect::Sync(_))));
        let heard = CollectEvent::Heard(B, told(&[(B, 100)]));
        collector.on_event(at(1), heard, &mut Vec::new());
        let effects = look(&mut collector, 2, looked(100));
        assert!(
            !effects
                .iter()
                .any(|e| matches!(e, CollectEffect::Collect(_)))
        );
        let heard = CollectEvent::Heard(B, told(&[(C, 55)]));
        collector.on_event(at(3), heard, &mut Vec::new());
        let effects = look(&mut collector, 4, looked(100));
        assert_eq!(effects.first(), Some(&CollectEffect::Collect(time(55))));
    }

    #[test]
    fn while_a_known_member_is_away_nobody_walks_for_nothing() {
        let mut collector = collector(&[B]);
        assert_eq!(look(&mut collector, 0, looked(40)), vec![]);
        assert!(
            collector.deadline() > Some(at(40)),
            "and it is not tried again soon"
        );
    }

    #[test]
    fn what_a_peer_collected_goes_here_once_we_are_as_far() {
        let mut collector = collector(&[B]);
        let about = About {
            horizon: time(55),
            ..About::default()
        };
        collector.on_event(at(0), CollectEvent::Heard(B, about), &mut Vec::new());
        assert_eq!(look(&mut collector, 1, looked(40)), vec![]);
        let effects = look(&mut collector, 2, looked(56));
        assert_eq!(effects, vec![CollectEffect::Collect(time(55))]);
    }

    #[test]
    fn what_somebody_wants_everybody_works_for() {
        let mut collector = collector(&[B, C]);
        let about = About {
            wanted: time(60),
            ..About::default()
        };
        collector.on_event(at(0), CollectEvent::Heard(B, about), &mut Vec::new());
        let nothing_dead = Looked {
            first_dead: None,
            ..looked(40)
        };
        let effects = look(&mut collector, 1, nothing_dead);
        assert_eq!(effects.first(), Some(&CollectEffect::Advance));
        assert!(matches!(effects[1], CollectEffect::Sync(_)));
    }

    #[test]
    fn what_a_clock_far_ahead_wanted_keeps_nobody_busy() {
        let mut collector = collector(&[B, C]);
        let about = About {
            wanted: time(1_000_000),
            ..About::default()
        };
        collector.on_event(at(0), CollectEvent::Heard(B, about), &mut Vec::new());
        let nothing_dead = Looked {
            first_dead: None,
            ..looked(40)
        };
        assert_eq!(look(&mut collector, 1, nothing_dead), vec![]);
        assert_eq!(collector.about(&Store::new()).wanted, time(0));
    }
}
