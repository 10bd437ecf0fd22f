//! The world: hosts, the network between them, virtual time, and everything that happens in it.
//! One thread, one seed; the same seed gives the same run to the last byte.

mod clock;
mod faults;
mod host;
mod life;
pub(crate) mod medium;
mod network;
mod queue;
mod trace;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gaggle::app::View;
use gaggle::model::{Change, HybridTime, MemberId, Source};
use gaggle::protocol::Mono;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::client::{Clients, Operation};
use crate::invariants::bounded::{self, Around};
use crate::invariants::origin::Origin;
use crate::invariants::vector::{self, Written};
use crate::invariants::watch::Watcher;
use crate::invariants::{Belief, Held, Step, Violation, ahead, later_wins, resurrection};
use crate::member::{Act, Asker, Process, Question, Rules, Told};

use faults::Plan;
pub(crate) use host::Host;
pub(crate) use medium::End;
use network::Network;
pub(crate) use queue::Queue;
pub(crate) use trace::Trace;

/// Hosts beside the members' own, where clones are started.
const SPARE_HOSTS: usize = 1;
/// How often what is bounded is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Nothing that was asked is answered later than this.
const LONGEST_ASK: Duration = Duration::from_secs(70);
/// The most changes that a member publishes in one go here.
const CHANGES: usize = 1 << 20;

/// What can happen.
enum Event {
    Wake(usize),
    Datagram {
        to: usize,
        from: SocketAddr,
        bytes: Bytes,
    },
    Request {
        to: usize,
        expected: Option<MemberId>,
        from: MemberId,
        asker: Asker,
        question: Question,
    },
    /// An answer, or (none) that there is none.
    Answer {
        to: Asker,
        answer: Option<Bytes>,
    },
    Commit {
        host: usize,
        boot: u64,
    },
    Start(usize),
    Client(usize),
    Fault,
    Undo(faults::Undo),
    Look,
}

/// Numbers of a run, for people.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) events: u64,
    pub(crate) datagrams: u64,
    pub(crate) datagram_bytes: u64,
    pub(crate) asks: u64,
    pub(crate) ask_bytes: u64,
    pub(crate) commits: u64,
    pub(crate) faults: u64,
    pub(crate) crashes: u64,
    pub(crate) writes: u64,
    pub(crate) deletes: u64,
    pub(crate) lost_disks: u64,
    pub(crate) forgotten: u64,
    pub(crate) convergences: u64,
}

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) members: usize,
    pub(crate) rules: Rules,
    pub(crate) trace: Trace,
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Mono,
    pub(crate) shape: Shape,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    pub(crate) plan: Plan,
    pub(crate) clients: Clients,
    pub(crate) figures: Figures,
    /// What somebody found that does not hold.
    pub(crate) violation: Option<Violation>,
    /// Whether faults and clients go on.
    pub(crate) turmoil: bool,
    origin: Origin,
    written: Written,
    watchers: Vec<Watcher>,
    backups: Vec<Option<faults::Backup>>,
    queue: Queue<Event>,
    random: StdRng,
    next_id: u64,
}

impl World {
    /// A world in which nobody runs yet.
    pub(crate) fn new(shape: Shape) -> Self {
        let mut random = StdRng::seed_from_u64(shape.seed);
        let count = shape.members + SPARE_HOSTS;
        let hosts = (0..count)
            .map(|number| Host::new(number, random.random()))
            .collect();
        Self {
            now: Mono::default(),
            shape,
            hosts,
            network: Network::new(count),
            plan: Plan::new(random.random()),
            clients: Clients::new(random.random(), shape.members),
            figures: Figures::default(),
            violation: None,
            turmoil: false,
            origin: Origin::default(),
            written: Written::new(count),
            watchers: (0..count).map(|_| Watcher::default()).collect(),
            backups: (0..count).map(|_| None).collect(),
            queue: Queue::new(),
            random,
            next_id: 1,
        }
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.queue.push(self.now.plus(wait), event);
    }

