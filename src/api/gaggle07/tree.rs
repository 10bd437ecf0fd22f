//! The store by `/api/v2`: the paths of Manada's tree, as far as they fit two levels.
//!
//! The first part of a path is a node, the second a key, further parts lead into a JSON value, by
//! member and by index. Reading goes as deep as the value does; writing and deleting stop at the
//! key, whose value is written whole.

use std::borrow::Cow;

use axum::body::Body;
use serde_json::value::RawValue;

use super::held::{Held, Place};
use super::replies::{self, bad_body};
use super::store::shown;
use super::values::{self, Shown};
use super::writes::{self, Step, key_name, node_name};
use crate::api::body::Purpose;
use crate::api::json::{self, Given, write_text};
use crate::api::problem::{Code, Problem};
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::model::{JSON, KeyName, NodeName, TEXT, Value};

/// How much one value may add to the answer of a search, in bytes. It bounds what a value can do
/// that was made for it, with long names above many leaves.
const FOUND_BYTES: usize = 4 << 20;

/// What stands at a path.
pub(super) fn get(call: &Call<'_>, path: &str) -> Answer {
    let held = Held::of(call);
    let mut parts = path.split('/');
    let node = node_name(parts.next().unwrap_or_default())?;
    let Some(key) = parts.next() else {
        return Ok(match held.node(node.as_str()) {
            Some(_) => replies::json_text(held.node_body(node.as_str().to_owned())),
            None => replies::missing(),
        });
    };
    let key = key_name(key)?;
    let Some(value) = held.value(node.as_str(), key.as_str()) else {
        return Ok(replies::missing());
    };
    let mut found = Shown::of(value);
    for part in parts {
        let part = decode(part)?;
        let inner = match found {
            Shown::Json(Cow::Borrowed(text)) => step(text, &part),
            Shown::Json(_) | Shown::Text(_) => None,
        };
        match inner {
            Some(inner) => found = Shown::of_json(inner),
            None => return Ok(replies::missing()),
        }
    }
    Ok(shown(&found))
}

/// What a part of a path names in a JSON text: a member of an object, or an index of a list.
fn step<'a>(text: &'a str, part: &str) -> Option<&'a str> {
    match text.as_bytes().first()? {
        b'{' => {
            let members = json::object(text).ok()?;
            members.get(part).map(|raw| raw.get())
        }
        b'[' => {
            let index: usize = part.parse().ok()?;
            // As it is written in one way only: `+1` and `01` are no indexes.
            if index.to_string() != part {
                return None;
            }
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            items.get(index).map(|raw| raw.get())
        }
        _ => None,
    }
}

/// All leaves with this name, in the store and within JSON values, as `{parent, key, value}`.
pub(super) fn search(call: &Call<'_>, key: &str) -> Answer {
    let wanted = decode(key)?.into_owned();
    let body = Held::of(call).list_body(move |out, place| leaves(out, &wanted, &place));
    Ok(replies::json_text(body))
}

/// What is still to be looked at: the object that it is in, its name, and what it is.
type Waiting<'a> = (usize, String, Shown<'a>);

/// Writes the leaves of one value that have the name `wanted`, with commas between.
fn leaves(out: &mut Vec<u8>, wanted: &str, place: &Place<'_>) {
    // The objects on the way: the name of each and the one that it is in. The first is the node.
    let mut objects = vec![(0, place.node.to_owned())];
    let value = Shown::of(place.value);
    let mut waiting: Vec<Waiting<'_>> = vec![(0, place.key.to_owned(), value)];
    while let Some((parent, name, value)) = waiting.pop()
        && out.len() < FOUND_BYTES
    {
        let members = match value {
            Shown::Json(Cow::Borrowed(text)) if text.starts_with('{') => json::object(text).ok(),
            _ => None,
        };
        let Some(members) = members else {
            if name == wanted {
                write_leaf(out, &path(&objects, parent), &name, &value);
            }
            continue;
        };
        objects.push((parent, name));
        let inside = objects.len() - 1;
        for (name, raw) in members.into_iter().rev() {
            // Only what can hold a leaf of this name, or is one.
            if name == wanted || raw.get().starts_with('{') {
                waiting.push((inside, name, Shown::of_json(raw.get())));
            }
        }
    }
}

