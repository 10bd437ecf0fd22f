//! One member's process in virtual time: the real rooms, and loops around them as thin as the
//! daemon's drivers, whose steps they repeat one by one. Whatever happens to it goes in, [`Act`]s
//! come out in the order in which they must happen; the world does them, or crashes in between.

mod asks;
mod replication;
mod upkeep;
mod writer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gaggle::app::{App, Health, Ledger, LedgerParts, Limits, Published};
use gaggle::io::disk::{Disk, DiskError, Medium, Opening};
use gaggle::model::{HybridClock, HybridTime, MemberId, Store, WallTime};
use gaggle::protocol::absence::Absences;
use gaggle::protocol::collect::Collector;
use gaggle::protocol::envelope::{BootId, DatagramKey};
use gaggle::protocol::membership::{
    Alarm, Effect, Event, Generation, Identity, Label, MemberTable, Membership, Settings,
};
use gaggle::protocol::push::{Push, PushLimits};
use gaggle::protocol::sync::Schedule;
use gaggle::protocol::{Mono, Protocol};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use asks::Asked;
use replication::Walking;
use upkeep::Upkeeping;
pub(crate) use writer::{QUEUE, Told, Waiting};

/// How far ahead of the wall clock a member's clock may be lifted (`--max-clock-skew`).
pub(crate) const MAX_CLOCK_SKEW: Duration = Duration::from_secs(10);
/// Memory for pages of the database: little, so that pages are read from the disk.
const CACHE: usize = 64 << 10;

/// A question that a member asks another over HTTPS.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// A membership state.
    Exchange(Bytes),
    /// Datagrams that do not get through otherwise.
    Relay(Bytes),
    /// A message of push or sync.
    Peer(Bytes),
}

/// Whom an answer is for: the host, its boot and its own number of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) host: usize,
    pub(crate) boot: u64,
    pub(crate) number: u64,
}

/// What a process wants the world to do.
#[derive(Debug)]
pub(crate) enum Act {
    Datagram {
        to: SocketAddr,
        bytes: Bytes,
    },
    Multicast(Bytes),
    Ask {
        number: u64,
        target: SocketAddr,
        expected: Option<MemberId>,
        question: Question,
        limit: Duration,
    },
    Answer {
        to: Asker,
        answer: Option<Bytes>,
    },
    /// The writer has work: let it commit after the time that the disk takes.
    Commit,
    /// Something was committed and published.
    Committed,
    /// A peer told up to where it has this member's writes.
    Acked {
        peer: MemberId,
        has: HybridTime,
    },
    /// A peer said that this member was forgotten.
    Forgotten,
    /// A client is told what became of its write.
    Tell(Told),
    Persist(Generation),
    Alarm(Alarm),
}

/// What a process needs to start.
pub(crate) struct Start {
    pub(crate) boot: u64,
    pub(crate) now: Mono,
    pub(crate) wall: WallTime,
    pub(crate) address: SocketAddr,
    /// The id that it gets if its directory is new.
    pub(crate) fresh: MemberId,
    pub(crate) generation_file: u64,
    /// What is added to the version byte of its messages: another release.
    pub(crate) release: u8,
    pub(crate) rules: Rules,
    pub(crate) seed: u64,
}

/// What all members of a run go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How long what was deleted is kept at least (`--keep-deleted`).
    pub(crate) keep_deleted: Duration,
    /// How long a member may be away (`--forget-after`).
    pub(crate) forget_after: Duration,
    /// To how many peers a member sends a change (`--fanout`).
    pub(crate) fanout: usize,
    /// How many changes may wait for a peer before they are left to sync.
    pub(crate) waiting: usize,
    /// Whether a member compares its clock with those of its peers, and refuses to write if it is
    /// too far ahead. Without it stamps from bad clocks go round more often.
    pub(crate) compares: bool,
}

/// A running process.
pub(crate) struct Process {
    pub(crate) boot: u64,
    pub(crate) member: MemberId,
    pub(crate) app: App,
    pub(crate) push: Push,
    pub(crate) membership: Membership,
    schedule: Schedule,
    upkeep: Upkeeping,
    ledger: Ledger,
    compares: bool,
    release: u8,
    waiting: Vec<Waiting>,
    committing: bool,
    since: u64,
    gaps: u64,
    root: u128,
    table: Arc<MemberTable>,
    alive: BTreeMap<MemberId, SocketAddr>,
    walk: Option<Walking>,
    /// Whether the walk found a place where the two differ.
    differed: bool,
    asked: BTreeMap<u64, Asked>,
    next_number: u64,
    /// Peers' questions and sync walks, for the figures.
    pub(crate) pushes: u64,
    pub(crate) walks: u64,
}

