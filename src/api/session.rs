//! `Gaggle-Session`: every answer tells what its reader may have seen; a request that brings it
//! back is answered by a member that has as much, or not at all.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::problem::{Code, Problem};
use super::route::{Route, decode};
use super::server::Api;
use crate::app::{Seen, Session, SessionError, View};
use crate::model::MemberId;

/// The header, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("gaggle-session");
/// How long a request waits for this member to have as much as its session.
const PATIENCE: Duration = Duration::from_secs(2);

impl Route<'_> {
    /// Whether what it answers is a part of a session.
    fn is_of_session(self) -> bool {
        match self {
            Self::Store
            | Self::Node(_)
            | Self::Key(..)
            | Self::History(..)
            | Self::Conflicts
            | Self::Nodes
            | Self::Settings(_) => true,
            Self::Members
            | Self::Member(_)
            | Self::Status
            | Self::Livez
            | Self::Readyz
            | Self::Metrics
            // What is linearizable needs no session.
            | Self::Txn
            | Self::Counters
            | Self::Counter(_)
            | Self::Locks
            | Self::Lock(_)
            | Self::LockAction(..)
            | Self::Logs
            | Self::Log(_)
            | Self::Follow(_)
            | Self::Leader
            | Self::Quorum
            | Self::QuorumAction(_)
            // Its clients know no session.
            | Self::Gaggle07(_)
            | Self::Nothing => false,
        }
    }
}

/// The session that a request brings, once this member has seen as much; none: it brings none.
///
/// # Errors
/// `bad-session` for what is no token of this cluster, `session-behind` if it takes too long.
pub(super) async fn wait(
    api: &Api,
    route: Route<'_>,
    headers: &HeaderMap,
) -> Result<Option<Session>, Problem> {
    if !route.is_of_session() {
        return Ok(None);
    }
    let mut all = headers.get_all(HEADER).iter();
    let session = match (all.next(), all.next()) {
        (None, _) => return Ok(None),
        (Some(only), None) => only.to_str().unwrap_or_default().parse(),
        (Some(_), Some(_)) => Err(SessionError::Malformed),
    };
    let session: Session = session.map_err(problem)?;
    let reached = api.parts.app.catch_up(&session, PATIENCE).await;
    reached.map_err(problem)?;
    Ok(Some(session))
}

fn problem(error: SessionError) -> Problem {
    match error {
        SessionError::Malformed | SessionError::OtherCluster | SessionError::Ahead => {
            Problem::new(Code::BadSession, error.to_string())
                .hint("leave the header out to begin a new session; it comes with every answer")
        }
        SessionError::Behind => Problem::new(Code::SessionBehind, error.to_string())
            .hint("ask again soon, or another member")
            .retry_after(1),
    }
}

/// Puts the session after a request on its answer. It is made from the store as it is now, which
/// includes all that the answer was made from.
pub(super) fn mark<B>(
    api: &Api,
    route: Route<'_>,
    before: Option<&Session>,
    response: &mut Response<B>,
) {
    if !route.is_of_session() {
        return;
    }
    let app = &api.parts.app;
    let session = app.session_after(before, seen(route, &app.view(), app.member()));
    if let Ok(token) = HeaderValue::from_maybe_shared(Bytes::from(session.to_string())) {
        response.headers_mut().insert(HEADER, token);
    }
}

/// What an answer may tell of. Of a key: its version, or what deleted it or its node. Of everything
/// else: all that this member has.
fn seen(route: Route<'_>, view: &View, me: MemberId) -> Seen {
    let Route::Key(node, key) = route else {
        return view.seen(me);
    };
    let mut seen = Seen::default();
    if let (Ok(node), Ok(key)) = (decode(node), decode(key)) {
        let entry = view.store.entry(&node, &key).map(|entry| entry.head.stamp);
        let register = view.store.register(&node);
        let cleared = register.and_then(|register| register.cleared);
        let register = register.map(|register| register.stamp);
        let all = entry.into_iter().chain(register).chain(cleared);
        all.for_each(|stamp| seen.stamp(stamp));
    }
    seen
}