    /// Lets time go by until `end`, or until something does not hold.
    pub(crate) fn run_until(&mut self, end: Mono) -> Held {
        while let Some((at, event)) = self.queue.pop(end) {
            self.now = at.max(self.now);
            self.figures.events += 1;
            self.happen(event);
            if let Some(violation) = &self.violation {
                return Err(violation.clone());
            }
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(host) => self.wake(host),
            Event::Datagram { to, from, bytes } => self.with(to, |process, now, out| {
                process.datagram(now, from, bytes, out);
            }),
            Event::Request {
                to,
                expected,
                from,
                asker,
                question,
            } => self.request(to, expected, from, asker, &question),
            Event::Answer { to, answer } => {
                let boot = self.hosts[to.host].process.as_ref().map(|at| at.boot);
                if boot == Some(to.boot) {
                    self.with(to.host, |process, now, out| {
                        process.answered(now, to.number, answer, out);
                    });
                }
            }
            Event::Commit { host, boot } => {
                let running = self.hosts[host].process.as_ref().map(|at| at.boot);
                if running == Some(boot) {
                    self.commit(host);
                }
            }
            Event::Start(host) => self.start(host),
            Event::Client(client) => self.client(client),
            Event::Fault => self.next_fault(),
            Event::Undo(undo) => self.undo(undo),
            Event::Look => self.look(),
        }
    }

    /// Has something happen to a process, then does what it wants.
    fn with(&mut self, host: usize, what: impl FnOnce(&mut Process, Mono, &mut Vec<Act>)) {
        let now = self.now;
        let at = &mut self.hosts[host];
        let Some(process) = &mut at.process else {
            return;
        };
        process.set_wall(now, at.clock.read(now));
        let mut acts = Vec::new();
        what(process, now, &mut acts);
        if at.disk.has_ended() {
            return self.crash(host, End::Kill);
        }
        self.perform(host, acts);
        self.sleep(host);
    }

    fn sleep(&mut self, host: usize) {
        let at = &mut self.hosts[host];
        let Some(due) = at.process.as_ref().and_then(Process::deadline) else {
            return;
        };
        let due = due.max(self.now).plus(at.slowness);
        if at.wake.is_none_or(|wake| due < wake) {
            at.wake = Some(due);
            self.queue.push(due, Event::Wake(host));
        }
    }

    fn wake(&mut self, host: usize) {
        let now = self.now;
        if self.hosts[host].wake.is_none_or(|wake| wake > now) {
            return;
        }
        self.hosts[host].wake = None;
        self.with(host, Process::wake);
        self.sleep(host);
    }

    fn perform(&mut self, host: usize, acts: Vec<Act>) {
        for act in acts {
            if let Some(left) = &mut self.hosts[host].acts_left {
                if *left == 0 {
                    let how = [End::Kill, End::PowerCut][self.random.random_range(0..2)];
                    return self.crash(host, how);
                }
                *left -= 1;
            }
            self.perform_one(host, act);
            if self.hosts[host].process.is_none() {
                return;
            }
        }
    }

