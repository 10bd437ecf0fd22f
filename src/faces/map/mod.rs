//! The map face: what a gossipcar sidecar answered, over one node of the store.
//!
//! `GET /map?k=a&k=b`, `PUT` and `DELETE /map?k=a`, `GET /map/{key}`, `GET /stats`, over plain
//! HTTP/1.1 without credentials: `docs/MAP.md`. Every read and write of a key becomes one of
//! `/v1/store/{node}/{key}` (see [`Inside`]), so the limits, the two classes of nodes and what an
//! acknowledgement means are those of the store; this room only translates.
//!
//! | file | what lives there |
//! |---|---|
//! | `query` | the keys that a query names |
//! | `visitor` | who is refused: pages in browsers |
//! | `listing` | the answer with many keys |
//! | `stats` | what is counted, and how it is told |

mod listing;
mod query;
mod stats;
mod visitor;

use std::sync::Arc;

use axum::body::Body;
use http::header::{ACCEPT, HeaderMap, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};

use crate::api::problem::{Code, Problem};
use crate::api::{Asked, Inside, encoded, finish};
use crate::config::Reach;
use crate::io::serve::Answerer;
use crate::model::{KeyName, NodeName};

pub use stats::{MapCounters, Syncs, Uptime};

/// Whom the versions say that were written through this face.
pub const AUTHOR: &str = "map";

/// Where the keys with a path of their own begin.
const KEYS: &str = "/map/";
const ALLOW_MAP: &str = "GET, HEAD, PUT, DELETE, OPTIONS";
const ALLOW_READ: &str = "GET, HEAD, OPTIONS";

/// What this face works with.
pub struct MapParts {
    /// The way to the store, in this face's name.
    pub inside: Inside,
    /// The node that it shows.
    pub node: NodeName,
    /// From where it may be asked.
    pub reach: Reach,
    /// What it counts; shared with the metrics.
    pub counters: Arc<MapCounters>,
    /// Since when the member runs.
    pub uptime: Uptime,
    /// How often members exchanged something.
    pub syncs: Syncs,
}

/// The answers of this face.
pub fn answerer(parts: MapParts) -> Answerer {
    let face = Arc::new(Face(parts));
    Answerer::new(move |request: Request<Body>| {
        let face = face.clone();
        async move { face.answer(request).await }
    })
}

type Answer = Result<Response<Body>, Problem>;

struct Face(MapParts);

impl Face {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let answer = self.serve(&head, body).await;
        let mut response = answer.unwrap_or_else(Problem::into_response);
        finish(&head.method, &mut response);
        self.0.counters.count(response.status());
        response
    }

    async fn serve(&self, head: &Parts, body: Body) -> Answer {
        visitor::check(head, self.0.reach)?;
        let (path, method) = (head.uri.path(), &head.method);
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        match path {
            "/map" if is_read => self.list(head).await,
            "/map" if *method == Method::PUT => self.put(head, body).await,
            "/map" if *method == Method::DELETE => self.delete(head).await,
            "/map" => other(method, ALLOW_MAP),
            "/stats" if is_read => Ok(stats::told(&self.0)),
            "/stats" => other(method, ALLOW_READ),
            _ => match path.strip_prefix(KEYS) {
                Some(key) if is_read => self.get(head, key).await,
                Some(_) => other(method, ALLOW_READ),
                None => Err(nothing()),
            },
        }
    }

    /// All keys of the query that are there.
    async fn list(&self, head: &Parts) -> Answer {
        let keys = query::keys(&head.uri)?;
        let mut found = listing::Listing::default();
        for key in keys {
            let response = self.ask(&key, Asked::read(HeaderMap::new())).await;
            match response.status() {
                StatusCode::OK => found.push(key.as_str(), response.into_body()).await?,
                StatusCode::NOT_FOUND => {}
                _ => return Ok(response),
            }
        }
        found.answer().ok_or_else(|| {
            Problem::new(Code::KeyNotFound, "none of the keys of the query is there")
        })
    }

    /// One value as it is, whatever octets it has.
    async fn get(&self, head: &Parts, raw: &str) -> Answer {
        if head.uri.query().is_some_and(|query| !query.is_empty()) {
            let detail = "a key with a path of its own takes no query";
            return Err(Problem::new(Code::KeyNeeded, detail)
                .hint("a \"?\" that belongs to the key is written as %3F"));
        }
        let key = query::key_of_path(raw)?;
        let mut headers = head.headers.clone();
        // Always the octets: metadata are what /v1/store is for.
        headers.remove(ACCEPT);
        Ok(self.ask(&key, Asked::read(headers)).await)
    }

    async fn put(&self, head: &Parts, body: Body) -> Answer {
        let key = query::the_key(&head.uri, self.0.inside.name_limit())?;
        let asked = Asked {
            method: Method::PUT,
            headers: head.headers.clone(),
            body,
        };
        let mut response = self.ask(&key, asked).await;
        if response.status() == StatusCode::CREATED
            && let Ok(place) = HeaderValue::try_from(format!("{KEYS}{}", encoded(key.as_str())))
        {
            response.headers_mut().insert(LOCATION, place);
        }
        Ok(response)
    }

    async fn delete(&self, head: &Parts) -> Answer {
        let key = query::the_only_key(&head.uri)?;
        let asked = Asked {
            method: Method::DELETE,
            headers: head.headers.clone(),
            body: Body::empty(),
        };
        Ok(self.ask(&key, asked).await)
    }

    async fn ask(&self, key: &KeyName, asked: Asked) -> Response<Body> {
        self.0.inside.key(&self.0.node, key, asked).await
    }
}

fn other(method: &Method, allow: &'static str) -> Answer {
    let problem = Problem::method_not_allowed(allow);
    if *method != Method::OPTIONS {
        return Err(problem);
    }
    let mut response = problem.into_response();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn nothing() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path")
        .hint("this face has /map?k=KEY, /map/KEY and /stats; the whole store is at --listen")
}
