//! A request's body that must keep coming while a handler waits for it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Sleep;

use super::limits::ServeLimits;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The client sent its body too slowly; happens on bad lines and under attack. To be answered with
/// 408; what the handler has done by then is its own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body of the request came too slowly")]
pub struct SlowBody;

impl SlowBody {
    /// Whether an error that came out of reading a body is this one, however wrapped.
    pub fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// What becomes of a body that was not read to its end.
pub(super) type Leave<B> = Box<dyn FnOnce(B) + Send + Sync>;

/// The most of an unread body that is read away, in bytes, and the longest time for it.
const AWAY: (usize, Duration) = (32 << 20, Duration::from_secs(5));

/// Reads the rest of a body away. A server that resets an HTTP/2 stream because it does not want
/// the rest hides its own answer from some clients, for the reset overtakes it.
pub(super) async fn read_away<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = 0;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > AWAY.0 {
                return;
            }
        }
    };
    // Whether it ended or not: what is left is reset.
    tokio::time::timeout(AWAY.1, reading)
        .await
        .unwrap_or_default();
}

/// A body with two time limits: for each pause, and for the whole. They run only while the handler
/// waits for more.
///
/// What a handler did not read is given to `leave` when the handler lets go of the body.
pub(super) struct RequestBody<B> {
    inner: Option<B>,
    leave: Option<Leave<B>>,
    pause: Duration,
    whole: Duration,
    pause_timer: Option<Pin<Box<Sleep>>>,
    whole_timer: Option<Pin<Box<Sleep>>>,
}

impl<B> RequestBody<B> {
    pub(super) fn new(inner: B, limits: &ServeLimits, leave: Option<Leave<B>>) -> Self {
        Self {
            inner: Some(inner),
            leave,
            pause: limits.body_idle,
            whole: limits.body_total,
            pause_timer: None,
            whole_timer: None,
        }
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (pause, whole) = (self.pause, self.whole);
        let pause = self
            .pause_timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        let whole = self
            .whole_timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(whole)));
        if pause.as_mut().poll(cx).is_ready() || whole.as_mut().poll(cx).is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        if let (Some(inner), Some(leave)) = (self.inner.take(), self.leave.take()) {
            leave(inner);
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            self.pause_timer = None;
            if !matches!(frame, Some(Ok(_))) {
                self.leave = None;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.poll_timers(cx));
        Poll::Ready(Some(Err(Box::new(SlowBody))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
