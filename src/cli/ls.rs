//! `gaggle ls`: the nodes of the store, or the keys of a node.

use serde_json::Value;

use super::class::{self, Class};
use super::exit::{Exit, Failure};
use super::names::node_name;
use super::output::{self, Printer, Rows, Tone};
use super::session::{Session, node_path, wait_for};
use crate::config::{Flags, Output};

/// List the nodes, or the keys of a node
#[derive(clap::Args)]
pub(super) struct Ls {
    /// The node whose keys are listed
    node: Option<String>,
    /// Only nodes of this class
    #[arg(long, value_enum)]
    class: Option<Class>,
}

impl Ls {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let node = self.node.as_deref().map(node_name).transpose()?;
        let config = super::client_config(flags)?;
        let printer = Printer::new(config.output);
        let session = Session::open(&config)?;
        if let Some(node) = node {
            let value = wait_for(session.json(&class::on(self.class, node_path(&node))))?;
            let keys = value.as_object().into_iter().flatten().map(|(key, _)| key);
            let keys: Value = keys.map(|key| Value::from(key.as_str())).collect();
            printer.show(&keys, || key_rows(&keys))?;
        } else {
            let value = wait_for(session.json("/v1/nodes"))?;
            let mut nodes = value.get("nodes").cloned().unwrap_or_default();
            if let (Some(class), Some(nodes)) = (self.class, nodes.as_array_mut()) {
                nodes.retain(|node| node["class"] == class.word());
            }
            printer.show(&nodes, || node_rows(&nodes, printer.output()))?;
        }
        Ok(Exit::Ok)
    }
}

fn key_rows(keys: &Value) -> Rows {
    let mut rows = Rows::new(["KEY"]);
    for key in keys.as_array().into_iter().flatten() {
        rows.push([key.as_str().unwrap_or_default()], Tone::Plain);
    }
    rows
}

fn node_rows(nodes: &Value, output: Option<Output>) -> Rows {
    let nodes = nodes.as_array().into_iter().flatten();
    let field = |node: &Value, name: &str| node.get(name).map(output::cell).unwrap_or_default();
    if output == Some(Output::Raw) {
        let mut rows = Rows::new(["NODE"]);
        nodes.for_each(|node| rows.push([&field(node, "name")], Tone::Plain));
        return rows;
    }
    let mut rows = Rows::new(["NODE", "KEYS", "CLASS", "DESCRIPTION"]);
    for node in nodes {
        let cells = ["name", "keys", "class", "description"].map(|name| field(node, name));
        rows.push(cells.each_ref().map(String::as_str), Tone::Plain);
    }
    rows
}
