//! Nothing secret is ever written to a log, at its most talkative.

use crate::harness::{Cluster, Lan, PASSWORD, seconds, until};

/// A value that must not be found anywhere but in the store.
const MARK: &str = "mark-of-a-value-4f1d";

#[test]
fn no_secret_and_no_value_is_written_to_the_log() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let [first, second] = lan.hosts();
    let a = cluster
        .member(&first, "a")
        .with(&["--log", "trace"])
        .start();
    let b = cluster
        .member(&second, "b")
        .with(&["--log", "trace"])
        .start();
    a.wait_alive(2);
    assert_eq!(a.client().put("/v1/store/web/colour", MARK).status, 201);
    let arrived = || b.client().get("/v1/store/web/colour").body;
    until("the value arrives", seconds(20), arrived, |value| {
        value == MARK
    });
    let wrong = a
        .client()
        .ask(&["--user", "admin:wrong-pass-77aa"], "/v1/store");
    assert_eq!(wrong.status, 401);
    let encoded = run_base64(&format!("admin:{PASSWORD}"));
    for member in [&a, &b] {
        let said = member.said();
        assert!(
            said.contains("TRACE") || said.contains("DEBUG"),
            "the log is talkative"
        );
        for hidden in [
            cluster.secret(),
            PASSWORD,
            MARK,
            "wrong-pass-77aa",
            "$argon2id",
            &encoded,
        ] {
            let line = said.lines().find(|line| line.contains(hidden));
            assert!(line.is_none(), "{hidden:?} in {line:?}");
        }
    }
}

#[test]
fn a_member_whose_output_nobody_reads_goes_on() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let member = cluster
        .member(&host, "a")
        .with(&["--log", "trace"])
        .into_pipe_that_closes();
    member.wait_ready();
    for n in 0..20 {
        assert_eq!(
            member
                .client()
                .put(&format!("/v1/store/web/key-{n}"), "x")
                .status,
            201
        );
    }
}

fn run_base64(text: &str) -> String {
    crate::harness::run(&["sh", "-c", &format!("printf %s '{text}' | base64 --wrap 0")])
}
