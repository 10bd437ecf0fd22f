//! What the upkeep of the store looks like: what is held aside, what was deleted and waits to be
//! collected, and the members that it waits for.

use crate::app::App;
use crate::io::clock;
use crate::model::HybridTime;

use super::{Metrics, float};

impl Metrics {
    /// Shows what waits in the store, and for whom.
    pub(super) fn watch_upkeep(&self, app: &App) {
        let gauge = |name, help, read: fn(&App) -> f64| {
            let app = app.clone();
            self.gauge_fn(name, help, move || read(&app));
        };
        gauge(
            "gaggle_held_aside",
            "Changes stamped too far ahead of this member's clock and held aside",
            |app| float(app.view().store.held_count()),
        );
        gauge(
            "gaggle_held_aside_first_timestamp_seconds",
            "When the first of them is merged; 0: there is none",
            |app| seconds(app.view().store.held_next()),
        );
        gauge(
            "gaggle_tombstones_oldest_seconds",
            "Since when the oldest deleted thing waits to be collected; 0: there is none",
            |app| app.view().store.first_dead().map_or(0.0, age),
        );
        gauge(
            "gaggle_stable_lag_seconds",
            "How far back the time lies up to which every known member is known to have all; 0: \
             unknown",
            |app| known(app.stable()).map_or(0.0, age),
        );
        gauge(
            "gaggle_horizon_timestamp_seconds",
            "Up to when deleted things were collected here; 0: nothing was",
            |app| seconds(known(app.view().store.horizon())),
        );
        gauge(
            "gaggle_members_known",
            "Members that belong to the cluster, alive or not",
            |app| float(app.view().store.known().count()),
        );
        gauge(
            "gaggle_members_forgotten",
            "Members that were forgotten for good",
            |app| {
                let view = app.view();
                let all = view.store.members().count();
                float(all - view.store.known().count())
            },
        );
        let collected = app.clone();
        let help = "Deleted keys and nodes that were collected";
        self.counter_fn("gaggle_collected", help, move || collected.collected());
    }
}

/// A time that is none as long as nothing is known.
fn known(time: HybridTime) -> Option<HybridTime> {
    (time > HybridTime::default()).then_some(time)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are exact"
)]
fn seconds(time: Option<HybridTime>) -> f64 {
    time.map_or(0.0, |time| time.wall().millis() as f64 / 1000.0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nobody waits so many milliseconds"
)]
fn age(time: HybridTime) -> f64 {
    let since = clock::wall().millis().saturating_sub(time.wall().millis());
    since as f64 / 1000.0
}
