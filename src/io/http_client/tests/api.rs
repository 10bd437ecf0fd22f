//! The client of the command line.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{any, get};
use http::{HeaderMap, Method};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::io::http_client::{ApiClient, ApiError, ApiOptions, ApiRequest, Credentials};
use crate::io::serve::tests::fixture::{PATIENCE, Start, client, new_cluster, start, trust};
use crate::io::serve::{ServeCounters, ServeLimits};
use crate::io::tls::Offer;

fn router() -> Router {
    Router::new()
        .route(
            "/echo/{*rest}",
            any(
                |method: Method, uri: http::Uri, headers: HeaderMap, body: Bytes| async move {
                    let authorization = headers.get("authorization").map(|v| v.to_str().unwrap());
                    let authorization = authorization.unwrap_or("-").to_owned();
                    let body = String::from_utf8_lossy(&body).into_owned();
                    format!(
                        "{method} {} {authorization} {body}",
                        uri.path_and_query().unwrap()
                    )
                },
            ),
        )
        .route("/hang", get(std::future::pending::<()>))
}

#[tokio::test]
async fn any_method_path_and_body_goes_through_as_it_is_with_the_password() {
    let (server, cluster) = start(router(), ServeLimits::default()).await;
    for offer in [Offer::Http1, Offer::Http2] {
        let options = ApiOptions {
            credentials: Some(Credentials {
                user: "admin".to_owned(),
                password: Zeroizing::new("pä:ss".to_owned()),
            }),
            offer,
            ..ApiOptions::default()
        };
        assert!(!format!("{options:?}").contains("ss\""));
        let url = format!("https://localhost:{}", server.address.port());
        let client = ApiClient::new(&url, &trust(&cluster), options).unwrap();
        for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::POST] {
            let request = ApiRequest::new(method.clone(), "/echo/a//b%2F?q=1%20").with_body("hey");
            let answer = client.request(request).await.unwrap();
            let expected = format!("{method} /echo/a//b%2F?q=1%20 Basic YWRtaW46cMOkOnNz hey");
            assert_eq!(answer.body, expected);
        }
        let head = ApiRequest::new(Method::HEAD, "/echo/x");
        assert_eq!(client.request(head).await.unwrap().body, "");
    }
}

#[tokio::test]
async fn requests_one_after_another_use_one_connection() {
    for offer in [Offer::Http1, Offer::Http2] {
        let (server, cluster) = start(router(), ServeLimits::default()).await;
        let client = client(&server, &trust(&cluster), offer);
        for _ in 0..20 {
            assert_eq!(client.get("/echo/x").await.unwrap().status, 200);
        }
        assert_eq!(
            ServeCounters::read(&server.counters.accepted),
            1,
            "{offer:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_was_restarted_is_dialled_again() {
    for offer in [Offer::Http1, Offer::Http2] {
        let cluster = new_cluster();
        let mut server = Start::new(&cluster, router()).start().await;
        let client = client(&server, &trust(&cluster), offer);
        for _ in 0..3 {
            assert_eq!(
                client.get("/echo/x").await.unwrap().status,
                200,
                "{offer:?}"
            );
            assert!(server.tasks.stop(PATIENCE).await);
            let mut again = Start::new(&cluster, router());
            again.address = server.address;
            server = again.start().await;
        }
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_said_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("https://localhost:{}", address.port());
    let client = ApiClient::new(&url, &trust(&new_cluster()), ApiOptions::default()).unwrap();
    let why = client.get("/").await.unwrap_err().to_string();
    for part in ["nobody answers at", &url, "127.0.0.1", "[::1]"] {
        assert!(why.contains(part), "{why}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_said_to_be_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = crate::io::tasks::Tasks::new();
    tasks.spawn_until_stop(async move {
        axum::serve(listener, router()).await.unwrap();
    });
    let url = format!("https://{address}");
    let client = ApiClient::new(&url, &trust(&new_cluster()), ApiOptions::default()).unwrap();
    let why = client.get("/").await.unwrap_err().to_string();
    assert!(why.contains("does not speak TLS"), "{why}");
    tasks.cancel();
}

#[tokio::test]
async fn no_answer_in_time_has_an_unknown_outcome() {
    let (server, cluster) = start(router(), ServeLimits::default()).await;
    let options = ApiOptions {
        limit: Duration::from_millis(1500),
        ..ApiOptions::default()
    };
    let url = format!("https://{}", server.address);
    let client = ApiClient::new(&url, &trust(&cluster), options).unwrap();
    assert_eq!(client.get("/echo/x").await.unwrap().status, 200);
    let why = client.get("/hang").await.unwrap_err();
    assert!(matches!(why, ApiError::TimedOut { .. }), "{why}");
    assert!(why.to_string().contains("unknown"), "{why}");
}
