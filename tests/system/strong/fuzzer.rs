//! The seed's fuzzer: clients read a number, add one and write it, under a lock whose token guards
//! the write, while members are killed and cut off. At the end the number is how often that was
//! done.
//!
//! `GAGGLE_STRONG_SECONDS` makes it longer (default 25), `GAGGLE_STRONG_SEED` other faults.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gaggle::io::clock::mono;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::disturb::{Fault, Stage};
use super::steps::{PATIENCE, Stop, make_node, number, seed};
use crate::harness::{Became, Caller, Cluster, Exchange, Lan, post, put, seconds, until};

const CLIENTS: u64 = 4;
const LIMIT: Duration = Duration::from_secs(10);
const KEY: &str = "/v1/store/n/number?class=strong&timeout=2s";

/// What all clients counted.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    added: AtomicU64,
    unknown: AtomicU64,
    fenced: AtomicU64,
}

fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
}

/// What the number is now; none if nobody can tell.
fn read(caller: &Caller) -> Option<u64> {
    match caller.get(KEY) {
        Became::Answered(reply) if reply.status == 200 => {
            let value = reply.json()["value"].as_str()?.parse();
            Some(value.expect("a number"))
        }
        Became::Answered(reply) => {
            assert_eq!(reply.code(), "key-not-found", "{reply:?}");
            Some(0)
        }
        Became::NotDone(_) | Became::Unknown(_) => None,
    }
}

fn client(callers: &[Caller], mut random: StdRng, tally: &Tally) {
    while !tally.stop.load(Ordering::Relaxed) {
        let mut caller = || &callers[random.random_range(0..callers.len())];
        let asked = json!({"ttl": "1s", "max_wait": "3s"});
        let asked = caller().post("/v1/locks/number/acquire?timeout=2s", &asked);
        let Became::Answered(grant) = asked else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        if grant.status != 200 {
            continue;
        }
        let grant = grant.json();
        if let Some(value) = read(caller()) {
            let to = put(KEY, &(value + 1).to_string());
            let fence = format!("number={}", grant["token"]);
            let at = caller();
            // Some sleep longer than they have the lock.
            if random.random_bool(0.05) {
                std::thread::sleep(Duration::from_millis(random.random_range(900..1_800)));
            }
            match at.call(to.with_header("if-fence", &fence)) {
                Became::Answered(reply) if reply.status < 300 => count(&tally.added),
                Became::Answered(reply) => {
                    assert_eq!(reply.code(), "stale-fence", "{reply:?}");
                    count(&tally.fenced);
                }
                Became::Unknown(_) => count(&tally.unknown),
                Became::NotDone(_) => {}
            }
        }
        let nonce = json!({"nonce": grant["nonce"]});
        let release = post("/v1/locks/number/release?timeout=1s", &nonce);
        // If nobody takes it: the lease is short.
        for _ in 0..3 {
            let at = random.random_range(0..callers.len());
            if matches!(callers[at].call(release.clone()), Became::Answered(_)) {
                break;
            }
        }
    }
}

#[test]
fn a_number_that_is_read_and_written_under_a_lock_counts_exactly() {
    const FAULTS: [Fault; 5] = [
        Fault::Crash,
        Fault::Cut,
        Fault::OneWay,
        Fault::Stop,
        Fault::Crash,
    ];
    let seed = seed();
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut stage = Stage::start(&lan, &cluster, &hosts, StdRng::seed_from_u64(seed));
    make_node(stage.members[0].client(), "n");
    let exchange = Exchange::new(&lan);
    let callers = || {
        let members = stage.members.iter();
        let callers = members.map(|it| exchange.caller(&cluster, it, LIMIT));
        callers.collect::<Vec<_>>()
    };
    let of_each: Vec<_> = (0..CLIENTS).map(|id| (id, callers())).collect();
    let last = callers();
    let (tally, limit) = (
        Tally::default(),
        seconds(number("GAGGLE_STRONG_SECONDS", 25)),
    );
    std::thread::scope(|scope| {
        let _stop = Stop(&tally.stop);
        for (id, callers) in of_each {
            let random = StdRng::seed_from_u64(seed ^ (id << 32));
            let tally = &tally;
            scope.spawn(move || client(&callers, random, tally));
        }
        let (begun, mut faults) = (mono(), 0);
        while mono().since(begun) < limit || faults < FAULTS.len() {
            stage.disturb(&FAULTS);
            faults += 1;
        }
        stage.leader();
    });
    let [added, unknown, fenced] =
        [&tally.added, &tally.unknown, &tally.fenced].map(|of| of.load(Ordering::Relaxed));
    let held: Vec<_> = last
        .iter()
        .map(|it| until("it tells", PATIENCE, || read(it), Option::is_some))
        .collect();
    println!(
        "{added} increments were acknowledged, of {unknown} nobody knows, {fenced} came too late; \
         the number is {held:?}"
    );
    for held in held.into_iter().flatten() {
        assert!(held >= added, "increments are lost");
        assert!(held <= added + unknown, "increments were done twice");
    }
    assert!(added > 20, "hardly anything was done");
}
