//! The whole state of the strong side, and how an entry of the log changes it.
//!
//! The maps share structure, so a copy costs nothing to speak of. That gives snapshots while writes
//! go on, and atomic commands: a command works on a copy which takes the old one's place only if it
//! was not refused.

use crate::model::WallTime;

use super::clock::{LogClock, LogTime, Place};
use super::command::{Command, Entry, Op};
use super::counters::Counters;
use super::leaders::Leaders;
use super::locks::{LockCommand, Locks};
use super::log::Logs;
use super::nodes::Nodes;
use super::outcome::{Answer, Event, LockEvent, Outcome, Scene};
use super::requests::{Record, RequestId, Requests};

/// The whole state of the strong side. The same entries give equal states, and equal bytes, on
/// every member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub(super) clock: LogClock,
    pub(super) leaders: Leaders,
    pub(super) nodes: Nodes,
    pub(super) counters: Counters,
    pub(super) locks: Locks,
    pub(super) logs: Logs,
    pub(super) requests: Requests,
}

/// What came of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The answer for whoever asked.
    pub answer: Answer,
    /// Whether it is the answer of an earlier entry with the same idempotency key.
    pub is_repeated: bool,
    /// What happened, in order: first what the time brought, then what the command did.
    pub events: Vec<Event>,
}

/// An entry that does not come after the last one. Nothing was changed. It is a mistake of the
/// engine's, never of a client's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {index} comes after entry {last} was applied")]
pub struct OutOfOrder {
    /// The index of the entry.
    pub index: u64,
    /// The index of the last one that was applied.
    pub last: u64,
}

impl State {
    /// Strong nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Locks, semaphores and elections.
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    /// Ordered logs.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Requests that are remembered by their idempotency keys.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// The log's clock, and the last entry that was applied.
    pub fn clock(&self) -> &LogClock {
        &self.clock
    }

    /// Who led, since when.
    pub fn leaders(&self) -> &Leaders {
        &self.leaders
    }

    /// When something will be over that somebody may wait for: a lease, a wait, a key's time to
    /// live, the age of a log's entries. If no other command comes, the leader appends a
    /// [`Command::Tick`] at that time.
    pub fn next_deadline(&self) -> Option<LogTime> {
        let all = [
            self.nodes.next_deadline(),
            self.locks.next_deadline(),
            self.logs.next_deadline(),
        ];
        all.into_iter().flatten().min()
    }

    /// Notes an entry that carries no command: a new leader's first one, a change of the voters.
    pub fn pass(&mut self, at: Place) -> Result<Vec<Event>, OutOfOrder> {
        self.check_order(at)?;
        Ok(Vec::from_iter(self.advance(at, None)))
    }

    /// Applies an entry.
    pub fn apply(&mut self, at: Place, entry: &Entry) -> Result<Applied, OutOfOrder> {
        self.check_order(at)?;
        let taken_over = self.advance(at, Some(entry.time));
        let request = entry.request.clone().map(|key| RequestId {
            author: entry.author.clone(),
            key,
        });
        let mut scene = Scene {
            index: at.index,
            now: self.clock.now(),
            written: entry.time,
            author: &entry.author,
            request: request.as_ref(),
            events: Vec::from_iter(taken_over),
            settled: Vec::new(),
        };
        self.lapse(&mut scene);
        let print = request.as_ref().map(|_| entry.fingerprint());
        let known = request.as_ref().zip(print);
        let repeated = known.and_then(|(id, print)| self.requests.recall(id, print));
        let is_repeated = repeated.is_some();
        scene.events.extend(asked_again(repeated.as_ref(), entry));
        let answer = repeated.unwrap_or_else(|| self.attempt(entry, &mut scene));
        let (now, events) = (scene.now, scene.events);
        if let (Some(id), Some(fingerprint), false) = (request, print, is_repeated) {
            let record = Record {
                index: at.index,
                at: now,
                fingerprint,
                answer: answer.clone(),
            };
            self.requests.remember(id, record);
        }
        Ok(Applied {
            answer,
            is_repeated,
            events,
        })
    }

    /// Goes on to an entry; tells if it is the first one of its leader.
    fn advance(&mut self, at: Place, time: Option<WallTime>) -> Option<Event> {
        let is_new = self.clock.advance(at, time);
        is_new.then(|| {
            self.leaders.took_over(at);
            Event::Leader(at)
        })
    }

    /// What the time brings, whatever the command is.
    fn lapse(&mut self, scene: &mut Scene<'_>) {
        self.requests.lapse(scene.now);
        self.nodes.lapse(scene);
        self.locks.lapse(scene);
        self.logs.lapse(scene);
        self.settle(scene);
    }

    /// Does a command on a copy, and keeps the copy unless the command is refused.
    fn attempt(&mut self, entry: &Entry, scene: &mut Scene<'_>) -> Answer {
        let mut next = self.clone();
        let before = scene.events.len();
        let answer = next.execute(entry, scene);
        if answer.is_ok() {
            next.settle(scene);
            *self = next;
        } else {
            scene.events.truncate(before);
            scene.settled.clear();
        }
        answer
    }

    fn execute(&mut self, entry: &Entry, scene: &mut Scene<'_>) -> Answer {
        entry.check()?;
        for fence in &entry.fences {
            self.locks.check_fence(fence)?;
        }
        match &entry.command {
            Command::Tick => Ok(Outcome::Done),
            Command::Op(op) => self.perform(op, scene),
            Command::Txn(txn) => txn.perform(self, scene),
            Command::Lock(command) => self.locks.perform(command, scene),
        }
    }

    pub(super) fn perform(&mut self, op: &Op, scene: &mut Scene<'_>) -> Answer {
        match op {
            Op::Node(op) => self.nodes.perform(op, scene),
            Op::Counter(op) => self.counters.perform(op, scene),
            Op::Log(op) => self.logs.perform(op, scene),
        }
    }

    fn settle(&mut self, scene: &mut Scene<'_>) {
        for settled in scene.settled.drain(..) {
            self.requests.settle(settled);
        }
    }

    fn check_order(&self, at: Place) -> Result<(), OutOfOrder> {
        match self.clock.place() {
            Some(last) if at.index <= last.index => Err(OutOfOrder {
                index: at.index,
                last: last.index,
            }),
            _ => Ok(()),
        }
    }
}

/// Tells those who look after a request for a lock that its client came again.
fn asked_again(repeated: Option<&Answer>, entry: &Entry) -> Option<Event> {
    let (Some(Ok(Outcome::Granted { nonce, .. } | Outcome::Waiting { nonce, .. })), command) =
        (repeated, &entry.command)
    else {
        return None;
    };
    let Command::Lock(LockCommand::Acquire(acquire)) = command else {
        return None;
    };
    let (nonce, by) = (*nonce, acquire.nonce);
    Some(Event::Lock {
        name: acquire.name.clone(),
        what: LockEvent::Asked { nonce, by },
    })
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
