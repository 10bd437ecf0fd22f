//! Rivals: another process that is alive under our own member id (a cloned data directory).
//!
//! A rival is *proven* by two signs of life straight from it, at least a second apart by our clock
//! and by its own, and both written after our start: datagrams of our previous boot that are still
//! on their way prove nothing, nor does a recording. Gossip proves nothing either, but is a reason
//! to go and ask. At each sign the rival is greeted with our own beacon, so that it notices as
//! well.
//!
//! Of two rivals the one that started later stops: the greater `started`, then the greater boot id.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Generation;
use crate::model::WallTime;
use crate::protocol::Mono;
use crate::protocol::envelope::BootId;

/// The least time between two signs that count.
const APART: Duration = Duration::from_secs(1);
/// The least time between two greetings.
const GREETING: Duration = Duration::from_millis(400);
/// When a rival is greeted again, so that both have their second sign.
const AGAIN: Duration = Duration::from_millis(1_100);
/// How long a rival counts as near after its last sign.
const NEAR: Duration = Duration::from_secs(10);
/// The most rivals remembered.
const LIMIT: usize = 16;

/// A sign of life of our member id under another boot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign {
    pub(super) boot: BootId,
    /// Where it came from.
    pub(super) address: SocketAddr,
    /// The rival's clock when it wrote.
    pub(super) sent_at: WallTime,
    /// When the rival started, if the sign says so.
    pub(super) started: Option<Generation>,
}

/// What to do about a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing, for now.
    Wait,
    /// Send it our beacon.
    Greet(SocketAddr),
    /// It is proven, for the first time. Send it our beacon once more.
    Proven {
        /// Where the rival is.
        address: SocketAddr,
        /// Whether we are the one that started later.
        we_are_later: bool,
    },
}

#[derive(Debug)]
struct Rival {
    address: SocketAddr,
    started: Option<Generation>,
    first: Option<(Mono, WallTime)>,
    last: Mono,
    greeted: Option<Mono>,
    again: Option<Mono>,
    proven: bool,
}

/// The rivals seen since our start.
#[derive(Debug)]
pub(super) struct Rivals {
    boot: BootId,
    started: Generation,
    started_at: WallTime,
    seen: BTreeMap<BootId, Rival>,
}

impl Rivals {
    pub(super) fn new(boot: BootId, started: Generation, started_at: WallTime) -> Self {
        Self {
            boot,
            started,
            started_at,
            seen: BTreeMap::new(),
        }
    }

    /// A sign of life straight from a rival.
    pub(super) fn sign(&mut self, now: Mono, sign: Sign) -> Finding {
        if !self.seen.contains_key(&sign.boot) && self.seen.len() >= LIMIT {
            self.seen.retain(|_, rival| now.since(rival.last) < NEAR);
            if self.seen.len() >= LIMIT {
                return Finding::Wait;
            }
        }
        let counts = sign.sent_at >= self.started_at;
        let rival = self.seen.entry(sign.boot).or_insert_with(|| Rival {
            address: sign.address,
            started: None,
            first: None,
            last: now,
            greeted: None,
            again: None,
            proven: false,
        });
        rival.address = sign.address;
        rival.last = now;
        rival.started = sign.started.or(rival.started);
        if counts && rival.prove(now, sign.sent_at) {
            let theirs = (rival.started.unwrap_or_default(), sign.boot);
            return Finding::Proven {
                address: sign.address,
                we_are_later: (self.started, self.boot) > theirs,
            };
        }
        rival.greet(now)
    }

    /// Whether a rival that started before us gave a sign lately: then we do not outbid it.
    pub(super) fn yields(&self, now: Mono) -> bool {
        self.seen.iter().any(|(boot, rival)| {
            let theirs = rival.started.map(|started| (started, *boot));
            let earlier = theirs.is_some_and(|theirs| theirs < (self.started, self.boot));
            earlier && now.since(rival.last) < NEAR
        })
    }

    /// The rivals that are due for another greeting.
    pub(super) fn on_deadline(&mut self, now: Mono) -> Vec<SocketAddr> {
        let mut greet = vec![];
        for rival in self.seen.values_mut() {
            if rival.again.is_some_and(|again| again <= now) {
                rival.again = None;
                rival.greeted = Some(now);
                greet.push(rival.address);
            }
        }
        greet
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.seen.values().filter_map(|rival| rival.again).min()
    }
}

