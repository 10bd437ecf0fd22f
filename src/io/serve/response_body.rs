//! An answer's body, handed over in pieces of at most 64 KiB, so that the connection's account
//! knows whether the client still takes it and when it is finished, and so that a slow client never
//! makes us copy a large answer into buffers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::activity::Activity;
use crate::io::clock;

/// The largest piece, in bytes.
const PIECE: usize = 64 * 1024;

/// One request in flight: from its header to the end of its answer, however it ends.
pub(super) struct InFlight(Arc<Activity>);

impl InFlight {
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.request_began();
        Self(activity.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.request_ended(clock::mono());
    }
}

/// The body of an answer; dropping it ends the request.
pub(super) struct ResponseBody<B> {
    inner: B,
    rest: Bytes,
    owed: bool,
    in_flight: InFlight,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(inner: B, in_flight: InFlight) -> Self {
        Self {
            inner,
            rest: Bytes::new(),
            owed: false,
            in_flight,
        }
    }

    fn taken(&mut self) {
        if std::mem::take(&mut self.owed) {
            self.in_flight.0.piece_taken(clock::mono());
        }
    }
}

impl<B> Drop for ResponseBody<B> {
    fn drop(&mut self) {
        self.taken();
    }
}

impl<B: Body<Data = Bytes> + Unpin> ResponseBody<B> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.taken();
        let piece = ready!(self.poll_piece(cx));
        if matches!(piece, Some(Ok(_))) && !self.is_end_stream() {
            self.owed = true;
            self.in_flight.0.piece_given(clock::mono());
        }
        Poll::Ready(piece)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(inner.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{BodyExt, Full};

    use super::*;
    use crate::io::serve::limits::ServeLimits;
    use crate::protocol::Mono;

    #[tokio::test]
    async fn a_large_answer_goes_out_in_pieces_and_ends_the_request() {
        let activity = Arc::new(Activity::new(Mono(Duration::ZERO)));
        let whole = Bytes::from(vec![7; PIECE * 2 + 1]);
        let in_flight = InFlight::begin(&activity);
        let mut body = ResponseBody::new(Full::new(whole.clone()), in_flight);
        assert_eq!(body.size_hint().exact(), Some(whole.len() as u64));
        let limits = ServeLimits::default();

        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first.len(), PIECE);
        assert_eq!(body.size_hint().exact(), Some(PIECE as u64 + 1));
        assert!(!body.is_end_stream());
        let (_, overdue) = activity.deadline(&limits).unwrap();
        assert_eq!(overdue, super::super::activity::Overdue::Stall);

        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!([first, rest].concat(), whole);
        let (_, overdue) = activity.deadline(&limits).unwrap();
        assert_eq!(overdue, super::super::activity::Overdue::Idle);
    }
}
