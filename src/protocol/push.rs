//! Push: a change goes to every peer at once.
//!
//! While a request to a peer is on its way, changes for it gather, grouped by key; the next request
//! carries them. So a slow peer gets fewer, larger requests, and a key that changes often costs
//! little. What gathers is bounded: beyond the bound it is dropped and the peer is left to sync,
//! which finds the difference by digest. A failure waits with exponential back-off and jitter.
//!
//! Up to the fan-out (`--fanout`), every peer gets every write directly. Where more are alive, a
//! member sends to so many chosen ones, and passes on what it learned from a push and did not know:
//! a rumour reaches everybody in some log n steps, and costs each member as many messages as the
//! fan-out, however many members there are. Whom it misses, sync finds.
//!
//! With the last of what gathered goes a claim: "who has all my own writes up to `base` has them up
//! to `upto` now". It is made only if nothing between was dropped on the way. Peers tell back up to
//! where they have our writes; so `ack` is answered, and a peer that missed something found.
//!
//! Invariant: at most one request is in flight per peer; memory per peer is bounded whatever the
//! peer does; a change that was taken is either acknowledged by the peer, still gathered, or the
//! peer is marked for sync.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::message::{Claim, MESSAGE_BYTES};
use super::{Mono, Protocol};
use crate::model::planted::{self, Bug};
use crate::model::{Change, HybridTime, MemberId, Slot};

/// The most changes in one request.
const REQUEST_CHANGES: usize = 1024;
/// The most versions of one key that gather: the newest ones.
const KEY_VERSIONS: usize = 16;
/// The first wait after a failure.
const WAIT_FIRST: Duration = Duration::from_millis(100);
/// The longest wait after failures.
const WAIT_LONGEST: Duration = Duration::from_secs(10);

/// How much may gather for one peer.
#[derive(Clone, Copy, Debug)]
pub struct PushLimits {
    /// The most changes.
    pub changes: usize,
    /// The most bytes of changes.
    pub bytes: usize,
    /// To how many peers changes are sent (`--fanout`); with more, what was learned is passed on.
    pub fanout: usize,
}

impl Default for PushLimits {
    fn default() -> Self {
        Self {
            changes: 16_384,
            bytes: 32 << 20,
            fanout: 8,
        }
    }
}

/// What happens to the push.
#[derive(Clone, Debug)]
pub enum PushEvent {
    /// These peers are alive; others are forgotten. Up to the fan-out of them get changes.
    Peers(Vec<MemberId>),
    /// Clients wrote this here, and with it these are all own writes up to a position. What was
    /// committed together goes out together.
    Changes {
        /// The changes.
        changes: Vec<Change>,
        /// The position; none if more is to come before one can be told.
        upto: Option<HybridTime>,
    },
    /// A peer pushed this, and it was new.
    Learned {
        /// The peer.
        from: MemberId,
        /// The changes.
        changes: Vec<Change>,
    },
    /// Own writes were missed, up to this position: all peers must sync.
    Missed {
        /// The position; none if more is to come before one can be told.
        upto: Option<HybridTime>,
    },
    /// Own writes were missing here, because the data directory was an older copy: what was sent so
    /// far amounts to nothing, and nothing is claimed until a position is told again.
    Gap,
    /// A request was answered.
    Done {
        /// The peer.
        peer: MemberId,
        /// Which request, as [`PushEffect::Send`] numbered it; another than the one on its way
        /// says nothing.
        request: u64,
        /// Up to where the peer has our writes, if it took the changes and they are on its disk.
        has: Option<HybridTime>,
    },
}

/// What the push wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushEffect {
    /// Send these changes and report [`PushEvent::Done`].
    Send {
        /// The peer.
        peer: MemberId,
        /// The number of the request.
        request: u64,
        /// What it is to get.
        changes: Vec<Change>,
        /// What that amounts to.
        claim: Option<Claim>,
    },
    /// The peer missed something: sync with it.
    Sync(MemberId),
}

/// How far behind a peer is, as far as push knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushLag {
    /// Changes that gather or are on their way.
    pub waiting: usize,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
}

/// Numbers for the metrics, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushCounters {
    /// Requests that a peer took.
    pub requests: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Changes sent in requests that were taken.
    pub changes: u64,
    /// Times that what gathered was dropped and left to sync.
    pub overflows: u64,
}

/// A request on its way.
#[derive(Debug)]
struct Flying {
    request: u64,
    since: Mono,
    changes: Vec<Change>,
    claim: Option<Claim>,
}

#[derive(Debug, Default)]
struct Peer {
    order: VecDeque<(Slot, Mono)>,
    dirty: HashMap<Slot, Vec<Change>>,
    changes: usize,
    bytes: usize,
    /// Up to which own position everything was claimed in requests before; what is gathered comes
    /// after it. None if something was sent without a claim, or no position is known yet.
    base: Option<HybridTime>,
    flying: Option<Flying>,
    failures: u32,
    not_before: Option<Mono>,
    missed: bool,
}

