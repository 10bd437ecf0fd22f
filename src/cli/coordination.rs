//! What the commands of the strong side have in common.

use std::io::{self, BufRead, IsTerminal, Write};

use http::Method;
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::session::{Session, body_json, in_query, wait_for};
use crate::io::http_client::ApiRequest;
use crate::io::random;

/// A request with this header is done once, however often it is sent.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A path with a name as its last segment.
pub(super) fn path(resource: &str, name: &str) -> String {
    format!("/v1/{resource}/{}", in_query(name))
}

/// A POST of JSON.
pub(super) fn post(path: impl Into<String>, body: &Value) -> ApiRequest {
    ApiRequest::new(Method::POST, path)
        .with_header("content-type", "application/json")
        .with_body(body.to_string())
}

/// The same with a key of its own, so that it can be sent again without being done twice.
pub(super) fn once(path: impl Into<String>, body: &Value) -> ApiRequest {
    let key = u128::from_le_bytes(random::bytes16());
    post(path, body).with_header(IDEMPOTENCY_KEY, &format!("{key:032x}"))
}

/// Sends a request; gives the JSON of the answer.
pub(super) fn ask(session: &Session, request: ApiRequest) -> Result<Value, Failure> {
    let answer = wait_for(session.send(request))?;
    body_json(&answer.body)
}

/// Asks on a terminal. What cannot be taken back is not done where nobody can answer.
pub(super) fn agreed(question: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let failure = Failure::usage("there is no terminal to ask on; nothing was changed");
        return Err(failure.hint("--yes does it without asking"));
    }
    let mut err = io::stderr().lock();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::message(Exit::Error, "nothing was changed"))
}

/// What is read from a file, or from stdin for `-`.
pub(super) fn read(file: &str) -> Result<String, Failure> {
    let text = if file == "-" {
        io::read_to_string(io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|why| Failure::message(Exit::Usage, format!("{file}: {why}")))
}
