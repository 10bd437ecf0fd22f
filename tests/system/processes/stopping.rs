//! Clean stops: in time, with an exit code, without a lie to those who were writing.

use std::fs;
use std::process::Stdio;

use gaggle::io::clock::mono;
use rustix::process::Signal;

use crate::harness::{Cluster, Lan, Load, scratch, seconds, until};

#[test]
fn sigterm_under_load_ends_with_zero_in_time_and_loses_nothing() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let mut load = Load::new(4);
    for signal in [Signal::TERM, Signal::INT, Signal::TERM] {
        let mut member = cluster.member(&host, "a").start();
        let client = member.client().clone();
        let running = load.start(&client, 4000);
        until(
            "writes are answered",
            seconds(30),
            || running.answered(),
            |n| *n >= 50,
        );
        let asked = mono();
        member.signal(signal);
        let status = member.wait_end(seconds(10));
        let took = mono().since(asked);
        assert_eq!(status.code(), Some(0), "{signal:?}, after {took:?}");
        running.finish();
        let again = cluster.member(&host, "a").start();
        load.check(again.client());
    }
}

#[test]
fn a_clean_stop_leaves_the_readable_copy_up_to_date() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let mut member = cluster.member(&host, "a").start();
    assert_eq!(
        member.client().put("/v1/store/web/colour", "blue").status,
        201
    );
    let store = member.client().get("/v1/store").json();
    member.stop();
    let copy = fs::read_to_string(member.data().join("store.json")).expect("the readable copy");
    let copy: serde_json::Value = serde_json::from_str(&copy).expect("JSON");
    assert_eq!(copy, store);
    assert_eq!(copy["web"]["colour"], "blue");
}

#[test]
fn a_second_signal_ends_the_member_at_once() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let mut member = cluster
        .member(&host, "a")
        .with(&["--stop-timeout", "10m"])
        .start();
    let client = member.client().clone();
    assert_eq!(client.put("/v1/store/web/kept", "yes").status, 201);
    // A body that trickles in: the clean stop waits for this request.
    let folder = scratch();
    let trace = folder.path().join("trace");
    let mut slow = client
        .command(&[
            "curl",
            "--verbose",
            "--limit-rate",
            "1k",
            "--http1.1",
            "--noproxy",
            "*",
        ])
        .args([
            "--cacert",
            &client.ca.to_string_lossy(),
            "--user",
            &client.user,
        ])
        .args([
            "--header",
            "Expect:",
            "--data-binary",
            &"x".repeat(100_000),
            "-X",
            "PUT",
        ])
        .arg(format!("{}/v1/store/web/slow", client.base))
        .stdout(Stdio::null())
        .stderr(fs::File::create(&trace).expect("a file"))
        .spawn()
        .expect("curl runs");
    let sent = || fs::read_to_string(&trace).unwrap_or_default();
    until(
        "the slow request is on its way",
        seconds(15),
        sent,
        |text| text.contains("> PUT "),
    );
    member.signal(Signal::TERM);
    until(
        "it stops",
        seconds(10),
        || client.get("/readyz").status,
        |status| *status != 200,
    );
    let asked = mono();
    member.signal(Signal::TERM);
    member.wait_end(seconds(5));
    assert!(
        mono().since(asked) < seconds(2),
        "it took {:?}",
        mono().since(asked)
    );
    let _ = slow.kill();
    let _ = slow.wait();
    let again = cluster.member(&host, "a").start();
    assert_eq!(again.client().get("/v1/store/web/kept").body, "yes");
}
