//! `kill -9` under load, again and again: what was acknowledged is there after each restart.

use crate::harness::{Cluster, Lan, Load, seconds, until};

/// Crashes in one run, unless `GAGGLE_KILL_CYCLES` says otherwise.
const CYCLES: u64 = 30;

#[test]
fn acknowledged_writes_survive_kill_nine_under_load() {
    let cycles = std::env::var("GAGGLE_KILL_CYCLES")
        .ok()
        .and_then(|text| text.parse().ok());
    let cycles = cycles.unwrap_or(CYCLES);
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let mut load = Load::new(4);
    let mut member = cluster.member(&host, "a").start();
    let mut acknowledged = 0;
    for cycle in 0..cycles {
        let client = member.client().clone();
        let running = load.start(&client, 4000);
        // Not always at the same point: after one answer, after many, and in between.
        let enough = usize::try_from(1 + cycle * 37 % 400).expect("a small number");
        until(
            "writes are answered",
            seconds(30),
            || running.answered(),
            |n| *n >= enough,
        );
        member.crash();
        let tally = running.finish();
        acknowledged += tally.acknowledged;
        assert_eq!(tally.refused, 0, "a crash refuses nothing");
        member = cluster.member(&host, "a").start();
        load.check(member.client());
    }
    println!(
        "{cycles} crashes, {acknowledged} writes acknowledged, {} keys",
        load.keys()
    );
    member.stop();
}
