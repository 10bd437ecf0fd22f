//! `/v1/store/{node}/{key}`: one value, raw or with what is known about it.

use std::sync::Arc;

use axum::body::Body;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, Response, StatusCode};

use crate::api::accept::{Form, form};
use crate::api::body::Purpose;
use crate::api::conditions;
use crate::api::json::{write_text, write_value};
use crate::api::media;
use crate::api::problem::{Code, Problem};
use crate::api::reply;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::app::{Edit, View, Written};
use crate::model::{KeyName, NodeName, Stamp, Value, Version, WallTime};

/// The value. This is the one path that must be fast: no name is checked that is found, and the
/// octets are the store's own.
pub(super) fn get(call: &Call<'_>, node: &str, key: &str) -> Answer {
    let (node, key) = (decode(node)?, decode(key)?);
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

fn raw(version: &Arc<Version>, stored: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(reply::octets(version)));
    let typ = reply::content_type(stored);
    response.headers_mut().insert(CONTENT_TYPE, typ);
    response
}

/// The value with its metadata, as JSON.
fn described(node: &str, key: &str, version: &Version, now: WallTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut member = |name: &str, text: &str| {
        out.push(if out.is_empty() { b'{' } else { b',' });
        write_text(&mut out, name);
        out.push(b':');
        write_text(&mut out, text);
    };
    member("node", node);
    member("key", key);
    member("stamp", &version.stamp.to_string());
    member("author", &version.author);
    member("member", &version.stamp.member.to_string());
    member("written", &version.written.to_string());
    if let Some(value) = version.value() {
        member("content_type", &value.content_type);
        out.extend_from_slice(br#","value":"#);
        write_value(&mut out, value);
    }
    if let Some(expires) = version.expires {
        let left = expires.millis().saturating_sub(now.millis());
        out.extend_from_slice(format!(r#","ttl_ms":{left}"#).as_bytes());
    }
    out.push(b'}');
    out
}

/// Why nothing is there: the names are none, or the node is not there, or the key is not in it.
fn missing(view: &View, node: &str, key: &str) -> Problem {
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
    let condition = conditions::for_write(&call.head.headers)?;
    let content_type = media::of_value(&call.head.headers)?;
    let received = call.take(body, Purpose::Value).await?;
    let octets = &*received.octets;
    let value = match content_type {
        Some(content_type) => Value::new(content_type, octets),
        None => Value::untyped(octets),
    };
    let written = call
        .write(Edit::SetKey { node, key, value }, condition)
        .await?;
    Ok(done(call, &written, written.stamp))
}

/// Deletes the key.
pub(super) async fn delete(call: &Call<'_>, node: &str, key: &str) -> Answer {
    let (node, key) = names(node, key)?;
    let condition = conditions::for_write(&call.head.headers)?;
    call.write(Edit::DeleteKey { node, key }, condition).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn names(node: &str, key: &str) -> Result<(NodeName, KeyName), Problem> {
    Ok((decode(node)?.parse()?, decode(key)?.parse()?))
}

/// 201 with its place for what is new, 204 for what was replaced; with its tag, if it has one.
pub(super) fn done(call: &Call<'_>, written: &Written, tag: Option<Stamp>) -> Response<Body> {
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::NO_CONTENT
    };
    let mut response = reply::empty(status);
    if let Some(stamp) = tag {
        response.headers_mut().insert(ETAG, reply::stamp_tag(stamp));
    }
    if written.created
        && let Ok(place) = HeaderValue::from_str(call.head.uri.path())
    {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}
