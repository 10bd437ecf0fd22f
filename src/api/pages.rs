//! Large answers in pages: a writer fills one page after the other as the client takes them.
//!
//! A store of a million keys as JSON is not built as one text: an async writer walks the immutable
//! view and puts out a page whenever it is full. It runs only while the client reads, holds no lock
//! and no thread, and is dropped with the connection. An answer that fits one page has its length.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::task::noop_waker_ref;
use parking_lot::Mutex;

/// The size from which on a page is put out, in bytes.
const PAGE: usize = 64 * 1024;

type Slot = Arc<Mutex<Option<Bytes>>>;

/// Where a writer puts what it writes.
pub(super) struct Pages {
    /// The page that is being written.
    pub(super) page: Vec<u8>,
    slot: Slot,
}

impl Pages {
    /// Puts the page out if it is full. To be called at least once per value.
    pub(super) async fn turn(&mut self) {
        if self.page.len() >= PAGE {
            self.put_out().await;
        }
    }

    /// Lets others have the thread. For a writer that looks at much and writes little.
    pub(super) async fn rest(&mut self) {
        let mut rested = false;
        poll_fn(|context| {
            if std::mem::replace(&mut rested, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    async fn put_out(&mut self) {
        let mut page = Some(Bytes::from(std::mem::take(&mut self.page)));
        let slot = &self.slot;
        // No waker: whoever empties the slot polls the writer next.
        poll_fn(|_| {
            let mut slot = slot.lock();
            if slot.is_some() {
                return Poll::Pending;
            }
            *slot = page.take();
            Poll::Ready(())
        })
        .await;
    }
}

/// A body that `write` writes while the client reads it. `write` gives back the pages that it was
/// given and awaits nothing but their turns and rests.
pub(super) fn body<F>(write: impl FnOnce(Pages) -> F) -> Body
where
    F: Future<Output = Pages> + Send + 'static,
{
    let slot = Slot::default();
    let writing = write(Pages {
        page: Vec::new(),
        slot: slot.clone(),
    });
    let writer = async move {
        let mut pages = writing.await;
        if !pages.page.is_empty() {
            pages.put_out().await;
        }
    };
    let mut reader = Reader {
        writer: Some(Box::pin(writer)),
        slot,
    };
    reader.go_on(&mut Context::from_waker(noop_waker_ref()));
    if reader.writer.is_none() {
        return Body::from(reader.take().unwrap_or_default());
    }
    Body::from_stream(reader)
}

/// The client's end: takes the page that is out, or lets the writer go on until there is one.
struct Reader {
    writer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    slot: Slot,
}

impl Reader {
    fn take(&self) -> Option<Bytes> {
        self.slot.lock().take()
    }

    fn go_on(&mut self, context: &mut Context<'_>) {
        if let Some(writer) = &mut self.writer
            && writer.as_mut().poll(context).is_ready()
        {
            self.writer = None;
        }
    }
}

impl Stream for Reader {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(page) = self.take() {
            return Poll::Ready(Some(Ok(page)));
        }
        if self.writer.is_none() {
            return Poll::Ready(None);
        }
        self.go_on(context);
        match (self.take(), &self.writer) {
            (Some(page), _) => Poll::Ready(Some(Ok(page))),
            (None, None) => Poll::Ready(None),
            (None, Some(_)) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    /// A body of `count` pieces of `size` bytes each.
    fn pieces(count: usize, size: usize) -> Body {
        body(move |mut pages| async move {
            for piece in 0..count {
                let byte = u8::try_from(piece % 256).unwrap_or(0);
                pages.page.extend(std::iter::repeat_n(byte, size));
                pages.turn().await;
            }
            pages
        })
    }

    #[tokio::test]
    async fn a_writer_that_rests_goes_on() {
        let body = body(|mut pages| async move {
            for byte in b"abc" {
                pages.rest().await;
                pages.page.push(*byte);
                pages.turn().await;
            }
            pages
        });
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn an_answer_arrives_whole_whether_it_fits_a_page_or_not() {
        for (count, size) in [
            (0, 0),
            (1, 10),
            (1, PAGE),
            (2, PAGE),
            (3, PAGE - 1),
            (1000, 1000),
            (3, 5 * PAGE),
        ] {
            let expected: Vec<u8> = (0..count)
                .flat_map(|n| std::iter::repeat_n(u8::try_from(n % 256).unwrap(), size))
                .collect();
            let got = pieces(count, size).collect().await.unwrap().to_bytes();
            assert!(got == expected, "{count} pieces of {size} bytes");
        }
    }

    #[test]
    fn a_short_answer_has_its_length_and_a_long_one_is_written_as_it_is_read() {
        assert_eq!(pieces(3, 100).size_hint().exact(), Some(300));
        assert_eq!(pieces(0, 0).size_hint().exact(), Some(0));
        assert_eq!(pieces(1000, 1000).size_hint().exact(), None);
    }

    #[tokio::test]
    async fn the_writer_is_never_more_than_a_page_ahead() {
        let written = Arc::new(Mutex::new(0));
        let count = written.clone();
        let mut body = body(move |mut pages| async move {
            for _ in 0..100 {
                pages.page.extend(std::iter::repeat_n(0, PAGE));
                *count.lock() += 1;
                pages.turn().await;
            }
            pages
        });
        for read in 0..10 {
            let ahead = *written.lock() - read;
            assert!(ahead <= 2, "{ahead} pages ahead");
            body.frame().await.unwrap().unwrap();
        }
    }
}
