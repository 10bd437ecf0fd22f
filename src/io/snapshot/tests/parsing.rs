//! Any bytes give a document or an error that says where.

use proptest::prelude::*;

use super::super::{Limits, SnapshotError, parse};
use crate::model::{JSON, OCTETS, TEXT};

fn fails(bytes: &[u8]) -> (usize, usize, String) {
    match parse(bytes, Limits::default()) {
        Err(SnapshotError::Broken { line, column, why }) => (line, column, why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_value_is_taken_as_it_stands() {
    let file = br#"{"n": {"text": "a\n\u00e9\ud83e\udd86", "one": 1.50e+3, "big": 9007199254740993,
        "huge": 1e400, "minus": -0, "no": false, "null": null, "list": [1, {"a": "]"}],
        "object": {"$base64": 5}, "octets": {"$base64": "/wA="}, "two": {"$base64": "", "x": 1}},
        "": {}}"#;
    let (line, column, why) = fails(file);
    assert_eq!((line, column), (4, 9), "{why}");
    let file = std::str::from_utf8(file)
        .unwrap()
        .replace("\"\": {}", "\"empty\": {}");
    let document = parse(file.as_bytes(), Limits::default()).unwrap();
    assert_eq!(document["empty"].len(), 0);
    let cases = [
        ("text", TEXT, "a\né🦆"),
        ("one", JSON, "1.50e+3"),
        ("big", JSON, "9007199254740993"),
        ("huge", JSON, "1e400"),
        ("minus", JSON, "-0"),
        ("no", JSON, "false"),
        ("null", JSON, "null"),
        ("list", JSON, r#"[1, {"a": "]"}]"#),
        ("object", JSON, r#"{"$base64": 5}"#),
        ("two", JSON, r#"{"$base64": "", "x": 1}"#),
    ];
    for (key, content_type, octets) in cases {
        let value = &document["n"][key];
        assert_eq!(&*value.content_type, content_type, "{key}");
        assert_eq!(value.text(), Some(octets), "{key}");
    }
    assert_eq!(&*document["n"]["octets"].octets, b"\xff\0");
    assert_eq!(&*document["n"]["octets"].content_type, OCTETS);
}

#[test]
fn a_broken_file_is_told_with_line_and_column() {
    let deep = format!(
        "{{\"n\": {{\"k\": {}1{}}}}}",
        "[".repeat(1_000_000),
        "]".repeat(1_000_000)
    );
    let deeper = format!(
        "{{\"n\": {{\"k\": {}1{}}}}}",
        "[".repeat(129),
        "]".repeat(129)
    );
    let long = format!("{{\"n\": {{\"k\": \"{}\"}}}}", "x".repeat((1 << 20) + 1));
    let cases: [(&[u8], usize, usize, &str); 26] = [
        (b"", 1, 1, "empty"),
        (b" \n ", 2, 2, "empty"),
        (b"\xEF\xBB\xBF{}", 1, 1, "byte order mark"),
        (b"[]", 1, 1, "one object"),
        (b"\0\0\0\0", 1, 1, "one object"),
        (b"{\n  \"a\": 5\n}", 2, 8, "must be an object"),
        (b"{\n  \"a\": {\n    \"k\": tru\n", 4, 1, "expected ident"),
        (b"{\"a\": {\"k\": \"v\"", 1, 16, "file ends"),
        (b"{\"a\": {\"k\": \"v", 1, 14, "EOF while parsing a string"),
        (b"{\"a\": {\"k\": ", 1, 13, "file ends where a value"),
        (b"{\"a\": {\"k\": \"v\"}}}", 1, 18, "after the end"),
        (b"{\"a\": {}}{}", 1, 10, "after the end"),
        (b"{\"a\": {}, }", 1, 11, "name in double quotes"),
        (b"{\"a\": {}, \"a\": {}}", 1, 11, "stands twice"),
        (
            b"{\"a\": {\"k\": 1, \"\\u006b\": 2}}",
            1,
            16,
            "stands twice",
        ),
        (b"{\"a\": {\"k\": NaN}}", 1, 13, "expected value"),
        (b"{\"a\": {\"k\": 01}}", 1, 14, "invalid number"),
        (b"{\"a\": {\"k\": \"\\ud800\"}}", 1, 20, "hex escape"),
        (b"{\"a\": {\"k\": \"\xff\"}}", 1, 14, "unicode"),
        (b"{\"a\": {\"k\": [\"\xff\"]}}", 1, 15, "unicode"),
        (b"{\"a/b\": {}}", 1, 2, "has no \"/\""),
        (b"{\"a\": {\"x/../y\": 1}}", 1, 8, "rewrite"),
        (b"{\"a\": {\"k\": {\"$base64\": \"*\"}}}", 1, 13, "$base64"),
        (deep.as_bytes(), 1, 13, "limit is"),
        (deeper.as_bytes(), 1, 13, "nested deeper"),
        (long.as_bytes(), 1, 13, "the limit is 1048576"),
    ];
    for (file, line, column, why) in cases {
        let told = fails(file);
        let start = String::from_utf8_lossy(&file[..file.len().min(60)]).into_owned();
        assert!(told.2.contains(why), "{start:?}: {told:?}");
        assert_eq!((told.0, told.1), (line, column), "{start:?}: {told:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&bytes, Limits::default());
    }

    #[test]
    fn nothing_that_looks_like_a_store_makes_the_reader_panic(
        text in "\\{(\"[ab]\": ?\\{(\"[xy]\": ?\
            (1|\"v\"|\\[\\]|\\{\"\\$base64\":\"AA==\"\\}),? ?){0,3}\\},?){0,3}\\}?"
    ) {
        let _ = parse(text.as_bytes(), Limits::default());
    }
}
