//! Messages between the engines of the strong side.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::strong::engine::Matter;

use super::{PeerParts, body, caller};
use crate::api::problem::{Code, Problem};

/// Answers a message.
pub(super) async fn take(
    State(parts): State<PeerParts>,
    Path(matter): Path<String>,
    request: Request,
) -> Response {
    let answered = answer(&parts, &matter, request).await;
    answered.unwrap_or_else(Problem::into_response)
}

async fn answer(parts: &PeerParts, matter: &str, request: Request) -> Result<Response, Problem> {
    let from = caller(&request)?;
    let about = Matter::ALL.into_iter().find(|it| it.word() == matter);
    let about = about.ok_or_else(Problem::not_found)?;
    let engine = parts.strong.engine()?;
    let body = body(request).await?;
    let answer = engine.take(from, about, &body).await;
    let answer = answer.map_err(|why| Problem::new(Code::InvalidBody, why.to_string()))?;
    Ok((StatusCode::OK, answer).into_response())
}
