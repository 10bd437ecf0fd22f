//! The resources of `/v1`, one file each, and the three beside it that monitors ask for.

mod health;
mod key;
mod members;
mod metrics;
mod node;
mod nodes;
mod status;
mod store;

use axum::body::Body;
use http::request::Parts;

use super::guard;
use super::problem::Problem;
use super::reply;
use super::route::Route;
use super::server::{Answer, Api, Call, Verb};

pub use members::{MemberDirectory, MemberState, MemberView};

/// The answer of a resource that needs no credentials and tells nothing secret, if it is one.
pub(super) fn open(api: &Api, route: Route<'_>, verb: Verb, head: &Parts) -> Option<Answer> {
    let plain = head.uri.query().is_none();
    match (route, verb) {
        (Route::Livez, Verb::Get) => Some(health::live(head)),
        (Route::Readyz, Verb::Get) => health::ready(api, head),
        (Route::Livez | Route::Readyz, Verb::Options) if plain => {
            Some(Ok(reply::options(route.allow())))
        }
        (Route::Livez | Route::Readyz, _) if plain => {
            Some(Err(Problem::method_not_allowed(route.allow())))
        }
        _ => None,
    }
}

/// The answer of the resource at `route`.
pub(super) async fn answer(call: &Call<'_>, route: Route<'_>, body: Body) -> Answer {
    if !matches!(route, Route::Readyz) {
        guard::no_query(&call.head.uri)?;
    }
    match (route, call.verb) {
        (Route::Key(node, key), Verb::Get) => key::get(call, node, key),
        (Route::Key(node, key), Verb::Put) => key::put(call, node, key, body).await,
        (Route::Key(node, key), Verb::Delete) => key::delete(call, node, key).await,
        (Route::Node(node), Verb::Get) => node::get(call, node).await,
        (Route::Node(node), Verb::Put) => node::put(call, node, body).await,
        (Route::Node(node), Verb::Patch) => node::patch(call, node, body).await,
        (Route::Node(node), Verb::Delete) => node::delete(call, node).await,
        (Route::Store, Verb::Get) => store::get(call),
        (Route::Nodes, Verb::Get) => Ok(nodes::list(call)),
        (Route::Settings(node), Verb::Get) => nodes::get(call, node).await,
        (Route::Settings(node), Verb::Put) => nodes::put(call, node, body).await,
        (Route::Settings(node), Verb::Patch) => nodes::patch(call, node, body).await,
        (Route::Members, Verb::Get) => Ok(members::list(call)),
        (Route::Status, Verb::Get) => status::get(call).await,
        (Route::Readyz, Verb::Get) => Ok(health::verbose(call)),
        (Route::Metrics, Verb::Get) => metrics::get(call).await,
        _ => Err(Problem::method_not_allowed(route.allow())),
    }
}
