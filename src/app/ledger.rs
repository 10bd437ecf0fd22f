//! The ledger: decides, makes durable, publishes, answers; in this order.
//!
//! All commands of a batch are decided one after the other against a working copy of the store and
//! written into one transaction; one sync makes all of them durable (group commit), then the copy
//! is published, then the answers go out. It has no clock and no thread of its own: the writer runs
//! it in the daemon, the simulator in virtual time.
//!
//! Invariants: nothing is published or acknowledged that is not on disk; a batch that fails leaves
//! the published store as it was; a stamp is never given twice, for the clock only goes on.

use std::sync::Arc;

use crate::io::disk::{Disk, DiskError};
use crate::model::planted::{self, Bug};
use crate::model::{Gap, HybridClock, HybridTime, Store, WallTime};
use crate::protocol::clocks::ClockTrouble;

use super::Health;
use super::command::Command;
use super::error::EditError;
use super::limits::Limits;
use super::publish::Published;
use super::working::{Committed, Life, Outcome, Working};

/// What the ledger works with.
pub struct LedgerParts {
    /// The durable truth.
    pub disk: Disk,
    /// The store as loaded from it.
    pub store: Store,
    /// What is missing of the member's own writes.
    pub gap: Option<Gap>,
    /// The clock, going on where the last run stopped.
    pub clock: HybridClock,
    /// Where the store is published.
    pub published: Arc<Published>,
    /// Where the disk's state is reported.
    pub health: Arc<Health>,
    /// What may be written.
    pub limits: Limits,
}

/// Everything that is written goes through it.
pub struct Ledger {
    parts: LedgerParts,
    life: Life,
    peers: Option<WallTime>,
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

impl Ledger {
    /// A ledger over an open disk and the store that was loaded from it.
    pub fn new(parts: LedgerParts) -> Self {
        let life = Life::new(parts.clock.position().0, parts.gap);
        Self {
            parts,
            life,
            peers: None,
        }
    }

    /// Tells what the live peers' clocks say now, in the median, if that is known: for the next
    /// batch. A member whose own clock is too far from it refuses to write.
    pub fn compare(&mut self, peers: Option<WallTime>) {
        self.peers = peers;
    }

    /// What is known of the member's health.
    pub fn health(&self) -> &Health {
        &self.parts.health
    }

    /// Gives the disk back.
    pub fn into_disk(self) -> Disk {
        self.parts.disk
    }

    /// Commits a batch. On a full disk what only deletes is tried again from the reserve; a command
    /// that meets a damaged row is refused alone, and the others are decided anew.
    pub fn commit(&mut self, now: WallTime, mut commands: Vec<Command>) {
        loop {
            let result = self.attempt(now, &commands, false);
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
                    return self.commit_reserved(now, deletes);
                }
                Err(Failed { error, .. }) => {
                    self.report(Some(&error));
                    return refuse_all(commands, &error);
                }
            }
        }
    }

    fn commit_reserved(&mut self, now: WallTime, deletes: Vec<Command>) {
        if deletes.is_empty() {
            return;
        }
        match self.attempt(now, &deletes, true) {
            Ok(outcomes) => answer(deletes, outcomes),
            Err(Failed { error, .. }) => refuse_all(deletes, &error),
        }
    }

    /// Decides all commands and commits what they came to; on an error nothing was changed.
    fn attempt(
        &mut self,
        now: WallTime,
        commands: &[Command],
        reserved: bool,
    ) -> Result<Vec<Result<Outcome, EditError>>, Failed> {
        let LedgerParts {
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
        let trouble = ClockTrouble::of(clock, now, self.peers);
        let mut working = Working::new(store.clone(), batch, self.life, now);
        let mut outcomes = Vec::with_capacity(commands.len());
        for (index, command) in commands.iter().enumerate() {
            if let Some(trouble) = trouble.filter(|_| command.needs_the_clock()) {
                outcomes.push(Err(trouble.into()));
                continue;
            }
            let decided = working.decide(command, clock, *limits);
            let culprit = Some(index);
            outcomes.push(decided.map_err(|error| Failed { error, culprit })?);
        }
        if !working.must_commit() {
            let view = published.view();
            let position = view.store.vector().get(clock.member());
            return Ok(with_place(outcomes, view.revision, position));
        }
        let (time, sequence) = clock.position();
        let committed = working.commit(clock.member(), time, sequence);
        if committed.is_err() && planted::is(Bug::AckUnwritten) {
            return Ok(outcomes);
        }
        let Committed {
            store: new,
            applied,
            life,
        } = committed?;
        self.life = life;
        *store = new.clone();
        let revision = published.publish(new, applied, time);
        Ok(with_place(outcomes, revision, time))
    }

    fn report(&self, error: Option<&DiskError>) {
        match error {
            None => self.parts.health.set("disk", true, "writes are durable"),
            Some(error) => self.parts.health.set("disk", false, error.to_string()),
        }
    }
}

/// Tells where in time the writes were done.
fn with_place(
    mut outcomes: Vec<Result<Outcome, EditError>>,
    revision: u64,
    position: HybridTime,
) -> Vec<Result<Outcome, EditError>> {
    for outcome in &mut outcomes {
        if let Ok(Outcome::Edit(written)) = outcome {
            (written.revision, written.position) = (revision, position);
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
            (Command::Merge { reply, .. }, Ok(Outcome::Merge(merging))) => {
                drop(reply.send(Ok(merging)));
            }
            (Command::Upkeep { reply, .. }, Ok(Outcome::Upkeep(done))) => {
                drop(reply.send(Ok(done)));
            }
            (Command::Mend { reply, .. }, Ok(Outcome::Mended(mended))) => {
                drop(reply.send(Ok(mended)));
            }
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
