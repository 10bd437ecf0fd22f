//! Answers as the original gave them: the reason phrase as text, JSON, or text that calls itself
//! HTML.
//!
//! A text is sent as `text/html`, as clients of the original expect it, but with a policy by which
//! a browser does nothing with it, whatever it is.

use axum::body::Body;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::api::problem::{Code, Problem};

/// What went wrong, in words that the body has no room for: it holds the reason phrase.
const PROBLEM: HeaderName = HeaderName::from_static("gaggle-problem");
/// The most of it that is told, in bytes.
const PROBLEM_BYTES: usize = 300;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const INERT: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
/// Without quotes, as the original wrote it.
const REALM: HeaderValue = HeaderValue::from_static("Basic realm=Authorization Required");

fn with(status: StatusCode, content_type: HeaderValue, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(CONTENT_SECURITY_POLICY, INERT);
    response
}

/// A status with its reason phrase.
pub(super) fn status(status: StatusCode) -> Response<Body> {
    let reason = status.canonical_reason().unwrap_or("Unknown");
    with(status, PLAIN, reason)
}

/// A text.
pub(super) fn text(body: impl Into<Body>) -> Response<Body> {
    with(StatusCode::OK, HTML, body)
}

/// What is JSON already.
pub(super) fn json_text(body: impl Into<Body>) -> Response<Body> {
    with(StatusCode::OK, JSON, body)
}

/// A value of ours as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Response<Body> {
    json_text(serde_json::to_vec(value).expect("our own types are written into a Vec"))
}

/// The answer to OPTIONS: it needs no credentials and tells nothing but what is in the docs.
pub(super) fn options(allow: &'static str) -> Response<Body> {
    let mut response = text(allow);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// There is nothing at this path for this method.
pub(super) fn cannot(head: &Parts) -> Response<Body> {
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = format!("Cannot {} {}", head.method, escaped(path));
    with(StatusCode::NOT_FOUND, HTML, body)
}

/// A text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A problem as clients of the original know it: the status and its reason phrase. What it was goes
/// into a header.
pub(in crate::api) fn refusal(problem: &Problem, head: &Parts) -> Response<Body> {
    if matches!(problem.code, Code::NotFound | Code::MethodNotAllowed) {
        return cannot(head);
    }
    let mut response = status(problem.code.status());
    let headers = response.headers_mut();
    if problem.code == Code::Unauthorized {
        headers.insert(WWW_AUTHENTICATE, REALM);
        return response;
    }
    headers.insert(PROBLEM, told(problem));
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The code and the detail in visible ASCII.
fn told(problem: &Problem) -> HeaderValue {
    let text = format!("{}: {}", problem.code.as_str(), problem.detail);
    let visible = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    let text: String = text.chars().map(visible).take(PROBLEM_BYTES).collect();
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// It was done.
pub(super) fn done() -> Response<Body> {
    status(StatusCode::OK)
}

/// It was made.
pub(super) fn created() -> Response<Body> {
    status(StatusCode::CREATED)
}

/// It is there already.
pub(super) fn exists() -> Response<Body> {
    status(StatusCode::CONFLICT)
}

/// It is not there.
pub(super) fn missing() -> Response<Body> {
    status(StatusCode::NOT_FOUND)
}

/// A body that this face cannot take.
pub(super) fn bad_body(why: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::InvalidBody, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, uri: &str) -> Parts {
        let request = http::Request::builder().method(method).uri(uri);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_path_is_shown_as_text() {
        let answer = cannot(&head("GET", "/api/nope?a='b'&c"));
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        assert_eq!(answer.headers()[CONTENT_TYPE], HTML);
        assert_eq!(escaped("<a&\"b'>"), "&lt;a&amp;&quot;b&#39;&gt;");
    }

    #[test]
    fn a_problem_is_its_status_and_says_in_a_header_what_it_was() {
        let problem = Problem::new(Code::InvalidBody, format!("the väl\nue{}", "x".repeat(999)));
        let answer = refusal(&problem, &head("PUT", "/api/store/a/b"));
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let told = answer.headers()[&PROBLEM].to_str().unwrap();
        assert!(told.starts_with("invalid-body: the v?l?uexxx"), "{told}");
        assert_eq!(told.len(), PROBLEM_BYTES);
        let answer = refusal(&Problem::unauthorized(), &head("GET", "/api/store"));
        assert_eq!(answer.headers()[WWW_AUTHENTICATE], REALM);
        assert!(!answer.headers().contains_key(&PROBLEM));
    }
}
