//! `counter`, `lock`, `log`, `txn`, and nodes with `--class`: what they print, how they end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use gaggle::io::clock::mono;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Member, Ran, run, wait_for};

#[test]
fn a_counter_is_added_to_set_read_listed_and_deleted() {
    let member = Member::start_strong();
    assert_eq!(member.run(["counter", "add", "hits"]).text(), "1\n");
    assert_eq!(member.run(["counter", "add", "hits", "-5"]).text(), "-4\n");
    assert_eq!(member.run(["counter", "get", "hits"]).text(), "-4\n");
    let as_json = member.run(["counter", "get", "hits", "-o", "json"]).json();
    assert_eq!(as_json["value"], -4);
    let as_yaml = member.run(["counter", "get", "hits", "-o", "yaml"]).text();
    assert!(as_yaml.lines().any(|line| line == "value: -4"), "{as_yaml}");
    let table = member.run(["counter", "get", "hits", "-o", "table"]).text();
    assert_eq!(table, "VALUE\n-4\n");
    let set = ["counter", "set", "hits", "7", "--expect", "-4"];
    assert_eq!(member.run(set).text(), "7\n");
    member.run(set).failed(5, "counter-differs");
    assert_eq!(
        member.run(["counter", "ls"]).text(),
        "COUNTER  VALUE\nhits     7\n"
    );
    assert_eq!(
        member.run(["counter", "ls", "-o", "raw"]).text(),
        "hits\t7\n"
    );
    assert_eq!(member.run(["counter", "rm", "hits"]).text(), "");
    let gone = member.run(["counter", "get", "hits"]);
    gone.failed(3, "counter-not-found");
    assert!(gone.stderr.contains("gaggle counter ls"), "{gone:?}");
    run(["counter", "add"]).failed(2, "<NAME>");
    run(["counter", "add", "hits", "many"]).failed(2, "many");
    run(["counter", "hits"]).failed(2, "hits");
}

