//! What a member has on its disk when it starts, read without taking part.

use std::sync::Arc;

use openraft::EntryPayload;
use openraft::storage::RaftStateMachine;

use super::disk::{Cell, Kept, LogDiskError};
use super::engine::Engine;
use super::log::{Log, cell};
use super::machine::{Machine, View};
use super::portraits::Portraits;
use super::running::on_thread;
use super::scribe::Scribe;
use super::seal::Stand;
use super::types::{LogId, StoredMembership};

/// What was found.
pub(super) struct Recalled {
    /// What others count on.
    pub(super) stand: Stand,
    /// The state after the last entry that is known to be committed.
    pub(super) view: View,
}

/// Which entries of the log are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upto {
    Committed,
    All,
}

impl Engine {
    /// Reads what is on the disk, and shows the state that is in it.
    pub(super) async fn recall(&self) -> Result<Recalled, LogDiskError> {
        self.recall_up_to(Upto::Committed).await
    }

    /// Shows all that is in the log of a group that does not go on: what was answered is among it.
    pub(super) async fn recall_all(&self) -> Result<(), LogDiskError> {
        self.recall_up_to(Upto::All).await.map(drop)
    }

    async fn recall_up_to(&self, upto: Upto) -> Result<Recalled, LogDiskError> {
        let inner = &self.0;
        let (disk, world) = (inner.disk.clone(), inner.world.clone());
        let scribe = Scribe::start(disk.clone(), world.as_ref());
        let opening = {
            let world = world.clone();
            move || {
                let kept: Kept = disk.load()?;
                let committed: Option<LogId> = cell(&kept, Cell::Committed)?;
                let (portraits, view) = Portraits::open(disk.clone(), &kept, scribe.clone())?;
                let log = Log::open(disk, &kept, scribe, world)?;
                Ok::<_, LogDiskError>((portraits, view, log, committed))
            }
        };
        let broke_off = || LogDiskError::Failed("reading the strong side broke off".to_owned());
        let opened = on_thread(world.as_ref(), opening).await;
        let (portraits, view, log, committed) = opened.ok_or_else(broke_off)??;
        let from = view.applied.map_or(0, |id| id.index + 1);
        let mut entries = log.all_from(from).await?;
        let mut membership = view.membership.clone();
        for entry in &entries {
            if let EntryPayload::Membership(newer) = &entry.payload {
                membership = StoredMembership::new(Some(entry.log_id), newer.clone());
            }
        }
        let stand = Stand {
            vote: log.vote(),
            last: log.last(),
            membership,
        };
        if upto == Upto::Committed {
            entries.retain(|entry| Some(entry.log_id) <= committed);
        }
        let mut machine = Machine::new(inner.shown.clone(), Arc::new(portraits), view);
        let applied = machine.apply(entries).await;
        applied.map_err(|error| LogDiskError::Corrupt(error.to_string()))?;
        let view = inner.shown.view().as_ref().clone();
        Ok(Recalled { stand, view })
    }
}
