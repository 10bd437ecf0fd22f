//! What goes wrong, and when: drawn from the seed. Each run has its own mixture of kinds, so that
//! some runs know only crashes and others only bad clocks, and rare meetings are met.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::medium::SimMedium;
use super::{End, Event, World};
use crate::invariants::Belief;
use gaggle::model::{MemberId, Store};

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    PowerCut,
    CrashAtEffect,
    CrashInCommit,
    Absence,
    Partition,
    OneWay,
    Loss,
    Delay,
    Duplicate,
    BrokenAnswers,
    ClockJump,
    ClockDrift,
    Slow,
    SlowDisk,
    SyncFails,
    DiskFull,
    BitFlips,
    Wipe,
    OldCopy,
    Clone,
    OtherRelease,
    OperatorForgets,
}

/// Each kind with how often it is chosen among others.
const KINDS: [(Fault, u32); 23] = [
    (Fault::Kill, 10),
    (Fault::PowerCut, 10),
    (Fault::CrashAtEffect, 12),
    (Fault::CrashInCommit, 12),
    (Fault::Absence, 3),
    (Fault::Partition, 10),
    (Fault::OneWay, 8),
    (Fault::Loss, 8),
    (Fault::Delay, 6),
    (Fault::Duplicate, 4),
    (Fault::BrokenAnswers, 8),
    (Fault::ClockJump, 6),
    (Fault::ClockDrift, 3),
    (Fault::Slow, 4),
    (Fault::SlowDisk, 4),
    (Fault::SyncFails, 4),
    (Fault::DiskFull, 4),
    (Fault::BitFlips, 1),
    (Fault::Wipe, 2),
    (Fault::OldCopy, 2),
    (Fault::Clone, 2),
    (Fault::OtherRelease, 2),
    (Fault::OperatorForgets, 2),
];

/// What ends a fault that lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Undo {
    Network,
    Clock(usize),
    Slow(usize),
    Disk(usize),
    Return(usize),
    Release(usize),
}

/// A copy of a data directory, for later.
pub(crate) struct Backup {
    disk: SimMedium,
    belief: Belief,
    store: Store,
    generation: u64,
    member: Option<MemberId>,
}

/// What may go wrong in this run, and how often.
#[derive(Debug)]
pub(crate) struct Plan {
    kinds: Vec<(Fault, u32)>,
    /// The mean time from one fault to the next.
    pub(crate) pause: Duration,
    pub(crate) rivals_noticed: u64,
    pub(crate) rivals_refused: u64,
}

impl Plan {
    /// Draws the mixture of a run.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let share = [0.3, 0.6, 1.0][random.random_range(0..3)];
        let mut kinds: Vec<_> = KINDS
            .into_iter()
            .filter(|_| random.random_bool(share))
            .collect();
        if kinds.is_empty() {
            kinds.push((Fault::PowerCut, 1));
        }
        Self {
            kinds,
            pause: Duration::from_secs(random.random_range(20..90)),
            rivals_noticed: 0,
            rivals_refused: 0,
        }
    }

    fn draw(&self, random: &mut StdRng) -> Fault {
        let all: u32 = self.kinds.iter().map(|(_, weight)| weight).sum();
        let mut left = random.random_range(0..all.max(1));
        for (fault, weight) in &self.kinds {
            if left < *weight {
                return *fault;
            }
            left -= weight;
        }
        Fault::Kill
    }
}

impl World {
    pub(super) fn next_fault(&mut self) {
        let mean = self.plan.pause.as_secs_f64();
        let wait = -mean * (1.0 - self.random.random::<f64>()).ln();
        self.after(
            Duration::from_secs_f64(wait.clamp(0.1, 600.0)),
            Event::Fault,
        );
        if self.turmoil {
            let fault = self.plan.draw(&mut self.random);
            self.figures.faults += 1;
            self.strike(fault);
        }
    }