/// The program under a lock that it holds until its stdin ends.
fn holder(member: &Member, name: &str) -> Child {
    let mut child = member
        .program()
        .args([
            "lock", name, "--ttl", "20s", "--value", "host-1", "--", "cat",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program runs");
    wait_for("the lock", || {
        if let Some(ended) = child.try_wait().expect("it can be waited for") {
            panic!("it ended: {ended}");
        }
        let shown = member.run(["lock", "--list", name, "-o", "json"]);
        (shown.code == 0 && shown.json()["holders"][0].is_object()).then_some(())
    });
    child
}

fn release(mut holder: Child) {
    drop(holder.stdin.take());
    let ended = holder.wait().expect("it can be waited for");
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_command_runs_under_its_lock_and_its_exit_code_is_passed_on() {
    let member = Member::start_strong();
    let script = "echo \"$GAGGLE_LOCK $GAGGLE_LOCK_TOKEN\"; exit 9";
    let first = member.run(["lock", "job", "--", "sh", "-c", script]);
    assert_eq!(first.code, 9, "{first:?}");
    let token = |text: &[u8]| -> u64 {
        let text = String::from_utf8_lossy(text);
        let token = text.strip_prefix("job ").map(str::trim);
        token
            .and_then(|token| token.parse().ok())
            .unwrap_or_else(|| panic!("{text}"))
    };
    let second = member.run(["lock", "job", "--wait", "5s", "--", "sh", "-c", script]);
    assert!(token(&second.stdout) > token(&first.stdout), "tokens grow");
    let killed = member.run(["lock", "job", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(killed.code, 128 + 15, "{killed:?}");
    let missing = member.run(["lock", "job", "--", "/no/such/program"]);
    missing.failed(1, "/no/such/program");
    let free = member.run(["lock", "--list", "job", "-o", "json"]).json();
    assert_eq!(free["holders"], json!([]), "given back however it ended");
}

/// A command under a lock that writes a line when it begins and when it is asked to end.
fn guarded(member: &Member, ttl: &str) -> (Child, BufReader<ChildStdout>) {
    let script = "trap 'echo asked; exit 3' TERM; echo begun; while :; do sleep 0.02; done";
    let mut child = member
        .program()
        .args(["lock", "job", "--ttl", ttl, "--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
    assert_eq!(line(&mut lines), "begun\n");
    (child, lines)
}

fn line(lines: &mut impl BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    line
}

#[test]
fn a_command_is_asked_to_stop_before_its_lease_is_over_if_nobody_answers() {
    let member = Member::start_strong();
    let (child, mut lines) = guarded(&member, "8s");
    let begun = mono();
    member.signal(Signal::STOP);
    assert_eq!(line(&mut lines), "asked\n");
    let took = mono().since(begun);
    member.signal(Signal::CONT);
    // A quarter of the lease is left for the command to end.
    assert!(took < Duration::from_millis(7_200), "{took:?}");
    let ended = Ran::of(child.wait_with_output().expect("the program ends"));
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.stderr.contains("was lost"), "{ended:?}");
}

#[test]
fn who_holds_a_lock_is_told_to_whom_it_is_refused() {
    let member = Member::start_strong();
    let held = holder(&member, "job");
    let refused = member.run(["lock", "job", "--", "true"]);
    refused.failed(5, "lock-held");
    assert!(
        refused
            .stderr
            .contains("held by admin (value \"host-1\", token "),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains("--wait 1m waits for it"),
        "{refused:?}"
    );
    let late = member.run(["lock", "job", "--wait", "300ms", "--", "true"]);
    late.failed(7, "wait-over");
    member
        .run(["lock", "job", "--limit", "2", "--", "true"])
        .failed(5, "limit-differs");
    release(held);
}

#[test]
fn holders_and_waiters_are_listed() {
    let member = Member::start_strong();
    assert_eq!(
        member.run(["lock", "--list", "-o", "json"]).json(),
        json!([])
    );
    let held = holder(&member, "job");
    let mut waiting = member
        .program()
        .args(["lock", "job", "--wait", "1m", "--", "true"])
        .stdin(Stdio::null())
        .spawn()
        .expect("the program runs");
    let locks = wait_for("the waiter", || {
        let locks = member.run(["lock", "--list", "-o", "json"]).json();
        locks[0]["waiters"][0].is_object().then_some(locks)
    });
    assert_eq!(locks[0]["name"], "job");
    assert!(
        locks[0]["waiters"][0]["left_ms"]
            .as_u64()
            .is_some_and(|left| left < 60_000)
    );
    let token = locks[0]["token"].to_string();
    let columns =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    for args in [["lock", "--list", "job"], ["lock", "--list", "-otable"]] {
        let table = member.run(args).text();
        let lines: Vec<Vec<String>> = table.lines().map(columns).collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert_eq!(lines[0][..4], ["LOCK", "LIMIT", "STATE", "WHO"]);
        assert_eq!(
            lines[1][..5],
            ["job", "1", "held", "admin", &token],
            "{table}"
        );
        assert_eq!(
            lines[1].last().map(String::as_str),
            Some("host-1"),
            "{table}"
        );
        assert_eq!(lines[2][..4], ["job", "1", "waits", "admin"], "{table}");
    }
    assert_eq!(member.run(["lock"]).text().lines().count(), 3);
    // A command that is not run must not look as if it was.
    for args in [["lock", "ls", "--"], ["lock", "job", "--ttl=1s"]] {
        let nothing = member.run(args);
        nothing.failed(2, "there is no command");
        assert!(nothing.stderr.contains("gaggle lock --list"), "{nothing:?}");
    }
    member.run(["lock", "--", "true"]).failed(2, "not named");
    release(held);
    assert!(waiting.wait().expect("it can be waited for").success());
    assert!(member.run(["lock", "--list"]).text().contains("free"));
    run(["lock", "--list", "--ttl", "1s"]).failed(2, "--ttl");
    run(["lock", "job", "--list", "--", "true"]).failed(2, "--list");
    run(["lock", "job", "--wait", "soon", "--", "true"]).failed(2, "soon");
}

#[test]
fn a_log_is_appended_to_read_and_followed() {
    let member = Member::start_strong();
    let entry = r#"{"n": 1.50}"#;
    assert_eq!(member.run(["log", "append", "orders", entry]).text(), "1\n");
    let piped = member.run_with_stdin(["log", "append", "orders", "-", "-o", "json"], b"[2]");
    assert_eq!(piped.json()["index"], 2);
    assert_eq!(
        member
            .run(["log", "append", "orders", "\"x\"", "-o", "table"])
            .text(),
        "INDEX\n3\n"
    );
    let all = member.run(["log", "read", "orders"]).text();
    assert_eq!(all, "{\"n\": 1.50}\n[2]\n\"x\"\n", "as it came in");
    let second = ["log", "read", "orders", "--from", "2", "--limit", "1"];
    assert_eq!(member.run(second).text(), "[2]\n");
    let whole = member
        .run(["log", "read", "orders", "--from", "3", "-o", "json"])
        .json();
    assert_eq!((&whole["index"], &whole["data"]), (&json!(3), &json!("x")));
    assert_eq!(whole["author"], "admin");
    assert_eq!(
        member.run(["log", "ls"]).text(),
        "LOG     FIRST  NEXT\norders  1      4\n"
    );
    assert_eq!(
        member.run(["log", "ls", "-o", "json"]).json()[0]["name"],
        "orders"
    );

    let mut child = member
        .program()
        .args(["log", "follow", "orders", "--from", "3"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let mut next = || lines.next().expect("it goes on").expect("text");
    assert_eq!(next(), "\"x\"");
    assert_eq!(member.run(["log", "append", "orders", "4"]).text(), "4\n");
    assert_eq!(next(), "4");
    child.kill().expect("it runs");
    child.wait().expect("it ends");

    member
        .run(["log", "read", "none"])
        .failed(3, "log-not-found");
    let no_json = member.run(["log", "append", "orders", "hello"]);
    no_json.failed(2, "no JSON");
    assert!(no_json.stderr.contains("quotes of its own"), "{no_json:?}");
    run(["log", "append", "orders"]).failed(2, "<JSON>");
}

#[test]
fn who_follows_a_log_is_told_of_what_was_let_go_before_it_was_read() {
    let member = Member::start_strong();
    for number in ["1", "2", "3"] {
        member.run(["log", "append", "l", number]);
    }
    let trim = br#"{"then": [{"op": "trim", "log": "l", "before": 3}]}"#;
    assert_eq!(member.run_with_stdin(["txn"], trim).code, 0);
    let mut child = member
        .program()
        .args(["log", "follow", "l", "--from", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut lines = BufReader::new(stdout).lines();
    assert_eq!(lines.next().expect("it goes on").expect("text"), "3");
    child.kill().expect("it runs");
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("stderr is piped");
    stderr.read_to_string(&mut said).expect("text");
    child.wait().expect("it ends");
    assert_eq!(
        said,
        "note: entries 1 to 2 were let go before they were read\n"
    );
}

#[test]
fn a_transaction_tells_by_its_exit_code_whether_its_tests_held() {
    let member = Member::start_strong();
    let txn = br#"{"if":   [{"counter": "stock", "value": 1, "is": ">="}],
                   "then": [{"op": "add", "counter": "stock", "by": -1}],
                   "else": [{"op": "get", "counter": "stock"}]}"#;
    let empty = member.run_with_stdin(["txn"], txn);
    assert_eq!(empty.code, 5, "{empty:?}");
    let told: Value = serde_json::from_slice(&empty.stdout).expect("JSON, also then");
    assert_eq!(told["held"], false);
    assert_eq!(member.run(["counter", "set", "stock", "1"]).code, 0);
    std::fs::write(member.dir().join("txn.json"), txn).expect("a file");
    let sold = member.run(["txn", "txn.json"]).json();
    assert_eq!(
        (&sold["held"], &sold["results"][0]["value"]),
        (&json!(true), &json!(0))
    );
    let yaml = member
        .run_with_stdin(["txn", "-", "-o", "yaml"], br#"{"then":[]}"#)
        .text();
    assert!(yaml.lines().any(|line| line == "held: true"), "{yaml}");
    let missing = br#"{"then": [{"op": "delete", "counter": "none"}]}"#;
    let refused = member.run_with_stdin(["txn"], missing);
    refused.failed(3, "counter-not-found");
    assert!(refused.stderr.contains("operation 0"), "{refused:?}");
    member
        .run_with_stdin(["txn"], br#"{"the": []}"#)
        .failed(1, "invalid-body");
    member.run_with_stdin(["txn"], b"{").failed(2, "-: ");
    run(["txn", "/no/such/file"]).failed(2, "/no/such/file");
}

#[test]
fn a_strong_node_is_made_by_its_first_write_and_seen_in_the_list() {
    let member = Member::start_strong();
    assert_eq!(member.run(["set", "web", "colour", "red"]).code, 0);
    let first = ["set", "--class", "strong", "deploy", "colour", "blue"];
    assert_eq!(member.run(first).code, 0);
    let again = member.run([
        "set", "--class", "strong", "deploy", "colour", "green", "-o", "json",
    ]);
    assert_eq!(again.json()["outcome"], "replaced");
    let pairs = ["set", "--class", "strong", "jobs", "--pairs", "a=1", "b=2"];
    assert_eq!(member.run(pairs).code, 0);
    assert_eq!(member.run(["get", "deploy", "colour"]).text(), "green");
    let value = member.run(["get", "deploy", "colour", "-o", "json"]).json();
    assert_eq!(value["class"], "strong");
    let listed = member.run(["ls"]).text();
    assert!(listed.contains("deploy  1     strong"), "{listed}");
    let names = |class| member.run(["ls", "--class", class, "-o", "raw"]).text();
    assert_eq!(names("strong"), "deploy\njobs\n");
    assert_eq!(names("eventual"), "web\n");
    let keys = member.run(["ls", "jobs", "--class", "strong", "-o", "raw"]);
    assert_eq!(keys.text(), "a\nb\n");

    let other = ["set", "--class", "strong", "web", "colour", "x"];
    member.run(other).failed(5, "class-conflict");
    member
        .run(["set", "--class", "eventual", "deploy", "k", "x"])
        .failed(5, "class-conflict");
    member
        .run(["get", "deploy", "colour", "--class", "eventual"])
        .failed(3, "node-not-found");
    member
        .run(["rm", "web", "colour", "--class", "strong"])
        .failed(3, "node-not-found");
    assert_eq!(member.run(["rm", "deploy", "--class", "strong"]).code, 0);
    assert_eq!(names("strong"), "jobs\n");
    run(["ls", "--class", "weak"]).failed(2, "weak");
}

#[test]
fn without_a_strong_side_each_command_says_so() {
    let member = Member::start();
    for args in [
        &["counter", "get", "c"][..],
        &["counter", "add", "c"],
        &["lock", "--list"],
        &["lock", "l", "--", "true"],
        &["log", "append", "l", "1"],
        &["log", "read", "l"],
        &["quorum"],
        &["set", "--class", "strong", "n", "k", "v"],
    ] {
        let output = member.program().args(args).stdin(Stdio::null()).output();
        let ran = crate::harness::Ran::of(output.expect("the program runs"));
        ran.failed(6, "strong-side-off");
        assert!(ran.stderr.contains("--cluster-size"), "{ran:?}");
    }
    let status = member.run(["status", "-o", "json"]).json();
    assert_eq!(status["strong"], json!({"state": "off"}));
    let found = member.run(["doctor"]).text();
    assert!(found.contains("strong side     ok      off: "), "{found}");
}

#[test]
fn a_write_with_the_token_of_another_holder_is_refused() {
    let member = Member::start_strong();
    let token = |word: &str| {
        let shown = member.run(["lock", "job", "--", "printenv", "GAGGLE_LOCK_TOKEN"]);
        format!("--if-fence={word}={}", shown.text().trim())
    };
    let old = token("job");
    member.run(["counter", "add", "runs", &old]).text();
    let new = token("job");
    let txn = r#"{"if":[],"then":[{"op":"add","counter":"runs","by":1}]}"#.as_bytes();
    for fence in [&new, &old] {
        let writes = [
            member.run([
                "set", "deploy", "colour", "blue", "--class", "strong", fence,
            ]),
            member.run(["counter", "add", "runs", fence]),
            member.run(["counter", "set", "runs", "7", fence]),
            member.run(["log", "append", "events", "1", fence]),
            member.run_with_stdin(["txn", fence], txn),
            member.run(["rm", "deploy", "colour", "--class", "strong", fence]),
        ];
        for (at, write) in writes.into_iter().enumerate() {
            if fence == &new {
                assert!(write.stderr.is_empty(), "write {at}: {write:?}");
            } else {
                write.failed(5, "stale-fence");
            }
        }
    }
    let held = member.run(["counter", "get", "runs"]).text();
    assert_eq!(held, "8\n", "what came with the old token was not done");
}

#[test]
fn an_entry_is_one_line_however_it_came() {
    let member = Member::start_strong();
    let entry = b"{\"a\":\n 1}\n";
    member
        .run_with_stdin(["log", "append", "l", "-"], entry)
        .text();
    assert_eq!(member.run(["log", "read", "l"]).text(), "{\"a\":  1}\n");
    let whole = member.run(["log", "read", "l", "-ojson"]).text();
    assert_eq!(whole.lines().count(), 1, "{whole}");
    member.run(["log", "append", "", "1"]).failed(2, "value");
    member.run(["counter", "add", ""]).failed(2, "value");
}
