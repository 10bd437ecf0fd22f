//! The one writer: decides, makes durable, publishes, answers; in this order.
//!
//! A thread takes commands from a bounded queue. All that wait are decided one after the other
//! against a working copy of the store and written into one transaction; one sync makes all of them
//! durable (group commit), then the copy is published, then the answers go out. While the disk
//! syncs, the queue fills the next batch: the busier, the larger the batches.
//!
//! Invariants: nothing is published or acknowledged that is not on disk; a batch that fails leaves
//! the published store as it was; a stamp is never given twice, for the clock only goes on.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::io::clock;
use crate::io::disk::{Batch, Disk, DiskError};
use crate::model::{Change, HybridClock, MemberId, Merged, Row, Store};

use super::edit::{Decision, Edit, Request, Scene, decide};
use super::error::EditError;
use super::publish::Published;
use super::{Health, Written};

/// The most commands that share one commit.
const BATCH_COMMANDS: usize = 1024;
/// The bytes of values after which a batch takes no more commands.
const BATCH_BYTES: usize = 8 << 20;

/// What may be written on this member.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest name, in bytes.
    pub name_bytes: usize,
    /// The largest value, in bytes.
    pub value_bytes: usize,
    /// The most live keys.
    pub keys: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_bytes: 255,
            value_bytes: 1 << 20,
            keys: 10_000_000,
        }
    }
}

impl Limits {
    /// Whether an edit's names and values are within the limits.
    pub fn check(&self, edit: &Edit) -> Result<(), EditError> {
        let name = |length: usize| {
            let limit = self.name_bytes;
            if length > limit {
                Err(EditError::NameTooLong { length, limit })
            } else {
                Ok(())
            }
        };
        name(edit.node().as_str().len())?;
        for (key, value) in edit.values() {
            name(key.as_str().len())?;
            let size = value.octets.len();
            if size > self.value_bytes {
                return Err(EditError::ValueTooLarge {
                    size,
                    limit: self.value_bytes,
                });
            }
        }
        Ok(())
    }
}

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
        /// The peer.
        from: MemberId,
        /// What it sent.
        changes: Vec<Change>,
        /// Where the answer goes: how many were new.
        reply: oneshot::Sender<Result<usize, EditError>>,
    },
    /// Find out whether the disk takes writes again.
    Probe,
}

impl Command {
    fn size(&self) -> usize {
        match self {
            Self::Edit { request, .. } => request
                .edit
                .values()
                .map(|(_, value)| value.octets.len())
                .sum(),
            Self::Merge { changes, .. } => changes.iter().map(Change::size).sum(),
            Self::Probe => 0,
        }
    }

    fn only_deletes(&self) -> bool {
        matches!(self, Self::Edit { request, .. } if request.edit.only_deletes())
    }

    fn refuse(self, error: EditError) {
        match self {
            Self::Edit { reply, .. } => drop(reply.send(Err(error))),
            Self::Merge { reply, .. } => drop(reply.send(Err(error))),
            Self::Probe => {}
        }
    }
}

/// What the writer works with.
pub struct WriterParts {
    /// The durable truth.
    pub disk: Disk,
    /// The store as loaded from it.
    pub store: Store,
    /// The clock, going on where the last run stopped.
    pub clock: HybridClock,
    /// Where the store is published.
    pub published: Arc<Published>,
    /// Where the disk's state is reported.
    pub health: Arc<Health>,
    /// What may be written.
    pub limits: Limits,
}

/// The writer; [`Writer::run`] it on a thread of its own.
pub struct Writer {
    parts: WriterParts,
    queue: mpsc::Receiver<Command>,
}

/// What a command came to, before the commit.
enum Outcome {
    Edit(Written),
    Merge(usize),
    Probed,
}

/// Why a batch was not committed.
struct Failed {
    error: DiskError,
    /// The command that met the error, if it was met while deciding.
    culprit: Option<usize>,
}

impl From<DiskError> for Failed {
    fn from(error: DiskError) -> Self {
        let culprit = None;
        Self { error, culprit }
    }
}

/// A batch that is being decided.
struct Working<'a> {
    store: Store,
    batch: Batch<'a>,
    applied: Vec<(Change, bool, Option<MemberId>)>,
    rows: Vec<Row>,
}

/// Ends the process if it is dropped by a panic.
struct EndWithFault;

