//! Server-sent events: answers without an end, one event after the other as it happens.
//!
//! Whoever has something to tell is a [`Feed`]. It is asked for more only when the client has taken
//! what there was, so that a slow client holds nothing here but its place; one that takes nothing
//! for long is cut off by whoever serves. Streams end when the member is about to stop.

use std::convert::Infallible;
use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::strong::engine::Engine;

use super::problem::{Code, Problem};
use super::server::Call;

/// How many streams may be open at once.
const LIMIT: usize = 1_000;
/// How often a stream shows that it is alive when nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a stream begins with: after how many milliseconds a client that lost it comes again.
const OPENING: &str = "retry: 1000\n\n";
/// Tells nginx to pass events on as they come.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What a stream tells.
pub(super) trait Feed: Send + 'static {
    /// The next events, once there are some; none: there will be no more. Can be dropped while it
    /// waits without losing anything.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;

    /// What is told, as a comment, when nothing has happened for a while: one line.
    fn sign_of_life(&self) -> String;
}

/// The streams of this member that are open. Cheap to clone.
#[derive(Clone)]
pub(super) struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LIMIT)))
    }
}

impl Streams {
    /// How many are open.
    pub(super) fn open(&self) -> usize {
        LIMIT - self.0.available_permits()
    }

    /// A place for one more.
    ///
    /// # Errors
    /// `overloaded` if there is none.
    pub(super) fn enter(&self) -> Result<Place, Problem> {
        let permit = self.0.clone().try_acquire_owned();
        permit.map(Place).map_err(|_| {
            let detail = format!("this member serves {LIMIT} streams of events already");
            Problem::new(Code::Overloaded, detail)
                .hint("ask another member")
                .retry_after(5)
        })
    }
}

/// A place among the streams.
pub(super) struct Place(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// The answer that tells what a feed has.
pub(super) fn answer(call: &Call<'_>, place: Place, feed: impl Feed) -> Response<Body> {
    let stream = Running {
        feed,
        app: call.api.parts.app.clone(),
        has_begun: false,
        _place: place,
    };
    let stream = futures_util::stream::unfold(stream, Running::step);
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

struct Running<F> {
    feed: F,
    app: App,
    has_begun: bool,
    _place: Place,
}

impl<F: Feed> Running<F> {
    async fn step(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some((Ok(Bytes::from_static(OPENING.as_bytes())), self));
        }
        let piece = tokio::select! {
            biased;
            () = self.app.health().leaving() => None,
            next = self.feed.next() => next,
            () = tokio::time::sleep(HEARTBEAT) => {
                Some(format!(": {}\n\n", self.feed.sign_of_life()).into())
            }
        };
        piece.map(|piece| (Ok(piece), self))
    }
}

/// For how long nobody has confirmed what a stream of the strong side goes by: a member that is cut
/// off from the majority goes on telling what it knows, but that is old.
pub(super) fn age(engine: &Engine) -> String {
    match engine.view().1 {
        Some(age) => format!("age_ms={}", age.as_millis()),
        None => "age_ms=unknown".to_owned(),
    }
}

/// Writes one event. A line break in the data, of whichever kind, comes out as a line feed.
pub(super) fn write(out: &mut Vec<u8>, name: &str, id: Option<&dyn Display>, data: &str) {
    let written = match id {
        Some(id) => writeln!(out, "event: {name}\nid: {id}"),
        None => writeln!(out, "event: {name}"),
    };
    written.expect("a Vec takes everything");
    let mut rest = data;
    loop {
        let line = rest.find(['\r', '\n']);
        let (text, next) = rest.split_at(line.unwrap_or(rest.len()));
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
        if line.is_none() {
            break;
        }
        rest = next.strip_prefix("\r\n").unwrap_or(&next[1..]);
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_line_of_data_for_each_line() {
        let event = |id: Option<&dyn Display>, data: &str| {
            let mut out = Vec::new();
            write(&mut out, "e", id, data);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(event(Some(&7), "{}"), "event: e\nid: 7\ndata: {}\n\n");
        let three = "event: e\ndata: a\ndata: b\ndata: \ndata: c\n\n";
        assert_eq!(event(None, "a\nb\r\n\rc"), three);
        assert_eq!(event(None, ""), "event: e\ndata: \n\n");
    }

    #[test]
    fn there_are_only_so_many_places() {
        let streams = Streams::default();
        let mut places: Vec<Place> = (0..LIMIT).map(|_| streams.enter().unwrap()).collect();
        let refused = streams.enter().err().unwrap();
        assert_eq!(refused.code, Code::Overloaded);
        assert_eq!(streams.open(), LIMIT);
        places.pop();
        assert!(streams.enter().is_ok());
    }
}
