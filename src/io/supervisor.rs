//! What a service manager is told over its socket (`sd_notify(3)`): that the member serves,
//! reloads, stops, and lives. Without `NOTIFY_SOCKET` nothing is told to anybody.
//!
//! The watchdog's sign of life comes from a task like all others: it says that the runtime works,
//! and on purpose nothing about the disk, for a slow one must not have the member killed.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};

/// The least time between two signs of life.
const LEAST: Duration = Duration::from_millis(10);

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// It serves, in a line for people.
    Ready(&'a str),
    /// It reads its configuration again; `Ready` follows.
    Reloading,
    /// It stops.
    Stopping,
}

/// Tells the service manager, if there is one. That it does not hear is no reason to end.
pub fn tell(word: &Word<'_>) {
    let told = match word {
        Word::Ready(line) => notify(&[NotifyState::Ready, NotifyState::Status(line)]),
        Word::Reloading => {
            NotifyState::monotonic_usec_now().and_then(|now| notify(&[NotifyState::Reloading, now]))
        }
        Word::Stopping => notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]),
    };
    heard(told);
}

/// Gives signs of life for as long as it runs, twice as often as the service manager wants them;
/// ends at once if it wants none.
pub async fn keep_alive() {
    let Some(limit) = watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval((limit / 2).max(LEAST));
    loop {
        ticks.tick().await;
        heard(notify(&[NotifyState::Watchdog]));
    }
}

fn heard(told: std::io::Result<()>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager does not hear");
    }
}
