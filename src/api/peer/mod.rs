//! The door for peers: `/v1/peer/…`, open only to members that showed a leaf of the cluster's CA.
//!
//! Bodies are messages of [`crate::protocol::message`]. To everybody else these paths do not exist.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};

use crate::app::{App, DiskHistory};
use crate::io::serve::Connection;
use crate::io::tasks::Tasks;
use crate::model::MemberId;
use crate::protocol::message::{Ask, Reply, decode, encode};
use crate::protocol::sync::answer;

use super::problem::{Code, Problem};

/// The largest body that a peer may send: a message, or one value of the greatest size allowed.
const BODY_BYTES: usize = 128 << 20;

/// Takes a peer's membership state and gives ours.
pub type Exchanger =
    Arc<dyn Fn(MemberId, Bytes) -> BoxFuture<'static, Result<Bytes, Problem>> + Send + Sync>;

/// What the door leads to.
#[derive(Clone)]
pub struct PeerParts {
    /// The store.
    pub app: App,
    /// Where blocking work is done.
    pub tasks: Tasks,
    /// Who takes exchanges of the membership state.
    pub exchange: Exchanger,
}

/// Where the paths of the door begin.
pub(super) const PEER_PATHS: &str = "/v1/peer/";

/// The routes for peers.
pub fn router(parts: PeerParts) -> Router {
    Router::new()
        .route("/v1/peer/push", any(ask))
        .route("/v1/peer/sync", any(ask))
        .route("/v1/peer/members", any(members))
        .layer(DefaultBodyLimit::disable())
        .with_state(parts)
}

/// The member that calls: its leaf was verified by the handshake, and is for the id that it claims.
fn caller(request: &Request) -> Result<MemberId, Problem> {
    let leaf = request
        .extensions()
        .get::<Connection>()
        .and_then(|at| at.peer.as_ref());
    let claimed = request
        .headers()
        .get("gaggle-member")
        .and_then(|id| id.to_str().ok());
    let claimed: Option<MemberId> = claimed.and_then(|id| id.parse().ok());
    match (leaf, claimed) {
        (Some(leaf), Some(member)) if leaf.is(member) => match *request.method() {
            Method::POST => Ok(member),
            _ => Err(Problem::method_not_allowed("POST")),
        },
        _ => Err(Problem::not_found()),
    }
}

async fn body(request: Request) -> Result<Bytes, Problem> {
    let body: Body = request.into_body();
    match Limited::new(body, BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => Err(Problem::new(
            Code::BodyTooLarge,
            "a message between members is at most 128 MiB",
        )),
    }
}

async fn ask(State(parts): State<PeerParts>, request: Request) -> Response {
    take(&parts, request)
        .await
        .unwrap_or_else(Problem::into_response)
}

async fn take(parts: &PeerParts, request: Request) -> Result<Response, Problem> {
    let from = caller(&request)?;
    let body = body(request).await?;
    let ask: Ask =
        decode(&body).map_err(|error| Problem::new(Code::InvalidBody, error.to_string()))?;
    let reply = match ask {
        Ask::Push(changes) => Reply::Taken(parts.app.merge(from, changes).await? as u64),
        ask => look_up(parts, ask).await?,
    };
    Ok((StatusCode::OK, encode(&reply)).into_response())
}

/// Answers a question of a sync, on a thread that may block.
async fn look_up(parts: &PeerParts, ask: Ask) -> Result<Reply, Problem> {
    let (view, history) = (parts.app.view(), DiskHistory(parts.app.disk().clone()));
    let reply = parts
        .tasks
        .blocking(move || answer(&view.store, &history, ask))
        .await;
    match reply {
        Some(Ok(Some(reply))) => Ok(reply),
        Some(Err(error)) => {
            tracing::error!(%error, "the history cannot be read");
            Err(Problem::internal())
        }
        Some(Ok(None)) | None => Err(Problem::internal()),
    }
}

async fn members(State(parts): State<PeerParts>, request: Request) -> Response {
    exchange(&parts, request)
        .await
        .unwrap_or_else(Problem::into_response)
}

async fn exchange(parts: &PeerParts, request: Request) -> Result<Response, Problem> {
    let from = caller(&request)?;
    let state = body(request).await?;
    let state = (parts.exchange)(from, state).await?;
    Ok((StatusCode::OK, state).into_response())
}