impl Rival {
    /// Whether this sign is the one that proves it. Without knowing when the rival started there
    /// is no telling who stops: then its beacon is waited for.
    fn prove(&mut self, now: Mono, sent_at: WallTime) -> bool {
        let (first, first_sent) = *self.first.get_or_insert((now, sent_at));
        let apart_here = now.since(first) >= APART;
        let sent_apart = sent_at.millis().saturating_sub(first_sent.millis());
        let apart_by_its_clock = u128::from(sent_apart) >= APART.as_millis();
        let proof = apart_here && apart_by_its_clock && self.started.is_some() && !self.proven;
        self.proven |= proof;
        proof
    }

    fn greet(&mut self, now: Mono) -> Finding {
        if self.greeted.is_some_and(|at| now.since(at) < GREETING) {
            return Finding::Wait;
        }
        self.greeted = Some(now);
        if !self.proven {
            self.again = Some(now.plus(AGAIN));
        }
        Finding::Greet(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: WallTime = WallTime::from_millis(1_000_000);

    fn rivals() -> Rivals {
        Rivals::new(BootId::from_bytes([5; 16]), Generation::new(100), START)
    }

    fn sign(sent_after_ms: i64, started: u64) -> Sign {
        Sign {
            boot: BootId::from_bytes([6; 16]),
            address: "127.0.0.1:1".parse().unwrap(),
            sent_at: WallTime::from_millis(START.millis().saturating_add_signed(sent_after_ms)),
            started: Some(Generation::new(started)),
        }
    }

    fn at(milliseconds: u64) -> Mono {
        Mono(Duration::from_millis(milliseconds))
    }

    fn proven(finding: Finding) -> Option<bool> {
        match finding {
            Finding::Proven { we_are_later, .. } => Some(we_are_later),
            Finding::Greet(_) | Finding::Wait => None,
        }
    }

    #[test]
    fn a_rival_is_proven_by_two_signs_a_second_apart() {
        let mut rivals = rivals();
        assert_eq!(proven(rivals.sign(at(0), sign(10, 50))), None);
        assert_eq!(proven(rivals.sign(at(900), sign(1_200, 50))), None);
        assert_eq!(proven(rivals.sign(at(1_500), sign(900, 50))), None);
        assert_eq!(proven(rivals.sign(at(1_600), sign(1_500, 50))), Some(true));
        assert_eq!(proven(rivals.sign(at(9_000), sign(9_000, 50))), None);
    }

    #[test]
    fn the_one_that_started_later_is_the_one_to_stop() {
        for (started, we_are_later) in [(50, true), (100, false), (101, false)] {
            let mut rivals = rivals();
            rivals.sign(at(0), sign(10, started));
            let finding = rivals.sign(at(2_000), sign(2_000, started));
            assert_eq!(proven(finding), Some(we_are_later), "{started}");
        }
    }

    #[test]
    fn what_our_previous_boot_sent_before_our_start_proves_nothing() {
        let mut rivals = rivals();
        for step in 0..10_u32 {
            let now = at(u64::from(step) * 1_000);
            let sent = i64::from(step) * 1_000 - 20_000;
            assert_eq!(proven(rivals.sign(now, sign(sent, 50))), None);
        }
    }

    #[test]
    fn greetings_are_few_and_come_in_twos() {
        let mut rivals = rivals();
        let greeted = (0..10)
            .filter(|step| {
                let finding = rivals.sign(at(step * 10), sign(10, 50));
                matches!(finding, Finding::Greet(_))
            })
            .count();
        assert_eq!(greeted, 1);
        assert_eq!(rivals.deadline(), Some(at(1_100)));
        assert_eq!(rivals.on_deadline(at(1_100)).len(), 1);
        assert_eq!(rivals.deadline(), None);
    }

    #[test]
    fn we_do_not_outbid_a_rival_that_was_there_before_us() {
        let mut rivals = rivals();
        assert!(!rivals.yields(at(0)));
        rivals.sign(at(0), sign(10, 101));
        assert!(!rivals.yields(at(0)));
        rivals.sign(at(0), sign(10, 99));
        assert!(rivals.yields(at(0)));
        assert!(!rivals.yields(at(20_000)));
    }
}
