//! What is counted, and the registry that everybody shows it in.
//!
//! Names are `gaggle_…` with base units (`_seconds`, `_bytes`; counters end in `_total`), and the
//! conventional `process_…`. Whoever has something to show gives a closure that reads it.

mod process;
mod requests;
mod shown;
mod strong;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use parking_lot::Mutex;
use prometheus_client::encoding::text;
use prometheus_client::registry::{Metric, Registry};

use crate::app::{App, Strong};

use super::auth::Auth;
use super::events::Streams;
use super::followers::Followers;
use super::route::Route;
use requests::Requests;
use shown::{CounterFn, GaugeFn, LabelledFn};
pub(super) use strong::Asked;

/// The metrics of this member.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Requests,
    strong: strong::Requests,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry with the requests and the process in it.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let requests = Requests::new(&mut registry);
        let strong = strong::Requests::new(&mut registry);
        registry.register_collector(Box::new(process::Process::new()));
        Self {
            registry: Mutex::new(registry),
            requests,
            strong,
        }
    }

    /// Shows a value that goes up and down. `name` is the full one, with its unit
    /// (`gaggle_store_bytes`).
    pub fn gauge_fn(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let collector = GaugeFn {
            name,
            help,
            read: Box::new(read),
        };
        self.registry.lock().register_collector(Box::new(collector));
    }

    /// Shows a count that only grows. `name` is the full one without `_total`, which is added.
    pub fn counter_fn(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let collector = CounterFn {
            name,
            help,
            read: Box::new(read),
        };
        self.registry.lock().register_collector(Box::new(collector));
    }

    /// Shows values that go up and down, told apart by one label (`state`, `check`, `peer`).
    pub fn labelled_fn(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        read: impl Fn() -> Vec<(String, f64)> + Send + Sync + 'static,
    ) {
        let collector = LabelledFn {
            name,
            help,
            label,
            read: Box::new(read),
        };
        self.registry.lock().register_collector(Box::new(collector));
    }

    /// Shows a metric of the `prometheus-client` crate, such as a histogram. Counters get `_total`.
    pub fn register(&self, name: &'static str, help: &'static str, metric: impl Metric) {
        self.registry
            .lock()
            .register(name, help.trim_end_matches('.'), metric);
    }

    /// All metrics in the text format of `OpenMetrics`. Reads them, which may take some time.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a String fails only if a collector gives up: the page is then cut short.
        if text::encode(&mut out, &self.registry.lock()).is_err() {
            tracing::warn!("a metric could not be written");
        }
        out
    }

    pub(super) fn count(
        &self,
        route: Route<'_>,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        self.requests.count(route, method, status, took);
    }

    /// Shows what the store holds and how the member is.
    pub(super) fn watch_app(&self, app: &App, strong: &Strong) {
        let gauge = |name, help, read: fn(&App) -> f64| {
            let app = app.clone();
            self.gauge_fn(name, help, move || read(&app));
        };
        gauge("gaggle_store_keys", "Keys that readers see", |app| {
            float(app.view().store.counts().keys)
        });
        gauge("gaggle_store_nodes", "Nodes that readers see", |app| {
            float(app.view().store.nodes().count())
        });
        gauge(
            "gaggle_store_tombstones",
            "Deleted and hidden keys that are remembered",
            |app| {
                let counts = app.view().store.counts();
                float(counts.entries - counts.keys)
            },
        );
        gauge(
            "gaggle_store_older_versions",
            "Older versions of keys on disk",
            |app| float(app.view().store.counts().older),
        );
        gauge("gaggle_store_bytes", "Bytes in the current values", |app| {
            float(app.view().store.counts().bytes)
        });
        gauge(
            "gaggle_conflicts",
            "Keys with versions that lost against one whose writer did not know them",
            |app| float(app.view().store.counts().conflicts),
        );
        let found = app.clone();
        self.counter_fn(
            "gaggle_conflicts_found",
            "Versions found that lost against one whose writer did not know them",
            move || found.conflicts_found(),
        );
        gauge(
            "gaggle_revision",
            "Changes applied since the start",
            |app| float(usize::try_from(app.view().revision).unwrap_or(usize::MAX)),
        );
        self.watch_upkeep(app);
        let (checked, strong) = (app.clone(), strong.clone());
        let read = move || {
            let checks = checked.health().checks().into_iter();
            checks
                .chain([strong.check()])
                .map(|check| (check.code.to_owned(), f64::from(u8::from(check.ok))))
                .collect()
        };
        self.labelled_fn(
            "gaggle_health",
            "Whether a check is well (1) or not (0)",
            "check",
            read,
        );
    }

    /// Shows what is open to clients that follow something.
    pub(super) fn watch_streams(&self, streams: &Streams, followers: &Followers) {
        let (streams, followers) = (streams.clone(), followers.clone());
        let help = "Streams of events that are open";
        self.gauge_fn("gaggle_event_streams", help, move || float(streams.open()));
        let help = "Requests that wait on this member for a lock";
        self.gauge_fn("gaggle_lock_requests", help, move || {
            float(followers.requests())
        });
    }

    /// Shows what the gate kept out.
    pub(super) fn watch_auth(&self, auth: &Arc<Auth>) {
        let (failed, refused) = (auth.clone(), auth.clone());
        self.counter_fn(
            "gaggle_auth_failures",
            "Credentials that were wrong",
            move || failed.failures(),
        );
        let help = "Credentials refused unverified because there were too many";
        self.counter_fn("gaggle_auth_refused", help, move || refused.refused());
    }
}

/// A count as Prometheus has it; exact below 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "metrics are floats; nobody counts to 2^53 keys"
)]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
