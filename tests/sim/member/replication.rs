//! Push and sync in virtual time: `daemon/replication.rs`, `daemon/push.rs` and `daemon/sync.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use gaggle::app::{Arrival, Command, DiskHistory, Fed, Upkeep};
use gaggle::model::{Change, HybridTime, MemberId, Source, VersionVector};
use gaggle::protocol::message::{Ask, Claim, Reply};
use gaggle::protocol::push::{PushEffect, PushEvent};
use gaggle::protocol::sync::{Brought, ScheduleEvent, SyncWith, Walk, WalkStep};
use gaggle::protocol::{Mono, Protocol};
use tokio::sync::oneshot;

use super::asks::Asked;
use super::writer::Waiter;
use super::{Act, Process, Waiting};

/// How many changes are taken from the feed at a time.
const FEED_CHANGES: usize = 1024;

/// The first push with a claim to a peer: to whom, its number, what, and what it amounts to.
pub(super) type FirstPush = (MemberId, u64, Vec<Change>, Option<Claim>);

/// A walk under way.
pub(super) struct Walking {
    pub(super) peer: MemberId,
    address: SocketAddr,
    walk: Walk,
}

impl Process {
    /// The table of members is another: who is alive, and what are their roots?
    pub(super) fn take_table(&mut self, now: Mono, out: &mut Vec<Act>) {
        let (table, view) = (self.table.clone(), self.app.view());
        let belongs = |id| !view.store.is_forgotten(id);
        let live = || table.live().filter(|row| belongs(row.id));
        let alive: BTreeMap<_, _> = live().map(|row| (row.id, row.https)).collect();
        let roots = live()
            .map(|row| (row.id, row.root.map(|heard| heard.root)))
            .collect();
        if alive != self.alive {
            self.alive = alive;
            let ids = self.alive.keys().copied().collect();
            self.tell_push(now, PushEvent::Peers(ids), out);
        }
        self.tell_schedule(now, ScheduleEvent::Peers(roots), out);
        self.who(now, out);
    }

    /// Takes what is new in the feed: own writes, and what was learned from pushes.
    pub(super) fn take_changes(&mut self, now: Mono, out: &mut Vec<Act>) {
        loop {
            let taken = self.app.changes_upto(self.since, FEED_CHANGES);
            let Fed {
                changes,
                upto,
                gaps,
            } = match taken {
                Ok(taken) => taken,
                Err(gone) => {
                    let taken = self.app.changes_upto(gone.last, 0).unwrap_or_default();
                    self.since = gone.last;
                    let upto = taken.upto;
                    return self.tell_push(now, PushEvent::Missed { upto }, out);
                }
            };
            if gaps > self.gaps {
                self.gaps = gaps;
                self.tell_push(now, PushEvent::Gap, out);
            }
            let Some(last) = changes.last() else { return };
            self.since = last.revision;
            let mut own = Vec::new();
            let mut learned: BTreeMap<MemberId, Vec<Change>> = BTreeMap::new();
            for applied in &changes {
                let change = applied.change.clone();
                match applied.source {
                    Source::Own => own.push(change),
                    Source::Push(peer) => learned.entry(peer).or_default().push(change),
                    Source::Sync(_) => {}
                }
            }
            let changes = own;
            self.tell_push(now, PushEvent::Changes { changes, upto }, out);
            for (from, changes) in learned {
                self.tell_push(now, PushEvent::Learned { from, changes }, out);
            }
        }
    }

    fn tell_push(&mut self, now: Mono, event: PushEvent, out: &mut Vec<Act>) {
        let mut effects = Vec::new();
        self.push.on_event(now, event, &mut effects);
        self.perform_push(now, effects, out);
    }

