//! Calls to peers: one HTTP/2 connection for each, over mutual TLS.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use parking_lot::Mutex;
use rustls::ClientConfig;

use super::channel::{Channel, OwnRequest, Unanswered};
use super::dial::{self, Dial};
use super::peer_error::PeerCallError;
use crate::io::tasks::Tasks;
use crate::io::tls::{TlsIdentity, TlsServerError, Trust, server_name, towards_peers};
use crate::model::MemberId;

/// The header in which a peer says who it is; its certificate must agree.
pub const MEMBER_HEADER: HeaderName = HeaderName::from_static("gaggle-member");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Whom to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Where it answers.
    pub address: SocketAddr,
    /// Who it must be; `None` for any member of the cluster.
    pub member: Option<MemberId>,
}

/// Limits of the calls to peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// For TCP and TLS together. Default 3 s.
    pub connect: Duration,
    /// Bytes of an answer. Default 64 MiB.
    pub answer_bytes: usize,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            answer_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Calls peers. Connections are kept, one for each target, and are made anew when they are dead or
/// when our certificate was renewed.
pub struct PeerClient {
    identity: Arc<TlsIdentity>,
    config: Arc<ClientConfig>,
    limits: PeerLimits,
    tasks: Tasks,
    own_id: HeaderValue,
    open: Mutex<HashMap<Target, Arc<Place>>>,
}

/// Where the connection to one target is; locked while it is dialled, so that it is dialled once.
type Place = tokio::sync::Mutex<Option<Open>>;

struct Open {
    channel: Channel,
    generation: u64,
}

impl PeerClient {
    /// A client that shows `identity` and trusts leaves of `peers`. The connections' tasks belong
    /// to `tasks`: when those stop, calls fail.
    ///
    /// # Errors
    /// When rustls refuses the configuration; not expected.
    pub fn new(
        identity: Arc<TlsIdentity>,
        peers: &Trust,
        limits: PeerLimits,
        tasks: Tasks,
    ) -> Result<Self, TlsServerError> {
        let config = towards_peers(identity.clone(), peers)
            .map_err(|why| TlsServerError::Config(why.to_string()))?;
        let own_id = HeaderValue::try_from(identity.member().to_string())
            .map_err(|why| TlsServerError::Config(why.to_string()))?;
        Ok(Self {
            identity,
            config,
            limits,
            tasks,
            own_id,
            open: Mutex::default(),
        })
    }

    /// Sends `body` to `path` (`/v1/peer/…`) and gives the body of a successful answer. `limit` is
    /// for all of it, dialling included. The peer is who `to` says, or the call fails.
    ///
    /// # Errors
    /// See [`PeerCallError`]; each says whether the peer may have acted on the request. A request
    /// that was certainly not sent is sent once more over a new connection before that.
    pub async fn post(
        &self,
        to: &Target,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, PeerCallError> {
        let sent = AtomicBool::new(false);
        let call = self.call(to, path, body, &sent);
        match tokio::time::timeout(limit, call).await {
            Ok(answered) => answered,
            Err(_elapsed) if sent.load(Ordering::Relaxed) => Err(PeerCallError::TimedOut {
                address: to.address,
                after: limit,
            }),
            Err(_elapsed) => Err(PeerCallError::NotReached {
                address: to.address,
                why: format!("no connection within {limit:?}"),
            }),
        }
    }

    async fn call(
        &self,
        to: &Target,
        path: &str,
        body: Bytes,
        sent: &AtomicBool,
    ) -> Result<Bytes, PeerCallError> {
        let mut request = self.request(to, path, body)?;
        let address = to.address;
        // Twice: a kept connection may turn out to be dead before the request was sent.
        for _ in 0..2 {
            let mut channel = self.channel(to).await?;
            sent.store(true, Ordering::Relaxed);
            match channel.send(request).await {
                Ok(answer) => return self.read(address, answer).await,
                Err(Unanswered::NotSent(again)) => request = *again,
                Err(Unanswered::Lost(why)) => {
                    self.forget(to);
                    return Err(broken(address, &why));
                }
            }
            sent.store(false, Ordering::Relaxed);
            self.forget(to);
        }
        Err(PeerCallError::NotReached {
            address,
            why: "it closed the connection".to_owned(),
        })
    }

    fn request(&self, to: &Target, path: &str, body: Bytes) -> Result<OwnRequest, PeerCallError> {
        let uri = Uri::builder()
            .scheme("https")
            .authority(server_name(to.member).to_str().as_ref())
            .path_and_query(path)
            .build();
        let request = uri.and_then(|uri| {
            Request::builder()
                .method(Method::POST)
                .uri(uri)
                .header(MEMBER_HEADER, self.own_id.clone())
                .header(CONTENT_TYPE, BINARY)
                .body(Full::new(body))
        });
        request.map_err(|why| PeerCallError::NotReached {
            address: to.address,
            why: format!("no request can be made for {path:?}: {why}"),
        })
    }

    /// The kept connection if it is good, a new one otherwise.
    async fn channel(&self, to: &Target) -> Result<Channel, PeerCallError> {
        let place = self.place(to);
        let mut place = place.lock().await;
        let generation = self.identity.generation();
        if let Some(open) = place.as_ref()
            && open.generation == generation
            && !open.channel.is_closed()
            && let Some(channel) = open.channel.share()
        {
            return Ok(channel);
        }
        *place = None;
        let dialled = dial::within(self.limits.connect, self.dial(to)).await;
        let channel = dialled.map_err(|why| PeerCallError::dialling(to.address, why))?;
        let Some(shared) = channel.share() else {
            return Err(PeerCallError::NotReached {
                address: to.address,
                why: "it does not speak HTTP/2".to_owned(),
            });
        };
        *place = Some(Open {
            channel,
            generation,
        });
        Ok(shared)
    }

    async fn dial(&self, to: &Target) -> Result<Channel, dial::DialError> {
        let dial = Dial {
            address: to.address,
            name: server_name(to.member),
            config: self.config.clone(),
        };
        Channel::open(dial.tls().await?, &self.tasks).await
    }

    fn place(&self, to: &Target) -> Arc<Place> {
        let mut open = self.open.lock();
        if let Some(place) = open.get(to) {
            return place.clone();
        }
        // A new target: a good moment to drop the connections that have died.
        open.retain(|_, place| {
            place.try_lock().map_or(true, |place| {
                place.as_ref().is_some_and(|open| !open.channel.is_closed())
            })
        });
        open.entry(*to).or_default().clone()
    }

    fn forget(&self, to: &Target) {
        self.open.lock().remove(to);
    }

    async fn read(
        &self,
        address: SocketAddr,
        answer: Response<Incoming>,
    ) -> Result<Bytes, PeerCallError> {
        let status = answer.status();
        let limit = self.limits.answer_bytes;
        let body = match Limited::new(answer.into_body(), limit).collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(why) if why.is::<LengthLimitError>() => {
                return Err(PeerCallError::TooLarge { address, limit });
            }
            Err(why) => return Err(broken(address, why.as_ref())),
        };
        if status.is_success() {
            Ok(body)
        } else {
            Err(PeerCallError::Answered {
                address,
                status,
                body,
            })
        }
    }
}

fn broken(address: SocketAddr, why: &(dyn std::error::Error + 'static)) -> PeerCallError {
    let why = match why.source() {
        Some(source) => format!("{why}: {source}"),
        None => why.to_string(),
    };
    PeerCallError::Broken { address, why }
}
