//! The versions of a key as commands need them: all pages, found by a word, shown in a row.

use std::collections::HashMap;

use http::Method;
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output;
use super::session::{Session, body_json, history_path};
use crate::io::http_client::ApiRequest;
use crate::model::{KeyName, NodeName};

/// What is kept of a key.
#[derive(Debug)]
pub(super) struct Versions {
    /// As the API tells it, all pages together.
    pub(super) whole: Value,
}

impl Versions {
    /// Reads all of them.
    pub(super) async fn read(
        session: &Session,
        node: &NodeName,
        key: &KeyName,
    ) -> Result<Self, Failure> {
        let path = history_path(node, key);
        let mut whole = session.json(&path).await?;
        while let Some(next) = take_next(&mut whole) {
            let mut page = session.json(&format!("{path}?before={next}")).await?;
            if let Some(more) = take_next(&mut page) {
                whole["next"] = Value::from(more);
            }
            let page = page.get_mut("versions").map(Value::take);
            if let (Some(Value::Array(page)), Some(Value::Array(all))) =
                (page, whole.get_mut("versions"))
            {
                all.extend(page);
            }
        }
        Ok(Self { whole })
    }

    /// The versions, newest first.
    pub(super) fn list(&self) -> &[Value] {
        let list = self.whole.get("versions").and_then(Value::as_array);
        list.map(Vec::as_slice).unwrap_or_default()
    }

    /// The version that a word names: `-N`, N versions before the current one, or a stamp or the
    /// beginning of one, if only one version has it.
    pub(super) fn find(&self, word: &str) -> Result<&Value, Failure> {
        if let Some(back) = word.strip_prefix('-') {
            let back: usize = back.parse().map_err(|_| no_version(word))?;
            return self.list().get(back).ok_or_else(|| {
                let kept = match self.list().len() {
                    1 => "only 1 version is kept".to_owned(),
                    count => format!("only {count} versions are kept"),
                };
                Failure::message(Exit::NotFound, kept)
            });
        }
        let begins = |version: &&Value| !word.is_empty() && stamp(version).starts_with(word);
        let mut found = self.list().iter().filter(begins);
        let whole = self.list().iter().find(|version| stamp(version) == word);
        match (whole, found.next(), found.count()) {
            (Some(version), ..) | (None, Some(version), 0) => Ok(version),
            (None, None, _) => Err(no_version(word)),
            (None, Some(_), more) => {
                let message = format!("{} versions begin with {word:?}", more + 1);
                Err(Failure::usage(message).hint("give more of the stamp"))
            }
        }
    }
}

fn take_next(page: &mut Value) -> Option<String> {
    let next = page.as_object_mut()?.shift_remove("next")?;
    next.as_str().map(str::to_owned)
}

fn no_version(word: &str) -> Failure {
    let message = format!("no version {word:?} of this key is kept");
    Failure::message(Exit::NotFound, message)
        .hint("`gaggle history NODE/KEY` lists them; -1 is the one before the current one")
}

/// A member of a version's description, as text.
pub(super) fn field(version: &Value, name: &str) -> String {
    version.get(name).map(output::cell).unwrap_or_default()
}

/// A version's stamp.
pub(super) fn stamp(version: &Value) -> &str {
    let stamp = version.get("stamp").and_then(Value::as_str);
    stamp.unwrap_or_default()
}

/// Whether a version is a deletion.
pub(super) fn is_deleted(version: &Value) -> bool {
    version.get("deleted").and_then(Value::as_bool) == Some(true)
}

/// What a version holds, in a cell.
pub(super) fn what(version: &Value) -> String {
    if is_deleted(version) {
        "(deleted)".to_owned()
    } else {
        field(version, "value")
    }
}

/// As much of a version's stamp as tells it from the others: mostly its time.
pub(super) fn short_stamp<'a>(version: &'a Value, all: &[&Value]) -> &'a str {
    let stamp = stamp(version);
    let time = stamp.split('-').next().unwrap_or_default();
    let begins = |other: &&&Value| self::stamp(other).starts_with(time);
    if all.iter().filter(begins).count() == 1 {
        time
    } else {
        stamp
    }
}

/// The names of the members by their ids, for people; empty if nobody tells.
pub(super) async fn member_names(session: &Session) -> HashMap<String, String> {
    let request = ApiRequest::new(Method::GET, "/v1/members?all=true");
    let Ok(answer) = session.ask_first(request).await else {
        return HashMap::new();
    };
    let members = body_json(&answer.body).unwrap_or_default();
    let members = members.get("members").and_then(Value::as_array);
    let named = |member: &Value| (field(member, "id"), field(member, "name"));
    members.into_iter().flatten().map(named).collect()
}

/// The member that took a version: its name, or its id.
pub(super) fn member(version: &Value, names: &HashMap<String, String>) -> String {
    let id = field(version, "member");
    names.get(&id).cloned().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn versions() -> Versions {
        let whole = json!({"versions": [
            {"stamp": "01b0-7-3"}, {"stamp": "01a1-7-2"}, {"stamp": "01a1-7-20"},
        ]});
        Versions { whole }
    }

    #[test]
    fn a_version_is_found_by_how_far_back_it_is_or_by_its_stamp() {
        let versions = versions();
        for (word, expected) in [
            ("-0", "01b0-7-3"),
            ("-2", "01a1-7-20"),
            ("01b", "01b0-7-3"),
            ("01a1-7-2", "01a1-7-2"),
            ("01a1-7-20", "01a1-7-20"),
        ] {
            assert_eq!(stamp(versions.find(word).unwrap()), expected, "{word}");
        }
        for (word, exit) in [
            ("-3", Exit::NotFound),
            ("-x", Exit::NotFound),
            ("-", Exit::NotFound),
            ("", Exit::NotFound),
            ("02", Exit::NotFound),
            ("01a1", Exit::Usage),
        ] {
            assert_eq!(versions.find(word).unwrap_err().exit, exit, "{word}");
        }
        let one = Versions {
            whole: json!({"versions": [{"stamp": "01b0-7-3"}]}),
        };
        let said = one.find("-1").unwrap_err().said();
        assert_eq!(said, "only 1 version is kept");
    }

    #[test]
    fn a_stamp_is_shortened_as_far_as_it_stays_the_only_one() {
        let versions = versions();
        let all: Vec<&Value> = versions.list().iter().collect();
        assert_eq!(short_stamp(all[0], &all), "01b0");
        assert_eq!(short_stamp(all[1], &all), "01a1-7-2");
    }
}
