//! `gaggle status`: how a member is.

use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output::{self, Printer, Rows, Tone};
use super::session::{Session, wait_for};
use crate::config::Flags;

/// Show how a member is: version, store, members seen, strong side, disk
#[derive(clap::Args)]
pub(super) struct Status {}

impl Status {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let config = super::client_config(flags)?;
        let session = Session::open(&config)?;
        let value = wait_for(session.json("/v1/status"))?;
        Printer::new(config.output).show(&value, || {
            let mut rows = Rows::new(["FIELD", "VALUE"]);
            add(&mut rows, "", &value);
            rows
        })?;
        Ok(Exit::Ok)
    }
}

/// What is known only after the members have told each other how far they are.
const UNTOLD: [&str; 2] = ["collecting.stable", "collecting.stable_lag_ms"];

/// One row per scalar; an inner field's name follows that of the outer one.
fn add(rows: &mut Rows, outer: &str, value: &Value) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = format!("{outer}{name}");
        match value {
            Value::Object(_) => add(rows, &format!("{name}."), value),
            // Null stands for what no member has told yet, but for an empty cell nobody could know.
            Value::Null if UNTOLD.contains(&name.as_str()) => {
                rows.push([&name, "not yet known"], Tone::Plain);
            }
            Value::Array(voters) if name == "strong.voters" => {
                let away = voters
                    .iter()
                    .any(|voter| voter["alive"] == Value::Bool(false));
                let tone = if away { Tone::Warning } else { Tone::Plain };
                rows.push([&name, &named(voters)], tone);
            }
            Value::Bool(false) => rows.push([&name, "false"], Tone::Warning),
            scalar => rows.push([&name, &output::cell(scalar)], Tone::Plain),
        }
    }
}

/// The voters, and which of them are away.
fn named(voters: &[Value]) -> String {
    let one = |voter: &Value| {
        let name = voter.get("name").map(output::cell).unwrap_or_default();
        match voter["alive"] {
            Value::Bool(false) => format!("{name} (away)"),
            _ => name,
        }
    };
    voters.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_yet_is_said_so() {
        let mut rows = Rows::new(["FIELD", "VALUE"]);
        let status = json!({"address": null, "collecting": {"oldest": null, "stable": null}});
        add(&mut rows, "", &status);
        let mut expected = Rows::new(["FIELD", "VALUE"]);
        expected.push(["address", ""], Tone::Plain);
        expected.push(["collecting.oldest", ""], Tone::Plain);
        expected.push(["collecting.stable", "not yet known"], Tone::Plain);
        assert_eq!(rows, expected);
    }
    #[test]
    fn voters_are_named_and_so_is_who_is_away() {
        let mut rows = Rows::new(["FIELD", "VALUE"]);
        let voters = json!([{"name": "a", "alive": true}, {"name": "b", "alive": false}]);
        add(
            &mut rows,
            "",
            &json!({"strong": {"leader": "a", "voters": voters}}),
        );
        let mut expected = Rows::new(["FIELD", "VALUE"]);
        expected.push(["strong.leader", "a"], Tone::Plain);
        expected.push(["strong.voters", "a, b (away)"], Tone::Warning);
        assert_eq!(rows, expected);
    }
}
