//! `gaggle conflicts`: keys that two members wrote without knowing of each other.

use std::collections::HashMap;
use std::io::{self, IsTerminal};

use serde_json::Value;

use super::exit::{Exit, Failure};
use super::names::node_name;
use super::output::{self, Printer, Rows, Tone};
use super::session::{Session, in_query, wait_for};
use super::versions::{field, member, member_names, short_stamp, what};
use crate::config::{Flags, Output};

/// List the keys that two members wrote without knowing of each other
///
/// The write with the greater stamp has won; what lost is kept in the history and shown here until
/// somebody chooses: `gaggle restore NODE/KEY STAMP`, with the stamp of the version that is to
/// stay, be it the one that won.
#[derive(clap::Args)]
pub(super) struct Conflicts {
    /// Only the keys of this node
    node: Option<String>,
}

impl Conflicts {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let node = self.node.as_deref().map(node_name).transpose()?;
        let config = super::client_config(flags)?;
        let printer = Printer::new(config.output);
        let session = Session::open(&config)?;
        let mut query = String::from("/v1/conflicts?");
        if let Some(node) = &node {
            query = format!("{query}node={}&", in_query(node.as_str()));
        }
        let (whole, names) = wait_for(async {
            let whole = read(&session, &query).await?;
            let names = match config.output {
                None | Some(Output::Table | Output::Raw) => member_names(&session).await,
                Some(Output::Json | Output::Yaml) => HashMap::new(),
            };
            Ok((whole, names))
        })?;
        let list = whole.get("conflicts").and_then(Value::as_array);
        let list = list.map(Vec::as_slice).unwrap_or_default();
        let is_for_people = matches!(config.output, None | Some(Output::Table));
        if is_for_people && io::stderr().is_terminal() {
            if list.is_empty() {
                output::plain_message("no conflicts");
                return Ok(Exit::Ok);
            }
            let hint = "gaggle restore NODE/KEY STAMP, with the stamp of the version to keep";
            output::message("choose", Tone::Warning, hint);
        }
        printer.show(&whole, || rows(list, &names))?;
        Ok(Exit::Ok)
    }
}

/// All pages.
async fn read(session: &Session, query: &str) -> Result<Value, Failure> {
    let mut whole = session.json(query).await?;
    let next = |page: &mut Value| page.as_object_mut()?.shift_remove("next");
    let mut after = next(&mut whole);
    while let Some(Value::String(place)) = after {
        let path = format!("{query}after={}", in_query(&place));
        let mut page = session.json(&path).await?;
        after = next(&mut page);
        let page = page.get_mut("conflicts").map(Value::take);
        let all = whole.get_mut("conflicts");
        if let (Some(Value::Array(page)), Some(Value::Array(all))) = (page, all) {
            all.extend(page);
        }
    }
    Ok(whole)
}

fn rows(conflicts: &[Value], names: &HashMap<String, String>) -> Rows {
    let mut rows = Rows::new([
        "NODE/KEY", "", "STAMP", "WRITTEN", "AUTHOR", "MEMBER", "VALUE",
    ]);
    for conflict in conflicts {
        let place = format!("{}/{}", field(conflict, "node"), field(conflict, "key"));
        let losers = conflict.get("losers").and_then(Value::as_array);
        let losers = losers.into_iter().flatten();
        let current = conflict.get("current").into_iter();
        let all: Vec<&Value> = current.chain(losers).collect();
        for (rank, version) in all.iter().enumerate() {
            let (standing, tone) = if rank == 0 {
                ("won", Tone::Plain)
            } else {
                ("lost", Tone::Warning)
            };
            let cells = [
                &*place,
                standing,
                short_stamp(version, &all),
                &field(version, "written"),
                &field(version, "author"),
                &member(version, names),
                &what(version),
            ];
            rows.push(cells, tone);
        }
        if conflict.get("damaged").is_some() {
            let text = "the versions cannot be read; ask another member";
            rows.push([&place, "", "", "", "", "", text], Tone::Bad);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_won_and_what_lost_stand_below_each_other() {
        let version = |stamp: &str, value: &str| {
            json!({"stamp": stamp, "written": "then", "author": "ann", "member": "7",
                   "value": value})
        };
        let conflicts = [json!({
            "node": "web", "key": "a/b", "current": version("03-7-1", "blue"),
            "losers": [version("02-7-1", "green"), version("01-7-1", "red")],
        })];
        let mut expected = Rows::new([
            "NODE/KEY", "", "STAMP", "WRITTEN", "AUTHOR", "MEMBER", "VALUE",
        ]);
        for (standing, stamp, value, tone) in [
            ("won", "03", "blue", Tone::Plain),
            ("lost", "02", "green", Tone::Warning),
            ("lost", "01", "red", Tone::Warning),
        ] {
            let cells = ["web/a/b", standing, stamp, "then", "ann", "7", value];
            expected.push(cells, tone);
        }
        assert_eq!(rows(&conflicts, &HashMap::new()), expected);
    }
}
