//! The operator's own certificate: loaded, checked, replaced while running.

use std::fs;
use std::path::Path;

use axum::Router;
use axum::routing::get;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::fixture::{Server, Start, client, identity, new_cluster, trust};
use crate::io::clock;
use crate::io::tls::{
    CertificateFiles, Keyring, Offer, OwnCertificateError, TlsServer, TlsServerError, Trust,
};

fn files(dir: &Path) -> CertificateFiles {
    CertificateFiles {
        certificate: dir.join("tls.crt"),
        key: dir.join("tls.key"),
    }
}

fn params(until: i32) -> CertificateParams {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params
}

/// Writes a self-signed certificate that is valid until that year, and gives it as PEM.
fn write(dir: &Path, until: i32) -> String {
    let key = KeyPair::generate().unwrap();
    let pem = params(until).self_signed(&key).unwrap().pem();
    fs::write(files(dir).certificate, &pem).unwrap();
    fs::write(files(dir).key, key.serialize_pem()).unwrap();
    pem
}

async fn serving(dir: &TempDir) -> (Server, Keyring) {
    let cluster = new_cluster();
    let router = Router::new().route("/", get(|| async { "hello" }));
    let mut start = Start::new(&cluster, router);
    start.own = Some(files(dir.path()));
    (start.start().await, cluster)
}

async fn is_shown(server: &Server, pem: &str) -> bool {
    let trust = Trust::from_pem(pem.as_bytes()).unwrap();
    client(server, &trust, Offer::Best).get("/").await.is_ok()
}

#[tokio::test]
async fn clients_see_the_operators_certificate_and_its_replacement() {
    let dir = TempDir::new().unwrap();
    let first = write(dir.path(), 2100);
    let (server, cluster) = serving(&dir).await;
    assert!(is_shown(&server, &first).await);
    let by_cluster = client(&server, &trust(&cluster), Offer::Best);
    assert!(by_cluster.get("/").await.is_err(), "not the cluster's");
    assert!(!server.tls.changed_on_disk());

    let kept = client(
        &server,
        &Trust::from_pem(first.as_bytes()).unwrap(),
        Offer::Http1,
    );
    assert!(kept.get("/").await.is_ok());
    let longer = write(dir.path(), 2101) + "\n";
    fs::write(files(dir.path()).certificate, &longer).unwrap();
    assert!(server.tls.changed_on_disk());
    server.tls.reload(clock::wall()).unwrap();
    assert!(!server.tls.changed_on_disk());
    assert!(is_shown(&server, &longer).await);
    assert!(!is_shown(&server, &first).await);
    assert!(kept.get("/").await.is_ok(), "connections live on");
}

#[tokio::test]
async fn a_bad_replacement_is_refused_and_the_old_one_stays() {
    let dir = TempDir::new().unwrap();
    let good = write(dir.path(), 2100);
    let (server, _) = serving(&dir).await;
    let files = files(dir.path());

    let other_key = KeyPair::generate().unwrap().serialize_pem();
    fs::write(&files.key, other_key).unwrap();
    let why = server.tls.reload(clock::wall()).unwrap_err();
    assert!(matches!(why, OwnCertificateError::Mismatch { .. }), "{why}");
    assert!(!server.tls.changed_on_disk(), "complained about once");

    write(dir.path(), 2021);
    let why = server.tls.reload(clock::wall()).unwrap_err();
    assert!(matches!(why, OwnCertificateError::Expired { .. }), "{why}");
    assert!(why.to_string().contains("clock"), "{why}");

    fs::write(&files.certificate, "garbage").unwrap();
    let why = server.tls.reload(clock::wall()).unwrap_err();
    assert!(matches!(why, OwnCertificateError::Empty { .. }), "{why}");
    assert!(why.to_string().contains("tls.crt"), "{why}");

    let broken = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    fs::write(&files.certificate, broken).unwrap();
    let why = server.tls.reload(clock::wall()).unwrap_err();
    assert!(matches!(why, OwnCertificateError::Unusable { .. }), "{why}");

    fs::remove_file(&files.key).unwrap();
    assert!(server.tls.changed_on_disk());
    assert!(server.tls.reload(clock::wall()).is_err());
    assert!(is_shown(&server, &good).await);
}

#[tokio::test]
async fn a_server_does_not_start_with_a_certificate_from_the_future() {
    let dir = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = params(2110);
    params.not_before = date_time_ymd(2105, 1, 1);
    let pem = params.self_signed(&key).unwrap().pem();
    fs::write(files(dir.path()).certificate, pem).unwrap();
    fs::write(files(dir.path()).key, key.serialize_pem()).unwrap();

    let cluster = new_cluster();
    let own = Some(files(dir.path()));
    let identity = identity(&cluster, 1, 0);
    let why = TlsServer::new(identity, &trust(&cluster), own, clock::wall()).unwrap_err();
    assert!(why.to_string().contains("clock"), "{why}");
    let own = OwnCertificateError::NotYetValid {
        path: files(dir.path()).certificate,
        not_before: crate::model::WallTime::from_millis(4_260_211_200_000),
        now: crate::model::WallTime::from_millis(0),
    };
    assert!(
        matches!(
            why,
            TlsServerError::Own(OwnCertificateError::NotYetValid { .. })
        ),
        "{own}"
    );
}
