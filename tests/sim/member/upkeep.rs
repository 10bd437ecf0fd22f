//! Upkeep in virtual time: `daemon/upkeep.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gaggle::app::{EditError, Upkeep};
use gaggle::model::{FORGET_AFTER, HybridTime, MemberId, WallTime};
use gaggle::protocol::absence::{AbsenceEvent, Absences, Forget};
use gaggle::protocol::collect::{CollectEffect, CollectEvent, Collector, Looked};
use gaggle::protocol::membership::MemberState;
use gaggle::protocol::message::{About, Reply};
use gaggle::protocol::sync::{Brought, ScheduleEvent};
use gaggle::protocol::{Mono, Protocol};
use tokio::sync::oneshot;

use super::asks::decisions;
use super::writer::Waiter;
use super::{Act, Process, Rules};

/// How many deleted things are let go in one batch.
const COLLECTED: usize = 1024;
/// How often what is held aside is looked at.
const HELD: Duration = Duration::from_secs(1);
/// How soon a member says again who it is, if it could not.
const AGAIN: Duration = Duration::from_secs(5);

/// What upkeep needs.
pub(super) struct Upkeeping {
    pub(super) collector: Collector,
    pub(super) wall: WallTime,
    /// The outcomes of upkeep that waits for the writer, in its order.
    pub(super) results: Vec<oneshot::Receiver<Result<usize, EditError>>>,
    absences: Absences,
    rules: Rules,
    collecting: Option<HybridTime>,
    release: Mono,
    enlist: Option<Mono>,
    known: usize,
}

