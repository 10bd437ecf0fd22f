//! A batch that is being decided: a working copy of the store, and the rows that will make it
//! durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::io::disk::{Batch, DiskError};
use crate::model::planted::{self, Bug};
use crate::model::{
    Change, Content, Gap, HybridClock, HybridTime, MemberId, Merged, NodeRegister, NodeState,
    Replaces, Row, Slot, Source, Stamp, Standing, Store, Version, WallTime,
};
use crate::protocol::message::{Claim, Have};

use super::Written;
use super::command::{Arrival, Command, Merging, Upkeep};
use super::edit::{Decision, Request, Scene, decide};
use super::error::EditError;
use super::limits::Limits;
use super::mend::{Mended, mend};
use super::past::Recalled;

/// The most changes that are held aside; beyond it what would be is not taken.
const HELD_LIMIT: usize = 100_000;
/// From so many bytes on, either.
const HELD_BYTES: usize = 64 << 20;

/// What a command came to, before the commit.
pub(super) enum Outcome {
    Edit(Written),
    Merge(Merging),
    Upkeep(usize),
    Mended(Mended),
    Probed,
}

/// What the ledger knows of this run of the member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// The clock's position when the store was loaded.
    booted: HybridTime,
    /// The first position of this run that others may have been told.
    first: Option<HybridTime>,
    /// Own writes that may be missing: the data directory was an older copy.
    gap: Option<Gap>,
}

impl Life {
    pub(super) fn new(booted: HybridTime, gap: Option<Gap>) -> Self {
        Self {
            booted,
            first: None,
            gap,
        }
    }

    /// Whether a position that a peer knows of us was given by a run that we do not remember.
    fn forgot(&self, to: HybridTime, position: HybridTime) -> bool {
        let before = self.first.is_none_or(|first| to < first);
        to > self.booted && (before || to > position)
    }
}

/// What a batch came to, on disk.
pub(super) struct Committed {
    pub(super) store: Store,
    pub(super) applied: Vec<(Change, bool, Source)>,
    pub(super) life: Life,
}

/// A batch that is being decided.
pub(super) struct Working<'a> {
    store: Store,
    batch: Batch<'a>,
    applied: Vec<(Change, bool, Source)>,
    rows: Vec<Row>,
    life: Life,
    now: WallTime,
    /// Whether it is to be committed even if nothing was changed.
    forced: bool,
}

impl<'a> Working<'a> {
    pub(super) fn new(store: Store, batch: Batch<'a>, life: Life, now: WallTime) -> Self {
        Self {
            store,
            batch,
            applied: Vec::new(),
            rows: Vec::new(),
            life,
            now,
            forced: false,
        }
    }

    /// Whether there is anything to write.
    pub(super) fn must_commit(&self) -> bool {
        self.forced || !self.batch.is_empty()
    }

    /// Writes everything; when this returns `Ok`, it is on disk. All own writes up to the clock's
    /// position are in it.
    pub(super) fn commit(
        self,
        me: MemberId,
        time: HybridTime,
        sequence: u64,
    ) -> Result<Committed, DiskError> {
        let Self {
            mut store,
            mut batch,
            applied,
            mut life,
            ..
        } = self;
        life.first.get_or_insert(time);
        if life.gap.is_none() {
            store.set_vector(me, time);
        }
        batch.clock(time, sequence);
        batch.root(store.digest().root());
        batch.commit()?;
        Ok(Committed {
            store,
            applied,
            life,
        })
    }

    pub(super) fn decide(
        &mut self,
        command: &Command,
        clock: &mut HybridClock,
        limits: Limits,
    ) -> Result<Result<Outcome, EditError>, DiskError> {
        match command {
            Command::Edit { request, .. } => self.edit(request, clock, limits),
            Command::Merge { arrival, .. } => self.arrive(arrival, clock),
            Command::Upkeep { upkeep, .. } => self
                .upkeep(upkeep, clock)
                .map(|done| done.map(Outcome::Upkeep)),
            Command::Mend { places, .. } => {
                self.forced = true;
                let Self { store, batch, .. } = self;
                Ok(Ok(Outcome::Mended(mend(store, batch, places)?)))
            }
            Command::Probe => {
                self.forced = true;
                Ok(Ok(Outcome::Probed))
            }
        }
    }

