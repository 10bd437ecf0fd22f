//! The engine that we stand on with nothing of ours around it: hyper on rustls, a fixed answer.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use gaggle::io::tasks::Tasks;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use crate::kit;
use crate::kit::client::Address;
use crate::kit::foreign::{Certificate, Foreign, up};

/// Starts this program again as that server.
pub(crate) async fn start(at: &Path, certificate: &Certificate) -> io::Result<Foreign> {
    let port = kit::process::free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--bench", "--serve-bare"])
        .arg(at)
        .arg(port.to_string());
    let address = Address::https(port, &certificate.pem)?;
    up("bare hyper", &mut command, &at.join("bare.log"), address).await
}

/// Is that server, until it is ended.
pub(crate) fn serve(arguments: &[String]) -> io::Result<()> {
    let [directory, port] = arguments else {
        return Err(io::Error::other("a directory and a port"));
    };
    let read = |name: &str| std::fs::read(Path::new(directory).join(name));
    let chain = CertificateDer::from_pem_slice(&read("server.pem")?).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(&read("server.key")?).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .map_err(io::Error::other)?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let address = format!("127.0.0.1:{port}");
    kit::runtime()?.block_on(async {
        let listener = TcpListener::bind(address).await?;
        let tasks = Tasks::new();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            tasks.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let answer = service_fn(|_| async {
                    let body = Full::new(Bytes::from_static(&[b'v'; 64]));
                    Ok::<_, Infallible>(http::Response::new(body))
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    })
}
