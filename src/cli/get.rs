//! `gaggle get`: a value, or a node's keys and values.

use http::Method;
use serde_json::Value;

use super::class::ClassFlag;
use super::escape::{Lines, for_terminal};
use super::exit::{Exit, Failure};
use super::names::{key_name, node_name};
use super::output::{self, Printer, Rows, Tone};
use super::session::{Session, key_path, node_path, wait_for};
use crate::config::{Flags, Output};
use crate::io::http_client::ApiRequest;

/// Print a value, or the keys and values of a node
///
/// The bytes of a value go to stdout as they are; on a terminal, what would command it is escaped.
/// With -o json, yaml or table there is more about it: its stamp, author, time, content type.
#[derive(clap::Args)]
pub(super) struct Get {
    /// The node
    node: String,
    /// The key; without it the whole node is shown
    key: Option<String>,
    #[command(flatten)]
    class: ClassFlag,
}

impl Get {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let node = node_name(&self.node)?;
        let key = self.key.as_deref().map(key_name).transpose()?;
        let config = super::client_config(flags)?;
        let printer = Printer::new(config.output);
        let session = Session::open(&config)?;
        let Some(key) = key else {
            let value = wait_for(session.json(&self.class.on(node_path(&node))))?;
            printer.show(&value, || node_rows(&value))?;
            return Ok(Exit::Ok);
        };
        let path = self.class.on(key_path(&node, &key));
        match config.output {
            None | Some(Output::Raw) => {
                let request = ApiRequest::new(Method::GET, path);
                let answer = wait_for(session.send(request))?;
                show_value(&answer.body, config.output)?;
            }
            Some(_) => {
                let value = wait_for(session.json(&path))?;
                printer.show(&value, || value_rows(&value))?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// The bytes as they are; made harmless if a terminal would get them and nobody insisted.
fn show_value(octets: &[u8], output: Option<Output>) -> Result<(), Failure> {
    if output.is_some() || !output::is_terminal() {
        return output::octets(octets);
    }
    let mut shown = for_terminal(octets, Lines::Keep);
    if !shown.is_empty() && !shown.ends_with('\n') {
        shown.push('\n');
    }
    output::octets(shown.as_bytes())
}

fn node_rows(node: &Value) -> Rows {
    let mut rows = Rows::new(["KEY", "VALUE"]);
    for (key, value) in node.as_object().into_iter().flatten() {
        rows.push([key, &output::cell(value)], Tone::Plain);
    }
    rows
}

fn value_rows(value: &Value) -> Rows {
    let mut rows = Rows::new(["FIELD", "VALUE"]);
    for (field, value) in value.as_object().into_iter().flatten() {
        rows.push([field, &output::cell(value)], Tone::Plain);
    }
    rows
}
