//! One connection, from the handshake to its end.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Version;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Overdue};
use super::admission::Slot;
use super::counters::ServeCounters;
use super::exchange::Exchange;
use super::plain_http::{self, TLS_HANDSHAKE};
use super::watched::Watched;
use super::{Connection, Shared, Speaks};
use crate::io::clock;
use crate::io::tasks::Tasks;
use crate::io::tls::{Audience, PeerLeaf, TlsRefusal, TlsServer};
use crate::protocol::Mono;

/// The most that hyper buffers of one connection (HTTP/1.1) or answer (HTTP/2), in bytes.
const BUFFER: usize = 128 * 1024;
/// hyper's own limit of header fields, which it checks without allocating.
const HYPER_HEADERS: usize = 100;
/// How long an idle connection may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);
/// A host that acknowledges nothing for so long is gone, whatever is under way.
const HOST_GONE: Duration = Duration::from_mins(1);

/// How a handshake ended, if not well.
enum NoHandshake {
    /// Nothing was sent: a port check. Not worth counting.
    Silence,
    /// Plain HTTP, and told so.
    Plain,
    /// Only peers could have been served.
    Full,
    /// TLS failed.
    Failed(Audience, io::Error),
}

/// Serves one connection to its end.
pub(super) async fn run(shared: Arc<Shared>, stream: TcpStream, remote: SocketAddr, slot: Slot) {
    prepare(&stream);
    match shared.serving.speaks.clone() {
        Speaks::Https(tls) => greet(&shared, &tls, stream, remote, &slot).await,
        Speaks::Http => {
            let connection = Connection { remote, peer: None };
            talk(&shared, stream, connection, Version::HTTP_11).await;
        }
    }
    drop(slot);
}

/// Shakes hands, and goes on from there.
async fn greet(
    shared: &Arc<Shared>,
    tls: &TlsServer,
    stream: TcpStream,
    remote: SocketAddr,
    slot: &Slot,
) {
    let counters = &shared.serving.counters;
    let limit = shared.serving.limits.handshake;
    let greeting = Box::pin(handshake(shared, tls, stream, slot));
    let greeted = tokio::select! {
        greeted = tokio::time::timeout(limit, greeting) => greeted,
        () = shared.drain.cancelled() => return,
    };
    match greeted {
        Ok(Ok((stream, peer))) => {
            let version = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Version::HTTP_2,
                _ => Version::HTTP_11,
            };
            talk(shared, stream, Connection { remote, peer }, version).await;
        }
        Ok(Err(NoHandshake::Silence | NoHandshake::Plain)) => {}
        Ok(Err(NoHandshake::Full)) => ServeCounters::count(&counters.refused_by_limit),
        Ok(Err(NoHandshake::Failed(audience, why))) => {
            ServeCounters::count(&counters.handshake_failures);
            complain(shared, remote, audience, &why);
        }
        Err(_too_late) => {
            ServeCounters::count(&counters.handshake_failures);
            tracing::debug!(%remote, "handshake took too long");
        }
    }
}

/// A peer with another secret is an operator's mistake, to be seen; but once, for it goes on
/// trying, and whoever knocks must not be able to fill the log.
fn complain(shared: &Shared, remote: SocketAddr, audience: Audience, why: &io::Error) {
    let refusal = TlsRefusal::find(why);
    let told = refusal
        .as_ref()
        .map_or_else(|| why.to_string(), ToString::to_string);
    let speaks = audience == Audience::Peer
        && shared
            .complaints
            .may_speak(clock::mono(), remote.ip(), &told);
    match refusal {
        _ if !speaks => tracing::debug!(%remote, ?audience, why = told, "handshake refused"),
        // It comes to an end by itself, or when the old id is forgotten.
        Some(TlsRefusal::OursOther) => {
            tracing::info!(%remote, why = told, "a peer did not find whom it looked for");
        }
        _ => tracing::warn!(
            %remote, why = told,
            "a peer was refused at the handshake; said once an hour for this address and reason"
        ),
    }
}

/// Answers without delay; notices a host that vanished.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(HOST_GONE)
        .with_interval(HOST_GONE / 4);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(HOST_GONE));
}

async fn handshake(
    shared: &Shared,
    tls: &TlsServer,
    stream: TcpStream,
    slot: &Slot,
) -> Result<(TlsStream<TcpStream>, Option<PeerLeaf>), NoHandshake> {
    let failed = |why| NoHandshake::Failed(Audience::Client, why);
    let mut first = [0];
    if stream.peek(&mut first).await.map_err(failed)? == 0 {
        return Err(NoHandshake::Silence);
    }
    if first != [TLS_HANDSHAKE] && plain_http::begins_like_http(first[0]) {
        ServeCounters::count(&shared.serving.counters.plain_http);
        plain_http::answer(stream).await;
        return Err(NoHandshake::Plain);
    }
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream)
        .await
        .map_err(failed)?;
    let (audience, config) = tls.face(start.client_hello().server_name());
    if audience == Audience::Client && slot.is_for_peers_only() {
        return Err(NoHandshake::Full);
    }
    let failed = |why| NoHandshake::Failed(audience, why);
    let stream = start.into_stream(config).await.map_err(failed)?;
    let shown = stream.get_ref().1.peer_certificates();
    let leaf = shown.and_then(<[_]>::first).cloned();
    match (audience, leaf) {
        (Audience::Client, _) => Ok((stream, None)),
        (Audience::Peer, Some(leaf)) => Ok((stream, Some(PeerLeaf::verified(leaf)))),
        (Audience::Peer, None) => Err(failed(io::Error::other(
            rustls::Error::NoCertificatesPresented,
        ))),
    }
}

