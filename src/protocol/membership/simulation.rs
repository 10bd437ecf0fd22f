//! A simulated world for many memberships: virtual time, a lossy network, cuts, one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

pub(super) const WALL: u64 = 1_790_000_000_000;
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(2);

/// One member's process in the world.
pub(super) struct Node {
    pub(super) membership: Membership,
    pub(super) running: bool,
    pub(super) alarms: Vec<Alarm>,
    pub(super) persisted: Generation,
    pub(super) sent: u64,
    /// Which part of a cut network it is in.
    pub(super) part: u8,
    /// How far its wall clock is ahead, in milliseconds.
    pub(super) skew_ms: i64,
    /// (who, new state) as its table showed them.
    pub(super) seen: Vec<(MemberId, MemberState)>,
    wake: Option<Mono>,
}

enum What {
    Wake(usize),
    Datagram {
        to: Target,
        from: SocketAddr,
        part: u8,
        bytes: Bytes,
    },
    Ask {
        asker: usize,
        target: SocketAddr,
        body: Bytes,
    },
    Answer {
        asker: usize,
        target: SocketAddr,
        answer: Option<Bytes>,
    },
    Relay {
        sender: usize,
        target: SocketAddr,
        member: MemberId,
        body: Bytes,
    },
    Relayed {
        sender: usize,
        member: MemberId,
        answer: Option<Bytes>,
    },
}

enum Target {
    Address(SocketAddr),
    Node(usize),
}

struct Item(Mono, u64, What);

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// The world.
pub(super) struct World {
    pub(super) now: Mono,
    pub(super) nodes: Vec<Node>,
    /// The share of datagrams that are lost.
    pub(super) loss: f64,
    /// Whether beacons reach others.
    pub(super) multicast: bool,
    /// Whether datagrams to single members get through.
    pub(super) unicast: bool,
    /// Whether exchanges over HTTPS get through.
    pub(super) https: bool,
    /// Pairs (from, to) between which no datagram gets through.
    pub(super) deaf: BTreeSet<(usize, usize)>,
    /// How much longer than usual a relay takes, each way.
    pub(super) slow_https: Duration,
    /// How many relays were asked for.
    pub(super) relays: u32,
    /// How long each datagram was that went out; one to the group counts once.
    pub(super) datagrams: Vec<usize>,
    /// How long each question and answer of an exchange was.
    pub(super) exchanges: Vec<usize>,
    queue: BinaryHeap<Reverse<Item>>,
    order: u64,
    rng: StdRng,
}

/// How a process is started.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) member: u64,
    pub(super) generation: u64,
    pub(super) address: SocketAddr,
    pub(super) key: u8,
    pub(super) cluster: &'static str,
    pub(super) skew_ms: i64,
}

pub(super) fn address(number: usize) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 2_900))
}

pub(super) fn id(number: usize) -> MemberId {
    MemberId::from_u64(number as u64 + 1)
}

