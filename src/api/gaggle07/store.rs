//! The store by `/api/store`: two levels, created and updated in two steps.

use axum::body::Body;
use http::Response;

use super::held::Held;
use super::replies;
use super::values::{self, Shown};
use super::writes::{self, Step, key_name, node_name};
use crate::api::body::Purpose;
use crate::api::server::{Answer, Call};
use crate::model::{TEXT, Value};

/// Everything.
pub(super) fn all(call: &Call<'_>) -> Response<Body> {
    replies::json_text(Held::of(call).body())
}

/// A node.
pub(super) fn node(call: &Call<'_>, node: &str) -> Answer {
    let held = Held::of(call);
    let name = node_name(node)?;
    Ok(match held.node(name.as_str()) {
        Some(_) => replies::json_text(held.node_body(name.as_str().to_owned())),
        None => replies::missing(),
    })
}

/// A value: a string as text, anything else as JSON. A number is a value like any other.
pub(super) fn key(call: &Call<'_>, node: &str, key: &str) -> Answer {
    let held = Held::of(call);
    let (node, key) = (node_name(node)?, key_name(key)?);
    Ok(match held.value(node.as_str(), key.as_str()) {
        Some(value) => shown(&Shown::of(value)),
        None => replies::missing(),
    })
}

/// A value as an answer.
pub(super) fn shown(value: &Shown<'_>) -> Response<Body> {
    match value {
        Shown::Text(text) => replies::text(text.clone().into_owned()),
        Shown::Json(_) => {
            let mut out = Vec::new();
            value.write(&mut out);
            replies::json_text(out)
        }
    }
}

/// Makes an empty node.
pub(super) async fn make_node(call: &Call<'_>, node: &str) -> Answer {
    writes::make_node(call, node_name(node)?).await
}

/// Makes a key with an empty string in it.
pub(super) async fn make_key(call: &Call<'_>, node: &str, key: &str) -> Answer {
    let names = (node_name(node)?, key_name(key)?);
    writes::write_key(call, names, Value::new(TEXT, []), Step::Make).await
}

/// Sets a key that is there.
pub(super) async fn set_key(call: &Call<'_>, node: &str, key: &str, body: Body) -> Answer {
    let names = (node_name(node)?, key_name(key)?);
    let received = call.take(body, Purpose::Document).await?;
    let value = values::of_body(&call.head.headers, &received.octets)?;
    writes::write_key(call, names, value, Step::Set).await
}

/// Deletes a key.
pub(super) async fn delete_key(call: &Call<'_>, node: &str, key: &str) -> Answer {
    writes::delete_key(call, node_name(node)?, key_name(key)?).await
}

/// Deletes a node with all its keys.
pub(super) async fn delete_node(call: &Call<'_>, node: &str) -> Answer {
    writes::delete_node(call, node_name(node)?).await
}
