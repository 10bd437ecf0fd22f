//! `gaggle history`: the versions of a key.

use std::collections::HashMap;

use serde_json::Value;

use super::exit::{Exit, Failure};
use super::names::place;
use super::output::{self, Printer, Rows, Tone};
use super::session::{Session, wait_for};
use super::versions::{Versions, field, member, member_names, short_stamp, what};
use crate::config::{Flags, Output};

/// List the versions of a key: when, who, where, what
///
///   gaggle history web/colour           newest first, deletions included
///   gaggle history web colour           the same
///   gaggle get web colour               the current value alone
///
/// BACK counts from the current version; `gaggle diff` and `gaggle restore` take it, as -1, -2 …,
/// or the stamp. A version marked `conflict` lost against one whose writer did not know it. One
/// marked `node deleted` was current until the whole node was deleted.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
#[command(override_usage = "gaggle history [OPTIONS] <NODE/KEY>")]
pub(super) struct History {
    /// The node and the key
    #[arg(value_name = "NODE/KEY", required = true, num_args = 1..=2)]
    words: Vec<String>,
}

impl History {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let (node, key, rest) = place(&self.words)?;
        if let Some(word) = rest.first() {
            return Err(Failure::usage(format!("{word:?} is one word too many")));
        }
        let config = super::client_config(flags)?;
        let printer = Printer::new(config.output);
        let session = Session::open(&config)?;
        let (versions, names) = wait_for(async {
            let versions = Versions::read(&session, &node, &key).await?;
            let names = match config.output {
                None | Some(Output::Table | Output::Raw) => member_names(&session).await,
                Some(Output::Json | Output::Yaml) => HashMap::new(),
            };
            Ok((versions, names))
        })?;
        let hidden = hidden_by(&versions.whole);
        printer.show(&versions.whole, || rows(&versions, &names))?;
        if let (Some(at), None | Some(Output::Table)) = (hidden, config.output) {
            let text = format!(
                "the node {node} was deleted at {at}, and this key with it; `gaggle restore \
                 {node}/{key} -0` brings the key back"
            );
            output::message("note", Tone::Warning, &text);
        }
        Ok(Exit::Ok)
    }
}

/// When the node was deleted, if that hides the key.
fn hidden_by(whole: &Value) -> Option<&str> {
    whole.get("hidden_by")?.get("deleted")?.as_str()
}

fn rows(versions: &Versions, names: &HashMap<String, String>) -> Rows {
    let is_hidden = hidden_by(&versions.whole).is_some();
    let versions = versions.list();
    let all: Vec<&Value> = versions.iter().collect();
    let mut rows = Rows::new([
        "BACK", "STAMP", "WRITTEN", "AUTHOR", "MEMBER", "NOTE", "VALUE",
    ]);
    for (back, version) in versions.iter().enumerate() {
        let is = |name: &str| version.get(name).and_then(Value::as_bool) == Some(true);
        let (note, tone) = match (is("current"), is("conflict")) {
            (true, _) if is_hidden => ("node deleted", Tone::Warning),
            (true, _) => ("current", Tone::Good),
            (_, true) => ("conflict", Tone::Warning),
            _ => ("", Tone::Plain),
        };
        let cells = [
            &*format!("-{back}"),
            short_stamp(version, &all),
            &field(version, "written"),
            &field(version, "author"),
            &member(version, names),
            note,
            &what(version),
        ];
        rows.push(cells, tone);
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_version_is_one_row_with_the_name_of_its_member() {
        let whole = json!({"versions": [
            json!({"stamp": "03-7-1", "author": "ann", "member": "7", "written": "now",
                   "deleted": true, "current": true}),
            json!({"stamp": "02-8-1", "author": "bob", "member": "8", "written": "then",
                   "value": "a\nb", "conflict": true}),
        ]});
        let versions = Versions { whole };
        let names = HashMap::from([("7".to_owned(), "seven".to_owned())]);
        let mut expected = Rows::new([
            "BACK", "STAMP", "WRITTEN", "AUTHOR", "MEMBER", "NOTE", "VALUE",
        ]);
        let first = ["-0", "03", "now", "ann", "seven", "current", "(deleted)"];
        expected.push(first, Tone::Good);
        let second = ["-1", "02", "then", "bob", "8", "conflict", "a\nb"];
        expected.push(second, Tone::Warning);
        assert_eq!(rows(&versions, &names), expected);
    }

    #[test]
    fn the_newest_version_in_a_deleted_node_is_not_current() {
        let whole = json!({
            "live": false, "hidden_by": {"stamp": "04-7-1", "deleted": "then"},
            "versions": [json!({"stamp": "03-7-1", "value": "a", "current": true})],
        });
        let shown = rows(&Versions { whole }, &HashMap::new());
        let mut expected = Rows::new([
            "BACK", "STAMP", "WRITTEN", "AUTHOR", "MEMBER", "NOTE", "VALUE",
        ]);
        let only = ["-0", "03", "", "", "", "node deleted", "a"];
        expected.push(only, Tone::Warning);
        assert_eq!(shown, expected);
    }
}
