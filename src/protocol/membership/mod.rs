//! Membership: who is in the cluster, where, and in what state.
//!
//! Around SWIM (the `foca` engine in `swim`) stand our own parts: sealed datagrams, beacons, the
//! dialer, the exchange of state over HTTPS, the detection of a second process under our id,
//! and the [`MemberTable`] that everybody else reads. All of it is one pure value: datagrams,
//! answers and the time go in, datagrams, exchanges and news come out.
//!
//! **How two members find each other.** A beacon is only a hint: who hears it asks its sender to
//! let it join (SWIM's announce, over UDP), and a little later, if that did not work, dials it over
//! HTTPS. The first contact is followed by an exchange of state, as is every tenth second: a
//! digest, and all that both know if that differs.
//!
//! **How two halves meet again.** Dead members are dialled and announced to for ever, and their
//! beacons are heard. Either way each side learns that the other takes it for dead; it then raises
//! its generation, which makes it a new identity, and is alive again.
//!
//! **Where datagrams do not get through**, they are carried over HTTPS, see `relay`.
//!
//! **What a generation is for.** SWIM cannot refute a death. Only a greater generation of the same
//! member can, and only its owner makes one: at a start, at a change of address, after a false
//! death; at most once a second, so that two processes under one id do not fight without end.
//!
//! Reading: SWIM (Das, Gupta, Motivala 2002); Lifeguard (arXiv 1707.00788).

mod brief;
mod datagrams;
mod exchange;
mod identity;
mod news;
mod relay;
mod rivals;
mod standing;
mod state;
mod swim;
mod table;
mod track;

#[cfg(test)]
mod idle_tests;
#[cfg(test)]
mod relay_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::relay::Relay;
use self::rivals::{Rivals, Sign};
use self::swim::{Output, Swim};
use self::track::Record;
use super::beacon::{self, Beacon, jittered};
use super::clocks::Reading;
use super::dialer::{self, Dialer};
use super::envelope::{BootId, DatagramKey, Opener, Sealer};
use super::{Mono, Protocol};
use crate::model::{ClusterId, MemberId, WallTime};

pub use identity::{Generation, Identity, LABEL_LIMIT, Label};
pub use news::{Alarm, Effect, Event};
pub use relay::PARCEL_LIMIT;
pub use state::{STATE_LIMIT, StateError};
pub use table::{Counts, HeardRoot, MemberRow, MemberState, MemberTable};

/// How often state is exchanged with one live member, give or take a fifth.
pub const EXCHANGE_PERIOD: Duration = Duration::from_secs(10);
/// How soon it is exchanged again while that brings new members.
const EXCHANGE_SOON: Duration = Duration::from_secs(1);
/// The least time between two generations of one boot.
const REJOIN_SPACING: Duration = Duration::from_secs(1);
/// How often the small things are looked after.
const TICK: Duration = Duration::from_secs(1);
/// How long after a message the table is looked at for changes that SWIM does not tell.
const LOOK: Duration = Duration::from_millis(100);
/// The least time between two tables, for each row. One of 1,000 rows takes half a millisecond to
/// make and more to be taken in, and while a large cluster forms every datagram brings news.
const ROW_SPACING: Duration = Duration::from_millis(1);
/// How long after the last change of our root it is told, and after the first at most.
const ROOT_QUIET: Duration = Duration::from_millis(100);
const ROOT_LATEST: Duration = Duration::from_secs(1);
/// How many members are told a new root at once.
const ROOT_FANOUT: usize = 3;
/// When a goodbye is said again.
const GOODBYE_AGAIN: Duration = Duration::from_millis(40);
/// How long a member that is alone sends a beacon each second.
const EAGER: Duration = Duration::from_secs(10);

/// What a membership is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our cluster.
    pub cluster: ClusterId,
    /// Ourselves; `started` and `generation` equal.
    pub me: Identity,
    /// The keys of the secrets in force, the first is used. At least one.
    pub keys: Vec<DatagramKey>,
    /// How long a dead or left member is remembered.
    pub forget_after: Duration,
    /// The seed of everything random.
    pub seed: u64,
}

/// Why a membership could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a membership needs at least one datagram key")]
pub struct NoKey;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Said goodbye once, says it again then.
    Leaving(Mono),
    Over,
}

/// When what is due, besides what the parts know themselves.
#[derive(Debug)]
struct Due {
    tick: Mono,
    exchange: Mono,
    look: Option<Mono>,
    rejoin: Option<Mono>,
    /// When to tell our root, and when at the latest.
    root: Option<(Mono, Mono)>,
}

