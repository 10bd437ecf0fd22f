//! Whoever answers requests, as a server knows it: one call, one boxed future.
//!
//! A router is one, but costs each request several boxes and two searches of its table; a face that
//! reads paths itself hands itself over directly.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tower::Service;

type Call = dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync;

/// Answers requests; a copy is another handle to the same.
#[derive(Clone)]
pub struct Answerer(Arc<Call>);

impl Answerer {
    /// What this function answers.
    pub fn new<F>(answer: impl Fn(Request<Body>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(answer(request))))
    }

    /// The answer to a request.
    pub fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        (self.0)(request)
    }
}

impl From<Router> for Answerer {
    fn from(router: Router) -> Self {
        Self::new(move |request| {
            let mut router = router.clone();
            async move {
                match router.call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        })
    }
}
