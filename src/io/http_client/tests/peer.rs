//! Calls between members.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;

use crate::io::clock;
use crate::io::http_client::{MEMBER_HEADER, PeerCallError, PeerClient, PeerLimits, Target};
use crate::io::serve::tests::fixture::{
    PATIENCE, Server, Start, eventually, id, identity, new_cluster, trust,
};
use crate::io::serve::{Connection, ServeCounters};
use crate::io::tasks::Tasks;
use crate::io::tls::{Keyring, LeafNames, Secret, Secrets, TlsIdentity, TlsRefusal, Trust};
use crate::model::MemberId;

/// Answers a peer that is who it says, with its own words.
async fn echo(
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Bytes, StatusCode> {
    let said = headers.get(MEMBER_HEADER).and_then(|id| id.to_str().ok());
    let said: Option<MemberId> = said.and_then(|id| id.parse().ok());
    match (connection.peer, said) {
        (Some(peer), Some(said)) if peer.is(said) => Ok(body),
        _ => Err(StatusCode::NOT_FOUND),
    }
}

fn router() -> Router {
    Router::new()
        .route("/v1/peer/echo", post(echo))
        .route("/v1/peer/hang", post(std::future::pending::<()>))
        .route(
            "/v1/peer/no",
            post(|| async { (StatusCode::CONFLICT, "why not") }),
        )
}

fn client_of(identity: Arc<TlsIdentity>, trust: &Trust) -> PeerClient {
    let limits = PeerLimits {
        answer_bytes: 1000,
        ..PeerLimits::default()
    };
    PeerClient::new(identity, trust, limits, Tasks::new()).unwrap()
}

fn target(server: &Server, member: Option<u64>) -> Target {
    Target {
        address: server.address,
        member: member.map(id),
    }
}

async fn call(client: &PeerClient, to: &Target) -> Result<Bytes, PeerCallError> {
    client
        .post(to, "/v1/peer/echo", Bytes::from_static(b"hello"), PATIENCE)
        .await
}

#[tokio::test]
async fn calls_to_a_peer_share_one_connection_and_say_who_calls() {
    let cluster = new_cluster();
    let server = Start::new(&cluster, router()).start().await;
    let client = client_of(identity(&cluster, 2, 0), &trust(&cluster));
    let to = target(&server, Some(1));
    let calls = (0..50).map(|_| call(&client, &to));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap(), "hello");
    }
    assert_eq!(ServeCounters::read(&server.counters.accepted), 1);
    assert_eq!(
        call(&client, &target(&server, None)).await.unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn another_member_at_the_address_is_not_taken_for_the_one_we_want() {
    let cluster = new_cluster();
    let server = Start::new(&cluster, router()).start().await;
    let client = client_of(identity(&cluster, 2, 0), &trust(&cluster));
    let why = call(&client, &target(&server, Some(7))).await.unwrap_err();
    let PeerCallError::Refused {
        why: TlsRefusal::OtherName {
            expected,
            presented,
        },
        ..
    } = &why
    else {
        panic!("{why}");
    };
    assert!(expected.starts_with("0000000000000007."), "{expected}");
    assert!(presented.contains("0000000000000001."), "{presented}");
    assert!(why.was_not_sent());
}

#[tokio::test]
async fn another_secret_or_another_cluster_id_is_refused_both_ways() {
    let secret = Secrets::from(Secret::generate());
    let ours = secret.keys(&"ours".parse().unwrap()).unwrap();
    let same_secret = secret.keys(&"theirs".parse().unwrap()).unwrap();
    let server = Start::new(&ours, router()).start().await;
    for stranger in [new_cluster(), same_secret] {
        let client = client_of(identity(&stranger, 2, 0), &trust(&stranger));
        let why = call(&client, &target(&server, Some(1))).await.unwrap_err();
        assert_eq!(refusal(&why), &TlsRefusal::UnknownAuthority, "we refuse it");

        let client = client_of(identity(&stranger, 2, 0), &trust(&ours));
        let why = call(&client, &target(&server, Some(1))).await.unwrap_err();
        assert_eq!(refusal(&why), &TlsRefusal::OursUnknown, "it refuses us");
        assert!(why.was_not_sent());
    }
}

fn refusal(why: &PeerCallError) -> &TlsRefusal {
    match why {
        PeerCallError::Refused { why, .. } => why,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_expired_leaf_is_refused_both_ways_and_the_clock_is_named() {
    let cluster = new_cluster();
    let server = Start::new(&cluster, router()).start().await;
    let client = client_of(identity(&cluster, 2, 91), &trust(&cluster));
    let why = call(&client, &target(&server, Some(1))).await.unwrap_err();
    assert_eq!(refusal(&why), &TlsRefusal::OursExpired);
    assert!(why.to_string().contains("clock"), "{why}");

    let mut start = Start::new(&cluster, router());
    start.identity = identity(&cluster, 1, 91);
    let server = start.start().await;
    let client = client_of(identity(&cluster, 2, 0), &trust(&cluster));
    let why = call(&client, &target(&server, Some(1))).await.unwrap_err();
    assert!(matches!(refusal(&why), TlsRefusal::Expired { .. }), "{why}");
    assert!(why.to_string().contains("clock"), "{why}");
}

#[tokio::test]
async fn members_with_the_old_and_the_new_secret_talk_during_a_rotation() {
    let (old, new) = (Secret::generate(), Secret::generate());
    let keys = |first: &Secret, also: &Secret| -> Keyring {
        let secrets = Secrets {
            first: first.clone(),
            also: Some(also.clone()),
        };
        secrets.keys(&"c".parse().unwrap()).unwrap()
    };
    let (before, after) = (keys(&old, &new), keys(&new, &old));
    for (server_keys, client_keys) in [(&before, &after), (&after, &before)] {
        let server = Start::new(server_keys, router()).start().await;
        let client = client_of(identity(client_keys, 2, 0), &trust(client_keys));
        assert_eq!(
            call(&client, &target(&server, Some(1))).await.unwrap(),
            "hello"
        );
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_known_to_be_unsent() {
    let cluster = new_cluster();
    let client = client_of(identity(&cluster, 2, 0), &trust(&cluster));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let to = Target {
        address,
        member: None,
    };
    let brief = Duration::from_millis(50);
    let why = client.post(&to, "/v1/peer/echo", Bytes::new(), brief).await;
    let why = why.unwrap_err();
    assert!(
        matches!(why, PeerCallError::NotReached { .. }),
        "no handshake: {why}"
    );
    drop(listener);
    let why = call(&client, &to).await.unwrap_err();
    assert!(matches!(why, PeerCallError::NotReached { .. }), "{why}");
    assert!(why.was_not_sent());
}

#[tokio::test]
async fn a_call_that_is_not_answered_has_an_unknown_outcome() {
    let cluster = new_cluster();
    let server = Start::new(&cluster, router()).start().await;
    let client = client_of(identity(&cluster, 2, 0), &trust(&cluster));
    let to = target(&server, Some(1));
    assert!(call(&client, &to).await.is_ok());
    let limit = Duration::from_millis(50);
    let why = client.post(&to, "/v1/peer/hang", Bytes::new(), limit).await;
    let why = why.unwrap_err();
    assert!(matches!(why, PeerCallError::TimedOut { .. }), "{why}");
    assert!(!why.was_not_sent());
    assert!(
        call(&client, &to).await.is_ok(),
        "the connection is still good"
    );
}

#[tokio::test]
async fn a_refusal_comes_with_its_status_and_words_and_a_flood_is_stopped() {
    let cluster = new_cluster();
    let server = Start::new(&cluster, router()).start().await;
    let client = client_of(identity(&cluster, 2, 0), &trust(&cluster));
    let to = target(&server, Some(1));
    let why = client
        .post(&to, "/v1/peer/no", Bytes::new(), PATIENCE)
        .await;
    let PeerCallError::Answered { status, body, .. } = why.unwrap_err() else {
        panic!("an answer");
    };
    assert_eq!(
        (status, body.as_ref()),
        (StatusCode::CONFLICT, &b"why not"[..])
    );

    let large = Bytes::from(vec![0; 1001]);
    let why = client.post(&to, "/v1/peer/echo", large, PATIENCE).await;
    assert!(matches!(
        why,
        Err(PeerCallError::TooLarge { limit: 1000, .. })
    ));
}

async fn restart(server: Server, cluster: &Keyring) -> Server {
    let address: SocketAddr = server.address;
    assert!(server.tasks.stop(PATIENCE).await);
    let mut start = Start::new(cluster, router());
    start.address = address;
    start.start().await
}

#[tokio::test]
async fn a_peer_that_was_restarted_is_dialled_again() {
    let cluster = new_cluster();
    let mut server = Start::new(&cluster, router()).start().await;
    let client = client_of(identity(&cluster, 2, 0), &trust(&cluster));
    let to = target(&server, Some(1));
    for _ in 0..3 {
        assert_eq!(call(&client, &to).await.unwrap(), "hello");
        server = restart(server, &cluster).await;
    }
    assert_eq!(call(&client, &to).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_renewed_leaf_is_shown_with_the_next_call() {
    let cluster = new_cluster();
    let server = Start::new(&cluster, router()).start().await;
    let identity = identity(&cluster, 2, 0);
    let client = client_of(identity.clone(), &trust(&cluster));
    let to = target(&server, Some(1));
    assert!(call(&client, &to).await.is_ok());
    identity
        .renew(&LeafNames::new(["new-name"]), clock::wall())
        .unwrap();
    assert!(call(&client, &to).await.is_ok());
    assert_eq!(ServeCounters::read(&server.counters.accepted), 2);
    eventually("the old connection is closed", || {
        ServeCounters::read(&server.counters.open) == 1
    })
    .await;
}
