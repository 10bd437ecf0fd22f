//! What comes in by datagram, and what goes out.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use foca::{Member, State};
use rand::seq::IteratorRandom;

use super::track::https_at;
use super::{Effect, Generation, Identity, Membership, Phase, Sign};
use crate::model::MemberId;
use crate::protocol::Mono;
use crate::protocol::beacon;
use crate::protocol::clocks::Way;
use crate::protocol::envelope::{Kind, Letter, Opening, Stamp};

/// How soon somebody who did not answer our announce is asked again, and how often.
const COURT_AGAIN: Duration = Duration::from_millis(400);
const COURT_TRIES: u32 = 4;
/// The most members asked at once to let us join.
const COURT_LIMIT: usize = 64;
/// How many announces may go out at once, and how many per second.
const TOKENS: f64 = 8.0;
/// How long a member heard by beacon is waited for before it is dialled: alone, and joined.
const PATIENCE_ALONE: Duration = Duration::from_millis(600);
const PATIENCE_JOINED: Duration = Duration::from_secs(4);
/// The most members that are told goodbye one by one; the others hear of it by gossip.
const GOODBYES: usize = 256;

/// Somebody whose beacon was heard and whom we ask to let us join.
#[derive(Debug)]
pub(super) struct Courtship {
    identity: Identity,
    next: Mono,
    tries: u32,
}

/// A token bucket, so that a thousand beacons do not make a thousand announces.
#[derive(Debug)]
pub(super) struct Tokens {
    left: f64,
    at: Mono,
}

impl Tokens {
    pub(super) const fn new(now: Mono) -> Self {
        Self {
            left: TOKENS,
            at: now,
        }
    }

