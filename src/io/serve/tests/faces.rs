//! Two faces on one port: what peers and clients see, and who is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fixture::{Server, Start, until_closed};
use super::fixture::{by_hand, client, eventually, handshake, id, new_cluster, start, trust};
use crate::io::serve::{Connection, ServeCounters, ServeLimits};
use crate::io::tls::{Keyring, Offer, PEER_NAME, TlsRefusal};

fn router() -> Router {
    Router::new().route(
        "/who",
        get(|Extension(connection): Extension<Connection>| async move {
            match connection.peer {
                Some(peer) => format!("peer is-2={} is-3={}", peer.is(id(2)), peer.is(id(3))),
                None => format!("client {}", connection.remote.ip()),
            }
        }),
    )
}

/// Shows a key, or none, and remembers whether it was asked.
#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>, AtomicBool);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.1.store(true, Ordering::Relaxed);
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn config(
    cluster: &Keyring,
    shows: Arc<Shows>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in cluster.authorities() {
        roots.add(authority.ca_der().clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(shows);
    Arc::new(config)
}

/// Speaks to the server by that name with that certificate: what it answers, or why not.
async fn speak(server: &Server, name: &'static str, config: Arc<ClientConfig>) -> String {
    let mut stream = match handshake(server, name, config).await {
        Ok(stream) => stream,
        Err(why) => return TlsRefusal::find(&why).map_or(why.to_string(), |why| why.to_string()),
    };
    let request = b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(request).await;
    let mut said = String::new();
    match stream.read_to_string(&mut said).await {
        Ok(_) => said,
        Err(why) => TlsRefusal::find(&why).map_or(said, |why| why.to_string()),
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

fn self_signed() -> Arc<CertifiedKey> {
    let made = rcgen::generate_simple_self_signed([PEER_NAME.to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let chain = vec![made.cert.der().clone()];
    Arc::new(CertifiedKey::from_der(chain, key, &provider).unwrap())
}

fn leaf_of(cluster: &Keyring) -> Arc<CertifiedKey> {
    let identity = super::fixture::identity(cluster, 2, 0);
    ResolvesClientCert::resolve(identity.as_ref(), &[], &[]).unwrap()
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_on_one_port() {
    let (server, cluster) = start(router(), ServeLimits::default()).await;
    for (offer, version) in [
        (Offer::Best, http::Version::HTTP_2),
        (Offer::Http1, http::Version::HTTP_11),
    ] {
        let answer = client(&server, &trust(&cluster), offer)
            .get("/who")
            .await
            .unwrap();
        assert_eq!(answer.version, version);
        assert_eq!(answer.body, "client 127.0.0.1");
    }
}

#[tokio::test]
async fn a_client_is_not_asked_for_a_certificate_and_a_peer_is() {
    let (server, cluster) = start(router(), ServeLimits::default()).await;
    for (name, asked, said) in [
        ("localhost", false, "client 127.0.0.1"),
        ("127.0.0.1", false, "client 127.0.0.1"),
        (PEER_NAME, true, "peer is-2=true is-3=false"),
        (
            "0000000000000001.member.gaggle.internal",
            true,
            "peer is-2=true is-3=false",
        ),
    ] {
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let shows = Arc::new(Shows(Some(leaf_of(&cluster)), AtomicBool::new(false)));
            let answer = speak(&server, name, config(&cluster, shows.clone(), &[version])).await;
            assert!(answer.contains(said), "{name} {version:?}: {answer}");
            assert_eq!(shows.1.load(Ordering::Relaxed), asked, "{name} {version:?}");
        }
    }
}

#[tokio::test]
async fn a_peer_without_a_certificate_of_the_cluster_is_refused_at_the_handshake() {
    let (server, cluster) = start(router(), ServeLimits::default()).await;
    let stranger = leaf_of(&new_cluster());
    for (shown, reason) in [
        (None, "wants a certificate"),
        (Some(self_signed()), "does not trust our certificate"),
        (Some(stranger), "does not trust our certificate"),
    ] {
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let shows = Arc::new(Shows(shown.clone(), AtomicBool::new(false)));
            let answer = speak(&server, PEER_NAME, config(&cluster, shows, &[version])).await;
            assert!(!answer.contains("HTTP"), "{version:?}: {answer}");
            // Under TLS 1.2 a handshake without a certificate ends with the general alert.
            let general = shown.is_none() && version.version != rustls::ProtocolVersion::TLSv1_3;
            assert!(answer.contains(reason) || general, "{version:?}: {answer}");
        }
    }
    let failures = || ServeCounters::read(&server.counters.handshake_failures);
    eventually("each is counted", || failures() == 6).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_the_message_names_the_clock() {
    let (server, cluster) = start(router(), ServeLimits::default()).await;
    let expired = super::fixture::identity(&cluster, 2, 91);
    let expired = ResolvesClientCert::resolve(expired.as_ref(), &[], &[]);
    let shows = Arc::new(Shows(expired, AtomicBool::new(false)));
    let answer = speak(&server, PEER_NAME, config(&cluster, shows, BOTH)).await;
    assert!(
        answer.contains("expired") && answer.contains("clock"),
        "{answer}"
    );

    let mut start = Start::new(&cluster, router());
    start.identity = super::fixture::identity(&cluster, 1, 91);
    let server = start.start().await;
    let why = client(&server, &trust(&cluster), Offer::Best)
        .get("/who")
        .await;
    let why = why.unwrap_err().to_string();
    assert!(why.contains("expired") && why.contains("clock"), "{why}");
}

#[tokio::test]
async fn a_client_that_trusts_another_cluster_refuses_the_server() {
    let (server, _) = start(router(), ServeLimits::default()).await;
    let why = client(&server, &trust(&new_cluster()), Offer::Best)
        .get("/who")
        .await;
    let why = why.unwrap_err().to_string();
    assert!(
        why.contains("--ca") && why.contains("GAGGLE_SECRET"),
        "{why}"
    );
}

#[tokio::test]
async fn a_client_that_comes_back_resumes_its_session() {
    let (server, cluster) = start(router(), ServeLimits::default()).await;
    let config = crate::io::tls::towards_servers(&trust(&cluster), Offer::Http1).unwrap();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut stream = handshake(&server, "localhost", config.clone())
            .await
            .unwrap();
        let request = b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        assert!(until_closed(&mut stream).await.contains("client"));
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
    }
    assert_eq!(
        kinds,
        [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]
    );
}

#[tokio::test]
async fn a_panic_in_a_handler_costs_one_request() {
    async fn panics() -> &'static str {
        panic!("on purpose")
    }
    let router = router().route("/panic", get(panics));
    let (server, cluster) = start(router, ServeLimits::default()).await;
    for offer in [Offer::Http1, Offer::Http2] {
        let client = client(&server, &trust(&cluster), offer);
        let answer = client.get("/panic").await.unwrap();
        assert_eq!(answer.status, 500);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(client.get("/who").await.unwrap().status, 200);
    }
    assert_eq!(ServeCounters::read(&server.counters.panics), 2);
    assert_eq!(ServeCounters::read(&server.counters.accepted), 2);
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let (server, cluster) = start(router(), ServeLimits::default()).await;
    let mut plain = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let said = until_closed(&mut plain).await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    assert!(said.contains("this port speaks HTTPS"), "{said}");
    let counted = || ServeCounters::read(&server.counters.plain_http);
    eventually("it is counted", || counted() == 1).await;
    let _still_served = by_hand(&server, &cluster, Offer::Http1).await;
}
