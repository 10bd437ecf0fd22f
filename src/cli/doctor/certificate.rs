//! The port, TLS, and how long the certificate is valid.

use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Finding;
use crate::cli::ca;
use crate::config::{ClientConfig, ServerUrl};
use crate::io::clock;
use crate::io::tls::{Offer, TlsRefusal, Trust, towards_servers};
use crate::model::WallTime;

/// How long before its end an own certificate should be replaced.
const SOON: Duration = Duration::from_hours(720);
/// Far beyond the end of any certificate, before the end of the calendar.
const FAR_AWAY: Duration = Duration::from_hours(200 * 365 * 24);

/// One finding for the port and one for TLS, of each server.
pub(super) async fn look(client: &ClientConfig) -> Vec<Finding> {
    let pem = ca::pem(client);
    let mut findings = Vec::new();
    for server in &client.servers {
        let connected = tokio::time::timeout(client.timeout, connect(server)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(why)) => {
                findings.push(unreachable(server, &why.to_string()));
                continue;
            }
            Err(_elapsed) => {
                findings.push(unreachable(server, "no connection in time"));
                continue;
            }
        };
        findings.push(Finding::ok("port", format!("{server} takes connections")));
        findings.push(match &pem {
            Ok(pem) => tls(client, server, stream, pem).await,
            Err(why) => Finding::failed(
                "certificate",
                why.said(),
                why.hint.clone().unwrap_or_default(),
            ),
        });
    }
    findings
}

fn unreachable(server: &ServerUrl, why: &str) -> Finding {
    let hint = "is the member running (`gaggle serve`), are host and port right (--server), does \
                a firewall let TCP through?";
    Finding::failed("port", format!("{server}: {why}"), hint)
}

/// `localhost` may be either loopback, and an empty container has no file that says so.
async fn connect(server: &ServerUrl) -> std::io::Result<TcpStream> {
    if server.host != "localhost" {
        return TcpStream::connect((server.host.as_str(), server.port)).await;
    }
    match TcpStream::connect(("127.0.0.1", server.port)).await {
        Ok(stream) => Ok(stream),
        Err(_) => TcpStream::connect(("::1", server.port)).await,
    }
}

async fn tls(client: &ClientConfig, server: &ServerUrl, stream: TcpStream, pem: &str) -> Finding {
    const CHECK: &str = "certificate";
    let shaken = tokio::time::timeout(client.timeout, shake(server, stream, pem)).await;
    match shaken {
        Ok(Ok(end)) => valid_until(end),
        Ok(Err(why)) => {
            let refusal = why
                .downcast_ref::<std::io::Error>()
                .and_then(TlsRefusal::find);
            let (why, hint) = match refusal {
                Some(why @ TlsRefusal::UnknownAuthority) => (
                    why.to_string(),
                    "secret or cluster id differ here and there; or it has an own certificate: \
                     give --ca with that one's authority",
                ),
                Some(why @ TlsRefusal::OtherName { .. }) => (
                    why.to_string(),
                    "call it by one of these names with --server",
                ),
                Some(why) => (why.to_string(), ""),
                None => (format!("{why:#}"), ""),
            };
            Finding::failed(CHECK, why, hint)
        }
        Err(_elapsed) => Finding::failed(
            CHECK,
            format!("no TLS handshake within {:?}", client.timeout),
            "does something else than a member listen there?",
        ),
    }
}

fn valid_until(end: Option<WallTime>) -> Finding {
    const CHECK: &str = "certificate";
    let Some(end) = end else {
        return Finding::ok(CHECK, "it is verified");
    };
    let left = Duration::from_millis(end.millis().saturating_sub(clock::wall().millis()));
    let detail = format!("it is verified, and valid until {end}");
    if left < SOON {
        let hint = "the cluster's own are renewed by themselves; replace one of your own in time";
        Finding::warning(CHECK, detail, hint)
    } else {
        Finding::ok(CHECK, detail)
    }
}

/// Shakes hands; gives the end of the certificate's validity, if that can be found out.
async fn shake(
    server: &ServerUrl,
    stream: TcpStream,
    pem: &str,
) -> anyhow::Result<Option<WallTime>> {
    let config = towards_servers(&Trust::from_pem(pem.as_bytes())?, Offer::Http1)?;
    let name = ServerName::try_from(server.host.clone())?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    let (_, connection) = stream.get_ref();
    let chain = connection.peer_certificates().unwrap_or_default();
    Ok(end_of(chain, pem))
}

/// The certificate has been verified already; verifying it again for a time at which it must have
/// ended makes rustls tell when it ends. (No other crate here reads certificates.)
fn end_of(chain: &[CertificateDer<'_>], pem: &str) -> Option<WallTime> {
    use rustls::pki_types::pem::PemObject;
    let (leaf, rest) = chain.split_first()?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(
        CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok),
    );
    let now = Duration::from_millis(clock::wall().millis());
    let verified = rustls::client::verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(leaf).ok()?,
        &roots,
        rest,
        UnixTime::since_unix_epoch(now + FAR_AWAY),
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .all,
    );
    match verified {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) => Some(WallTime::from_millis(
            not_after.as_secs().saturating_mul(1000),
        )),
        _ => None,
    }
}
