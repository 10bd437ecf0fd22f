//! `store.json` as people and other programs leave it: any bytes give a document or an error with
//! line and column; a document keeps every name and value, and comes back the same when written.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gaggle::io::snapshot::{Document, Limits, SnapshotError, parse};
use serde_json::value::RawValue;

use super::{Shape, shape_of};

const LIMITS: Limits = Limits {
    name: 40,
    value: 400,
};

/// Files as the seed, we, and editors write them.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let files: [&[u8]; 8] = [
        b"{}",
        b"{\n    \"web\": {\n        \"colour\": \"blue\",\n        \"size\": \"10\"\n    }\n}",
        b"{\"a\":{\"n\":0,\"t\":true,\"z\":null,\"f\":-1.5e+3,\"l\":[1,[2]],\"o\":{\"x\":{}}}}",
        b"{\"a\":{\"b\":{\"$base64\":\"AP/+\"}},\"empty\":{}}",
        b"{\"a b\":{\"inproc://x\":\"\\u00fc\\ud83e\\udd86\\n\\\"\\\\\"}}\r\n",
        b"\xef\xbb\xbf{}",
        b"{\"a\":{\"b\":\"c\"},\"a\":{}}",
        b"{\"a\":{\"b\":\"cut",
    ];
    files.map(<[u8]>::to_vec).to_vec()
}

/// Reads `data` as a whole file.
///
/// # Panics
/// If the reader breaks its promise.
pub(crate) fn run(data: &[u8]) -> Shape {
    let document = match parse(data, LIMITS) {
        Ok(document) => document,
        Err(error) => return refused(&error, data),
    };
    let by_serde: Raw<'_> = serde_json::from_slice(data).unwrap_or_else(|error| {
        panic!("taken, though it is no JSON of two levels: {error}");
    });
    assert_eq!(
        names(&by_serde),
        names_of(&document),
        "a name was lost or changed"
    );
    for (node, keys) in &document {
        assert!(node.as_str().len() <= LIMITS.name);
        for (key, value) in keys {
            assert!(key.as_str().len() <= LIMITS.name && value.octets.len() <= LIMITS.value);
        }
    }
    let again = parse(&written(&document), LIMITS);
    let again = again.unwrap_or_else(|error| panic!("what we write we cannot read: {error}"));
    assert_eq!(octets(&again), octets(&document), "written and read again");
    let types: Vec<&str> = document
        .values()
        .flat_map(BTreeMap::values)
        .map(|value| &*value.content_type)
        .take(4)
        .collect();
    format!("{} nodes, {types:?}", document.len().min(4))
}

/// A file as serde reads it.
type Raw<'a> = BTreeMap<String, BTreeMap<String, &'a RawValue>>;

fn names(raw: &Raw<'_>) -> Vec<(String, Vec<String>)> {
    raw.iter()
        .map(|(node, keys)| (node.clone(), keys.keys().cloned().collect()))
        .collect()
}

fn names_of(document: &Document) -> Vec<(String, Vec<String>)> {
    let keys = |keys: &BTreeMap<_, _>| keys.keys().map(ToString::to_string).collect();
    document
        .iter()
        .map(|(node, all)| (node.to_string(), keys(all)))
        .collect()
}

fn octets(document: &Document) -> Vec<(String, String, Vec<u8>)> {
    let all = document
        .iter()
        .flat_map(|(node, keys)| keys.iter().map(move |key| (node, key)));
    all.map(|(node, (key, value))| (node.to_string(), key.to_string(), value.octets.to_vec()))
        .collect()
}

/// The document as a file: text as strings, everything else as base64.
fn written(document: &Document) -> Vec<u8> {
    let mut file = serde_json::Map::new();
    for (node, keys) in document {
        let value = |octets: &[u8]| match std::str::from_utf8(octets) {
            Ok(text) => serde_json::Value::from(text),
            Err(_) => serde_json::json!({ "$base64": STANDARD.encode(octets) }),
        };
        let keys = keys
            .iter()
            .map(|(key, one)| (key.to_string(), value(&one.octets)))
            .collect();
        file.insert(node.to_string(), serde_json::Value::Object(keys));
    }
    serde_json::Value::Object(file).to_string().into_bytes()
}

/// A refusal says where, and the place is in the file.
fn refused(error: &SnapshotError, data: &[u8]) -> Shape {
    if let SnapshotError::Broken { line, column, .. } = error {
        let lines = data.split(|byte| *byte == b'\n').count();
        assert!((1..=lines).contains(line), "line {line} of {lines}");
        assert!(
            (1..=data.len() + 1).contains(column),
            "column {column} of {}",
            data.len()
        );
    }
    shape_of(error).chars().take(48).collect()
}
