//! What the parts count, as `/metrics` shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::api::metrics::Metrics;
use crate::io::serve::ServeCounters;
use crate::protocol::membership::{Counts, MemberTable};
use crate::protocol::push::PushCounters;

use super::peers::Peers;
use super::replication::Replication;
use super::sync::SyncCounters;

/// A counter's name, what it counts, and where it stands.
type Count<T> = (&'static str, &'static str, fn(&T) -> u64);
/// The same for a counter that the parts share.
type Counter<T> = (&'static str, &'static str, fn(&T) -> &AtomicU64);
type Table = watch::Receiver<Arc<MemberTable>>;

/// All metrics but those of the store and of requests, which the API has itself.
pub(super) fn registry(
    table: &Table,
    replication: &Replication,
    peers: &Peers,
    serving: &Arc<ServeCounters>,
) -> Arc<Metrics> {
    let metrics = Metrics::new();
    connections(&metrics, serving);
    membership(&metrics, table);
    push(&metrics, replication);
    sync(&metrics, replication);
    let traffic = peers.traffic();
    let sent = traffic.clone();
    metrics.counter_fn(
        "gaggle_peer_sent_bytes",
        "Bytes of changes and questions sent to peers.",
        move || read(&sent.sent),
    );
    metrics.counter_fn(
        "gaggle_peer_received_bytes",
        "Bytes of answers received from peers.",
        move || read(&traffic.received),
    );
    Arc::new(metrics)
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn connections(metrics: &Metrics, serving: &Arc<ServeCounters>) {
    let of = |read_one: fn(&ServeCounters) -> &AtomicU64| {
        let serving = serving.clone();
        move || read(read_one(&serving))
    };
    let open = of(|counters| &counters.open);
    metrics.gauge_fn(
        "gaggle_connections",
        "Connections that are open.",
        #[expect(clippy::cast_precision_loss, reason = "connections are few")]
        move || open() as f64,
    );
    let rows: [Counter<ServeCounters>; 6] = [
        (
            "gaggle_connections_accepted",
            "Connections accepted.",
            |c| &c.accepted,
        ),
        (
            "gaggle_connections_refused",
            "Connections refused by a limit.",
            |c| &c.refused_by_limit,
        ),
        (
            "gaggle_tls_handshake_failures",
            "TLS handshakes that failed.",
            |c| &c.handshake_failures,
        ),
        (
            "gaggle_plain_http_requests",
            "Requests without TLS on the TLS port.",
            |c| &c.plain_http,
        ),
        (
            "gaggle_connections_too_slow",
            "Connections ended by a time limit.",
            |c| &c.too_slow,
        ),
        (
            "gaggle_handler_panics",
            "Requests that met a fault of the program.",
            |c| &c.panics,
        ),
    ];
    for (name, help, counter) in rows {
        metrics.counter_fn(name, help, of(counter));
    }
}

fn membership(metrics: &Metrics, table: &Table) {
    let by_state = table.clone();
    metrics.labelled_fn(
        "gaggle_members",
        "Members known, by state.",
        "state",
        move || {
            let table = by_state.borrow().clone();
            let mut counts = std::collections::BTreeMap::new();
            for state in ["alive", "suspect", "dead", "left"] {
                counts.insert(state.to_owned(), 0.0);
            }
            for row in table.rows() {
                *counts.entry(row.state.to_string()).or_default() += 1.0;
            }
            counts.into_iter().collect()
        },
    );
    let rows: [Count<Counts>; 9] = [
        (
            "gaggle_datagrams_accepted",
            "Datagrams opened and accepted.",
            |c| c.drops.accepted,
        ),
        (
            "gaggle_datagrams_undecipherable",
            "Datagrams sealed with another secret, or damaged.",
            |c| c.drops.undecipherable,
        ),
        (
            "gaggle_datagrams_foreign",
            "Datagrams that are none of ours.",
            |c| c.drops.foreign,
        ),
        ("gaggle_datagrams_repeated", "Datagrams seen before.", |c| {
            c.drops.duplicate
        }),
        (
            "gaggle_datagrams_sent",
            "Datagrams sent to single members.",
            |c| c.sent,
        ),
        ("gaggle_beacons_sent", "Beacons sent to the group.", |c| {
            c.beacons
        }),
        (
            "gaggle_state_exchanges",
            "Exchanges of the membership state.",
            |c| c.exchanges,
        ),
        (
            "gaggle_state_exchange_failures",
            "Such exchanges that failed.",
            |c| c.failed_exchanges,
        ),
        ("gaggle_member_deaths", "Members declared dead.", |c| {
            c.deaths
        }),
    ];
    for (name, help, count) in rows {
        let table = table.clone();
        metrics.counter_fn(name, help, move || count(&table.borrow().counts));
    }
}

fn push(metrics: &Metrics, replication: &Replication) {
    let rows: [Count<PushCounters>; 4] = [
        ("gaggle_push_requests", "Pushes that a peer took.", |c| {
            c.requests
        }),
        ("gaggle_push_failures", "Pushes that failed.", |c| {
            c.failures
        }),
        (
            "gaggle_push_changes",
            "Changes in pushes that were taken.",
            |c| c.changes,
        ),
        (
            "gaggle_push_overflows",
            "Times that a peer was left to sync.",
            |c| c.overflows,
        ),
    ];
    for (name, help, count) in rows {
        let push = replication.push.clone();
        metrics.counter_fn(name, help, move || count(&push.lock().counters()));
    }
    let push = replication.push.clone();
    metrics.labelled_fn(
        "gaggle_push_lag_seconds",
        "How long the oldest change waits for a peer.",
        "peer",
        move || {
            let lags = push.lock().lags(crate::io::clock::mono());
            lags.into_iter()
                .map(|(id, lag)| (id.to_string(), lag.oldest.as_secs_f64()))
                .collect()
        },
    );
}

fn sync(metrics: &Metrics, replication: &Replication) {
    let rows: [Counter<SyncCounters>; 4] = [
        ("gaggle_sync_walks", "Syncs that ended well.", |c| &c.walks),
        ("gaggle_sync_failures", "Syncs that failed.", |c| {
            &c.failures
        }),
        (
            "gaggle_sync_fetched_changes",
            "Changes that syncs brought.",
            |c| &c.fetched,
        ),
        (
            "gaggle_sync_pushed_changes",
            "Changes that syncs sent.",
            |c| &c.pushed,
        ),
    ];
    for (name, help, counter) in rows {
        let sync = replication.sync.clone();
        metrics.counter_fn(name, help, move || read(counter(&sync)));
    }
}
