//! The writer in virtual time: commands wait while the disk is busy, then all of them are
//! committed by the real ledger in one batch (`app/writer.rs`).

use std::sync::Arc;

use gaggle::app::{Command, EditError, Merging, Request, Upkeep, Written};
use gaggle::model::{HybridTime, WallTime};
use gaggle::protocol::Mono;
use gaggle::protocol::clocks::PeerClocks;
use gaggle::protocol::message::{Ask, Reply, Taken};
use gaggle::protocol::sync::{Brought, ScheduleEvent};
use tokio::sync::oneshot;

use super::replication::FirstPush;
use super::{Act, Asker, Process};

/// How many commands may wait; more are refused as overload.
pub(crate) const QUEUE: usize = 4096;

/// A command with who waits for its outcome.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) command: Command,
    pub(super) waiter: Waiter,
}

/// Who waits for a command.
#[derive(Debug)]
pub(super) enum Waiter {
    Client {
        operation: u64,
        result: oneshot::Receiver<Result<Written, EditError>>,
    },
    Peer {
        to: Asker,
        refused: Vec<String>,
        result: oneshot::Receiver<Result<Merging, EditError>>,
    },
    Walk(oneshot::Receiver<Result<Merging, EditError>>),
    /// A walk that let so many things go.
    LetGo(usize),
    /// A peer that was told decisions, and wants ours.
    Standings(Asker),
    /// Collecting: more may be left.
    Collect,
    Enlist,
    /// A peer that wants to meet, and is answered then.
    Meet {
        to: Asker,
        ask: Ask,
    },
    /// A walk whose peer has told of itself, up to this position of ours.
    WalkMet {
        told: HybridTime,
        reply: Reply,
    },
    /// The first push with a claim to a peer.
    Position {
        has: HybridTime,
        first: Box<FirstPush>,
    },
    /// Other upkeep, for which nobody waits.
    Upkeep,
    Nobody,
}

/// What a client is told of its operation.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) operation: u64,
    pub(crate) outcome: Result<Written, EditError>,
}

impl Process {
    /// A client writes.
    pub(crate) fn client(&mut self, operation: u64, request: Request, out: &mut Vec<Act>) {
        let (reply, result) = oneshot::channel();
        let command = Command::Edit { request, reply };
        let waiter = Waiter::Client { operation, result };
        self.enqueue(Waiting { command, waiter }, out);
    }

    /// How many commands wait for the disk.
    pub(crate) fn commands_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Has a disk that was full tried again, as the daemon does each second.
    pub(crate) fn probe_disk(&mut self, out: &mut Vec<Act>) {
        let (command, waiter) = (Command::Probe, Waiter::Nobody);
        self.enqueue(Waiting { command, waiter }, out);
    }

    /// Does a thing of the store's upkeep.
    pub(super) fn upkeep(&mut self, upkeep: Upkeep, waiter: Waiter, out: &mut Vec<Act>) {
        let (reply, result) = oneshot::channel();
        let command = Command::Upkeep { upkeep, reply };
        self.upkeep.results.push(result);
        self.enqueue(Waiting { command, waiter }, out);
    }

    pub(super) fn enqueue(&mut self, waiting: Waiting, out: &mut Vec<Act>) {
        if self.waiting.len() >= QUEUE {
            match waiting.waiter {
                Waiter::Peer { to, .. } => return out.push(Act::Answer { to, answer: None }),
                Waiter::Client { operation, .. } => {
                    let outcome = Err(EditError::Overloaded);
                    return out.push(Act::Tell(Told { operation, outcome }));
                }
                _ => {}
            }
        }
        self.waiting.push(waiting);
        if !self.committing {
            self.committing = true;
            out.push(Act::Commit);
        }
    }

    /// The disk has taken its time: commits what waits, and answers.
    pub(crate) fn commit(&mut self, now: Mono, wall: WallTime, out: &mut Vec<Act>) {
        self.committing = false;
        let waiting = std::mem::take(&mut self.waiting);
        let mut results = std::mem::take(&mut self.upkeep.results);
        let (commands, waiters): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .map(|waiting| (waiting.command, waiting.waiter))
            .unzip();
        let peers = self.compares.then(|| self.peers_time(now)).flatten();
        self.ledger.compare(peers);
        self.ledger.commit(wall, commands);
        out.push(Act::Committed);
        let mut results = results.iter_mut();
        for waiter in waiters {
            match waiter {
                Waiter::LetGo(_)
                | Waiter::Standings(_)
                | Waiter::Collect
                | Waiter::Enlist
                | Waiter::Meet { .. }
                | Waiter::WalkMet { .. }
                | Waiter::Position { .. }
                | Waiter::Upkeep => {
                    let done = results.next().and_then(|result| result.try_recv().ok());
                    self.upkept(now, waiter, done.and_then(Result::ok), out);
                }
                waiter => self.release_waiter(now, waiter, out),
            }
        }
        self.take_store(now, out);
    }

    /// What the clocks of the live peers say, in the median (`daemon/clocks.rs`).
    fn peers_time(&self, now: Mono) -> Option<WallTime> {
        let told = self.table.live().filter_map(|row| {
            let name = Arc::from(row.name.as_str());
            row.clock.map(|reading| (name, reading))
        });
        PeerClocks::new(now, told).median(now)
    }

    fn release_waiter(&mut self, now: Mono, waiter: Waiter, out: &mut Vec<Act>) {
        match waiter {
            Waiter::Client {
                operation,
                mut result,
            } => {
                let outcome = result.try_recv().unwrap_or(Err(EditError::Lost));
                out.push(Act::Tell(Told { operation, outcome }));
            }
            Waiter::Peer {
                to,
                refused,
                mut result,
            } => {
                let merging = result.try_recv().ok().and_then(Result::ok);
                let taken = merging.map(|merging| Taken {
                    new: merging.new as u64,
                    has: merging.has,
                    refused,
                });
                let answer = taken.map(|taken| self.write_reply(&Reply::Taken(taken)));
                out.push(Act::Answer { to, answer });
            }
            Waiter::Walk(mut result) => {
                let merging = result.try_recv().ok().and_then(Result::ok);
                let brought = merging.map(|merging| Brought {
                    new: merging.new,
                    whole: merging.whole,
                });
                self.walk_took(now, brought, out);
            }
            _ => {}
        }
    }

    /// The published store may be another: tells everybody who follows it.
    fn take_store(&mut self, now: Mono, out: &mut Vec<Act>) {
        self.take_changes(now, out);
        let root = self.app.view().store.root();
        if root != self.root {
            self.root = root;
            self.tell_schedule(now, ScheduleEvent::Root(root), out);
            let event = gaggle::protocol::membership::Event::Root(root);
            self.tell_membership(now, event, out);
        }
        self.take_known(now, out);
    }
}
