//! An impostor: a TLS server with a certificate of its own making, who takes down what it is told.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use super::lan::Host;

/// What happened so far.
#[derive(Default)]
struct Taken {
    connections: AtomicUsize,
    bytes: AtomicUsize,
    stop: AtomicBool,
}

/// Listens where a member would; stops when dropped.
pub(crate) struct Impostor {
    taken: Arc<Taken>,
    thread: Option<JoinHandle<()>>,
}

impl Impostor {
    /// Listens on port 8000 of `host`, with a certificate for its address that nobody vouches for.
    pub(crate) fn on(host: &Host) -> Self {
        let address = SocketAddr::from((host.address(), 8000));
        let listener = host
            .enter(|| TcpListener::bind(address))
            .expect("an own port");
        listener
            .set_nonblocking(true)
            .expect("a listener that does not wait");
        let config = Arc::new(self_signed(host));
        let taken = Arc::new(Taken::default());
        let shared = Arc::clone(&taken);
        let thread = std::thread::Builder::new()
            .spawn(move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    if let Ok((socket, _)) = listener.accept() {
                        shared.connections.fetch_add(1, Ordering::Relaxed);
                        shared
                            .bytes
                            .fetch_add(listen_to(socket, &config), Ordering::Relaxed);
                    } else {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            })
            .expect("a thread");
        Self {
            taken,
            thread: Some(thread),
        }
    }

    /// Connections that were opened to it.
    pub(crate) fn connections(&self) -> usize {
        self.taken.connections.load(Ordering::Relaxed)
    }

    /// Bytes that it was told over TLS, of credentials, data, or anything.
    pub(crate) fn bytes(&self) -> usize {
        self.taken.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.taken.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Shakes hands and reads for at most a second; gives how many bytes came.
fn listen_to(mut socket: std::net::TcpStream, config: &Arc<ServerConfig>) -> usize {
    socket.set_nonblocking(false).expect("a socket that waits");
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .expect("a limit");
    let mut connection = ServerConnection::new(Arc::clone(config)).expect("a TLS server");
    let mut text = Vec::new();
    // A client that refuses the certificate ends this with an error: the expected case.
    let _ = Stream::new(&mut connection, &mut socket).read_to_end(&mut text);
    text.len()
}

/// A certificate and key in PEM, for the host's address.
pub(crate) fn certificate(host: &Host) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![host.address().to_string()])
        .expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn self_signed(host: &Host) -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(vec![host.address().to_string()])
        .expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider's versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a matching key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}
