//! `--ack` and `--session`: what a write waits for, and what a reader has seen.

use std::fs;

use crate::harness::{Member, run};

#[test]
fn a_write_waits_for_as_many_members_as_it_is_told() {
    let member = Member::start();
    for ack in ["1", "quorum", "all"] {
        let ran = member.run(["set", "web", "k", ack, "--ack", ack]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let late = member.run(["set", "web", "k", "late", "--ack", "2", "--timeout", "2s"]);
    late.failed(7, "ack-timeout");
    assert!(!late.stderr.contains("unknown"), "it was done: {late:?}");
    assert!(late.stderr.contains("1 of the 2 members"), "{late:?}");
    assert_eq!(
        member.run(["get", "web", "k"]).text(),
        "late",
        "it was done"
    );
    let ran = member.run(["restore", "web/k", "-1", "--ack", "1"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(member.run(["rm", "web", "k", "--ack", "1"]).code, 0);
    let pairs = ["set", "web", "--ack", "1", "--pairs", "a=1", "b=2"];
    assert_eq!(member.run(pairs).code, 0);
    run(["set", "web", "k", "v", "--ack", "0"]).failed(2, "--ack");
    run(["rm", "web", "k", "--ack", "most"]).failed(2, "quorum");
}

#[test]
fn a_session_is_kept_in_its_file() {
    let member = Member::start();
    let token = || fs::read_to_string(member.dir().join("seen")).unwrap_or_default();
    assert_eq!(
        member
            .run(["set", "web", "k", "1", "--session", "seen"])
            .code,
        0
    );
    let first = token();
    assert!(first.len() > 10 && first.ends_with('\n'), "{first:?}");
    assert_eq!(
        member.run(["get", "web", "k", "--session", "seen"]).text(),
        "1"
    );
    assert_eq!(token(), first, "nothing new was seen");
    let output = member
        .program()
        .args(["rm", "web", "k"])
        .env("GAGGLE_SESSION", "seen")
        .output();
    assert!(output.unwrap().status.success());
    assert_ne!(token(), first);
    assert_eq!(member.run(["ls", "web", "--session", "seen"]).code, 0);
    fs::write(member.dir().join("seen"), "another").unwrap();
    member
        .run(["get", "web", "k", "--session", "seen"])
        .failed(1, "bad-session");
}

#[test]
fn two_members_follow_each_others_sessions_and_acknowledge() {
    let secret = run(["secret"]).text();
    let flags = [
        "--secret",
        secret.trim(),
        "--password",
        "a password for tests",
    ];
    let one = Member::start_with(&["serve"], &flags);
    let other = Member::start_among(&one.seed(), &["serve"], &flags);
    let session = one.dir().join("seen");
    let ask = |member: &Member, args: &[&str]| {
        let mut program = member.program();
        program.env("GAGGLE_PASSWORD", "a password for tests");
        program.env("GAGGLE_SESSION", &session).args(args);
        crate::harness::Ran::of(program.output().unwrap())
    };
    crate::harness::wait_for("a write that both have", || {
        let ran = ask(
            &one,
            &["set", "web", "k", "0", "--ack", "2", "--timeout", "2s"],
        );
        (ran.code == 0).then_some(())
    });
    for turn in 1..=10 {
        let value = turn.to_string();
        let (writer, reader) = if turn % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        assert_eq!(ask(writer, &["set", "web", "k", &value]).code, 0);
        assert_eq!(ask(reader, &["get", "web", "k"]).text(), value);
    }
    let ran = ask(&other, &["set", "web", "k", "last", "--ack", "all"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}