impl World {
    pub(super) fn new(seed: u64, loss: f64) -> Self {
        Self {
            now: Mono::default(),
            nodes: vec![],
            loss,
            multicast: true,
            unicast: true,
            https: true,
            deaf: BTreeSet::new(),
            slow_https: Duration::ZERO,
            relays: 0,
            datagrams: vec![],
            exchanges: vec![],
            queue: BinaryHeap::new(),
            order: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// A world of `size` members, all started within `spread`.
    pub(super) fn of(size: usize, seed: u64, loss: f64, spread: Duration) -> Self {
        let mut world = Self::new(seed, loss);
        for number in 0..size {
            let start = world.usual(number);
            world.start(start);
            world.run(spread / u32::try_from(size).unwrap());
        }
        world
    }

    pub(super) fn usual(&self, number: usize) -> Start {
        Start {
            member: number as u64 + 1,
            generation: self.wall_ms(),
            address: address(number),
            key: 1,
            cluster: "gaggle",
            skew_ms: 0,
        }
    }

    pub(super) fn wall_ms(&self) -> u64 {
        WALL + u64::try_from(self.now.0.as_millis()).unwrap()
    }

    /// Starts a process; gives its place in `nodes`.
    pub(super) fn start(&mut self, start: Start) -> usize {
        let boot = BootId::from_bytes(self.rng.random());
        let mut https = start.address;
        https.set_port(8_000);
        let generation = Generation::new(start.generation);
        let me = Identity {
            member: MemberId::from_u64(start.member),
            generation,
            started: generation,
            boot,
            udp: start.address,
            https,
            advertised: false,
            name: Label::lossy(&format!("member-{}", start.member)),
            version: Label::lossy("0.1.0"),
            protocols: (1, 1),
            leaving: false,
        };
        let settings = Settings {
            cluster: start.cluster.parse().unwrap(),
            me,
            keys: vec![DatagramKey::from_bytes([start.key; 32])],
            forget_after: Duration::from_hours(7 * 24),
            seed: self.rng.random(),
        };
        let wall = WallTime::from_millis(self.wall_ms().saturating_add_signed(start.skew_ms));
        let membership = Membership::new(self.now, wall, settings).unwrap();
        self.nodes.push(Node {
            membership,
            running: true,
            alarms: vec![],
            persisted: generation,
            sent: 0,
            part: 0,
            skew_ms: start.skew_ms,
            seen: vec![],
            wake: None,
        });
        let place = self.nodes.len() - 1;
        self.sleep(place);
        place
    }

    /// Stops a process as `kill -9` does.
    pub(super) fn crash(&mut self, place: usize) {
        self.nodes[place].running = false;
    }

    /// Lets a process go on that did not run for a while: its timers are late.
    pub(super) fn thaw(&mut self, place: usize) {
        self.nodes[place].wake = Some(self.now);
        self.push(Duration::ZERO, What::Wake(place));
    }

    /// Gives an event to a process.
    pub(super) fn tell(&mut self, place: usize, event: Event) {
        if !self.nodes[place].running {
            return;
        }
        let now = self.now;
        self.set_clock(place);
        let mut out = vec![];
        self.nodes[place].membership.on_event(now, event, &mut out);
        self.perform(place, out);
    }

    fn set_clock(&mut self, place: usize) {
        let wall = self.wall_ms();
        let node = &mut self.nodes[place];
        let wall = WallTime::from_millis(wall.saturating_add_signed(node.skew_ms));
        node.membership.set_wall(self.now, wall);
    }

    fn push(&mut self, after: Duration, what: What) {
        self.order += 1;
        let item = Item(self.now.plus(after), self.order, what);
        self.queue.push(Reverse(item));
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(200..1_500))
    }

    fn sleep(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let Some(at) = node.membership.deadline() else {
            return;
        };
        if node.wake.is_none_or(|wake| at < wake) {
            node.wake = Some(at);
            self.push(at.since(self.now), What::Wake(place));
        }
    }

    fn perform(&mut self, place: usize, effects: Vec<Effect>) {
        let from = self.nodes[place].membership.me().udp;
        let part = self.nodes[place].part;
        for effect in effects {
            self.count(&effect);
            match effect {
                Effect::Persist(generation) => self.nodes[place].persisted = generation,
                Effect::Send { to, datagram } if self.unicast => {
                    self.nodes[place].sent += 1;
                    self.send(Target::Address(to), from, part, datagram);
                }
                Effect::Multicast(datagram) if self.multicast => {
                    for other in 0..self.nodes.len() {
                        self.send(Target::Node(other), from, part, datagram.clone());
                    }
                }
                Effect::Send { .. } | Effect::Multicast(_) => {}
                Effect::Exchange { target, body, .. } => {
                    let latency = self.latency() * 3;
                    let asker = place;
                    self.push(
                        latency,
                        What::Ask {
                            asker,
                            target,
                            body,
                        },
                    );
                }
                Effect::Relay {
                    target,
                    member,
                    body,
                } => {
                    self.relays += 1;
                    let latency = self.latency() * 3 + self.slow_https;
                    let sender = place;
                    let relay = What::Relay {
                        sender,
                        target,
                        member,
                        body,
                    };
                    self.push(latency, relay);
                }
                Effect::Publish(table) => {
                    for (id, row) in &table.others {
                        let seen = &mut self.nodes[place].seen;
                        let last = seen.iter().rev().find(|(seen, _)| seen == id);
                        if last.is_none_or(|(_, state)| *state != row.state) {
                            seen.push((*id, row.state));
                        }
                    }
                }
                Effect::Alarm(alarm) => self.nodes[place].alarms.push(alarm),
            }
        }
        if self.nodes[place].membership.is_over() {
            self.nodes[place].running = false;
        }
        self.sleep(place);
    }

    fn count(&mut self, effect: &Effect) {
        match effect {
            Effect::Send { datagram, .. } | Effect::Multicast(datagram) => {
                self.datagrams.push(datagram.len());
            }
            Effect::Exchange { body, .. } => self.exchanges.push(body.len()),
            Effect::Relay { .. } | Effect::Persist(_) | Effect::Publish(_) | Effect::Alarm(_) => {}
        }
    }

    fn send(&mut self, to: Target, from: SocketAddr, part: u8, bytes: Bytes) {
        if self.rng.random::<f64>() >= self.loss {
            let latency = self.latency();
            let datagram = What::Datagram {
                to,
                from,
                part,
                bytes,
            };
            self.push(latency, datagram);
        }
    }

    fn at_udp(&self, address: SocketAddr) -> Option<usize> {
        let mut places = (0..self.nodes.len()).rev();
        places.find(|place| {
            let node = &self.nodes[*place];
            node.running && node.membership.me().udp == address
        })
    }

    fn step(&mut self, what: What) {
        match what {
            What::Wake(place) => {
                let now = self.now;
                let wanted = self.nodes[place].wake.is_some_and(|wake| wake <= now);
                if !self.nodes[place].running || !wanted {
                    return;
                }
                self.nodes[place].wake = None;
                self.set_clock(place);
                let mut out = vec![];
                let due = self.nodes[place].membership.deadline();
                if due.is_some_and(|due| due <= now) {
                    self.nodes[place].membership.on_deadline(now, &mut out);
                }
                self.perform(place, out);
            }
            What::Datagram {
                to,
                from,
                part,
                bytes,
            } => {
                let place = match to {
                    Target::Node(place) => Some(place),
                    Target::Address(address) => self.at_udp(address),
                };
                let place = place.filter(|place| self.nodes[*place].part == part);
                let marked = !self.deaf.is_empty();
                let sender = marked.then(|| self.at_udp(from)).flatten();
                let deaf = |place: &usize| sender.is_some_and(|s| self.deaf.contains(&(s, *place)));
                let place = place.filter(|place| !deaf(place));
                if let Some(place) = place {
                    self.tell(place, Event::Datagram { from, bytes });
                }
            }
            What::Ask {
                asker,
                target,
                body,
            } => self.ask(asker, target, &body),
            What::Answer {
                asker,
                target,
                answer,
            } => self.tell(asker, Event::Exchanged { target, answer }),
            What::Relay {
                sender,
                target,
                member,
                body,
            } => self.relay(sender, target, member, &body),
            What::Relayed {
                sender,
                member,
                answer,
            } => self.tell(sender, Event::Relayed { member, answer }),
        }
    }

    fn relay(&mut self, sender: usize, target: SocketAddr, member: MemberId, body: &[u8]) {
        let verified = self.nodes[sender].membership.me().member;
        let place = self.at_https(sender, target);
        let place = place.filter(|at| self.nodes[*at].membership.me().member == member);
        let now = self.now;
        let answer = place.and_then(|place| {
            let mut out = vec![];
            self.set_clock(place);
            let membership = &mut self.nodes[place].membership;
            let answer = membership.relayed(now, verified, body, &mut out).ok();
            self.perform(place, out);
            answer
        });
        let after = match answer {
            Some(_) => self.latency() * 3 + self.slow_https,
            None => EXCHANGE_TIMEOUT,
        };
        let ended = What::Relayed {
            sender,
            member,
            answer,
        };
        self.push(after, ended);
    }

    /// Who answers over HTTPS at `target`, if `asker` can reach it.
    fn at_https(&self, asker: usize, target: SocketAddr) -> Option<usize> {
        let part = self.nodes[asker].part;
        (0..self.nodes.len()).rev().find(|place| {
            let node = &self.nodes[*place];
            let there = node.running && node.membership.me().https == target;
            there && node.part == part && self.https
        })
    }

    fn ask(&mut self, asker: usize, target: SocketAddr, body: &[u8]) {
        let verified = self.nodes[asker].membership.me().member;
        let place = self.at_https(asker, target);
        let now = self.now;
        let answer = place.and_then(|place| {
            let mut out = vec![];
            self.set_clock(place);
            let membership = &mut self.nodes[place].membership;
            let answer = membership.answer(now, verified, body, &mut out).ok();
            self.perform(place, out);
            answer
        });
        let after = if let Some(answer) = &answer {
            self.exchanges.push(answer.len());
            self.latency() * 3
        } else {
            EXCHANGE_TIMEOUT
        };
        let answer = What::Answer {
            asker,
            target,
            answer,
        };
        self.push(after, answer);
    }

    /// Lets `time` go by.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now.plus(time);
        self.run_until(end, |_| false);
    }

