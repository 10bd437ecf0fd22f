//! When to sync, and with whom.
//!
//! Peers tell the root of their digest in every membership datagram. Roots that differ are normal
//! while a push is on its way; only a difference that stays is worth a walk. While walks find
//! something the next may follow soon; a walk that finds nothing (the roots were merely old news)
//! makes the wait longer, so a busy cluster is not walked all the time. An idle cluster that agrees
//! asks nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::model::MemberId;
use crate::protocol::{Mono, Protocol};

/// How long a difference must stay before a walk.
const SETTLE: Duration = Duration::from_millis(300);
/// The wait after a walk that found nothing, or failed, grows from here …
const WAIT_FIRST: Duration = Duration::from_millis(500);
/// … up to here.
const WAIT_LONGEST: Duration = Duration::from_secs(10);

/// What happens to the schedule.
#[derive(Clone, Debug)]
pub enum ScheduleEvent {
    /// These peers are alive, and these are the roots last heard of them.
    Peers(BTreeMap<MemberId, Option<u128>>),
    /// Our own root is this now.
    Root(u128),
    /// Sync with this peer soon, whatever the roots say.
    Wanted(MemberId),
    /// A walk ended.
    Done {
        /// With whom.
        peer: MemberId,
        /// How many changes went either way; none if it failed.
        exchanged: Option<usize>,
    },
}

/// Walk with this peer, and report [`ScheduleEvent::Done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncWith(pub MemberId);

#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    root: Option<u128>,
    differs_since: Option<Mono>,
    wanted: bool,
    fruitless: u32,
    not_before: Option<Mono>,
}

/// Decides when to walk; one walk at a time.
#[derive(Debug)]
pub struct Schedule {
    peers: BTreeMap<MemberId, Peer>,
    root: u128,
    walking: bool,
    random: StdRng,
}

impl Schedule {
    /// A schedule without peers, for a store with this root. The seed is for choices and jitter.
    pub fn new(root: u128, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self {
            peers: BTreeMap::new(),
            root,
            walking: false,
            random,
        }
    }

    fn compare(&mut self, now: Mono) {
        for peer in self.peers.values_mut() {
            let differs = peer.root.is_some_and(|root| root != self.root);
            if !differs {
                peer.differs_since = None;
                if !peer.wanted {
                    peer.fruitless = 0;
                }
            } else if peer.differs_since.is_none() {
                peer.differs_since = Some(now);
            }
        }
    }

    fn begin(&mut self, now: Mono, out: &mut Vec<SyncWith>) {
        if self.walking {
            return;
        }
        let ready: Vec<MemberId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.ready_at().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        if let Some(id) = ready.choose(&mut self.random) {
            self.walking = true;
            out.push(SyncWith(*id));
        }
    }

    fn done(&mut self, now: Mono, id: MemberId, exchanged: Option<usize>) {
        self.walking = false;
        let jitter = self.random.random_range(0.75..1.25);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.wanted = peer.wanted && exchanged.is_none();
        let wait = if exchanged.is_some_and(|count| count > 0) {
            peer.fruitless = 0;
            Duration::ZERO
        } else {
            let wait = WAIT_FIRST
                .saturating_mul(1 << peer.fruitless.min(10))
                .min(WAIT_LONGEST);
            peer.fruitless = peer.fruitless.saturating_add(1);
            wait
        };
        peer.not_before = Some(now.plus(wait.mul_f64(jitter)));
        peer.differs_since = None;
    }
}

impl Peer {
    fn ready_at(&self) -> Option<Mono> {
        let settled = self.differs_since.map(|since| since.plus(SETTLE));
        let at = if self.wanted {
            Some(Mono::default())
        } else {
            settled
        };
        at.map(|at| at.max(self.not_before.unwrap_or_default()))
    }
}

impl Protocol for Schedule {
    type Event = ScheduleEvent;
    type Effect = SyncWith;

    fn on_event(&mut self, now: Mono, event: ScheduleEvent, out: &mut Vec<SyncWith>) {
        match event {
            ScheduleEvent::Peers(roots) => {
                self.peers.retain(|id, _| roots.contains_key(id));
                for (id, root) in roots {
                    self.peers.entry(id).or_default().root = root;
                }
            }
            ScheduleEvent::Root(root) => self.root = root,
            ScheduleEvent::Wanted(id) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.wanted = true;
                }
            }
            ScheduleEvent::Done { peer, exchanged } => self.done(now, peer, exchanged),
        }
        self.compare(now);
        self.begin(now, out);
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<SyncWith>) {
        self.compare(now);
        self.begin(now, out);
    }

    fn deadline(&self) -> Option<Mono> {
        if self.walking {
            return None;
        }
        self.peers.values().filter_map(Peer::ready_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MemberId = MemberId::from_u64(1);

    fn ms(millis: u64) -> Mono {
        Mono(Duration::from_millis(millis))
    }

    fn peers(root: u128) -> ScheduleEvent {
        ScheduleEvent::Peers(BTreeMap::from([(A, Some(root))]))
    }

    /// Runs events, then deadlines until `end`; gives the times at which walks began. Each walk
    /// ends at once with `exchanged`.
    fn walks(events: &[(u64, ScheduleEvent)], end: u64, exchanged: Option<usize>) -> Vec<u64> {
        let mut schedule = Schedule::new(1, 7);
        let (mut out, mut begun) = (Vec::new(), Vec::new());
        let mut events = events.iter().cloned().peekable();
        let mut now = ms(0);
        while now <= ms(end) {
            let next = events.peek().map(|(at, _)| ms(*at));
            match (next, schedule.deadline()) {
                (Some(at), deadline) if deadline.is_none_or(|deadline| at <= deadline) => {
                    now = now.max(at);
                    let (_, event) = events.next().unwrap();
                    schedule.on_event(now, event, &mut out);
                }
                (_, Some(deadline)) => {
                    now = now.max(deadline);
                    schedule.on_deadline(now, &mut out);
                }
                (_, None) => break,
            }
            for SyncWith(peer) in std::mem::take(&mut out) {
                begun.push(u64::try_from(now.0.as_millis()).unwrap());
                schedule.on_event(now, ScheduleEvent::Done { peer, exchanged }, &mut out);
            }
        }
        begun
    }

    #[test]
    fn members_that_agree_ask_nothing() {
        assert_eq!(walks(&[(0, peers(1))], 100_000, Some(0)), Vec::<u64>::new());
    }

    #[test]
    fn a_difference_that_settles_by_itself_is_not_walked() {
        let events = [(0, peers(2)), (200, ScheduleEvent::Root(2))];
        assert_eq!(walks(&events, 100_000, Some(0)), Vec::<u64>::new());
    }

    #[test]
    fn a_difference_that_stays_is_walked_and_again_while_it_pays() {
        let begun = walks(&[(0, peers(2))], 2_000, Some(5));
        assert_eq!(begun[0], 300);
        assert!(begun.len() >= 5, "{begun:?}");
    }

    #[test]
    fn walks_that_find_nothing_or_fail_become_rare() {
        for exchanged in [Some(0), None] {
            let begun = walks(&[(0, peers(2))], 600_000, exchanged);
            assert!((50..100).contains(&begun.len()), "{}", begun.len());
        }
    }

    #[test]
    fn a_wanted_sync_begins_at_once() {
        let events = [(0, peers(1)), (50, ScheduleEvent::Wanted(A))];
        assert_eq!(walks(&events, 1_000, Some(0)), vec![50]);
    }
}
