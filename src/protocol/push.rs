//! Push: a change goes to every peer at once.
//!
//! While a request to a peer is on its way, changes for it gather, grouped by key; the next request
//! carries them. So a slow peer gets fewer, larger requests, and a key that changes often costs
//! little. What gathers is bounded: beyond the bound it is dropped and the peer is left to sync,
//! which finds the difference by digest. A failure waits with exponential back-off and jitter.
//!
//! Invariant: at most one request is in flight per peer; memory per peer is bounded whatever the
//! peer does; a change that was taken is either acknowledged by the peer, still gathered, or the
//! peer is marked for sync.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::message::MESSAGE_BYTES;
use super::{Mono, Protocol};
use crate::model::{Change, KeyName, MemberId, NodeName};

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
    /// To how many peers changes are sent directly (`--fanout`); the others find out by digest.
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
    /// These peers are alive; others are forgotten. Up to the fan-out of them get changes directly.
    Peers(Vec<MemberId>),
    /// Clients wrote this here. What was committed together goes out together.
    Changes(Vec<Change>),
    /// Changes were missed: all peers must sync.
    Missed,
    /// A request was answered; `true` when the peer has it on disk.
    Done {
        /// The peer.
        peer: MemberId,
        /// Whether it took the changes.
        taken: bool,
    },
}

/// What the push wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushEffect {
    /// Send these changes and report [`PushEvent::Done`].
    Send {
        /// The peer.
        peer: MemberId,
        /// What it is to get.
        changes: Vec<Change>,
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

type Place = (NodeName, Option<KeyName>);

#[derive(Debug, Default)]
struct Peer {
    order: VecDeque<(Place, Mono)>,
    dirty: HashMap<Place, Vec<Change>>,
    changes: usize,
    bytes: usize,
    flying: Option<(Mono, Vec<Change>)>,
    failures: u32,
    not_before: Option<Mono>,
    missed: bool,
}

/// The push to all peers.
#[derive(Debug)]
pub struct Push {
    peers: BTreeMap<MemberId, Peer>,
    limits: PushLimits,
    random: StdRng,
    counters: PushCounters,
}

impl Push {
    /// A push without peers. The seed is for the jitter.
    pub fn new(limits: PushLimits, seed: u64) -> Self {
        Self {
            peers: BTreeMap::new(),
            limits,
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
            self.peers.insert(one, Peer::default());
        }
    }

    fn done(&mut self, now: Mono, id: MemberId, taken: bool, out: &mut Vec<PushEffect>) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some((since, changes)) = peer.flying.take() else {
            return;
        };
        if taken {
            self.counters.requests += 1;
            self.counters.changes += changes.len() as u64;
            peer.failures = 0;
            peer.not_before = None;
            if std::mem::take(&mut peer.missed) {
                out.push(PushEffect::Sync(id));
            }
        } else {
            self.counters.failures += 1;
            peer.back_off(now, &mut self.random);
            peer.put_back(since, changes);
            self.counters.overflows += u64::from(peer.shrink(self.limits));
        }
    }

    fn send_ready(&mut self, now: Mono, out: &mut Vec<PushEffect>) {
        for (id, peer) in &mut self.peers {
            let waits = peer.not_before.is_some_and(|at| now < at);
            if peer.flying.is_some() || waits {
                continue;
            }
            if let Some(changes) = peer.next_request() {
                out.push(PushEffect::Send { peer: *id, changes });
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
                self.choose(ids);
            }
            PushEvent::Changes(changes) => {
                for peer in self.peers.values_mut() {
                    changes
                        .iter()
                        .for_each(|change| peer.gather(now, change.clone()));
                    self.counters.overflows += u64::from(peer.shrink(self.limits));
                }
            }
            PushEvent::Missed => {
                for (id, peer) in &mut self.peers {
                    peer.clear();
                    out.push(PushEffect::Sync(*id));
                }
            }
            PushEvent::Done { peer, taken } => self.done(now, peer, taken, out),
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
        let place = match &change {
            Change::Key { node, key, .. } => (node.clone(), Some(key.clone())),
            Change::Node { node, .. } => (node.clone(), None),
        };
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
    fn put_back(&mut self, since: Mono, changes: Vec<Change>) {
        let newer = std::mem::take(self);
        self.failures = newer.failures;
        self.not_before = newer.not_before;
        self.missed = newer.missed;
        changes
            .into_iter()
            .for_each(|change| self.gather(since, change));
        let mut dirty = newer.dirty;
        for (place, at) in newer.order {
            for change in dirty.remove(&place).unwrap_or_default() {
                self.gather(at, change);
            }
        }
    }

    /// Drops everything that gathered if it is too much; says whether it did.
    fn shrink(&mut self, limits: PushLimits) -> bool {
        if self.changes <= limits.changes && self.bytes <= limits.bytes {
            return false;
        }
        self.clear();
        self.missed = true;
        true
    }

    fn clear(&mut self) {
        self.order.clear();
        self.dirty.clear();
        self.changes = 0;
        self.bytes = 0;
    }

    /// The next request, oldest keys first; a peer that only missed something gets an empty one,
    /// which finds out whether it answers again.
    fn next_request(&mut self) -> Option<Vec<Change>> {
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
        self.flying = Some((since.unwrap_or_default(), changes.clone()));
        Some(changes)
    }

    fn back_off(&mut self, now: Mono, random: &mut StdRng) {
        let longest = WAIT_FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(WAIT_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now.plus(longest.mul_f64(random.random_range(0.5..1.0))));
    }

    fn lag(&self, now: Mono) -> PushLag {
        let flying = self
            .flying
            .as_ref()
            .filter(|(_, changes)| !changes.is_empty());
        let first = flying
            .map(|(at, _)| *at)
            .or(self.order.front().map(|(_, at)| *at));
        PushLag {
            waiting: self.changes + flying.map_or(0, |(_, changes)| changes.len()),
            oldest: first.map_or(Duration::ZERO, |at| now.since(at)),
        }
    }
}

#[cfg(test)]
mod tests;