/// The membership of one boot of a member.
pub struct Membership {
    cluster: ClusterId,
    forget_after: Duration,
    me: Identity,
    born: Mono,
    clock: (Mono, WallTime),
    rng: StdRng,
    sealer: Sealer,
    opener: Opener,
    beacon: Beacon,
    dialer: Dialer,
    swim: Swim,
    relay: Relay,
    rivals: Rivals,
    records: BTreeMap<MemberId, Record>,
    courting: BTreeMap<MemberId, datagrams::Courtship>,
    tokens: datagrams::Tokens,
    rumour_at: Option<Mono>,
    rejoined: Option<Mono>,
    root: u128,
    hinted: Option<Reading>,
    /// Whom we asked whether it knows the same.
    compared: BTreeSet<SocketAddr>,
    counts: Counts,
    table: Arc<MemberTable>,
    /// What SWIM knew when the table was made, whether something else has changed since, and when
    /// that was.
    shown: u64,
    stale: bool,
    made: Mono,
    due: Due,
    phase: Phase,
}

impl Membership {
    /// A membership that starts at `now`, when the wall clock says `wall`.
    pub fn new(now: Mono, wall: WallTime, settings: Settings) -> Result<Self, NoKey> {
        let mut rng = StdRng::seed_from_u64(settings.seed);
        let first = settings.keys.first().ok_or(NoKey)?;
        let me = settings.me;
        let cluster = settings.cluster;
        let table = MemberTable {
            me: track::own_row(&me, wall, None),
            others: BTreeMap::new(),
            counts: Counts::default(),
            hinted: None,
        };
        Ok(Self {
            sealer: Sealer::new(first, me.boot, cluster.clone(), me.member),
            opener: Opener::new(me.boot, cluster.clone(), settings.keys),
            beacon: Beacon::new(now, rng.random()),
            dialer: Dialer::new(rng.random()),
            swim: Swim::new(me.clone(), rng.random()),
            relay: Relay::new(settings.seed.rotate_left(1)),
            rivals: Rivals::new(me.boot, me.started, wall),
            forget_after: settings.forget_after,
            cluster,
            me,
            born: now,
            clock: (now, wall),
            rng,
            records: BTreeMap::new(),
            courting: BTreeMap::new(),
            tokens: datagrams::Tokens::new(now),
            rumour_at: None,
            rejoined: None,
            root: 0,
            hinted: None,
            compared: BTreeSet::new(),
            counts: Counts::default(),
            table: Arc::new(table),
            shown: 0,
            stale: true,
            made: now,
            due: Due {
                tick: now.plus(TICK),
                exchange: now.plus(EXCHANGE_PERIOD),
                look: None,
                rejoin: None,
                root: None,
            },
            phase: Phase::Running,
        })
    }

    /// Tells what the wall clock says; wanted before each event, for it may be set.
    pub fn set_wall(&mut self, now: Mono, wall: WallTime) {
        self.clock = (now, wall);
    }

    /// Tells how many datagrams were dropped before they came to us, for the counts.
    pub const fn set_overflow(&mut self, overflow: u64) {
        self.counts.overflow = overflow;
    }

    /// How many members there is news of that is still passed on by gossip.
    pub fn news(&self) -> usize {
        self.swim.news()
    }

    /// The table as last published.
    pub fn table(&self) -> Arc<MemberTable> {
        Arc::clone(&self.table)
    }

    /// Ourselves, as the others are told now.
    pub const fn me(&self) -> &Identity {
        &self.me
    }

