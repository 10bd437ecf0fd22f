//! What a cluster sends that has nothing to do: the real membership, sealing and all, without loss.
//!
//! A beacon is counted once, as it goes out once, and heard by the hosts of its sender's segment,
//! as many as share a switch; members of different segments find each other through a seed. With a
//! thousand members to open each beacon, that would be nearly all of the work here; what a member
//! sends once all see each other does not depend on it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use gaggle::model::{ClusterId, MemberId, WallTime};
use gaggle::protocol::envelope::{BootId, DatagramKey};
use gaggle::protocol::membership::{
    Effect, Event, Generation, Identity, Label, Membership, Settings,
};
use gaggle::protocol::{Mono, Protocol};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::Queue;

/// How long they have to find each other.
const SETTLE: Duration = Duration::from_secs(45);
/// Calm they are once nobody has news to pass on and two such spans in a row cost the same, but for
/// a hundredth: when by then.
const CALM: Duration = Duration::from_secs(10);
const CALM_BY: Duration = Duration::from_mins(5);
/// How long they are looked at: the longest period of anything that is done in periods, and longer
/// if they are few, so that a mean says something.
const WATCH: Duration = Duration::from_secs(30);
const WATCH_FEW: Duration = Duration::from_mins(5);
const FEW: usize = 10;
/// How many hosts hear a beacon.
const SEGMENT: usize = 25;
const LATENCY: Duration = Duration::from_millis(1);
const WALL: u64 = 1_790_000_000_000;

/// Means over all members, per second, once they are calm.
pub(super) struct Idle {
    pub(super) bytes: f64,
    pub(super) datagrams: f64,
    pub(super) exchanged: f64,
    /// When they were calm, and what each had sent by then, in bytes.
    pub(super) calm: Duration,
    pub(super) before: u64,
}

enum Happens {
    Wake(usize),
    Datagram {
        to: usize,
        from: SocketAddr,
        bytes: Bytes,
    },
    Ask {
        from: usize,
        to: SocketAddr,
        body: Bytes,
    },
    Answer {
        to: usize,
        target: SocketAddr,
        answer: Option<Bytes>,
    },
}

#[derive(Clone, Copy, Default)]
struct Sent {
    datagrams: u64,
    datagram_bytes: u64,
    exchanged: u64,
}

struct Crowd {
    now: Mono,
    members: Vec<Membership>,
    wakes: Vec<Option<Mono>>,
    queue: Queue<Happens>,
    sent: Sent,
}

/// A cluster of this size that does nothing.
///
/// # Panics
/// If they do not all see each other, or do not calm down: then the figures would say nothing.
pub(super) fn measure(size: usize, seed: u64) -> Idle {
    let mut random = StdRng::seed_from_u64(seed);
    let mut crowd = Crowd {
        now: Mono::default(),
        members: (0..size).map(|at| membership(at, &mut random)).collect(),
        wakes: vec![None; size],
        queue: Queue::new(),
        sent: Sent::default(),
    };
    (0..size).for_each(|at| crowd.begin(at));
    while !crowd.all_see_each_other() {
        assert!(crowd.now.0 < SETTLE, "not all see each other");
        crowd.run(crowd.now.plus(Duration::from_secs(1)));
    }
    let mut last = u64::MAX;
    loop {
        let began = crowd.sent.bytes();
        crowd.run(crowd.now.plus(CALM));
        let spent = crowd.sent.bytes() - began;
        if crowd.have_told_all() && spent >= last - last / 100 {
            break;
        }
        assert!(crowd.now.0 < CALM_BY, "they do not calm down");
        last = spent;
    }
    let (calm, before) = (crowd.now.0, crowd.sent);
    let watch = if size > FEW { WATCH } else { WATCH_FEW };
    crowd.run(crowd.now.plus(watch));
    let per = |count: u64, before: u64| {
        #[expect(clippy::cast_precision_loss, reason = "a mean of small numbers")]
        let share = (count - before) as f64 / size as f64;
        share / watch.as_secs_f64()
    };
    let exchanged = per(crowd.sent.exchanged, before.exchanged);
    Idle {
        bytes: per(crowd.sent.datagram_bytes, before.datagram_bytes) + exchanged,
        datagrams: per(crowd.sent.datagrams, before.datagrams),
        exchanged,
        calm,
        before: before.bytes() / size as u64,
    }
}

impl Sent {
    const fn bytes(self) -> u64 {
        self.datagram_bytes + self.exchanged
    }
}

impl Crowd {
    fn have_told_all(&self) -> bool {
        self.members.iter().all(|member| member.news() == 0)
    }

    fn all_see_each_other(&self) -> bool {
        let others = self.members.len() - 1;
        let sees = |member: &Membership| member.table().live().count() == others;
        self.members.iter().all(sees)
    }

    fn begin(&mut self, at: usize) {
        let mut out = Vec::new();
        let seeds = Event::Seeds(vec![https(0)]);
        self.members[at].on_event(self.now, seeds, &mut out);
        self.perform(at, out);
        self.sleep(at);
    }

