//! `/v1/store/{node}` where the node is strong.

use std::collections::BTreeMap;

use http::StatusCode;

use super::strong_key::{no_ttl, write};
use crate::api::classes::strong_condition;
use crate::api::conditions;
use crate::api::coordination::Fresh;
use crate::api::json::{write_text, write_value};
use crate::api::pages::{self, Pages};
use crate::api::query::Query;
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::app::EditError;
use crate::model::{KeyName, NodeName, Value};
use crate::strong::{Command, Node, NodeOp, Op};

/// All keys with their values.
pub(super) fn get(call: &Call<'_>, fresh: &Fresh, name: &NodeName) -> Answer {
    let node = fresh.node(name.as_str()).ok_or(EditError::NodeNotFound)?;
    let tag = node.version().to_string();
    let mut response = if conditions::unchanged(&call.head.headers, &tag)? {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        // Shares its memory with the state.
        let node = node.clone();
        reply::json_body(pages::body(|mut pages| async move {
            write_node(&mut pages, &node).await;
            pages
        }))
    };
    reply::tag_stored(response.headers_mut(), reply::tag(&tag));
    fresh.mark(&mut response);
    Ok(response)
}

/// Writes `{"key":"value",…}`.
pub(super) async fn write_node(pages: &mut Pages, node: &Node) {
    pages.page.push(b'{');
    for (place, (key, item)) in node.keys().enumerate() {
        if place > 0 {
            pages.page.push(b',');
        }
        write_text(&mut pages.page, key.as_str());
        pages.page.push(b':');
        write_value(&mut pages.page, &item.value);
        pages.turn().await;
    }
    pages.page.push(b'}');
}

/// Replaces the node by these keys.
pub(super) async fn put(
    call: &Call<'_>,
    query: &Query,
    node: NodeName,
    keys: BTreeMap<KeyName, Value>,
) -> Answer {
    no_ttl(query)?;
    let condition = strong_condition(&call.head.headers)?;
    call.api
        .parts
        .app
        .limits()
        .check_values(&node, keys.iter())?;
    let op = NodeOp::Replace {
        node: node.clone(),
        keys,
        condition,
    };
    write(call, query, node, op).await
}

/// Sets and deletes keys.
pub(super) async fn patch(
    call: &Call<'_>,
    query: &Query,
    node: NodeName,
    keys: BTreeMap<KeyName, Option<Value>>,
) -> Answer {
    no_ttl(query)?;
    let condition = strong_condition(&call.head.headers)?;
    let values = keys.iter();
    let values = values.filter_map(|(key, value)| Some((key, value.as_ref()?)));
    call.api.parts.app.limits().check_values(&node, values)?;
    let op = NodeOp::Patch {
        node: node.clone(),
        keys,
        condition,
    };
    write(call, query, node, op).await
}

/// Deletes the node with all its keys.
pub(super) async fn delete(call: &Call<'_>, query: &Query, node: NodeName) -> Answer {
    no_ttl(query)?;
    let condition = strong_condition(&call.head.headers)?;
    let op = NodeOp::Delete { node, condition };
    call.propose(query, Command::Op(Op::Node(op))).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
