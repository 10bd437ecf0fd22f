//! The answer with many keys: `key=value` and a line feed for each that was found.
//!
//! It is ambiguous where a value holds a line feed or a key an `=`, as it always was; `GET
//! /map/{key}` is not. The values are the store's own memory, handed over piece by piece, so a long
//! list costs no copy of it.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;

use crate::api::problem::Problem;

/// What was found so far.
#[derive(Default)]
pub(super) struct Listing {
    pieces: Vec<Bytes>,
}

impl Listing {
    /// Adds a key with its value.
    pub(super) async fn push(&mut self, key: &str, value: Body) -> Result<(), Problem> {
        let value = value.collect().await.map_err(|_| Problem::internal())?;
        self.pieces.push(format!("{key}=").into());
        self.pieces.push(value.to_bytes());
        self.pieces.push(Bytes::from_static(b"\n"));
        Ok(())
    }

    /// The answer; none if nothing was found.
    pub(super) fn answer(self) -> Option<Response<Body>> {
        if self.pieces.is_empty() {
            return None;
        }
        let length: u64 = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        let pieces = self.pieces.into_iter().filter(|piece| !piece.is_empty());
        let body = Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)));
        let mut response = Response::new(body);
        *response.headers_mut() = HeaderMap::from_iter([
            (
                CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            ),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (CONTENT_LENGTH, length.into()),
        ]);
        Some(response)
    }
}
