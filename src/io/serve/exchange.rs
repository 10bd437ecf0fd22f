//! One request and its answer, between hyper and whoever answers.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;

use super::activity::Activity;
use super::answerer::Answerer;
use super::counters::ServeCounters;
use super::request_body::{Leave, RequestBody, read_away};
use super::response_body::{InFlight, ResponseBody};
use super::{Connection, Shared, Speaks};

const TOO_MANY_HEADERS: &str = concat!(
    r#"{"type":"about:blank","title":"Request Header Fields Too Large","status":431,"#,
    r#""code":"too-many-headers","detail":"the request has too many header fields","#,
    r#""outcome":"not-applied"}"#,
);
const PANICKED: &str = concat!(
    r#"{"type":"about:blank","title":"Internal Server Error","status":500,"#,
    r#""code":"internal","detail":"this is a bug in gaggle; the member's log says more","#,
    r#""outcome":"unknown"}"#,
);

/// What the requests of one connection share.
pub(super) struct Exchange {
    pub(super) shared: Arc<Shared>,
    pub(super) activity: Arc<Activity>,
    pub(super) connection: Connection,
}

impl Exchange {
    /// Whether what a handler leaves of a body is read away before the answer's end. On HTTP/2 a
    /// reset would overtake the answer. Over plain HTTP simple clients send all before they read,
    /// and would find the connection torn down instead of the answer; but one that asks first
    /// whether it may send is not told to.
    fn reads_away(&self, request: &Request<Incoming>) -> bool {
        match self.shared.serving.speaks {
            Speaks::Https(_) => request.version() == http::Version::HTTP_2,
            Speaks::Http => !request.headers().contains_key(header::EXPECT),
        }
    }

    /// Answers one request.
    pub(super) fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<ResponseBody<Body>>, Infallible>> + Send + use<> {
        let in_flight = InFlight::begin(&self.activity);
        let limits = &self.shared.serving.limits;
        let fits = request.headers().len() <= limits.headers;
        let reads_away = self.reads_away(&request);
        let tasks = self.shared.serving.tasks.clone();
        let mut request = request.map(|body| {
            if body.is_end_stream() {
                Body::empty()
            } else {
                let read = move |body| tasks.spawn_until_stop(read_away(body));
                let leave = reads_away.then(|| Box::new(read) as Leave<_>);
                Body::new(RequestBody::new(body, limits, leave))
            }
        });
        request.extensions_mut().insert(self.connection.clone());
        let answerer = self.shared.answerer.clone();
        let counters = self.shared.serving.counters.clone();
        async move {
            let response = if fits {
                guarded(answerer, request, &counters).await
            } else {
                problem(
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                    TOO_MANY_HEADERS,
                )
            };
            Ok(response.map(|body| ResponseBody::new(body, in_flight)))
        }
    }
}

/// Has the request answered; a panic of a handler costs this request and nothing else.
async fn guarded(
    answerer: Answerer,
    request: Request<Body>,
    counters: &ServeCounters,
) -> Response<Body> {
    let call = async move { answerer.answer(request).await };
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(response) => response,
        Err(_shown_by_the_panic_hook) => {
            ServeCounters::count(&counters.panics);
            tracing::error!("a handler panicked; its request was answered with 500");
            problem(StatusCode::INTERNAL_SERVER_ERROR, PANICKED)
        }
    }
}

fn problem(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}
