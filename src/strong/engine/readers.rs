//! Reads that are linearizable: whoever leads asks a majority whether it still does, once for all
//! reads that wait, and a reader then waits until its member has applied as much.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::running::Running;

/// How many reads may wait; more are refused.
pub(super) const WAITING: usize = 16_384;
/// How long the majority may take to answer.
const CONFIRM: Duration = Duration::from_millis(2 * super::running::ELECTION.1);

/// A read that waits for the index of the Raft log from which on it is fresh; none: it cannot be
/// told, because this member does not lead or the majority does not answer.
pub(super) type Reading = oneshot::Sender<Result<Option<u64>, Unconfirmed>>;

/// Why a leader could not confirm that it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unconfirmed {
    /// It does not lead.
    NotLeader,
    /// The majority did not answer.
    NoQuorum,
}

/// Answers reads until nobody asks any more.
pub(super) async fn run(running: Arc<Running>, mut queue: mpsc::Receiver<Reading>) {
    while let Some(first) = queue.recv().await {
        let handing_over = running.hand_over.read().await;
        let mut reads = vec![first];
        // Only who asked before the question goes out may have its answer.
        while let Ok(next) = queue.try_recv() {
            reads.push(next);
        }
        let vote = running.log.vote();
        let confirmed = tokio::time::timeout(CONFIRM, running.raft.get_read_log_id()).await;
        drop(handing_over);
        let answer = match confirmed {
            Ok(Ok((read, _))) => Ok(running.fresh_from(vote, read.map(|read| read.index))),
            Ok(Err(error)) => Err(match error.into_api_error() {
                Some(openraft::error::CheckIsLeaderError::QuorumNotEnough(_)) => {
                    Unconfirmed::NoQuorum
                }
                Some(openraft::error::CheckIsLeaderError::ForwardToLeader(_)) | None => {
                    Unconfirmed::NotLeader
                }
            }),
            Err(_elapsed) => Err(Unconfirmed::NoQuorum),
        };
        for read in reads {
            // Who does not wait any more need not be told.
            let _ = read.send(answer);
        }
    }
}
