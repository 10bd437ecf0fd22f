//! Values as this face shows them, and as it takes them.
//!
//! The original kept JSON; a value of ours is octets with a media type. One of `application/json`
//! is shown as the JSON that it is, in its own order of members and with numbers as they were
//! written, without the white space between; any other is a string; octets that are no text are
//! shown as `store.json` shows them.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::replies::bad_body;
use crate::api::json::{self, Given, write_text, write_value};
use crate::api::problem::Problem;
use crate::api::route::decode;
use crate::model::{TEXT, Value};

/// What a value is for clients of this face.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// Any other JSON, as it stands in the value; white space may be between.
    Json(Cow<'a, str>),
}

impl<'a> Shown<'a> {
    /// What a stored value is.
    pub(super) fn of(value: &'a Value) -> Self {
        match value.text() {
            Some(text) if is_json(&value.content_type) && is_sound(text) => Self::of_json(text),
            Some(text) => Self::Text(Cow::Borrowed(text)),
            None => {
                let mut octets = Vec::new();
                write_value(&mut octets, value);
                Self::Json(String::from_utf8(octets).unwrap_or_default().into())
            }
        }
    }

    /// What a text is that is JSON.
    pub(super) fn of_json(text: &'a str) -> Self {
        let text = text.trim_matches(is_blank);
        if text.starts_with('"')
            && let Ok(text) = serde_json::from_str::<String>(text)
        {
            return Self::Text(Cow::Owned(text));
        }
        Self::Json(Cow::Borrowed(text))
    }

    /// Writes it into a JSON text.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => write_text(out, text),
            Self::Json(text) => write_compact(out, text),
        }
    }
}

/// Whether a media type is JSON's.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// Whether a text is one JSON value that others can read.
fn is_sound(text: &str) -> bool {
    json::check(text).is_ok() && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// What JSON takes for white space.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Writes a JSON text without the white space between its parts.
fn write_compact(out: &mut Vec<u8>, text: &str) {
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if !quoted && is_blank(char::from(byte)) => continue,
            _ => {}
        }
        out.push(byte);
    }
}

/// What a string becomes that is given as a value: as the original did it, a string that parses as
/// JSON is stored as that JSON, `null` alone is not.
pub(super) fn of_string(text: String) -> Value {
    let parsed = serde_json::from_str::<&RawValue>(&text).ok();
    let given = parsed.and_then(|raw| json::given(raw.get()).ok());
    match given {
        Some(Given::Typed(value)) => value,
        Some(Given::Text(text)) => Value::new(TEXT, text.into_bytes()),
        Some(Given::Null) | None => Value::new(TEXT, text.into_bytes()),
    }
}

/// The value in the body of a PUT: the member `value` of a JSON object, or the field `value` of a
/// form. Whatever else is in it changes nothing.
///
/// # Errors
/// 400 if there is none, and for a list or an object, which must come as a string.
pub(super) fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Value, Problem> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], |it| it.as_bytes());
    let content_type = String::from_utf8_lossy(content_type);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return of_form(body).map(of_string);
    }
    check_json(headers)?;
    let text = text(body)?;
    let members = json::object(text).map_err(|why| bad_body(format!("the body: {why}")))?;
    let raw = members
        .get("value")
        .ok_or_else(|| bad_body("the body has no member \"value\""))?;
    match raw.get().as_bytes().first() {
        Some(b'{' | b'[') => Err(bad_body(
            "the value is a list or an object: give it as a string that holds it as JSON",
        )),
        _ => match read(raw)? {
            Given::Null => Err(bad_body("the value is null")),
            Given::Text(text) => Ok(of_string(text)),
            Given::Typed(value) => Ok(value),
        },
    }
}

/// The field `value` of a form.
fn of_form(body: &[u8]) -> Result<String, Problem> {
    let mut found = None;
    for pair in text(body)?.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == "value" && found.replace(value).is_some() {
            return Err(bad_body("the form has two fields \"value\""));
        }
    }
    let value = found.ok_or_else(|| bad_body("the form has no field \"value\""))?;
    let value = value.replace('+', "%20");
    let value = decode(&value).map_err(|why| bad_body(format!("the form: {}", why.detail)))?;
    Ok(value.into_owned())
}

/// Refuses a body that says it is something else than JSON.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    if given.to_str().is_ok_and(is_json) {
        return Ok(());
    }
    Err(bad_body("the body is taken as application/json only"))
}

/// A body as text.
pub(super) fn text(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|_| bad_body("the body is no UTF-8"))
}

