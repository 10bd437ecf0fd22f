//! `gaggle members`: who belongs to the cluster, as one member sees it.

use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output::{self, Printer, Rows, Tone};
use super::session::{Session, wait_for};
use crate::config::Flags;

/// List the members of the cluster
///
/// As the member that answers sees them; it is marked with a star.
#[derive(clap::Args)]
pub(super) struct Members {}

impl Members {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let config = super::client_config(flags)?;
        let session = Session::open(&config)?;
        let value = wait_for(session.json("/v1/members"))?;
        let members = value.get("members").cloned().unwrap_or_default();
        Printer::new(config.output).show(&members, || rows(&members))?;
        Ok(Exit::Ok)
    }
}

fn rows(members: &Value) -> Rows {
    let mut rows = Rows::new([
        "NAME", "ID", "ADDRESS", "STATE", "SINCE", "IN SYNC", "LAG", "VERSION",
    ]);
    for member in members.as_array().into_iter().flatten() {
        let field = |name: &str| member.get(name).map(output::cell).unwrap_or_default();
        let is_self = member.get("self").and_then(Value::as_bool) == Some(true);
        let is_in_sync = member.get("in_sync").and_then(Value::as_bool);
        let state = field("state");
        let tone = match (state.as_str(), is_in_sync) {
            ("dead", _) => Tone::Bad,
            ("suspect", _) | ("alive", Some(false)) => Tone::Warning,
            ("alive", _) => Tone::Good,
            _ => Tone::Plain,
        };
        let name = format!("{}{}", field("name"), if is_self { "*" } else { "" });
        let sync = match is_in_sync {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let lag = match field("lag_ms") {
            lag if lag.is_empty() => lag,
            lag => format!("{lag}ms"),
        };
        let cells = [
            &name,
            &field("id"),
            &field("address"),
            &state,
            &field("since"),
            sync,
            &lag,
            &field("version"),
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
    fn a_member_is_one_row_and_the_one_that_answers_has_a_star() {
        let members = json!([
            {"name": "a", "id": "1", "address": "127.0.0.1:8000", "state": "alive",
             "in_sync": true, "self": true, "lag_ms": 0},
            {"name": "b", "id": "2", "state": "dead"},
        ]);
        let mut expected = Rows::new([
            "NAME", "ID", "ADDRESS", "STATE", "SINCE", "IN SYNC", "LAG", "VERSION",
        ]);
        let first = ["a*", "1", "127.0.0.1:8000", "alive", "", "yes", "0ms", ""];
        expected.push(first, Tone::Good);
        expected.push(["b", "2", "", "dead", "", "", "", ""], Tone::Bad);
        assert_eq!(rows(&members), expected);
    }
}