/// The path of an object on the way.
fn path(objects: &[(usize, String)], mut at: usize) -> String {
    let mut names = vec![];
    while let Some((parent, name)) = objects.get(at)
        && at > 0
    {
        names.push(name.as_str());
        at = *parent;
    }
    names.extend(objects.first().map(|(_, node)| node.as_str()));
    names.reverse();
    names.join("/")
}

fn write_leaf(out: &mut Vec<u8>, parent: &str, key: &str, value: &Shown<'_>) {
    if !out.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(br#"{"parent":"#);
    write_text(out, parent);
    out.extend_from_slice(br#","key":"#);
    write_text(out, key);
    out.extend_from_slice(br#","value":"#);
    value.write(out);
    out.push(b'}');
}

/// What came in a body: exactly the members that its kind has.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// `{path, node}`
    Node { path: String, node: String },
    /// `{path, key, value}`
    Key {
        path: String,
        key: String,
        value: Value,
    },
    /// `{path, value}`
    Set { path: String, value: Value },
}

/// Makes a node, or a key with its value.
pub(super) async fn create(call: &Call<'_>, body: Body) -> Answer {
    match take(call, body).await? {
        Wanted::Node { path, node } => match parts(&path)[..] {
            [] => writes::make_node(call, node.parse()?).await,
            [parent] => {
                let names = (parent.parse()?, node.parse()?);
                writes::write_key(call, names, Value::new(JSON, *b"{}"), Step::Make).await
            }
            _ => Err(too_deep()),
        },
        Wanted::Key { path, key, value } => match parts(&path)[..] {
            [] => Err(bad_body(
                "above the nodes there are no values: give the path of a node",
            )),
            [node] => {
                let names = (node.parse()?, key.parse()?);
                writes::write_key(call, names, value, Step::Make).await
            }
            _ => Err(too_deep()),
        },
        Wanted::Set { .. } => Err(bad_body(
            "the body is {path, node} or {path, key, value}, with exactly these members",
        )),
    }
}

/// Sets a key that is there.
pub(super) async fn update(call: &Call<'_>, body: Body) -> Answer {
    let Wanted::Set { path, value } = take(call, body).await? else {
        return Err(bad_body(
            "the body is {path, value}, with exactly these members",
        ));
    };
    match parts(&path)[..] {
        [node, key] => {
            let names: (NodeName, KeyName) = (node.parse()?, key.parse()?);
            writes::write_key(call, names, value, Step::Set).await
        }
        [] | [_] => Err(bad_body(
            "a node is written key by key: give the path of a key",
        )),
        _ => Err(too_deep()),
    }
}

/// Deletes a node or a key.
pub(super) async fn delete(call: &Call<'_>, path: &str) -> Answer {
    let mut parts = path.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(node), None, _) => writes::delete_node(call, node_name(node)?).await,
        (Some(node), Some(key), None) => {
            writes::delete_key(call, node_name(node)?, key_name(key)?).await
        }
        _ => Err(too_deep()),
    }
}

/// Nobody deletes everything.
pub(super) fn root() -> Problem {
    Problem::new(
        Code::InvalidName,
        "the whole store is not deleted: give the path of a node or of a key",
    )
}

fn too_deep() -> Problem {
    Problem::new(
        Code::InvalidName,
        "a value is written whole: give the path of its key, which has two parts",
    )
}

/// The parts of a path in a body; a slash before and after it is passed over. Empty: the root.
fn parts(path: &str) -> Vec<&str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Vec::new();
    }
    // One more than any path that is taken.
    path.splitn(4, '/').collect()
}

async fn take(call: &Call<'_>, body: Body) -> Result<Wanted, Problem> {
    values::check_json(&call.head.headers)?;
    let received = call.take(body, Purpose::Document).await?;
    wanted(&received.octets)
}