    /// Whether all is said: after a goodbye, or refused as a duplicate.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    fn wall(&self, now: Mono) -> WallTime {
        let (at, wall) = self.clock;
        let since = u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
        WallTime::from_millis(wall.millis().saturating_add(since))
    }

    /// Does what SWIM wants done.
    fn perform(&mut self, now: Mono, outputs: Vec<Output>, out: &mut Vec<Effect>) {
        let mut news = false;
        for output in outputs {
            match output {
                Output::Send(to, message) => self.send_swim(now, &to, &message, out),
                Output::Probe(to, message) => self.send_probe(now, to, message, out),
                Output::Up(id) => {
                    news = true;
                    self.came_up(now, &id);
                }
                Output::Down(id) => {
                    news = true;
                    self.went_down(now, &id);
                }
                Output::Renamed(old, new) => {
                    news = true;
                    if old.boot != new.boot {
                        self.opener.distrust(old.boot);
                        self.drop_path(new.member);
                    }
                }
                Output::Defunct => {
                    let free = self.rejoined.map_or(now, |at| at.plus(REJOIN_SPACING));
                    self.due.rejoin = Some(now.max(free));
                }
            }
        }
        if news {
            self.show_at(now);
        } else {
            self.look_at(now.plus(LOOK));
        }
    }

    /// Something was done that may have changed what SWIM knows.
    fn look_at(&mut self, at: Mono) {
        let rows = u32::try_from(self.table.others.len()).unwrap_or(u32::MAX);
        let at = at.max(self.made.plus(ROW_SPACING * rows));
        self.due.look = Some(self.due.look.map_or(at, |due| due.min(at)));
    }

    /// Something has changed that the table is to show.
    fn show_at(&mut self, at: Mono) {
        self.stale = true;
        self.look_at(at);
    }

    fn look_if_due(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let due = self.due.look.take_if(|at| *at <= now).is_some();
        if !due {
            return;
        }
        if self.stale || self.shown != self.swim.fingerprint() {
            self.refresh(now, false, out);
        }
    }

    fn tick(&mut self, now: Mono) {
        self.due.tick = now.plus(TICK);
        if self.swim.live() == 0 && now.since(self.born) < EAGER {
            self.beacon
                .on_event(now, beacon::Event::Changed, &mut vec![]);
        }
        self.forget(now);
    }

    fn new_root(&mut self, now: Mono, root: u128) {
        if root != self.root {
            self.root = root;
            self.stale = true;
            let latest = self.due.root.map_or(now.plus(ROOT_LATEST), |(_, at)| at);
            self.due.root = Some((now.plus(ROOT_QUIET).min(latest), latest));
        }
    }

    fn run_due(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let due = |at: Option<Mono>| at.is_some_and(|at| at <= now);
        if due(self.due.rejoin) {
            self.due.rejoin = None;
            self.rejoin(now, out);
        }
        if due(self.due.root.map(|(at, _)| at)) {
            self.due.root = None;
            self.tell_root(now, out);
        }
        if now >= self.due.exchange {
            self.due.exchange = now.plus(jittered(EXCHANGE_PERIOD, &mut self.rng));
            self.exchange_with_somebody(now, out);
        }
        let ticked = now >= self.due.tick;
        if ticked {
            self.tick(now);
        }
        if ticked {
            self.refresh(now, true, out);
        } else {
            self.look_if_due(now, out);
        }
    }

    fn run_parts(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let mut outputs = vec![];
        let relay = &self.relay;
        let spared = |member| relay.answered_lately(now, member);
        self.swim.on_deadline(now, spared, &mut outputs);
        if !outputs.is_empty() {
            self.perform(now, outputs, out);
        }
        let mut announce = vec![];
        self.beacon.on_deadline(now, &mut announce);
        for beacon::Effect::Announce in announce {
            self.multicast_beacon(now, out);
        }
        let mut dials = vec![];
        self.dialer.on_deadline(now, &mut dials);
        for dialer::Effect::Dial { address, expected } in dials {
            self.dial(now, address, expected, out);
        }
        for address in self.rivals.on_deadline(now) {
            self.send_beacon_to(now, address, out);
        }
        self.court(now, out);
        self.run_relay(now, out);
    }
}

impl Protocol for Membership {
    type Event = Event;
    type Effect = Effect;

    fn on_event(&mut self, now: Mono, event: Event, out: &mut Vec<Effect>) {
        if self.phase != Phase::Running {
            return;
        }
        match event {
            Event::Datagram { from, bytes } => self.datagram(now, from, &bytes, out),
            Event::Seeds(seeds) => {
                let seeds = dialer::Event::Seeds(seeds);
                self.dialer.on_event(now, seeds, &mut vec![]);
            }
            Event::Exchanged { target, answer } => self.exchanged(now, target, answer, out),
            Event::Relayed { member, answer } => self.relay_ended(now, member, answer, out),
            Event::Root(root) => self.new_root(now, root),
            Event::Moved { udp, https } => self.moved(now, udp, https, out),
            Event::Leave => self.leave(now, out),
        }
        self.flush(now, out);
        self.look_if_due(now, out);
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Running => {
                self.run_parts(now, out);
                self.run_due(now, out);
            }
            Phase::Leaving(again) if again <= now => {
                self.phase = Phase::Over;
                self.say_goodbye(now, out);
            }
            Phase::Leaving(_) | Phase::Over => {}
        }
    }

    fn deadline(&self) -> Option<Mono> {
        match self.phase {
            Phase::Over => None,
            Phase::Leaving(again) => Some(again),
            Phase::Running => [
                Some(self.due.tick),
                Some(self.due.exchange),
                self.due.look,
                self.due.rejoin,
                self.due.root.map(|(at, _)| at),
                self.swim.deadline(),
                self.beacon.deadline(),
                self.dialer.deadline(),
                self.rivals.deadline(),
                self.courtship_deadline(),
                self.relay_deadline(),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }
}