impl Upkeeping {
    pub(super) fn new(collector: Collector, absences: Absences, rules: Rules, now: Mono) -> Self {
        Self {
            collector,
            wall: WallTime::default(),
            results: Vec::new(),
            absences,
            rules,
            collecting: None,
            release: now.plus(HELD),
            enlist: None,
            known: 0,
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        [
            self.collector.deadline(),
            self.absences.deadline(),
            Some(self.release),
            self.enlist,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl Process {
    /// The operator has a member forgotten (`gaggle members forget`).
    pub(crate) fn forget(&mut self, member: MemberId, out: &mut Vec<Act>) {
        let author = Arc::from("operator");
        self.upkeep(Upkeep::Forget { member, author }, Waiter::Upkeep, out);
    }

    /// What it tells peers of itself.
    pub(crate) fn about(&self) -> About {
        self.upkeep.collector.about(&self.app.view().store)
    }

    /// Says that this member belongs to the cluster.
    pub(super) fn enlist(&mut self, out: &mut Vec<Act>) {
        let name: Arc<str> = format!("member-{}", self.member).into();
        self.upkeep(Upkeep::Enlist(name), Waiter::Enlist, out);
    }

    /// Does what is due.
    pub(super) fn run_upkeep(&mut self, now: Mono, out: &mut Vec<Act>) {
        if self.upkeep.release <= now {
            self.upkeep.release = now.plus(HELD);
            if self.app.view().store.held_count() > 0 {
                self.upkeep(Upkeep::Release, Waiter::Upkeep, out);
            }
        }
        if self.upkeep.enlist.is_some_and(|at| at <= now) {
            self.upkeep.enlist = None;
            self.enlist(out);
        }
        if self.upkeep.absences.deadline().is_some_and(|at| at <= now) {
            self.who(now, out);
        }
        if self.upkeep.collector.deadline().is_some_and(|at| at <= now) {
            let mut effects = Vec::new();
            self.upkeep.collector.on_deadline(now, &mut effects);
            self.perform_collect(now, effects, out);
        }
    }

    /// A peer told what it has and knows.
    /// Gives up to where it has our own writes: our clock must be above that.
    pub(super) fn met(
        &mut self,
        now: Mono,
        peer: MemberId,
        about: &About,
        out: &mut Vec<Act>,
    ) -> HybridTime {
        self.collecting(now, CollectEvent::Heard(peer, about.clone()), out);
        about.version_vector().get(self.member)
    }

    fn collecting(&mut self, now: Mono, event: CollectEvent, out: &mut Vec<Act>) {
        let mut effects = Vec::new();
        self.upkeep.collector.on_event(now, event, &mut effects);
        self.perform_collect(now, effects, out);
    }

    fn perform_collect(&mut self, now: Mono, effects: Vec<CollectEffect>, out: &mut Vec<Act>) {
        for effect in effects {
            match effect {
                CollectEffect::Look => {
                    let wall = self.upkeep.wall;
                    let old = wall.before(self.upkeep.rules.keep_deleted);
                    let time = HybridTime::from_wall;
                    let view = self.app.view();
                    let looked = Looked::at(&view.store, self.member, time(wall), time(old));
                    self.collecting(now, CollectEvent::Looked(looked), out);
                }
                CollectEffect::Advance => self.upkeep(Upkeep::Advance, Waiter::Upkeep, out),
                CollectEffect::Sync(peer) => {
                    self.tell_schedule(now, ScheduleEvent::Wanted(vec![peer]), out);
                }
                CollectEffect::Collect(until) => {
                    self.upkeep.collecting = Some(until);
                    self.collect(until, out);
                }
            }
        }
    }

    fn collect(&mut self, until: HybridTime, out: &mut Vec<Act>) {
        let slots = self.app.view().store.dead(until, COLLECTED);
        self.upkeep(Upkeep::Collect { slots, until }, Waiter::Collect, out);
    }

    /// Upkeep is on disk, or not.
    pub(super) fn upkept(
        &mut self,
        now: Mono,
        waiter: Waiter,
        done: Option<usize>,
        out: &mut Vec<Act>,
    ) {
        match waiter {
            Waiter::LetGo(all) => {
                let whole = |new| new == all;
                let brought = done.map(|new| Brought {
                    new,
                    whole: whole(new),
                });
                self.walk_took(now, brought, out);
            }
            Waiter::Standings(to) => {
                let told = Reply::Standings(decisions(&self.app.view().store));
                let answer = done.map(|_| self.write_reply(&told));
                out.push(Act::Answer { to, answer });
            }
            Waiter::Collect => match (done, self.upkeep.collecting.take()) {
                (Some(done), Some(until)) if done > 0 => {
                    self.upkeep.collecting = Some(until);
                    self.collect(until, out);
                }
                _ => {}
            },
            Waiter::Meet { to, ask } => self.look_up(to, ask, out),
            Waiter::WalkMet { told, reply } => {
                let Some(at) = self.walk.take() else {
                    return;
                };
                let has = self.app.view().store.vector().get(self.member);
                if done.is_some() || told <= has {
                    self.advance(now, at, Some(reply), out);
                } else {
                    self.walk_ended(now, at.peer, None, out);
                }
            }
            Waiter::Position { has, first } => {
                if done.is_some() {
                    self.app.acks().tell(first.0, has);
                }
                self.push_first(now, *first, out);
            }
            Waiter::Enlist if done.is_none() => self.upkeep.enlist = Some(now.plus(AGAIN)),
            _ => {}
        }
    }

    /// The members that the store knows may be others.
    pub(super) fn take_known(&mut self, now: Mono, out: &mut Vec<Act>) {
        let known = self.app.view().store.known().count();
        if known != self.upkeep.known {
            self.upkeep.known = known;
            self.take_table(now, out);
        }
    }

    /// Who is here, and who is away for too long?
    pub(super) fn who(&mut self, now: Mono, out: &mut Vec<Act>) {
        let (view, table) = (self.app.view(), self.table.clone());
        let known: BTreeSet<MemberId> = view.store.known().collect();
        let mut here: BTreeSet<MemberId> = table.live().map(|row| row.id).collect();
        let alive = here.intersection(&known).copied().collect();
        self.collecting(now, CollectEvent::Alive(alive), out);
        here.insert(self.member);
        let others = table.others.values();
        let gone = others.filter(|row| row.state == MemberState::Left);
        let left = gone.map(|row| row.id).collect();
        let event = AbsenceEvent::Members { known, here, left };
        let mut effects = Vec::new();
        self.upkeep.absences.on_event(now, event, &mut effects);
        for Forget(member) in effects {
            let author = Arc::from(FORGET_AFTER);
            self.upkeep(Upkeep::Forget { member, author }, Waiter::Upkeep, out);
        }
    }
}
