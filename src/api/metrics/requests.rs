//! Requests, counted by route, method and class of status. A counter is looked up once, and then
//! found by its place in a table.

use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::api::route::{ROUTES, Route};

const METHODS: [&str; 8] = [
    "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST", "other",
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

type Table = [[[OnceLock<Counter>; CLASSES.len()]; METHODS.len()]; ROUTES];

pub(super) struct Requests {
    counts: Family<Labels, Counter>,
    seconds: Family<RouteLabel, Histogram>,
    table: Box<Table>,
    histograms: [OnceLock<Histogram>; ROUTES],
}

impl Requests {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let counts = Family::default();
        registry.register("gaggle_http_requests", "Requests answered", counts.clone());
        let new: fn() -> Histogram = || Histogram::new(BOUNDS);
        let seconds = Family::new_with_constructor(new);
        let help = "Time from a request's head to its answer's head";
        registry.register_with_unit("gaggle_http_request", help, Unit::Seconds, seconds.clone());
        Self {
            counts,
            seconds,
            table: Box::new(std::array::from_fn(|_| Default::default())),
            histograms: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    pub(super) fn count(
        &self,
        route: Route<'_>,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let (place, name) = route.index();
        let method = method_index(method);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let cells = self
            .table
            .get(place)
            .and_then(|row| row.get(method)?.get(class));
        if let Some(cell) = cells {
            let make = || {
                let labels = Labels {
                    route: name,
                    method: METHODS[method],
                    status: CLASSES[class],
                };
                self.counts.get_or_create_owned(&labels)
            };
            cell.get_or_init(make).inc();
        }
        if let Some(cell) = self.histograms.get(place) {
            let make = || {
                self.seconds
                    .get_or_create_owned(&RouteLabel { route: name })
            };
            cell.get_or_init(make).observe(took.as_secs_f64());
        }
    }
}

fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::PUT => 2,
        Method::PATCH => 3,
        Method::DELETE => 4,
        Method::OPTIONS => 5,
        Method::POST => 6,
        _ => 7,
    }
}
