//! A request to a member that shows an own certificate, verified by being that very certificate.
//!
//! Stricter than verifying by an authority: nobody without that certificate's private key can
//! answer. Names and dates do not matter, for the file says who is meant.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::exit::{Exit, Failure};

/// The most that is read of an answer.
const ANSWER_LIMIT: u64 = 64 << 10;

/// `GET path`; the body of a 200, a failure for anything else.
pub(super) async fn get(
    path: &str,
    (host, port): &(String, u16),
    certificate: &Path,
    limit: Duration,
) -> Result<String, Failure> {
    let config = Arc::new(config(certificate)?);
    let asked = tokio::time::timeout(limit, ask(path, host, *port, config)).await;
    let Ok(answer) = asked else {
        let message = format!("https://{host}:{port} did not answer within {limit:?}");
        return Err(Failure::message(Exit::TimeOut, message));
    };
    let answer = answer.with_context(|| format!("https://{host}:{port}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let body = body.trim().to_owned();
    match head.split(' ').nth(1) {
        Some("200") => Ok(body),
        _ => Err(Failure::message(Exit::Error, body)),
    }
}

async fn ask(
    path: &str,
    host: &str,
    port: u16,
    config: Arc<ClientConfig>,
) -> anyhow::Result<String> {
    let stream = TcpStream::connect((host, port)).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn config(certificate: &Path) -> anyhow::Result<ClientConfig> {
    let shown = certificate.display();
    let pem = fs::read(certificate).with_context(|| format!("{shown} cannot be read"))?;
    let expected = CertificateDer::from_pem_slice(&pem)
        .map_err(|why| anyhow::anyhow!("{shown} holds no certificate: {why}"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Pinned {
        expected,
        provider: provider.clone(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Accepts one certificate and no other.
#[derive(Debug)]
struct Pinned {
    expected: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
