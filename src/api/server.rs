//! The way of a request through this face: open or not, who asks, what for, the answer, the count.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Either;
use http::header::{CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::{Body as _, Frame};

use crate::app::{
    App, BlockList, Check, Condition, Edit, Request as EditRequest, Strong, View, Written,
};
use crate::io::clock;
use crate::io::recent::Recent;
use crate::io::serve::Answerer;
use crate::io::tasks::Tasks;
use crate::model::{ClusterId, MemberId, WallTime};
use crate::protocol::Mono;

use super::acking::Acking;
use super::auth::{Auth, Principal};
use super::body::{Bodies, Purpose, Received};
use super::events::Streams;
use super::followers::Followers;
use super::gaggle07;
use super::guard;
use super::inside::Inside;
use super::media;
use super::metrics::Metrics;
use super::peer::PEER_PATHS;
use super::problem::Problem;
use super::reply;
use super::route::Route;
use super::session;
use super::v1::{self, MemberDirectory, ZgossipDirectory};

/// What this face works with.
pub struct ApiParts {
    /// The member's store.
    pub app: App,
    /// The strong side.
    pub strong: Strong,
    /// Who may ask.
    pub auth: Arc<Auth>,
    /// The members that this one knows.
    pub members: Arc<dyn MemberDirectory>,
    /// The zgossip face, if it is on.
    pub zgossip: Option<Arc<dyn ZgossipDirectory>>,
    /// Where requests are counted; shared with whoever has something to show in `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Owns the work that blocks.
    pub tasks: Tasks,
    /// The largest body of a request, in bytes (`--max-body-bytes`).
    pub body_limit: usize,
    /// The addresses that this member sends nothing to by itself.
    pub block_list: Arc<BlockList>,
    /// The last lines of the log.
    pub recent: Recent,
    /// Which member this is.
    pub about: About,
}

impl ApiParts {
    /// Everything that should be well.
    pub(super) fn checks(&self) -> Vec<Check> {
        let mut checks = self.app.health().checks();
        checks.push(self.strong.check());
        checks
    }
}

/// Which member this is, for `/v1/status`.
#[derive(Clone, Debug)]
pub struct About {
    /// Its id.
    pub member: MemberId,
    /// Its name (`--name`).
    pub name: Arc<str>,
    /// Its cluster.
    pub cluster: ClusterId,
    /// The version of this program.
    pub version: &'static str,
    /// When it started, by the wall clock.
    pub started: WallTime,
}

/// The answers of this face and, under `/v1/peer/`, of the peers' door. What the door does not know
/// comes back here.
pub fn front(parts: ApiParts, door: Router) -> Answerer {
    Desk::new(parts).front(door)
}

/// The resources of this member, for whoever serves them: this face, and others in this process.
#[derive(Clone)]
pub struct Desk(Arc<Api>);

impl Desk {
    /// The resources, working with these parts.
    pub fn new(parts: ApiParts) -> Self {
        Self(Arc::new(Api::new(parts)))
    }

    /// The answers of this face and, under `/v1/peer/`, of the peers' door.
    pub fn front(&self, door: Router) -> Answerer {
        served(self.0.clone(), door)
    }

    /// The resources for another face, which writes under this name.
    pub fn inside(&self, author: &str) -> Inside {
        let author = Principal {
            name: author.into(),
        };
        Inside::new(self.0.clone(), author)
    }
}

fn served(api: Arc<Api>, door: Router) -> Answerer {
    let ours = move |request: Request| {
        let api = api.clone();
        async move { api.answer(request).await }
    };
    let door = Answerer::from(door.fallback(ours.clone()));
    Answerer::new(move |request: Request| {
        if request.uri().path().starts_with(PEER_PATHS) {
            Either::Left(door.answer(request))
        } else {
            Either::Right(ours(request))
        }
    })
}

pub(super) type Answer = Result<Response<Body>, Problem>;

/// This face.
pub(super) struct Api {
    pub(super) parts: ApiParts,
    pub(super) since: Mono,
    /// Who waits here for something of the strong side.
    pub(super) followers: Followers,
    pub(super) streams: Streams,
    bodies: Bodies,
}

impl Api {
    fn new(parts: ApiParts) -> Self {
        let followers = Followers::default();
        let streams = Streams::default();
        parts.metrics.watch_app(&parts.app, &parts.strong);
        parts.metrics.watch_strong(&parts.strong);
        parts.metrics.watch_auth(&parts.auth);
        parts.metrics.watch_streams(&streams, &followers);
        if let Ok(engine) = parts.strong.engine() {
            let telling = followers.clone().tell(engine.happenings());
            parts.tasks.spawn_until_stop(telling);
        }
        let bodies = Bodies::new(parts.body_limit, parts.app.limits().value_bytes);
        Self {
            parts,
            since: clock::mono(),
            followers,
            streams,
            bodies,
        }
    }

    /// Answers a request. A panic on the way is answered with 500 and hurts no other request.
    async fn answer(&self, request: Request) -> Response<Body> {
        let started = clock::mono();
        let (head, body) = request.into_parts();
        let route = Route::of(head.uri.path());
        let answer = AssertUnwindSafe(self.serve(route, &head, body))
            .catch_unwind()
            .await;
        let mut response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(problem)) => refusal(route, &problem, &head),
            Err(_) => refusal(route, &Problem::internal(), &head),
        };
        finish(&head.method, &mut response);
        let took = clock::mono().since(started);
        self.parts
            .metrics
            .count(route, &head.method, response.status(), took);
        response
    }

    async fn serve(&self, route: Route<'_>, head: &Parts, body: Body) -> Answer {
        let verb = Verb::of(&head.method);
        let open = match route {
            Route::Gaggle07(path) => gaggle07::open(path, verb),
            _ => v1::open(self, route, verb, head),
        };
        if let Some(answer) = open {
            return answer;
        }
        let user = self
            .parts
            .auth
            .check(&head.headers, guard::remote(head))
            .await?;
        if verb.may_write() {
            guard::same_site(head)?;
        }
        match (route, verb) {
            (Route::Nothing, _) => Err(Problem::not_found()),
            (Route::Gaggle07(path), _) => {
                let call = Call {
                    api: self,
                    head,
                    user,
                    verb,
                };
                gaggle07::answer(&call, path, body).await
            }
            (_, Verb::Options) => Ok(reply::options(route.allow())),
            _ => {
                let session = session::wait(self, route, &head.headers).await?;
                let call = Call {
                    api: self,
                    head,
                    user,
                    verb,
                };
                let answer = v1::answer(&call, route, body).await;
                let mut response = answer.unwrap_or_else(Problem::into_response);
                session::mark(self, route, session.as_ref(), &mut response);
                Ok(response)
            }
        }
    }
}

