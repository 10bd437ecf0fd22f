//! `POST /v1/locks/{name}/acquire`: asks for a lock, waits for it, and gives it up again if the
//! client went away.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use serde::Deserialize;
use tokio::sync::watch;

use super::waiting::Asking;
use super::{Clocks, read, span};
use crate::api::coordination::WRITE;
use crate::api::followers::{Followers, TrySeat};
use crate::api::problem::Problem;
use crate::api::query::Query;
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::io::clock;
use crate::io::random;
use crate::io::tasks::Tasks;
use crate::protocol::Mono;
use crate::strong;
use crate::strong::engine::{Engine, Request, StrongError};
use crate::strong::{Acquire, Command, LockCommand, LockName, Millis, Nonce, Refused};

/// The lease of who does not say how long it is to be.
const TTL: Millis = Millis::seconds(10);
/// How long one try to give a request up may take.
const TRY: Duration = Duration::from_secs(5);
/// How long a client that has gone may take to come again with its `Idempotency-Key`.
const COMES_AGAIN: Duration = Duration::from_secs(15);
/// How long it is waited before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What a client asks for. All of it can be left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    ttl: Option<String>,
    max_wait: Option<String>,
    limit: Option<u32>,
    value: Option<Arc<str>>,
}

impl Wanted {
    fn acquire(self, name: LockName) -> Result<Acquire, Problem> {
        let ttl = self.ttl.map(|ttl| span("ttl", &ttl)).transpose()?;
        let wait = self.max_wait.map(|wait| span("max_wait", &wait));
        Ok(Acquire {
            name,
            nonce: Nonce::from_bytes(random::bytes16()),
            ttl: ttl.unwrap_or(TTL),
            max_wait: wait.transpose()?.unwrap_or_default(),
            limit: self.limit.unwrap_or(1),
            value: self.value,
        })
    }
}

/// Takes a lock, or waits for it as long as `max_wait` says.
pub(super) async fn acquire(call: &Call<'_>, name: LockName, body: Body) -> Answer {
    let query = Query::of(&call.head.uri, &WRITE)?;
    let wanted: Wanted = read(call, body).await?;
    let acquire = wanted.acquire(name)?;
    let mut claim = Claim::of(call, &acquire)?;
    let grant = Asking::new(call, &query, &acquire)?
        .grant(&mut claim)
        .await?;
    let engine = call.engine()?;
    let (view, _) = engine.view();
    let shown = reply::json(StatusCode::OK, &grant.shown(&Clocks::of(engine, &view)));
    let (head, text) = shown.into_parts();
    let text = axum::body::to_bytes(text, usize::MAX).await;
    let text = text.map_err(|_| Problem::internal())?;
    let handed = Handed {
        text: Some(text),
        claim,
    };
    Ok(Response::from_parts(head, Body::new(handed)))
}

/// A request for a lock whose client is there. If it is dropped before the client has its answer,
/// the request leaves the line, or gives the lock back: the client has gone, and nobody would.
///
/// A request with an `Idempotency-Key` stays for [`COMES_AGAIN`]: its client may come back and ask
/// again, here or at another member, and must find what it asked for. If it does, whoever takes
/// that looks after the request from then on.
pub(super) struct Claim {
    engine: Engine,
    tasks: Tasks,
    followers: Followers,
    author: Arc<str>,
    name: LockName,
    /// What was drawn for this try.
    drawn: Nonce,
    /// What proves the request: that of its first try.
    nonce: Nonce,
    /// How long the request can be in the way if it is not given up.
    lasts: Duration,
    /// For requests that can come again: which try came last.
    tries: Option<(TrySeat, watch::Receiver<Option<Nonce>>)>,
    is_open: bool,
}

impl Claim {
    fn of(call: &Call<'_>, acquire: &Acquire) -> Result<Self, Problem> {
        let lasts = acquire.ttl.0.saturating_add(acquire.max_wait.0);
        let followers = call.api.followers.clone();
        let is_repeatable = call.is_repeatable();
        Ok(Self {
            engine: call.engine()?.clone(),
            tasks: call.api.parts.tasks.clone(),
            tries: is_repeatable.then(|| followers.tries(acquire.nonce)),
            followers,
            author: call.user.name.clone(),
            name: acquire.name.clone(),
            drawn: acquire.nonce,
            nonce: acquire.nonce,
            lasts: Duration::from_millis(lasts).max(TRY),
            is_open: true,
        })
    }

    /// Whether the client can come again.
    pub(super) fn is_repeatable(&self) -> bool {
        self.tries.is_some()
    }

    /// The request is an earlier one, which this nonce proves.
    pub(super) fn is_of(&mut self, nonce: Nonce) {
        self.nonce = nonce;
        self.tries = Some(self.followers.tries(nonce));
    }

    /// The request has come to its end: there is nothing to give up.
    pub(super) fn close(&mut self) {
        self.is_open = false;
    }

    /// Gives the request up once.
    pub(super) fn give_up(
        &self,
    ) -> impl Future<Output = Result<strong::Answer, StrongError>> + use<> {
        let request = Request {
            author: self.author.clone(),
            request: None,
            fences: Vec::new(),
            command: Command::Lock(LockCommand::Release {
                name: self.name.clone(),
                nonce: self.nonce,
            }),
        };
        let engine = self.engine.clone();
        async move { engine.propose(request, TRY).await }
    }

    /// Completes when a later try is under way, if there is one.
    async fn comes_again(&mut self) {
        let drawn = self.drawn;
        if let Some((_, tries)) = &mut self.tries {
            let later = |last: &Option<Nonce>| last.is_some_and(|last| last != drawn);
            if tries.wait_for(later).await.is_ok() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // When the runtime ends, so does the member.
        if !self.is_open || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let gone = Self {
            engine: self.engine.clone(),
            tasks: self.tasks.clone(),
            followers: self.followers.clone(),
            author: self.author.clone(),
            name: self.name.clone(),
            tries: self.tries.take(),
            is_open: false,
            ..*self
        };
        self.tasks.spawn_until_stop(withdraw(gone));
    }
}

/// Gives a request up whose client went away, until that is certain.
async fn withdraw(mut claim: Claim) {
    if claim.is_repeatable() {
        tokio::select! {
            () = claim.comes_again() => return,
            () = tokio::time::sleep(COMES_AGAIN) => {}
        }
    }
    let end: Mono = clock::mono().plus(claim.lasts);
    let mut unknown = 0;
    loop {
        match claim.give_up().await {
            // It may be on its way to the leader still, for its client went at any time.
            Ok(Err(Refused::WrongNonce | Refused::LockNotFound)) if unknown < 1 => unknown += 1,
            Ok(_) => return,
            Err(error) => tracing::debug!(%error, "a request for a lock is given up again"),
        }
        if clock::mono() >= end {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The body of an answer that grants a lock: if it is not taken, the lock is given back.
struct Handed {
    text: Option<Bytes>,
    claim: Claim,
}

impl http_body::Body for Handed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.claim.close();
        Poll::Ready(self.text.take().map(|text| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text.as_ref().map_or(0, Bytes::len) as u64)
    }
}
