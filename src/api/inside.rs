//! The same resources for the other faces of this process: what a face asks in its own name, past
//! the check of credentials, which a face that has none must make up for by where it listens.
//!
//! A face turns what it is asked into a request for `/v1/store/…` and the answer back. So it has
//! the same limits, the same two classes of nodes, and the same acknowledgements as everybody else,
//! and there is one place where a value is read and written.

use std::sync::Arc;

use axum::body::Body;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::{KeyName, NameError, NodeName};

use super::auth::Principal;
use super::problem::Problem;
use super::route::Route;
use super::server::{Api, Call, Verb, finish};
use super::v1;

/// What must not stand in a path as it is; all but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The resources, asked by a face.
#[derive(Clone)]
pub struct Inside {
    api: Arc<Api>,
    author: Principal,
}

impl Inside {
    pub(super) fn new(api: Arc<Api>, author: Principal) -> Self {
        Self { api, author }
    }

    /// The longest name that may be written, in bytes.
    pub fn name_limit(&self) -> usize {
        self.api.parts.app.limits().name_bytes
    }

    /// Does to a key what `PUT`, `GET` or `DELETE /v1/store/{node}/{key}` would.
    pub async fn key(&self, node: &NodeName, key: &KeyName, asked: Asked) -> Response<Body> {
        let path = format!(
            "/v1/store/{}/{}",
            encoded(node.as_str()),
            encoded(key.as_str())
        );
        let Ok(uri) = path.parse() else {
            return Problem::from(NameError::Encoding).into_response();
        };
        let mut request = Request::new(());
        *request.method_mut() = asked.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = asked.headers;
        let head = request.into_parts().0;
        let call = Call {
            api: &self.api,
            head: &head,
            user: self.author.clone(),
            verb: Verb::of(&head.method),
        };
        let answer = v1::answer(&call, Route::of(&path), asked.body).await;
        let mut response = answer.unwrap_or_else(Problem::into_response);
        finish(&head.method, &mut response);
        response
    }
}

/// A name as a path has it.
pub fn encoded(name: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(name, ENCODED)
}

/// What is asked of a key.
#[derive(Debug)]
pub struct Asked {
    /// What to do.
    pub method: Method,
    /// Conditions, and what the body is.
    pub headers: HeaderMap<HeaderValue>,
    /// The value to write; else empty.
    pub body: Body,
}

impl Asked {
    /// To read it.
    pub fn read(headers: HeaderMap) -> Self {
        Self {
            method: Method::GET,
            headers,
            body: Body::empty(),
        }
    }
}
