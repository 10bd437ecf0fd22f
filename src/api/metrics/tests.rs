//! What the page of metrics shows.

use super::*;

#[test]
fn requests_and_closures_are_shown_with_units_and_labels() {
    let metrics = Metrics::new();
    for _ in 0..3 {
        let took = Duration::from_micros(200);
        metrics.count(Route::Key("a", "b"), &Method::GET, StatusCode::OK, took);
    }
    let took = Duration::from_secs(2);
    metrics.count(Route::Nothing, &Method::TRACE, StatusCode::NOT_FOUND, took);
    metrics.gauge_fn("gaggle_store_bytes", "Bytes in the current values", || 1.5);
    metrics.counter_fn("gaggle_push_failures", "Pushes that failed", || 7);
    let read = || vec![("alive".to_owned(), 2.0), ("dead".to_owned(), 0.0)];
    metrics.labelled_fn("gaggle_members", "Members by state", "state", read);
    let text = metrics.text();
    for line in [
        r#"gaggle_http_requests_total{route="/v1/store/{node}/{key}",method="GET",status="2xx"} 3"#,
        r#"gaggle_http_requests_total{route="other",method="other",status="4xx"} 1"#,
        r#"gaggle_http_request_seconds_count{route="/v1/store/{node}/{key}"} 3"#,
        r#"gaggle_http_request_seconds_bucket{le="0.0001",route="/v1/store/{node}/{key}"} 0"#,
        r#"gaggle_http_request_seconds_bucket{le="0.00025",route="/v1/store/{node}/{key}"} 3"#,
        "# TYPE gaggle_store_bytes gauge",
        "gaggle_store_bytes 1.5",
        "gaggle_push_failures_total 7",
        r#"gaggle_members{state="alive"} 2.0"#,
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in:\n{text}"
        );
    }
    assert!(text.contains("process_resident_memory_bytes "), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}
