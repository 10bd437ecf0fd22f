//! What waits for the writer, and how it is answered.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::model::{Change, HybridTime, KeyName, MemberId, NodeName, Slot, Source, Standing};
use crate::protocol::message::{Claim, Have};

use super::Written;
use super::edit::{Edit, Request};
use super::error::EditError;
use super::mend::Mended;

/// What waits for the writer.
#[derive(Debug)]
pub enum Command {
    /// A client's edit.
    Edit {
        /// What to do.
        request: Request,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Written, EditError>>,
    },
    /// Changes from a peer.
    Merge {
        /// What to take.
        arrival: Arrival,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Merging, EditError>>,
    },
    /// What the member itself must do.
    Upkeep {
        /// What to do.
        upkeep: Upkeep,
        /// Where the answer goes: how much was done.
        reply: oneshot::Sender<Result<usize, EditError>>,
    },
    /// Write again what is damaged on disk, as far as it is known.
    Mend {
        /// The keys, and the nodes whose register it is about.
        places: Vec<(NodeName, Option<KeyName>)>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Mended, EditError>>,
    },
    /// Find out whether the disk takes writes again.
    Probe,
}

/// What came from a peer.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The peer, and how it came.
    pub source: Source,
    /// What it sent.
    pub changes: Vec<Change>,
    /// What that amounts to.
    pub claims: Vec<(MemberId, Claim)>,
}

/// What became of an arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merging {
    /// How many changes were new.
    pub new: usize,
    /// How many of them are held aside.
    pub held: usize,
    /// Whether none had to be left out because of damage on this disk.
    pub whole: bool,
    /// Up to where the peer's own writes are included now.
    pub has: HybridTime,
}

/// Something that a member does by itself.
#[derive(Clone, Debug)]
pub enum Upkeep {
    /// Say that this member belongs to the cluster, under this name.
    Enlist(Arc<str>),
    /// Forget a member for good.
    Forget {
        /// The member.
        member: MemberId,
        /// Who decided it.
        author: Arc<str>,
    },
    /// Take these decisions to forget members; whoever brings them.
    Standings(Vec<(MemberId, Standing)>),
    /// Merge what was held aside and whose time has come.
    Release,
    /// Let these go if they are deleted at or below a stable time.
    Collect {
        /// The keys and nodes.
        slots: Vec<Slot>,
        /// The time.
        until: HybridTime,
    },
    /// Let these go, where they are exactly this still: a peer had all of it and has it no more.
    LetGo {
        /// What it is.
        gone: Vec<Have>,
        /// Up to where the peer collected.
        horizon: HybridTime,
    },
    /// Have the clock's position reach this wall clock and be kept, so that it can be told.
    Advance,
    /// A peer includes this member's own writes up to here. If that is more than this member ever
    /// gave, its data directory is an older copy.
    Lift(HybridTime),
}

/// How large a restored value is taken to be before it is read, in bytes: as large as a value may
/// be by default.
const RESTORED: usize = 1 << 20;

impl Command {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Edit { request, .. } if matches!(request.edit, Edit::Restore { .. }) => RESTORED,
            Self::Edit { request, .. } => request
                .edit
                .values()
                .map(|(_, value)| value.octets.len())
                .sum(),
            Self::Merge { arrival, .. } => arrival.changes.iter().map(Change::size).sum(),
            Self::Upkeep { .. } | Self::Mend { .. } | Self::Probe => 0,
        }
    }

    /// Whether it makes stamps by this member's clock that others go by.
    pub(super) fn needs_the_clock(&self) -> bool {
        match self {
            Self::Edit { .. } => true,
            Self::Upkeep { upkeep, .. } => match upkeep {
                Upkeep::Forget { .. } | Upkeep::Advance => true,
                Upkeep::Enlist(_)
                | Upkeep::Standings(_)
                | Upkeep::Release
                | Upkeep::Collect { .. }
                | Upkeep::LetGo { .. }
                | Upkeep::Lift(_) => false,
            },
            Self::Merge { .. } | Self::Mend { .. } | Self::Probe => false,
        }
    }

    pub(super) fn only_deletes(&self) -> bool {
        match self {
            Self::Edit { request, .. } => request.edit.only_deletes(),
            Self::Upkeep { upkeep, .. } => {
                matches!(upkeep, Upkeep::Collect { .. } | Upkeep::LetGo { .. })
            }
            Self::Merge { .. } | Self::Mend { .. } | Self::Probe => false,
        }
    }

    pub(super) fn refuse(self, error: EditError) {
        match self {
            Self::Edit { reply, .. } => drop(reply.send(Err(error))),
            Self::Merge { reply, .. } => drop(reply.send(Err(error))),
            Self::Mend { reply, .. } => drop(reply.send(Err(error))),
            Self::Upkeep { reply, .. } => drop(reply.send(Err(error))),
            Self::Probe => {}
        }
    }
}
