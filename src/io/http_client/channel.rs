//! One open HTTP connection, of either version.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::dial::DialError;
use super::tapped::Tapped;
use crate::io::tasks::Tasks;

/// HTTP/2: how often a silent server is asked whether it is there, while an answer is awaited.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// HTTP/2: how long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// A request of ours: its body is in memory.
pub(super) type OwnRequest = Request<Full<Bytes>>;

/// The sending end of a connection; the other end is a task.
pub(super) enum Channel {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Why a request has no answer.
pub(super) enum Unanswered {
    /// It was not sent; here it is again.
    NotSent(Box<OwnRequest>),
    /// It may have been read; nothing is known.
    Lost(hyper::Error),
}

impl Channel {
    /// Begins to speak HTTP, in the version that the handshake has agreed on. `tasks` gets the task
    /// that drives the connection; it ends with the channel, or when the tasks stop.
    pub(super) async fn open(
        stream: TlsStream<TcpStream>,
        tasks: &Tasks,
    ) -> Result<Self, DialError> {
        let failed = |why: hyper::Error| DialError::NotReached(why.to_string());
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            let stream = TokioIo::new(stream);
            let (sender, driver) = http1::handshake(stream).await.map_err(failed)?;
            tasks.spawn_until_stop(async move {
                let _ = driver.await;
            });
            return Ok(Self::Http1(sender));
        }
        let (stream, first_word) = Tapped::new(stream);
        let (sender, driver) = http2::Builder::new(OnTasks(tasks.clone()))
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        tasks.spawn_until_stop(async move {
            let _ = driver.await;
        });
        match first_word.await {
            Ok(word) => word.map(|()| Self::Http2(sender)),
            Err(_dropped) => Err(DialError::NotReached("it closed the connection".to_owned())),
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: OwnRequest,
    ) -> Result<Response<Incoming>, Unanswered> {
        let answered = match self {
            Self::Http1(sender) => {
                if sender.ready().await.is_err() {
                    return Err(Unanswered::NotSent(Box::new(request)));
                }
                sender.try_send_request(request).await
            }
            Self::Http2(sender) => sender.try_send_request(request).await,
        };
        answered.map_err(std::convert::Into::into)
    }

    /// Whether the connection can take no further request.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// A second handle to the connection, if it can carry requests side by side.
    pub(super) fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }
}

impl From<TrySendError<OwnRequest>> for Unanswered {
    fn from(mut why: TrySendError<OwnRequest>) -> Self {
        match why.take_message() {
            Some(request) => Self::NotSent(Box::new(request)),
            None => Self::Lost(why.into_error()),
        }
    }
}

/// Runs what hyper wants to run as tasks of ours.
#[derive(Clone)]
struct OnTasks(Tasks);

impl<F> Executor<F> for OnTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn_until_stop(task);
    }
}
