//! The strong side: how this member stands in its group, and what came of requests to it.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{Metrics, float};
use crate::app::Strong;
use crate::strong::engine::{Engine, Role, Status, StrongError};

/// Upper bounds of the buckets, in seconds: a write has at least a sync and a round.
const BOUNDS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// What was asked of the strong side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Asked {
    /// A command for the log.
    Write,
    /// A state with everything that was answered before.
    Read,
}

impl Asked {
    fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Requests that this member took for the strong side, whoever leads.
pub(super) struct Requests {
    counts: Family<Labels, Counter>,
    seconds: Family<KindLabel, Histogram>,
}

impl Requests {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let counts = Family::default();
        let help = "Requests to the strong side, by what came of them";
        registry.register("gaggle_strong_requests", help, counts.clone());
        let new: fn() -> Histogram = || Histogram::new(BOUNDS);
        let seconds = Family::new_with_constructor(new);
        let help = "Time from a request to the strong side to its answer";
        let name = "gaggle_strong_request";
        registry.register_with_unit(name, help, Unit::Seconds, seconds.clone());
        Self { counts, seconds }
    }

    pub(super) fn count(&self, asked: Asked, result: &'static str, took: Duration) {
        let kind = asked.word();
        self.counts.get_or_create(&Labels { kind, result }).inc();
        let seconds = self.seconds.get_or_create(&KindLabel { kind });
        seconds.observe(took.as_secs_f64());
    }
}

/// What came of a request, in a word.
fn result<T>(answer: &Result<T, StrongError>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(StrongError::Refused(_)) => "refused",
        Err(StrongError::NoQuorum | StrongError::Behind) => "no-quorum",
        Err(StrongError::Off(_)) => "down",
        Err(StrongError::Overloaded) => "overloaded",
        Err(StrongError::Unknown(_)) => "unknown",
        Err(StrongError::Impossible(_)) => "impossible",
    }
}

impl Metrics {
    /// Counts a request to the strong side.
    pub(in crate::api) fn count_strong<T>(
        &self,
        asked: Asked,
        answer: &Result<T, StrongError>,
        took: Duration,
    ) {
        self.strong.count(asked, result(answer), took);
    }

    /// Shows how this member stands in its group, if it has a strong side.
    pub(in crate::api) fn watch_strong(&self, strong: &Strong) {
        if let Ok(engine) = strong.engine() {
            let side = Side(engine.clone());
            self.registry.lock().register_collector(Box::new(side));
        }
    }
}

/// The strong side, looked at whenever it is asked.
#[derive(Debug)]
struct Side(Engine);

impl Collector for Side {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let status = self.0.status();
        for (name, help, value) in gauges(&status) {
            let to = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(to)?;
        }
        let (name, help) = (
            "gaggle_strong_leader_changes",
            "Times that somebody was seen to begin to lead",
        );
        let to = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(status.leads).encode(to)?;
        let (name, help) = (
            "gaggle_strong_lacking_entries",
            "Entries that a voter or learner lacks; only the leader knows",
        );
        let mut to = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for part in &status.members {
            if let Some(lacks) = part.lacks {
                let labels = [("peer", part.member.to_string())];
                ConstGauge::new(number(lacks)).encode(to.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn gauges(status: &Status) -> [(&'static str, &'static str, f64); 14] {
    let is = |what: bool| f64::from(u8::from(what));
    let voters = status.voters().count();
    [
        (
            "gaggle_strong_working",
            "Whether this member takes part in a group (1) or not (0)",
            is(status.state == "working"),
        ),
        (
            "gaggle_strong_is_leader",
            "Whether this member leads the group",
            is(status.role == Role::Leader),
        ),
        (
            "gaggle_strong_has_leader",
            "Whether this member knows of a leader",
            is(status.leader.is_some()),
        ),
        (
            "gaggle_strong_has_majority",
            "Whether more than half of the voters are there",
            is(status.majority),
        ),
        (
            "gaggle_strong_term",
            "The term: elections that were begun in the group",
            number(status.term),
        ),
        (
            "gaggle_strong_last_index",
            "The last entry in this member's log",
            number(status.last),
        ),
        (
            "gaggle_strong_committed_index",
            "The last entry that this member knows to be committed",
            number(status.committed),
        ),
        (
            "gaggle_strong_applied_index",
            "The last entry that this member has applied",
            number(status.applied),
        ),
        (
            "gaggle_strong_snapshot_index",
            "The last entry in this member's snapshot; 0: there is none",
            number(status.snapshot),
        ),
        (
            "gaggle_strong_log_entries",
            "Entries in this member's log on disk",
            number(status.entries),
        ),
        ("gaggle_strong_voters", "Voters of the group", float(voters)),
        (
            "gaggle_strong_voters_alive",
            "Voters that this member sees alive",
            float(voters - status.missing().count()),
        ),
        (
            "gaggle_strong_learners",
            "Learners of the group",
            float(status.members.len() - voters),
        ),
        (
            "gaggle_strong_unconfirmed_seconds",
            "For how long nobody has confirmed what this member has; -1: not since the start",
            status.age.map_or(-1.0, |age| age.as_secs_f64()),
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "nobody writes 2^53 entries")]
fn number(count: u64) -> f64 {
    count as f64
}
