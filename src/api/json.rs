//! Values as JSON, both ways: the seed's format, with numbers kept as the text that they came in.
//!
//! A JSON string is text; `{"$base64":"…"}` is octets that are no UTF-8; any other JSON value is
//! kept as its own text, octet by octet (`1e400`, `9007199254740993` and `-0` come out as they went
//! in), of type `application/json`. What could not come out again as it went in is refused: members
//! that come twice, halves of surrogate pairs, nesting that others could not read.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::model::{JSON, TEXT, Value};

use super::problem::{Code, Problem};

/// The deepest nesting of lists and objects within a value.
const DEPTH: usize = 128;

/// One member's value as a client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// `null`: a deletion in a merge patch.
    Null,
    /// A string: text, of whatever type it has already.
    Text(String),
    /// Anything else: a value with its type.
    Typed(Value),
}

/// Reads `{"key": value, …}`. Members may come once only.
///
/// # Errors
/// `invalid-body`, with the place in the text.
pub(super) fn members(body: &[u8]) -> Result<BTreeMap<String, Given>, Problem> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Problem::new(Code::InvalidBody, "the body is no UTF-8"))?;
    let raw = object(text).map_err(|error| {
        Problem::new(
            Code::InvalidBody,
            format!("the body is no JSON object of values: {error}"),
        )
    })?;
    let given = |(name, raw): (String, &RawValue)| match given(raw.get()) {
        Ok(given) => Ok((name, given)),
        Err(fault) => Err(Problem::new(
            Code::InvalidBody,
            format!("the value of {name:?} {fault}"),
        )),
    };
    raw.into_iter().map(given).collect()
}

/// Reads an object that becomes `T`.
///
/// # Errors
/// `invalid-body`, with the place in the text.
pub(super) fn document<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    // Left to itself, serde would read a struct from a list as well.
    if !body.trim_ascii().starts_with(b"{") {
        return Err(Problem::new(
            Code::InvalidBody,
            "the body is no JSON object",
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        let why = in_words(&error.to_string());
        Problem::new(Code::InvalidBody, format!("the body cannot be read: {why}"))
    })
}

/// What serde says, without the names of Rust's types.
fn in_words(error: &str) -> String {
    let whole = [
        ("expected i64", "expected a whole number of 64 bits"),
        ("expected u64", "expected a whole number from 0 on"),
        (
            "expected u32",
            "expected a whole number from 0 to 4294967295",
        ),
    ];
    let mut text = error.to_owned();
    for (named, said) in whole {
        text = text.replace(named, said);
    }
    text
}

/// The members of an object as they stand in its text; each may come once only.
///
/// # Errors
/// The text is no object, with the place in it.
pub(super) fn object(text: &str) -> Result<BTreeMap<String, &RawValue>, serde_json::Error> {
    serde_json::from_str::<Members<'_>>(text).map(|members| members.0)
}

struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose members are keys")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("{name:?} comes twice")));
                    }
                    members.insert(name, value);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Object)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Base64Form {
    #[serde(rename = "$base64")]
    octets: String,
}

/// What a JSON text means as a value; or what is wrong with it.
pub(super) fn given(text: &str) -> Result<Given, &'static str> {
    match text.as_bytes().first() {
        Some(b'n') => Ok(Given::Null),
        Some(b'"') => serde_json::from_str(text)
            .map(Given::Text)
            .map_err(|_| "holds half of a surrogate pair"),
        Some(b'{') => match serde_json::from_str::<Base64Form>(text) {
            Ok(form) => STANDARD
                .decode(form.octets)
                .map(|octets| Given::Typed(Value::untyped(octets)))
                .map_err(|_| "is no base64"),
            Err(_) => kept(text),
        },
        _ => kept(text),
    }
}

fn kept(text: &str) -> Result<Given, &'static str> {
    check(text)?;
    Ok(Given::Typed(Value::new(JSON, text.as_bytes())))
}

/// Checks what the parser let through unread: nesting, and escapes in strings. The text is JSON.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    let mut bytes = text.bytes();
    let (mut depth, mut quoted) = (0_usize, false);
    let mut high = false;
    while let Some(byte) = bytes.next() {
        let was_high = std::mem::take(&mut high);
        let mut is_low = false;
        match byte {
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            b'\\' if bytes.next() == Some(b'u') => match unit(&mut bytes) {
                0xd800..=0xdbff => high = true,
                0xdc00..=0xdfff => is_low = true,
                _ => {}
            },
            _ => {}
        }
        if was_high != is_low {
            return Err("holds half of a surrogate pair");
        }
        if depth > DEPTH {
            return Err("is nested deeper than 128 levels");
        }
    }
    Ok(())
}

/// The UTF-16 unit in the next four hexadecimal digits.
fn unit(bytes: &mut impl Iterator<Item = u8>) -> u32 {
    let digit = |byte| char::from(byte).to_digit(16).unwrap_or(0);
    bytes.take(4).fold(0, |unit, byte| unit * 16 + digit(byte))
}

