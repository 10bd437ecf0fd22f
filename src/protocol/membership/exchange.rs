//! The exchange of state with one member over HTTPS.
//!
//! A live member is first asked whether it knows the same, by a digest: in a calm cluster that is
//! all. If it does not, or if nobody is known to be alive there, both send all they know.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use foca::Member;
use rand::seq::IteratorRandom;

use super::state::{self, Health, Says, State, Told};
use super::{Effect, Identity, MemberState, Membership, Phase, Sign, StateError};
use crate::model::{MemberId, WallTime};
use crate::protocol::clocks::Way;
use crate::protocol::dialer::{self, Outcome};
use crate::protocol::{Mono, Protocol};

/// The most members taken from what others tell.
const MEMBER_LIMIT: usize = 4_096;
/// The most news from one exchange that is passed on by gossip. More spreads faster and far cheaper
/// by further exchanges: gossip tells everybody everything some fifteen times.
const GOSSIP_LIMIT: usize = 64;

impl Membership {
    /// Our state, to be sent to a member over HTTPS.
    pub fn state(&self, now: Mono) -> Bytes {
        let members = self.tellable(now).map(|(member, since)| Told {
            identity: member.id().clone(),
            incarnation: member.incarnation(),
            health: health(member),
            since,
        });
        self.say(now, Says::Members(members.collect()))
    }

    /// Whom we tell of, and since when they are in their state: all but those that are gone for so
    /// long that they are to be forgotten.
    fn tellable(&self, now: Mono) -> impl Iterator<Item = (&Member<Identity>, WallTime)> {
        let (wall, oldest) = (self.wall(now), self.oldest(now));
        self.swim.known().filter_map(move |member| {
            let row = self.table.others.get(&member.id().member);
            let since = row.map_or(wall, |row| row.since);
            let told = member.state() != foca::State::Down || since >= oldest;
            told.then_some((member, since))
        })
    }

    /// What must be equal here and at `other` for both to know the same.
    fn digest(&self, now: Mono, other: MemberId) -> [u8; 16] {
        let others = self.tellable(now);
        let others = others.map(|(member, _)| (member.id(), member.incarnation(), health(member)));
        let all = others.chain([(&self.me, 0, Health::Alive)]);
        state::digest(all, [self.me.member, other])
    }

    fn say(&self, now: Mono, says: Says) -> Bytes {
        let state = State {
            cluster: self.cluster.as_str().to_owned(),
            sender: self.me.clone(),
            sent_at: self.wall(now),
            root: self.root.to_le_bytes(),
            says,
        };
        Bytes::from(state.encode())
    }

    /// Takes in the state that `verified` (by its certificate) sent us over HTTPS, and gives ours
    /// in return.
    ///
    /// # Errors
    /// If the state cannot be read, is not of our cluster or not of its sender, or if we have left.
    pub fn answer(
        &mut self,
        now: Mono,
        verified: MemberId,
        body: &[u8],
        out: &mut Vec<Effect>,
    ) -> Result<Bytes, StateError> {
        if self.phase != Phase::Running {
            return Err(StateError::Left);
        }
        let state = State::decode(body, self.cluster.as_str())?;
        if state.sender.member != verified {
            return Err(StateError::OtherSender);
        }
        let digest = match state.says {
            Says::Members(_) => None,
            Says::Digest(digest) => Some(digest),
            Says::Same | Says::Differs => return Err(StateError::Malformed),
        };
        self.merge(now, state, Way::Letter, out);
        self.speak_up_at_once(now, out);
        self.look_if_due(now, out);
        Ok(match digest {
            Some(theirs) if theirs == self.digest(now, verified) => {
                self.trust_all();
                self.say(now, Says::Same)
            }
            Some(_) => self.say(now, Says::Differs),
            None => self.state(now),
        })
    }

    /// Takes in the state that a member sent us over HTTPS; gives its sender.
    ///
    /// # Errors
    /// If the state cannot be read or is not of our cluster.
    pub fn merge_state(
        &mut self,
        now: Mono,
        body: &[u8],
        out: &mut Vec<Effect>,
    ) -> Result<MemberId, StateError> {
        let state = State::decode(body, self.cluster.as_str())?;
        let sender = state.sender.member;
        self.merge(now, state, Way::Letter, out);
        Ok(sender)
    }

    /// How the last dial of `address` ended, if it was dialled.
    pub fn tried(&self, address: SocketAddr) -> Option<Outcome> {
        self.dialer.outcome(address)
    }

    pub(super) fn exchanged(
        &mut self,
        now: Mono,
        target: SocketAddr,
        answer: Option<Bytes>,
        out: &mut Vec<Effect>,
    ) {
        let compared = self.compared.remove(&target);
        let answer = answer.and_then(|body| State::decode(&body, self.cluster.as_str()).ok());
        let outcome = match answer.filter(|state| !matches!(state.says, Says::Digest(_))) {
            Some(state) if state.sender.boot == self.me.boot => Outcome::Ourselves,
            Some(state) => {
                let sender = state.sender.member;
                let (same, differs) = (state.says == Says::Same, state.says == Says::Differs);
                self.merge(now, state, Way::Answer, out);
                if compared && same {
                    self.trust_all();
                } else if compared && differs {
                    self.ask(now, target, Some(sender), out);
                }
                Outcome::Met(sender)
            }
            None => {
                self.counts.failed_exchanges += 1;
                Outcome::Failed
            }
        };
        let done = dialer::Event::Done {
            address: target,
            outcome,
        };
        self.dialer.on_event(now, done, &mut vec![]);
        if let Outcome::Met(member) = outcome {
            let record = self.records.get(&member);
            if record.is_some_and(|record| record.dialer_told == Some(true)) {
                let settled = dialer::Event::Settled(member);
                self.dialer.on_event(now, settled, &mut vec![]);
            }
        }
    }