/// What a member of a body is.
pub(super) fn read(raw: &RawValue) -> Result<Given, Problem> {
    json::given(raw.get()).map_err(|fault| bad_body(format!("the value {fault}")))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::model::JSON;

    fn shown(value: &Value) -> String {
        let mut out = Vec::new();
        Shown::of(value).write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_shown_as_json_and_everything_else_as_a_string() {
        let json = |text: &str| shown(&Value::new(JSON, text.as_bytes()));
        assert_eq!(
            json(" { \"b\" : [ 1 , \"x y\" ] ,\n\"a\":1e400}"),
            "{\"b\":[1,\"x y\"],\"a\":1e400}"
        );
        assert_eq!(json(r#""a \" b""#), r#""a \" b""#);
        assert_eq!(json(r#"{"a\\":"\" : "}"#), r#"{"a\\":"\" : "}"#);
        for text in [
            "0",
            "-0",
            "false",
            "null",
            "9007199254740993",
            r#"{"statusCode":418}"#,
        ] {
            assert_eq!(json(text), text);
        }
        for broken in ["{oops", "", "1 2", r#"["\ud800"]"#, &"[".repeat(200)] {
            assert_eq!(json(broken), serde_json::to_string(broken).unwrap());
        }
        assert_eq!(shown(&Value::new(TEXT, *b"42")), "\"42\"");
        let typed = Value::new("application/json; charset=utf-8", *b"42");
        assert_eq!(shown(&typed), "42");
        assert_eq!(shown(&Value::untyped([0xff, 0])), r#"{"$base64":"/wA="}"#);
    }

    #[test]
    fn a_string_that_is_json_is_stored_as_json_but_null_is_not() {
        let check = |text: &str, typ: &str, octets: &str| {
            let value = of_string(text.to_owned());
            assert_eq!(
                (&*value.content_type, value.text()),
                (typ, Some(octets)),
                "{text}"
            );
        };
        for text in [
            "42",
            "0",
            "-0",
            "1e400",
            "false",
            "true",
            "[]",
            r#"{"statusCode":418}"#,
        ] {
            check(text, JSON, text);
        }
        check(" 42\n", JSON, "42");
        check("\"42\"", TEXT, "42");
        for text in [
            "",
            "null",
            "007",
            "blue",
            "{oops",
            "42 43",
            "'a'",
            "\"\\ud800\"",
        ] {
            check(text, TEXT, text);
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        check(&deep, TEXT, &deep);
    }

    #[test]
    fn a_body_is_json_or_a_form_and_has_a_value() {
        let put = |content_type: &str, body: &str| {
            let typ = HeaderValue::from_str(content_type).unwrap();
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, typ)]);
            of_body(&headers, body.as_bytes()).map(|value| shown(&value))
        };
        let json = |body: &str| put("application/json", body).ok();
        let form = |body: &str| put("application/x-www-form-urlencoded; charset=UTF-8", body).ok();
        assert_eq!(json(r#"{"value":"blue"}"#).as_deref(), Some("\"blue\""));
        assert_eq!(json(r#"{"value":42}"#).as_deref(), Some("42"));
        assert_eq!(json(r#"{"value":"42"}"#).as_deref(), Some("42"));
        assert_eq!(json(r#"{"value":false}"#).as_deref(), Some("false"));
        let peer = r#"{"from":"10.0.0.1","checksum":"0","value":"x"}"#;
        assert_eq!(json(peer).as_deref(), Some("\"x\""));
        for bad in [
            "",
            "{}",
            "[]",
            "x",
            r#"{"value":null}"#,
            r#"{"value":{"a":1}}"#,
            r#"{"value":[1]}"#,
            r#"{"value":"a","value":"b"}"#,
            r#"{"value":"\ud800"}"#,
            r#"{"value":1} x"#,
        ] {
            assert_eq!(json(bad), None, "{bad}");
        }
        assert_eq!(
            form("from=x&value=a+b%26c&checksum=y").as_deref(),
            Some("\"a b&c\"")
        );
        assert_eq!(form("value=42").as_deref(), Some("42"));
        assert_eq!(form("value=").as_deref(), Some("\"\""));
        for bad in [
            "",
            "valu=1",
            "value=%f",
            "value=%ff",
            "value=1&value=2",
            r#"{"value":1}"#,
        ] {
            assert_eq!(form(bad), None, "{bad}");
        }
        assert!(put("text/plain", r#"{"value":1}"#).is_err());
        assert!(put("Application/JSON;charset=utf-8", r#"{"value":1}"#).is_ok());
        assert!(of_body(&HeaderMap::new(), br#"{"value":1}"#).is_ok());
        assert!(of_body(&HeaderMap::new(), b"{\"value\":\"\xff\"}").is_err());
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_shown_as_itself_whatever_blanks_were_in_it(json in any_json()) {
            let pretty = serde_json::to_string_pretty(&json).unwrap();
            let compact = serde_json::to_string(&json).unwrap();
            prop_assert_eq!(shown(&Value::new(JSON, pretty.as_bytes())), compact.clone());
            // And it comes back through a body, but for null.
            let body = serde_json::json!({ "value": pretty }).to_string();
            let taken = of_body(&HeaderMap::new(), body.as_bytes()).unwrap();
            let expected = if json.is_null() { "\"null\"".to_owned() } else { compact };
            prop_assert_eq!(shown(&taken), expected);
        }

        #[test]
        fn no_body_is_too_odd(octets in prop::collection::vec(any::<u8>(), 0..64), form: bool) {
            let typ = if form { "application/x-www-form-urlencoded" } else { "application/json" };
            let typ = HeaderValue::from_static(typ);
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, typ)]);
            let begin = if form { "value=" } else { r#"{"value":"# };
            let octets = [begin.as_bytes(), &octets].concat();
            let _ = of_body(&headers, &octets);
        }
    }
}