/// Speaks HTTP until either side has had enough.
async fn talk<S>(shared: &Arc<Shared>, stream: S, connection: Connection, version: Version)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.serving.limits;
    let activity = Arc::new(Activity::new(clock::mono()));
    let remote = connection.remote;
    let exchange = Exchange {
        shared: shared.clone(),
        activity: activity.clone(),
        connection,
    };
    let service = service_fn(move |request| exchange.answer(request));
    let end = if version == Version::HTTP_2 {
        let connection = http2_builder(shared).serve_connection(TokioIo::new(stream), service);
        watch_over(connection, shared, &activity).await
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_header_size(usize::try_from(limits.header_bytes).unwrap_or(BUFFER))
            .max_buf_size(BUFFER);
        if limits.headers != HYPER_HEADERS {
            builder.max_headers(limits.headers);
        }
        let stream = TokioIo::new(Watched::new(stream, activity.clone()));
        watch_over(builder.serve_connection(stream, service), shared, &activity).await
    };
    if let End::Cut(overdue) = end {
        ServeCounters::count(&shared.serving.counters.too_slow);
        tracing::debug!(%remote, ?overdue, "connection cut");
    }
}

/// HTTP/2 with its limits. hyper's bounds on reset streams (rapid reset, CVE-2023-44487 and
/// RUSTSEC-2024-0003) are on by default and stay as they are.
fn http2_builder(shared: &Shared) -> http2::Builder<OnTasks> {
    let limits = &shared.serving.limits;
    let mut builder = http2::Builder::new(OnTasks(shared.serving.tasks.clone()));
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .max_send_buf_size(BUFFER);
    builder
}

/// How a connection ended.
enum End {
    /// In the ordinary way, or by the other side.
    Closed,
    /// By us, for being late.
    Cut(Overdue),
    /// By us, because the time to finish was over.
    Stopped,
}

/// Drives a connection and ends it when its account or the server's stop says so.
async fn watch_over<C: GracefulConnection>(
    connection: C,
    shared: &Shared,
    activity: &Activity,
) -> End {
    let mut connection = pin!(connection);
    let drain = shared.drain.child_token();
    let mut drain = pin!(drain.cancelled());
    let mut alarm = Alarm::new();
    let mut last_call = None;
    let limits = &shared.serving.limits;
    poll_fn(move |cx| {
        loop {
            if last_call.is_none() && drain.as_mut().poll(cx).is_ready() {
                connection.as_mut().graceful_shutdown();
                last_call = Some(clock::mono().plus(limits.drain));
            }
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Closed);
            }
            let deadline = match (last_call, activity.deadline(limits)) {
                (Some(last), Some((at, overdue))) if at < last && overdue != Overdue::Idle => at,
                (Some(last), _) => last,
                (None, Some((at, _))) => at,
                // Nobody is late. Look again some time, in case a stream's own task has finished
                // without waking us.
                (None, None) => clock::mono().plus(limits.stall.min(limits.idle)),
            };
            if alarm.poll(deadline, cx).is_pending() {
                return Poll::Pending;
            }
            let now = clock::mono();
            if last_call.is_some_and(|last| last <= now) {
                return Poll::Ready(End::Stopped);
            }
            match activity.deadline(limits) {
                Some((at, Overdue::Idle)) if at <= now && last_call.is_none() => {
                    connection.as_mut().graceful_shutdown();
                    last_call = Some(now.plus(FAREWELL));
                }
                Some((at, overdue)) if at <= now && overdue != Overdue::Idle => {
                    return Poll::Ready(End::Cut(overdue));
                }
                _ => {}
            }
        }
    })
    .await
}

/// One timer that is moved only when it must ring earlier, or has rung: deadlines move on with
/// every request, and arming a timer each time would cost more than it is worth.
struct Alarm {
    armed: Option<(Mono, Pin<Box<tokio::time::Sleep>>)>,
}

impl Alarm {
    fn new() -> Self {
        Self { armed: None }
    }

    /// Ready when `deadline` has come.
    fn poll(&mut self, deadline: Mono, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.armed {
                Some((at, timer)) if *at <= deadline => {
                    if timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.armed = None;
                    if deadline <= clock::mono() {
                        return Poll::Ready(());
                    }
                }
                _ => {
                    let wait = deadline.since(clock::mono());
                    self.armed = Some((deadline, Box::pin(tokio::time::sleep(wait))));
                }
            }
        }
    }
}

/// Runs hyper's streams as tasks of ours.
#[derive(Clone)]
struct OnTasks(Tasks);

impl<F> Executor<F> for OnTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
