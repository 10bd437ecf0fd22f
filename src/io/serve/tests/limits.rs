//! Bounds on numbers and sizes.

use axum::Router;
use axum::routing::get;
use http::Method;
use tokio::net::TcpStream;

use super::fixture::{by_hand, client, eventually, start, trust, until_closed};
use crate::io::http_client::ApiRequest;
use crate::io::serve::{ServeCounters, ServeLimits};
use crate::io::tls::Offer;

fn router() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

#[tokio::test]
async fn headers_that_are_too_long_or_too_many_are_answered_with_431() {
    let (server, cluster) = start(router(), ServeLimits::default()).await;
    for offer in [Offer::Http1, Offer::Http2] {
        let client = client(&server, &trust(&cluster), offer);
        let get = || ApiRequest::new(Method::GET, "/");
        let fits = get().with_header("x-long", &"x".repeat(32 * 1024));
        assert_eq!(client.request(fits).await.unwrap().status, 200, "{offer:?}");
        let long = get().with_header("x-long", &"x".repeat(70 * 1024));
        let answer = client.request(long).await.unwrap();
        assert_eq!(answer.status, 431, "{offer:?}");
        let many = (0..120).fold(get(), |r, n| r.with_header(&format!("x-{n}"), "x"));
        let answer = client.request(many).await.unwrap();
        assert_eq!(answer.status, 431, "{offer:?}");
        assert_eq!(client.get("/").await.unwrap().status, 200, "{offer:?}");
    }
}

#[tokio::test]
async fn beyond_the_limit_connections_are_closed_and_counted() {
    let limits = ServeLimits {
        connections: 2,
        reserved_for_peers: 1,
        ..ServeLimits::default()
    };
    let (server, cluster) = start(router(), limits).await;
    let first = by_hand(&server, &cluster, Offer::Http1).await;

    let config = crate::io::tls::towards_servers(&trust(&cluster), Offer::Http1).unwrap();
    let reserve = super::fixture::handshake(&server, "localhost", config).await;
    assert!(reserve.is_err(), "the second place is for a peer");
    eventually("its place is free again", || {
        ServeCounters::read(&server.counters.open) == 1
    })
    .await;

    let in_handshake = TcpStream::connect(server.address).await.unwrap();
    eventually("the second place is taken", || {
        ServeCounters::read(&server.counters.open) == 2
    })
    .await;
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(until_closed(&mut third).await, "");
    assert_eq!(ServeCounters::read(&server.counters.refused_by_limit), 2);

    drop((first, in_handshake));
    eventually("all places are free again", || {
        ServeCounters::read(&server.counters.open) == 0
    })
    .await;
    let client = client(&server, &trust(&cluster), Offer::Best);
    assert_eq!(client.get("/").await.unwrap().status, 200);
}
