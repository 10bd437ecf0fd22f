//! `/api/…`: the interface of gaggle 0.7, the JavaScript daemon that this program takes the place
//! of, and what fits of its successor's at `/api/v2/…`. docs/GAGGLE07.md says what differs.
//!
//! Credentials, limits, counting and the store are those of `/v1`. What is different is the form:
//! statuses with their reason phrase as text, JSON without metadata, keys that are made first and
//! set then. Query parameters are passed over, as the original did with all it did not know.

mod held;
mod member;
mod paths;
mod replies;
mod store;
mod tree;
mod values;
mod writes;

use axum::body::Body;

use paths::{Generation, SYNC};

use super::problem::Problem;
use super::server::{Answer, Call, Verb};

pub(super) use paths::{PATHS, Path};
pub(super) use replies::refusal;

/// The answer of a resource that needs no credentials, if it is one: which methods it knows.
pub(super) fn open(path: Path<'_>, verb: Verb) -> Option<Answer> {
    match (path, verb) {
        (Path::Nothing, _) => None,
        (_, Verb::Options) => Some(Ok(replies::options(path.allow()))),
        _ => None,
    }
}

/// The answer of the resource at `path`.
pub(super) async fn answer(call: &Call<'_>, path: Path<'_>, body: Body) -> Answer {
    match (path, call.verb) {
        (Path::Status(_), Verb::Get) => member::status(call).await,
        (Path::Checksum(_), Verb::Get) => member::checksum(call).await,
        (Path::Config(_), Verb::Get) => Ok(member::config(call)),
        (Path::Members(_), Verb::Get) => Ok(member::members(call)),
        (Path::Log(_), Verb::Get) => Ok(member::log(call)),
        (Path::BlockList, Verb::Get) => Ok(member::block_list(call)),
        (Path::Blocking(_, change, address), Verb::Post) => {
            member::block(call, change, address).await
        }
        (Path::Node(SYNC) | Path::Sync, Verb::Patch) => Ok(member::sync(call)),
        (Path::Store(_), Verb::Get) => Ok(store::all(call)),
        (Path::Node(node), Verb::Get) => store::node(call, node),
        (Path::Node(node), Verb::Post) => store::make_node(call, node).await,
        (Path::Node(node), Verb::Delete) => store::delete_node(call, node).await,
        (Path::Key(node, key), Verb::Get) => store::key(call, node, key),
        (Path::Key(node, key), Verb::Post) => store::make_key(call, node, key).await,
        (Path::Key(node, key), Verb::Put) => store::set_key(call, node, key, body).await,
        (Path::Key(node, key), Verb::Delete) => store::delete_key(call, node, key).await,
        (Path::Store(Generation::Second), Verb::Post) => tree::create(call, body).await,
        (Path::Store(Generation::Second), Verb::Put) => tree::update(call, body).await,
        (Path::Store(Generation::Second), Verb::Delete) => Err(tree::root()),
        (Path::Place(path), Verb::Get) => tree::get(call, path),
        (Path::Place(path), Verb::Delete) => tree::delete(call, path).await,
        (Path::Search(key), Verb::Get) => tree::search(call, key),
        _ => Err(Problem::not_found()),
    }
}
