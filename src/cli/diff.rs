//! `gaggle diff`: what is different between two versions of a key.

use std::time::Duration;

use serde_json::{Value, json};
use similar::TextDiff;

use super::escape::{Lines, for_terminal};
use super::exit::{Exit, Failure};
use super::names::place;
use super::output::{self, Printer};
use super::session::{Session, wait_for};
use super::versions::{Versions, field, is_deleted, stamp};
use crate::config::{Flags, Output};
use crate::model::{KeyName, NodeName};

/// The time after which a difference need not be the smallest any more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Show what changed between two versions of a key
///
///   gaggle diff web/page                the version before the current one -> the current one
///   gaggle diff web/page -3             three versions back -> the current one
///   gaggle diff web/page 01a1fc 01a1fd  one stamp -> another
///
/// A unified diff, as diff(1) and patch(1) have it. Values that are no text are only compared.
/// Exit codes as those of diff(1): 0 equal, 1 different; 2 or more: it could not be told.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
#[command(override_usage = "gaggle diff [OPTIONS] <NODE/KEY> [STAMP [STAMP]]")]
pub(super) struct Diff {
    /// The node and the key, and up to two versions: a stamp, its beginning, or -1, -2 … for so
    /// many versions back
    #[arg(value_name = "NODE/KEY [STAMP [STAMP]]", required = true, num_args = 1..=4)]
    #[arg(allow_negative_numbers = true)]
    words: Vec<String>,
}

impl Diff {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        self.compare(flags).map_err(|mut failure| {
            // 1 means that there is a difference, and nothing else.
            if failure.exit == Exit::Error {
                failure.exit = Exit::Usage;
            }
            failure
        })
    }

    fn compare(&self, flags: Flags) -> Result<Exit, Failure> {
        let (node, key, stamps) = place(&self.words)?;
        if let Some(more) = stamps.get(2) {
            return Err(Failure::usage(format!("{more:?} is one word too many")));
        }
        let config = super::client_config(flags)?;
        let session = Session::open(&config)?;
        let versions = wait_for(Versions::read(&session, &node, &key))?;
        let (old, new) = match stamps {
            [] => (versions.list().get(1), versions.find("-0")?),
            [old] => (Some(versions.find(old)?), versions.find("-0")?),
            [old, new, ..] => (Some(versions.find(old)?), versions.find(new)?),
        };
        let difference = difference(&node, &key, old, new);
        let is_equal = difference.is_none();
        match config.output {
            None | Some(Output::Table | Output::Raw) => {
                show(&difference.unwrap_or_default(), config.output)?;
            }
            Some(Output::Json | Output::Yaml) => {
                let value = json!({
                    "node": node.as_str(), "key": key.as_str(), "from": old, "to": new,
                    "equal": is_equal, "diff": difference,
                });
                Printer::new(config.output).show(&value, output::Rows::default)?;
            }
        }
        // That they differ is the answer and no failure; 1 says so, as diff(1) does.
        Ok(if is_equal { Exit::Ok } else { Exit::Error })
    }
}

/// As it is for programs; harmless, and in colours, for a terminal.
fn show(difference: &str, output: Option<Output>) -> Result<(), Failure> {
    if output == Some(Output::Raw) || !output::is_terminal() {
        return output::octets(difference.as_bytes());
    }
    let shown = for_terminal(difference.as_bytes(), Lines::Keep);
    output::text(&output::coloured_diff(&shown))
}

/// How `new` differs from `old` (none: there was nothing); none if it does not.
fn difference(node: &NodeName, key: &KeyName, old: Option<&Value>, new: &Value) -> Option<String> {
    let value = |version: &Value| version.get("value").cloned();
    let old_value = old.and_then(value);
    let new_value = value(new);
    let typ = |version: &Value| field(version, "content_type");
    let (old_type, new_type) = (old.map(typ).unwrap_or_default(), typ(new));
    let (from, to) = (label(node, key, old), label(node, key, Some(new)));
    if old_value == new_value {
        return (old_type != new_type)
            .then(|| format!("--- {from}\n+++ {to}\nContent-Type: {old_type} -> {new_type}\n"));
    }
    let text = |value: &Option<Value>| match value {
        None => Some(String::new()),
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => None,
    };
    let (Some(old_text), Some(new_text)) = (text(&old_value), text(&new_value)) else {
        return Some(format!("Binary values {from} and {to} differ\n"));
    };
    let diff = TextDiff::configure()
        .timeout(PATIENCE)
        .diff_lines(&old_text, &new_text);
    let hunks = diff.unified_diff().to_string();
    Some(format!("--- {from}\n+++ {to}\n{hunks}"))
}

/// What stands behind `---` and `+++`: as patch(1) reads it, the name ends at the tab.
fn label(node: &NodeName, key: &KeyName, version: Option<&Value>) -> String {
    match version {
        Some(version) if !is_deleted(version) => format!(
            "{node}/{key}\t{} {} {}",
            field(version, "written"),
            field(version, "author"),
            stamp(version)
        ),
        Some(version) => format!(
            "/dev/null\t{} {} {}",
            field(version, "written"),
            field(version, "author"),
            stamp(version)
        ),
        None => "/dev/null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: Option<&Value>, new: &Value, expected: Option<&str>) {
        let (node, key) = ("web".parse().unwrap(), "page".parse().unwrap());
        let got = difference(&node, &key, old, new);
        assert_eq!(got.as_deref(), expected);
    }

    fn text(value: &str) -> Value {
        json!({"stamp": "1-1-1", "written": "then", "author": "ann", "value": value,
               "content_type": "text/plain"})
    }

    #[test]
    fn two_texts_differ_line_by_line() {
        check(Some(&text("a\nb\n")), &text("a\nb\n"), None);
        check(
            Some(&text("a\nb\nc\n")),
            &text("a\nB\nc"),
            Some(concat!(
                "--- web/page\tthen ann 1-1-1\n+++ web/page\tthen ann 1-1-1\n",
                "@@ -1,3 +1,3 @@\n a\n-b\n-c\n+B\n+c\n\\ No newline at end of file\n"
            )),
        );
    }

    #[test]
    fn a_deletion_and_nothing_at_all_are_shown_as_no_file() {
        let gone = json!({"stamp": "1-1-2", "written": "now", "author": "bob", "deleted": true});
        check(
            Some(&text("a\n")),
            &gone,
            Some(concat!(
                "--- web/page\tthen ann 1-1-1\n+++ /dev/null\tnow bob 1-1-2\n",
                "@@ -1 +0,0 @@\n-a\n"
            )),
        );
        check(
            None,
            &text(""),
            Some("--- /dev/null\n+++ web/page\tthen ann 1-1-1\n"),
        );
        check(Some(&gone), &gone, None);
    }

    #[test]
    fn octets_are_compared_and_a_new_content_type_is_a_difference() {
        let binary = |coded: &str| {
            let mut version = text("");
            version["value"] = json!({ "$base64": coded });
            version
        };
        check(Some(&binary("/w==")), &binary("/w=="), None);
        check(
            Some(&text("a")),
            &binary("/w=="),
            Some(concat!(
                "Binary values web/page\tthen ann 1-1-1 and web/page\tthen ann 1-1-1 ",
                "differ\n"
            )),
        );
        let mut html = text("a");
        html["content_type"] = json!("text/html");
        check(
            Some(&text("a")),
            &html,
            Some(concat!(
                "--- web/page\tthen ann 1-1-1\n+++ web/page\tthen ann 1-1-1\n",
                "Content-Type: text/plain -> text/html\n"
            )),
        );
    }
}
