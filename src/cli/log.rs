//! `gaggle log`: ordered logs of the strong side.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::coordination::{ask, once, path, read};
use super::exit::{Exit, Failure};
use super::fence::Fence;
use super::output::{self, Printer, Rows, Tone, cell};
use super::session::{Session, in_query, wait_for};
use crate::config::{Flags, Output};
use crate::io::http_client::ApiRequest;

/// How often it is asked whether there is more.
const AGAIN: Duration = Duration::from_millis(200);
/// How many entries are asked for at once.
const PAGE: usize = 1_000;
/// How often in a row nobody may answer until following ends.
const TRIES: u32 = 50;

/// Append to, read and follow the ordered logs of the strong side
///
/// All members have the same entries in the same order.
#[derive(clap::Args)]
pub(super) struct Log {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List all logs
    Ls,
    /// Append an entry; prints its index once a majority has it on disk
    Append {
        /// The log
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Any JSON; - for stdin
        json: String,
        #[command(flatten)]
        fence: Fence,
    },
    /// Print entries, one JSON text per line
    Read {
        /// The log
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// The first index
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// How many at most
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Print entries, and go on as they are committed
    Follow {
        /// The log
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// The first index; without it only what comes from now on
        #[arg(long)]
        from: Option<u64>,
    },
}

impl Log {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let config = super::client_config(flags)?;
        let session = Session::open(&config)?;
        let printer = Printer::new(config.output);
        match self.action {
            Action::Ls => {
                let all = wait_for(session.json("/v1/log"))?;
                let logs = all.get("logs").cloned().unwrap_or_default();
                printer.show(&logs, || rows(&logs))?;
            }
            Action::Append { name, json, fence } => {
                let text = if json == "-" { read("-")? } else { json };
                let text = text.trim().to_owned();
                let body: Value = serde_json::from_str(&text).map_err(|why| {
                    let hint = "a text has quotes of its own: '\"hello\"'";
                    Failure::message(Exit::Usage, format!("no JSON: {why}")).hint(hint)
                })?;
                // As it came: numbers keep their digits.
                let request = once(path("log", &name), &body).with_body(text);
                let answer = ask(&session, fence.on(request))?;
                let index = answer.get("index").map(cell).unwrap_or_default();
                Printer::new(Some(config.output.unwrap_or(Output::Raw))).show(&answer, || {
                    let mut rows = Rows::new(["INDEX"]);
                    rows.push([&index], Tone::Plain);
                    rows
                })?;
            }
            Action::Read { name, from, limit } => {
                let reader = Reader {
                    session: &session,
                    name: &name,
                    whole: config.output.is_some_and(|output| output != Output::Raw),
                };
                let mut left = limit.unwrap_or(usize::MAX);
                let mut next = from;
                while left > 0 {
                    let count = reader.page(&mut next, left.min(PAGE), "linearizable")?;
                    if count == 0 {
                        break;
                    }
                    left -= count;
                }
            }
            Action::Follow { name, from } => {
                let reader = Reader {
                    session: &session,
                    name: &name,
                    whole: config.output.is_some_and(|output| output != Output::Raw),
                };
                return reader.follow(from);
            }
        }
        Ok(Exit::Ok)
    }
}

/// A page of a log, its entries as they came: numbers keep their digits.
#[derive(Deserialize)]
struct Page {
    entries: Vec<Box<RawValue>>,
}

/// What must be known of an entry.
#[derive(Deserialize)]
struct Entry {
    index: u64,
    data: Box<RawValue>,
}

struct Reader<'a> {
    session: &'a Session,
    name: &'a str,
    /// Whether all that is known of an entry is printed, not only what was appended.
    whole: bool,
}

impl Reader<'_> {
    /// Prints a page of entries from `next` on; gives how many, and goes behind them.
    fn page(&self, next: &mut u64, limit: usize, consistency: &str) -> Result<usize, Failure> {
        let path = format!(
            "{}?from={next}&limit={limit}&consistency={}",
            path("log", self.name),
            in_query(consistency)
        );
        let answer = wait_for(self.session.send(ApiRequest::new(Method::GET, path)))?;
        let page: Page = serde_json::from_slice(&answer.body)
            .map_err(|why| anyhow::Error::new(why).context("the answer is no page of a log"))?;
        for entry in &page.entries {
            let Entry { index, data } = serde_json::from_str(entry.get())?;
            *next = index + 1;
            let shown = if self.whole { entry } else { &data };
            // One entry, one line: what breaks lines in JSON is a blank.
            let line = shown.get().replace(['\n', '\r'], " ");
            output::text(&format!("{line}\n"))?;
        }
        Ok(page.entries.len())
    }

    /// Where the log ends.
    fn end(&self) -> Result<u64, Failure> {
        let path = format!("{}?limit=1", path("log", self.name));
        match wait_for(self.session.json(&path)) {
            Ok(page) => Ok(page.get("next").and_then(Value::as_u64).unwrap_or(1)),
            // It begins with the first entry.
            Err(failure) if failure.exit == Exit::NotFound => Ok(1),
            Err(failure) => Err(failure),
        }
    }

    /// The first entry that is kept, if a member says so.
    fn first(&self) -> Result<Option<u64>, Failure> {
        let path = format!("{}?limit=1&consistency=stale", path("log", self.name));
        match wait_for(self.session.json(&path)) {
            Ok(page) => Ok(page.get("first").and_then(Value::as_u64)),
            Err(failure) if failure.exit == Exit::Usage => Err(failure),
            Err(_) => Ok(None),
        }
    }

    /// Prints for ever. A member that goes away is no reason to end: another one has the same.
    fn follow(&self, from: Option<u64>) -> Result<Exit, Failure> {
        let mut next = match from {
            Some(from) => from,
            None => self.end()?,
        };
        let mut failed = 0;
        loop {
            match self.page(&mut next, PAGE, "stale") {
                Ok(0) => failed = 0,
                Ok(_) => {
                    failed = 0;
                    continue;
                }
                Err(failure) if failure.exit == Exit::NotFound => failed = 0,
                Err(failure) => {
                    failed += 1;
                    if let Some(first) = self.first()?.filter(|first| *first > next) {
                        let last = first - 1;
                        let gap =
                            format!("entries {next} to {last} were let go before they were read");
                        output::message("note", Tone::Warning, &gap);
                        (next, failed) = (first, 0);
                        continue;
                    }
                    let goes_on = !matches!(failure.exit, Exit::Auth | Exit::Usage);
                    if !goes_on || failed >= TRIES {
                        return Err(failure);
                    }
                }
            }
            std::thread::sleep(AGAIN);
        }
    }
}

fn rows(logs: &Value) -> Rows {
    let mut rows = Rows::new(["LOG", "FIRST", "NEXT"]);
    for log in logs.as_array().into_iter().flatten() {
        let field = |name: &str| log.get(name).map(cell).unwrap_or_default();
        rows.push(
            [&field("name"), &field("first"), &field("next")],
            Tone::Plain,
        );
    }
    rows
}
