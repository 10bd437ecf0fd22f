//! `history`, `diff`, `restore`, `conflicts`: what was there is shown and comes back.

use std::time::Duration;

use gaggle::io::clock::mono;
use serde_json::Value;

use crate::harness::{Member, Ran, run, wait_for};

/// The columns of a row of a table, split at two or more blanks.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

/// What a comparison wrote, and its exit code.
fn differs(ran: Ran) -> (i32, String) {
    (
        ran.code,
        String::from_utf8(ran.stdout).expect("a difference is text"),
    )
}

#[test]
fn the_history_tells_when_who_where_and_what() {
    let member = Member::start();
    for value in ["red", "green\nand\tblue"] {
        assert_eq!(member.run(["set", "web", "a/b", value]).code, 0);
    }
    assert_eq!(member.run(["rm", "web", "a/b"]).code, 0);
    let table = member.run(["history", "web/a/b"]).text();
    let lines: Vec<Vec<&str>> = table.lines().map(cells).collect();
    let heading = [
        "BACK", "STAMP", "WRITTEN", "AUTHOR", "MEMBER", "NOTE", "VALUE",
    ];
    assert_eq!(lines[0], heading);
    assert_eq!(lines.len(), 4, "{table}");
    assert_eq!(lines[1][3..], ["admin", "solo", "current", "(deleted)"]);
    assert_eq!(lines[2][3..], ["admin", "solo", "green\\nand\\tblue"]);
    assert_eq!(lines[3][3..], ["admin", "solo", "red"]);
    let in_two_words = member.run(["history", "web", "a/b"]).text();
    assert_eq!(in_two_words, table);

    let whole = member.run(["history", "web/a/b", "-o", "json"]).json();
    let versions = whole["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 3);
    assert_eq!(versions[2]["value"], "red");
    assert_eq!(versions[0]["replaces"][0], versions[1]["stamp"]);
    let raw = member.run(["history", "web/a/b", "-o", "raw"]).text();
    assert_eq!(raw.lines().count(), 3);
    let yaml = member.run(["history", "web/a/b", "-o", "yaml"]).text();
    assert!(yaml.contains("value: red"), "{yaml}");

    member
        .run(["history", "web/never"])
        .failed(3, "key-not-found");
    member
        .run(["history", "never", "k"])
        .failed(3, "node-not-found");
    run(["history", "web"]).failed(2, "the key is missing");
    run(["history", "web/a", "b"]).failed(2, "one word too many");
}

#[test]
fn a_difference_is_what_patch_reads_and_its_exit_code_is_that_of_diff() {
    let member = Member::start();
    for value in ["a\nb\nc\n", "a\nB\nc\n", "a\nB\nc\nd\n"] {
        assert_eq!(member.run(["set", "web", "page", value]).code, 0);
    }
    let body = |text: &str| -> String {
        let lines = text.lines().skip(2).map(|line| format!("{line}\n"));
        lines.collect()
    };
    let (code, last) = differs(member.run(["diff", "web/page"]));
    assert_eq!(
        (code, body(&last).as_str()),
        (1, "@@ -1,3 +1,4 @@\n a\n B\n c\n+d\n")
    );
    assert!(last.starts_with("--- web/page\t"), "{last}");
    let (code, both) = differs(member.run(["diff", "web/page", "-2"]));
    let expected = "@@ -1,3 +1,4 @@\n a\n-b\n+B\n c\n+d\n";
    assert_eq!((code, body(&both).as_str()), (1, expected));
    let (code, back) = differs(member.run(["diff", "web", "page", "-1", "-2"]));
    assert_eq!(
        (code, body(&back).as_str()),
        (1, "@@ -1,3 +1,3 @@\n a\n-B\n+b\n c\n")
    );
    assert_eq!(
        differs(member.run(["diff", "web/page", "-1", "-1"])),
        (0, String::new())
    );

    let whole = member.run(["history", "web/page", "-o", "json"]).json();
    let stamp = whole["versions"][2]["stamp"].as_str().unwrap();
    assert_eq!(differs(member.run(["diff", "web/page", stamp])).0, 1);
    let told = member
        .run(["diff", "web/page", stamp, stamp, "-o", "json"])
        .json();
    assert_eq!(
        (&told["equal"], &told["diff"]),
        (&true.into(), &Value::Null)
    );

    let ran = member.run_with_stdin(["set", "web", "page", "-"], b"\xff\0");
    assert_eq!(ran.code, 0);
    let (code, binary) = differs(member.run(["diff", "web/page"]));
    assert!(
        code == 1 && binary.starts_with("Binary values web/page"),
        "{binary}"
    );

    member
        .run(["diff", "web/page", "-9"])
        .failed(3, "only 4 versions are kept");
    member
        .run(["diff", "web/page", "0"])
        .failed(2, "versions begin with");
    member.run(["diff", "web/page", "xyz"]).failed(3, "xyz");
    run(["diff", "web/page", "1", "2", "3"]).failed(2, "one word too many");
    let nobody = run(["diff", "web/page", "--server", "https://127.0.0.1:1"]);
    assert_eq!(nobody.code, 2, "1 is a difference alone: {nobody:?}");
}

#[test]
fn what_was_overwritten_or_deleted_comes_back() {
    let member = Member::start();
    for value in ["one", "two", "three"] {
        assert_eq!(member.run(["set", "web", "k", value]).code, 0);
    }
    let restored = member.run(["restore", "web/k", "-2"]);
    let told = &restored.stderr;
    assert!(
        told.contains("restored: web/k is") && told.ends_with(": one\n"),
        "{told}"
    );
    assert_eq!(restored.text(), "");
    assert_eq!(member.run(["get", "web", "k"]).text(), "one");
    assert_eq!(member.run(["rm", "web"]).code, 0);
    let whole = member.run(["history", "web/k", "-o", "json"]).json();
    assert_eq!(
        (&whole["live"], &whole["count"]),
        (&false.into(), &4.into())
    );
    let hidden = member.run(["history", "web/k"]);
    assert!(
        hidden.stderr.contains("gaggle restore web/k -0"),
        "{hidden:?}"
    );
    let table = hidden.text();
    assert!(
        table.contains("node deleted") && !table.contains("current"),
        "{table}"
    );
    let stamp = whole["versions"][1]["stamp"].as_str().unwrap();
    let told = member
        .run(["restore", "web", "k", stamp, "-o", "json"])
        .json();
    assert_eq!(
        (&told["outcome"], &told["restored"]),
        (&"restored".into(), &stamp.into())
    );
    assert_eq!(member.run(["get", "web", "k"]).text(), "three");
    let etag = told["etag"].as_str().unwrap();
    let restore = ["restore", "web/k", "-1", "--if-match", "something-else"];
    member.run(restore).failed(5, "precondition-failed");
    assert_eq!(
        member
            .run(["restore", "web/k", "-1", "--if-match", etag])
            .code,
        0
    );
    member
        .run(["restore", "web/k", "-99"])
        .failed(3, "versions are kept");
    run(["restore", "web/k"]).failed(2, "");
    run(["restore", "web", "k"]).failed(2, "the version is missing");
}

#[test]
fn a_conflict_of_two_members_is_shown_and_settled_by_choosing() {
    let secret = run(["secret"]).text();
    let flags = [
        "--secret",
        secret.trim(),
        "--password",
        "a password for tests",
    ];
    let (one, other) = (
        Member::start_with(&["serve"], &flags),
        Member::start_with(&["serve"], &flags),
    );
    let ask = |member: &Member, args: &[&str]| {
        let mut program = member.program();
        program.env("GAGGLE_PASSWORD", "a password for tests");
        Ran::of(program.args(args).output().unwrap())
    };
    assert_eq!(ask(&one, &["set", "web", "colour", "green"]).code, 0);
    assert_eq!(ask(&other, &["set", "web", "colour", "blue"]).code, 0);
    assert_eq!(ask(&one, &["conflicts", "-o", "json"]).json()["count"], 0);
    let discover = format!("{},{}", one.seed(), other.seed());
    let _third = Member::start_among(&discover, &["serve"], &flags);
    let table = wait_for("the conflict", || {
        let text = ask(&one, &["conflicts", "web"]).text();
        text.contains("lost").then_some(text)
    });
    let lines: Vec<Vec<&str>> = table.lines().map(cells).collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(
        (lines[1][..2].join(" "), lines[1][6]),
        ("web/colour won".into(), "blue")
    );
    assert_eq!(
        (lines[2][..2].join(" "), lines[2][6]),
        ("web/colour lost".into(), "green")
    );
    let doctor = ask(&one, &["doctor", "-o", "json"]);
    let doctor: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let found = doctor
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["check"] == "conflicts");
    let hint = found.unwrap()["hint"].as_str().unwrap();
    assert!(hint.contains("gaggle conflicts"), "{hint}");

    let ran = ask(&one, &["restore", "web/colour", lines[2][2]]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ask(&one, &["conflicts", "-o", "json"]).json()["count"], 0);
    wait_for("the choice on the other member", || {
        let value = ask(&other, &["get", "web", "colour"]).text();
        let count = ask(&other, &["conflicts", "-o", "json"]).json()["count"].clone();
        (value == "green" && count == 0).then_some(())
    });
    ask(&one, &["conflicts", "no-such-node"]).failed(3, "node-not-found");
}

#[test]
fn what_is_kept_for_a_second_goes_within_seconds() {
    let member = Member::start_with(&["serve"], &["--keep-deleted", "1s"]);
    let begun = mono();
    assert_eq!(member.run(["set", "web", "k", "1"]).code, 0);
    assert_eq!(member.run(["rm", "web", "k"]).code, 0);
    wait_for("the deletion to be collected", || {
        let status = member.run(["status", "-o", "json"]).json();
        (status["collecting"]["collected"] == 1).then_some(())
    });
    let took = mono().since(begun);
    assert!(took < Duration::from_secs(20), "{took:?}");
}