    /// Lets time go by until `done`, at most until `end`; gives how long that took.
    fn run_until(&mut self, end: Mono, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let start = self.now;
        let mut looked = self.now;
        if done(self) {
            return Some(Duration::ZERO);
        }
        while self.queue.peek().is_some_and(|Reverse(item)| item.0 <= end) {
            let Some(Reverse(Item(at, _, what))) = self.queue.pop() else {
                break;
            };
            self.now = at.max(self.now);
            self.step(what);
            if self.now.since(looked) >= Duration::from_millis(5) {
                looked = self.now;
                if done(self) {
                    return Some(self.now.since(start));
                }
            }
        }
        self.now = end;
        done(self).then(|| self.now.since(start))
    }

    /// Lets time go by until `done`; gives how long it took. Fails after `limit`.
    pub(super) fn wait(
        &mut self,
        limit: Duration,
        what: &str,
        done: impl Fn(&Self) -> bool,
    ) -> Duration {
        let end = self.now.plus(limit);
        let took = self.run_until(end, done);
        took.unwrap_or_else(|| panic!("not within {limit:?}: {what}\n{}", self.picture()))
    }

    /// Whether every running process has this many live members in its table.
    pub(super) fn all_see(&self, others: usize) -> bool {
        let mut running = self.nodes.iter().filter(|node| node.running);
        running.all(|node| node.membership.table().live().count() == others)
    }

    /// Whether every other running process has `member` in that state.
    pub(super) fn all_say(&self, member: MemberId, state: MemberState) -> bool {
        let running = self.nodes.iter().filter(|node| node.running);
        let mut others = running.filter(|node| node.membership.me().member != member);
        others.all(|node| {
            let table = node.membership.table();
            table.find(member).is_some_and(|row| row.state == state)
        })
    }

    fn picture(&self) -> String {
        let mut text = String::new();
        for node in self.nodes.iter().filter(|node| node.running).take(20) {
            let table = node.membership.table();
            let rows = table
                .others
                .values()
                .map(|r| format!("{}:{}", r.id.as_u64(), r.state));
            let rows: Vec<_> = rows.take(20).collect();
            let line = format!("{}: {}\n", table.me.id.as_u64(), rows.join(" "));
            text.push_str(&line);
        }
        text
    }
}