/// A problem in the form of the interface that was asked.
fn refusal(route: Route<'_>, problem: &Problem, head: &Parts) -> Response<Body> {
    match route {
        Route::Gaggle07(_) => gaggle07::refusal(problem, head),
        _ => problem.clone().into_response(),
    }
}

/// Gives an answer what every answer has; for HEAD its length, but not its body.
pub fn finish(method: &Method, response: &mut Response<Body>) {
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    if matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        *response.body_mut() = Body::new(Nothing);
    } else if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    if *method == Method::HEAD {
        *response.body_mut() = Body::new(Nothing);
    }
}

/// The body of an answer that has none, not even one of length zero: with it hyper sets no
/// `Content-Length`, which 204 must not have (RFC 9110 §8.6) and 304 not with this length.
struct Nothing;

impl http_body::Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// The methods that some resource knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// GET, and HEAD: the same without the body.
    Get,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
    /// POST
    Post,
    /// OPTIONS
    Options,
    /// Any other.
    Other,
}

impl Verb {
    pub(super) fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Get,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::POST => Self::Post,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
        }
    }

    fn may_write(self) -> bool {
        match self {
            Self::Get | Self::Options => false,
            Self::Put | Self::Patch | Self::Delete | Self::Post | Self::Other => true,
        }
    }
}

/// A request of a user, on its way to a resource.
pub(super) struct Call<'a> {
    pub(super) api: &'a Api,
    pub(super) head: &'a Parts,
    pub(super) user: Principal,
    pub(super) verb: Verb,
}

impl Call<'_> {
    pub(super) fn view(&self) -> Arc<View> {
        self.api.parts.app.view()
    }

    pub(super) fn now(&self) -> WallTime {
        self.api.parts.app.now()
    }

    /// Takes the body, which must come as it is.
    pub(super) async fn take(&self, body: Body, purpose: Purpose) -> Result<Received, Problem> {
        media::is_whole(&self.head.headers)?;
        self.api.bodies.take(body, purpose).await
    }

    /// Does an edit in the user's name, and waits for as many members as the query asks.
    pub(super) async fn write(&self, edit: Edit, condition: Condition) -> Result<Written, Problem> {
        let acking = Acking::of(&self.head.uri)?;
        self.write_now(edit, condition, acking).await
    }

    /// The same, whatever the query is.
    pub(super) async fn write_now(
        &self,
        edit: Edit,
        condition: Condition,
        acking: Option<Acking>,
    ) -> Result<Written, Problem> {
        if !edit.only_deletes() {
            self.check_no_strong(edit.node())?;
        }
        let author = self.user.name.clone();
        // Values are not logged: some are secrets.
        tracing::debug!(target: "gaggle::audit", user = %author, node = %edit.node(), "write");
        let request = EditRequest {
            edit,
            author,
            condition,
        };
        let app = &self.api.parts.app;
        let written = app.write(request).await?;
        if let Some(Acking { ack, within }) = acking {
            // A write that changed nothing was done before, by writes up to this one.
            let position = written.stamp.map_or(app.view().own, |_| written.position);
            let acknowledged = app.acknowledged(position, ack, within).await;
            if !acknowledged.is_enough() {
                return Err(acknowledged.into());
            }
        }
        Ok(written)
    }

    /// Runs work that takes long on a thread that may block.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.api
            .parts
            .tasks
            .blocking(work)
            .await
            .ok_or_else(Problem::internal)
    }

    /// How long this member has been up.
    pub(super) fn uptime(&self) -> Duration {
        clock::mono().since(self.api.since)
    }
}
