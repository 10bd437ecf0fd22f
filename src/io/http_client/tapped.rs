//! A stream that tells when the server first spoke, or why it hung up before.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::dial::DialError;

/// What the server did first.
pub(super) type FirstWord = Result<(), DialError>;

/// Wraps the stream of a fresh connection.
pub(super) struct Tapped<S> {
    stream: S,
    first_word: Option<oneshot::Sender<FirstWord>>,
}

impl<S> Tapped<S> {
    pub(super) fn new(stream: S) -> (Self, oneshot::Receiver<FirstWord>) {
        let (tell, told) = oneshot::channel();
        let first_word = Some(tell);
        (Self { stream, first_word }, told)
    }

    fn tell(&mut self, word: impl FnOnce() -> FirstWord) {
        if let Some(tell) = self.first_word.take() {
            let _ = tell.send(word());
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.tell(|| Ok(())),
            Poll::Ready(Ok(())) => {
                self.tell(|| Err(DialError::NotReached("it closed the connection".to_owned())));
            }
            Poll::Ready(Err(why)) => self.tell(|| Err(DialError::of(why))),
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
