//! The door for peers: `/v1/peer/…`, open only to members that showed a leaf of the cluster's CA.
//!
//! Bodies are messages of [`crate::protocol::message`]. To everybody else these paths do not exist.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};

use crate::app::{App, Arrival, DiskHistory, Strong, Upkeep};
use crate::io::serve::Connection;
use crate::io::tasks::Tasks;
use crate::model::{HybridTime, MemberId, Source, Standing, Store};
use crate::protocol::message::{About, Ask, Claim, Packed, Reply, Taken, decode, encode};
use crate::protocol::sync::answer;

use super::problem::{Code, Problem};

mod raft;

/// The largest body that a peer may send: a message, or one value of the greatest size allowed.
const BODY_BYTES: usize = 128 << 20;

/// The largest body with datagrams.
const DATAGRAMS_BYTES: usize = 64 << 10;

/// Takes a peer's membership state, or datagrams of its, and gives ours.
pub type Exchanger =
    Arc<dyn Fn(MemberId, Bytes) -> BoxFuture<'static, Result<Bytes, Problem>> + Send + Sync>;

/// Takes note of what a peer told of itself.
pub type Meeter = Arc<dyn Fn(MemberId, About) + Send + Sync>;

/// What the door leads to.
#[derive(Clone)]
pub struct PeerParts {
    /// The store.
    pub app: App,
    /// The strong side.
    pub strong: Strong,
    /// Where blocking work is done.
    pub tasks: Tasks,
    /// Who takes exchanges of the membership state.
    pub exchange: Exchanger,
    /// Who takes datagrams that do not get through otherwise.
    pub relay: Exchanger,
    /// Who hears what peers tell of themselves.
    pub met: Meeter,
    /// Exchanges that peers began: pushes, and comparisons of the stores.
    pub taken: Arc<AtomicU64>,
}

/// Where the paths of the door begin.
pub(super) const PEER_PATHS: &str = "/v1/peer/";

/// The routes for peers.
pub fn router(parts: PeerParts) -> Router {
    Router::new()
        .route("/v1/peer/push", any(ask))
        .route("/v1/peer/sync", any(ask))
        .route("/v1/peer/members", any(members))
        .route("/v1/peer/datagrams", any(datagrams))
        .route("/v1/peer/raft/{matter}", any(raft::take))
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
    let large = "a message between members is at most 128 MiB";
    body_of(request, BODY_BYTES, large).await
}

async fn body_of(request: Request, most: usize, large: &'static str) -> Result<Bytes, Problem> {
    let body: Body = request.into_body();
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => Err(Problem::new(Code::BodyTooLarge, large)),
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
    let reply = reply(parts, from, ask).await?;
    Ok((StatusCode::OK, encode(&reply)).into_response())
}

async fn reply(parts: &PeerParts, from: MemberId, ask: Ask) -> Result<Reply, Problem> {
    let app = &parts.app;
    if matches!(ask, Ask::Push { .. } | Ask::Meet(_)) {
        parts.taken.fetch_add(1, Ordering::Relaxed);
    }
    if let Ask::Standings(told) = ask {
        app.upkeep(Upkeep::Standings(told)).await?;
        return Ok(Reply::Standings(decisions(&app.view().store)));
    }
    if app.view().store.is_forgotten(from) {
        return Ok(Reply::Forgotten);
    }
    let (changes, claims, source) = match ask {
        Ask::Push { changes, claim } => {
            // What was refused is not here, so nothing is claimed for it.
            let claim = claim.filter(|_| changes.refused.is_empty());
            let claims = claim.map(|claim| (from, claim)).into_iter().collect();
            (changes, claims, Source::Push(from))
        }
        Ask::Include(vector) => {
            let base = HybridTime::default();
            let claim = |(origin, upto)| (origin, Claim { base, upto });
            let claims = vector.into_iter().map(claim).collect();
            (Packed::default(), claims, Source::Sync(from))
        }
        Ask::Position => {
            let has = app.view().store.vector().get(from);
            let taken = Taken {
                has,
                ..Taken::default()
            };
            return Ok(Reply::Taken(taken));
        }
        ask => {
            if let Ask::Meet(about) = &ask {
                // First, for the answer must not claim own writes that this member lost. A disk
                // that takes none is no reason not to answer.
                let ours = about.version_vector().get(app.member());
                drop(app.upkeep(Upkeep::Lift(ours)).await);
                (parts.met)(from, about.clone());
            }
            return look_up(parts, ask).await;
        }
    };
    for why in &changes.refused {
        tracing::error!(peer = %from, %why, "a change that is none was refused");
    }
    let arrival = Arrival {
        source,
        changes: changes.changes,
        claims,
    };
    let merging = app.merge(arrival).await?;
    if !merging.whole {
        // Whoever sent it must not take it for being here.
        let detail = "a change met a damaged row of this member and was left out";
        return Err(Problem::new(Code::Internal, detail));
    }
    Ok(Reply::Taken(Taken {
        new: merging.new as u64,
        has: merging.has,
        refused: changes.refused,
    }))
}

/// The decisions to forget members.
fn decisions(store: &Store) -> Vec<(MemberId, Standing)> {
    let all = store.members();
    let decided = all.filter(|(_, standing)| standing.forgotten().is_some());
    decided
        .map(|(member, standing)| (member, (**standing).clone()))
        .collect()
}

/// Answers a question of a sync, on a thread that may block.
async fn look_up(parts: &PeerParts, ask: Ask) -> Result<Reply, Problem> {
    let (view, history) = (parts.app.view(), DiskHistory(parts.app.disk().clone()));
    let about = parts.app.clone();
    let reply = parts
        .tasks
        .blocking(move || {
            let about = || about.about(&view.store);
            answer(&view.store, &history, about, ask)
        })
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

async fn datagrams(State(parts): State<PeerParts>, request: Request) -> Response {
    relay(&parts, request)
        .await
        .unwrap_or_else(Problem::into_response)
}

async fn relay(parts: &PeerParts, request: Request) -> Result<Response, Problem> {
    let from = caller(&request)?;
    let large = "datagrams carried over HTTPS are at most 64 KiB at once";
    let datagrams = body_of(request, DATAGRAMS_BYTES, large).await?;
    let answer = (parts.relay)(from, datagrams).await?;
    Ok((StatusCode::OK, answer).into_response())
}