    /// Has a fault happen to somebody.
    pub(crate) fn strike(&mut self, fault: Fault) {
        let host = self.random.random_range(0..self.shape.members);
        self.shape
            .trace
            .host(self.now, host, format_args!("fault: {fault:?}"));
        match fault {
            Fault::Kill => self.crash(host, End::Kill),
            Fault::PowerCut => self.crash(host, End::PowerCut),
            Fault::CrashAtEffect => {
                self.hosts[host].acts_left = Some(self.random.random_range(0..40));
            }
            Fault::CrashInCommit => {
                self.hosts[host]
                    .disk
                    .end_after(self.random.random_range(1..40));
            }
            Fault::Absence => {
                self.hosts[host].absent = true;
                self.crash(host, End::PowerCut);
                self.undo_after(60..1200, Undo::Return(host));
            }
            Fault::Partition
            | Fault::OneWay
            | Fault::Loss
            | Fault::Delay
            | Fault::Duplicate
            | Fault::BrokenAnswers => self.trouble_network(fault, host),
            Fault::ClockJump | Fault::ClockDrift => self.trouble_clock(fault, host),
            Fault::Slow => {
                let millis = self.random.random_range(5..2_000);
                self.hosts[host].slowness = Duration::from_millis(millis);
                self.undo_after(5..60, Undo::Slow(host));
            }
            Fault::SlowDisk | Fault::SyncFails | Fault::DiskFull | Fault::BitFlips => {
                self.trouble_disk(fault, host);
            }
            Fault::Wipe => {
                self.end(host, End::PowerCut);
                self.wipe(host);
                self.after(Duration::from_secs(1), Event::Start(host));
            }
            Fault::OldCopy => self.old_copy(host),
            Fault::Clone => self.clone_host(host),
            Fault::OtherRelease => {
                self.crash(host, End::Kill);
                self.hosts[host].release = 1;
                self.undo_after(30..300, Undo::Release(host));
            }
            Fault::OperatorForgets => self.operator_forgets(host),
        }
    }

    /// The operator asks a member to forget another one: one that is stopped, or (`--force`) runs.
    fn operator_forgets(&mut self, host: usize) {
        let asked = (host + 1) % self.shape.members;
        if let Some(member) = self.hosts[host].member {
            let line = format_args!("is told to forget {member}");
            self.shape.trace.host(self.now, asked, line);
            self.with(asked, |process, _, out| process.forget(member, out));
        }
    }

    fn undo_after(&mut self, seconds: std::ops::Range<u64>, undo: Undo) {
        let wait = Duration::from_secs(self.random.random_range(seconds));
        self.after(wait, Event::Undo(undo));
    }

    fn trouble_network(&mut self, fault: Fault, host: usize) {
        let side: Vec<bool> = (0..self.hosts.len())
            .map(|_| self.random.random_bool(0.5))
            .collect();
        let other = self.random.random_range(0..self.shape.members);
        let much = self.random.random_range(0.02..0.6);
        let slowest = Duration::from_millis(self.random.random_range(5..3_000));
        for (from, to, link) in self.network.all() {
            match fault {
                Fault::Partition => link.cut |= side[from] != side[to],
                Fault::OneWay => link.cut |= from == host && (to == other || side[to]),
                Fault::Loss => link.loss = much,
                Fault::Delay => link.slowest = slowest,
                Fault::Duplicate => link.twice = much,
                _ => link.broken = much,
            }
        }
        self.undo_after(5..180, Undo::Network);
    }

    fn trouble_clock(&mut self, fault: Fault, host: usize) {
        let ahead = match self.random.random_range(0..6) {
            0 => -self.random.random_range(0..100_000),
            1 => self.random.random_range(0..100_000),
            2 => -self.random.random_range(0..5_000),
            3 => self.random.random_range(0..5_000),
            // Boot at 1970, or not quite so bad.
            4 => -super::clock::EPOCH_MS,
            _ => -self.random.random_range(0..100_000_000),
        };
        let drift = if fault == Fault::ClockDrift {
            self.random.random_range(-50_000..50_000)
        } else {
            0
        };
        let now = self.now;
        let ahead = if drift == 0 { ahead } else { 0 };
        self.hosts[host].clock.set(now, ahead, drift);
        self.undo_after(10..300, Undo::Clock(host));
    }

    fn trouble_disk(&mut self, fault: Fault, host: usize) {
        match fault {
            Fault::SlowDisk => {
                let millis = self.random.random_range(20..8_000);
                self.hosts[host].disk_time = Duration::from_millis(millis);
            }
            Fault::SyncFails => self.hosts[host].disk.fail_syncs(1),
            Fault::DiskFull => {
                let free = self.random.random_range(0..2_000_000);
                self.hosts[host].disk.set_free(Some(free));
            }
            _ => {
                self.hosts[host].damaged = true;
                let one_in = self.random.random_range(10..2_000);
                self.hosts[host].disk.flip(Some(one_in));
            }
        }
        self.undo_after(10..120, Undo::Disk(host));
    }

