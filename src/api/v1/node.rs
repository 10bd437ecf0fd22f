//! `/v1/store/{node}`: a node with all its keys, in the seed's format.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};

use super::key::done;
use super::strong_node;
use crate::api::body::Purpose;
use crate::api::classes::{self, Found, IfMissing, Target};
use crate::api::conditions;
use crate::api::json::{self, Given, text_value, write_text, write_value};
use crate::api::media;
use crate::api::pages::{self, Pages};
use crate::api::problem::{Code, Problem};
use crate::api::query::Query;
use crate::api::reply;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::app::{Condition, Edit, EditError, View, node_tag};
use crate::model::{KeyName, Node, NodeName, Value, WallTime};

/// The number of keys, or of strong nodes, from which on a tag is computed on a thread that may
/// block.
pub(super) const LARGE: usize = 4096;
/// The number of bytes from which on a body is read on a thread that may block.
pub(super) const LARGE_BODY: usize = 256 * 1024;
/// The media type of a merge patch (RFC 7396).
const MERGE_PATCH: &str = "application/merge-patch+json";

/// All keys with their values.
pub(super) async fn get(call: &Call<'_>, node: &str) -> Answer {
    let name: NodeName = decode(node)?.parse()?;
    let query = Query::of(&call.head.uri, &classes::READ)?;
    if let Found::Strong(fresh) = call.found(name.as_str(), &query).await? {
        return strong_node::get(call, &fresh, &name);
    }
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
    let document = Document::take(call, node, body).await?;
    let value = |(key, value)| match value {
        Some(value) => Ok((key, value)),
        None => Err(
            Problem::new(Code::InvalidBody, format!("the value of {key:?} is null"))
                .hint("leave the key out, or PATCH with null, to delete it"),
        ),
    };
    let keys = document.keys.into_iter().map(value);
    let keys = keys.collect::<Result<BTreeMap<_, _>, _>>()?;
    let node = document.node;
    if let Target::Strong(query) = document.target {
        return strong_node::put(call, &query, node, keys).await;
    }
    let edit = Edit::ReplaceNode { node, keys };
    let written = call.write(edit, document.condition).await?;
    Ok(done(call, &written, None))
}

/// Sets and deletes keys by a JSON merge patch.
pub(super) async fn patch(call: &Call<'_>, node: &str, body: Body) -> Answer {
    let Document {
        node,
        target,
        condition,
        keys,
    } = Document::take(call, node, body).await?;
    if let Target::Strong(query) = target {
        return strong_node::patch(call, &query, node, keys).await;
    }
    let edit = Edit::PatchNode { node, keys };
    let written = call.write(edit, condition).await?;
    Ok(done(call, &written, None))
}

/// What came to be written to a node.
struct Document {
    node: NodeName,
    target: Target,
    condition: Condition,
    /// The values; none for null.
    keys: BTreeMap<KeyName, Option<Value>>,
}

impl Document {
    async fn take(call: &Call<'_>, node: &str, body: Body) -> Result<Self, Problem> {
        let node: NodeName = decode(node)?.parse()?;
        let target = call.target(&node, IfMissing::Make).await?;
        let condition = conditions::for_write(&call.head.headers)?;
        media::check_json(&call.head.headers, MERGE_PATCH)?;
        let received = call.take(body, Purpose::Document).await?;
        let octets = received.octets.clone();
        let given = match octets.len() {
            0..LARGE_BODY => members(&octets)?,
            _ => call.blocking(move || members(&octets)).await??,
        };
        let given = given.into_iter();
        let keys = match &target {
            Target::Eventual => {
                let view = call.view();
                let old = |key: &KeyName| {
                    let entry = view.store.entry(node.as_str(), key.as_str())?;
                    entry.head.value()
                };
                let value = |(key, given)| value_of(key, given, old);
                given.map(value).collect()
            }
            // A text that is there keeps its type by what this member knows of the node.
            Target::Strong(_) => {
                let local = call.engine()?.local();
                let nodes = local.state.nodes();
                let old = |key: &KeyName| {
                    let item = nodes.key(node.as_str(), key.as_str())?;
                    Some(&item.value)
                };
                given
                    .map(|(key, given)| value_of(key, given, old))
                    .collect()
            }
        };
        Ok(Self {
            node,
            target,
            condition,
            keys,
        })
    }
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

/// A key with the value that is given, where `old` is what it holds; none for null.
fn value_of<'a>(
    key: KeyName,
    given: Given,
    old: impl Fn(&KeyName) -> Option<&'a Value>,
) -> (KeyName, Option<Value>) {
    let value = match given {
        Given::Null => None,
        Given::Typed(value) => Some(value),
        Given::Text(text) => Some(text_value(text, old(&key))),
    };
    (key, value)
}

/// Deletes the node with all its keys.
pub(super) async fn delete(call: &Call<'_>, node: &str) -> Answer {
    let node: NodeName = decode(node)?.parse()?;
    if let Target::Strong(query) = call.target(&node, IfMissing::Fail).await? {
        return strong_node::delete(call, &query, node).await;
    }
    let condition = conditions::for_write(&call.head.headers)?;
    call.write(Edit::DeleteNode { node }, condition).await?;
    Ok::<Response<Body>, _>(reply::empty(StatusCode::NO_CONTENT))
}
