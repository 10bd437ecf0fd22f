//! The exchange of full state with one member over HTTPS.

use std::net::SocketAddr;

use bytes::Bytes;
use foca::Member;
use rand::seq::IteratorRandom;

use super::state::{Health, State, Told};
use super::{Effect, Identity, MemberState, Membership, Phase, Sign, StateError};
use crate::model::MemberId;
use crate::protocol::dialer::{self, Outcome};
use crate::protocol::{Mono, Protocol};

/// The most members taken from what others tell.
const MEMBER_LIMIT: usize = 4_096;

impl Membership {
    /// Our state, to be sent to a member over HTTPS.
    pub fn state(&self, now: Mono) -> Bytes {
        let oldest = self.oldest(now);
        let members = self.swim.known().filter_map(|member| {
            let row = self.table.others.get(&member.id().member);
            let told = Told {
                identity: member.id().clone(),
                incarnation: member.incarnation(),
                health: match member.state() {
                    foca::State::Alive => Health::Alive,
                    foca::State::Suspect => Health::Suspect,
                    foca::State::Down => Health::Down,
                },
                since: row.map_or_else(|| self.wall(now), |row| row.since),
            };
            (told.health != Health::Down || told.since >= oldest).then_some(told)
        });
        let state = State {
            cluster: self.cluster.as_str().to_owned(),
            sender: self.me.clone(),
            sent_at: self.wall(now),
            root: self.root.to_le_bytes(),
            members: members.collect(),
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
        self.merge(now, state, out);
        self.speak_up_at_once(now, out);
        self.refresh(now, false, out);
        Ok(self.state(now))
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
        self.merge(now, state, out);
        Ok(sender)
    }

    pub(super) fn exchanged(
        &mut self,
        now: Mono,
        target: SocketAddr,
        answer: Option<Bytes>,
        out: &mut Vec<Effect>,
    ) {
        let outcome = match answer.map(|body| State::decode(&body, self.cluster.as_str())) {
            Some(Ok(state)) if state.sender.boot == self.me.boot => Outcome::Ourselves,
            Some(Ok(state)) => {
                let sender = state.sender.member;
                self.merge(now, state, out);
                Outcome::Met(sender)
            }
            Some(Err(_)) | None => {
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

    fn merge(&mut self, now: Mono, state: State, out: &mut Vec<Effect>) {
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
        let oldest = self.oldest(now);
        let mut room = MEMBER_LIMIT.saturating_sub(self.swim.known().count());
        let mut members = Vec::with_capacity(state.members.len() + 1);
        for told in state.members {
            let gone = told.health == Health::Down;
            let unknown = self.swim.find(told.identity.member).is_none();
            if (gone && told.since < oldest) || (unknown && room == 0) {
                continue;
            }
            room -= usize::from(unknown && room > 0);
            if told.identity.member == self.me.member {
                members.extend(self.about_us(told));
                continue;
            }
            if gone && unknown {
                let record = self.records.entry(told.identity.member).or_default();
                record.gone_since = Some(told.since);
            } else if !gone {
                self.opener.trust(told.identity.boot);
            }
            members.push(member(told));
        }
        members.push(Member::alive(sender));
        let before = self.swim.live();
        let mut outputs = vec![];
        self.swim.apply(now, members, &mut outputs);
        self.perform(now, outputs, out);
        self.follow_rumour(now, out);
        if self.swim.live() > before {
            self.due.exchange = self.due.exchange.min(now.plus(super::EXCHANGE_SOON));
        }
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

    pub(super) fn exchange_with_somebody(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let live = self
            .table
            .live()
            .filter(|row| row.state == MemberState::Alive || self.swim.live() == 1);
        let chosen = live.map(|row| (row.https, row.id)).choose(&mut self.rng);
        if let Some((address, id)) = chosen {
            self.ask(now, address, Some(id), out);
        }
    }

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

fn member(told: Told) -> Member<Identity> {
    let state = match told.health {
        Health::Alive => foca::State::Alive,
        Health::Suspect => foca::State::Suspect,
        Health::Down => foca::State::Down,
    };
    Member::new(told.identity, told.incarnation, state)
}