    fn merge(&mut self, now: Mono, state: State, way: Way, out: &mut Vec<Effect>) {
        let sender = state.sender;
        if sender.member == self.me.member {
            if sender.boot != self.me.boot {
                let sign = Sign {
                    boot: sender.boot,
                    address: sender.udp,
                    sent_at: state.sent_at,
                    started: Some(sender.started),
                };
                self.rival_sign(now, sign, out);
            }
            return;
        }
        self.opener.trust(sender.boot);
        self.note_exchange(now, &sender, u128::from_le_bytes(state.root));
        self.note_clock(now, sender.member, state.sent_at, way);
        let oldest = self.oldest(now);
        let told = match state.says {
            Says::Members(told) => told,
            Says::Digest(_) | Says::Same | Says::Differs => Vec::new(),
        };
        let known = self.swim.known();
        let known: BTreeMap<_, _> = known.map(|member| (member.id().member, member)).collect();
        let mut room = MEMBER_LIMIT.saturating_sub(known.len());
        let mut members = Vec::with_capacity(told.len() + 1);
        for told in told {
            let gone = told.health == Health::Down;
            let known = known.get(&told.identity.member);
            if (gone && told.since < oldest) || (known.is_none() && room == 0) {
                continue;
            }
            room -= usize::from(known.is_none() && room > 0);
            if told.identity.member == self.me.member {
                members.extend(self.about_us(told));
                continue;
            }
            if gone && known.is_none() {
                let record = self.records.entry(told.identity.member).or_default();
                record.gone_since = Some(told.since);
            } else if !gone {
                self.opener.trust(told.identity.boot);
            }
            let member = member(told);
            if known != Some(&&member) {
                members.push(member);
            }
        }
        let gossip = members.len() <= GOSSIP_LIMIT;
        members.push(Member::alive(sender));
        let before = self.swim.live();
        let mut outputs = vec![];
        self.swim.apply(now, members, gossip, &mut outputs);
        self.perform(now, outputs, out);
        self.follow_rumour(now, out);
        if self.swim.live() > before || !gossip {
            self.due.exchange = self.due.exchange.min(now.plus(super::EXCHANGE_SOON));
        }
    }

    /// A member vouched over HTTPS for all that we know.
    fn trust_all(&mut self) {
        let live = self.swim.known().filter(|m| m.state() != foca::State::Down);
        live.for_each(|member| self.opener.trust(member.id().boot));
    }

    /// What others say about us is worth hearing if it is about what we are now, or about a newer
    /// process under our id. The rest is old news.
    fn about_us(&self, told: Told) -> Option<Member<Identity>> {
        let now = told.identity == self.me;
        let newer = told.identity.generation > self.me.generation;
        let rival = newer && told.identity.boot != self.me.boot && !told.identity.leaving;
        (now || rival).then(|| member(told))
    }

    /// If the sender takes us for dead, the answer should already carry our new generation.
    fn speak_up_at_once(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.due.rejoin.is_some_and(|at| at <= now) {
            self.due.rejoin = None;
            self.rejoin(now, out);
        }
    }

    /// Asks a live member whether it knows the same as we.
    pub(super) fn exchange_with_somebody(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let live = self
            .table
            .live()
            .filter(|row| row.state == MemberState::Alive || self.swim.live() == 1);
        let chosen = live.map(|row| (row.https, row.id)).choose(&mut self.rng);
        if let Some((target, id)) = chosen {
            self.compare(now, (target, Some(id)), id, out);
        }
    }

    /// Exchanges state with whoever answers there.
    pub(super) fn dial(
        &mut self,
        now: Mono,
        target: SocketAddr,
        expected: Option<MemberId>,
        out: &mut Vec<Effect>,
    ) {
        let known = self.table.live().find(|row| match expected {
            Some(id) => row.id == id,
            None => row.https == target,
        });
        match known.map(|row| row.id) {
            Some(id) => self.compare(now, (target, expected), id, out),
            None => self.ask(now, target, expected, out),
        }
    }

    /// Asks `target` whether it knows the same; `id` is who is thought to answer.
    pub(super) fn compare(
        &mut self,
        now: Mono,
        (target, expected): (SocketAddr, Option<MemberId>),
        id: MemberId,
        out: &mut Vec<Effect>,
    ) {
        self.compared.insert(target);
        out.push(Effect::Exchange {
            target,
            expected,
            body: self.say(now, Says::Digest(self.digest(now, id))),
        });
    }

    /// Tells somebody all we know, and is told all it knows.
    pub(super) fn ask(
        &mut self,
        now: Mono,
        target: SocketAddr,
        expected: Option<MemberId>,
        out: &mut Vec<Effect>,
    ) {
        let body = self.state(now);
        out.push(Effect::Exchange {
            target,
            expected,
            body,
        });
    }
}

fn health(member: &Member<Identity>) -> Health {
    match member.state() {
        foca::State::Alive => Health::Alive,
        foca::State::Suspect => Health::Suspect,
        foca::State::Down => Health::Down,
    }
}

fn member(told: Told) -> Member<Identity> {
    let state = match told.health {
        Health::Alive => foca::State::Alive,
        Health::Suspect => foca::State::Suspect,
        Health::Down => foca::State::Down,
    };
    Member::new(told.identity, told.incarnation, state)
}