    fn take(&mut self, now: Mono) -> bool {
        let grown = now.since(self.at).as_secs_f64() * TOKENS;
        self.left = (self.left + grown).min(TOKENS);
        self.at = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

impl Membership {
    pub(super) fn datagram(
        &mut self,
        now: Mono,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut Vec<Effect>,
    ) {
        match self.opener.open(self.wall(now), bytes) {
            Opening::Dropped => {}
            Opening::Hint(letter) => {
                if letter.sender != self.me.member {
                    self.note_hint(now, letter.sent_at);
                }
                if let Some(identity) = beacon_of(&letter) {
                    let address = https_at(&identity, from);
                    self.hint(now, address, letter.sender, PATIENCE_ALONE);
                }
            }
            Opening::Accepted(letter) if letter.sender == self.me.member => {
                let sign = Sign {
                    boot: letter.boot,
                    address: from,
                    sent_at: letter.sent_at,
                    started: beacon_of(&letter).map(|identity| identity.started),
                };
                self.rival_sign(now, sign, out);
            }
            Opening::Accepted(letter) => self.letter(now, Some(from), &letter, out),
        }
    }

    /// A letter of another member, which came straight `from` there or was relayed.
    pub(super) fn letter(
        &mut self,
        now: Mono,
        from: Option<SocketAddr>,
        letter: &Letter,
        out: &mut Vec<Effect>,
    ) {
        let who = (letter.sender, letter.generation, letter.boot);
        self.note_source(now, from, who, letter.root);
        // A beacon to the group says nothing of whether datagrams to single members pass.
        if letter.kind != Kind::Beacon {
            self.note_sign(letter.sender, from.is_some());
        }
        self.note_clock(now, letter.sender, letter.sent_at, Way::Letter);
        let mut outputs = vec![];
        match letter.kind {
            Kind::Root => return,
            Kind::Swim => {
                let generation = Generation::new(letter.generation);
                let sender = (letter.sender, generation, letter.boot);
                let payload = &letter.payload;
                if let Some(reply) = self.swim.heard(now, sender, payload, &mut outputs) {
                    let to = from.unwrap_or(self.me.udp);
                    self.post(now, letter.sender, to, (Kind::Swim, reply), out);
                }
            }
            Kind::Beacon => match (beacon_of(letter), from) {
                (Some(identity), Some(from)) => {
                    return self.beacon_heard(now, from, identity, out);
                }
                _ => self.swim.refused += 1,
            },
            Kind::Goodbye => match beacon::decode(&letter.payload) {
                Some(identity) if identity.member == letter.sender && identity.leaving => {
                    let gone = vec![Member::down(identity)];
                    self.swim.apply(now, gone, true, &mut outputs);
                }
                _ => self.swim.refused += 1,
            },
        }
        self.perform(now, outputs, out);
        self.follow_rumour(now, out);
    }

    fn beacon_heard(
        &mut self,
        now: Mono,
        from: SocketAddr,
        identity: Identity,
        out: &mut Vec<Effect>,
    ) {
        self.records.entry(identity.member).or_default().beaconed = true;
        let wanted = self.swim.find(identity.member).is_none_or(|known| {
            let newer = identity.generation > known.id().generation;
            let same = identity.generation == known.id().generation;
            newer || (same && known.state() == State::Down)
        });
        let room = self.courting.len() < COURT_LIMIT;
        if !wanted || identity.leaving {
            return;
        }
        let patience = if self.swim.live() == 0 {
            PATIENCE_ALONE
        } else {
            PATIENCE_JOINED
        };
        self.hint(now, https_at(&identity, from), identity.member, patience);
        if room {
            let courtship = Courtship {
                identity,
                next: now,
                tries: 0,
            };
            self.courting.insert(courtship.identity.member, courtship);
            self.court(now, out);
        }
    }

    /// Asks those whose beacons were heard, and who have not become members since, to let us join.
    pub(super) fn court(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let mut outputs = vec![];
        let due: Vec<MemberId> = self
            .courting
            .iter()
            .filter(|(_, courtship)| courtship.next <= now)
            .map(|(member, _)| *member)
            .collect();
        for member in due {
            let Some(courtship) = self.courting.get_mut(&member) else {
                continue;
            };
            courtship.tries += 1;
            courtship.next = now.plus(COURT_AGAIN);
            let done = courtship.tries > COURT_TRIES || !self.tokens.take(now);
            if !done {
                let identity = courtship.identity.clone();
                self.swim.announce(now, identity, &mut outputs);
            } else if courtship.tries > COURT_TRIES {
                self.courting.remove(&member);
            }
        }
        if !outputs.is_empty() {
            self.perform(now, outputs, out);
        }
    }

    pub(super) fn courtship_deadline(&self) -> Option<Mono> {
        self.courting.values().map(|courtship| courtship.next).min()
    }

    pub(super) fn send_swim(
        &mut self,
        now: Mono,
        to: &Identity,
        message: &[u8],
        out: &mut Vec<Effect>,
    ) {
        let address = self.udp_of(to);
        self.post(now, to.member, address, (Kind::Swim, message), out);
    }

    pub(super) fn send_beacon_to(&mut self, now: Mono, to: SocketAddr, out: &mut Vec<Effect>) {
        let payload = beacon::encode(&self.me);
        self.send(now, to, Kind::Beacon, &payload, out);
    }

    pub(super) fn multicast_beacon(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let payload = beacon::encode(&self.me);
        if let Some(datagram) = self.seal(now, Kind::Beacon, &payload) {
            self.counts.beacons += 1;
            out.push(Effect::Multicast(datagram));
        }
    }

    /// Tells a few live members our root, which every datagram carries.
    pub(super) fn tell_root(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let live = self.table.live().map(|row| (row.id, row.udp));
        let few = live.sample(&mut self.rng, super::ROOT_FANOUT);
        for (member, to) in few {
            self.post(now, member, to, (Kind::Root, b""), out);
        }
    }

    pub(super) fn leave(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.me = Identity {
            leaving: true,
            ..self.me.renewed(self.next_generation(now))
        };
        out.push(Effect::Persist(self.me.generation));
        self.phase = Phase::Leaving(now.plus(super::GOODBYE_AGAIN));
        self.say_goodbye(now, out);
    }

    pub(super) fn say_goodbye(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let payload = beacon::encode(&self.me);
        let live: Vec<_> = self.table.live().map(|row| (row.id, row.udp)).collect();
        for (member, to) in live.into_iter().take(GOODBYES) {
            self.post(now, member, to, (Kind::Goodbye, &payload), out);
        }
        if let Some(datagram) = self.seal(now, Kind::Goodbye, &payload) {
            out.push(Effect::Multicast(datagram));
        }
    }

    pub(super) fn send(
        &mut self,
        now: Mono,
        to: SocketAddr,
        kind: Kind,
        payload: &[u8],
        out: &mut Vec<Effect>,
    ) {
        if let Some(datagram) = self.seal(now, kind, payload) {
            self.counts.sent += 1;
            out.push(Effect::Send { to, datagram });
        }
    }

    pub(super) fn seal(&mut self, now: Mono, kind: Kind, payload: &[u8]) -> Option<Bytes> {
        let stamp = Stamp {
            generation: self.me.generation.number(),
            sent_at: self.wall(now),
            root: self.root,
        };
        self.sealer.seal(stamp, kind, payload).ok().map(Bytes::from)
    }
}

/// The identity in a beacon, if it is one and its sender's own.
fn beacon_of(letter: &Letter) -> Option<Identity> {
    (letter.kind == Kind::Beacon)
        .then(|| beacon::decode(&letter.payload))
        .flatten()
        .filter(|identity| identity.member == letter.sender)
}