    fn edit(
        &mut self,
        request: &Request,
        clock: &mut HybridClock,
        limits: Limits,
    ) -> Result<Result<Outcome, EditError>, DiskError> {
        let mut scene = Scene {
            store: &self.store,
            clock,
            now: self.now,
            recalled: Recalled::of(&request.edit, &self.store, &self.batch)?,
        };
        let decision = match decide(&mut scene, request) {
            Ok(decision) => decision,
            Err(error) => return Ok(Err(error)),
        };
        if self.would_overflow(&decision, limits) {
            return Ok(Err(EditError::TooManyKeys { limit: limits.keys }));
        }
        for change in &decision.changes {
            self.merge(change, Source::Own)?;
        }
        Ok(Ok(Outcome::Edit(Written {
            created: decision.created,
            stamp: decision.changes.last().and_then(Change::stamp),
            revision: 0,
            position: HybridTime::default(),
        })))
    }

    /// Whether a decision could push the number of live keys over the limit: every new key counts,
    /// keys that it deletes do not make room for it.
    fn would_overflow(&self, decision: &Decision, limits: Limits) -> bool {
        let is_new = |change: &&Change| match change {
            Change::Key { node, key, version } => {
                let (node, key) = (node.as_str(), key.as_str());
                version.value().is_some() && self.store.get(node, key, version.written).is_none()
            }
            Change::Node { .. } | Change::Member { .. } => false,
        };
        let new = decision.changes.iter().filter(is_new).count();
        new > 0 && self.store.counts().keys + new > limits.keys
    }

    /// Takes what a peer sent. What is stamped too far ahead is held aside; what meets a damaged
    /// row is left out, and then nothing is claimed.
    fn arrive(
        &mut self,
        arrival: &Arrival,
        clock: &mut HybridClock,
    ) -> Result<Result<Outcome, EditError>, DiskError> {
        let Arrival {
            source,
            changes,
            claims,
        } = arrival;
        if let Source::Push(peer) | Source::Sync(peer) = source
            && self.store.is_forgotten(*peer)
        {
            return Ok(Err(EditError::Forgotten));
        }
        let mut merging = Merging {
            whole: true,
            ..Merging::default()
        };
        let gone = self.gone(changes);
        for change in changes {
            let stamp = change.stamp();
            if stamp.is_some() && stamp <= gone.get(&change.slot()).copied() {
                continue;
            }
            let time = stamp.map(|stamp| stamp.time);
            // What would change nothing that readers see can wait for nothing.
            let early = time.is_some_and(|time| clock.is_ahead(self.now, time));
            if early && !self.store.stands_above(change) {
                let (count, bytes) = (self.store.held_count(), self.store.held_bytes());
                if count >= HELD_LIMIT || bytes >= HELD_BYTES {
                    return Ok(Err(EditError::Overloaded));
                }
                let new = self.hold(change);
                merging.new += usize::from(new);
                merging.held += usize::from(new);
                continue;
            }
            clock.observe(self.now, time.unwrap_or_default());
            match self.merge(change, *source) {
                Ok(is_new) => merging.new += usize::from(is_new),
                Err(error @ DiskError::Corrupt { .. }) => {
                    let slot = change.slot();
                    tracing::error!(?source, %slot, %error, "a peer's change is left out");
                    merging.whole = false;
                }
                Err(error) => return Err(error),
            }
        }
        if merging.whole {
            for (origin, claim) in claims {
                self.include(*origin, *claim, clock.member());
            }
        }
        if let Source::Push(peer) | Source::Sync(peer) = source {
            merging.has = self.store.vector().get(*peer);
            if planted::is(Bug::AckOfReceived) {
                let told = claims.iter().filter(|(origin, _)| origin == peer);
                let told = told.map(|(_, claim)| claim.upto).max();
                merging.has = merging.has.max(told.unwrap_or_default());
            }
        }
        Ok(Ok(Outcome::Merge(merging)))
    }

