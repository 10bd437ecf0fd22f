//! A client that costs little, so that on shared cores the servers are what is measured: one
//! connection, one request at a time, the request ready as bytes, the answer read in place.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The largest answer that the client reads.
const ANSWER_LIMIT: usize = 64 << 20;

/// A way to and from a server.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Where a server is and how it is spoken to.
#[derive(Clone)]
pub(crate) struct Address {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    /// HTTPS with this trust, or plain TCP.
    pub(crate) trust: Option<Arc<rustls::ClientConfig>>,
}

impl Address {
    /// An HTTPS server whose certificate one of these PEM certificates vouches for.
    pub(crate) fn https(port: u16, pem: &str) -> io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(io::Error::other)?;
            roots.add(certificate).map_err(io::Error::other)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            port,
            trust: Some(Arc::new(config)),
        })
    }

    /// A server that speaks plain TCP.
    pub(crate) fn plain(port: u16) -> Self {
        Self { port, trust: None }
    }

    /// Connects, with the handshake.
    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let wire: Box<dyn Wire> = match &self.trust {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                Box::new(
                    TlsConnector::from(config.clone())
                        .connect(name, stream)
                        .await?,
                )
            }
        };
        Ok(Connection {
            wire,
            buffer: vec![0; 16 << 10],
        })
    }
}

/// One kept-alive connection.
pub(crate) struct Connection {
    wire: Box<dyn Wire>,
    buffer: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status; 200 for a RESP `+OK`.
    pub(crate) status: u16,
    head: usize,
    body: Range<usize>,
}

impl Connection {
    /// Sends an HTTP/1.1 request and reads the answer to its end.
    pub(crate) async fn http(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.exchange(request, http_answer).await
    }

    /// Sends a RESP command and reads its one-line answer.
    pub(crate) async fn resp(&mut self, command: &[u8]) -> io::Result<Answer> {
        self.exchange(command, resp_answer).await
    }

    async fn exchange(
        &mut self,
        request: &[u8],
        read: impl Fn(&[u8]) -> io::Result<Option<Answer>>,
    ) -> io::Result<Answer> {
        self.wire.write_all(request).await?;
        self.wire.flush().await?;
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                if filled >= ANSWER_LIMIT {
                    return Err(io::Error::other("the answer is too long"));
                }
                self.buffer.resize(filled * 2, 0);
            }
            let free = self.buffer.get_mut(filled..).unwrap_or_default();
            let got = self.wire.read(free).await?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += got;
            if let Some(answer) = read(self.buffer.get(..filled).unwrap_or_default())? {
                return Ok(answer);
            }
        }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self, answer: &Answer) -> &[u8] {
        self.buffer.get(answer.body.clone()).unwrap_or_default()
    }

    /// The head of the last answer, as text.
    pub(crate) fn head(&self, answer: &Answer) -> String {
        String::from_utf8_lossy(self.buffer.get(..answer.head).unwrap_or_default()).into_owned()
    }
}

/// Reads an HTTP/1.1 answer: none if it is not there in full.
fn http_answer(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let bad = || io::Error::other("this is no HTTP answer");
    let digits = bytes.get(9..12).ok_or_else(bad)?;
    let status = std::str::from_utf8(digits)
        .ok()
        .and_then(|d| d.parse().ok());
    let status = status.ok_or_else(bad)?;
    let start = head + 4;
    let lines = bytes.get(..head).unwrap_or_default().split(|b| *b == b'\n');
    let mut length = if matches!(status, 204 | 304) {
        Some(0)
    } else {
        None
    };
    let mut chunked = false;
    for line in lines.skip(1) {
        if let Some(value) = header(line, b"content-length:") {
            length = value.parse().ok();
        } else if header(line, b"transfer-encoding:") == Some("chunked") {
            chunked = true;
        }
    }
    let end = match length {
        Some(length) if !chunked => start + length,
        _ if bytes.ends_with(b"\r\n0\r\n\r\n") => bytes.len(),
        _ if chunked => return Ok(None),
        _ => return Err(bad()),
    };
    let body = start..end;
    Ok((end <= bytes.len()).then_some(Answer { status, head, body }))
}

fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let begin = line.get(..name.len())?;
    if !begin.eq_ignore_ascii_case(name) {
        return None;
    }
    std::str::from_utf8(line.get(name.len()..)?)
        .ok()
        .map(str::trim)
}

/// Reads a RESP answer of one line.
fn resp_answer(bytes: &[u8]) -> io::Result<Option<Answer>> {
    if !bytes.ends_with(b"\r\n") {
        return Ok(None);
    }
    match bytes.first() {
        Some(b'+' | b':') => Ok(Some(Answer {
            status: 200,
            head: bytes.len(),
            body: 0..bytes.len(),
        })),
        _ => Err(io::Error::other(
            String::from_utf8_lossy(bytes).into_owned(),
        )),
    }
}
