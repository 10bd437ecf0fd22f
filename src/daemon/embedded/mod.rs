//! Members inside a program: the strong side as a library.
//!
//! A [`Hall`] connects members of one process through memory; a [`Network`] makes whole members of
//! them, which find others over the network, in this process or elsewhere. Both give the same
//! handle, [`Embedded`], and found a group like members that are daemons, with the same engine.
//! Each member keeps what it must in memory or in a data directory.
//!
//! ```
//! # async fn doc() -> Result<(), gaggle::daemon::embedded::EmbedError> {
//! use gaggle::daemon::embedded::{Hall, Keep};
//!
//! let hall = Hall::new();
//! let alone = hall.start("a", 1, Keep::InMemory).await?;
//! let index = alone.append("rhyme", r#"{"line":"mary had a little lamb"}"#).await?;
//! assert_eq!(index, 1);
//! # Ok(()) }
//! ```
//!
//! | file | what lives there |
//! |---|---|
//! | `hall` | members that are connected through memory |
//! | `network` | whole members, connected over the network |

mod hall;
mod network;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::io::disk::{DirError, DiskError};
use crate::io::random;
use crate::model::MemberId;
use crate::strong::engine::{Engine, LogDiskError, Request, StrongError};
use crate::strong::{
    Acquire, Command, CounterOp, LockCommand, LogItem, LogOp, Millis, Nonce, Op, Outcome, Refused,
};

use super::DaemonError;
use hall::Guest;
use network::Whole;

pub use hall::Hall;
pub use network::Network;

/// How long a command waits for the majority.
const LIMIT: Duration = Duration::from_secs(10);
/// How long it is waited before something is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// The most bytes of entries that are read at once.
const PAGE: usize = 1 << 20;

/// Where a member keeps its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// In memory: it is gone with the member.
    InMemory,
    /// In this directory, synced before anything is answered.
    OnDisk(PathBuf),
}

/// A member. It ends with [`Embedded::stop`], or when it is dropped.
pub struct Embedded {
    engine: Engine,
    id: MemberId,
    name: Arc<str>,
    life: Life,
}

/// What ends with a member.
enum Life {
    Guest(Guest),
    Whole(Whole),
}

/// Why a member did not start, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] DiskError),
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogDiskError),
    /// The group did not do it; only [`StrongError::Unknown`] leaves open whether it was done.
    #[error(transparent)]
    Group(#[from] StrongError),
    /// The state machine refuses it; nothing was done.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A whole member could not be started.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// A setting that cannot be taken.
    #[error("{0}")]
    Setting(String),
    /// A name or a JSON text that is none.
    #[error("{0}")]
    Invalid(String),
}

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// The lock's name.
    pub name: String,
    /// What proves that it is held; a secret.
    pub nonce: Nonce,
    /// The fencing token: greater than that of everybody who held it before.
    pub token: u64,
}

impl Embedded {
    /// The engine, for everything that has no method of its own here: any command, reads of the
    /// whole state, events, the group.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its id.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// Appends a JSON text to an ordered log; gives its index there once a majority has it.
    ///
    /// # Errors
    /// See [`EmbedError`].
    pub async fn append(&self, log: &str, json: &str) -> Result<u64, EmbedError> {
        let append = LogOp::Append {
            name: log.parse().map_err(invalid)?,
            json: json.parse().map_err(invalid)?,
        };
        match self.ask(Command::Op(Op::Log(append))).await? {
            Outcome::Appended { index, .. } => Ok(index),
            other => Err(odd(&other)),
        }
    }

    /// The entries of an ordered log from an index on that are committed, as far as this member
    /// has them; waits until there is one. All members give the same ones in the same order.
    ///
    /// # Errors
    /// [`Refused::Trimmed`] if what was at that index was let go.
    pub async fn committed(
        &self,
        log: &str,
        from: u64,
    ) -> Result<Vec<(u64, Arc<LogItem>)>, EmbedError> {
        let mut changes = self.engine.changes();
        loop {
            changes.borrow_and_update();
            let (view, _) = self.engine.view();
            if let Some(log) = view.state.logs().log(log)
                && from < log.next()
            {
                return Ok(log.read(from, usize::MAX, PAGE)?.items);
            }
            if changes.changed().await.is_err() {
                let stopped = StrongError::Off("the member stops".to_owned());
                return Err(stopped.into());
            }
        }
    }

