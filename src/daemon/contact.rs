//! Ties the membership driver to the rest: its configuration, its way out over HTTPS, its way in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::api::peer::Exchanger;
use crate::api::problem::{Code, Problem};
use crate::app::{App, EditError};
use crate::config::{Config, Endpoint};
use crate::io::http_client::{PeerClient, Target};
use crate::io::random;
use crate::io::tasks::Tasks;
use crate::io::tls::Keyring;
use crate::io::udp::InterfaceChoice;
use crate::model::MemberId;
use crate::protocol::envelope::{BootId, DatagramKey};
use crate::protocol::membership::Generation;

use super::membership::{self, Asked, Doors, Exchange, Matter, MembershipConfig, MembershipHandle};
use super::{DaemonError, VERSION};

/// How long an exchange of states may take.
const EXCHANGE: Duration = Duration::from_secs(5);

/// What contact with others needs.
pub(super) struct Contact<'a> {
    pub(super) config: &'a Config,
    pub(super) keyring: &'a Keyring,
    pub(super) member: MemberId,
    pub(super) generation: u64,
    /// Where the API listens.
    pub(super) listen: SocketAddr,
    pub(super) app: &'a App,
    pub(super) client: Arc<PeerClient>,
    pub(super) tasks: &'a Tasks,
}

/// The doors for what peers send over HTTPS.
pub(super) struct Entrances {
    /// For states.
    pub(super) exchange: Exchanger,
    /// For datagrams.
    pub(super) relay: Exchanger,
}

/// Starts the driver; gives its handle and the doors for what arrives over HTTPS.
pub(super) async fn start(
    contact: Contact<'_>,
) -> Result<(MembershipHandle, Entrances), DaemonError> {
    let (asked_in, asked) = mpsc::channel(64);
    let doors = Doors {
        exchange: Arc::new(Https(contact.client.clone())),
        asked,
        root: contact.app.roots(),
    };
    let config = settings(&contact).await?;
    let handle = membership::start(contact.tasks, config, doors)
        .map_err(|error| DaemonError::Discovery(error.to_string()))?;
    let entrances = Entrances {
        exchange: door(asked_in.clone(), Matter::State),
        relay: door(asked_in, Matter::Datagrams),
    };
    Ok((handle, entrances))
}

async fn settings(contact: &Contact<'_>) -> Result<MembershipConfig, DaemonError> {
    let Contact {
        config,
        keyring,
        listen,
        ..
    } = contact;
    let keys = std::iter::once(&keyring.first).chain(&keyring.also);
    Ok(MembershipConfig {
        cluster: config.cluster.clone(),
        member: contact.member,
        generation: Generation::new(contact.generation),
        boot: BootId::from_bytes(random::bytes16()),
        name: config.name.clone(),
        version: VERSION.to_owned(),
        https_port: listen.port(),
        advertise: advertised(config.advertise.as_ref(), *listen).await?,
        interfaces: if config.interfaces.is_empty() {
            InterfaceChoice::Usual
        } else {
            InterfaceChoice::Only(config.interfaces.clone())
        },
        udp_port: config.discovery_port,
        discover: config.discover.clone(),
        keys: keys
            .map(|keys| DatagramKey::from_bytes(*keys.datagram))
            .collect(),
        forget_after: config.forget_after,
    })
}

/// Where others are told to reach us: as the operator says, or where we listen if that is one
/// address; otherwise the interfaces' addresses are used.
async fn advertised(
    given: Option<&Endpoint>,
    listen: SocketAddr,
) -> Result<Option<SocketAddr>, DaemonError> {
    let Some(endpoint) = given else {
        return Ok((!listen.ip().is_unspecified()).then_some(listen));
    };
    let port = endpoint.port.unwrap_or(listen.port());
    let unknown = |why: String| {
        let host = &endpoint.host;
        DaemonError::Discovery(format!("--advertise {host}: {why}"))
    };
    let found = tokio::net::lookup_host((endpoint.host.as_str(), port)).await;
    let mut found = found.map_err(|why| unknown(why.to_string()))?;
    found
        .next()
        .map(Some)
        .ok_or_else(|| unknown("the name has no address".to_owned()))
}

/// The way out: states go over the peers' HTTPS connections.
struct Https(Arc<PeerClient>);

impl Exchange for Https {
    fn exchange(
        &self,
        target: SocketAddr,
        expected: Option<MemberId>,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Bytes, String>> {
        let target = Target {
            address: target,
            member: expected,
        };
        async move {
            let answer = self
                .0
                .post(&target, "/v1/peer/members", body, EXCHANGE)
                .await;
            answer.map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn relay(
        &self,
        target: SocketAddr,
        member: MemberId,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Bytes, String>> {
        let target = Target {
            address: target,
            member: Some(member),
        };
        async move {
            let path = "/v1/peer/datagrams";
            let answer = self.0.post(&target, path, body, EXCHANGE).await;
            answer.map_err(|error| error.to_string())
        }
        .boxed()
    }
}

/// The way in: what peers post goes to the driver.
fn door(asked: mpsc::Sender<Asked>, matter: Matter) -> Exchanger {
    Arc::new(move |member, body| {
        let asked = asked.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            let sent = asked.try_send(Asked {
                member,
                matter,
                body,
                reply,
            });
            sent.map_err(|_| Problem::from(EditError::Overloaded))?;
            let state = answer
                .await
                .map_err(|_| Problem::from(EditError::Stopping))?;
            state.map_err(|error| Problem::new(Code::InvalidBody, error.to_string()))
        }
        .boxed()
    })
}
