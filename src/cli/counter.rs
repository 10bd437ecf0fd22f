//! `gaggle counter`: numbers that add up exactly, whoever adds at the same time.

use clap::builder::NonEmptyStringValueParser;
use http::Method;
use serde_json::{Value, json};

use super::coordination::{ask, once, path};
use super::exit::{Exit, Failure};
use super::fence::Fence;
use super::output::{Printer, Rows, Tone, cell};
use super::session::{Session, wait_for};
use crate::config::{Flags, Output};
use crate::io::http_client::ApiRequest;

/// Read, add to, set or delete counters of the strong side
///
/// They add up exactly, whoever adds at the same time. Prints the value.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Counter {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List all counters
    Ls,
    /// Print a counter
    Get {
        /// The counter
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Add to a counter, which begins at zero
    Add {
        /// The counter
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// How much; may be negative
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        #[command(flatten)]
        fence: Fence,
    },
    /// Set a counter
    Set {
        /// The counter
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// What it holds from then on
        #[arg(allow_negative_numbers = true)]
        to: i64,
        /// Only if it holds this
        #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
        expect: Option<i64>,
        #[command(flatten)]
        fence: Fence,
    },
    /// Delete a counter
    Rm {
        /// The counter
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
}

impl Counter {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let config = super::client_config(flags)?;
        let session = Session::open(&config)?;
        let answer = match self.action {
            Action::Ls => {
                let all = wait_for(session.json("/v1/counters"))?;
                let counters = all.get("counters").cloned().unwrap_or_default();
                Printer::new(config.output).show(&counters, || rows(&counters))?;
                return Ok(Exit::Ok);
            }
            Action::Rm { name } => {
                let request = ApiRequest::new(Method::DELETE, path("counters", &name));
                wait_for(session.send(request))?;
                return Ok(Exit::Ok);
            }
            Action::Get { name } => wait_for(session.json(&path("counters", &name)))?,
            Action::Add { name, by, fence } => {
                let request = once(path("counters", &name), &json!({"add": by}));
                ask(&session, fence.on(request))?
            }
            Action::Set {
                name,
                to,
                expect,
                fence,
            } => {
                let mut body = json!({"set": to});
                if let Some(expect) = expect {
                    body["expect"] = expect.into();
                }
                ask(&session, fence.on(once(path("counters", &name), &body)))?
            }
        };
        let value = answer.get("value").cloned().unwrap_or_default();
        let output = config.output.unwrap_or(Output::Raw);
        Printer::new(Some(output)).show(&answer, || {
            let mut rows = Rows::new(["VALUE"]);
            rows.push([&cell(&value)], Tone::Plain);
            rows
        })?;
        Ok(Exit::Ok)
    }
}

fn rows(counters: &Value) -> Rows {
    let mut rows = Rows::new(["COUNTER", "VALUE"]);
    for counter in counters.as_array().into_iter().flatten() {
        let field = |name: &str| counter.get(name).map(cell).unwrap_or_default();
        rows.push([&field("name"), &field("value")], Tone::Plain);
    }
    rows
}
