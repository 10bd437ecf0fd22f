//! Session tokens: what a client has seen, so that no member answers it with something older.
//!
//! A token names, per origin, the greatest position whose writes the client wrote or read. A member
//! satisfies it if it includes as much, or if it issued the token itself in this run: whatever it
//! served once it still has. So a client that hands on its last token reads its own writes, and
//! never reads backwards, on any member; and since the token of an answer includes the token of the
//! question, what it writes is ordered after what it read.
//!
//! Reading: Terry et al., "Session Guarantees for Weakly Consistent Replicated Data" (1994).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::io::clock::{mono, sleep_until};
use crate::model::{HybridTime, MemberId, Stamp, Store};

use super::App;

/// The most origins that a token names; a client that has seen writes of more members keeps those
/// that it saw last.
const ORIGINS: usize = 256;
/// How long a member waits for a push before it asks for what a token names.
const PATIENCE: Duration = Duration::from_millis(30);

/// What a client has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// A word that is the same for all tokens of a cluster.
    cluster: u32,
    /// Who issued it, and in which of its runs.
    issuer: MemberId,
    run: u64,
    /// Per origin the position up to which its writes were seen.
    seen: Vec<(MemberId, HybridTime)>,
}

/// A text that is no session token, or one that cannot be satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It is not a token at all.
    #[error("this is no session token")]
    Malformed,
    /// It was issued by a member of another cluster.
    #[error("the session token is of another cluster")]
    OtherCluster,
    /// It names a time that lies too far ahead: nobody can have seen that.
    #[error("the session token names a time that lies ahead")]
    Ahead,
    /// Happens in normal life: this member did not come to have as much in time.
    #[error("this member has not seen yet what the session has seen")]
    Behind,
}

impl Session {
    /// The greatest time in it.
    pub fn greatest(&self) -> Option<HybridTime> {
        self.seen.iter().map(|(_, at)| *at).max()
    }

    /// Whether a store includes everything that was seen.
    fn is_within(&self, store: &Store) -> bool {
        let vector = store.vector();
        self.seen
            .iter()
            .all(|(origin, at)| vector.get(*origin) >= *at)
    }

    /// The origins of which a store includes too little.
    fn missing(&self, store: &Store) -> Vec<MemberId> {
        let vector = store.vector();
        let missing = self
            .seen
            .iter()
            .filter(|(origin, at)| vector.get(*origin) < *at);
        missing.map(|(origin, _)| *origin).collect()
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = postcard::to_stdvec(self).map_err(|_| fmt::Error)?;
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Session {
    type Err = SessionError;

    fn from_str(text: &str) -> Result<Self, SessionError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_| SessionError::Malformed)?;
        match postcard::take_from_bytes::<Self>(&bytes) {
            Ok((session, [])) if session.seen.len() <= ORIGINS => Ok(session),
            _ => Err(SessionError::Malformed),
        }
    }
}

/// What is seen in the course of one request.
#[derive(Clone, Debug, Default)]
pub struct Seen(BTreeMap<MemberId, HybridTime>);

impl Seen {
    /// A version was read, or its absence was told by it.
    pub fn stamp(&mut self, stamp: Stamp) {
        self.position(stamp.member, stamp.time);
    }

    /// All writes of an origin up to a position were seen.
    pub fn position(&mut self, origin: MemberId, upto: HybridTime) {
        let at = self.0.entry(origin).or_default();
        *at = upto.max(*at);
    }
}

impl App {
    /// Waits until this member has seen as much as a session, at most until `timeout`.
    ///
    /// # Errors
    /// [`SessionError`]; nothing older is ever answered in its place.
    pub async fn catch_up(&self, session: &Session, timeout: Duration) -> Result<(), SessionError> {
        if session.cluster != self.cluster_word() {
            return Err(SessionError::OtherCluster);
        }
        if (session.issuer, session.run) == (self.member(), self.run()) {
            return Ok(());
        }
        let now = HybridTime::from_wall(self.now()).bits();
        let ahead = |at: HybridTime| at.bits().saturating_sub(now) >> 16 > AHEAD_MS;
        if session.greatest().is_some_and(ahead) {
            return Err(SessionError::Ahead);
        }
        let mut revisions = self.revisions();
        let end = mono().plus(timeout);
        let mut ask = mono().plus(PATIENCE);
        loop {
            revisions.mark_unchanged();
            let view = self.view();
            if session.is_within(&view.store) {
                return Ok(());
            }
            tokio::select! {
                changed = revisions.changed() => if changed.is_err() {
                    return Err(SessionError::Behind);
                },
                () = sleep_until(ask.min(end)) => {
                    if mono() >= end {
                        return Err(SessionError::Behind);
                    }
                    self.want(session.missing(&view.store));
                    ask = mono().plus(PATIENCE * 8);
                }
            }
        }
    }

    /// The session after a request: what came with it, and what was seen in it.
    pub fn session_after(&self, before: Option<&Session>, seen: Seen) -> Session {
        let mut all = seen.0;
        for (origin, at) in before.iter().flat_map(|session| &session.seen) {
            let known = all.entry(*origin).or_default();
            *known = (*at).max(*known);
        }
        let mut seen: Vec<(MemberId, HybridTime)> = all.into_iter().collect();
        if seen.len() > ORIGINS {
            seen.sort_unstable_by_key(|(_, at)| std::cmp::Reverse(*at));
            seen.truncate(ORIGINS);
        }
        Session {
            cluster: self.cluster_word(),
            issuer: self.member(),
            run: self.run(),
            seen,
        }
    }
}

/// How far a token's time may lie ahead of our clock, in milliseconds: an hour, the greatest
/// `--max-clock-skew`.
const AHEAD_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_garbage_is_none() {
        let session = Session {
            cluster: 7,
            issuer: MemberId::from_u64(1),
            run: 2,
            seen: vec![(MemberId::from_u64(3), HybridTime::from_bits(4))],
        };
        assert_eq!(session.to_string().parse(), Ok(session.clone()));
        let longer = format!("{session}AAAA");
        for bad in ["", "x", "....", "AAAA", longer.as_str(), &"A".repeat(9000)] {
            assert_eq!(
                bad.parse::<Session>(),
                Err(SessionError::Malformed),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_store_that_includes_less_is_behind() {
        let [a, b] = [1, 2].map(MemberId::from_u64);
        let at = HybridTime::from_bits;
        let session = Session {
            cluster: 7,
            issuer: a,
            run: 1,
            seen: vec![(a, at(5)), (b, at(3))],
        };
        let mut store = Store::new();
        store.raise(a, at(5), &mut Vec::new());
        assert!(!session.is_within(&store));
        assert_eq!(session.missing(&store), vec![b]);
        store.raise(b, at(9), &mut Vec::new());
        assert!(session.is_within(&store));
    }
}