impl Process {
    /// Starts a process on a disk; gives it with the store as it was loaded.
    pub(crate) fn start(
        start: &Start,
        medium: Arc<dyn Medium>,
    ) -> Result<(Self, Store), DiskError> {
        let mut random = StdRng::seed_from_u64(start.seed);
        let opening = Opening {
            cluster: "sim".parse().expect("a fit name"),
            member: start.fresh,
            now: start.wall,
            cache: CACHE,
        };
        let (disk, loaded) = Disk::open_on(medium, &opening)?;
        let member = loaded.identity.member;
        let generation = loaded.generation.max(start.generation_file + 1);
        let store = loaded.store.clone();
        let published = Arc::new(Published::new(loaded.store.clone(), member));
        let health = Arc::new(Health::default());
        let (time, sequence) = loaded.clock;
        let reader = disk.reader();
        let ledger = Ledger::new(LedgerParts {
            disk,
            store: loaded.store,
            gap: loaded.gap,
            clock: HybridClock::new(member, time, sequence, MAX_CLOCK_SKEW),
            published: published.clone(),
            health: health.clone(),
            limits: Limits::default(),
        });
        // Commands go to the ledger directly; the app is for reading.
        let (queue, _nobody) = tokio::sync::mpsc::channel(1);
        let app = App::new(published, queue, reader, health, Limits::default());
        let membership = membership(start, member, Generation::new(generation), &mut random);
        let limits = PushLimits {
            fanout: start.rules.fanout,
            changes: start.rules.waiting,
            ..PushLimits::default()
        };
        let root = store.root();
        let process = Self {
            boot: start.boot,
            member,
            push: Push::new(limits, store.vector().get(member), random.random()),
            schedule: Schedule::new(root, random.random()),
            upkeep: Upkeeping::new(
                Collector::new(member, random.random()),
                Absences::new(member, start.rules.forget_after, BTreeMap::new()),
                start.rules,
                start.now,
            ),
            table: membership.table(),
            membership,
            app,
            ledger,
            compares: start.rules.compares,
            release: start.release,
            waiting: Vec::new(),
            committing: false,
            since: 0,
            gaps: 0,
            root,
            alive: BTreeMap::new(),
            walk: None,
            differed: false,
            asked: BTreeMap::new(),
            next_number: 0,
            pushes: 0,
            walks: 0,
        };
        Ok((process, store))
    }

    /// The first thing that a process does.
    pub(crate) fn begin(&mut self, now: Mono, out: &mut Vec<Act>) {
        let root = Event::Root(self.root);
        self.tell_membership(now, root, out);
        let seeds = Event::Seeds(Vec::new());
        self.tell_membership(now, seeds, out);
        self.enlist(out);
    }

    /// A datagram has come.
    pub(crate) fn datagram(
        &mut self,
        now: Mono,
        from: SocketAddr,
        bytes: Bytes,
        out: &mut Vec<Act>,
    ) {
        self.tell_membership(now, Event::Datagram { from, bytes }, out);
    }

    /// Tells what the wall clock says; before anything else that happens.
    pub(crate) fn set_wall(&mut self, now: Mono, wall: WallTime) {
        self.upkeep.wall = wall;
        self.membership.set_wall(now, wall);
    }

    /// When it wants to be woken.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        [
            self.membership.deadline(),
            self.push.deadline(),
            self.schedule.deadline(),
            self.upkeep.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Its time has come.
    pub(crate) fn wake(&mut self, now: Mono, out: &mut Vec<Act>) {
        let due = |at: Option<Mono>| at.is_some_and(|at| at <= now);
        if due(self.membership.deadline()) {
            let mut effects = Vec::new();
            self.membership.on_deadline(now, &mut effects);
            self.perform(now, effects, out);
        }
        if due(self.push.deadline()) {
            let mut effects = Vec::new();
            self.push.on_deadline(now, &mut effects);
            self.perform_push(now, effects, out);
        }
        if due(self.schedule.deadline()) {
            let mut effects = Vec::new();
            self.schedule.on_deadline(now, &mut effects);
            self.perform_sync(now, effects, out);
        }
        self.run_upkeep(now, out);
    }

    fn tell_membership(&mut self, now: Mono, event: Event, out: &mut Vec<Act>) {
        let mut effects = Vec::new();
        self.membership.on_event(now, event, &mut effects);
        self.perform(now, effects, out);
        if self.membership.deadline().is_some_and(|due| due <= now) {
            let mut effects = Vec::new();
            self.membership.on_deadline(now, &mut effects);
            self.perform(now, effects, out);
        }
    }

    fn perform(&mut self, now: Mono, effects: Vec<Effect>, out: &mut Vec<Act>) {
        for effect in effects {
            match effect {
                Effect::Persist(generation) => out.push(Act::Persist(generation)),
                Effect::Send { to, datagram } => out.push(Act::Datagram {
                    to,
                    bytes: datagram,
                }),
                Effect::Multicast(datagram) => out.push(Act::Multicast(datagram)),
                Effect::Exchange {
                    target,
                    expected,
                    body,
                } => self.ask_exchange(target, expected, body, out),
                Effect::Relay {
                    target,
                    member,
                    body,
                } => self.ask_relay(target, member, body, out),
                Effect::Publish(table) => {
                    self.table = table;
                    self.take_table(now, out);
                }
                Effect::Alarm(alarm) => out.push(Act::Alarm(alarm)),
            }
        }
    }
}

fn membership(
    start: &Start,
    member: MemberId,
    generation: Generation,
    random: &mut StdRng,
) -> Membership {
    let mut https = start.address;
    https.set_port(8_000);
    let me = Identity {
        member,
        generation,
        started: generation,
        boot: BootId::from_bytes(random.random()),
        udp: start.address,
        https,
        advertised: false,
        name: Label::lossy(&format!("member-{member}")),
        version: Label::lossy("0.1.0"),
        protocols: (1, 1),
        leaving: false,
    };
    let settings = Settings {
        cluster: "sim".parse().expect("a fit name"),
        me,
        keys: vec![DatagramKey::from_bytes([7; 32])],
        forget_after: Duration::from_hours(7 * 24),
        seed: random.random(),
    };
    Membership::new(start.now, start.wall, settings).expect("a key was given")
}