/// The value that a string in a document means, where `old` is the value that is there: an equal
/// text keeps its type, so that a node read as JSON and written back is unchanged.
pub(super) fn text_value(text: String, old: Option<&Value>) -> Value {
    match old {
        Some(old) if *old.octets == *text.as_bytes() => old.clone(),
        _ => Value::new(TEXT, text.into_bytes()),
    }
}

/// Writes a text as a JSON string.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes everything, a str is UTF-8");
}

/// Writes a value as a JSON string, or as `{"$base64":"…"}` if it is no UTF-8.
pub(super) fn write_value(out: &mut Vec<u8>, value: &Value) {
    if let Some(text) = value.text() {
        write_text(out, text);
    } else {
        out.extend_from_slice(br#"{"$base64":""#);
        out.extend_from_slice(STANDARD.encode(&value.octets).as_bytes());
        out.extend_from_slice(br#""}"#);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn one(value: &str) -> Result<Given, Code> {
        let body = format!(r#"{{"k":{value}}}"#);
        let mut members = members(body.as_bytes()).map_err(|problem| problem.code)?;
        Ok(members.remove("k").unwrap())
    }

    #[test]
    fn what_is_no_string_is_kept_as_its_text() {
        for text in [
            "0",
            "-0",
            "5",
            "1e400",
            "9007199254740993",
            "0.10",
            "true",
            "false",
            "[]",
            "{}",
            r#"{"statusCode":418}"#,
            r#"{ "a" : [1,2 ] }"#,
            r#"{"a":1,"a":2}"#,
            r#"["\u00e9 \ud83e\udda2"]"#,
            r#"{"$base64":"AA==","x":1}"#,
            r#"{"$base64":5}"#,
            r#"["\"[[{"]"#,
            r#"["\\"]"#,
        ] {
            assert_eq!(
                one(text),
                Ok(Given::Typed(Value::new(JSON, text.as_bytes()))),
                "{text}"
            );
        }
        assert_eq!(one("null"), Ok(Given::Null));
    }

    #[test]
    fn strings_are_text_and_base64_is_octets() {
        for (json, text) in [
            (r#""""#, ""),
            (r#""a\nb""#, "a\nb"),
            (r#""\ud83e\udda2""#, "🦢"),
        ] {
            assert_eq!(one(json), Ok(Given::Text(text.into())), "{json}");
        }
        let octets = Value::untyped([0xff, 0x00]);
        assert_eq!(one(r#"{"$base64":"/wA="}"#), Ok(Given::Typed(octets)));
        let text = Value::untyped(*b"hi");
        assert_eq!(one(r#"{"$base64":"aGk="}"#), Ok(Given::Typed(text)));
    }

    #[test]
    fn what_could_not_come_out_again_is_refused() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(one(&deep(128)).is_ok());
        for bad in [
            &deep(129),
            &deep(100_000),
            r#""\ud800""#,
            r#""\udc00x""#,
            r#"["\ud800"]"#,
            r#"["\udc00"]"#,
            r#"["\ud800\u0041"]"#,
            r#"["\ud800\ud800\udc00"]"#,
            r#"["\ud800x\udc00"]"#,
            r#"{"$base64":"!"}"#,
            "01",
            "nul",
            "NaN",
            "+1",
            "'a'",
            "\"a\nb\"",
            "1 2",
            "",
            "[1,]",
        ] {
            assert_eq!(
                one(bad),
                Err(Code::InvalidBody),
                "{}",
                &bad[..bad.len().min(40)]
            );
        }
        for bad in [
            &b""[..],
            b"[]",
            b"5",
            b"null",
            br#"{"a":1,"a":1}"#,
            br#"{"a":1,"\u0061":1}"#,
            b"{\"a\":\"\xff\"}",
            b"{\xff:1}",
            br#"{"\ud800":1}"#,
            br#"{"a":1} x"#,
            b"\xef\xbb\xbf{}",
        ] {
            let code = members(bad).map_err(|problem| problem.code);
            assert_eq!(
                code,
                Err(Code::InvalidBody),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }

    #[test]
    fn a_text_that_is_there_already_keeps_its_type() {
        let old = Value::new(JSON, *b"5");
        assert_eq!(text_value("5".into(), Some(&old)), old);
        assert_eq!(text_value("6".into(), Some(&old)), Value::new(TEXT, *b"6"));
        assert_eq!(text_value("5".into(), None), Value::new(TEXT, *b"5"));
    }

    proptest! {
        #[test]
        fn octets_come_back_from_json_as_they_were(
            octets in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            let value = Value::untyped(octets);
            let mut json = Vec::new();
            write_value(&mut json, &value);
            let back = match one(std::str::from_utf8(&json).unwrap()).unwrap() {
                Given::Text(text) => text_value(text, None),
                Given::Typed(value) => value,
                Given::Null => unreachable!("a value is never null"),
            };
            prop_assert_eq!(back, value);
        }

        #[test]
        fn no_text_makes_the_reader_panic(
            text in ".{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..60)
        ) {
            let _ = members(&bytes);
            let _ = members(format!("{{{text}}}").as_bytes());
            let _ = check(&text);
        }
    }
}