    fn perform_one(&mut self, host: usize, act: Act) {
        match act {
            Act::Datagram { to, bytes } => {
                if let Some(to) = host::number_of(to).filter(|to| *to < self.hosts.len()) {
                    self.send(host, to, &bytes);
                }
            }
            Act::Multicast(bytes) => {
                for to in 0..self.hosts.len() {
                    self.send(host, to, &bytes);
                }
            }
            Act::Ask {
                number,
                target,
                expected,
                question,
                limit,
            } => self.ask(host, number, target, expected, question, limit),
            Act::Answer { to, answer } => self.answer(host, to, answer),
            Act::Commit => {
                let at = &self.hosts[host];
                let boot = at.process.as_ref().map_or(0, |at| at.boot);
                let slowest = u64::try_from(at.disk_time.as_micros()).unwrap_or(u64::MAX);
                let wait = Duration::from_micros(self.random.random_range(50..=slowest.max(51)));
                self.after(wait, Event::Commit { host, boot });
            }
            Act::Committed => self.figures.commits += 1,
            Act::Acked { peer, has } => self.acked(host, peer, has),
            Act::Forgotten => self.set_aside(host),
            Act::Tell(told) => self.told(host, &told),
            Act::Persist(generation) => self.hosts[host].generation = generation.number(),
            Act::Alarm(alarm) => self.alarm(host, alarm),
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: &Bytes) {
        self.figures.datagrams += 1;
        self.figures.datagram_bytes += bytes.len() as u64;
        if from == to || self.hosts[to].process.is_none() {
            return;
        }
        let link = *self.network.link(from, to);
        if link.cut || (link.loss > 0.0 && self.random.random_bool(link.loss)) {
            return;
        }
        let copies = 1 + u32::from(link.twice > 0.0 && self.random.random_bool(link.twice));
        let address = self.hosts[from].address;
        for _ in 0..copies {
            let wait = link.delay(&mut self.random) + self.hosts[to].slowness;
            let (from, bytes) = (address, bytes.clone());
            self.after(wait, Event::Datagram { to, from, bytes });
        }
    }

    fn ask(
        &mut self,
        host: usize,
        number: u64,
        target: SocketAddr,
        expected: Option<MemberId>,
        question: Question,
        limit: Duration,
    ) {
        let Some(process) = &self.hosts[host].process else {
            return;
        };
        let (Question::Exchange(body) | Question::Relay(body) | Question::Peer(body)) = &question;
        if let (Question::Peer(body), Trace::Print) = (&question, self.shape.trace) {
            let kind = body.get(1).map(|kind| {
                [
                    "push",
                    "meet",
                    "sums",
                    "items",
                    "fetch",
                    "include",
                    "position",
                    "standings",
                ]
                .get(usize::from(*kind))
            });
            let kind = kind.flatten().unwrap_or(&"something");
            let line = format_args!("asks {target} for {kind}, {} bytes", body.len());
            self.shape.trace.host(self.now, host, line);
        }
        self.figures.asks += 1;
        self.figures.ask_bytes += body.len() as u64;
        let (from, boot) = (process.member, process.boot);
        let asker = Asker { host, boot, number };
        let answer = None;
        self.after(limit, Event::Answer { to: asker, answer });
        let Some(to) = host::number_of(target).filter(|to| *to < self.hosts.len()) else {
            return;
        };
        let link = *self.network.link(host, to);
        let mut wait = link.delay(&mut self.random) * 3 + self.hosts[to].slowness;
        if link.cut {
            // What was sent already may be repeated by the kernel and arrive after the cut.
            if !self.random.random_bool(0.1) {
                return;
            }
            wait += Duration::from_millis(self.random.random_range(0..60_000));
        }
        let event = Event::Request {
            to,
            expected,
            from,
            asker,
            question,
        };
        self.after(wait, event);
    }

    fn request(
        &mut self,
        to: usize,
        expected: Option<MemberId>,
        from: MemberId,
        asker: Asker,
        question: &Question,
    ) {
        let who = self.hosts[to].process.as_ref().map(|at| at.member);
        if who.is_none() || expected.is_some_and(|expected| who != Some(expected)) {
            return self.answer(to, asker, None);
        }
        self.with(to, |process, now, out| {
            process.question(now, from, asker, question, out);
        });
    }

    fn answer(&mut self, from: usize, to: Asker, answer: Option<Bytes>) {
        let link = *self.network.link(from, to.host);
        let broken = link.broken > 0.0 && self.random.random_bool(link.broken);
        if link.cut || broken {
            return;
        }
        self.figures.ask_bytes += answer.as_ref().map_or(0, |answer| answer.len() as u64);
        let wait = link.delay(&mut self.random) + self.hosts[to.host].slowness;
        self.after(wait, Event::Answer { to, answer });
    }

    /// Lets a process commit, and looks at what it did.
    fn commit(&mut self, host: usize) {
        let Some(process) = &self.hosts[host].process else {
            return;
        };
        let before = process.app.view();
        let wall = self.hosts[host].clock.read(self.now);
        let mut acts = Vec::new();
        let now = self.now;
        let at = &mut self.hosts[host];
        if let Some(process) = &mut at.process {
            process.set_wall(now, wall);
            process.commit(now, wall, &mut acts);
        }
        if let Err(violation) = self
            .check_commit(host, &before)
            .and_then(|()| self.check_claims(host))
        {
            self.violation = Some(violation);
            return;
        }
        if self.hosts[host].disk.has_ended() {
            let how = [End::Kill, End::PowerCut][self.random.random_range(0..2)];
            return self.crash(host, how);
        }
        self.perform(host, acts);
        self.sleep(host);
    }

    fn check_commit(&mut self, host: usize, before: &Arc<View>) -> Held {
        let wall = self.hosts[host].clock.read(self.now);
        let at = &mut self.hosts[host];
        let Some(process) = &at.process else {
            return Ok(());
        };
        let after = process.app.view();
        let watcher = &mut self.watchers[host];
        let Ok(applied) = process.app.changes_after(watcher.revision, CHANGES) else {
            *watcher = Watcher::of(&after.store, after.revision);
            return Ok(());
        };
        let step = Step {
            host,
            wall,
            before: &before.store,
            after: &after.store,
            applied: &applied,
        };
        at.belief.take(&applied, &after.store);
        if self.shape.trace == Trace::Print {
            for applied in &applied {
                let how = match applied.source {
                    Source::Own => "wrote".to_owned(),
                    Source::Push(from) => format!("was pushed by {from}"),
                    Source::Sync(from) => format!("synced from {from}"),
                };
                let line =
                    format_args!("{how}: {}", shown_change(&applied.change, applied.current));
                self.shape.trace.host(self.now, host, line);
            }
        }
        later_wins::check(&step)?;
        ahead::check(&step)?;
        self.origin.check(&step)?;
        self.watchers[host].check(&step)?;
        resurrection::check(&step, &self.hosts[host].belief)?;
        self.written.take(&step);
        Ok(())
    }

    fn check_claims(&mut self, host: usize) -> Held {
        let at = &self.hosts[host];
        let Some(process) = &at.process else {
            return Ok(());
        };
        let view = process.app.view();
        let horizons = self.hosts.iter().map(|at| at.store().horizon());
        let horizon = horizons.max().unwrap_or_default();
        let belief = &at.belief;
        let own = process.member;
        self.written
            .check((host, own), &view.store, belief, horizon)
    }

    /// A member was told up to where a peer has its writes.
    fn acked(&mut self, host: usize, peer: MemberId, has: HybridTime) {
        let Some(member) = self.hosts[host].process.as_ref().map(|at| at.member) else {
            return;
        };
        let of_peer = |at: &&(usize, &Host)| at.1.member == Some(peer);
        let mut peers = self.hosts.iter().enumerate();
        let Some((number, at)) = peers.find(|at| of_peer(&at)) else {
            return;
        };
        let cloned = self.hosts.iter().any(|at| at.clone_of == Some(number));
        if cloned || self.now.since(at.replaced) < LONGEST_ASK {
            return;
        }
        let held = vector::check_told(host, member, (number, &at.store()), has);
        if let Err(violation) = held {
            self.violation = Some(violation);
        }
    }

    fn look(&mut self) {
        self.after(LOOK, Event::Look);
        let around = Around {
            now: self.now,
            hosts: self.hosts.len(),
            waiting: self.shape.rules.waiting,
            members: usize::try_from(self.next_id).unwrap_or(usize::MAX),
            written: self.origin.written(),
        };
        for (host, at) in self.hosts.iter().enumerate() {
            if let Some(process) = &at.process
                && let Err(violation) = bounded::check(host, process, &around)
            {
                self.violation = Some(violation);
            }
        }
        let full = |at: &Process| at.app.disk().state() == gaggle::io::disk::DiskState::Full;
        for host in 0..self.hosts.len() {
            if self.hosts[host].process.as_ref().is_some_and(full) {
                self.with(host, |process, _, out| process.probe_disk(out));
            }
        }
    }

    pub(crate) fn client_again(&mut self, wait: Duration, client: usize) {
        self.after(wait, Event::Client(client));
    }

    pub(crate) fn client_sends(&mut self, operation: Operation) {
        for value in &operation.values {
            self.origin.send(value);
        }
        let Operation {
            number,
            host,
            request,
            ..
        } = operation;
        self.with(host, |process, _, out| process.client(number, request, out));
    }

    fn told(&mut self, host: usize, told: &Told) {
        self.clients.told(told);
        let Told { operation, outcome } = told;
        if let Ok(written) = outcome
            && let Some(stamp) = written.stamp
            && let Err(violation) = self.origin.check_told(host, stamp)
        {
            self.violation = Some(violation);
        }
        if let Err(error) = outcome {
            let line = format_args!("refused operation {operation}: {error}");
            self.shape.trace.host(self.now, host, line);
        }
    }

    /// Whether who watched a member saw what it shows.
    pub(crate) fn watched(&self, host: usize, store: &gaggle::model::Store) -> Held {
        self.watchers[host].check_whole(host, store)
    }

    /// What all disks together hold.
    pub(crate) fn promised(&self) -> Belief {
        crate::invariants::durable::promised(self.hosts.iter().map(|host| &host.belief))
    }
}

fn shown_change(change: &Change, current: bool) -> String {
    let what = match change {
        Change::Key { version, .. } => version.value().map_or("deleted".to_owned(), |value| {
            format!("{:?}", value.text().unwrap_or("?"))
        }),
        Change::Node { register, .. } => {
            format!("{:?}, cleared {:?}", register.state, register.cleared)
        }
        Change::Member { standing, .. } => format!("{standing:?}"),
    };
    let history = if current { "" } else { " (history)" };
    let stamp = change.stamp().map(|stamp| stamp.to_string());
    format!(
        "{} {} {what}{history}",
        change.slot(),
        stamp.unwrap_or_default()
    )
}
