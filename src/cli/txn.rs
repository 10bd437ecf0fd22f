//! `gaggle txn`: compare, then or else, atomically.

use serde_json::Value;

use super::coordination::{ask, once, read};
use super::exit::{Exit, Failure};
use super::fence::Fence;
use super::output::Printer;
use super::session::Session;
use crate::config::{Flags, Output};

/// Do a transaction on the strong side: compare, then or else, all or nothing
///
/// Reads {"if":[…],"then":[…],"else":[…]} and prints what each operation came to. The exit code is
/// 0 if the comparisons held, and 5 if not (then the operations under "else" were done).
#[derive(clap::Args)]
pub(super) struct Txn {
    /// A file with the transaction; - for stdin
    #[arg(default_value = "-")]
    file: String,
    #[command(flatten)]
    fence: Fence,
}

impl Txn {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let text = read(&self.file)?;
        let body: Value = serde_json::from_str(&text)
            .map_err(|why| Failure::message(Exit::Usage, format!("{}: {why}", self.file)))?;
        let config = super::client_config(flags)?;
        let session = Session::open(&config)?;
        // As it came: numbers keep their digits.
        let request = once("/v1/txn", &body).with_body(text);
        let answer = ask(&session, self.fence.on(request))?;
        let output = match config.output {
            None | Some(Output::Table | Output::Raw) => Output::Json,
            Some(other) => other,
        };
        Printer::new(Some(output)).show(&answer, || unreachable!("json and yaml have no rows"))?;
        let held = answer.get("held").and_then(Value::as_bool);
        Ok(match held {
            Some(false) => Exit::Conflict,
            _ => Exit::Ok,
        })
    }
}
