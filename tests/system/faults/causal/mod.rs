//! What clients were told by real members, while the network is cut and members crash, checked
//! against the promises of a store: a recorder, a checker, and the runs.

mod check;
mod record;

use check::{Operation, Outcome, Violation, check};
use record::Recorder;

use crate::harness::{Client, Cluster, Lan, agree, seconds, throughout};

/// A run of four clients on three members, of which one is cut off and one crashes.
fn run() -> Vec<Operation> {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut members = cluster.start_on(&hosts);
    // Each client reaches each member, also one that its peers do not reach.
    let ways: Vec<Client> = members
        .iter()
        .map(|member| member.client().clone())
        .collect();
    let recorder = Recorder {
        members: &ways,
        clients: 4,
    };
    let run = recorder.during(|| {
        let pause = |time| throughout(seconds(time), || ());
        pause(2);
        lan.cut(&[&hosts[0], &hosts[1]], &[&hosts[2]]);
        pause(3);
        lan.heal();
        pause(2);
        members[1].crash();
        pause(1);
        members[1] = cluster.member(&hosts[1], "b").start();
        pause(2);
    });
    agree(&members);
    run
}

fn explained(run: &[Operation], broken: &[Violation]) -> String {
    let line = |violation: &Violation| {
        let Violation {
            promise,
            operation,
            after,
        } = violation;
        let [operation, after] = [&run[*operation], &run[*after]]
            .map(|of| format!("client {} at member {}: {of:?}", of.client, of.member));
        format!("{promise:?}\n  {operation}\n  after {after}")
    };
    broken.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn sessions_keep_their_promises_over_cuts_and_crashes() {
    let run = run();
    let broken = check(&run);
    assert!(broken.is_empty(), "{}", explained(&run, &broken));
    let count = |wanted: fn(&Operation) -> bool| run.iter().filter(|one| wanted(one)).count();
    let read = count(|one| matches!(one.outcome, Outcome::Read(Some(_))));
    let written = count(|one| matches!(one.outcome, Outcome::Written(Some(_))));
    let refused = count(|one| matches!(one.outcome, Outcome::Refused));
    let unknown = count(|one| matches!(one.outcome, Outcome::Unknown));
    let carried = count(|one| one.sent.is_some() && one.got.is_some());
    println!(
        "{} operations: {read} reads, {written} writes, {refused} refused, {unknown} unknown; \
         {carried} with a token",
        run.len()
    );
    assert!(read > 50 && written > 50, "{read} reads, {written} writes");
    assert!(carried > read / 2, "tokens go both ways: {carried}");
}
