//! Starts the zgossip face, and shows it to the API.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::api::metrics::Metrics;
use crate::api::{ZgossipBound, ZgossipDirectory, ZgossipServer, ZgossipView};
use crate::app::{App, Strong};
use crate::config::Config;
use crate::faces::zgossip::{Counters, DialState, Parts, Zgossip};
use crate::io::tasks::Tasks;

use super::DaemonError;

/// Starts the face, if it is on.
pub(super) async fn start(
    config: &Config,
    app: &App,
    strong: &Strong,
    tasks: &Tasks,
) -> Result<Option<Zgossip>, DaemonError> {
    let Some(config) = &config.zgossip else {
        return Ok(None);
    };
    let parts = Parts {
        app: app.clone(),
        strong: strong.clone(),
        tasks: tasks.clone(),
    };
    Ok(Some(Zgossip::start(config, parts).await?))
}

/// The face as the API shows it; without one it is off.
pub(super) fn directory(face: Option<&Zgossip>) -> Option<Arc<dyn ZgossipDirectory>> {
    face.map(|face| Arc::new(Shown(face.clone())) as Arc<dyn ZgossipDirectory>)
}

struct Shown(Zgossip);

impl ZgossipDirectory for Shown {
    fn view(&self) -> ZgossipView {
        let status = self.0.status();
        let bind = status.bound.into_iter().map(|bound| ZgossipBound {
            asked: bound.asked,
            endpoint: bound.endpoint,
            port: bound.port,
        });
        let connect = status.dialled.into_iter().map(|(endpoint, state)| {
            let (state, detail) = match state {
                DialState::Connected => ("connected", None),
                DialState::Waiting(why) => ("waiting", Some(why)),
            };
            ZgossipServer {
                endpoint,
                state,
                detail,
            }
        });
        ZgossipView {
            node: status.node,
            bind: bind.collect(),
            connect: connect.collect(),
            connections: status.connections,
            tuples: status.tuples,
        }
    }
}

/// A counter's name, what it counts, and where it stands.
type Row = (&'static str, &'static str, fn(&Counters) -> &AtomicU64);

/// What the face counts.
const ROWS: [Row; 11] = [
    (
        "gaggle_zgossip_connections_accepted",
        "Connections of zgossip that came in.",
        |c| &c.accepted,
    ),
    (
        "gaggle_zgossip_connections_refused",
        "Connections of zgossip turned away by the limit.",
        |c| &c.refused_connections,
    ),
    (
        "gaggle_zgossip_connect_failures",
        "Times that a zgossip server could not be reached.",
        |c| &c.failed_dials,
    ),
    (
        "gaggle_zgossip_tuples_received",
        "Tuples that zgossip nodes published.",
        |c| &c.received,
    ),
    (
        "gaggle_zgossip_tuples_written",
        "Tuples of them that were news and written.",
        |c| &c.written,
    ),
    (
        "gaggle_zgossip_tuples_refused",
        "Tuples of them that the store does not take.",
        |c| &c.refused,
    ),
    (
        "gaggle_zgossip_tuples_damped",
        "Times that a tuple had to wait because its key flaps.",
        |c| &c.damped,
    ),
    (
        "gaggle_zgossip_tuples_sent",
        "Tuples told to zgossip nodes.",
        |c| &c.sent,
    ),
    (
        "gaggle_zgossip_tuples_not_exported",
        "Values with a NUL, which zgossip would cut short: not told.",
        |c| &c.not_exported,
    ),
    (
        "gaggle_zgossip_malformed",
        "Connections of zgossip ended because of what was said on them.",
        |c| &c.malformed,
    ),
    (
        "gaggle_zgossip_slow",
        "Connections of zgossip ended because the other end did not keep up.",
        |c| &c.slow,
    ),
];

/// Shows what the face counts, if it is on.
pub(super) fn metrics(metrics: &Metrics, face: Option<&Zgossip>) {
    let Some(face) = face else {
        return;
    };
    let open = face.clone();
    metrics.gauge_fn(
        "gaggle_zgossip_connections",
        "Connections of zgossip that are open.",
        #[expect(clippy::cast_precision_loss, reason = "connections are few")]
        move || Counters::read(&open.counters().open) as f64,
    );
    for (name, help, counter) in ROWS {
        let face = face.clone();
        metrics.counter_fn(name, help, move || Counters::read(counter(face.counters())));
    }
}
