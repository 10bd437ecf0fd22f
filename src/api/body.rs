//! Taking a request's body: bounded in size, and in what all bodies together hold. (In time it is
//! bounded by whoever serves.)

use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::io::serve::SlowBody;

use super::problem::{Code, Problem};

/// What all bodies that are being taken or worked on may hold together, in KiB, at least.
const BUDGET_KIB: usize = 64 * 1024;

/// Takes bodies.
pub(super) struct Bodies {
    limit: usize,
    value_limit: usize,
    budget: Arc<Semaphore>,
}

/// What a body is to become; it decides its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// One value, raw.
    Value,
    /// JSON.
    Document,
}

/// A body that has arrived whole. Its share of the budget is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Received {
    /// The octets.
    pub(super) octets: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// Takes bodies of at most `limit` bytes, and values of at most `value_limit`.
    pub(super) fn new(limit: usize, value_limit: usize) -> Self {
        let budget = BUDGET_KIB.max(limit.div_ceil(1024).saturating_mul(8));
        Self {
            limit,
            value_limit,
            budget: Arc::new(Semaphore::new(budget.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Takes a whole body, chunked or not.
    ///
    /// # Errors
    /// `body-too-large` or `value-too-large` as soon as that is known, `overloaded` when all bodies
    /// together hold too much, `body-timeout` if it comes too slowly, `invalid-body` if it
    /// breaks off.
    pub(super) async fn take(&self, body: Body, purpose: Purpose) -> Result<Received, Problem> {
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        self.check(declared, purpose)?;
        let mut body = pin!(body);
        let mut received = Pieces::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken_off(&error))?;
            if let Ok(piece) = frame.into_data() {
                self.check(received.length().saturating_add(piece.len()), purpose)?;
                let share = self.share(piece.len())?;
                received.push(piece, declared, share);
            }
        }
        Ok(received.whole())
    }

    fn check(&self, length: usize, purpose: Purpose) -> Result<(), Problem> {
        if purpose == Purpose::Value && length > self.value_limit && length <= self.limit {
            let detail = format!(
                "the value has more than {} bytes, the limit of this member",
                self.value_limit
            );
            return Err(Problem::new(Code::ValueTooLarge, detail)
                .hint("the limit is set by --max-value-bytes"));
        }
        if length > self.limit {
            let detail = format!(
                "the body has more than {} bytes, the limit of this member",
                self.limit
            );
            return Err(Problem::new(Code::BodyTooLarge, detail)
                .hint("the limit is set by --max-body-bytes; PATCH takes a node in parts"));
        }
        Ok(())
    }

    fn share(&self, length: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
        let budget = self.budget.clone();
        budget.try_acquire_many_owned(kib).map_err(|_| {
            Problem::new(
                Code::Overloaded,
                "too many large bodies are on their way at once",
            )
            .retry_after(1)
        })
    }
}

/// The pieces of a body so far. One piece, as most bodies are, is not copied.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    all: Option<BytesMut>,
    share: Option<OwnedSemaphorePermit>,
}

impl Pieces {
    fn length(&self) -> usize {
        self.all.as_ref().map_or(self.first.len(), BytesMut::len)
    }

    fn push(&mut self, piece: Bytes, declared: usize, share: OwnedSemaphorePermit) {
        match &mut self.share {
            Some(all) => all.merge(share),
            None => self.share = Some(share),
        }
        if self.length() == 0 {
            self.first = piece;
            return;
        }
        let first = &self.first;
        let all = self.all.get_or_insert_with(|| {
            let mut all = BytesMut::with_capacity(declared.max(first.len() + piece.len()));
            all.extend_from_slice(first);
            all
        });
        all.extend_from_slice(&piece);
    }

    fn whole(self) -> Received {
        Received {
            octets: self.all.map_or(self.first, BytesMut::freeze),
            _share: self.share,
        }
    }
}

fn broken_off(error: &axum::Error) -> Problem {
    if SlowBody::is_cause_of(error) {
        return Problem::new(Code::BodyTimeout, "the body did not arrive in time");
    }
    Problem::new(Code::InvalidBody, "the body broke off before its end")
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn chunked(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, std::io::Error>(*piece))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    async fn take(bodies: &Bodies, body: Body, purpose: Purpose) -> Result<Bytes, Code> {
        let received = bodies.take(body, purpose).await;
        received
            .map(|received| received.octets)
            .map_err(|problem| problem.code)
    }

    #[tokio::test]
    async fn bodies_arrive_whole_in_any_pieces() {
        let bodies = Bodies::new(10, 5);
        for body in [chunked(&["", "ab", "", "c", "de"]), Body::from("abcde")] {
            assert_eq!(
                take(&bodies, body, Purpose::Value).await,
                Ok("abcde".into())
            );
        }
        assert_eq!(
            take(&bodies, Body::empty(), Purpose::Value).await,
            Ok("".into())
        );
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_by_its_purpose() {
        let bodies = Bodies::new(10, 5);
        for six in [chunked(&["abc", "def"]), Body::from("abcdef")] {
            assert_eq!(
                take(&bodies, six, Purpose::Value).await,
                Err(Code::ValueTooLarge)
            );
        }
        let six = Body::from("abcdef");
        assert_eq!(
            take(&bodies, six, Purpose::Document).await,
            Ok("abcdef".into())
        );
        for purpose in [Purpose::Value, Purpose::Document] {
            let eleven = Body::from("12345678901");
            assert_eq!(
                take(&bodies, eleven, purpose).await,
                Err(Code::BodyTooLarge)
            );
        }
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded_and_give_back_what_they_held() {
        let mut bodies = Bodies::new(4096, 4096);
        bodies.budget = Arc::new(Semaphore::new(3));
        let two = || Body::from(vec![0; 2048]);
        let first = bodies.take(two(), Purpose::Value).await.unwrap();
        let second = bodies.take(two(), Purpose::Value).await;
        assert_eq!(second.unwrap_err().code, Code::Overloaded);
        drop(first);
        assert!(bodies.take(two(), Purpose::Value).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let bodies = Bodies::new(10, 5);
        for (error, code) in [
            ("reset".into(), Code::InvalidBody),
            (SlowBody.into(), Code::BodyTimeout),
        ] {
            let error: Box<dyn std::error::Error + Send + Sync> = error;
            let body = Body::from_stream(stream::iter([Ok("abc"), Err(error)]));
            assert_eq!(take(&bodies, body, Purpose::Value).await, Err(code));
        }
    }
}
