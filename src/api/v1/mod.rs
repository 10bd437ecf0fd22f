//! The resources of `/v1`, one file each, and the three beside it that monitors ask for.

mod conflicts;
mod counters;
mod health;
mod history;
mod key;
mod locks;
mod logs;
mod members;
mod metrics;
mod node;
mod nodes;
mod quorum;
mod status;
mod store;
mod strong_history;
mod strong_key;
mod strong_node;
mod txn;
mod version;
mod zgossip;

use axum::body::Body;
use http::request::Parts;

use super::conditions;
use super::guard;
use super::problem::Problem;
use super::reply;
use super::route::{OBSERVE, Route};
use super::server::{Answer, Api, Call, Verb};

pub(super) use strong_key::commit as commit_strong;

pub use members::{FoundView, MemberDirectory, MemberState, MemberView, Outcome, WayView};
pub use zgossip::{ZgossipBound, ZgossipDirectory, ZgossipServer, ZgossipView};

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
    match (route, call.verb) {
        // They read their queries themselves.
        (Route::Readyz | Route::Conflicts | Route::Members, Verb::Get)
        | (Route::Member(_), Verb::Delete)
        | (
            Route::Txn
            | Route::Counters
            | Route::Counter(_)
            | Route::Locks
            | Route::Lock(_)
            | Route::LockAction(..)
            | Route::Logs
            | Route::Log(_)
            | Route::Follow(_)
            | Route::Key(..)
            | Route::Node(_)
            | Route::Settings(_)
            | Route::History(..),
            _,
        ) => {}
        _ => guard::no_query(&call.head.uri)?,
    }
    if has_no_tag(route) && call.verb != Verb::Get {
        conditions::none(&call.head.headers)?;
    }
    match (route, call.verb) {
        (Route::Key(node, key), Verb::Get) => key::get(call, node, key).await,
        (Route::Key(node, key), Verb::Put) => key::put(call, node, key, body).await,
        (Route::Key(node, key), Verb::Delete) => key::delete(call, node, key).await,
        (Route::Node(node), Verb::Get) => node::get(call, node).await,
        (Route::Node(node), Verb::Put) => node::put(call, node, body).await,
        (Route::Node(node), Verb::Patch) => node::patch(call, node, body).await,
        (Route::Node(node), Verb::Delete) => node::delete(call, node).await,
        (Route::History(node, key), Verb::Get) => history::get(call, node, key).await,
        (Route::History(node, key), Verb::Post) => history::restore(call, node, key, body).await,
        (Route::Conflicts, Verb::Get) => conflicts::list(call).await,
        (Route::Store, Verb::Get) => store::get(call).await,
        (Route::Nodes, Verb::Get) => Ok(nodes::list(call)),
        (Route::Settings(node), Verb::Get) => nodes::get(call, node).await,
        (Route::Settings(node), Verb::Put) => nodes::put(call, node, body).await,
        (Route::Settings(node), Verb::Patch) => nodes::patch(call, node, body).await,
        (Route::Members, Verb::Get) => members::list(call),
        (Route::Member(word), Verb::Delete) => members::forget(call, word).await,
        (Route::Txn, Verb::Post) => txn::post(call, body).await,
        (Route::Counters, Verb::Get) => counters::list(call).await,
        (Route::Counter(name), Verb::Get) => counters::get(call, name).await,
        (Route::Counter(name), Verb::Post) => counters::post(call, name, body).await,
        (Route::Counter(name), Verb::Delete) => counters::delete(call, name).await,
        (Route::Locks, Verb::Get) => locks::list(call).await,
        (Route::Lock(name), Verb::Get) => locks::get(call, name).await,
        (Route::Lock(name), Verb::Delete) => locks::delete(call, name).await,
        (Route::LockAction(name, OBSERVE), Verb::Get) => locks::observe(call, name).await,
        (Route::LockAction(_, OBSERVE), _) => Err(Problem::method_not_allowed(route.allow())),
        (Route::LockAction(name, action), Verb::Post) => locks::act(call, name, action, body).await,
        (Route::Logs, Verb::Get) => logs::list(call).await,
        (Route::Log(name), Verb::Get) => logs::get(call, name).await,
        (Route::Log(name), Verb::Post) => logs::append(call, name, body).await,
        (Route::Log(name), Verb::Put) => logs::configure(call, name, body).await,
        (Route::Log(name), Verb::Delete) => logs::delete(call, name).await,
        (Route::Follow(name), Verb::Get) => logs::follow(call, name).await,
        (Route::Leader, Verb::Get) => quorum::leader(call),
        (Route::Quorum, Verb::Get) => quorum::get(call),
        (Route::QuorumAction(action), Verb::Post) => quorum::act(call, action, body).await,
        (Route::Status, Verb::Get) => status::get(call).await,
        (Route::Readyz, Verb::Get) => Ok(health::verbose(call)),
        (Route::Metrics, Verb::Get) => metrics::get(call).await,
        _ => Err(Problem::method_not_allowed(route.allow())),
    }
}

/// Whether what is at `route` has no `ETag` that a condition could name.
fn has_no_tag(route: Route<'_>) -> bool {
    matches!(
        route,
        Route::Txn
            | Route::Counter(_)
            | Route::Lock(_)
            | Route::LockAction(..)
            | Route::Log(_)
            | Route::QuorumAction(_)
    )
}
