//! Signals at awkward moments: with a request on its way, and while the member starts.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Client, Cluster, Lan, SmallDisk, Trace, scratch, seconds, until};

/// A value that takes its time on its way in; curl says on its output what it was told.
fn slow_put(client: &Client, path: &str, trace: &std::path::Path, octets: &str) -> Child {
    let words = [
        "curl",
        "--verbose",
        "--limit-rate",
        "40k",
        "--http1.1",
        "--noproxy",
        "*",
    ];
    let mut command = client.command(&words);
    command
        .args([
            "--cacert",
            &client.ca.to_string_lossy(),
            "--user",
            &client.user,
        ])
        .args([
            "--header",
            "Expect:",
            "--header",
            "Content-Type: text/plain",
        ])
        .args([
            "--data-binary",
            octets,
            "-X",
            "PUT",
            "--write-out",
            "%{http_code}",
        ])
        .arg(format!("{}{path}", client.base))
        .stdout(Stdio::piped())
        .stderr(fs::File::create(trace).expect("a file"));
    command.spawn().expect("curl runs")
}

#[test]
fn a_request_that_is_on_its_way_when_the_member_is_stopped_is_finished() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let mut member = cluster.member(&host, "a").start();
    let folder = scratch();
    let trace = folder.path().join("trace");
    let octets = "x".repeat(80_000);
    let slow = slow_put(member.client(), "/v1/store/web/slow", &trace, &octets);
    let sent = || fs::read_to_string(&trace).unwrap_or_default();
    let on_its_way = |text: &String| text.contains("> PUT ");
    until("the request is on its way", seconds(15), sent, on_its_way);
    member.signal(Signal::TERM);
    let client = member.client().clone();
    let new = || client.get("/readyz").status;
    until("no new request is taken", seconds(5), new, |status| {
        *status != 200
    });
    let told = slow.wait_with_output().expect("curl ends");
    assert_eq!(String::from_utf8_lossy(&told.stdout), "201", "{}", sent());
    let status = member.wait_end(seconds(10));
    assert!(status.success(), "{status}");
    let again = cluster.member(&host, "a").start();
    assert_eq!(again.client().get("/v1/store/web/slow").body, octets);
}

#[test]
fn a_signal_while_the_member_starts_ends_it_and_harms_nothing() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let mut member = cluster.member(&host, "a").start();
    assert_eq!(
        member.client().put("/v1/store/web/colour", "blue").status,
        201
    );
    member.stop();
    let mut early = 0;
    for (number, signal) in [Signal::TERM, Signal::INT]
        .into_iter()
        .cycle()
        .take(16)
        .enumerate()
    {
        let delay = Duration::from_millis(12 * u64::try_from(number).expect("a small number"));
        let mut member = cluster.member(&host, "a").spawn();
        std::thread::sleep(delay);
        member.signal(signal);
        let status = member.wait_end(seconds(10));
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&status);
        // Before it listens to signals the kernel ends it; later it ends by itself.
        let own = Some(signal.as_raw()) == by_signal || status.success();
        assert!(
            own,
            "{signal:?} after {delay:?}: {status}\n{}",
            member.said()
        );
        early += usize::from(!member.said().contains("serving"));
    }
    assert!(early > 0, "no signal came during a start");
    let again = cluster.member(&host, "a").start();
    assert_eq!(again.client().get("/v1/store/web/colour").body, "blue");
}

#[test]
fn a_signal_while_the_database_opens_slowly_is_obeyed() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let database = cluster.data("a").join("gaggle.redb");
    let slow = Trace::slow("pwrite64", Duration::from_millis(150)).on(&database);
    let words = slow.start(std::path::Path::new("/dev/null"));
    let mut member = cluster.member(&host, "a").under(words).spawn();
    let found = || fs::read_dir(cluster.data("a")).is_ok();
    until(
        "it began to open its directory",
        seconds(10),
        found,
        |found| *found,
    );
    member.signal(Signal::TERM);
    let status = member.wait_end(seconds(15));
    assert!(status.success(), "{status}\n{}", member.said());
    assert!(!member.said().contains("serving"), "{}", member.said());
    cluster.member(&host, "a").start();
}

#[test]
fn a_member_whose_disk_was_full_is_ready_again_by_itself_when_there_is_room() {
    let (lan, cluster, disk) = (Lan::new(), Cluster::new(), SmallDisk::new(48));
    let host = lan.host();
    let data = disk.path().join("data");
    let member = cluster.member(&host, "a").data(&data).start();
    let client = member.client();
    let ballast = disk.fill();
    let value = "x".repeat(64 << 10);
    let mut count = 0;
    let put = || {
        count += 1;
        client
            .put(&format!("/v1/store/full/key-{count}"), &value)
            .status
    };
    until("a write is refused", seconds(60), put, |status| {
        *status == 507
    });
    let ready = client.get("/readyz");
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (503, "not ready: disk")
    );
    fs::remove_file(ballast).expect("root may remove it");
    // No write asks for it: the member itself finds out.
    let ready = || client.get("/readyz").status;
    until("it is ready again", seconds(10), ready, |status| {
        *status == 200
    });
}
