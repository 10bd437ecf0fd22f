//! Serving HTTPS, and plain HTTP where a face asks for it: an accept loop of our own, because every
//! limit on a stranger begins here.
//!
//! The idea: one task per connection. It shakes hands within a time limit, learns whether a peer
//! or a client is calling, hands requests to the answerer, and is watched by [`activity`], a small
//! pure account of what the connection is doing, which says until when it may go on doing it.
//!
//! | file | what lives there |
//! |---|---|
//! | `limits` | every bound, with unit and default |
//! | `counters` | what the metrics show |
//! | `admission` | how many connections, how many from one address, a reserve for peers |
//! | `connection` | one connection from the handshake to its end |
//! | `answerer` | whoever answers the requests |
//! | `complaints` | how often the log hears of refused peers |
//! | `plain_http` | the short answer to who speaks HTTP without the S |
//! | `activity` | what a connection is doing and until when it may |
//! | `watched` | tells `activity` when bytes of a request arrive |
//! | `exchange` | one request: marks, limits, a panic becomes a 500 |
//! | `request_body`, `response_body` | bodies with time limits |
//!
//! Invariants: nothing from outside is waited for without a time limit; no connection outlives the
//! stop by more than [`ServeLimits::drain`]; a peer is a peer by its certificate only.

mod activity;
mod admission;
mod answerer;
mod complaints;
mod connection;
mod counters;
mod exchange;
mod limits;
mod plain_http;
mod request_body;
mod response_body;
#[cfg(test)]
pub(crate) mod tests;
mod watched;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::admission::Admission;
pub use self::answerer::Answerer;
use self::complaints::Complaints;
pub use self::counters::ServeCounters;
pub use self::limits::ServeLimits;
pub use self::request_body::SlowBody;
use super::tasks::Tasks;
use super::tls::{PeerLeaf, TlsServer};

/// The first and the longest pause after an error of `accept` that will not pass by itself, such
/// as too many open files.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Beyond the drain, how long a cut connection may take to be gone.
const CUT: Duration = Duration::from_secs(1);

/// What a server works with.
#[derive(Clone, Debug)]
pub struct Serving {
    /// What is spoken on the port.
    pub speaks: Speaks,
    /// Bounds on what strangers may take.
    pub limits: ServeLimits,
    /// Where it counts; shared with the metrics.
    pub counters: Arc<ServeCounters>,
    /// Owns every task of the server; its stop begins the drain.
    pub tasks: Tasks,
}

/// What is spoken on a port.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// HTTPS, HTTP/1.1 or 2, with these certificates and this trust.
    Https(Arc<TlsServer>),
    /// HTTP/1.1 without TLS: for the loopback, and networks that the operator answers for.
    Http,
}

/// Who is calling: put into the extensions of every request.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The other end (an IPv4 address in IPv6 clothes is shown as IPv4).
    pub remote: SocketAddr,
    /// The verified leaf, if it is a peer; `None` for every client.
    pub peer: Option<PeerLeaf>,
}

/// What all connections of a server share.
struct Shared {
    serving: Serving,
    answerer: Answerer,
    admission: Arc<Admission>,
    drain: CancellationToken,
    complaints: Complaints,
}

/// Accepts connections and answers them with `answerer` until the tasks are told to stop.
///
/// Then it stops accepting, lets requests in flight finish for at most [`ServeLimits::drain`], and
/// completes when every connection is gone. A handler's panic is answered with 500. A handler is
/// dropped where it waits if its client goes away: what must be finished belongs into a task of
/// its own.
pub async fn serve(listener: TcpListener, serving: Serving, answerer: impl Into<Answerer>) {
    let shared = Arc::new(Shared {
        admission: Admission::new(&serving.limits, serving.counters.clone()),
        drain: CancellationToken::new(),
        complaints: Complaints::default(),
        serving,
        answerer: answerer.into(),
    });
    let connections = TaskTracker::new();
    let mut pause = PAUSE.0;
    loop {
        let accepted = tokio::select! {
            () = shared.serving.tasks.stopping() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                pause = PAUSE.0;
                admit(&shared, &connections, stream, remote);
            }
            Err(why) if passes_by_itself(&why) => {}
            Err(why) => {
                tracing::warn!(%why, ?pause, "cannot accept connections, pausing");
                tokio::select! {
                    () = shared.serving.tasks.stopping() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
    drop(listener);
    shared.drain.cancel();
    connections.close();
    let within = shared.serving.limits.drain + CUT;
    let _ = tokio::time::timeout(within, connections.wait()).await;
}

fn admit(shared: &Arc<Shared>, connections: &TaskTracker, stream: TcpStream, remote: SocketAddr) {
    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
    if let Some(slot) = shared.admission.admit(remote.ip()) {
        let task = connection::run(shared.clone(), stream, remote, slot);
        shared.serving.tasks.spawn(connections.track_future(task));
    }
}

/// An error of one connection that was gone before we came to it: the next one may be sound.
fn passes_by_itself(why: &io::Error) -> bool {
    matches!(
        why.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
