//! A server, and clients that may misbehave.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ClientConfig;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::io::clock;
use crate::io::http_client::{ApiClient, ApiOptions};
use crate::io::serve::{ServeCounters, ServeLimits, Serving, Speaks, serve};
use crate::io::tasks::Tasks;
use crate::io::tls::{
    CertificateFiles, Keyring, LeafNames, Offer, Secret, Secrets, TlsIdentity, TlsServer, Trust,
    towards_servers,
};
use crate::model::{MemberId, WallTime};

/// Far longer than anything here takes; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn id(number: u64) -> MemberId {
    MemberId::from_u64(number)
}

/// The keys of a new cluster.
pub(crate) fn new_cluster() -> Keyring {
    Secrets::from(Secret::generate())
        .keys(&"test".parse().unwrap())
        .unwrap()
}

pub(crate) fn trust(cluster: &Keyring) -> Trust {
    cluster.trust()
}

/// A member of the cluster whose leaf was issued so many days ago.
pub(crate) fn identity(cluster: &Keyring, number: u64, days_ago: u64) -> Arc<TlsIdentity> {
    let now = clock::wall().millis() - days_ago * 24 * 3600 * 1000;
    let authority = cluster.first.authority.clone();
    let names = LeafNames::new::<&str>([]);
    let now = WallTime::from_millis(now);
    Arc::new(TlsIdentity::new(authority, id(number), names, now).unwrap())
}

/// A running server, stopped when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<ServeCounters>,
    pub(crate) tasks: Tasks,
    pub(crate) tls: Arc<TlsServer>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// How to start a server.
pub(crate) struct Start {
    pub(crate) identity: Arc<TlsIdentity>,
    pub(crate) trust: Trust,
    pub(crate) own: Option<CertificateFiles>,
    pub(crate) limits: ServeLimits,
    pub(crate) router: Router,
    pub(crate) address: SocketAddr,
}

impl Start {
    /// Member 1 of the cluster with default limits.
    pub(crate) fn new(cluster: &Keyring, router: Router) -> Self {
        Self {
            identity: identity(cluster, 1, 0),
            trust: trust(cluster),
            own: None,
            limits: ServeLimits::default(),
            router,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
        }
    }

    pub(crate) async fn start(self) -> Server {
        let tls = TlsServer::new(self.identity, &self.trust, self.own, clock::wall()).unwrap();
        let tls = Arc::new(tls);
        let listener = TcpListener::bind(self.address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        let counters = Arc::new(ServeCounters::default());
        let serving = Serving {
            speaks: Speaks::Https(tls.clone()),
            limits: self.limits,
            counters: counters.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(serve(listener, serving, self.router));
        Server {
            address,
            counters,
            tasks,
            tls,
        }
    }
}

/// Starts member 1 of a new cluster with these limits.
pub(crate) async fn start(router: Router, limits: ServeLimits) -> (Server, Keyring) {
    let cluster = new_cluster();
    let mut start = Start::new(&cluster, router);
    start.limits = limits;
    (start.start().await, cluster)
}

/// A well-behaved client.
pub(crate) fn client(server: &Server, trust: &Trust, offer: Offer) -> ApiClient {
    let options = ApiOptions {
        offer,
        ..ApiOptions::default()
    };
    ApiClient::new(&format!("https://{}", server.address), trust, options).unwrap()
}

/// A TLS connection for a client that does its HTTP by hand.
pub(crate) async fn by_hand(
    server: &Server,
    cluster: &Keyring,
    offer: Offer,
) -> TlsStream<TcpStream> {
    let config = towards_servers(&trust(cluster), offer).unwrap();
    handshake(server, "localhost", config).await.unwrap()
}

pub(crate) async fn handshake(
    server: &Server,
    name: &'static str,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await?;
    let name = name.try_into().unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// What the server says until it closes, however it closes.
pub(crate) async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut said = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    let _any_way_of_closing = closed.expect("the server closes the connection");
    String::from_utf8_lossy(&said).into_owned()
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, so: impl Fn() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what}");
}
