//! The HTTPS side: certificates, the listener, and what is served on it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::config::{Config, Listen};
use crate::io::addresses::host_addresses;
use crate::io::clock;
use crate::io::serve::{ServeCounters, ServeLimits, Serving, Speaks};
use crate::io::tasks::Tasks;
use crate::io::tls::{CertificateFiles, Keyring, LeafNames, TlsIdentity, TlsServer, Trust};
use crate::model::MemberId;

use super::DaemonError;

/// How often certificates are looked at: files that changed, names that changed, a leaf that is
/// due.
const LOOK: Duration = Duration::from_secs(2);

/// This member's certificates, towards clients and peers.
#[derive(Clone)]
pub(super) struct Certificates {
    pub(super) identity: Arc<TlsIdentity>,
    pub(super) server: Arc<TlsServer>,
    pub(super) trust: Trust,
    names: Arc<Vec<String>>,
}

impl Certificates {
    /// Issues the member's leaf and loads the operator's own certificate, if there is one.
    pub(super) fn open(
        config: &Config,
        keyring: &Keyring,
        member: MemberId,
    ) -> Result<Self, DaemonError> {
        let now = clock::wall();
        let mut fixed = vec![config.name.clone()];
        fixed.extend(
            config
                .advertise
                .iter()
                .map(|endpoint| endpoint.host.clone()),
        );
        let names = Arc::new(fixed);
        let authority = keyring.first.authority.clone();
        let identity = TlsIdentity::new(authority, member, leaf_names(&names), now)?;
        let identity = Arc::new(identity);
        let trust = Trust::authorities(&keyring.authorities());
        let own = config.certificate.clone().map(|files| CertificateFiles {
            certificate: files.certificate,
            key: files.key,
        });
        let server = TlsServer::new(identity.clone(), &trust, own, now)?;
        Ok(Self {
            identity,
            server: Arc::new(server),
            trust,
            names,
        })
    }

    /// Reads the operator's certificate again; a bad one is complained about and not taken.
    pub(super) fn reload(&self) {
        match self.server.reload(clock::wall()) {
            Ok(()) => tracing::info!("certificates read again"),
            Err(error) => tracing::error!(%error, "the certificate in use stays in use"),
        }
    }

    /// Keeps certificates fresh: new files, new addresses of this host, a leaf that grows old.
    pub(super) async fn keep(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.server.changed_on_disk() {
                self.reload();
            }
            if let Err(error) = self.identity.renew(&leaf_names(&self.names), clock::wall()) {
                tracing::error!(%error, "the certificate could not be renewed");
            }
        }
    }
}

/// The names in the leaf: those that do not change, and every address of this host.
fn leaf_names(fixed: &[String]) -> LeafNames {
    let addresses = host_addresses();
    LeafNames::new(
        fixed
            .iter()
            .cloned()
            .chain(addresses.iter().map(ToString::to_string)),
    )
}

/// Binds a port; `flag` is the one that chose it.
pub(super) async fn listen(
    listen: &Listen,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), DaemonError> {
    let bound = match (TcpListener::bind(listen.first).await, listen.without_ipv6) {
        (Err(error), Some(instead)) if has_no_ipv6(&error) => TcpListener::bind(instead).await,
        (bound, _) => bound,
    };
    let refused = |why| DaemonError::Listen {
        address: listen.first,
        flag,
        why,
    };
    let listener = bound.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

fn has_no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error();
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|no| errno == Some(no.raw_os_error()))
}

/// How the port is served.
pub(super) fn serving(
    config: &Config,
    certificates: &Certificates,
    tasks: &Tasks,
) -> (Serving, Arc<ServeCounters>) {
    let counters = Arc::new(ServeCounters::default());
    let serving = Serving {
        speaks: Speaks::Https(certificates.server.clone()),
        limits: limits(config),
        counters: counters.clone(),
        tasks: tasks.clone(),
    };
    (serving, counters)
}

/// Bounds on what strangers may take, on every port of this member.
pub(super) fn limits(config: &Config) -> ServeLimits {
    ServeLimits {
        handshake: config.timeouts.handshake,
        header: config.timeouts.header,
        body_idle: config.timeouts.body,
        idle: config.timeouts.idle,
        connections: config.limits.connections,
        streams: u32::try_from(config.limits.streams).unwrap_or(u32::MAX),
        drain: config.stop_timeout.mul_f64(0.5),
        ..ServeLimits::default()
    }
}
