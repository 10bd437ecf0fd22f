//! Raft's questions to its peers.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{ErrorSubject, ErrorVerb, OptionalSend};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::Mono;

use super::encoding::{decode, encode};
use super::group::GroupId;
use super::log::storage_error;
use super::message::{GroupAsk, Letter, Reply, SnapshotReply, SnapshotStep};
use super::portraits::Portraits;
use super::types::{LogId, Snapshot, Types, Vote, Voter, VoterId};
use super::world::{AskError, Matter, World};

/// How long a peer may take for a piece of a snapshot.
const PIECE: Duration = Duration::from_secs(20);
/// How long it may take to put the last piece to the others and begin with the state.
const INSTALL: Duration = Duration::from_mins(2);
/// How many times a step of a snapshot is tried before the whole is begun again.
const TRIES: u32 = 5;

/// Up to where each peer has acknowledged entries, to this member as the leader of that vote.
pub(super) type Acknowledged = Arc<Mutex<BTreeMap<VoterId, (Vote, LogId)>>>;

/// Makes the ways to the peers.
#[derive(Clone)]
pub(super) struct Peers {
    pub(super) world: Arc<dyn World>,
    pub(super) group: GroupId,
    pub(super) me: VoterId,
    pub(super) portraits: Arc<Portraits>,
    /// When each peer's engine answered last.
    pub(super) answered: Answered,
    /// What they acknowledged.
    pub(super) acknowledged: Acknowledged,
}

/// When each peer's engine answered last, whatever it said.
pub(super) type Answered = Arc<Mutex<BTreeMap<VoterId, Mono>>>;

impl Peers {
    fn acknowledged(&self, peer: VoterId, vote: Vote) -> Option<LogId> {
        let all = self.acknowledged.lock();
        let (under, upto) = all.get(&peer)?;
        (*under == vote).then_some(*upto)
    }

    fn note(&self, peer: VoterId, vote: Vote, upto: Option<LogId>) {
        if let Some(upto) = upto.max(self.acknowledged(peer, vote)) {
            self.acknowledged.lock().insert(peer, (vote, upto));
        }
    }
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: VoterId, node: &Voter) -> Peer {
        Peer {
            peers: self.clone(),
            target,
            node: node.clone(),
        }
    }
}

/// The way to one peer.
pub(super) struct Peer {
    peers: Peers,
    target: VoterId,
    node: Voter,
}