/// The push to all peers.
#[derive(Debug)]
pub struct Push {
    peers: BTreeMap<MemberId, Peer>,
    limits: PushLimits,
    /// How many are alive.
    alive: usize,
    /// All own writes up to this position were gathered; none while more of them is to come.
    upto: Option<HybridTime>,
    /// The number of the last request.
    request: u64,
    random: StdRng,
    counters: PushCounters,
}

impl Push {
    /// A push without peers, for a member whose clock is at this position. The seed is for the
    /// jitter.
    pub fn new(limits: PushLimits, position: HybridTime, seed: u64) -> Self {
        Self {
            peers: BTreeMap::new(),
            limits,
            alive: 0,
            upto: Some(position),
            request: 0,
            random: StdRng::seed_from_u64(seed),
            counters: PushCounters::default(),
        }
    }

    /// How far behind each peer is.
    pub fn lags(&self, now: Mono) -> BTreeMap<MemberId, PushLag> {
        self.peers
            .iter()
            .map(|(id, peer)| (*id, peer.lag(now)))
            .collect()
    }

    /// Numbers for the metrics.
    pub fn counters(&self) -> PushCounters {
        self.counters
    }

    /// Fills up to the fan-out with peers chosen at random; those chosen before stay.
    fn choose(&mut self, mut ids: Vec<MemberId>) {
        ids.retain(|id| !self.peers.contains_key(id));
        while self.peers.len() < self.limits.fanout && !ids.is_empty() {
            let one = ids.swap_remove(self.random.random_range(0..ids.len()));
            let base = self.upto;
            self.peers.insert(
                one,
                Peer {
                    base,
                    ..Peer::default()
                },
            );
        }
    }

    fn done(
        &mut self,
        now: Mono,
        (id, request): (MemberId, u64),
        has: Option<HybridTime>,
        out: &mut Vec<PushEffect>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        // A peer that was away for a moment may still answer a request from before.
        let Some(flying) = peer.flying.take_if(|flying| flying.request == request) else {
            return;
        };
        if let Some(has) = has {
            self.counters.requests += 1;
            self.counters.changes += flying.changes.len() as u64;
            peer.failures = 0;
            peer.not_before = None;
            let short = flying.claim.is_some_and(|claim| has < claim.upto);
            if std::mem::take(&mut peer.missed) || short {
                out.push(PushEffect::Sync(id));
            }
        } else {
            self.counters.failures += 1;
            peer.back_off(now, &mut self.random);
            peer.put_back(flying);
            self.counters.overflows += u64::from(peer.shrink(self.limits, self.upto));
        }
    }

    fn gather(&mut self, now: Mono, from: Option<MemberId>, changes: &[Change]) {
        for (id, peer) in &mut self.peers {
            if Some(*id) == from {
                continue;
            }
            for change in changes {
                peer.gather(now, change.clone());
            }
            self.counters.overflows += u64::from(peer.shrink(self.limits, self.upto));
        }
    }

    /// Whether what was learned must be passed on: not everybody gets it directly.
    fn passes_on(&self) -> bool {
        self.alive > self.peers.len()
    }

    fn send_ready(&mut self, now: Mono, out: &mut Vec<PushEffect>) {
        for (id, peer) in &mut self.peers {
            let waits = peer.not_before.is_some_and(|at| now < at);
            if peer.flying.is_some() || waits {
                continue;
            }
            if let Some((changes, claim)) = peer.next_request(self.request + 1, self.upto) {
                self.request += 1;
                let (peer, request) = (*id, self.request);
                out.push(PushEffect::Send {
                    peer,
                    request,
                    changes,
                    claim,
                });
            }
        }
    }
}

impl Protocol for Push {
    type Event = PushEvent;
    type Effect = PushEffect;

    fn on_event(&mut self, now: Mono, event: PushEvent, out: &mut Vec<PushEffect>) {
        match event {
            PushEvent::Peers(ids) => {
                self.peers.retain(|id, _| ids.contains(id));
                self.alive = ids.len();
                self.choose(ids);
            }
            PushEvent::Changes { changes, upto } => {
                self.upto = upto;
                self.gather(now, None, &changes);
                for (id, peer) in &mut self.peers {
                    if peer.base.is_none() && upto.is_some() {
                        peer.base = upto;
                        out.push(PushEffect::Sync(*id));
                    }
                }
            }
            PushEvent::Gap => {
                self.upto = None;
                self.peers.values_mut().for_each(Peer::claim_nothing);
            }
            PushEvent::Learned { from, changes } if self.passes_on() => {
                self.gather(now, Some(from), &changes);
            }
            PushEvent::Learned { .. } => {}
            PushEvent::Missed { upto } => {
                self.upto = upto;
                for (id, peer) in &mut self.peers {
                    peer.clear(upto);
                    out.push(PushEffect::Sync(*id));
                }
            }
            PushEvent::Done { peer, request, has } => self.done(now, (peer, request), has, out),
        }
        self.send_ready(now, out);
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<PushEffect>) {
        self.send_ready(now, out);
    }