    /// The slots of which something arrives that was let go, with the greatest stamp of it: what
    /// came before that is not wanted either.
    fn gone(&self, changes: &[Change]) -> BTreeMap<Slot, Stamp> {
        let mut gone = BTreeMap::new();
        for change in changes
            .iter()
            .filter(|change| self.store.was_let_go(change))
        {
            if let Some(stamp) = change.stamp() {
                let greatest = gone.entry(change.slot()).or_insert(stamp);
                *greatest = stamp.max(*greatest);
            }
        }
        gone
    }

    /// Includes an origin's writes as far as a claim says, if nothing is missing before it. Own
    /// writes are included anyway, unless some were lost.
    fn include(&mut self, origin: MemberId, claim: Claim, me: MemberId) {
        if origin == me {
            if self.life.gap.is_some_and(|gap| claim.upto >= gap.upto) {
                self.set_gap(None);
            }
        } else if self.store.vector().get(origin) >= claim.base
            || planted::is(Bug::ClaimIgnoresBase)
        {
            self.store.raise(origin, claim.upto, &mut self.rows);
            self.write_rows();
        }
    }

    fn upkeep(
        &mut self,
        upkeep: &Upkeep,
        clock: &mut HybridClock,
    ) -> Result<Result<usize, EditError>, DiskError> {
        match upkeep {
            Upkeep::Enlist(name) => self.enlist(clock.member(), name),
            Upkeep::Forget { member, author } => self.forget(*member, author, clock),
            Upkeep::Release => self.release(clock.limit(self.now)).map(Ok),
            Upkeep::Collect { slots, until } => {
                let mut done = 0;
                for slot in slots {
                    let batch = &self.batch;
                    let older = |node: &_, key: &_| batch.older(node, key);
                    let gone = self.store.collect(slot, *until, older, &mut self.rows);
                    done += usize::from(skip_damaged(gone, slot)?);
                    self.write_rows();
                }
                self.reach(*until);
                Ok(Ok(done))
            }
            Upkeep::LetGo { gone, horizon } => {
                let mut done = 0;
                for have in gone {
                    let let_go = skip_damaged(self.let_go(have), &have.slot)?;
                    done += usize::from(let_go);
                }
                // What was let go does not come back from another that missed it, either.
                self.reach((*horizon).min(self.store.watermark()));
                Ok(Ok(done))
            }
            Upkeep::Advance => {
                clock.lift(HybridTime::from_wall(self.now));
                self.forced = true;
                Ok(Ok(1))
            }
            Upkeep::Lift(to) => self.lift(*to, clock).map(Ok),
            Upkeep::Standings(told) => {
                let mut new = 0;
                for (member, standing) in told {
                    let sound = |stamp: Stamp| !clock.is_ahead(self.now, stamp.time);
                    if standing.forgotten().is_some_and(sound) {
                        let standing = Arc::new(standing.clone());
                        let change = Change::Member {
                            member: *member,
                            standing,
                        };
                        let source = Source::Sync(clock.member());
                        new += usize::from(self.merge(&change, source)?);
                    }
                }
                Ok(Ok(new))
            }
        }
    }

    /// Everything that is deleted up to here was collected.
    fn reach(&mut self, horizon: HybridTime) {
        if horizon > self.store.horizon() {
            self.store.set_horizon(horizon);
            if !planted::is(Bug::HorizonForgotten) {
                self.batch.write(&Row::Horizon(horizon));
            }
        }
    }

