//! `/v1/store/{node}/{key}`: one value, raw or with what is known about it.

use std::sync::Arc;

use axum::body::Body;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, Response, StatusCode};

use super::strong_key;
use super::version::{write_fields, write_member};
use crate::api::accept::{Form, form};
use crate::api::body::Purpose;
use crate::api::classes::{self, Found, IfMissing, Target};
use crate::api::conditions;
use crate::api::media;
use crate::api::problem::{Code, Problem};
use crate::api::query::Query;
use crate::api::reply;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::app::{Edit, View, Written};
use crate::model::{KeyName, NodeName, Stamp, Value, Version, WallTime};

/// The value. This is the one path that must be fast: no name is checked that is found, and the
/// octets are the store's own.
pub(super) async fn get(call: &Call<'_>, node: &str, key: &str) -> Answer {
    let (node, key) = (decode(node)?, decode(key)?);
    let query = Query::of(&call.head.uri, &classes::READ)?;
    if let Found::Strong(fresh) = call.found(&node, &query).await? {
        return strong_key::get(call, &fresh, &node, &key);
    }
    let (view, now) = (call.view(), call.now());
    let Some(version) = view.store.get(&node, &key, now) else {
        return Err(missing(&view, &node, &key));
    };
    let headers = &call.head.headers;
    let stored = version.value().map_or("", |value| &*value.content_type);
    let form = form(headers, stored);
    let unchanged =
        conditions::are_any(headers) && conditions::unchanged(headers, &form.tag(version.stamp))?;
    let mut response = match form {
        _ if unchanged => reply::empty(StatusCode::NOT_MODIFIED),
        Form::Raw => raw(version, stored),
        Form::Json => reply::json_body(Body::from(described(&node, &key, version, now))),
    };
    reply::tag_version(response.headers_mut(), version, now);
    if let Form::Json = form {
        let tag = reply::tag(&form.tag(version.stamp));
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

impl Form {
    /// The tag of a version in this form: two forms of one version are not the same octets.
    fn tag(self, stamp: Stamp) -> String {
        match self {
            Self::Raw => stamp.to_string(),
            Self::Json => format!("{stamp}{}", conditions::JSON_FORM),
        }
    }
}

/// The octets of a version, with the media type that they were stored with.
pub(super) fn raw(version: &Arc<Version>, stored: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(reply::octets(version)));
    let typ = reply::content_type(stored);
    response.headers_mut().insert(CONTENT_TYPE, typ);
    response
}

/// The value with its metadata, as JSON.
fn described(node: &str, key: &str, version: &Version, now: WallTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.push(b'{');
    write_member(&mut out, "node", node);
    out.push(b',');
    write_member(&mut out, "key", key);
    out.push(b',');
    write_fields(&mut out, version, now);
    out.push(b'}');
    out
}

/// Why nothing is there: the names are none, or the node is not there, or the key is not in it.
pub(super) fn missing(view: &View, node: &str, key: &str) -> Problem {
    if let Err(error) = node.parse::<NodeName>() {
        return error.into();
    }
    if let Err(error) = key.parse::<KeyName>() {
        return error.into();
    }
    match view.store.node(node) {
        Some(_) => Problem::new(Code::KeyNotFound, "there is no such key in this node"),
        None => Problem::new(Code::NodeNotFound, "there is no such node"),
    }
}

/// Sets the value to the octets of the body.
pub(super) async fn put(call: &Call<'_>, node: &str, key: &str, body: Body) -> Answer {
    let (node, key) = names(node, key)?;
    let target = call.target(&node, IfMissing::Make).await?;
    let condition = conditions::for_write(&call.head.headers)?;
    let content_type = media::of_value(&call.head.headers)?;
    let received = call.take(body, Purpose::Value).await?;
    let octets = &*received.octets;
    let value = match content_type {
        Some(content_type) => Value::new(content_type, octets),
        None => Value::untyped(octets),
    };
    if let Target::Strong(query) = target {
        return strong_key::put(call, &query, (node, key), value).await;
    }
    let written = call
        .write(Edit::SetKey { node, key, value }, condition)
        .await?;
    Ok(done(call, &written, written.stamp))
}

/// Deletes the key.
pub(super) async fn delete(call: &Call<'_>, node: &str, key: &str) -> Answer {
    let (node, key) = names(node, key)?;
    if let Target::Strong(query) = call.target(&node, IfMissing::Fail).await? {
        return strong_key::delete(call, &query, (node, key)).await;
    }
    let condition = conditions::for_write(&call.head.headers)?;
    call.write(Edit::DeleteKey { node, key }, condition).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// The names in a path.
pub(super) fn names(node: &str, key: &str) -> Result<(NodeName, KeyName), Problem> {
    Ok((decode(node)?.parse()?, decode(key)?.parse()?))
}

/// 201 with its place for what is new, 204 for what was replaced; with its tag, if it has one.
pub(super) fn done(call: &Call<'_>, written: &Written, tag: Option<Stamp>) -> Response<Body> {
    answer(call, written.created, tag.map(reply::stamp_tag))
}

/// The same for what is known of any write.
pub(super) fn answer(call: &Call<'_>, created: bool, tag: Option<HeaderValue>) -> Response<Body> {
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::NO_CONTENT
    };
    let mut response = reply::empty(status);
    if let Some(tag) = tag {
        response.headers_mut().insert(ETAG, tag);
    }
    if created && let Ok(place) = HeaderValue::from_str(call.head.uri.path()) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}
