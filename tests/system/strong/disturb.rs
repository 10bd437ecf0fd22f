//! Faults of a group of real members, one after the other, each healed again.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rustix::process::Signal;

use super::steps::{PATIENCE, leader, works};
use crate::harness::{Clock, Cluster, Host, Lan, Member, Trace, until};

/// What is done to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `kill -9`, and a start at once or a little later: before or after it is missed.
    Crash,
    /// `SIGSTOP`, and `SIGCONT` some seconds later.
    Stop,
    /// One is cut off from all others.
    Cut,
    /// Nothing of one reaches another.
    OneWay,
    /// Every sync takes long.
    SlowDisk,
    /// A sync fails: whoever it happens to writes nothing more until it is started again.
    FailingDisk,
    /// The wall clock of the last member jumps by an hour, and back.
    Clock,
    /// All are stopped in order and started again, one after the other.
    Rolling,
    /// `SIGSTOP`, and `SIGCONT` half a minute later; only in long runs.
    LongStop,
}

impl Fault {
    /// All kinds.
    pub(super) const ALL: [Self; 9] = [
        Self::LongStop,
        Self::Crash,
        Self::Stop,
        Self::Cut,
        Self::OneWay,
        Self::SlowDisk,
        Self::FailingDisk,
        Self::Clock,
        Self::Rolling,
    ];

    /// All that are healed within some seconds.
    pub(super) fn short() -> &'static [Self] {
        &Self::ALL[1..]
    }
}

/// A group that has faults.
pub(super) struct Stage<'a> {
    lan: &'a Lan,
    cluster: &'a Cluster,
    clock: Clock,
    pub(super) members: Vec<Member>,
    random: StdRng,
    queue: Vec<Fault>,
}

impl<'a> Stage<'a> {
    /// Starts a voter on each host; the last one has a clock that can be turned.
    pub(super) fn start(
        lan: &'a Lan,
        cluster: &'a Cluster,
        hosts: &[Host],
        random: StdRng,
    ) -> Self {
        let mut stage = Self {
            lan,
            cluster,
            clock: Clock::new(),
            members: Vec::new(),
            random,
            queue: Vec::new(),
        };
        for at in 0..hosts.len() {
            let member = stage.spawn(at, &hosts[at], hosts.len());
            stage.members.push(member);
        }
        for member in &stage.members {
            member.wait_ready();
            works(member, hosts.len());
        }
        stage
    }

    fn spawn(&self, at: usize, host: &Host, count: usize) -> Member {
        let names = ["a", "b", "c", "d", "e"];
        let voters = names[..count].join(",");
        let serve = self.cluster.member(host, names[at]);
        let serve = serve.with(&["--voters", &voters]);
        if at + 1 == count {
            serve.by(&self.clock).spawn()
        } else {
            serve.spawn()
        }
    }

    fn restart(&mut self, at: usize) {
        let host = self.members[at].host().clone();
        self.members[at] = self.spawn(at, &host, self.members.len());
        self.members[at].wait_ready();
    }

    /// A time between these, in ms.
    fn pause(&mut self, from: u64, to: u64) {
        let pause = self.random.random_range(from..to);
        std::thread::sleep(Duration::from_millis(pause));
    }

    /// Waits until somebody leads again, and gives who does.
    pub(super) fn leader(&self) -> usize {
        leader(&self.members.iter().collect::<Vec<_>>())
    }

    /// Makes one fault and heals it; all kinds of `kinds` come in turn, in any order.
    pub(super) fn disturb(&mut self, kinds: &[Fault]) -> Fault {
        if self.queue.is_empty() {
            self.queue = kinds.to_vec();
            self.queue.shuffle(&mut self.random);
        }
        let fault = self.queue.pop().expect("some kind");
        // The leader is hit more often than others.
        let lead = self.leader();
        let other = (lead + self.random.random_range(1..self.members.len())) % self.members.len();
        let (target, other) = if self.random.random_bool(0.6) {
            (lead, other)
        } else {
            (other, lead)
        };
        println!("{fault:?} of member {target}; member {lead} leads");
        self.make(fault, target, other);
        self.pause(300, 1_000);
        fault
    }

    /// Makes a fault of one member (between it and another) and heals it.
    fn make(&mut self, fault: Fault, target: usize, other: usize) {
        match fault {
            Fault::Crash => {
                self.members[target].crash();
                self.pause(0, 1_000);
                self.restart(target);
            }
            Fault::Stop | Fault::LongStop => {
                self.members[target].signal(Signal::STOP);
                match fault {
                    Fault::LongStop => self.pause(30_000, 31_000),
                    _ => self.pause(1_500, 3_500),
                }
                self.members[target].signal(Signal::CONT);
            }
            Fault::Cut => {
                let host = self.members[target].host();
                let others = self.members.iter().map(Member::host);
                let others: Vec<&Host> = others.filter(|it| *it != host).collect();
                self.lan.cut(&[host], &others);
                self.pause(1_500, 3_500);
                self.lan.heal();
            }
            Fault::OneWay => {
                let (from, to) = (&self.members[target], &self.members[other]);
                self.lan.cut_one_way(from.host(), to.host());
                self.pause(1_500, 3_500);
                self.lan.heal();
            }
            Fault::SlowDisk => {
                let slow = Trace::slow("fdatasync", Duration::from_millis(200));
                let slow = slow.attach(&self.members[target]);
                self.pause(1_500, 3_500);
                drop(slow);
            }
            Fault::FailingDisk => {
                let database = self.members[target].data().join("gaggle.redb");
                let failing = Trace::fail("fdatasync", "EIO", 1).on(&database);
                let failing = failing.attach(&self.members[target]);
                let failed = || failing.injected() > 0;
                until("a sync has failed", PATIENCE, failed, |failed| *failed);
                self.pause(500, 2_500);
                drop(failing);
                self.members[target].crash();
                self.restart(target);
            }
            Fault::Clock => {
                let hour = if self.random.random_bool(0.5) {
                    3600
                } else {
                    -3600
                };
                self.clock.turn(hour);
                self.pause(500, 1_500);
                self.clock.turn(0);
            }
            Fault::Rolling => {
                for at in 0..self.members.len() {
                    self.members[at].signal(Signal::TERM);
                    let status = self.members[at].wait_end(PATIENCE);
                    assert!(status.success(), "a clean stop ended with {status}");
                    self.restart(at);
                }
            }
        }
    }
}