impl Drop for EndWithFault {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the writer met a fault of this program; the process ends");
            std::process::abort();
        }
    }
}

impl Writer {
    /// A writer that takes its commands from `queue`.
    pub fn new(parts: WriterParts, queue: mpsc::Receiver<Command>) -> Self {
        Self { parts, queue }
    }

    /// Works until the queue is closed and empty; then gives the disk back.
    ///
    /// A fault of the writer itself ends the process: what is acknowledged is on disk, and nobody
    /// else could take writes.
    pub fn run(mut self) -> Disk {
        let _end = EndWithFault;
        while let Some(first) = self.queue.blocking_recv() {
            let commands = self.gather(first);
            self.commit(commands);
        }
        self.parts.disk
    }

    /// The first command and all that wait behind it, up to the size of a batch.
    fn gather(&mut self, first: Command) -> Vec<Command> {
        let mut bytes = first.size();
        let mut commands = vec![first];
        while commands.len() < BATCH_COMMANDS && bytes < BATCH_BYTES {
            let Ok(next) = self.queue.try_recv() else {
                break;
            };
            bytes += next.size();
            commands.push(next);
        }
        commands
    }

    /// Commits a batch. On a full disk what only deletes is tried again from the reserve; a command
    /// that meets a damaged row is refused alone, and the others are decided anew.
    fn commit(&mut self, mut commands: Vec<Command>) {
        loop {
            let result = self.attempt(&commands, false);
            match result {
                Ok(outcomes) => {
                    self.report(None);
                    return answer(commands, outcomes);
                }
                Err(Failed {
                    error,
                    culprit: Some(index),
                }) if matches!(error, DiskError::Corrupt { .. }) && index < commands.len() => {
                    tracing::error!(%error, "a write met a damaged row and was refused");
                    commands
                        .remove(index)
                        .refuse(EditError::Damaged(error.to_string()));
                }
                Err(Failed {
                    error: DiskError::Full,
                    ..
                }) => {
                    self.report(Some(&DiskError::Full));
                    let (deletes, rest): (Vec<_>, Vec<_>) =
                        commands.into_iter().partition(Command::only_deletes);
                    rest.into_iter()
                        .for_each(|command| command.refuse(EditError::DiskFull));
                    return self.commit_reserved(deletes);
                }
                Err(Failed { error, .. }) => {
                    self.report(Some(&error));
                    return refuse_all(commands, &error);
                }
            }
        }
    }

    fn commit_reserved(&mut self, deletes: Vec<Command>) {
        if deletes.is_empty() {
            return;
        }
        match self.attempt(&deletes, true) {
            Ok(outcomes) => answer(deletes, outcomes),
            Err(Failed { error, .. }) => refuse_all(deletes, &error),
        }
    }

    /// Decides all commands and commits what they came to; on an error nothing was changed.
    fn attempt(
        &mut self,
        commands: &[Command],
        reserved: bool,
    ) -> Result<Vec<Result<Outcome, EditError>>, Failed> {
        let WriterParts {
            disk,
            store,
            clock,
            published,
            limits,
            ..
        } = &mut self.parts;
        let batch = if reserved {
            disk.begin_reserved()?
        } else {
            disk.begin()?
        };
        let mut working = Working {
            store: store.clone(),
            batch,
            applied: Vec::new(),
            rows: Vec::new(),
        };
        let mut outcomes = Vec::with_capacity(commands.len());
        for (index, command) in commands.iter().enumerate() {
            let decided = working.decide(command, clock, *limits);
            let culprit = Some(index);
            outcomes.push(decided.map_err(|error| Failed { error, culprit })?);
        }
        let Working {
            store: new,
            mut batch,
            applied,
            ..
        } = working;
        let probes = commands
            .iter()
            .any(|command| matches!(command, Command::Probe));
        if applied.is_empty() && !probes {
            return Ok(with_revision(outcomes, published.view().revision));
        }
        let (time, sequence) = clock.position();
        batch.clock(time, sequence);
        batch.commit()?;
        *store = new.clone();
        let revision = published.publish(new, applied);
        Ok(with_revision(outcomes, revision))
    }

    fn report(&self, error: Option<&DiskError>) {
        match error {
            None => self.parts.health.set("disk", true, "writes are durable"),
            Some(error) => self.parts.health.set("disk", false, error.to_string()),
        }
    }
}

