//! Asking peers over HTTPS, and answering them: `daemon/peers.rs` and the peers' door.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use gaggle::app::{Arrival, Command, DiskHistory, Upkeep};
use gaggle::model::{HybridTime, MemberId, Source, Standing, Store};
use gaggle::protocol::Mono;
use gaggle::protocol::membership::Event;
use gaggle::protocol::message::{Ask, Claim, Packed, Reply, Taken, decode, encode};
use gaggle::protocol::sync::answer;
use tokio::sync::oneshot;

use super::replication::FirstPush;
use super::writer::Waiter;
use super::{Act, Asker, Process, Question, Waiting};

/// How long an exchange of states may take.
const EXCHANGE: Duration = Duration::from_secs(5);
const RELAY: Duration = Duration::from_secs(2);
/// How long a peer may take to answer (`--peer-timeout`).
const PEER: Duration = Duration::from_secs(5);

/// What a question was for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Exchange(SocketAddr),
    /// Datagrams for a member.
    Relay(MemberId),
    /// A push to a peer, with its number.
    Push(MemberId, u64),
    /// Up to where a peer has our writes, before the first push that claims anything.
    Position(Box<FirstPush>),
    Walk,
}

impl Process {
    pub(super) fn ask_exchange(
        &mut self,
        target: SocketAddr,
        expected: Option<MemberId>,
        body: Bytes,
        out: &mut Vec<Act>,
    ) {
        let number = self.note_asked(Asked::Exchange(target));
        out.push(Act::Ask {
            number,
            target,
            expected,
            question: Question::Exchange(body),
            limit: EXCHANGE,
        });
    }

    pub(super) fn ask_relay(
        &mut self,
        target: SocketAddr,
        member: MemberId,
        body: Bytes,
        out: &mut Vec<Act>,
    ) {
        let number = self.note_asked(Asked::Relay(member));
        out.push(Act::Ask {
            number,
            target,
            expected: Some(member),
            question: Question::Relay(body),
            limit: RELAY,
        });
    }

    pub(super) fn ask_peer(
        &mut self,
        peer: (MemberId, SocketAddr),
        asked: Asked,
        ask: &Ask,
        out: &mut Vec<Act>,
    ) {
        let number = self.note_asked(asked);
        let mut bytes = encode(ask);
        bytes[0] += self.release;
        out.push(Act::Ask {
            number,
            target: peer.1,
            expected: Some(peer.0),
            question: Question::Peer(bytes.into()),
            limit: PEER,
        });
    }

    /// How many questions of its own are not answered yet.
    pub(crate) fn answers_outstanding(&self) -> usize {
        self.asked.len()
    }

    fn note_asked(&mut self, asked: Asked) -> u64 {
        self.next_number += 1;
        self.asked.insert(self.next_number, asked);
        self.next_number
    }

    /// A question has been answered, or not; an answer that comes too late is for nobody.
    pub(crate) fn answered(
        &mut self,
        now: Mono,
        number: u64,
        answer: Option<Bytes>,
        out: &mut Vec<Act>,
    ) {
        match self.asked.remove(&number) {
            None => {}
            Some(Asked::Exchange(target)) => {
                self.tell_membership(now, Event::Exchanged { target, answer }, out);
            }
            Some(Asked::Relay(member)) => {
                self.tell_membership(now, Event::Relayed { member, answer }, out);
            }
            Some(Asked::Push(peer, request)) => {
                let reply = self.read_reply(answer, out);
                self.pushed(now, (peer, request), reply, out);
            }
            Some(Asked::Position(first)) => {
                let reply = self.read_reply(answer, out);
                self.position_told(now, *first, reply, out);
            }
            Some(Asked::Walk) => {
                let reply = self.read_reply(answer, out);
                self.walk_answered(now, reply, out);
            }
        }
    }

    fn read_reply(&self, answer: Option<Bytes>, out: &mut Vec<Act>) -> Option<Reply> {
        match decode(&self.read(&answer?)).ok()? {
            Reply::Forgotten => {
                out.push(Act::Forgotten);
                None
            }
            reply => Some(reply),
        }
    }