    pub(super) fn perform_push(&mut self, now: Mono, effects: Vec<PushEffect>, out: &mut Vec<Act>) {
        for effect in effects {
            match effect {
                PushEffect::Send {
                    peer,
                    request,
                    changes,
                    claim,
                } => {
                    self.pushes += 1;
                    match self.alive.get(&peer).copied() {
                        Some(address) if claim.is_some() && !self.knows_position_at(peer) => {
                            let first = (peer, request, changes, claim);
                            let asked = Asked::Position(Box::new(first));
                            self.ask_peer((peer, address), asked, &Ask::Position, out);
                        }
                        Some(address) => {
                            let changes = changes.into();
                            let ask = Ask::Push { changes, claim };
                            self.ask_peer((peer, address), Asked::Push(peer, request), &ask, out);
                        }
                        None => self.pushed(now, (peer, request), None, out),
                    }
                }
                PushEffect::Sync(peer) => {
                    self.tell_schedule(now, ScheduleEvent::Wanted(vec![peer]), out);
                }
            }
        }
    }

    /// Whether a peer has told in this run up to where it has our writes.
    fn knows_position_at(&self, peer: MemberId) -> bool {
        self.app.acks().of(HybridTime::default()).contains(&peer)
    }

    /// A peer that is to get its first claim has told its position, or not.
    pub(super) fn position_told(
        &mut self,
        now: Mono,
        (peer, request, changes, claim): FirstPush,
        reply: Option<Reply>,
        out: &mut Vec<Act>,
    ) {
        let (Some(Reply::Taken(taken)), Some(_)) = (reply, self.alive.get(&peer)) else {
            return self.pushed(now, (peer, request), None, out);
        };
        let first = Box::new((peer, request, changes, claim));
        let has = taken.has;
        let waiter = Waiter::Position { has, first };
        self.upkeep(Upkeep::Lift(has), waiter, out);
    }

    /// The clock is above what the peer told: now the push goes out.
    pub(super) fn push_first(
        &mut self,
        now: Mono,
        (peer, request, changes, claim): FirstPush,
        out: &mut Vec<Act>,
    ) {
        match self.alive.get(&peer).copied() {
            Some(address) => {
                let changes = changes.into();
                let ask = Ask::Push { changes, claim };
                self.ask_peer((peer, address), Asked::Push(peer, request), &ask, out);
            }
            None => self.pushed(now, (peer, request), None, out),
        }
    }

    /// A push has ended.
    pub(super) fn pushed(
        &mut self,
        now: Mono,
        (peer, request): (MemberId, u64),
        reply: Option<Reply>,
        out: &mut Vec<Act>,
    ) {
        let has = match reply {
            Some(Reply::Taken(taken)) => Some(taken.has),
            _ => None,
        };
        if let Some(has) = has {
            self.app.acks().tell(peer, has);
            out.push(Act::Acked { peer, has });
        }
        self.tell_push(now, PushEvent::Done { peer, request, has }, out);
    }

    pub(super) fn tell_schedule(&mut self, now: Mono, event: ScheduleEvent, out: &mut Vec<Act>) {
        let mut effects = Vec::new();
        self.schedule.on_event(now, event, &mut effects);
        self.perform_sync(now, effects, out);
    }

    pub(super) fn perform_sync(&mut self, now: Mono, effects: Vec<SyncWith>, out: &mut Vec<Act>) {
        for SyncWith(peer) in effects {
            let Some(address) = self.alive.get(&peer).copied() else {
                let exchanged = None;
                self.tell_schedule(
                    now,
                    ScheduleEvent::Done {
                        peer,
                        exchanged,
                        differed: false,
                    },
                    out,
                );
                continue;
            };
            self.walks += 1;
            let about = self.upkeep.collector.about(&self.app.view().store);
            let walk = Walk::new(about);
            self.advance(
                now,
                Walking {
                    peer,
                    address,
                    walk,
                },
                None,
                out,
            );
        }
    }