    /// Adds to a counter; gives what it holds then.
    ///
    /// # Errors
    /// See [`EmbedError`].
    pub async fn add(&self, counter: &str, by: i64) -> Result<i64, EmbedError> {
        let name = counter.parse().map_err(invalid)?;
        let add = CounterOp::Add { name, by };
        match self.ask(Command::Op(Op::Counter(add))).await? {
            Outcome::Counter(Some(value)) => Ok(value),
            other => Err(odd(&other)),
        }
    }

    /// Takes a lock, waiting for it in turn for up to `wait`, and some seconds more if the majority
    /// is lost meanwhile. It is held until it is given back, or for `ttl`. If this is dropped, the
    /// place in the line stays for `wait`, and what is granted then for `ttl`.
    ///
    /// # Errors
    /// [`Refused::WaitOver`] if it did not become free in time.
    pub async fn lock(
        &self,
        name: &str,
        ttl: Duration,
        wait: Duration,
    ) -> Result<HeldLock, EmbedError> {
        let nonce = Nonce::from_bytes(random::bytes16());
        let held = |token| HeldLock {
            name: name.to_owned(),
            nonce,
            token,
        };
        let acquire = LockCommand::Acquire(Acquire {
            name: name.parse().map_err(invalid)?,
            nonce,
            ttl: Millis::from(ttl),
            max_wait: Millis::from(wait),
            limit: 1,
            value: None,
        });
        let granted = self.granted(name, nonce, Command::Lock(acquire));
        let longest = wait.saturating_add(LIMIT);
        if let Ok(token) = tokio::time::timeout(longest, granted).await {
            return Ok(held(token?));
        }
        // The log's time stands still without a leader, so nobody ends the wait there.
        match self.unlock(&held(0)).await {
            Ok(()) => Err(Refused::WaitOver.into()),
            Err(_) => Err(StrongError::Unknown(
                "it may be granted still, and runs out by itself then".to_owned(),
            )
            .into()),
        }
    }

    /// Asks for a lock, and gives its token once it is granted.
    async fn granted(&self, name: &str, nonce: Nonce, acquire: Command) -> Result<u64, EmbedError> {
        let mut changes = self.engine.changes();
        match self.ask(acquire).await? {
            Outcome::Granted { token, .. } => return Ok(token),
            Outcome::Waiting { .. } => {}
            other => return Err(odd(&other)),
        }
        // The leader's answer may be ahead of what this member has applied.
        let mut view = loop {
            match self.engine.fresh(LIMIT).await {
                Ok(view) => break view,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        };
        loop {
            let lock = view.state.locks().lock(name);
            let lock = lock.ok_or(Refused::LockDeleted)?;
            if let Some((token, _)) = lock.holder(nonce) {
                return Ok(token);
            }
            if !lock.awaits(nonce) {
                return Err(Refused::WaitOver.into());
            }
            if changes.changed().await.is_err() {
                return Err(StrongError::Off("the member stops".to_owned()).into());
            }
            view = self.engine.view().0;
        }
    }

    /// Gives a lock back.
    ///
    /// # Errors
    /// [`Refused::WrongNonce`] if it is not held any more.
    pub async fn unlock(&self, lock: &HeldLock) -> Result<(), EmbedError> {
        let release = LockCommand::Release {
            name: lock.name.parse().map_err(invalid)?,
            nonce: lock.nonce,
        };
        self.ask(Command::Lock(release)).await.map(drop)
    }

    /// Ends the member; what it has acknowledged stays where it keeps it.
    pub async fn stop(self) {
        match self.life {
            Life::Guest(guest) => guest.stop(&self.engine).await,
            Life::Whole(whole) => whole.stop().await,
        }
    }

    /// Where the member answers over HTTPS; none if it is in a hall.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.life {
            Life::Guest(_) => None,
            Life::Whole(whole) => Some(whole.listen()),
        }
    }

    async fn ask(&self, command: Command) -> Result<Outcome, EmbedError> {
        let request = Request {
            author: self.name.clone(),
            request: None,
            fences: Vec::new(),
            command,
        };
        Ok(self.engine.propose(request, LIMIT).await??)
    }
}

fn invalid(why: impl std::fmt::Display) -> EmbedError {
    EmbedError::Invalid(why.to_string())
}

fn odd(outcome: &Outcome) -> EmbedError {
    EmbedError::Invalid(format!("an outcome that does not fit: {outcome:?}"))
}
