//! A disk that fails once and then works again: after the first failed sync or write nothing more
//! is acknowledged, reads go on, the member says that it is not ready, and a restart serves all
//! that was acknowledged. Trying again would be a lie: the kernel forgets what it could not write.
//!
//! The failing call is each of the first calls of a script in turn; `GAGGLE_DISK_FAULTS=all` takes
//! every call of the script.

use std::path::Path;

use crate::harness::{Cluster, Host, Lan, Script, Trace, acknowledged, seconds, until};

/// Every so many calls one fails, unless all are asked for.
const STRIDE: usize = 7;

/// Which calls fail, and with which error.
struct Fault {
    call: &'static str,
    error: &'static str,
    /// How many of them the script makes at least.
    at_least: usize,
}

fn stride() -> usize {
    let all = std::env::var("GAGGLE_DISK_FAULTS").is_ok_and(|text| text == "all");
    if all { 1 } else { STRIDE }
}

/// Runs the script with the fault at its `number`th call; `false` if the script has fewer.
fn check(cluster: &Cluster, host: &Host, fault: &Fault, number: usize) -> bool {
    let name = format!("m-{}-{number}", fault.call.len());
    let when = format!("{} of {}, call {number}", fault.error, fault.call);
    let script = Script::reference();
    let mut member = cluster.member(host, &name).start();
    let client = member.client().clone();
    let database = member.data().join("gaggle.redb");
    let trace = Trace::fail(fault.call, fault.error, number).on(&database);
    let tracing = trace.attach(&member);
    let told = script.run(&client);
    let failed = tracing.injected() > 0;
    let good = acknowledged(&told);
    assert_eq!(
        told.len(),
        script.len(),
        "{when}: every step is answered: {told:?}"
    );
    if failed {
        let later = &told[good..];
        assert!(
            later.iter().all(|status| *status == 503),
            "{when}: nothing is acknowledged any more: {told:?}"
        );
        let refused = client.put("/v1/store/later/key", "value");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (503, "write-fenced"),
            "{when}: {refused:?}"
        );
        assert_eq!(
            refused.json()["outcome"],
            "not-applied",
            "{when}: {refused:?}"
        );
        let ready = client.get("/readyz");
        assert_eq!(
            (ready.status, ready.body.as_str()),
            (503, "not ready: disk"),
            "{when}"
        );
        assert_eq!(
            client.get("/v1/status").json()["disk"]["state"],
            "fenced",
            "{when}"
        );
        // Reads show what was acknowledged, and nothing of what failed.
        assert_eq!(client.get("/livez").status, 200, "{when}");
        script.check(&client, good, &when);
    } else {
        assert_eq!(good, script.len(), "{when}: nothing failed: {told:?}");
    }
    drop(tracing);
    member.signal(rustix::process::Signal::TERM);
    member.wait_end(seconds(15));
    let again = cluster.member(host, &name).start();
    script.check(again.client(), good, &when);
    let write = || again.client().put("/v1/store/after/key", "value").status;
    until(
        "a restart takes writes again",
        seconds(5),
        write,
        |status| *status == 201,
    );
    failed
}

fn check_all(fault: &Fault) {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    for number in (1..).step_by(stride()) {
        if !check(&cluster, &host, fault, number) {
            println!(
                "{} of {}: fewer than {number} calls",
                fault.error, fault.call
            );
            assert!(number > fault.at_least, "only {number} calls were counted");
            return;
        }
    }
}

#[test]
fn after_one_failed_sync_nothing_is_acknowledged_until_a_restart() {
    check_all(&Fault {
        call: "fdatasync",
        error: "EIO",
        at_least: 10,
    });
}

#[test]
fn after_one_failed_write_nothing_is_acknowledged_until_a_restart() {
    check_all(&Fault {
        call: "pwrite64",
        error: "EIO",
        at_least: 40,
    });
}

#[test]
fn a_database_that_cannot_be_read_is_never_taken_for_an_empty_one() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let script = Script::reference();
    let mut member = cluster.member(&host, "a").start();
    script.run(member.client());
    member.stop();
    let database = member.data().join("gaggle.redb");
    for number in 1.. {
        let trace = Trace::fail("pread64", "EIO", number).on(&database);
        let mut again = cluster
            .member(&host, "a")
            .under(trace.start(Path::new("/dev/null")))
            .spawn();
        if again.ready_or_ended() {
            // That many reads are not made at a start; what it serves is all there is.
            script.check(again.client(), script.len(), "after all reads");
            assert!(number > 2, "a start reads the database");
            again.crash();
            break;
        }
        let status = again.wait_end(seconds(5));
        assert!(status.code().is_some_and(|code| code != 0), "{status}");
        let said = again.said();
        assert!(
            said.contains("gaggle.redb") && !said.contains("panicked"),
            "read {number}: no clear word of it:\n{said}"
        );
    }
    let again = cluster.member(&host, "a").start();
    script.check(again.client(), script.len(), "when the disk reads again");
}
