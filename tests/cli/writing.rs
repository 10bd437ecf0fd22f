//! `set` and `rm`: what goes in comes out, and conditions hold.

use std::fs;

use crate::harness::Member;

#[test]
fn a_value_comes_out_as_it_went_in() {
    let member = Member::start();
    let binary: Vec<u8> = (0..=255).collect();
    fs::write(member.dir().join("page"), &binary).unwrap();
    assert_eq!(member.run(["set", "web", "colour", "blue"]).text(), "");
    assert_eq!(member.run(["set", "web", "empty", ""]).code, 0);
    assert_eq!(member.run(["set", "web", "page", "@page"]).code, 0);
    assert_eq!(
        member.run(["set", "web", "at", "@page", "--literal"]).code,
        0
    );
    assert_eq!(member.run(["set", "web", "number", "-5"]).code, 0);
    let ran = member.run_with_stdin(["set", "web", "piped", "-"], b"a\r\nb\0\n");
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = member.run_with_stdin(["set", "web", "piped too", "-"], b"\xff");
    assert_eq!(ran.code, 0, "{ran:?}");

    let expected: [(&str, &[u8]); 7] = [
        ("colour", b"blue"),
        ("empty", b""),
        ("page", &binary),
        ("at", b"@page"),
        ("number", b"-5"),
        ("piped", b"a\r\nb\0\n"),
        ("piped too", b"\xff"),
    ];
    for (key, octets) in expected {
        let got = member.run(["get", "web", key]);
        assert_eq!((got.code, got.stdout.as_slice()), (0, octets), "{key}");
        let raw = member.run(["get", "web", key, "-o", "raw"]);
        assert_eq!(raw.stdout, octets, "{key}");
    }
}

#[test]
fn odd_names_reach_the_store_as_they_are() {
    let member = Member::start();
    for (node, key) in [
        ("toString", "__proto__"),
        ("a b%", "inproc://alpha-1"),
        ("🦆", "/leading//twice/"),
        ("q?x=1#y", "k?v#&=+;"),
    ] {
        let ran = member.run(["set", node, key, key]);
        assert_eq!(ran.code, 0, "{node} {key}: {ran:?}");
        assert_eq!(member.run(["get", node, key]).text(), key);
        let keys = member.run(["ls", node, "-o", "json"]).json();
        assert_eq!(keys, serde_json::json!([key]));
    }
}

#[test]
fn several_pairs_are_written_at_once() {
    let member = Member::start();
    let ran = member.run(["set", "web", "--pairs", "colour=blue", "eq=a=b", "none="]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let node = member.run(["get", "web", "-o", "json"]).json();
    let expected = serde_json::json!({"colour": "blue", "eq": "a=b", "none": ""});
    assert_eq!(node, expected);
}

#[test]
fn a_content_type_is_kept() {
    let member = Member::start();
    let set = [
        "set",
        "web",
        "doc",
        "{}",
        "--content-type",
        "application/json",
    ];
    assert_eq!(member.run(set).code, 0);
    let value = member.run(["get", "web", "doc", "-o", "json"]).json();
    assert_eq!(value["content_type"], "application/json");
}

#[test]
fn conditions_hold_or_the_exit_code_is_5() {
    let member = Member::start();
    assert_eq!(member.run(["set", "web", "k", "1", "--create"]).code, 0);
    member
        .run(["set", "web", "k", "2", "--create"])
        .failed(5, "precondition-failed");
    let outcome = member.run(["set", "web", "k", "3", "-o", "json"]).json();
    assert_eq!(outcome["outcome"], "replaced");
    let etag = outcome["etag"].as_str().unwrap();
    member
        .run(["set", "web", "k", "4", "--if-match", "something-else"])
        .failed(5, "precondition-failed");
    let set = member.run(["set", "web", "k", "5", "--if-match", etag]);
    assert_eq!(set.code, 0, "{set:?}");
    member
        .run(["rm", "web", "k", "--if-match", etag])
        .failed(5, "precondition-failed");
    assert_eq!(member.run(["get", "web", "k"]).text(), "5");
}

#[test]
fn what_is_deleted_is_gone_and_what_was_never_there_has_exit_code_3() {
    let member = Member::start();
    assert_eq!(member.run(["set", "web", "--pairs", "a=1", "b=2"]).code, 0);
    assert_eq!(member.run(["rm", "web", "a"]).text(), "");
    member.run(["get", "web", "a"]).failed(3, "key-not-found");
    member.run(["rm", "web", "a"]).failed(3, "key-not-found");
    assert_eq!(member.run(["rm", "web"]).text(), "");
    member.run(["get", "web"]).failed(3, "node-not-found");
    member.run(["ls", "web"]).failed(3, "node-not-found");
    member.run(["rm", "web"]).failed(3, "node-not-found");
}

#[test]
fn a_value_over_the_limit_is_refused_and_nothing_is_stored() {
    let member = Member::start_with(&["serve"], &["--max-value-bytes", "10"]);
    member
        .run(["set", "web", "k", "eleven byte"])
        .failed(1, "value-too-large");
    member.run(["get", "web", "k"]).failed(3, "not-found");
}