    fn sleep(&mut self, at: usize) {
        if let Some(deadline) = self.members[at].deadline()
            && self.wakes[at].is_none_or(|wake| deadline < wake)
        {
            self.wakes[at] = Some(deadline);
            self.queue.push(deadline.max(self.now), Happens::Wake(at));
        }
    }

    fn wall(&self) -> WallTime {
        let since = u64::try_from(self.now.0.as_millis()).unwrap_or(u64::MAX);
        WallTime::from_millis(WALL + since)
    }

    fn run(&mut self, end: Mono) {
        while let Some((at, happens)) = self.queue.pop(end) {
            self.now = at.max(self.now);
            self.happen(happens);
        }
        self.now = end;
    }

    fn happen(&mut self, happens: Happens) {
        let (now, wall) = (self.now, self.wall());
        let mut out = Vec::new();
        let at = match happens {
            Happens::Wake(at) => {
                self.wakes[at] = None;
                self.members[at].set_wall(now, wall);
                self.members[at].on_deadline(now, &mut out);
                at
            }
            Happens::Datagram { to, from, bytes } => {
                self.members[to].set_wall(now, wall);
                let event = Event::Datagram { from, bytes };
                self.members[to].on_event(now, event, &mut out);
                to
            }
            Happens::Ask { from, to, body } => {
                let asked = place(to);
                let member = self.members[from].me().member;
                self.members[asked].set_wall(now, wall);
                let answer = self.members[asked]
                    .answer(now, member, &body, &mut out)
                    .ok();
                self.sent.exchanged += answer.as_ref().map_or(0, |answer| answer.len() as u64);
                let answer = Happens::Answer {
                    to: from,
                    target: to,
                    answer,
                };
                self.queue.push(now.plus(LATENCY), answer);
                asked
            }
            Happens::Answer { to, target, answer } => {
                self.members[to].set_wall(now, wall);
                let event = Event::Exchanged { target, answer };
                self.members[to].on_event(now, event, &mut out);
                to
            }
        };
        self.perform(at, out);
        self.sleep(at);
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>) {
        let from = self.members[at].me().udp;
        let soon = self.now.plus(LATENCY);
        for effect in effects {
            match effect {
                Effect::Send { to, datagram } => {
                    self.count(&datagram);
                    let (to, bytes) = (place(to), datagram);
                    self.queue.push(soon, Happens::Datagram { to, from, bytes });
                }
                Effect::Multicast(bytes) => {
                    self.count(&bytes);
                    let first = at - at % SEGMENT;
                    let last = self.members.len().min(first + SEGMENT);
                    for to in (first..last).filter(|to| *to != at) {
                        let bytes = bytes.clone();
                        self.queue.push(soon, Happens::Datagram { to, from, bytes });
                    }
                }
                Effect::Exchange { target, body, .. } => {
                    self.sent.exchanged += body.len() as u64;
                    let (from, to) = (at, target);
                    self.queue.push(soon, Happens::Ask { from, to, body });
                }
                // All datagrams arrive: whatever is relayed all the same counts, and goes nowhere.
                Effect::Relay { body, .. } => self.sent.exchanged += body.len() as u64,
                Effect::Persist(_) | Effect::Publish(_) => {}
                Effect::Alarm(alarm) => panic!("{alarm}"),
            }
        }
    }

    fn count(&mut self, datagram: &Bytes) {
        self.sent.datagrams += 1;
        self.sent.datagram_bytes += datagram.len() as u64;
    }
}

fn membership(number: usize, random: &mut StdRng) -> Membership {
    let generation = Generation::new(WALL);
    let me = Identity {
        member: MemberId::from_u64(number as u64 + 1),
        started: generation,
        generation,
        boot: BootId::from_bytes(random.random()),
        udp: address(number),
        https: https(number),
        advertised: false,
        name: Label::lossy(&format!("member-{number}")),
        version: Label::lossy("0.1.0"),
        protocols: (1, 1),
        leaving: false,
    };
    let settings = Settings {
        cluster: ClusterId::default(),
        me,
        keys: vec![DatagramKey::from_bytes([7; 32])],
        forget_after: Duration::from_hours(1),
        seed: random.random(),
    };
    let made = Membership::new(Mono::default(), WallTime::from_millis(WALL), settings);
    made.unwrap_or_else(|error| panic!("{error}"))
}

fn address(number: usize) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 2_900))
}

fn https(number: usize) -> SocketAddr {
    let mut at = address(number);
    at.set_port(8_000);
    at
}

/// Whose address it is.
fn place(address: SocketAddr) -> usize {
    match address.ip() {
        std::net::IpAddr::V4(ip) => {
            let [_, _, high, low] = ip.octets();
            usize::from(u16::from_be_bytes([high, low]))
        }
        std::net::IpAddr::V6(_) => usize::MAX,
    }
}
