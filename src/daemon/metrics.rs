//! What the parts count, as `/metrics` shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::api::metrics::Metrics;
use crate::api::{MemberDirectory, MemberState, MemberView};
use crate::io::clock::{mono, wall};
use crate::io::serve::ServeCounters;
use crate::protocol::membership::{Counts, MemberTable};
use crate::protocol::push::PushCounters;

use super::directory::Directory;
use super::peers::Peers;
use super::replication::Replication;
use super::scrub::ScrubCounters;
use super::sync::SyncCounters;

/// A counter's name, what it counts, and where it stands.
type Count<T> = (&'static str, &'static str, fn(&T) -> u64);
/// The same for a counter that the parts share.
type Counter<T> = (&'static str, &'static str, fn(&T) -> &AtomicU64);
type Table = watch::Receiver<Arc<MemberTable>>;

/// All metrics but those of the store and of requests, which the API has itself.
pub(super) fn registry(
    table: &Table,
    directory: &Arc<Directory>,
    replication: &Replication,
    peers: &Peers,
    serving: &Arc<ServeCounters>,
) -> Arc<Metrics> {
    let metrics = Metrics::new();
    connections(&metrics, serving);
    members(&metrics, directory);
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

/// The members that belong to the cluster, as `/v1/members` lists them.
fn members(metrics: &Metrics, directory: &Arc<Directory>) {
    let directory = directory.clone();
    metrics.labelled_fn(
        "gaggle_members",
        "Members that belong to the cluster, by state; forgotten ones do not.",
        "state",
        move || by_state(&directory.members()),
    );
}

/// How many are in each state but forgotten.
fn by_state(members: &[MemberView]) -> Vec<(String, f64)> {
    let states = [
        MemberState::Alive,
        MemberState::Suspect,
        MemberState::Dead,
        MemberState::Left,
    ];
    let count = |state| members.iter().filter(|at| at.state == state).count();
    #[expect(clippy::cast_precision_loss, reason = "members are few")]
    let counted = states.map(|state| (state.word().to_owned(), count(state) as f64));
    counted.to_vec()
}

fn membership(metrics: &Metrics, table: &Table) {
    let clocks = table.clone();
    metrics.labelled_fn(
        "gaggle_peer_clock_offset_seconds",
        "How far a live peer's clock is ahead of this member's.",
        "peer",
        move || {
            let (table, now, wall) = (clocks.borrow().clone(), mono(), wall());
            let told = table.live().filter_map(|row| {
                let offset = row.clock?.offset_ms(now, wall);
                #[expect(clippy::cast_precision_loss, reason = "clocks are not so far apart")]
                let seconds = offset as f64 / 1000.0;
                Some((row.id.to_string(), seconds))
            });
            told.collect()
        },
    );
    let watched = table.clone();
    metrics.gauge_fn(
        "gaggle_members_over_https",
        "Live members that are watched over HTTPS, for want of UDP.",
        #[expect(clippy::cast_precision_loss, reason = "members are few")]
        move || {
            let table = watched.borrow().clone();
            table.live().filter(|row| row.https_only).count() as f64
        },
    );
    datagrams(metrics, table);
}

/// What came and went between members.
fn datagrams(metrics: &Metrics, table: &Table) {
    let rows: [Count<Counts>; 11] = [
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
        (
            "gaggle_relays",
            "Requests that carried datagrams over HTTPS, for want of UDP.",
            |c| c.relays,
        ),
        ("gaggle_relay_failures", "Such requests that failed.", |c| {
            c.failed_relays
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
    let gauges: [Counter<SyncCounters>; 2] = [
        (
            "gaggle_sync_diverged_peers",
            "Living peers that stay different though nothing is left to exchange.",
            |c| &c.diverged,
        ),
        (
            "gaggle_sync_not_comparable_peers",
            "Living peers that differ and could not be compared for a minute.",
            |c| &c.not_comparable,
        ),
    ];
    for (name, help, gauge) in gauges {
        let sync = replication.sync.clone();
        #[expect(clippy::cast_precision_loss, reason = "peers are few")]
        metrics.gauge_fn(name, help, move || read(gauge(&sync)) as f64);
    }
}

/// What the scrub found.
pub(super) fn scrub(metrics: &Metrics, counters: &Arc<ScrubCounters>) {
    let rows: [Counter<ScrubCounters>; 6] = [
        (
            "gaggle_scrub_rows",
            "Rows read from disk and compared.",
            |c| &c.rows,
        ),
        ("gaggle_scrub_bytes", "Bytes in these rows.", |c| &c.bytes),
        (
            "gaggle_scrub_faults",
            "Things found that disk, memory and digest do not agree about.",
            |c| &c.faults,
        ),
        (
            "gaggle_scrub_mended_rows",
            "Keys and registers written again because the disk was damaged.",
            |c| &c.mended,
        ),
        (
            "gaggle_scrub_dropped_versions",
            "Damaged older versions that were left to the other members.",
            |c| &c.dropped,
        ),
        ("gaggle_scrub_passes", "Whole passes.", |c| &c.passes),
    ];
    for (name, help, counter) in rows {
        let counters = counters.clone();
        metrics.counter_fn(name, help, move || read(counter(&counters)));
    }
    let counters = counters.clone();
    metrics.gauge_fn(
        "gaggle_scrub_last_pass_timestamp_seconds",
        "When the last whole pass ended; 0: none has.",
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact")]
        move || read(&counters.last_pass) as f64,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MemberId, WallTime};

    #[test]
    fn a_forgotten_member_is_counted_in_no_state() {
        use MemberState::{Alive, Dead, Forgotten, Left};
        let view = |state| MemberView {
            id: MemberId::from_u64(1),
            name: String::new(),
            address: None,
            state,
            incarnation: None,
            version: None,
            since: WallTime::default(),
            lag_ms: None,
            digest: None,
            in_sync: false,
            watched_over: None,
            clock_offset_ms: None,
            forgotten_by: None,
            is_self: false,
        };
        let members = [Alive, Dead, Forgotten, Alive, Left, Forgotten].map(view);
        let shown = by_state(&members);
        let shown: Vec<(&str, f64)> = shown.iter().map(|(s, n)| (s.as_str(), *n)).collect();
        let expected = [
            ("alive", 2.0),
            ("suspect", 0.0),
            ("dead", 1.0),
            ("left", 1.0),
        ];
        assert_eq!(shown, expected);
    }
}
