//! `/v1/txn`: tests, and then one of two lists of operations, all of it at once or nothing.
//!
//! Everything in a transaction is of the strong side: nodes that it writes are strong, and made if
//! they are missing.

mod reading;

use axum::body::Body;
use http::StatusCode;

use super::strong_key::write_known;
use crate::api::body::Purpose;
use crate::api::classes::conflict;
use crate::api::coordination::WRITE;
use crate::api::media;
use crate::api::problem::Problem;
use crate::api::query::Query;
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::strong::{Command, NodeOp, Op, Outcome, Txn};

use super::node::LARGE_BODY;

/// Does a transaction.
pub(super) async fn post(call: &Call<'_>, body: Body) -> Answer {
    let query = Query::of(&call.head.uri, &WRITE)?;
    call.engine()?;
    media::check_json(&call.head.headers, "application/json")?;
    let received = call.take(body, Purpose::Document).await?;
    let octets = received.octets.clone();
    let txn = match octets.len() {
        0..LARGE_BODY => reading::txn(&octets)?,
        _ => call.blocking(move || reading::txn(&octets)).await??,
    };
    check(call, &txn)?;
    match call.propose(&query, Command::Txn(txn)).await? {
        Outcome::Txn { held, results } => {
            let body = Body::from(written(held, &results));
            let mut response = reply::json_body(body);
            *response.status_mut() = StatusCode::OK;
            reply::no_store(response.headers_mut());
            Ok(response)
        }
        _ => Err(Problem::internal()),
    }
}

/// What only this member can tell: its limits, and which nodes are eventual.
fn check(call: &Call<'_>, txn: &Txn) -> Result<(), Problem> {
    let limits = call.api.parts.app.limits();
    let (view, local) = (call.view(), call.engine()?.local());
    for op in txn.then.iter().chain(&txn.otherwise) {
        let node = match op {
            Op::Node(NodeOp::SetKey {
                node, key, value, ..
            }) => {
                limits.check_values(node, std::iter::once((key, value)))?;
                node
            }
            Op::Node(NodeOp::Replace { node, keys, .. }) => {
                limits.check_values(node, keys.iter())?;
                node
            }
            Op::Node(NodeOp::Patch { node, keys, .. }) => {
                let values = keys.iter();
                let values = values.filter_map(|(key, value)| Some((key, value.as_ref()?)));
                limits.check_values(node, values)?;
                node
            }
            Op::Node(NodeOp::Get { .. } | NodeOp::DeleteKey { .. } | NodeOp::Delete { .. })
            | Op::Counter(_)
            | Op::Log(_) => continue,
        };
        let is_strong = local.state.nodes().node(node.as_str()).is_some();
        if !is_strong && view.store.node(node.as_str()).is_some() {
            let mut problem = conflict("a transaction writes strong nodes only");
            problem.detail = format!("the node {node:?} is eventual").into();
            return Err(problem.hint("a transaction writes strong nodes only"));
        }
    }
    Ok(())
}

/// The answer: whether the tests held, and what each operation of the list came to.
fn written(held: bool, results: &[Outcome]) -> Vec<u8> {
    let mut out = format!(r#"{{"held":{held},"results":["#).into_bytes();
    for (place, result) in results.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.push(b'{');
        write_result(&mut out, result);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

/// Writes the members of one result.
fn write_result(out: &mut Vec<u8>, result: &Outcome) {
    let text = match result {
        Outcome::Written { version, created } => {
            format!(r#""version":{version},"created":{created}"#)
        }
        Outcome::Deleted => r#""deleted":true"#.to_owned(),
        Outcome::Key(Some(item)) => {
            out.extend_from_slice(format!(r#""version":{},"#, item.version).as_bytes());
            return write_known(out, item);
        }
        Outcome::Counter(Some(value)) => format!(r#""value":{value}"#),
        Outcome::Key(None) | Outcome::Counter(None) => r#""value":null"#.to_owned(),
        Outcome::Appended { index, .. } => format!(r#""index":{index}"#),
        Outcome::Kept { first } => format!(r#""first":{first}"#),
        // No operation of a transaction comes to these.
        Outcome::Done
        | Outcome::Granted { .. }
        | Outcome::Waiting { .. }
        | Outcome::Released
        | Outcome::Txn { .. } => String::new(),
    };
    out.extend_from_slice(text.as_bytes());
}
