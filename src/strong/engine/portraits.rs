//! Snapshots: made, kept on the disk in pieces, read and received piece by piece.

use std::sync::Arc;

use bytes::Bytes;
use openraft::{ErrorSubject, ErrorVerb, RaftSnapshotBuilder};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::strong::{Restore, State};

use super::disk::{Cell, Kept, LogChange, LogDisk, LogDiskError};
use super::log::{cell, set, storage_error};
use super::machine::View;
use super::scribe::Scribe;
use super::types::{Portrait, Snapshot, SnapshotMeta, StorageError, Types};

/// Which snapshot is current.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Current {
    pub(super) number: u64,
    pub(super) pieces: u32,
    pub(super) meta: SnapshotMeta,
}

/// The snapshots of one member.
#[derive(Debug)]
pub(super) struct Portraits {
    disk: Arc<dyn LogDisk>,
    scribe: Scribe,
    inner: Mutex<Inner>,
    receiving: tokio::sync::Mutex<Option<Receiving>>,
}

#[derive(Debug)]
struct Inner {
    current: Option<Current>,
    next: u64,
}

/// A snapshot that comes in.
#[derive(Debug)]
struct Receiving {
    meta: SnapshotMeta,
    number: u64,
    wanted: u32,
    restore: Restore,
}

/// What became of a piece that came in.
#[derive(Debug)]
pub(super) enum Taken {
    /// This piece is wanted next.
    Wants(u32),
    /// The snapshot is whole.
    Whole(Box<Snapshot>),
}

impl Portraits {
    /// The snapshots on the disk, and the state of the current one. Pieces of others, left over
    /// from what was broken off, are dropped. May block.
    pub(super) fn open(
        disk: Arc<dyn LogDisk>,
        kept: &Kept,
        scribe: Scribe,
    ) -> Result<(Self, View), LogDiskError> {
        let current: Option<Current> = cell(kept, Cell::Snapshot)?;
        let number = current.as_ref().map(|current| current.number);
        let others = kept.snapshots.keys().filter(|at| Some(**at) != number);
        let dropped: Vec<LogChange> = others.map(|at| LogChange::DropSnapshot(*at)).collect();
        if !dropped.is_empty() {
            disk.commit(&dropped)?;
        }
        let view = match &current {
            None => View::default(),
            Some(current) => {
                let state = restored(disk.as_ref(), current)?;
                View::restored(state, &current.meta)
            }
        };
        let highest = kept.snapshots.keys().max().copied().max(number);
        let portraits = Self {
            disk,
            scribe,
            inner: Mutex::new(Inner {
                current,
                next: highest.map_or(1, |highest| highest + 1),
            }),
            receiving: tokio::sync::Mutex::default(),
        };
        Ok((portraits, view))
    }

    /// The current snapshot.
    pub(super) fn current(&self) -> Option<Snapshot> {
        let inner = self.inner.lock();
        inner.current.as_ref().map(|current| Snapshot {
            meta: current.meta.clone(),
            snapshot: Box::new(Portrait {
                number: current.number,
                pieces: current.pieces,
                state: None,
            }),
        })
    }

    fn number(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.next += 1;
        inner.next - 1
    }

    /// A piece of a snapshot. May block.
    pub(super) fn piece(&self, number: u64, piece: u32) -> Result<Option<Bytes>, LogDiskError> {
        self.disk.piece(number, piece)
    }

    async fn write_piece(
        &self,
        snapshot: u64,
        piece: u32,
        bytes: Bytes,
    ) -> Result<(), LogDiskError> {
        let change = LogChange::Piece {
            snapshot,
            piece,
            bytes,
        };
        self.scribe.write(vec![change]).await
    }

    /// Makes a snapshot whose pieces are on the disk the current one; the one before goes.
    pub(super) async fn keep(
        &self,
        number: u64,
        pieces: u32,
        meta: &SnapshotMeta,
    ) -> Result<(), LogDiskError> {
        let current = Current {
            number,
            pieces,
            meta: meta.clone(),
        };
        let before = {
            let inner = self.inner.lock();
            let before = inner.current.as_ref();
            before.map(|before| (before.number, before.meta.last_log_id))
        };
        if before.is_some_and(|(_, reaches)| reaches > meta.last_log_id) {
            // A newer one was received while this one was made.
            return self
                .scribe
                .write(vec![LogChange::DropSnapshot(number)])
                .await;
        }
        let mut changes = vec![set(Cell::Snapshot, &current)];
        changes.extend(before.map(|(number, _)| LogChange::DropSnapshot(number)));
        self.scribe.write(changes).await?;
        self.inner.lock().current = Some(current);
        Ok(())
    }