    fn enlist(
        &mut self,
        me: MemberId,
        name: &Arc<str>,
    ) -> Result<Result<usize, EditError>, DiskError> {
        if self.store.is_forgotten(me) {
            return Ok(Err(EditError::Forgotten));
        }
        let known = self.store.standing(me);
        if known.is_some_and(|standing| standing.name() == name) {
            return Ok(Ok(0));
        }
        let standing = Standing::Known {
            since: self.now,
            name: name.clone(),
        };
        self.member(me, standing).map(Ok)
    }

    fn forget(
        &mut self,
        member: MemberId,
        author: &Arc<str>,
        clock: &mut HybridClock,
    ) -> Result<Result<usize, EditError>, DiskError> {
        let Some(standing) = self.store.standing(member).cloned() else {
            return Ok(Err(EditError::MemberNotFound));
        };
        if self.store.is_forgotten(member) {
            return Ok(Ok(0));
        }
        let standing = Standing::Forgotten {
            stamp: clock.stamp(self.now, None),
            author: author.clone(),
            written: self.now,
            name: standing.name().clone(),
        };
        self.member(member, standing).map(Ok)
    }

    fn member(&mut self, member: MemberId, standing: Standing) -> Result<usize, DiskError> {
        let standing = Arc::new(standing);
        let new = self.merge(&Change::Member { member, standing }, Source::Own)?;
        Ok(usize::from(new))
    }

