//! Bounded memory: what waits for a peer, for the disk or for an answer, and what is kept about
//! members, never outgrows its limit.

use gaggle::model::HybridTime;
use gaggle::protocol::Mono;

use super::{Held, Violation};
use crate::member::{Process, QUEUE};

/// Answers that each other host may owe at the same time: to a push, a walk and a few exchanges.
const ASKED: usize = 8;
/// Commands of upkeep and walks that wait beside those that a full queue refuses, for each host.
const UPKEEP: usize = 16;

/// What is known of the world that a process lives in.
pub(crate) struct Around {
    pub(crate) now: Mono,
    /// How many hosts there are.
    pub(crate) hosts: usize,
    /// How many changes may wait for a peer.
    pub(crate) waiting: usize,
    /// How many members there ever were.
    pub(crate) members: usize,
    /// How many versions and registers were ever written.
    pub(crate) written: usize,
}

/// Looks at a process.
pub(crate) fn check(host: usize, process: &Process, around: &Around) -> Held {
    let lags = process.push.lags(around.now);
    let about = process.about();
    let table = process.membership.table();
    let bounds = [
        (
            "changes waiting for one peer",
            lags.values().map(|lag| lag.waiting).max().unwrap_or(0),
            // As much again may be on its way.
            2 * around.waiting,
        ),
        ("peers to push to", lags.len(), around.members),
        (
            "commands waiting for the disk",
            process.commands_waiting(),
            QUEUE + UPKEEP * around.hosts,
        ),
        (
            "answers outstanding",
            process.answers_outstanding(),
            ASKED * around.hosts,
        ),
        (
            "positions that peers told",
            process.app.acks().of(HybridTime::default()).len(),
            around.members,
        ),
        (
            "changes held aside",
            process.app.view().store.held_count(),
            around.written,
        ),
        ("rows of members", table.others.len(), around.members),
        (
            "watermarks of members",
            about.watermarks.len(),
            around.members,
        ),
        ("members in the vector", about.vector.len(), around.members),
    ];
    for (what, number, most) in bounds {
        if number > most {
            let invariant = "bounded";
            let what = format!("[{host}] has {number} {what}, at most {most} are right");
            return Err(Violation { invariant, what });
        }
    }
    Ok(())
}
