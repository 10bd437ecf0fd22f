//! When to sync, and with whom.
//!
//! Peers tell the root of their digest in every membership datagram. Roots that differ are normal
//! while a push is on its way; only a difference that stays is worth a walk. While walks find
//! something the next may follow soon; a walk that finds nothing (the roots were merely old news)
//! makes the wait longer, so a busy cluster is not walked all the time. An idle cluster that agrees
//! asks nothing.
//!
//! A difference that walks cannot take away is an alarm: sync goes on, but somebody should know
//! ([`Schedule::alarms`]). So is a peer that cannot be compared at all.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::model::MemberId;
use crate::model::planted::{self, Bug};
use crate::protocol::{Mono, Protocol};

/// How long a difference must stay before a walk.
const SETTLE: Duration = Duration::from_millis(300);
/// The wait after a walk that found nothing, or failed, grows from here …
const WAIT_FIRST: Duration = Duration::from_millis(500);
/// … up to here.
const WAIT_LONGEST: Duration = Duration::from_secs(10);

/// So many walks in a row that ended well and exchanged nothing …
const VAIN_WALKS: u32 = 3;
/// … over so long a time, while the roots differed all along, are an alarm.
const VAIN_FOR: Duration = Duration::from_secs(30);
/// A living peer with another root is reported when it could not be compared for so long.
const UNCOMPARED_FOR: Duration = Duration::from_mins(1);

/// Peers that sync does not bring together with us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Walks with these end well and exchange nothing, and yet the roots stay different.
    pub diverged: Vec<MemberId>,
    /// Walks with these fail.
    pub not_comparable: Vec<MemberId>,
}

impl Alarms {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.diverged.is_empty() && self.not_comparable.is_empty()
    }
}

/// What happens to the schedule.
#[derive(Clone, Debug)]
pub enum ScheduleEvent {
    /// These peers are alive, and these are the roots last heard of them.
    Peers(BTreeMap<MemberId, Option<u128>>),
    /// Our own root is this now.
    Root(u128),
    /// Sync with these peers soon, whatever the roots say; if none of them is alive, with another.
    Wanted(Vec<MemberId>),
    /// A walk ended.
    Done {
        /// With whom.
        peer: MemberId,
        /// How many changes went either way; none if it failed.
        exchanged: Option<usize>,
        /// Whether the walk itself found a place where the two differ.
        differed: bool,
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
    /// Our root and the peer's when the walk began.
    walked_at: Option<(u128, Option<u128>)>,
    /// Walks in a row that ended well and exchanged nothing, while the roots differed.
    vain: Run,
    /// Walks in a row that failed.
    failed: Run,
}

/// The same outcome again and again.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    count: u32,
    since: Option<Mono>,
}

impl Run {
    fn again(&mut self, now: Mono) {
        self.count = self.count.saturating_add(1);
        self.since.get_or_insert(now);
    }

    fn lasts(&self, now: Mono, count: u32, span: Duration) -> bool {
        let is_long = |since: Mono| now.since(since) >= span;
        self.count >= count && self.since.is_some_and(is_long)
    }
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

    /// The peers that sync does not bring together with us, as far as is known at `now`.
    pub fn alarms(&self, now: Mono) -> Alarms {
        let those = |is_one: &dyn Fn(&Peer) -> bool| {
            let found = self.peers.iter().filter(|(_, peer)| is_one(peer));
            found.map(|(id, _)| *id).collect()
        };
        Alarms {
            diverged: those(&|peer| peer.vain.lasts(now, VAIN_WALKS, VAIN_FOR)),
            not_comparable: those(&|peer| peer.failed.lasts(now, 2, UNCOMPARED_FOR)),
        }
    }