    /// A message as this release sees it.
    fn read(&self, bytes: &Bytes) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        if let Some(version) = bytes.first_mut() {
            *version = version.wrapping_sub(self.release);
        }
        bytes
    }

    /// A peer asks.
    pub(crate) fn question(
        &mut self,
        now: Mono,
        from: MemberId,
        to: Asker,
        question: &Question,
        out: &mut Vec<Act>,
    ) {
        match question {
            Question::Exchange(body) => {
                let mut effects = Vec::new();
                let answer = self.membership.answer(now, from, body, &mut effects);
                self.perform(now, effects, out);
                let answer = answer.ok();
                out.push(Act::Answer { to, answer });
            }
            Question::Relay(body) => {
                let mut effects = Vec::new();
                let answer = self.membership.relayed(now, from, body, &mut effects);
                self.perform(now, effects, out);
                let answer = answer.ok();
                out.push(Act::Answer { to, answer });
            }
            Question::Peer(body) => self.peer_asks(now, (from, to), body, out),
        }
    }

    fn peer_asks(
        &mut self,
        now: Mono,
        (from, to): (MemberId, Asker),
        body: &Bytes,
        out: &mut Vec<Act>,
    ) {
        let Ok(ask) = decode::<Ask>(&self.read(body)) else {
            return out.push(Act::Answer { to, answer: None });
        };
        let view = self.app.view();
        let (changes, claims, source) = match ask {
            Ask::Standings(told) => {
                let waiter = Waiter::Standings(to);
                return self.upkeep(Upkeep::Standings(told), waiter, out);
            }
            _ if view.store.is_forgotten(from) => {
                let answer = Some(self.write_reply(&Reply::Forgotten));
                return out.push(Act::Answer { to, answer });
            }
            Ask::Push { changes, claim } => {
                let claims = claim.map(|claim| (from, claim)).into_iter().collect();
                (changes, claims, Source::Push(from))
            }
            Ask::Include(vector) => {
                let base = HybridTime::default();
                let claim = |(origin, upto)| (origin, Claim { base, upto });
                let claims = vector.into_iter().map(claim).collect();
                (Packed::default(), claims, Source::Sync(from))
            }
            Ask::Position => {
                let has = view.store.vector().get(from);
                let taken = Taken {
                    has,
                    ..Taken::default()
                };
                let answer = Some(self.write_reply(&Reply::Taken(taken)));
                return out.push(Act::Answer { to, answer });
            }
            ask => {
                if let Ask::Meet(about) = &ask {
                    let told = self.met(now, from, about, out);
                    let waiter = Waiter::Meet { to, ask };
                    return self.upkeep(Upkeep::Lift(told), waiter, out);
                }
                return self.look_up(to, ask, out);
            }
        };
        let refused = changes.refused;
        let arrival = Arrival {
            source,
            changes: changes.changes,
            claims,
        };
        let (reply, result) = oneshot::channel();
        let command = Command::Merge { arrival, reply };
        let waiter = Waiter::Peer {
            to,
            refused,
            result,
        };
        self.enqueue(Waiting { command, waiter }, out);
    }

    pub(super) fn look_up(&mut self, to: Asker, ask: Ask, out: &mut Vec<Act>) {
        let (view, history) = (self.app.view(), DiskHistory(self.app.disk().clone()));
        let about = || self.upkeep.collector.about(&view.store);
        let reply = answer(&view.store, &history, about, ask).ok().flatten();
        let answer = reply.map(|reply| self.write_reply(&reply));
        out.push(Act::Answer { to, answer });
    }

    pub(super) fn write_reply(&self, reply: &Reply) -> Bytes {
        let mut bytes = encode(reply);
        bytes[0] += self.release;
        bytes.into()
    }
}

/// The decisions to forget members.
pub(super) fn decisions(store: &Store) -> Vec<(MemberId, Standing)> {
    let all = store.members();
    let decided = all.filter(|(_, standing)| standing.forgotten().is_some());
    decided
        .map(|(member, standing)| (member, (**standing).clone()))
        .collect()
}
