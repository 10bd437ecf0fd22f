//! `/v1/store/{node}/{key}` where the node is strong: the same shape, with the majority behind it.
//!
//! A write to a strong node goes into the log as a transaction that tests whether the node is
//! there. The class of a node is decided by what one member knows; were the node deleted
//! meanwhile, the write would make it again, behind the back of an eventual node of that name.

use std::sync::Arc;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};

use super::key::answer;
use super::version::write_member;
use crate::api::accept::{Form, form};
use crate::api::classes::strong_condition;
use crate::api::conditions;
use crate::api::coordination::Fresh;
use crate::api::json::write_value;
use crate::api::problem::{Code, Problem};
use crate::api::query::{Query, refused};
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::app::EditError;
use crate::model::{KeyName, NodeName, Value, WallTime};
use crate::strong::engine::View;
use crate::strong::{Command, Item, Millis, NodeOp, Op, Outcome, Refused, Relation, Test, Txn};

/// The value, raw or with what is known about it.
pub(super) fn get(call: &Call<'_>, fresh: &Fresh, node: &str, key: &str) -> Answer {
    let item = find(fresh, node, key)?;
    let headers = &call.head.headers;
    let form = form(headers, &item.value.content_type);
    let tag = match form {
        Form::Raw => item.version.to_string(),
        Form::Json => format!("{}{}", item.version, conditions::JSON_FORM),
    };
    let mut response = match form {
        _ if conditions::unchanged(headers, &tag)? => reply::empty(StatusCode::NOT_MODIFIED),
        Form::Raw => raw(item),
        Form::Json => {
            let mut out = begun(node, key);
            out.push(b',');
            write_item(&mut out, item, &fresh.view, call.now());
            out.push(b'}');
            reply::json_body(Body::from(out))
        }
    };
    reply::tag_item(response.headers_mut(), item, reply::tag(&tag));
    fresh.mark(&mut response);
    Ok(response)
}

/// What a key holds, or that it or its node is not there.
pub(super) fn find<'a>(fresh: &'a Fresh, node: &str, key: &str) -> Result<&'a Arc<Item>, Problem> {
    key.parse::<KeyName>()?;
    let node = fresh.node(node).ok_or(EditError::NodeNotFound)?;
    Ok(node.key(key).ok_or(EditError::KeyNotFound)?)
}

/// The octets with their type.
pub(super) fn raw(item: &Arc<Item>) -> Response<Body> {
    let mut response = Response::new(Body::from(reply::item_octets(item)));
    let typ = reply::content_type(&item.value.content_type);
    response.headers_mut().insert(CONTENT_TYPE, typ);
    response
}

/// `{"node":…,"key":…,"class":"strong"`
pub(super) fn begun(node: &str, key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.push(b'{');
    write_member(&mut out, "node", node);
    out.push(b',');
    write_member(&mut out, "key", key);
    out.extend_from_slice(br#","class":"strong""#);
    out
}

/// Writes the members that describe what a key holds, without braces. `stamp` is the tag, as it is
/// for eventual keys, and here the version as text.
pub(super) fn write_item(out: &mut Vec<u8>, item: &Item, view: &View, now: WallTime) {
    write_member(out, "stamp", &item.version.to_string());
    out.extend_from_slice(format!(r#","version":{},"#, item.version).as_bytes());
    write_known(out, item);
    if let Some(expires) = item.expires {
        let left = expires.since(view.state.clock().by(now));
        out.extend_from_slice(format!(r#","ttl_ms":{}"#, left.0).as_bytes());
    }
}

/// Writes who wrote what and when, without braces.
pub(super) fn write_known(out: &mut Vec<u8>, item: &Item) {
    write_member(out, "author", &item.author);
    out.push(b',');
    write_member(out, "written", &item.written.to_string());
    out.push(b',');
    write_member(out, "content_type", &item.value.content_type);
    out.extend_from_slice(br#","value":"#);
    write_value(out, &item.value);
}

/// Sets the value.
pub(super) async fn put(
    call: &Call<'_>,
    query: &Query,
    (node, key): (NodeName, KeyName),
    value: Value,
) -> Answer {
    let condition = strong_condition(&call.head.headers)?;
    let ttl = ttl(query)?;
    let limits = call.api.parts.app.limits();
    limits.check_values(&node, std::iter::once((&key, &value)))?;
    let op = NodeOp::SetKey {
        node: node.clone(),
        key,
        value,
        ttl,
        condition,
    };
    write(call, query, node, op).await
}

/// `ttl`: how long the key lives.
fn ttl(query: &Query) -> Result<Option<Millis>, Problem> {
    let read = |text: &str| {
        let ttl = crate::config::duration(text);
        ttl.map_err(|why| refused(format!("ttl={text:?}: {why}")))
    };
    let ttl = query.text("ttl").map(read).transpose()?;
    if ttl.is_some_and(|ttl| ttl.is_zero()) {
        return Err(refused("ttl is more than 0s".to_owned()));
    }
    Ok(ttl.map(Millis::from))
}

/// Deletes the key.
pub(super) async fn delete(
    call: &Call<'_>,
    query: &Query,
    (node, key): (NodeName, KeyName),
) -> Answer {
    no_ttl(query)?;
    let condition = strong_condition(&call.head.headers)?;
    let op = NodeOp::DeleteKey {
        node,
        key,
        condition,
    };
    call.propose(query, Command::Op(Op::Node(op))).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// Refuses a time to live for what has none.
pub(super) fn no_ttl(query: &Query) -> Result<(), Problem> {
    match query.text("ttl") {
        None => Ok(()),
        Some(_) => Err(refused(
            "ttl: only a key that is set can have one".to_owned(),
        )),
    }
}

/// Does a write to a node that must be there, and says whether what was written is new.
pub(super) async fn write(call: &Call<'_>, query: &Query, node: NodeName, op: NodeOp) -> Answer {
    let (version, created) = commit(call, query, node, op).await?;
    let tag = reply::tag(&version.to_string());
    Ok(answer(call, created, Some(tag)))
}

/// The same, with the version that was written and whether it is new.
pub(in crate::api) async fn commit(
    call: &Call<'_>,
    query: &Query,
    node: NodeName,
    op: NodeOp,
) -> Result<(u64, bool), Problem> {
    let txn = Txn {
        tests: vec![Test::Node {
            node,
            relation: Relation::Greater,
            version: 0,
        }],
        then: vec![Op::Node(op)],
        otherwise: Vec::new(),
    };
    let results = match call.attempt(query, Command::Txn(txn)).await? {
        Ok(Outcome::Txn {
            held: true,
            results,
        }) => results,
        Ok(Outcome::Txn { held: false, .. }) => return Err(gone()),
        Ok(_) => return Err(Problem::internal()),
        Err(Refused::InTransaction { why, .. }) => return Err((*why).into()),
        Err(why) => return Err(why.into()),
    };
    match results[..] {
        [Outcome::Written { version, created }] => Ok((version, created)),
        _ => Err(Problem::internal()),
    }
}

fn gone() -> Problem {
    Problem::new(Code::NodeNotFound, "there is no strong node of this name")
        .hint("make it with PUT /v1/nodes/{node} and {\"class\":\"strong\"}")
}
