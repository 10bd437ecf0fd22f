//! What the kernel says about this process: memory, open files, and since when it runs.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::io::clock;

/// Reads `/proc/self` whenever it is asked; what the system does not tell is left out.
#[derive(Debug)]
pub(super) struct Process {
    started_seconds: f64,
}

impl Process {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a time of day in ms is far below 2^53"
    )]
    pub(super) fn new() -> Self {
        Self {
            started_seconds: clock::wall().millis() as f64 / 1000.0,
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let shown = [
            (
                "process_start_time_seconds",
                "When it started",
                Some(self.started_seconds),
            ),
            (
                "process_resident_memory_bytes",
                "Memory that it takes",
                resident_bytes(),
            ),
            ("process_open_fds", "Files that it has open", open_files()),
        ];
        for (name, help, value) in shown {
            let Some(value) = value else {
                continue;
            };
            let to = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(to)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kib) * 1024.0)
}

fn open_files() -> Option<f64> {
    // The directory itself is open while it is read.
    let open = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}
