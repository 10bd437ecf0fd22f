//! Stopping: what is under way is finished, within a limit.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::fixture::{PATIENCE, client, eventually, start, trust};
use crate::io::serve::{ServeCounters, ServeLimits};
use crate::io::tls::Offer;

/// A handler that says when it began and ends when it is let.
fn router(began: &Arc<Semaphore>, go_on: &Arc<Semaphore>) -> Router {
    let (began, go_on) = (began.clone(), go_on.clone());
    let handler = move || async move {
        began.add_permits(1);
        let _let_go = go_on.acquire().await.unwrap();
        "finished"
    };
    Router::new()
        .route("/slow", get(handler))
        .route("/", get(|| async { "hello" }))
}

#[tokio::test]
async fn a_stop_finishes_requests_in_flight_and_accepts_no_more() {
    for offer in [Offer::Http1, Offer::Http2] {
        let (began, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (server, cluster) = start(router(&began, &go_on), ServeLimits::default()).await;
        let idle = client(&server, &trust(&cluster), offer);
        assert_eq!(idle.get("/").await.unwrap().body, "hello");
        let busy = client(&server, &trust(&cluster), offer);
        let stop = async {
            began.acquire().await.unwrap().forget();
            server.tasks.cancel();
            eventually("the idle connection is closed", || {
                ServeCounters::read(&server.counters.open) == 1
            })
            .await;
            let refused = TcpStream::connect(server.address).await;
            assert!(refused.is_err(), "no more is accepted");
            go_on.add_permits(1);
        };
        let (answer, ()) = tokio::join!(busy.get("/slow"), stop);
        assert_eq!(answer.unwrap().body, "finished", "{offer:?}");
        assert!(server.tasks.stop(PATIENCE).await);
        assert_eq!(ServeCounters::read(&server.counters.open), 0);
    }
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_off() {
    for offer in [Offer::Http1, Offer::Http2] {
        let (began, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let limits = ServeLimits {
            drain: Duration::from_millis(50),
            ..ServeLimits::default()
        };
        let (server, cluster) = start(router(&began, &go_on), limits).await;
        let busy = client(&server, &trust(&cluster), offer);
        let stop = async {
            began.acquire().await.unwrap().forget();
            assert!(server.tasks.stop(PATIENCE).await, "{offer:?}");
        };
        let (answer, ()) = tokio::join!(busy.get("/slow"), stop);
        assert!(answer.is_err(), "{offer:?}");
    }
}
