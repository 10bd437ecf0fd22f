//! Collectors that read their value from a closure when they are asked.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

type Read<T> = Box<dyn Fn() -> T + Send + Sync>;

pub(super) struct GaugeFn {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) read: Read<f64>,
}

pub(super) struct CounterFn {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) read: Read<u64>,
}

pub(super) struct LabelledFn {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) label: &'static str,
    pub(super) read: Read<Vec<(String, f64)>>,
}

macro_rules! debug_by_name {
    ($($type:ident)*) => {
        $(impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name)
            }
        })*
    };
}

debug_by_name!(GaugeFn CounterFn LabelledFn);

impl Collector for GaugeFn {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let to = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        ConstGauge::new((self.read)()).encode(to)
    }
}

impl Collector for CounterFn {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let to = encoder.encode_descriptor(self.name, self.help, None, MetricType::Counter)?;
        ConstCounter::new((self.read)()).encode(to)
    }
}

impl Collector for LabelledFn {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut to = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        for (value, gauge) in (self.read)() {
            let labels = [(self.label, value)];
            ConstGauge::new(gauge).encode(to.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