    fn compare(&mut self, now: Mono) {
        for peer in self.peers.values_mut() {
            let differs =
                peer.root.is_some_and(|root| root != self.root) || planted::is(Bug::NeverSilent);
            if !differs {
                peer.differs_since = None;
                peer.vain = Run::default();
                if !peer.wanted {
                    peer.fruitless = 0;
                    peer.failed = Run::default();
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
            if let Some(peer) = self.peers.get_mut(id) {
                peer.walked_at = Some((self.root, peer.root));
            }
            out.push(SyncWith(*id));
        }
    }

    fn done(&mut self, now: Mono, id: MemberId, exchanged: Option<usize>, differed: bool) {
        self.walking = false;
        let jitter = self.random.random_range(0.75..1.25);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        match exchanged {
            None => peer.failed.again(now),
            // Under load the two differ by what is on its way, and their roots change meanwhile.
            Some(0) if differed && peer.walked_at != Some((self.root, peer.root)) => {
                peer.failed = Run::default();
            }
            Some(0) if differed => {
                peer.failed = Run::default();
                peer.vain.again(now);
            }
            Some(_) => (peer.failed, peer.vain) = (Run::default(), Run::default()),
        }
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
            ScheduleEvent::Wanted(ids) => {
                let mut here: Vec<MemberId> = ids.clone();
                here.retain(|id| self.peers.contains_key(id));
                if here.is_empty() && !ids.is_empty() {
                    // Whoever is here may have what those had that are not.
                    let all: Vec<MemberId> = self.peers.keys().copied().collect();
                    here.extend(all.choose(&mut self.random));
                }
                for id in here {
                    self.peers.entry(id).or_default().wanted = true;
                }
            }
            ScheduleEvent::Done {
                peer,
                exchanged,
                differed,
            } => self.done(now, peer, exchanged, differed),
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

    fn done(peer: MemberId, exchanged: Option<usize>) -> ScheduleEvent {
        ScheduleEvent::Done {
            peer,
            exchanged,
            differed: true,
        }
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
                schedule.on_event(now, done(peer, exchanged), &mut out);
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

    /// Lets every walk end with `exchanged` until `end` seconds; gives the alarms then.
    fn alarms_after(end: u64, exchanged: Option<usize>, events: &[(u64, ScheduleEvent)]) -> Alarms {
        let mut schedule = Schedule::new(1, 7);
        let mut out = Vec::new();
        for (at, event) in events {
            run_until(&mut schedule, ms(*at * 1000), exchanged);
            schedule.on_event(ms(*at * 1000), event.clone(), &mut out);
        }
        for SyncWith(peer) in out {
            schedule.on_event(ms(0), done(peer, exchanged), &mut Vec::new());
        }
        run_until(&mut schedule, ms(end * 1000), exchanged);
        schedule.alarms(ms(end * 1000))
    }

    fn run_until(schedule: &mut Schedule, end: Mono, exchanged: Option<usize>) {
        while let Some(at) = schedule.deadline().filter(|at| *at <= end) {
            let mut out = Vec::new();
            schedule.on_deadline(at, &mut out);
            for SyncWith(peer) in out {
                let done = done(peer, exchanged);
                schedule.on_event(at, done, &mut Vec::new());
            }
        }
    }

    #[test]
    fn a_difference_that_walks_do_not_take_away_is_an_alarm_until_it_is_gone() {
        let differs = [(0, peers(2))];
        let diverged = |end, exchanged, events: &[_]| alarms_after(end, exchanged, events).diverged;
        let none = Vec::new();
        assert_eq!(diverged(20, Some(0), &differs), none, "not yet");
        assert_eq!(diverged(40, Some(0), &differs), vec![A]);
        assert_eq!(diverged(600, Some(5), &differs), none, "walks pay");
        assert_eq!(diverged(600, None, &differs), none, "nothing is known");
        let [differs] = differs;
        let agrees = (50, peers(1));
        assert_eq!(diverged(60, Some(0), &[differs.clone(), agrees]), none);
        let gone = (50, ScheduleEvent::Peers(BTreeMap::new()));
        assert!(alarms_after(60, Some(0), &[differs, gone]).is_empty());
    }

    #[test]
    fn a_busy_cluster_whose_roots_agree_now_and_then_raises_no_alarm() {
        let mut events = Vec::new();
        for at in 0..60 {
            events.push((at * 10, peers(2)));
            events.push((at * 10 + 9, ScheduleEvent::Root(2)));
            events.push((at * 10 + 9, ScheduleEvent::Root(1)));
        }
        assert!(alarms_after(600, Some(0), &events).is_empty());
    }

    #[test]
    fn walks_that_find_no_difference_or_during_which_much_is_written_raise_no_alarm() {
        for is_busy in [false, true] {
            let mut schedule = Schedule::new(1, 7);
            schedule.on_event(ms(0), peers(2), &mut Vec::new());
            let mut root = 10;
            while let Some(at) = schedule.deadline().filter(|at| *at <= ms(600_000)) {
                let mut out = Vec::new();
                schedule.on_deadline(at, &mut out);
                for SyncWith(peer) in out {
                    root += u128::from(is_busy);
                    schedule.on_event(at, ScheduleEvent::Root(root), &mut Vec::new());
                    let ended = ScheduleEvent::Done {
                        peer,
                        exchanged: Some(0),
                        differed: is_busy,
                    };
                    schedule.on_event(at, ended, &mut Vec::new());
                }
            }
            assert!(schedule.alarms(ms(600_000)).is_empty(), "{is_busy}");
        }
    }

    #[test]
    fn a_living_peer_that_cannot_be_compared_is_an_alarm() {
        let differs = [(0, peers(2))];
        let of = |end, exchanged| alarms_after(end, exchanged, &differs).not_comparable;
        assert_eq!(of(50, None), Vec::new());
        assert_eq!(of(90, None), vec![A]);
        assert_eq!(of(90, Some(0)), Vec::new());
    }

    #[test]
    fn a_wanted_sync_begins_at_once() {
        let events = [(0, peers(1)), (50, ScheduleEvent::Wanted(vec![A]))];
        assert_eq!(walks(&events, 1_000, Some(0)), vec![50]);
    }
}
