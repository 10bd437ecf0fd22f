//! `quorum`, and what all commands say of a majority that is not there.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Member, Ran, run, wait_for};

/// A member of a group of two, and the other one.
fn two() -> (Member, Member) {
    let one = Member::start_with(&["serve"], &["--cluster-size", "2"]);
    let read = |name: &str| {
        let text = fs::read_to_string(one.data().join(name)).expect("the member made it");
        text.trim().to_owned()
    };
    let (secret, password) = (one.dir().join("secret"), one.dir().join("password"));
    fs::write(&secret, read("secret")).expect("a file");
    fs::write(&password, read("password")).expect("a file");
    let flags = [
        "--secret-file",
        secret.to_str().expect("text"),
        "--password-file",
        password.to_str().expect("text"),
        "--cluster-size",
        "2",
    ];
    let other = Member::start_among(&one.seed(), &["serve"], &flags);
    // Where the commands on its host look for it.
    fs::copy(&password, other.data().join("password")).expect("a file");
    one.wait_for_leader();
    other.wait_for_leader();
    (one, other)
}

#[test]
fn the_group_is_shown_in_each_form() {
    let member = Member::start_strong();
    let table = member.run(["quorum"]).text();
    assert!(table.contains("plan       --cluster-size 1\n"), "{table}");
    assert!(table.contains("role       leader\n"), "{table}");
    assert!(
        table.contains("NAME  ID                ROLE    ALIVE  LACKS\n"),
        "{table}"
    );
    assert!(table.ends_with("\nthe strong side works\n"), "{table}");
    let told = member.run(["quorum", "status", "-o", "json"]).json();
    assert_eq!(
        (&told["majority"], &told["role"]),
        (&json!(true), &json!("leader"))
    );
    let id = told["leader"].as_str().expect("an id");
    let raw = member.run(["quorum", "-o", "raw"]).text();
    assert_eq!(raw, format!("solo\t{id}\tleader\tyes\t0\n"));
    let yaml = member.run(["quorum", "-o", "yaml"]).text();
    assert!(yaml.lines().any(|line| line == "state: working"), "{yaml}");
    let status = member.run(["status"]).text();
    for (field, value) in [("leader", "solo"), ("voters", "solo"), ("majority", "true")] {
        let line = format!("{:<26}{value}", format!("strong.{field}"));
        assert!(
            status.lines().any(|found| found == line),
            "{line}: {status}"
        );
    }
    let found = member.run(["doctor"]);
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(
        found.contains("solo leads, and is the only voter"),
        "{found}"
    );
}

#[test]
fn what_cannot_be_done_to_the_group_says_why() {
    let member = Member::start_strong();
    let same = member.run(["quorum", "transfer", "solo", "-o", "raw"]);
    assert_eq!(same.code, 0, "{same:?}");
    assert!(same.stderr.contains("done: solo leads"), "{same:?}");
    let nobody = member.run(["quorum", "promote", "nobody"]);
    nobody.failed(3, "not-in-group");
    assert!(
        nobody.stderr.contains("the group has no learner"),
        "{nobody:?}"
    );
    assert!(!nobody.stderr.contains("members --all"), "{nobody:?}");
    let nobody = member.run(["quorum", "transfer", "nobody"]);
    assert!(nobody.stderr.contains("its voters: solo"), "{nobody:?}");
    member
        .run(["quorum", "demote", "solo"])
        .failed(5, "the only voter");
    member
        .run(["quorum", "recover", "--yes"])
        .failed(5, "nothing is lost");
    run(["quorum", "promote"]).failed(2, "<NAME|ID>");
    run(["quorum", "elect"]).failed(2, "elect");
}

#[test]
fn what_cannot_be_taken_back_needs_yes_where_nobody_can_be_asked() {
    let member = Member::start_strong();
    let group = || member.run(["quorum", "-o", "json"]).json()["group"].clone();
    let before = group();
    for action in ["recover", "reset"] {
        let refused = member.run(["quorum", action]);
        refused.failed(2, "nothing was changed");
        assert!(refused.stderr.contains("--yes"), "{refused:?}");
        assert_eq!(group(), before);
    }
    let healthy = member.run(["quorum", "reset", "--yes"]);
    healthy.failed(5, "the only voter");
    assert_eq!(group(), before);
    let reset = member.run(["quorum", "reset", "--yes", "--force"]);
    assert_eq!(reset.code, 0, "{reset:?}");
    wait_for("another group", || {
        let now = group();
        (now.is_string() && now != before).then_some(())
    });
}

