//! What the engine needs of the world around it: clocks, chance, tasks, and a way to its peers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::model::{MemberId, WallTime};
use crate::protocol::Mono;

/// The world around an engine.
pub trait World: Send + Sync + 'static {
    /// Monotonic time.
    fn mono(&self) -> Mono;

    /// The wall clock.
    fn wall(&self) -> WallTime;

    /// Sixteen random bytes that nobody can guess.
    fn random(&self) -> [u8; 16];

    /// Starts a task, which is dropped when the engine's member stops.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs work that may block on a thread of its own.
    fn block(&self, work: Box<dyn FnOnce() + Send>);

    /// Asks a member and waits for its answer, at most `limit`.
    fn ask(
        &self,
        to: MemberId,
        about: Matter,
        body: Bytes,
        limit: Duration,
    ) -> BoxFuture<'static, Result<Bytes, AskError>>;
}

/// What a message is about; it has a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matter {
    /// Entries, and the leader's sign of life.
    Append,
    /// An election.
    Vote,
    /// A snapshot.
    Snapshot,
    /// A command or a question that the leader is to answer.
    Request,
    /// Who belongs to the group.
    Group,
}

impl Matter {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Append,
        Self::Vote,
        Self::Snapshot,
        Self::Request,
        Self::Group,
    ];

    /// Its word in a path.
    pub fn word(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Vote => "vote",
            Self::Snapshot => "snapshot",
            Self::Request => "request",
            Self::Group => "group",
        }
    }
}

/// Why a member was not asked with success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It did not get the question.
    #[error("{0}")]
    NotReached(String),
    /// It may have got the question.
    #[error("{0}")]
    NoAnswer(String),
}

/// A peer as discovery sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who.
    pub member: MemberId,
    /// Its name.
    pub name: Arc<str>,
    /// A number that another start of it changes.
    pub generation: u64,
}