    fn release(&mut self, until: HybridTime) -> Result<usize, DiskError> {
        let due = self.store.held_until(until);
        for change in &due {
            let batch = &self.batch;
            let older = |node: &_, key: &_| batch.older(node, key);
            let merged = match self.store.take_in(change, older, &mut self.rows) {
                Ok(merged) => merged,
                Err(error @ DiskError::Corrupt { .. }) => {
                    let slot = change.slot();
                    tracing::error!(%slot, %error, "what is held aside meets a damaged key");
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.store.release(change, &mut self.rows);
            self.write_rows();
            if planted::is(Bug::FeedSkipsHeld) {
                continue;
            }
            if let (Merged::Current | Merged::History, Some(stamp)) = (merged, change.stamp()) {
                let current = merged == Merged::Current;
                let source = Source::Sync(stamp.member);
                self.applied.push((change.clone(), current, source));
            }
        }
        Ok(due.len())
    }

    /// Lets a key or register go if it is exactly what it was when a peer was asked about it.
    fn let_go(&mut self, have: &Have) -> Result<bool, DiskError> {
        let Have { slot, stamps } = have;
        let mut here: BTreeSet<Stamp> = BTreeSet::new();
        match slot {
            Slot::Key(node, key) => {
                if let Some(entry) = self.store.entry(node.as_str(), key.as_str()) {
                    here.insert(entry.head.stamp);
                    here.extend(self.batch.older(node, key)?.iter().map(|older| older.stamp));
                }
            }
            Slot::Node(node) => {
                here.extend(self.store.register(node.as_str()).map(|at| at.stamp));
            }
            Slot::Member(_) => {}
        }
        let held: Vec<Change> = self.store.held_of(slot).cloned().collect();
        here.extend(held.iter().filter_map(Change::stamp));
        if here.is_empty() || here != stamps.iter().copied().collect() {
            return Ok(false);
        }
        let seen = match slot {
            Slot::Key(node, key) => self
                .store
                .get(node.as_str(), key.as_str(), self.now)
                .cloned(),
            Slot::Node(_) | Slot::Member(_) => None,
        };
        let node = match slot {
            Slot::Node(node) => self.store.register(node.as_str()).cloned(),
            Slot::Key(..) | Slot::Member(_) => None,
        };
        let batch = &self.batch;
        let older = |node: &_, key: &_| batch.older(node, key);
        let gone = self.store.let_go(slot, older, &mut self.rows)?;
        for change in &held {
            self.store.release(change, &mut self.rows);
        }
        self.write_rows();
        if let (true, Some(seen), Slot::Key(node, key)) = (gone, seen, slot) {
            // It was visible here only because this member had missed its deletion.
            let version = Arc::new(Version {
                content: Content::Tombstone,
                ..(*seen).clone()
            });
            let (node, key) = (node.clone(), key.clone());
            let source = Source::Sync(seen.stamp.member);
            let change = Change::Key { node, key, version };
            self.applied.push((change, true, source));
        }
        if let (true, Some(seen), Slot::Node(name)) = (gone, node, slot)
            && seen.settings().is_some()
        {
            let source = Source::Sync(seen.stamp.member);
            let register = Arc::new(NodeRegister {
                state: NodeState::Deleted,
                ..(*seen).clone()
            });
            let node = name.clone();
            let change = Change::Node { node, register };
            self.applied.push((change, true, source));
        }
        Ok(gone || !held.is_empty())
    }

    /// This member gave stamps up to `to` in a run that it does not remember. It goes on above
    /// them; what it wrote since under stamps that others may take for seen, it writes again.
    fn lift(&mut self, to: HybridTime, clock: &mut HybridClock) -> Result<usize, DiskError> {
        let me = clock.member();
        if planted::is(Bug::OldCopyUnnoticed) {
            return Ok(0);
        }
        let gap = self.life.gap;
        let known = gap.is_some_and(|gap| gap.upto >= to);
        if known || !self.life.forgot(to, clock.position().0) {
            return Ok(0);
        }
        tracing::warn!(
            "peers know writes of this member that it does not have: its data directory is an \
             older copy; they come back by sync"
        );
        clock.lift(to);
        let from = gap.map_or(self.life.booted, |gap| gap.from);
        self.set_gap(Some(Gap { from, upto: to }));
        self.store.set_vector(me, from);
        let mut again = Vec::new();
        for (node, at) in self.store.all_nodes() {
            for (key, entry) in at.entries() {
                let Stamp { time, member, .. } = entry.head.stamp;
                if member == me && time > self.life.booted && time <= to {
                    again.push((node.clone(), key.clone(), entry.head.clone()));
                }
            }
        }
        let count = again.len();
        for (node, key, old) in again {
            let version = Arc::new(Version {
                stamp: clock.stamp(self.now, Some(old.stamp.time)),
                replaces: Replaces::One(old.stamp),
                ..(*old).clone()
            });
            self.merge(&Change::Key { node, key, version }, Source::Own)?;
        }
        Ok(count)
    }

    fn set_gap(&mut self, gap: Option<Gap>) {
        self.life.gap = gap;
        self.batch.write(&Row::Gap(gap));
    }

    fn hold(&mut self, change: &Change) -> bool {
        let new = self.store.hold(change, &mut self.rows);
        if planted::is(Bug::HeldInMemory) {
            self.rows.clear();
        }
        self.write_rows();
        new
    }

    fn merge(&mut self, change: &Change, source: Source) -> Result<bool, DiskError> {
        let batch = &self.batch;
        let older = |node: &_, key: &_| batch.older(node, key);
        let merged = self.store.merge(change, older, &mut self.rows)?;
        self.write_rows();
        let current = match merged {
            Merged::Nothing | Merged::Gone => return Ok(false),
            Merged::History => false,
            Merged::Current => true,
        };
        self.applied.push((change.clone(), current, source));
        Ok(true)
    }

    fn write_rows(&mut self) {
        for row in self.rows.drain(..) {
            self.batch.write(&row);
        }
    }
}

/// A key whose rows are damaged is left as it is, until the scrub has mended it.
fn skip_damaged(done: Result<bool, DiskError>, slot: &Slot) -> Result<bool, DiskError> {
    match done {
        Err(error @ DiskError::Corrupt { .. }) => {
            tracing::error!(%slot, %error, "upkeep leaves a damaged key out");
            Ok(false)
        }
        other => other,
    }
}
