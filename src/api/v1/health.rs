//! `/livez` and `/readyz`: open to all, constant, and without a secret.

use axum::body::Body;
use http::request::Parts;
use http::{Response, StatusCode};
use serde::Serialize;

use crate::api::guard;
use crate::api::reply;
use crate::api::server::{Answer, Api, Call};
use crate::app;

/// Whether this process answers: it does.
pub(super) fn live(head: &Parts) -> Answer {
    guard::no_query(&head.uri)?;
    Ok(reply::text(StatusCode::OK, "ok"))
}

/// Whether this member takes requests, in a word. None if more was asked for, which needs
/// credentials.
pub(super) fn ready(api: &Api, head: &Parts) -> Option<Answer> {
    match guard::is_verbose(&head.uri) {
        Err(problem) => Some(Err(problem)),
        Ok(true) => None,
        Ok(false) => Some(Ok(match api.parts.app.health().first_failure() {
            None => reply::text(StatusCode::OK, "ready"),
            Some(code) => reply::text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not ready: {code}"),
            ),
        })),
    }
}

#[derive(Serialize)]
struct Verbose {
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    code: &'static str,
    ok: bool,
    severity: &'static str,
    detail: String,
}

/// Every check with its reason.
pub(super) fn verbose(call: &Call<'_>) -> Response<Body> {
    let checks = call.api.parts.checks();
    let ready = !checks.iter().any(app::Check::is_failure);
    let checks: Vec<Check> = checks
        .into_iter()
        .map(|check| Check {
            code: check.code,
            ok: check.ok,
            severity: check.severity.word(),
            detail: check.detail,
        })
        .collect();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    reply::json(status, &Verbose { ready, checks })
}
