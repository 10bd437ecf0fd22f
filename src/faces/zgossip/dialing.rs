//! Connects to a server, again and again until the face stops.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::connection;
use super::counters::{Counters, Open};
use super::{DialState, Dialled, Shared, endpoint, serving};
use crate::io::clock::mono;
use crate::io::random;
use crate::protocol::zgossip::Role;

/// The first and the longest pause before another try. With jitter, so that members that lost a
/// server together do not come back together.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// After a connection that held this long the pauses begin anew.
const HELD: Duration = Duration::from_secs(10);

/// Keeps a connection to a server.
pub(super) async fn keep(to: Dialled, shared: Arc<Shared>) {
    let mut random = StdRng::seed_from_u64(random::seed());
    let mut pause = PAUSE.0;
    loop {
        let begun = mono();
        let why = tokio::select! {
            () = shared.tasks.stopping() => return,
            why = once(&to, &shared) => why,
        };
        // Said once, not with every try.
        let before = std::mem::replace(
            &mut *to.state.lock(),
            DialState::Waiting(why.as_str().into()),
        );
        if before == DialState::Connected {
            tracing::info!(server = %to.to, why, "a zgossip server is lost, trying again");
        } else {
            Counters::count(&shared.counters.failed_dials);
            tracing::debug!(server = %to.to, why, "a zgossip server cannot be reached");
        }
        if mono().since(begun) >= HELD {
            pause = PAUSE.0;
        }
        tokio::select! {
            () = shared.tasks.stopping() => return,
            () = tokio::time::sleep(pause.mul_f64(random.random_range(0.5..1.0))) => {}
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// One connection from its beginning to its end; gives why it ended.
async fn once(to: &Dialled, shared: &Shared) -> String {
    let Some(_open) = Open::one_of(&shared.counters, serving::MOST) else {
        return "there are as many connections as there may be".to_owned();
    };
    let stream = match endpoint::connect(&to.to).await {
        Ok(stream) => stream,
        Err(why) => return why.to_string(),
    };
    let connected = || {
        *to.state.lock() = DialState::Connected;
        tracing::info!(server = %to.to, "connected to a zgossip server");
    };
    let why = connection::run(stream, Role::Client, shared, connected).await;
    why.to_string()
}
