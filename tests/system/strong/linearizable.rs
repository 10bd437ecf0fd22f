//! Histories of clients of real members, recorded while those are killed, stopped, cut off and
//! slowed, held against one copy of everything.
//!
//! `GAGGLE_STRONG_SECONDS` makes it longer (default 25), `GAGGLE_STRONG_SEED` other faults.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gaggle::io::clock::mono;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::disturb::{Fault, Stage};
use super::history::{NODE, Recorder};
use super::model::check;
use super::steps::{PATIENCE, Stop, make_node, number, quorum, seed};
use crate::harness::{Cluster, Exchange, Lan, seconds, until};

const CLIENTS: u32 = 6;
/// How long a client waits for an answer.
const LIMIT: Duration = Duration::from_secs(4);
/// From here on a member is also stopped for half a minute.
const LONG: Duration = Duration::from_mins(2);

#[test]
fn histories_of_real_members_under_faults_are_linearizable() {
    let seed = seed();
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut stage = Stage::start(&lan, &cluster, &hosts, StdRng::seed_from_u64(seed));
    make_node(stage.members[0].client(), NODE);
    let exchange = Exchange::new(&lan);
    let callers = || {
        let members = stage.members.iter();
        let callers = members.map(|it| exchange.caller(&cluster, it, LIMIT));
        callers.collect::<Vec<_>>()
    };
    let of_each: Vec<_> = (0..CLIENTS).map(|id| (id, callers())).collect();
    let last = callers();
    let book = Recorder::new(seed);
    let limit = seconds(number("GAGGLE_STRONG_SECONDS", 25));
    let kinds = if limit < LONG {
        Fault::short()
    } else {
        &Fault::ALL
    };
    let mut faults = Vec::new();
    std::thread::scope(|scope| {
        // Clients end whatever becomes of the faults.
        let _stop = Stop(&book.stop);
        for (id, callers) in of_each {
            let book = &book;
            scope.spawn(move || book.work(id, callers));
        }
        let begun = mono();
        while mono().since(begun) < limit || faults.len() < kinds.len() {
            faults.push(stage.disturb(kinds));
        }
        stage.leader();
    });
    let applied = || {
        let status = stage.members.iter().map(|it| quorum(it.client()));
        let applied = status.map(|status| status["applied"].as_u64());
        applied.collect::<Vec<_>>()
    };
    until("all have applied the same", PATIENCE, applied, |all| {
        all.iter().all(|at| at.is_some() && *at == all[0])
    });
    book.read_all(CLIENTS, last);
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let history = book.take();
    println!(
        "{} operations under {} faults; {} more were refused; of {} nobody knows, of {} others it \
         was found out by their keys",
        history.len(),
        faults.len(),
        count(&book.not_done),
        count(&book.unknown),
        count(&book.settled),
    );
    check(&history);
    assert!(history.len() > 300, "hardly anything was done");
}
