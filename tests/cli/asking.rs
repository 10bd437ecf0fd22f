//! `get` and `ls` in every format, and what a pipe gets.

use std::io::Read;
use std::process::Stdio;

use serde_json::json;

use crate::harness::Member;

#[test]
fn a_value_is_told_in_every_format() {
    let member = Member::start();
    assert_eq!(member.run(["set", "web", "colour", "blue"]).code, 0);
    let value = member.run(["get", "web", "colour", "-o", "json"]).json();
    assert_eq!(value["node"], "web");
    assert_eq!(value["key"], "colour");
    assert_eq!(value["value"], "blue");
    for field in ["stamp", "author", "member", "written", "content_type"] {
        assert!(value[field].is_string(), "{field}: {value}");
    }
    let yaml = member.run(["get", "web", "colour", "-o", "yaml"]).text();
    assert!(yaml.starts_with("node: web\nkey: colour\n"), "{yaml}");
    assert!(yaml.contains("\nvalue: blue\n"), "{yaml}");
    let table = member.run(["get", "web", "colour", "-o", "table"]).text();
    assert!(table.starts_with("FIELD"), "{table}");
    assert!(table.contains("\nvalue         blue\n"), "{table}");
}

#[test]
fn a_binary_value_in_json_is_base64() {
    let member = Member::start();
    assert_eq!(
        member
            .run_with_stdin(["set", "web", "bin", "-"], b"\xff\xfe")
            .code,
        0
    );
    let value = member.run(["get", "web", "bin", "-o", "json"]).json();
    assert_eq!(value["value"], json!({"$base64": "//4="}));
    let table = member.run(["get", "web"]).text();
    assert_eq!(table, "KEY  VALUE\nbin  (binary, 2 bytes)\n");
}

#[test]
fn a_node_is_told_in_every_format() {
    let member = Member::start();
    let set = [
        "set",
        "web",
        "--pairs",
        "colour=blue",
        "text=two\nlines",
        "on=true",
    ];
    assert_eq!(member.run(set).code, 0);
    let expected = json!({"colour": "blue", "on": "true", "text": "two\nlines"});
    assert_eq!(member.run(["get", "web", "-o", "json"]).json(), expected);
    let yaml = member.run(["get", "web", "-o", "yaml"]).text();
    assert_eq!(
        yaml,
        "colour: blue\n\"on\": \"true\"\ntext: \"two\\nlines\"\n"
    );
    let table = member.run(["get", "web"]).text();
    assert_eq!(
        table,
        "KEY     VALUE\ncolour  blue\non      true\ntext    two\\nlines\n"
    );
    let raw = member.run(["get", "web", "-o", "raw"]).text();
    assert_eq!(raw, "colour\tblue\non\ttrue\ntext\ttwo\\nlines\n");
}

#[test]
fn nodes_and_keys_are_listed_in_every_format() {
    let member = Member::start();
    assert_eq!(member.run(["ls", "-o", "json"]).json(), json!([]));
    assert_eq!(member.run(["set", "db", "host", "h"]).code, 0);
    assert_eq!(member.run(["set", "web", "--pairs", "a=1", "b=2"]).code, 0);
    assert_eq!(member.run(["ls", "-o", "raw"]).text(), "db\nweb\n");
    assert_eq!(member.run(["ls", "web", "-o", "raw"]).text(), "a\nb\n");
    assert_eq!(member.run(["ls", "web", "-o", "yaml"]).text(), "- a\n- b\n");
    let nodes = member.run(["ls", "-o", "json"]).json();
    assert_eq!(nodes[1]["name"], "web");
    assert_eq!(nodes[1]["keys"], 2);
    let table = member.run(["ls"]).text();
    let expected =
        "NODE  KEYS  CLASS     DESCRIPTION\ndb    1     eventual\nweb   2     eventual\n";
    assert_eq!(table, expected);
}

#[test]
fn a_pipe_gets_no_colour_and_a_reader_that_leaves_is_no_error() {
    let member = Member::start();
    let large = "x".repeat(1 << 20);
    let ran = member.run_with_stdin(["set", "web", "large", "-"], large.as_bytes());
    assert_eq!(ran.code, 0, "{ran:?}");
    for args in [
        ["ls", "web"],
        ["members", "--timeout=9s"],
        ["status", "--timeout=9s"],
    ] {
        assert!(!member.run(args).text().contains('\x1b'), "{args:?}");
    }
    let mut child = member
        .program()
        .args(["get", "web", "large"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 10];
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
