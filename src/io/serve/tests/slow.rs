//! Clients that are slow, on purpose or not, lose their connection.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fixture::{Server, by_hand, eventually, start, until_closed};
use crate::io::serve::{ServeCounters, ServeLimits, SlowBody};
use crate::io::tls::{Keyring, Offer};

const SHORT: Duration = Duration::from_millis(100);

fn router() -> Router {
    let large = Bytes::from(vec![b'x'; 64 * 1024 * 1024]);
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/half", get(|| async { vec![b'x'; 5_000_000] }))
        .route("/large", get(move || async move { large.clone() }))
        .route(
            "/body",
            post(|body: Body| async move {
                match body.collect().await {
                    Ok(_) => StatusCode::NO_CONTENT,
                    Err(why) if SlowBody::is_cause_of(&why) => StatusCode::REQUEST_TIMEOUT,
                    Err(_) => StatusCode::BAD_REQUEST,
                }
            }),
        )
}

async fn with(change: impl FnOnce(&mut ServeLimits)) -> (Server, Keyring) {
    let mut limits = ServeLimits::default();
    change(&mut limits);
    start(router(), limits).await
}

fn cut(server: &Server) -> u64 {
    ServeCounters::read(&server.counters.too_slow)
}

#[tokio::test]
async fn a_slow_handshake_is_closed() {
    let (server, _) = with(|limits| limits.handshake = SHORT).await;
    for bytes in [&b""[..], &[0x16], &[0x16, 3, 1, 0, 200, 1]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        assert_eq!(until_closed(&mut stream).await, "");
    }
    let failures = || ServeCounters::read(&server.counters.handshake_failures);
    eventually("each is counted", || failures() == 3).await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let (server, cluster) = with(|limits| limits.header = SHORT).await;
    for offer in [Offer::Http1, Offer::Http2] {
        let mut stream = by_hand(&server, &cluster, offer).await;
        until_closed(&mut stream).await;
    }
    assert_eq!(cut(&server), 2);
}

#[tokio::test]
async fn a_slow_header_is_closed_also_on_a_connection_that_was_good() {
    let (server, cluster) = with(|limits| limits.header = SHORT).await;
    for requests_before in 0..2 {
        let mut stream = by_hand(&server, &cluster, Offer::Http1).await;
        for _ in 0..requests_before {
            let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut said = Vec::new();
            while !said.ends_with(b"hello") {
                assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0);
            }
        }
        stream.write_all(b"GET / HTTP/1.1\r\nHos").await.unwrap();
        assert_eq!(until_closed(&mut stream).await, "");
    }
    assert_eq!(cut(&server), 2);
}

#[tokio::test]
async fn a_slow_body_is_given_up_and_the_handler_can_say_so() {
    for change in [
        (|limits| limits.body_idle = SHORT) as fn(&mut ServeLimits),
        |limits| limits.body_total = SHORT,
    ] {
        let (server, cluster) = with(change).await;
        let mut stream = by_hand(&server, &cluster, Offer::Http1).await;
        let request = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc";
        stream.write_all(request).await.unwrap();
        let said = until_closed(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_blame() {
    let (server, cluster) = with(|limits| limits.idle = SHORT).await;
    let mut stream = by_hand(&server, &cluster, Offer::Http1).await;
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert!(until_closed(&mut stream).await.contains("hello"));

    let client = super::fixture::client(&server, &super::fixture::trust(&cluster), Offer::Http2);
    assert_eq!(client.get("/").await.unwrap().body, "hello");
    eventually("both are gone", || {
        ServeCounters::read(&server.counters.open) == 0
    })
    .await;
    assert_eq!(cut(&server), 0);
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_cut_off() {
    let (server, cluster) = with(|limits| limits.stall = SHORT).await;
    let mut stream = by_hand(&server, &cluster, Offer::Http1).await;
    let request = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    eventually("the reader of nothing is cut off", || cut(&server) == 1).await;

    let stream = by_hand(&server, &cluster, Offer::Http2).await;
    let stream = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, driver) = hyper::client::conn::http2::handshake(executor, stream)
        .await
        .unwrap();
    server.tasks.spawn_until_stop(async move {
        let _ = driver.await;
    });
    let request = http::Request::get("https://localhost/large");
    let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    eventually("under HTTP/2 as well", || cut(&server) == 2).await;
    drop(answer);
}

#[tokio::test]
async fn a_large_answer_arrives_whole() {
    let (server, cluster) = with(|_| {}).await;
    for offer in [Offer::Http1, Offer::Http2] {
        let trust = super::fixture::trust(&cluster);
        let client = super::fixture::client(&server, &trust, offer);
        let answer = client.get("/half").await.unwrap();
        assert_eq!(answer.body.len(), 5_000_000);
        assert!(answer.body.iter().all(|byte| *byte == b'x'));
    }
}