impl Working<'_> {
    fn decide(
        &mut self,
        command: &Command,
        clock: &mut HybridClock,
        limits: Limits,
    ) -> Result<Result<Outcome, EditError>, DiskError> {
        match command {
            Command::Edit { request, .. } => {
                let mut scene = Scene {
                    store: &self.store,
                    clock,
                    now: clock::wall(),
                };
                let decision = match decide(&mut scene, request) {
                    Ok(decision) => decision,
                    Err(error) => return Ok(Err(error)),
                };
                if self.would_overflow(&decision, limits) {
                    return Ok(Err(EditError::TooManyKeys { limit: limits.keys }));
                }
                self.apply(&decision).map(Ok)
            }
            Command::Merge { from, changes, .. } => {
                let mut new = 0;
                for change in changes {
                    match self.merge(change, Some(*from)) {
                        Ok(is_new) => new += usize::from(is_new),
                        Err(error @ DiskError::Corrupt { .. }) => {
                            let (peer, node) = (from, change.node());
                            tracing::error!(%peer, %node, %error, "a peer's change is left out");
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(Ok(Outcome::Merge(new)))
            }
            Command::Probe => Ok(Ok(Outcome::Probed)),
        }
    }

    /// Whether a decision could push the number of live keys over the limit: every new key counts,
    /// keys that it deletes do not make room for it.
    fn would_overflow(&self, decision: &Decision, limits: Limits) -> bool {
        let is_new = |change: &&Change| match change {
            Change::Key { node, key, version } => {
                version.value().is_some()
                    && self
                        .store
                        .get(node.as_str(), key.as_str(), version.written)
                        .is_none()
            }
            Change::Node { .. } => false,
        };
        let new = decision.changes.iter().filter(is_new).count();
        new > 0 && self.store.counts().keys + new > limits.keys
    }

    fn apply(&mut self, decision: &Decision) -> Result<Outcome, DiskError> {
        let stamp = decision.changes.last().map(Change::stamp);
        for change in &decision.changes {
            self.merge(change, None)?;
        }
        Ok(Outcome::Edit(Written {
            created: decision.created,
            stamp,
            revision: 0,
        }))
    }

    fn merge(&mut self, change: &Change, from: Option<MemberId>) -> Result<bool, DiskError> {
        let batch = &self.batch;
        let older = |node: &_, key: &_| batch.older(node, key);
        let merged = self.store.merge(change, older, &mut self.rows)?;
        for row in self.rows.drain(..) {
            self.batch.write(&row);
        }
        if merged == Merged::Nothing {
            return Ok(false);
        }
        self.applied
            .push((change.clone(), merged == Merged::Current, from));
        Ok(true)
    }
}

fn with_revision(
    mut outcomes: Vec<Result<Outcome, EditError>>,
    revision: u64,
) -> Vec<Result<Outcome, EditError>> {
    for outcome in &mut outcomes {
        if let Ok(Outcome::Edit(written)) = outcome {
            written.revision = revision;
        }
    }
    outcomes
}

/// Sends the answers. A client that no longer waits is no error.
fn answer(commands: Vec<Command>, outcomes: Vec<Result<Outcome, EditError>>) {
    for (command, outcome) in commands.into_iter().zip(outcomes) {
        match (command, outcome) {
            (command, Err(error)) => command.refuse(error),
            (Command::Edit { reply, .. }, Ok(Outcome::Edit(written))) => {
                drop(reply.send(Ok(written)));
            }
            (Command::Merge { reply, .. }, Ok(Outcome::Merge(new))) => drop(reply.send(Ok(new))),
            (command, Ok(_)) => command.refuse(EditError::Lost),
        }
    }
}

fn refuse_all(commands: Vec<Command>, error: &DiskError) {
    let error = match error {
        DiskError::Full => EditError::DiskFull,
        DiskError::Fenced(_)
        | DiskError::Closed
        | DiskError::Format { .. }
        | DiskError::OtherCluster { .. }
        | DiskError::Directory(_) => EditError::Fenced(error.to_string()),
        DiskError::Io { .. } | DiskError::Corrupt { .. } => EditError::InDoubt(error.to_string()),
    };
    commands
        .into_iter()
        .for_each(|command| command.refuse(error.clone()));
}
