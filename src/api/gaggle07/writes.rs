//! Making, setting and deleting, in either class of nodes.
//!
//! The original made a key in two steps, first without a value, and told apart what is there and
//! what is not. Here each step is one conditional write: of two clients that make the same key at
//! once, one gets 201 and the other 409, on one member at least.
//!
//! Where a node is written that this member knows to be strong, the majority is asked, and the
//! answer waits until this member has it, so that the next read here sees it.

use std::collections::BTreeMap;

use axum::body::Body;
use http::Response;

use super::held::Held;
use super::replies;
use crate::api::classes::{Class, IfMissing};
use crate::api::problem::{Code, Problem};
use crate::api::query::Query;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::api::v1::commit_strong;
use crate::app::{Condition, Edit, Tags};
use crate::model::{KeyName, NodeName, Value};
use crate::strong::{self, Command, NodeOp, Op};

/// How the key must be for a write to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is made: it must not be there.
    Make,
    /// It is set: it must be there.
    Set,
}

/// The name of a node in a path, if it is one.
pub(super) fn node_name(raw: &str) -> Result<NodeName, Problem> {
    Ok(decode(raw)?.parse()?)
}

/// The name of a key in a path, if it is one.
pub(super) fn key_name(raw: &str) -> Result<KeyName, Problem> {
    Ok(decode(raw)?.parse()?)
}

/// Makes an empty node.
pub(super) async fn make_node(call: &Call<'_>, node: NodeName) -> Answer {
    if Held::of(call).node(node.as_str()).is_some() {
        return Ok(replies::exists());
    }
    let class = call
        .class_to_write(&node, &Query::none(), IfMissing::Make)
        .await?;
    if class == Class::Strong {
        return Ok(replies::exists());
    }
    let edit = Edit::PatchNode {
        node,
        keys: BTreeMap::new(),
    };
    let done = call.write_now(edit, absent(), None).await.map(drop);
    done_or(Step::Make, done)
}

/// Makes a key, or sets one.
pub(super) async fn write_key(
    call: &Call<'_>,
    (node, key): (NodeName, KeyName),
    value: Value,
    step: Step,
) -> Answer {
    let held = Held::of(call);
    if held.node(node.as_str()).is_none() {
        return Ok(replies::missing());
    }
    let done = if held.is_strong(node.as_str()) {
        let limits = call.api.parts.app.limits();
        limits.check_values(&node, std::iter::once((&key, &value)))?;
        let op = NodeOp::SetKey {
            node: node.clone(),
            key,
            value,
            ttl: None,
            condition: match step {
                Step::Make => strong::Condition::absent(),
                Step::Set => strong::Condition {
                    if_match: Some(strong::Match::Any),
                    ..strong::Condition::default()
                },
            },
        };
        let done = commit_strong(call, &Query::none(), node, op)
            .await
            .map(drop);
        call.confirmed_if_near().await;
        done
    } else {
        let condition = match step {
            Step::Make => absent(),
            Step::Set => Condition {
                if_match: Some(Tags::Any),
                ..Condition::default()
            },
        };
        let edit = Edit::SetKey { node, key, value };
        call.write_now(edit, condition, None).await.map(drop)
    };
    done_or(step, done)
}

fn absent() -> Condition {
    Condition {
        if_none_match: Some(Tags::Any),
        ..Condition::default()
    }
}

/// The answer to a step, where its condition says whether the thing is there.
fn done_or(step: Step, done: Result<(), Problem>) -> Answer {
    match (step, done) {
        (Step::Make, Ok(())) => Ok(replies::created()),
        (Step::Set, Ok(())) => Ok(replies::done()),
        (Step::Make, Err(problem)) if problem.code == Code::PreconditionFailed => {
            Ok(replies::exists())
        }
        (Step::Set, Err(problem)) if problem.code == Code::PreconditionFailed => {
            Ok(replies::missing())
        }
        (_, Err(problem)) => Err(problem),
    }
}

/// Deletes a key.
pub(super) async fn delete_key(call: &Call<'_>, node: NodeName, key: KeyName) -> Answer {
    let done = if Held::of(call).is_strong(node.as_str()) {
        let op = NodeOp::DeleteKey {
            node,
            key,
            condition: strong::Condition::default(),
        };
        delete_strong(call, op).await
    } else {
        let edit = Edit::DeleteKey { node, key };
        call.write_now(edit, Condition::default(), None)
            .await
            .map(drop)
    };
    deleted(done)
}

/// Deletes a node with all its keys.
pub(super) async fn delete_node(call: &Call<'_>, node: NodeName) -> Answer {
    let done = if Held::of(call).is_strong(node.as_str()) {
        let condition = strong::Condition::default();
        delete_strong(call, NodeOp::Delete { node, condition }).await
    } else {
        let edit = Edit::DeleteNode { node };
        call.write_now(edit, Condition::default(), None)
            .await
            .map(drop)
    };
    deleted(done)
}

async fn delete_strong(call: &Call<'_>, op: NodeOp) -> Result<(), Problem> {
    let command = Command::Op(Op::Node(op));
    let done = call.propose(&Query::none(), command).await.map(drop);
    call.confirmed_if_near().await;
    done
}

fn deleted(done: Result<(), Problem>) -> Result<Response<Body>, Problem> {
    match done {
        Ok(()) => Ok(replies::done()),
        Err(problem) if matches!(problem.code, Code::NodeNotFound | Code::KeyNotFound) => {
            Ok(replies::missing())
        }
        Err(problem) => Err(problem),
    }
}
