//! The building blocks of answers: bodies that share the store's memory, and headers.

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use time::OffsetDateTime;

use crate::model::{JSON, OCTETS, Stamp, TEXT, Version, WallTime};
use crate::strong::Item;

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The answer to OPTIONS.
pub(super) fn options(allow: &'static str) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// A short text that must not be kept by caches.
pub(super) fn text(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A value of ours as JSON, that must not be kept by caches.
pub(super) fn json<T: Serialize>(status: StatusCode, body: &T) -> Response<Body> {
    let text = serde_json::to_vec(body).expect("our own types are written into a Vec");
    let mut response = json_body(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A body that is JSON already.
pub(super) fn json_body(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// May be kept, but must be asked for again with its tag.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Whatever a value is, in a browser it does nothing.
const INERT: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The headers of what is read from the store.
pub(super) fn tag_stored(headers: &mut HeaderMap, tag: HeaderValue) {
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, NO_CACHE);
    headers.insert(CONTENT_SECURITY_POLICY, INERT);
}

/// The headers of one version of a key.
pub(super) fn tag_version(headers: &mut HeaderMap, version: &Version, now: WallTime) {
    tag_stored(headers, stamp_tag(version.stamp));
    headers.insert(LAST_MODIFIED, date(version.written.min(now)));
    headers.insert(VARY, HeaderValue::from_static("accept"));
}

/// The headers of a strong key in a form of this tag.
pub(super) fn tag_item(headers: &mut HeaderMap, item: &Item, tag: HeaderValue) {
    tag_stored(headers, tag);
    headers.insert(LAST_MODIFIED, date(item.written));
    headers.insert(VARY, HeaderValue::from_static("accept"));
}

/// Not to be kept by any cache.
pub(super) fn no_store(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, NO_STORE);
}

/// A tag with its quotes.
pub(super) fn tag(text: &str) -> HeaderValue {
    written(format_args!("\"{text}\""))
}

/// A stamp as a tag.
pub(super) fn stamp_tag(stamp: Stamp) -> HeaderValue {
    written(format_args!("\"{stamp}\""))
}

/// A stored media type as a header; one that no header can carry, as octets.
pub(super) fn content_type(stored: &str) -> HeaderValue {
    match stored {
        TEXT => HeaderValue::from_static(TEXT),
        JSON => HeaderValue::from_static(JSON),
        other => HeaderValue::from_str(other).unwrap_or_else(|_| HeaderValue::from_static(OCTETS)),
    }
}

/// The octets of a version, shared with the store.
pub(super) fn octets(version: &Arc<Version>) -> Bytes {
    struct Shared(Arc<Version>);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            self.0.value().map_or(&[], |value| &value.octets)
        }
    }
    Bytes::from_owner(Shared(version.clone()))
}

/// The octets of a strong key, shared with the state of the strong side.
pub(super) fn item_octets(item: &Arc<Item>) -> Bytes {
    struct Shared(Arc<Item>);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            &self.0.value.octets
        }
    }
    Bytes::from_owner(Shared(item.clone()))
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A time as HTTP writes it (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(at: WallTime) -> HeaderValue {
    let seconds = i64::try_from(at.millis() / 1000).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let weekday = WEEKDAYS[usize::from(at.weekday().number_days_from_monday())];
    let month = MONTHS[usize::from(u8::from(at.month())) - 1];
    let (day, year) = (at.day(), at.year());
    let (hour, minute, second) = at.to_hms();
    written(format_args!(
        "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
    ))
}

fn written(text: std::fmt::Arguments<'_>) -> HeaderValue {
    let mut buffer = BytesMut::with_capacity(64);
    // A `BytesMut` grows as it must; what our own types write is visible ASCII.
    let _ = buffer.write_fmt(text);
    HeaderValue::from_maybe_shared(buffer.freeze()).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        let check =
            |millis, expected: &str| assert_eq!(date(WallTime::from_millis(millis)), expected);
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT");
        check(1_790_000_000_250, "Mon, 21 Sep 2026 14:13:20 GMT");
        check(u64::MAX, "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn a_media_type_that_no_header_carries_is_octets() {
        assert_eq!(content_type("text/css"), "text/css");
        assert_eq!(content_type(JSON), JSON);
        assert_eq!(content_type("a\nb"), OCTETS);
    }
}