/// Why a peer did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum PeerError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the answer cannot be read: {0}")]
    Encoding(#[from] super::encoding::EncodingError),
    #[error(transparent)]
    Declined(#[from] super::message::Declined),
    #[error("it has lost what it acknowledged")]
    Lost,
    #[error("{0}")]
    Failed(String),
}

type Failed = RPCError<VoterId, Voter, RaftError<VoterId>>;

impl From<PeerError> for Failed {
    fn from(error: PeerError) -> Self {
        // Tried again after a while: see `backoff`.
        Self::Unreachable(Unreachable::new(&error))
    }
}

impl Peer {
    async fn ask<T: DeserializeOwned>(
        &self,
        about: Matter,
        body: impl Serialize,
        limit: Duration,
    ) -> Result<T, PeerError> {
        let letter = Letter {
            group: self.peers.group,
            to: self.target,
            from: self.peers.me,
            body,
        };
        let world = &self.peers.world;
        let answer = world.ask(self.node.member, about, encode(&letter), limit);
        let reply: Reply<T> = decode(&answer.await?)?;
        let reply = reply?;
        let now = world.mono();
        self.peers.answered.lock().insert(self.target, now);
        Ok(reply)
    }

    /// Notes up to where the peer has entries. One that has fewer than it acknowledged was set back
    /// to an older copy: it must not vote under this id any more, and is told so.
    fn note(
        &self,
        vote: Vote,
        (before, last): (Option<LogId>, Option<LogId>),
        reply: &AppendEntriesResponse<VoterId>,
    ) -> Result<(), PeerError> {
        let known = self.peers.acknowledged(self.target, vote);
        match reply {
            AppendEntriesResponse::Success => self.peers.note(self.target, vote, last),
            AppendEntriesResponse::PartialSuccess(upto) => {
                self.peers.note(self.target, vote, *upto);
            }
            AppendEntriesResponse::Conflict if before.is_some() && before <= known => {
                tracing::error!(
                    peer = %self.node.name, voter = %self.target,
                    "a voter has lost what it acknowledged: it begins again under another id"
                );
                let lost = GroupAsk::Lost(self.peers.group, self.target);
                let world = &self.peers.world;
                let told = world.ask(self.node.member, Matter::Group, encode(&lost), PIECE);
                world.spawn(Box::pin(async move {
                    // Told again with the next entries if this does not arrive.
                    drop(told.await);
                }));
                return Err(PeerError::Lost);
            }
            AppendEntriesResponse::Conflict | AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(())
    }

    async fn step(&self, step: &SnapshotStep, limit: Duration) -> Result<SnapshotReply, PeerError> {
        let mut tries = 1;
        loop {
            match self.ask(Matter::Snapshot, step, limit).await {
                Err(PeerError::Ask(why)) if tries < TRIES => {
                    tracing::debug!(peer = %self.node.name, %why, "a piece is sent again");
                    tokio::time::sleep(Duration::from_millis(100 << tries)).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn piece(&self, number: u64, piece: u32) -> Result<bytes::Bytes, SendError> {
        let portraits = self.peers.portraits.clone();
        let (done, read) = tokio::sync::oneshot::channel();
        self.peers.world.block(Box::new(move || {
            // Who does not wait any more need not be told.
            let _ = done.send(portraits.piece(number, piece));
        }));
        match read.await {
            Ok(Ok(Some(bytes))) => Ok(bytes),
            Ok(Err(error)) => Err(SendError::Disk(error)),
            // A newer snapshot took its place.
            Ok(Ok(None)) | Err(_) => Err(SendError::Peer(PeerError::Failed(
                "the snapshot is gone".to_owned(),
            ))),
        }
    }

    async fn send(&self, vote: Vote, snapshot: &Snapshot) -> Result<Vote, SendError> {
        let portrait = &snapshot.snapshot;
        let step = |piece| SnapshotStep {
            vote,
            meta: snapshot.meta.clone(),
            pieces: portrait.pieces,
            piece,
        };
        let mut reply = self.step(&step(None), PIECE).await?;
        loop {
            match reply {
                SnapshotReply::Installed(vote) => return Ok(vote),
                SnapshotReply::Failed(why) => return Err(PeerError::Failed(why).into()),
                SnapshotReply::Wants(piece) => {
                    let bytes = self.piece(portrait.number, piece).await?;
                    let is_last = piece + 1 == portrait.pieces;
                    let limit = if is_last { INSTALL } else { PIECE };
                    reply = self.step(&step(Some((piece, bytes))), limit).await?;
                }
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Disk(super::disk::LogDiskError),
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<VoterId>, Failed> {
        let (vote, before) = (rpc.vote, rpc.prev_log_id);
        let last = rpc.entries.last().map(|entry| entry.log_id);
        let reply: AppendEntriesResponse<VoterId> =
            self.ask(Matter::Append, rpc, option.hard_ttl()).await?;
        self.note(vote, (before, last.or(before)), &reply)?;
        Ok(reply)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<VoterId>,
        option: RPCOption,
    ) -> Result<VoteResponse<VoterId>, Failed> {
        Ok(self.ask(Matter::Vote, rpc, option.hard_ttl()).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<VoterId>, StreamingError<Types, Fatal<VoterId>>> {
        let sent = tokio::select! {
            sent = self.send(vote, &snapshot) => sent,
            closed = cancel => return Err(StreamingError::Closed(closed)),
        };
        match sent {
            Ok(vote) => Ok(SnapshotResponse::new(vote)),
            Err(SendError::Peer(error)) => {
                Err(StreamingError::Unreachable(Unreachable::new(&error)))
            }
            Err(SendError::Disk(error)) => Err(StreamingError::StorageError(storage_error(
                ErrorSubject::Snapshot(Some(snapshot.meta.signature())),
                ErrorVerb::Read,
                &error,
            ))),
        }
    }

    fn backoff(&self) -> Backoff {
        let waits = [20, 50, 100, 200, 400].into_iter();
        let waits = waits.chain(std::iter::repeat(500));
        Backoff::new(waits.map(Duration::from_millis))
    }
}