    fn deadline(&self) -> Option<Mono> {
        let waiting =
            |peer: &&Peer| peer.flying.is_none() && (peer.missed || !peer.order.is_empty());
        self.peers
            .values()
            .filter(waiting)
            .map(|peer| peer.not_before.unwrap_or_default())
            .min()
    }
}

impl Peer {
    fn gather(&mut self, now: Mono, change: Change) {
        let place = change.slot();
        self.bytes += change.size();
        self.changes += 1;
        let versions = self.dirty.entry(place.clone()).or_default();
        if versions.is_empty() {
            self.order.push_back((place, now));
        }
        versions.push(change);
        if versions.len() > KEY_VERSIONS {
            versions.sort_by_key(Change::stamp);
            let gone = versions.remove(0);
            self.bytes -= gone.size();
            self.changes -= 1;
        }
    }

    /// What failed goes in front again, with the time since when it waits.
    fn put_back(&mut self, flying: Flying) {
        let newer = std::mem::take(self);
        self.failures = newer.failures;
        self.not_before = newer.not_before;
        self.missed = newer.missed;
        // What was claimed may never have arrived.
        self.base = flying.claim.map_or(newer.base, |claim| Some(claim.base));
        let since = flying.since;
        let changes = flying.changes.into_iter();
        let changes = changes.filter(|_| !planted::is(Bug::LostDirtySet));
        changes.for_each(|change| self.gather(since, change));
        let mut dirty = newer.dirty;
        for (place, at) in newer.order {
            for change in dirty.remove(&place).unwrap_or_default() {
                self.gather(at, change);
            }
        }
    }

    /// Drops everything that gathered if it is too much; says whether it did.
    fn shrink(&mut self, limits: PushLimits, upto: Option<HybridTime>) -> bool {
        let fits = self.changes <= limits.changes && self.bytes <= limits.bytes;
        if fits || planted::is(Bug::QueueUnbounded) {
            return false;
        }
        if planted::is(Bug::DroppedYetClaimed) {
            self.clear(self.base);
            return false;
        }
        self.clear(upto);
        self.missed = true;
        true
    }

    /// What was sent and gathered amounts to nothing.
    fn claim_nothing(&mut self) {
        self.base = None;
        if let Some(flying) = &mut self.flying {
            flying.claim = None;
        }
    }

    /// Drops what gathered; own writes up to this position are no longer claimed.
    fn clear(&mut self, upto: Option<HybridTime>) {
        self.base = upto;
        self.order.clear();
        self.dirty.clear();
        self.changes = 0;
        self.bytes = 0;
    }

    /// The next request, oldest keys first; a peer that only missed something gets an empty one,
    /// which finds out whether it answers again. `upto` is the position that all own writes were
    /// gathered up to.
    ///
    /// Each claim begins where the one before it ended. So if one did not take hold at the peer
    /// (it left out a change that met a damaged row), no later one does, until a sync has filled
    /// the gap. What does not fit into one request is sent without a claim, and synced.
    fn next_request(
        &mut self,
        request: u64,
        upto: Option<HybridTime>,
    ) -> Option<(Vec<Change>, Option<Claim>)> {
        let since = self.order.front().map(|(_, at)| *at);
        if since.is_none() && !self.missed {
            return None;
        }
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while changes.len() < REQUEST_CHANGES && bytes < MESSAGE_BYTES {
            let Some((place, _)) = self.order.pop_front() else {
                break;
            };
            let mut rest = Vec::new();
            for change in self.dirty.remove(&place).unwrap_or_default() {
                if !changes.is_empty() && bytes + change.size() > MESSAGE_BYTES {
                    rest.push(change);
                    continue;
                }
                bytes += change.size();
                self.bytes -= change.size();
                self.changes -= 1;
                changes.push(change);
            }
            if !rest.is_empty() {
                self.dirty.insert(place.clone(), rest);
                self.order.push_front((place, since.unwrap_or_default()));
                break;
            }
        }
        let all = self.order.is_empty() && upto.is_some();
        let claim = upto.zip(self.base).map(|(upto, base)| Claim { base, upto });
        let claim = claim.filter(|claim| all && !self.missed && claim.upto > claim.base);
        self.missed |= !all;
        self.base = upto.filter(|_| all);
        self.flying = Some(Flying {
            request,
            since: since.unwrap_or_default(),
            changes: changes.clone(),
            claim,
        });
        Some((changes, claim))
    }

    fn back_off(&mut self, now: Mono, random: &mut StdRng) {
        let longest = WAIT_FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(WAIT_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now.plus(longest.mul_f64(random.random_range(0.5..1.0))));
    }

    fn lag(&self, now: Mono) -> PushLag {
        let flying = self.flying.as_ref();
        let flying = flying.filter(|flying| !flying.changes.is_empty());
        let first = flying
            .map(|flying| flying.since)
            .or(self.order.front().map(|(_, at)| *at));
        PushLag {
            waiting: self.changes + flying.map_or(0, |flying| flying.changes.len()),
            oldest: first.map_or(Duration::ZERO, |at| now.since(at)),
        }
    }
}

#[cfg(test)]
mod tests;
