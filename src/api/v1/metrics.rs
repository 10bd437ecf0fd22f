//! `/metrics`: what Prometheus reads.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use crate::api::reply;
use crate::api::server::{Answer, Call};

/// The media type of the text format of `OpenMetrics` 1.0.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics. Some of them count, so a thread that may block writes the page.
pub(super) async fn get(call: &Call<'_>) -> Answer {
    let metrics = call.api.parts.metrics.clone();
    let text = call.blocking(move || metrics.text()).await?;
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
    reply::no_store(response.headers_mut());
    Ok(response)
}