/// A member that has lost the other one of its group, in which a counter `c` was made.
fn left_alone() -> Member {
    let (one, mut other) = two();
    let found = one.run(["doctor"]);
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(
        found.contains("2 voters bear no more losses than 1"),
        "{found}"
    );
    assert_eq!(one.run(["counter", "add", "c"]).text(), "1\n");
    let leaders = [&one, &other].map(|member| {
        let told = member.run(["quorum", "-o", "json"]).json();
        told["leader"].clone()
    });
    assert_eq!(leaders[0], leaders[1]);
    other.stop();
    let lost = wait_for("the loss", || {
        let ran = one.run(["quorum"]);
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        (ran.code == 6 && text.contains("no majority")).then_some(text)
    });
    let last = "no majority: 1 of 2 voters are alive, 2 are needed; missing: solo\n";
    assert!(lost.ends_with(last), "{lost}");
    one
}

#[test]
fn without_a_majority_each_command_ends_with_six() {
    let one = left_alone();
    for args in [
        &["counter", "get", "c"][..],
        &["counter", "add", "c"],
        &["lock", "l", "--", "true"],
        &["log", "append", "l", "1"],
    ] {
        let output = one.program().args(args).stdin(Stdio::null()).output();
        let ran = Ran::of(output.expect("the program runs"));
        ran.failed(6, "no-quorum");
        assert!(
            ran.stderr.contains("says who is missing"),
            "{args:?}: {ran:?}"
        );
    }
    let ambiguous = one.run(["quorum", "transfer", "solo"]);
    ambiguous.failed(5, "2 members of the group have the name");
    one.run_with_stdin(["txn"], br#"{"then":[]}"#)
        .failed(6, "no-quorum");
    assert_eq!(
        one.run(["set", "web", "k", "v"]).code,
        0,
        "eventual nodes need none"
    );
}

#[test]
fn who_is_missing_is_named_and_the_group_is_recovered() {
    let one = left_alone();
    let status = one.run(["status", "-o", "json"]).json();
    assert_eq!(
        (&status["ready"], &status["strong"]["majority"]),
        (&json!(true), &json!(false))
    );
    let away: Vec<&Value> = status["strong"]["voters"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|voter| voter["alive"] == false)
        .collect();
    assert_eq!(away.len(), 1, "{status}");
    assert!(one.run(["status"]).text().contains("solo (away)"));
    let doctor = one.run(["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
    let found = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        found.contains("1 of 2 voters are alive, 2 are needed; missing: solo"),
        "{found}"
    );

    let recovered = one.run(["quorum", "recover", "--yes", "-o", "json"]);
    assert!(
        recovered
            .stderr
            .contains("works again, with solo as its only voter"),
        "{recovered:?}"
    );
    let after = recovered.json();
    assert_eq!(
        (&after["role"], &after["epoch"]),
        (&json!("leader"), &json!(2))
    );
    assert_eq!(
        one.run(["counter", "add", "c"]).text(),
        "2\n",
        "nothing was lost"
    );
}

#[test]
fn a_list_of_voters_that_names_nobody_is_found_by_the_doctor() {
    let member = Member::start_with(&["serve"], &["--voters", "solo,absent"]);
    let down = member.run(["counter", "add", "c", "--timeout", "5s"]);
    down.failed(6, "strong-side-down");
    assert!(down.stderr.contains("waiting for absent"), "{down:?}");
    let told = member.run(["quorum"]);
    assert_eq!(told.code, 6, "{told:?}");
    assert!(String::from_utf8_lossy(&told.stdout).contains("the group is not there yet"));
    let found = member.run(["doctor"]);
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(
        found.contains("--voters names members that are not known: absent"),
        "{found}"
    );
}