    /// Which piece of a snapshot is wanted first: one that was broken off is taken up again.
    pub(super) async fn offered(&self, meta: &SnapshotMeta) -> Result<u32, LogDiskError> {
        let mut receiving = self.receiving.lock().await;
        if let Some(under_way) = receiving.as_ref() {
            if under_way.meta.snapshot_id == meta.snapshot_id {
                return Ok(under_way.wanted);
            }
            let dropped = LogChange::DropSnapshot(under_way.number);
            self.scribe.write(vec![dropped]).await?;
        }
        *receiving = Some(Receiving {
            meta: meta.clone(),
            number: self.number(),
            wanted: 0,
            restore: Restore::default(),
        });
        Ok(0)
    }

    /// Takes a piece, if it is the one that is wanted.
    pub(super) async fn take(
        &self,
        meta: &SnapshotMeta,
        pieces: u32,
        piece: u32,
        bytes: Bytes,
    ) -> Result<Taken, LogDiskError> {
        let mut receiving = self.receiving.lock().await;
        let Some(under_way) = receiving.as_mut() else {
            return Ok(Taken::Wants(0));
        };
        if under_way.meta.snapshot_id != meta.snapshot_id || under_way.wanted != piece {
            return Ok(Taken::Wants(under_way.wanted));
        }
        if let Err(why) = under_way.restore.take(&bytes) {
            let number = under_way.number;
            *receiving = None;
            let dropped = LogChange::DropSnapshot(number);
            self.scribe.write(vec![dropped]).await?;
            return Err(LogDiskError::Corrupt(format!("a snapshot received: {why}")));
        }
        let number = under_way.number;
        self.write_piece(number, piece, bytes).await?;
        under_way.wanted += 1;
        if under_way.wanted < pieces {
            return Ok(Taken::Wants(under_way.wanted));
        }
        let Some(whole) = receiving.take() else {
            return Ok(Taken::Wants(0));
        };
        let state = whole.restore.finish();
        let state = state.map_err(|why| LogDiskError::Corrupt(why.to_string()))?;
        Ok(Taken::Whole(Box::new(Snapshot {
            meta: whole.meta,
            snapshot: Box::new(Portrait {
                number,
                pieces,
                state: Some(Box::new(state)),
            }),
        })))
    }
}

fn restored(disk: &dyn LogDisk, current: &Current) -> Result<State, LogDiskError> {
    let damaged = |why: String| LogDiskError::Corrupt(format!("the snapshot: {why}"));
    let mut restore = Restore::default();
    for piece in 0..current.pieces {
        let bytes = disk.piece(current.number, piece)?;
        let bytes = bytes.ok_or_else(|| damaged(format!("piece {piece} is missing")))?;
        restore
            .take(&bytes)
            .map_err(|why| damaged(why.to_string()))?;
    }
    restore.finish().map_err(|why| damaged(why.to_string()))
}

/// Makes a snapshot of a state.
#[derive(Debug)]
pub(super) struct Painter {
    pub(super) view: View,
    pub(super) portraits: Arc<Portraits>,
}

impl Painter {
    async fn paint(&self) -> Result<Snapshot, LogDiskError> {
        let portraits = &self.portraits;
        let number = portraits.number();
        let mut pieces = 0;
        for piece in self.view.state.pieces() {
            portraits.write_piece(number, pieces, piece.into()).await?;
            pieces += 1;
        }
        let applied = self.view.applied;
        let meta = SnapshotMeta {
            last_log_id: applied,
            last_membership: self.view.membership.clone(),
            snapshot_id: applied.map_or_else(
                || format!("empty-{number}"),
                |id| format!("{}-{}-{number}", id.leader_id.term, id.index),
            ),
        };
        portraits.keep(number, pieces, &meta).await?;
        Ok(Snapshot {
            meta,
            snapshot: Box::new(Portrait {
                number,
                pieces,
                state: None,
            }),
        })
    }
}

impl RaftSnapshotBuilder<Types> for Painter {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let painted = self.paint().await;
        painted
            .map_err(|error| storage_error(ErrorSubject::Snapshot(None), ErrorVerb::Write, &error))
    }
}
