//! A leader whose disk fails: another leads, and all that was acknowledged is there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::json;

use super::steps::{PATIENCE, Stop, adds, leader, start, value, works};
use crate::harness::{Cluster, Exchange, Lan, Trace, seconds, until};

#[test]
fn a_leader_whose_sync_fails_steps_down_and_nothing_is_lost() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut members = start(&cluster, &hosts);
    let exchange = Exchange::new(&lan);
    let callers = members
        .iter()
        .map(|it| exchange.caller(&cluster, it, seconds(15)));
    let callers: Vec<_> = callers.collect();
    let lead = leader(&members.iter().collect::<Vec<_>>());
    let (answered, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let enough = |more: usize| {
        let begun = answered.load(Ordering::Relaxed);
        let done = || answered.load(Ordering::Relaxed);
        until("writes are answered", PATIENCE, done, |now| {
            *now >= begun + more
        });
    };
    let times = std::thread::scope(|scope| {
        let writer = scope.spawn(|| adds(&callers, &answered, &stop));
        let _stop = Stop(&stop);
        enough(30);
        let database = members[lead].data().join("gaggle.redb");
        let failing = Trace::fail("fdatasync", "EIO", 1).on(&database);
        let failing = failing.attach(&members[lead]);
        let ready = || members[lead].client().get("/readyz").status;
        until("its disk has failed", seconds(30), ready, |it| *it == 503);
        assert!(failing.injected() > 0);
        drop(failing);
        let others: Vec<_> = (0..3).filter(|at| *at != lead).collect();
        let led = || {
            let of = |at: &usize| {
                let told = members[*at].client().get("/v1/leader").json();
                told["is_me"] == json!(true)
            };
            others.iter().any(of)
        };
        until("another one leads", PATIENCE, led, |led| *led);
        let own = || members[lead].client().get("/v1/leader").json()["is_me"].clone();
        until("it leads no more", PATIENCE, own, |is_me| *is_me == false);
        enough(8);
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("the writer ends")
    });
    let all = times.len() as u64;
    for (at, caller) in callers.iter().enumerate() {
        if at != lead {
            assert_eq!(value(caller, "c"), all, "acknowledged by a majority");
        }
    }
    // With a disk that works again it is one of them.
    members[lead].signal(Signal::TERM);
    members[lead].wait_end(seconds(30));
    let name = ["a", "b", "c"][lead];
    let again = cluster.member(&hosts[lead], name);
    members[lead] = again.with(&["--voters", "a,b,c"]).start();
    works(&members[lead], 3);
    assert_eq!(value(&callers[lead], "c"), all);
    members[(lead + 1) % 3].crash();
    assert_eq!(value(&callers[lead], "c"), all, "it is half of a majority");
}