    /// One step of the walk.
    pub(super) fn advance(
        &mut self,
        now: Mono,
        mut at: Walking,
        reply: Option<Reply>,
        out: &mut Vec<Act>,
    ) {
        let (view, history) = (self.app.view(), DiskHistory(self.app.disk().clone()));
        let step = match reply {
            Some(reply) => at.walk.on_reply(&view.store, &history, reply),
            None => at.walk.next(&view.store, &history),
        };
        match step {
            Err(_) => self.walk_ended(now, at.peer, None, out),
            Ok(WalkStep::Done) => {
                let walked = at.walk.walked();
                let (peer, has) = (at.peer, walked.has);
                self.app.acks().tell(peer, has);
                out.push(Act::Acked { peer, has });
                let exchanged = Some(walked.fetched + walked.pushed);
                self.walk_ended(now, peer, exchanged, out);
            }
            Ok(WalkStep::Merge(changes)) => self.walk_merges(at, changes, Vec::new(), out),
            Ok(WalkStep::Include(vector)) => {
                let claims = claims(&vector);
                self.walk_merges(at, Vec::new(), claims, out);
            }
            Ok(WalkStep::LetGo { gone, horizon }) => {
                let waiter = Waiter::LetGo(gone.len());
                self.walk = Some(at);
                self.upkeep(Upkeep::LetGo { gone, horizon }, waiter, out);
            }
            Ok(WalkStep::Ask(ask)) => {
                self.differed |= matches!(ask, Ask::Items(_) | Ask::Fetch(_));
                let peer = (at.peer, at.address);
                self.walk = Some(at);
                self.ask_peer(peer, Asked::Walk, &ask, out);
            }
        }
    }

    fn walk_merges(
        &mut self,
        at: Walking,
        changes: Vec<Change>,
        claims: Vec<(MemberId, Claim)>,
        out: &mut Vec<Act>,
    ) {
        let source = Source::Sync(at.peer);
        let arrival = Arrival {
            source,
            changes,
            claims,
        };
        self.walk = Some(at);
        let (reply, result) = oneshot::channel();
        let command = Command::Merge { arrival, reply };
        let waiter = Waiter::Walk(result);
        self.enqueue(Waiting { command, waiter }, out);
    }

    /// What the walk brought is on disk, or not.
    pub(super) fn walk_took(&mut self, now: Mono, brought: Option<Brought>, out: &mut Vec<Act>) {
        let Some(mut at) = self.walk.take() else {
            return;
        };
        match brought {
            Some(brought) => {
                at.walk.took(brought);
                self.advance(now, at, None, out);
            }
            None => self.walk_ended(now, at.peer, None, out),
        }
    }

    /// The peer has answered the walk, or not.
    pub(super) fn walk_answered(&mut self, now: Mono, reply: Option<Reply>, out: &mut Vec<Act>) {
        let Some(at) = self.walk.take() else {
            return;
        };
        match reply {
            Some(Reply::Met { about, below, root }) => {
                let told = self.met(now, at.peer, &about, out);
                let reply = Reply::Met { about, below, root };
                self.walk = Some(at);
                let waiter = Waiter::WalkMet { told, reply };
                self.upkeep(Upkeep::Lift(told), waiter, out);
            }
            Some(reply) => self.advance(now, at, Some(reply), out),
            None => self.walk_ended(now, at.peer, None, out),
        }
    }

    pub(super) fn walk_ended(
        &mut self,
        now: Mono,
        peer: MemberId,
        exchanged: Option<usize>,
        out: &mut Vec<Act>,
    ) {
        let differed = std::mem::take(&mut self.differed);
        self.tell_schedule(
            now,
            ScheduleEvent::Done {
                peer,
                exchanged,
                differed,
            },
            out,
        );
    }
}

fn claims(vector: &VersionVector) -> Vec<(MemberId, Claim)> {
    let base = HybridTime::default();
    let claim = |(origin, upto)| (origin, Claim { base, upto });
    vector.iter().map(claim).collect()
}
