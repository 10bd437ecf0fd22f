//! Applies committed entries to the state, and shows it.
//!
//! An entry of the Raft log carries many commands. Each is applied at a *position* of its own:
//! positions count commands, leaders' first entries and changes of the voters, one after the other,
//! so that they are the same on every member; versions and fencing tokens are positions.

use std::sync::Arc;

use arc_swap::ArcSwap;
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, StorageIOError};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use crate::model::MemberId;
use crate::strong::{self, Event, Place, State};

use super::disk::LogDiskError;
use super::log::storage_error;
use super::portraits::{Painter, Portraits};
use super::types::{
    Answers, Entry, LogId, Portrait, Snapshot, SnapshotMeta, StorageError, StoredMembership, Types,
};

/// How many commands' events wait for whoever follows them; who falls behind begins anew from the
/// state.
const EVENTS: usize = 4096;

/// The state after some entry, as everybody may read it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The state.
    pub state: State,
    pub(super) applied: Option<LogId>,
    pub(super) membership: StoredMembership,
}

impl View {
    /// What a snapshot shows.
    pub(super) fn restored(state: State, meta: &SnapshotMeta) -> Self {
        Self {
            state,
            applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
        }
    }

    /// The position of the last command; 0 before the first.
    pub fn position(&self) -> u64 {
        self.state.clock().place().map_or(0, |place| place.index)
    }
}

/// What happened, for those who follow.
#[derive(Clone, Debug)]
pub enum Happened {
    /// The events of the command at a position.
    At(u64, Arc<[Event]>),
    /// The state was replaced by a newer one: what happened between is not known.
    Replaced,
}

/// What the machine shows to others.
#[derive(Debug)]
pub(super) struct Shown {
    view: ArcSwap<View>,
    changed: watch::Sender<u64>,
    happened: broadcast::Sender<Happened>,
    /// Why the machine stopped, if it did: an entry that this release cannot read.
    stopped: Mutex<Option<String>>,
}

impl Shown {
    pub(super) fn new() -> Self {
        Self {
            view: ArcSwap::default(),
            changed: watch::Sender::new(0),
            happened: broadcast::Sender::new(EVENTS),
            stopped: Mutex::default(),
        }
    }

    /// The state as it is now on this member.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Tells the position after each change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells what happens from now on.
    pub(super) fn happenings(&self) -> broadcast::Receiver<Happened> {
        self.happened.subscribe()
    }

    /// Why nothing is applied any more.
    pub(super) fn stopped(&self) -> Option<String> {
        self.stopped.lock().clone()
    }

    fn show(&self, view: View, happened: Vec<Happened>) {
        let position = view.position();
        self.view.store(Arc::new(view));
        for happened in happened {
            // Nobody has to follow.
            let _ = self.happened.send(happened);
        }
        self.changed.send_replace(position);
    }
}

/// Applies entries.
pub(super) struct Machine {
    view: View,
    shown: Arc<Shown>,
    portraits: Arc<Portraits>,
}

impl Machine {
    /// A machine that goes on from the newest snapshot, if there is one.
    pub(super) fn new(shown: Arc<Shown>, portraits: Arc<Portraits>, view: View) -> Self {
        shown.show(view.clone(), vec![Happened::Replaced]);
        *shown.stopped.lock() = None;
        Self {
            view,
            shown,
            portraits,
        }
    }

    /// Whose entry it is: the member behind the voter, as the log itself has it.
    fn leader(&self, id: LogId) -> MemberId {
        let voter = id.leader_id.node_id;
        let known = self.view.membership.membership().get_node(&voter);
        known.map_or(MemberId::from_u64(voter.0), |voter| voter.member)
    }

    fn apply_one(&mut self, entry: Entry, happened: &mut Vec<Happened>) -> Result<Answers, String> {
        if let EntryPayload::Membership(membership) = &entry.payload {
            self.view.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
        }
        self.view.applied = Some(entry.log_id);
        let leader = self.leader(entry.log_id);
        let term = entry.log_id.leader_id.term;
        let place = |state: &State| Place {
            index: state.clock().place().map_or(1, |last| last.index + 1),
            term,
            leader,
        };
        let EntryPayload::Normal(proposal) = entry.payload else {
            let at = place(&self.view.state);
            let passed = self.view.state.pass(at).map_err(|why| why.to_string())?;
            happen(at, passed, happened);
            return Ok(Answers::default());
        };
        let mut answers = Vec::with_capacity(proposal.entries.len());
        for bytes in &proposal.entries {
            let at = place(&self.view.state);
            let command = strong::Entry::decode(bytes).map_err(|why| why.to_string())?;
            let applied = self.view.state.apply(at, &command);
            let applied = applied.map_err(|why| why.to_string())?;
            answers.push(applied.answer);
            happen(at, applied.events, happened);
        }
        Ok(Answers(answers))
    }
}

fn happen(at: Place, events: Vec<Event>, happened: &mut Vec<Happened>) {
    if !events.is_empty() {
        happened.push(Happened::At(at.index, events.into()));
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Painter;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.view.applied, self.view.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answers>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (mut answers, mut happened) = (Vec::new(), Vec::new());
        for entry in entries {
            let id = entry.log_id;
            match self.apply_one(entry, &mut happened) {
                Ok(answer) => answers.push(answer),
                Err(why) => {
                    tracing::error!(entry = %id, %why, "the strong side cannot go on");
                    *self.shown.stopped.lock() = Some(why.clone());
                    return Err(StorageIOError::apply(id, AnyError::error(why)).into());
                }
            }
        }
        self.shown.show(self.view.clone(), happened);
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Painter {
        Painter {
            view: self.view.clone(),
            portraits: self.portraits.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Portrait>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Portrait>,
    ) -> Result<(), StorageError> {
        let failed = |error: &LogDiskError| {
            let subject = ErrorSubject::Snapshot(Some(meta.signature()));
            storage_error(subject, ErrorVerb::Write, error)
        };
        let Portrait {
            number,
            pieces,
            state,
        } = *snapshot;
        let Some(state) = state else {
            let why = LogDiskError::Corrupt("a snapshot without its state".to_owned());
            return Err(failed(&why));
        };
        let kept = self.portraits.keep(number, pieces, meta).await;
        kept.map_err(|error| failed(&error))?;
        self.view = View::restored(*state, meta);
        self.shown.show(self.view.clone(), vec![Happened::Replaced]);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        Ok(self.portraits.current())
    }
}
