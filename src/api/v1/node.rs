//! `/v1/store/{node}`: a node with all its keys, in the seed's format.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};

use super::key::done;
use crate::api::body::Purpose;
use crate::api::conditions;
use crate::api::json::{self, Given, text_value, write_text, write_value};
use crate::api::media;
use crate::api::pages::{self, Pages};
use crate::api::problem::{Code, Problem};
use crate::api::reply;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::app::{Edit, EditError, View, node_tag};
use crate::model::{KeyName, Node, NodeName, Value, WallTime};

/// The number of keys from which on a node's tag is computed on a thread that may block.
const LARGE: usize = 4096;
/// The number of bytes from which on a body is read on a thread that may block.
const LARGE_BODY: usize = 256 * 1024;
/// The media type of a merge patch (RFC 7396).
const MERGE_PATCH: &str = "application/merge-patch+json";

/// All keys with their values.
pub(super) async fn get(call: &Call<'_>, node: &str) -> Answer {
    let name: NodeName = decode(node)?.parse()?;
    let (view, now) = (call.view(), call.now());
    let tag = tag(call, &view, &name).await?;
    let mut response = if conditions::unchanged(&call.head.headers, &tag)? {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        reply::json_body(pages::body(|mut pages| async move {
            if let Some(node) = view.store.node(name.as_str()) {
                write_node(&mut pages, node, now).await;
            }
            pages
        }))
    };
    reply::tag_stored(response.headers_mut(), reply::tag(&tag));
    Ok(response)
}

/// The node's tag; a problem if it is not there.
pub(super) async fn tag(
    call: &Call<'_>,
    view: &Arc<View>,
    name: &NodeName,
) -> Result<String, Problem> {
    let node = view
        .store
        .node(name.as_str())
        .ok_or(EditError::NodeNotFound)?;
    if node.live() < LARGE {
        return Ok(node_tag(node));
    }
    let (view, name) = (view.clone(), name.clone());
    let tag = call
        .blocking(move || view.store.node(name.as_str()).map(node_tag))
        .await?;
    Ok(tag.ok_or(EditError::NodeNotFound)?)
}

/// Writes `{"key":"value",…}`.
pub(super) async fn write_node(pages: &mut Pages, node: &Node, now: WallTime) {
    pages.page.push(b'{');
    let mut is_first = true;
    for (key, version) in node.live_keys(now) {
        let Some(value) = version.value() else {
            continue;
        };
        if !std::mem::take(&mut is_first) {
            pages.page.push(b',');
        }
        write_text(&mut pages.page, key.as_str());
        pages.page.push(b':');
        write_value(&mut pages.page, value);
        pages.turn().await;
    }
    pages.page.push(b'}');
}

/// Replaces the node by the keys of the body; an empty body is an empty node.
pub(super) async fn put(call: &Call<'_>, node: &str, body: Body) -> Answer {
    let keys = |view: &View, node: &NodeName, given: BTreeMap<KeyName, Given>| {
        let value = |(key, given)| match value_of(view, node, &key, given) {
            Some(value) => Ok((key, value)),
            None => Err(
                Problem::new(Code::InvalidBody, format!("the value of {key:?} is null"))
                    .hint("leave the key out, or PATCH with null, to delete it"),
            ),
        };
        let keys = given.into_iter().map(value).collect::<Result<_, _>>()?;
        Ok(Edit::ReplaceNode {
            node: node.clone(),
            keys,
        })
    };
    write(call, node, body, keys).await
}

/// Sets and deletes keys by a JSON merge patch.
pub(super) async fn patch(call: &Call<'_>, node: &str, body: Body) -> Answer {
    let keys = |view: &View, node: &NodeName, given: BTreeMap<KeyName, Given>| {
        let value = |(key, given)| {
            let value = value_of(view, node, &key, given);
            (key, value)
        };
        Ok(Edit::PatchNode {
            node: node.clone(),
            keys: given.into_iter().map(value).collect(),
        })
    };
    write(call, node, body, keys).await
}

async fn write(
    call: &Call<'_>,
    node: &str,
    body: Body,
    edit: impl FnOnce(&View, &NodeName, BTreeMap<KeyName, Given>) -> Result<Edit, Problem>,
) -> Answer {
    let node: NodeName = decode(node)?.parse()?;
    let condition = conditions::for_write(&call.head.headers)?;
    media::check_json(&call.head.headers, MERGE_PATCH)?;
    let received = call.take(body, Purpose::Document).await?;
    let octets = received.octets.clone();
    let given = match octets.len() {
        0..LARGE_BODY => members(&octets)?,
        _ => call.blocking(move || members(&octets)).await??,
    };
    let edit = edit(&call.view(), &node, given)?;
    let written = call.write(edit, condition).await?;
    Ok(done(call, &written, None))
}

/// The members of the body with their names checked. No body: none.
fn members(body: &[u8]) -> Result<BTreeMap<KeyName, Given>, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(BTreeMap::new());
    }
    let checked = |(name, given): (String, Given)| match name.parse::<KeyName>() {
        Ok(key) => Ok((key, given)),
        Err(error) => {
            let detail = format!("{name:?} is no key's name: {error}");
            Err(Problem {
                detail: detail.into(),
                ..error.into()
            })
        }
    };
    json::members(body)?.into_iter().map(checked).collect()
}

fn value_of(view: &View, node: &NodeName, key: &KeyName, given: Given) -> Option<Value> {
    match given {
        Given::Null => None,
        Given::Typed(value) => Some(value),
        Given::Text(text) => {
            let old = view.store.entry(node.as_str(), key.as_str());
            Some(text_value(text, old.and_then(|old| old.head.value())))
        }
    }
}

/// Deletes the node with all its keys.
pub(super) async fn delete(call: &Call<'_>, node: &str) -> Answer {
    let node: NodeName = decode(node)?.parse()?;
    let condition = conditions::for_write(&call.head.headers)?;
    call.write(Edit::DeleteNode { node }, condition).await?;
    Ok::<Response<Body>, _>(reply::empty(StatusCode::NO_CONTENT))
}
