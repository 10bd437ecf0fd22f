//! What the gate lets in and what it keeps out.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;

use super::*;

fn headers(name: &str, password: &str) -> HeaderMap {
    let text = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
    HeaderMap::from_iter([(AUTHORIZATION, text.parse().unwrap())])
}

fn auth(name: &str, password: &str) -> Auth {
    let users = Users::one(name, hash_password(password).unwrap()).unwrap();
    Auth::new(users, Tasks::new())
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

async fn ask(auth: &Auth, name: &str, password: &str, last: u8) -> Result<String, Code> {
    let verdict = auth.check(&headers(name, password), address(last)).await;
    verdict
        .map(|principal| principal.name.to_string())
        .map_err(|problem| problem.code)
}

#[tokio::test]
async fn right_credentials_enter_and_wrong_ones_do_not() {
    let auth = auth("ann", "pass:wörd");
    assert_eq!(ask(&auth, "ann", "pass:wörd", 1).await, Ok("ann".into()));
    assert_eq!(ask(&auth, "ann", "pass", 1).await, Err(Code::Unauthorized));
    assert_eq!(
        ask(&auth, "bob", "pass:wörd", 1).await,
        Err(Code::Unauthorized)
    );
    assert_eq!(ask(&auth, "ann", "", 1).await, Err(Code::Unauthorized));
    assert_eq!(auth.failures(), 3);
    let none = auth.check(&HeaderMap::new(), address(1)).await;
    assert_eq!(none, Err(Problem::unauthorized()));
    assert_eq!(auth.failures(), 3, "no credentials, no hash");
}

#[tokio::test]
async fn other_users_count_from_the_next_request_on() {
    let auth = auth("ann", "old");
    assert!(ask(&auth, "ann", "old", 1).await.is_ok());
    auth.replace_users(Users::one("ann", hash_password("new").unwrap()).unwrap());
    assert_eq!(ask(&auth, "ann", "old", 1).await, Err(Code::Unauthorized));
    assert!(ask(&auth, "ann", "new", 1).await.is_ok());
    auth.replace_users(Users::new([]).unwrap());
    assert_eq!(ask(&auth, "ann", "new", 1).await, Err(Code::Unauthorized));
}

#[tokio::test]
async fn a_flood_of_guesses_is_stopped_before_it_is_hashed_and_slows_no_known_client() {
    let auth = auth("ann", "secret");
    assert!(ask(&auth, "ann", "secret", 1).await.is_ok());
    let mut refused = 0;
    for guess in 0..200 {
        match ask(&auth, "ann", &format!("guess {guess}"), 1).await {
            Err(Code::TooManyAttempts) => refused += 1,
            other => assert_eq!(other, Err(Code::Unauthorized)),
        }
        assert!(
            ask(&auth, "ann", "secret", 1).await.is_ok(),
            "guess {guess}"
        );
    }
    assert!(refused >= 30, "only {refused} of 200 were refused");
    assert_eq!((auth.refused(), auth.failures()), (refused, 200 - refused));
    let problem = auth
        .check(&headers("ann", "x"), address(1))
        .await
        .unwrap_err();
    assert_eq!(problem.retry_after, Some(1));
    assert_eq!(
        ask(&auth, "ann", "x", 2).await,
        Err(Code::Unauthorized),
        "another address"
    );
}

#[tokio::test]
async fn a_hundred_connections_with_one_password_cost_one_hash() {
    let auth = auth("ann", "secret");
    let good = headers("ann", "secret");
    let all = (0..100).map(|_| auth.check(&good, address(1)));
    for verdict in futures_util::future::join_all(all).await {
        assert!(verdict.is_ok(), "{verdict:?}");
    }
    let bad = headers("ann", "wrong");
    let all = (0..100).map(|_| auth.check(&bad, address(1)));
    for verdict in futures_util::future::join_all(all).await {
        assert_eq!(verdict, Err(Problem::unauthorized()));
    }
    assert_eq!(auth.failures(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_is_verified_leaves_no_trace() {
    let auth = auth("ann", "secret");
    let good = headers("ann", "secret");
    let hurry = tokio::time::timeout(Duration::ZERO, auth.check(&good, address(1)));
    assert!(hurry.await.is_err(), "a hash takes longer than no time");
    assert!(ask(&auth, "ann", "secret", 1).await.is_ok());
}