    /// The first time a copy of the data directory is put by; the next time it comes back.
    fn old_copy(&mut self, host: usize) {
        self.end(host, End::PowerCut);
        let seed = self.random.random();
        let at = &mut self.hosts[host];
        match self.backups[host].take() {
            None => {
                self.backups[host] = Some(Backup {
                    disk: at.disk.copy(seed),
                    belief: at.belief.clone(),
                    store: at.last.clone(),
                    generation: at.generation,
                    member: at.member,
                });
            }
            Some(backup) => {
                at.disk = backup.disk;
                at.belief = backup.belief;
                at.last = backup.store.clone();
                at.generation = backup.generation;
                at.member = backup.member;
                self.disk_lost(host);
                if let Some(member) = backup.member {
                    let upto = backup.store.vector().get(member);
                    self.written.restored(member, upto);
                }
                let line = format_args!("was restored from an old copy");
                self.shape.trace.host(self.now, host, line);
            }
        }
        self.after(Duration::from_secs(1), Event::Start(host));
    }

    /// A copy of a data directory is started on another host while its owner runs.
    fn clone_host(&mut self, host: usize) {
        let spare = self.shape.members;
        if self.hosts[spare].process.is_some() || self.hosts[host].process.is_none() {
            return;
        }
        self.end(host, End::Kill);
        if let Some(member) = self.hosts[host].member {
            self.written.distrust(member);
        }
        let seed = self.random.random();
        let disk = self.hosts[host].disk.copy(seed);
        let (belief, last) = (
            self.hosts[host].belief.clone(),
            self.hosts[host].last.clone(),
        );
        let generation = self.hosts[host].generation;
        let damaged = self.hosts[host].damaged;
        let at = &mut self.hosts[spare];
        at.disk = disk;
        at.damaged = damaged;
        at.belief = belief;
        at.last = last;
        at.generation = generation;
        at.absent = false;
        at.clone_of = Some(host);
        self.after(Duration::from_millis(10), Event::Start(host));
        self.after(Duration::from_secs(20), Event::Start(spare));
    }

    pub(super) fn undo(&mut self, undo: Undo) {
        self.shape
            .trace
            .world(self.now, format_args!("over: {undo:?}"));
        let now = self.now;
        match undo {
            Undo::Network => self.network.heal(),
            Undo::Clock(host) => self.hosts[host].clock.set(now, 0, 0),
            Undo::Slow(host) => self.hosts[host].slowness = Duration::ZERO,
            Undo::Disk(host) => self.heal_disk(host),
            Undo::Return(host) => {
                self.hosts[host].absent = false;
                self.after(Duration::ZERO, Event::Start(host));
            }
            Undo::Release(host) => {
                if self.hosts[host].release != 0 {
                    self.hosts[host].release = 0;
                    self.crash(host, End::Kill);
                }
            }
        }
    }

    fn heal_disk(&mut self, host: usize) {
        let at = &mut self.hosts[host];
        at.disk_time = Duration::from_millis(2);
        at.disk.fail_syncs(0);
        at.disk.set_free(None);
        at.disk.flip(None);
    }

    /// Ends every fault, and starts whoever does not run.
    pub(crate) fn heal(&mut self) {
        self.shape
            .trace
            .world(self.now, format_args!("all faults end"));
        let now = self.now;
        self.network.heal();
        for host in 0..self.hosts.len() {
            self.heal_disk(host);
            let at = &mut self.hosts[host];
            at.clock.set(now, 0, 0);
            at.slowness = Duration::ZERO;
            at.absent = false;
            at.acts_left = None;
            let restart = at.release != 0 || at.is_fenced();
            at.release = 0;
            if at.clone_of.is_some() {
                self.end(host, End::Kill);
                self.wipe(host);
                self.hosts[host].absent = true;
                self.hosts[host].clone_of = None;
                continue;
            }
            if host >= self.shape.members {
                self.hosts[host].absent = true;
                continue;
            }
            self.hosts[host].disk.survive();
            if self.hosts[host].damaged {
                // Whoever runs it replaces a disk that flips bits.
                self.end(host, End::PowerCut);
                self.wipe(host);
            } else if restart {
                self.end(host, End::Kill);
            }
            self.after(Duration::from_millis(50), Event::Start(host));
        }
    }
}
