//! A peer that stands still, and a disk that crawls: nobody else pays for it.
//!
//! The stopped peer stands for 12 s, and for `GAGGLE_STOPPED_SECONDS` if that is set; the slow disk
//! is slow for 20 s, or `GAGGLE_SLOW_SECONDS`.

use std::time::Duration;

use gaggle::io::clock::mono;
use rustix::process::Signal;

use crate::harness::{Cluster, Lan, Load, Member, Trace, agree, seconds, throughout, until};

/// By how much a member's memory may grow while a peer stands still. What waits for a peer is one
/// version per key that changed (here 160 keys of 16 KiB: 3 MB), one batch on its way and what is
/// being read for it; the cache of the database (64 MiB) may fill up meanwhile. The writes of the
/// 12 s are some 150 MB, those of ten minutes fifty times as much.
const GROWTH: u64 = 64 << 20;
/// Octets of a value.
const VALUE: usize = 16 << 10;

fn time(variable: &str, otherwise: u64) -> Duration {
    let set = std::env::var(variable).ok();
    seconds(set.and_then(|text| text.parse().ok()).unwrap_or(otherwise))
}

#[test]
fn memory_stays_flat_under_load_while_a_peer_is_stopped() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let members = cluster.start_on(&lan.hosts::<3>());
    let [a, b, c] = &members[..] else {
        unreachable!("three members")
    };
    let mut load = Load::of_size(4, VALUE);
    let round = |load: &mut Load| {
        let tally = load.start(a.client(), 400).finish();
        assert_eq!(tally.refused, 0, "nobody's stop refuses a write: {tally:?}");
        tally.acknowledged
    };
    for _ in 0..2 {
        round(&mut load);
    }
    let before = [a.memory(), b.memory()];
    let mut most = before;
    c.signal(Signal::STOP);
    let (stopped, limit) = (mono(), time("GAGGLE_STOPPED_SECONDS", 12));
    let mut written = 0;
    while mono().since(stopped) < limit {
        written += round(&mut load);
        most = [most[0].max(a.memory()), most[1].max(b.memory())];
    }
    c.signal(Signal::CONT);
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "{written} writes of {VALUE} octets in {limit:?}; MiB in use before: {:?}, at most: {:?}",
        before.map(mib),
        most.map(mib)
    );
    assert!(written > 1000, "no load: {written}");
    for (before, most) in before.into_iter().zip(most) {
        assert!(most < before + GROWTH, "from {before} to {most} bytes");
    }
    agree(&members);
    for member in &members {
        member.wait_alive(3);
    }
    load.check(c.client());
}

/// The states of the others in the eyes of `witness`.
fn states(witness: &Member) -> Vec<String> {
    let members = witness.client().members();
    members.into_iter().map(|(_, _, state)| state).collect()
}

#[test]
fn a_slow_disk_gets_nobody_suspected_and_slows_no_read() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let members = cluster.start_on(&lan.hosts::<3>());
    let [a, b, c] = &members[..] else {
        unreachable!("three members")
    };
    let mut load = Load::new(4);
    load.start(c.client(), 100).finish();
    let slow = Trace::slow("fdatasync", Duration::from_millis(300)).attach(c);
    let running = load.start(c.client(), 40);
    let mut reads = Vec::new();
    throughout(time("GAGGLE_SLOW_SECONDS", 20), || {
        for witness in [a, b] {
            assert_eq!(states(witness), ["alive"; 3], "a disk is not a member");
        }
        let asked = mono();
        assert_eq!(c.client().get("/v1/store/load").status, 200);
        reads.push(mono().since(asked));
    });
    reads.sort();
    let (median, worst) = (reads[reads.len() / 2], reads[reads.len() - 1]);
    println!("{} reads: median {median:?}, worst {worst:?}", reads.len());
    // Starting curl and the handshake are most of it.
    assert!(
        median < Duration::from_millis(200),
        "reads do not wait for the disk: {median:?}"
    );
    assert!(
        slow.injected() > 20,
        "the disk was slow {} times",
        slow.injected()
    );
    let answered = running.answered();
    assert!(answered > 20, "writes are slow, not refused: {answered}");
    drop(slow);
    let tally = running.finish();
    assert_eq!(tally.refused, 0, "{tally:?}");
    agree(&members);
    load.check(a.client());
}

#[test]
fn writers_that_wait_for_a_slow_disk_share_its_syncs() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let member = cluster.member(&host, "a").start();
    let mut load = Load::new(16);
    let slow = Trace::slow("fdatasync", Duration::from_millis(200)).attach(&member);
    let running = load.start(member.client(), 10);
    until(
        "all are answered",
        seconds(60),
        || running.answered(),
        |n| *n == 160,
    );
    let tally = running.finish();
    assert_eq!((tally.acknowledged, tally.refused), (160, 0));
    let syncs = slow.injected();
    assert!(syncs < 80, "{syncs} syncs for 160 writes");
}
