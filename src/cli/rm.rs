//! `gaggle rm`: deletes a key, or a node with all its keys.

use std::io::{self, BufRead, IsTerminal, Write};

use http::Method;

use super::ack::AckFlag;
use super::class::ClassFlag;
use super::exit::{Exit, Failure};
use super::fence::Fence;
use super::names::{key_name, node_name};
use super::session::{key_path, node_path, wait_for};
use super::set::quoted;
use crate::config::Flags;
use crate::io::http_client::ApiRequest;

/// Delete a key, or a node with all its keys
#[derive(clap::Args)]
pub(super) struct Rm {
    /// The node
    node: String,
    /// The key; without it the whole node goes
    key: Option<String>,
    /// Do not ask before a whole node goes (asked only on a terminal)
    #[arg(long, short)]
    yes: bool,
    /// Delete only if the `ETag` is this one
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
    #[command(flatten)]
    fence: Fence,
    #[command(flatten)]
    class: ClassFlag,
    #[command(flatten)]
    ack: AckFlag,
}

impl Rm {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let node = node_name(&self.node)?;
        let key = self.key.as_deref().map(key_name).transpose()?;
        let path = match &key {
            Some(key) => key_path(&node, key),
            None => node_path(&node),
        };
        let config = super::client_config(flags)?;
        let path = self.class.on(self.ack.on(path, config.timeout)?);
        let mut request = self.fence.on(ApiRequest::new(Method::DELETE, path));
        if let Some(tag) = &self.if_match {
            request = request.with_header("if-match", &quoted(tag)?);
        }
        let session = self.ack.session(&config)?;
        if key.is_none() && !self.yes && !agreed(&self.node)? {
            return Err(Failure::message(Exit::Error, "nothing was deleted"));
        }
        wait_for(session.send(request))?;
        Ok(Exit::Ok)
    }
}

/// Asks on a terminal; elsewhere nobody could answer, and a script means what it says.
fn agreed(node: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    let mut err = io::stderr().lock();
    write!(err, "delete the node {node:?} with all its keys? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}
