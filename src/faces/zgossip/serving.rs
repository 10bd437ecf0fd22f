//! Accepts connections of others.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::connection;
use super::counters::{Counters, Open};
use super::endpoint::{Listener, Stream};
use crate::protocol::zgossip::Role;

/// The most connections at once, those that the face makes itself included.
pub(super) const MOST: u64 = 1024;
/// The pause after an error of `accept`, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts until the face stops.
pub(super) async fn serve(listener: Listener, shared: Arc<Shared>) {
    tracing::info!(endpoint = listener.bound().endpoint, "zgossip listens");
    loop {
        let accepted = tokio::select! {
            () = shared.tasks.stopping() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                Counters::count(&shared.counters.accepted);
                shared.tasks.spawn(run(stream, from, shared.clone()));
            }
            Err(why) => {
                tracing::debug!(%why, "zgossip cannot accept connections, pausing");
                tokio::select! {
                    () = shared.tasks.stopping() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
}

async fn run(stream: Box<dyn Stream>, from: String, shared: Arc<Shared>) {
    let Some(_open) = Open::one_of(&shared.counters, MOST) else {
        Counters::count(&shared.counters.refused_connections);
        return;
    };
    let why = connection::run(stream, Role::Server, &shared, || {}).await;
    tracing::debug!(from, %why, "a zgossip client is gone");
}
