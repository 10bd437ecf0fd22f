//! Starts and ends of processes, and what becomes of their disks.

use std::sync::Arc;
use std::time::Duration;

use gaggle::io::disk::DiskError;
use gaggle::model::{MemberId, Store};
use gaggle::protocol::membership::Alarm;
use rand::RngExt;

use super::{End, Event, Host, LOOK, World};
use crate::client::CLIENTS;
use crate::invariants::watch::Watcher;
use crate::invariants::{Belief, Held, Violation, durable, resurrection};
use crate::member::{Process, Start};
use crate::world::medium::SimMedium;

impl World {
    /// Starts all members, one soon after the other.
    pub(crate) fn begin(&mut self) {
        for host in 0..self.shape.members {
            let wait = Duration::from_millis(self.random.random_range(0..3_000));
            self.after(wait, Event::Start(host));
        }
        for client in 0..CLIENTS {
            self.after(Duration::from_secs(5), Event::Client(client));
        }
        self.after(Duration::from_secs(10), Event::Fault);
        self.after(LOOK, Event::Look);
    }

    /// Ends a process at once. It is started again soon, unless its host is to stay away.
    pub(super) fn crash(&mut self, host: usize, how: End) {
        let store = self.end(host, how);
        if store && !self.hosts[host].absent {
            let wait = Duration::from_millis(self.random.random_range(100..20_000));
            self.after(wait, Event::Start(host));
        }
    }

    /// Ends a process, if one runs.
    pub(crate) fn end(&mut self, host: usize, how: End) -> bool {
        let at = &mut self.hosts[host];
        at.acts_left = None;
        let Some(process) = at.process.take() else {
            return false;
        };
        self.figures.crashes += 1;
        at.last = process.app.view().store.clone();
        // Whatever it does while it is dropped must not reach the disk.
        at.disk.end_after(0);
        drop(process);
        at.disk.end(how);
        if how == End::PowerCut && self.random.random_bool(0.5) {
            at.generation = 0;
        }
        at.wake = None;
        self.shape
            .trace
            .host(self.now, host, format_args!("ended: {how:?}"));
        self.clients.host_ended(host);
        true
    }

    /// Starts the process of a host on what its disk holds.
    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].process.is_some() || self.hosts[host].absent {
            return;
        }
        self.next_id += 1;
        let at = &mut self.hosts[host];
        at.boot += 1;
        let start = Start {
            boot: at.boot,
            now: self.now,
            wall: at.clock.read(self.now),
            address: at.address,
            fresh: MemberId::from_u64(self.next_id),
            generation_file: at.generation,
            release: at.release,
            rules: self.shape.rules,
            seed: self.random.random(),
        };
        match Process::start(&start, Arc::new(at.disk.clone())) {
            Ok((process, store)) => self.started(host, process, &store),
            Err(error) => self.not_started(host, &error),
        }
    }

    fn started(&mut self, host: usize, process: Process, store: &Store) {
        let ended = self.hosts[host].disk.has_ended();
        let at = &mut self.hosts[host];
        self.watchers[host] = Watcher::of(store, 0);
        let disk = process.app.disk().clone();
        let older = |node: &_, key: &_| disk.versions(node, key).unwrap_or_default();
        let held = durable::check_loaded(host, &at.last, store)
            .and_then(|()| self.origin.check_loaded(host, store, older));
        at.belief.take_store(store);
        let held = held.and_then(|()| resurrection::check_whole(host, store, &at.belief));
        if let Err(violation) = held {
            self.violation = Some(violation);
            return;
        }
        let member = process.member;
        at.member = Some(member);
        at.process = Some(process);
        let keys = store.counts().keys;
        let line = format_args!("started as {member} with {keys} keys");
        self.shape.trace.host(self.now, host, line);
        if ended {
            return self.crash(host, End::Kill);
        }
        self.with(host, Process::begin);
    }

    fn not_started(&mut self, host: usize, error: &DiskError) {
        let line = format_args!("did not start: {error}");
        self.shape.trace.host(self.now, host, line);
        let at = &mut self.hosts[host];
        if at.disk.has_ended() {
            at.disk.end(End::PowerCut);
        } else {
            at.disk.end_after(0);
            at.disk.end(End::Kill);
            match error {
                DiskError::Full | DiskError::Io { .. } | DiskError::Fenced(_) => {}
                _ if at.damaged => self.wipe(host),
                other => {
                    self.violation = Some(Violation {
                        invariant: "durable",
                        what: format!("[{host}] cannot read its own disk: {other}"),
                    });
                    return;
                }
            }
        }
        self.after(Duration::from_secs(5), Event::Start(host));
    }

    /// Puts an empty disk in the place of a host's. What was on it alone is lost.
    pub(super) fn wipe(&mut self, host: usize) {
        let seed = self.random.random();
        let at: &mut Host = &mut self.hosts[host];
        at.disk = SimMedium::new(seed);
        at.belief = Belief::default();
        at.last = Store::new();
        at.member = None;
        at.generation = 0;
        at.damaged = false;
        let line = format_args!("has an empty disk");
        self.shape.trace.host(self.now, host, line);
        self.disk_lost(host);
    }

    /// What was on a host's disk alone is lost.
    pub(super) fn disk_lost(&mut self, host: usize) {
        self.figures.lost_disks += 1;
        self.hosts[host].replaced = self.now;
        let left = self.promised();
        self.written.lose(&left);
        self.written.forget_host(host);
    }

    /// The others have forgotten this member: its copy is put aside, and it begins anew.
    pub(super) fn set_aside(&mut self, host: usize) {
        let line = format_args!("was forgotten: its copy is set aside");
        self.shape.trace.host(self.now, host, line);
        self.figures.forgotten += 1;
        self.end(host, End::Kill);
        self.wipe(host);
        self.after(Duration::from_secs(1), Event::Start(host));
    }

    /// Another process is alive under a member's id: the later one stops, as the daemon does.
    pub(super) fn alarm(&mut self, host: usize, alarm: Alarm) {
        self.shape
            .trace
            .host(self.now, host, format_args!("alarm: {alarm}"));
        match alarm {
            Alarm::Duplicate { .. } => self.plan.rivals_noticed += 1,
            Alarm::RefusedAsDuplicate { .. } => {
                self.plan.rivals_refused += 1;
                self.hosts[host].absent = self.hosts[host].clone_of.is_some();
                self.crash(host, End::Kill);
                if self.hosts[host].clone_of.is_some() {
                    self.wipe(host);
                }
            }
        }
    }

    /// Has every process start anew on its disk, and looks whether it is what it was.
    pub(crate) fn reload(&mut self) -> Held {
        for host in 0..self.shape.members {
            let how = [End::Kill, End::PowerCut][self.random.random_range(0..2)];
            let before = self.hosts[host].store();
            self.end(host, how);
            self.start(host);
            if let Some(violation) = &self.violation {
                return Err(violation.clone());
            }
            let after = self.hosts[host].store();
            if before.root() != after.root() {
                let invariant = "convergence";
                let what = format!("[{host}] has another root after it was read anew");
                return Err(Violation { invariant, what });
            }
        }
        Ok(())
    }
}
