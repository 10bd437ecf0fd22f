//! What a connection is doing, and until when it may go on doing it.
//!
//! hyper has one time limit for reading a header and counts the wait for the next request into it,
//! has none for an idle HTTP/2 connection, and none for a client that does not take its answer. So
//! we keep our own account. It is told about events and gives one deadline; whoever polls the
//! connection arms one timer with it. Nothing in here waits.
//!
//! What it cannot see: a piece of a header that came together with the request before. Such a
//! connection counts as idle until its next byte comes, which it may as well have been.

use parking_lot::Mutex;

use super::limits::ServeLimits;
use crate::protocol::Mono;

/// Why a connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No first request, or its header did not end in time.
    Header,
    /// Nothing was asked for a while.
    Idle,
    /// An answer is not taken.
    Stall,
}

/// The account of one connection.
#[derive(Debug)]
pub(super) struct Activity(Mutex<Account>);

#[derive(Debug)]
struct Account {
    /// Requests whose answer is not finished.
    in_flight: usize,
    /// Answers of which the client was given a piece and has not asked for the next.
    owed: usize,
    /// When something was last finished or taken.
    moved: Mono,
    /// When the header began that is being read.
    header_since: Option<Mono>,
    /// Whether there was a request at all.
    asked: bool,
}

impl Activity {
    pub(super) fn new(now: Mono) -> Self {
        Self(Mutex::new(Account {
            in_flight: 0,
            owed: 0,
            moved: now,
            header_since: None,
            asked: false,
        }))
    }

    /// Whether bytes that arrive now would begin a header.
    pub(super) fn awaits_header(&self) -> bool {
        let account = self.0.lock();
        account.in_flight == 0 && account.header_since.is_none()
    }

    /// Bytes came in while nothing was in flight.
    pub(super) fn header_began(&self, now: Mono) {
        self.0.lock().header_since.get_or_insert(now);
    }

    /// A header is complete.
    pub(super) fn request_began(&self) {
        let mut account = self.0.lock();
        account.in_flight += 1;
        account.header_since = None;
        account.asked = true;
    }

    /// An answer is finished, or nobody wants it any more.
    pub(super) fn request_ended(&self, now: Mono) {
        let mut account = self.0.lock();
        account.in_flight = account.in_flight.saturating_sub(1);
        account.moved = now;
    }

    /// A piece of an answer, not the last, was handed over.
    pub(super) fn piece_given(&self, now: Mono) {
        let mut account = self.0.lock();
        account.owed += 1;
        account.moved = now;
    }

    /// The next piece is wanted, or nothing more.
    pub(super) fn piece_taken(&self, now: Mono) {
        let mut account = self.0.lock();
        account.owed = account.owed.saturating_sub(1);
        account.moved = now;
    }

    /// Until when the connection may go on as it is, and what it will have missed then; `None`
    /// while a handler works or waits (for an event to send, perhaps for hours).
    pub(super) fn deadline(&self, limits: &ServeLimits) -> Option<(Mono, Overdue)> {
        let account = self.0.lock();
        if account.owed > 0 {
            return Some((account.moved.plus(limits.stall), Overdue::Stall));
        }
        if account.in_flight > 0 {
            return None;
        }
        match account.header_since {
            Some(began) => Some((began.plus(limits.header), Overdue::Header)),
            None if account.asked => Some((account.moved.plus(limits.idle), Overdue::Idle)),
            None => Some((account.moved.plus(limits.header), Overdue::Header)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    fn deadline(activity: &Activity) -> Option<(Mono, Overdue)> {
        activity.deadline(&ServeLimits::default())
    }

    #[test]
    fn the_first_request_must_come_soon_and_a_trickled_header_wins_no_time() {
        let activity = Activity::new(at(0));
        assert_eq!(deadline(&activity), Some((at(10), Overdue::Header)));
        assert!(activity.awaits_header());
        activity.header_began(at(3));
        activity.header_began(at(9));
        assert!(!activity.awaits_header());
        assert_eq!(deadline(&activity), Some((at(13), Overdue::Header)));
        activity.request_began();
        assert_eq!(deadline(&activity), None);
    }

    #[test]
    fn between_requests_a_connection_may_idle_but_a_begun_header_must_end() {
        let activity = Activity::new(at(0));
        activity.request_began();
        activity.request_began();
        activity.request_ended(at(5));
        assert_eq!(deadline(&activity), None);
        activity.request_ended(at(6));
        assert_eq!(deadline(&activity), Some((at(126), Overdue::Idle)));
        activity.header_began(at(100));
        assert_eq!(deadline(&activity), Some((at(110), Overdue::Header)));
    }

    #[test]
    fn an_answer_must_be_taken_piece_by_piece() {
        let activity = Activity::new(at(0));
        activity.request_began();
        activity.piece_given(at(5));
        assert_eq!(deadline(&activity), Some((at(35), Overdue::Stall)));
        activity.piece_taken(at(20));
        assert_eq!(deadline(&activity), None, "the handler has nothing to send");
        activity.piece_given(at(50));
        assert_eq!(deadline(&activity), Some((at(80), Overdue::Stall)));
    }
}