fn wanted(body: &[u8]) -> Result<Wanted, Problem> {
    let text = values::text(body)?;
    let members = json::object(text).map_err(|why| bad_body(format!("the body: {why}")))?;
    let (mut path, mut node, mut key, mut value) = (None, None, None, None);
    for (name, raw) in members {
        let given = values::read(raw)?;
        match (name.as_str(), given) {
            ("path", Given::Text(text)) => path = Some(text),
            ("node", Given::Text(text)) => node = Some(text),
            ("key", Given::Text(text)) => key = Some(text),
            ("value", Given::Text(text)) => value = Some(Value::new(TEXT, text.into_bytes())),
            ("value", Given::Typed(typed)) => value = Some(typed),
            ("value", Given::Null) => return Err(bad_body("the value is null")),
            ("path" | "node" | "key", _) => {
                return Err(bad_body(format!("the member {name:?} is no string")));
            }
            _ => return Err(bad_body(format!("the body knows no member {name:?}"))),
        }
    }
    match (path, node, key, value) {
        (Some(path), Some(node), None, None) => Ok(Wanted::Node { path, node }),
        (Some(path), None, Some(key), Some(value)) => Ok(Wanted::Key { path, key, value }),
        (Some(path), None, None, Some(value)) => Ok(Wanted::Set { path, value }),
        _ => Err(bad_body(
            "the body is {path, node}, {path, key, value} or, to set what is there, {path, value}",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_into_a_value_by_member_and_by_index() {
        let text = r#"{"a":[1,{"x y":"z"}],"":5}"#;
        let find = |path: &[&str]| path.iter().try_fold(text, |text, part| step(text, part));
        assert_eq!(find(&["a", "0"]), Some("1"));
        assert_eq!(find(&["a", "1", "x y"]), Some("\"z\""));
        assert_eq!(find(&[""]), Some("5"));
        for none in [
            &["b"][..],
            &["a", "2"],
            &["a", "abc"],
            &["a", "00"],
            &["a", "+1"],
            &["a", ""],
            &["a", "-1"],
            &["a", "0", "0"],
            &["a", "99999999999999999999"],
            &["toString"],
        ] {
            assert_eq!(find(none), None, "{none:?}");
        }
    }

    #[test]
    fn leaves_are_found_within_objects_but_not_within_lists() {
        let find = |wanted: &str, text: &str| {
            let value = Value::new(JSON, text.as_bytes());
            let mut out = Vec::new();
            let place = Place {
                node: "n",
                key: "k",
                value: &value,
            };
            leaves(&mut out, wanted, &place);
            String::from_utf8(out).unwrap()
        };
        let text = r#"{"x": 1, "o": {"x": "two", "k": [ {"x": 3} ]}, "k": {"y": 0}}"#;
        assert_eq!(
            find("x", text),
            r#"{"parent":"n/k/o","key":"x","value":"two"},{"parent":"n/k","key":"x","value":1}"#
        );
        assert_eq!(
            find("k", text),
            r#"{"parent":"n/k/o","key":"k","value":[{"x":3}]}"#
        );
        assert_eq!(
            find("k", "false"),
            r#"{"parent":"n","key":"k","value":false}"#
        );
        assert_eq!(find("toString", text), "");
        let deep = "{\"x\":".repeat(127) + "1" + &"}".repeat(127);
        assert!(find("x", &deep).ends_with(r#""key":"x","value":1}"#));
    }

    #[test]
    fn a_body_has_exactly_the_members_of_its_kind() {
        let read = |body: &str| wanted(body.as_bytes()).ok();
        assert!(matches!(
            read(r#"{"path":"","node":"n"}"#),
            Some(Wanted::Node { .. })
        ));
        assert!(matches!(
            read(r#"{"path":"n","key":"k","value":0}"#),
            Some(Wanted::Key { value, .. }) if value == Value::new(JSON, *b"0")
        ));
        // The second interface stores a string as the string that it is.
        assert!(matches!(
            read(r#"{"path":"n/k","value":"42"}"#),
            Some(Wanted::Set { value, .. }) if value == Value::new(TEXT, *b"42")
        ));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"path":"n"}"#,
            r#"{"node":"n"}"#,
            r#"{"path":1,"node":"n"}"#,
            r#"{"path":"n","key":"k"}"#,
            r#"{"path":"n","value":null}"#,
            r#"{"path":"n","value":1,"from":"x"}"#,
            r#"{"path":"n","node":"m","key":"k","value":1}"#,
            r#"{"path":"n","path":"n","value":1}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_path_in_a_body_may_have_slashes_around_it() {
        assert_eq!(parts("/"), [""; 0]);
        assert_eq!(parts(""), [""; 0]);
        assert_eq!(parts("/a/b/"), ["a", "b"]);
        assert_eq!(parts("a/b/c/d/e").len(), 4);
        assert_eq!(parts("a//b"), ["a", "", "b"]);
    }
}
