//! The one error that clients see: `application/problem+json` (RFC 9457) with a stable `code` and
//! an honest `outcome`.
//!
//! The rooms below have their own small errors and know nothing of HTTP; here they become problems.

use std::borrow::Cow;

use axum::body::Body;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::app::{Acknowledged, EditError};
use crate::model::NameError;
use crate::protocol::clocks::ClockTrouble;

/// What became of the thing that the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing was changed; asking again is safe.
    NotApplied,
    /// It was done, though something after it went wrong.
    Applied,
    /// It may have been done or not; read before asking again.
    Unknown,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $text:literal $status:ident $title:literal,)*) => {
        /// The stable, machine-readable kinds of problems.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// The `code` member: kebab-case, never changed once published.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The `title` member: the same words for every problem of this code.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The HTTP status.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    /// The name of a node or key in the path or body is none.
    InvalidName "invalid-name" BAD_REQUEST "The name is not valid",
    /// The body cannot be read as what it should be.
    InvalidBody "invalid-body" BAD_REQUEST "The body is not valid",
    /// A header cannot be read, or there are two of one that may come once.
    InvalidHeader "invalid-header" BAD_REQUEST "A header is not valid",
    /// A query parameter is unknown or cannot be read.
    InvalidQuery "invalid-query" BAD_REQUEST "The query is not valid",
    /// No credentials, or wrong ones.
    Unauthorized "unauthorized" UNAUTHORIZED "Credentials are needed",
    /// A browser sent it on behalf of another site.
    CrossSite "cross-site" FORBIDDEN "The request came from another site",
    /// The session that the request brings is none of this cluster.
    BadSession "bad-session" BAD_REQUEST "The session is not valid",
    /// This member has not seen as much as the session.
    SessionBehind "session-behind" SERVICE_UNAVAILABLE "This member is behind the session",
    /// Too few members had the write on disk in time; this one has.
    AckTimeout "ack-timeout" GATEWAY_TIMEOUT "Too few members acknowledged in time",
    /// There is no such node.
    NodeNotFound "node-not-found" NOT_FOUND "There is no such node",
    /// The node has no such key.
    KeyNotFound "key-not-found" NOT_FOUND "There is no such key",
    /// There is no such member.
    MemberNotFound "member-not-found" NOT_FOUND "There is no such member",
    /// The member cannot be forgotten while it is here.
    MemberAlive "member-alive" CONFLICT "The member is alive",
    /// A member cannot forget itself.
    MemberIsSelf "member-is-self" CONFLICT "A member cannot forget itself",
    /// Several versions of the key have a stamp that begins so.
    VersionAmbiguous "version-ambiguous" CONFLICT "Several versions have such a stamp",
    /// Several members have this name.
    MemberAmbiguous "member-ambiguous" CONFLICT "Several members have this name",
    /// This member was forgotten by the cluster.
    Forgotten "forgotten" SERVICE_UNAVAILABLE "This member was forgotten by the cluster",
    /// This version of the key is not kept.
    VersionNotFound "version-not-found" NOT_FOUND "There is no such version",
    /// This version is a deletion: it has no value.
    VersionDeleted "version-deleted" GONE "The version is a deletion",
    /// There is nothing at this path.
    NotFound "not-found" NOT_FOUND "There is nothing here",
    /// The path is right, the method is not.
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The method is not allowed here",
    /// The body did not arrive in time.
    BodyTimeout "body-timeout" REQUEST_TIMEOUT "The body took too long to arrive",
    /// A node that must not be there is.
    NodeExists "node-exists" CONFLICT "The node exists already",
    /// The node has, or would have, another class than the one that is asked for.
    ClassConflict "class-conflict" CONFLICT "The node has another class",
    /// Of strong keys older versions are not kept.
    NoHistory "no-history" CONFLICT "Strong keys have no history",
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed "precondition-failed" PRECONDITION_FAILED "The condition does not hold",
    /// The body is larger than this member takes.
    BodyTooLarge "body-too-large" PAYLOAD_TOO_LARGE "The body is too large",
    /// The value is larger than this member takes.
    ValueTooLarge "value-too-large" PAYLOAD_TOO_LARGE "The value is too large",
    /// The body's type or coding is not taken here.
    UnsupportedMediaType "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE
        "The media type is not supported",
    /// Too many unverified credentials from one address, or too many at once.
    TooManyAttempts "too-many-attempts" TOO_MANY_REQUESTS "Too many attempts",
    /// A fault of ours.
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong inside",
    /// The disk failed; nothing is acknowledged until a restart.
    WriteFenced "write-fenced" SERVICE_UNAVAILABLE "Writes are fenced",
    /// More is waiting than may wait.
    Overloaded "overloaded" SERVICE_UNAVAILABLE "The member is overloaded",
    /// The member is stopping.
    ShuttingDown "shutting-down" SERVICE_UNAVAILABLE "The member is stopping",
    /// This member's clock is too far ahead of the others' to write by.
    ClockSkew "clock-skew" SERVICE_UNAVAILABLE "This member's clock is ahead of the others'",
    /// This member's clock cannot be right.
    ClockImplausible "clock-implausible" SERVICE_UNAVAILABLE "This member's clock cannot be right",
    /// The store holds as many keys as it may.
    TooManyKeys "too-many-keys" INSUFFICIENT_STORAGE "The store holds too many keys",
    /// The member was started without the strong side.
    StrongSideOff "strong-side-off" SERVICE_UNAVAILABLE "The strong side is off",
    /// The group of the strong side is not there yet, or does not work on this member.
    StrongSideDown "strong-side-down" SERVICE_UNAVAILABLE "The strong side does not work here",
    /// No leader with a majority was found.
    NoQuorum "no-quorum" SERVICE_UNAVAILABLE "The majority of the voters does not answer",
    /// Nobody knows whether the command was or will be done.
    StrongTimeout "strong-timeout" GATEWAY_TIMEOUT "No answer from the majority in time",
    /// The voters cannot be changed so.
    QuorumRefused "quorum-refused" CONFLICT "This change of the group is refused",
    /// The group has no such member.
    NotInGroup "not-in-group" NOT_FOUND "The member is not in the group",
    /// There is no such counter.
    CounterNotFound "counter-not-found" NOT_FOUND "There is no such counter",
    /// There is no such lock.
    LockNotFound "lock-not-found" NOT_FOUND "There is no such lock",
    /// There is no such log.
    LogNotFound "log-not-found" NOT_FOUND "There is no such log",
    /// A newer token of the lock was granted.
    StaleFence "stale-fence" PRECONDITION_FAILED "The fencing token is stale",
    /// The fencing token was never granted.
    UnknownFence "unknown-fence" BAD_REQUEST "The fencing token was never granted",
    /// The sum does not fit.
    CounterOverflow "counter-overflow" CONFLICT "The counter would overflow",
    /// The counter holds something else.
    CounterDiffers "counter-differs" CONFLICT "The counter holds another value",
    /// The lock is held, and the request did not want to wait.
    LockHeld "lock-held" CONFLICT "The lock is held",
    /// The lock did not become free in time.
    WaitOver "wait-over" REQUEST_TIMEOUT "The lock did not become free in time",
    /// The nonce does not hold the lock.
    WrongNonce "wrong-nonce" CONFLICT "The nonce does not hold the lock",
    /// The lock is in use with another limit.
    LimitDiffers "limit-differs" CONFLICT "The lock is in use with another limit",
    /// The lock was deleted meanwhile.
    LockDeleted "lock-deleted" CONFLICT "The lock was deleted meanwhile",
    /// What was asked for was let go.
    Trimmed "trimmed" GONE "The entries were let go",
    /// The event is of a state that is no more: the group began anew since, or was recovered.
    OtherHistory "other-history" GONE "The event is of another history",
    /// The idempotency key belongs to another request.
    KeyReused "idempotency-key-reused" UNPROCESSABLE_ENTITY
        "The Idempotency-Key was used for another request",
    /// The request does not name one key that can be stored.
    KeyNeeded "key-needed" UNPROCESSABLE_ENTITY "A key is needed",
    /// Something is larger than it may be.
    OverLimit "over-limit" UNPROCESSABLE_ENTITY "Something is larger than it may be",
    /// Something is smaller than it must be.
    BelowLeast "below-least" UNPROCESSABLE_ENTITY "Something is smaller than it must be",
    /// There is as much of something as there may be.
    StrongSideFull "strong-side-full" INSUFFICIENT_STORAGE "The strong side is full",
    /// The disk is full.
    DiskFull "disk-full" INSUFFICIENT_STORAGE "The disk is full",
}

/// A problem on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind it is.
    pub code: Code,
    /// What happened this time, for people.
    pub detail: Cow<'static, str>,
    /// What became of the request.
    pub outcome: Outcome,
    /// What to do next, for people.
    pub hint: Option<Cow<'static, str>>,
    /// After how many seconds to try again.
    pub retry_after: Option<u32>,
    /// The methods that are allowed, for the `Allow` header.
    pub allow: Option<&'static str>,
    /// How many members are known to have the write, how many were asked for, and which are not
    /// known to have it.
    pub acknowledged: Option<Box<Acknowledged>>,
    /// From which index on a log has entries.
    pub first: Option<u64>,
}

/// The body as it is written; the order of the members is part of the golden tests.
#[derive(Serialize)]
struct Shape<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<Missing<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
}

/// A member that is not known to have a write.
#[derive(Serialize)]
struct Missing<'a> {
    id: String,
    name: &'a str,
}

impl<'a> Missing<'a> {
    fn of(few: &'a Acknowledged) -> Vec<Self> {
        let missing = few.missing.iter().map(|(id, name)| Self {
            id: id.to_string(),
            name,
        });
        missing.collect()
    }
}

impl Problem {
    /// A problem by which nothing was changed.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            outcome: Outcome::NotApplied,
            hint: None,
            retry_after: None,
            allow: None,
            acknowledged: None,
            first: None,
        }
    }

    /// The same with advice on what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with another outcome.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The same, asking the client to wait this many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The constant answer to whoever has no right credentials: it tells nothing of this member.
    pub fn unauthorized() -> Self {
        Self::new(
            Code::Unauthorized,
            "the user name or the password is missing or wrong",
        )
    }

    /// There is nothing at this path.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "there is nothing at this path")
            .hint("what this member serves begins with /v1/store")
    }

    /// This path knows only the methods in `allow`.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(
                Code::MethodNotAllowed,
                format!("this path knows only {allow}"),
            )
        }
    }

    /// A fault of ours: nobody knows how far it came.
    pub fn internal() -> Self {
        Self::new(
            Code::Internal,
            "the request met a fault of this program; its log says more",
        )
        .outcome(Outcome::Unknown)
    }

    /// The member is stopping.
    pub fn shutting_down() -> Self {
        Self::new(Code::ShuttingDown, "the member is stopping")
            .hint("ask another member")
            .retry_after(1)
    }

    /// The body as JSON text.
    pub fn to_json(&self) -> String {
        let shape = Shape {
            r#type: "about:blank",
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            outcome: self.outcome,
            hint: self.hint.as_deref(),
            acknowledged: self.acknowledged.as_ref().map(|few| few.members),
            wanted: self.acknowledged.as_ref().map(|few| few.wanted),
            missing: self.acknowledged.as_deref().map(Missing::of),
            first: self.first,
        };
        serde_json::to_string(&shape).unwrap_or_default()
    }

    /// The whole answer.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        let typ = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, typ);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.code == Code::Unauthorized {
            let basic = HeaderValue::from_static(r#"Basic realm="gaggle", charset="UTF-8""#);
            headers.insert(WWW_AUTHENTICATE, basic);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        Self::into_response(self)
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        let problem = Self::new(Code::InvalidName, error.to_string());
        match error {
            NameError::Slash => problem.hint("a node is one segment of the path: no %2F in it"),
            NameError::Encoding => {
                problem.hint("percent-encode the UTF-8 bytes of the name, and \"%\" itself as %25")
            }
            NameError::Empty | NameError::TooLong { .. } | NameError::Control | NameError::Dots => {
                problem
            }
        }
    }
}

impl From<ClockTrouble> for Problem {
    fn from(trouble: ClockTrouble) -> Self {
        let detail = trouble.to_string();
        let seconds = trouble.retry_after().as_secs();
        let problem = match trouble {
            ClockTrouble::Ahead { .. } => Self::new(Code::ClockSkew, detail)
                .hint("write through another member; set the clocks, best by NTP on every host"),
            ClockTrouble::Jumped { .. } => Self::new(Code::ClockSkew, detail)
                .hint("write through another member; this one takes writes again by itself"),
            ClockTrouble::Implausible { .. } => Self::new(Code::ClockImplausible, detail)
                .hint("set this host's clock, or connect it with another member"),
        };
        problem.retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

/// So many members are named in a text; a larger cluster's are counted.
const NAMED: usize = 10;

impl From<Acknowledged> for Problem {
    /// Too few have it in time.
    fn from(few: Acknowledged) -> Self {
        let Acknowledged {
            members,
            wanted,
            missing,
        } = &few;
        let named = missing.iter().take(NAMED);
        let mut who: Vec<String> = named.map(|(id, name)| format!("{name} ({id})")).collect();
        if missing.len() > NAMED {
            who.push(format!("{} more", missing.len() - NAMED));
        }
        let cluster = members + missing.len();
        let lacking = match &who[..] {
            [] => String::new(),
            who => format!("; not known to have it: {}", who.join(", ")),
        };
        let are = if *members == 1 { "is" } else { "are" };
        let detail = format!(
            "the write is done here, and {members} of the {wanted} members that were asked for \
             {are} known to have it on disk, this one included{lacking}"
        );
        let hint = if *wanted > cluster {
            format!(
                "it need not be written again. The cluster has {cluster} of {wanted} members: ask \
                 for fewer, or for quorum or all"
            )
        } else {
            "it need not be written again: it goes on to the others by itself, as soon as they \
             are there; the list of members shows who is away"
                .to_owned()
        };
        Self {
            acknowledged: Some(Box::new(few)),
            ..Self::new(Code::AckTimeout, detail)
        }
        .outcome(Outcome::Applied)
        .hint(hint)
    }
}

impl From<EditError> for Problem {
    fn from(error: EditError) -> Self {
        let detail = error.to_string();
        match error {
            EditError::NodeNotFound => Self::new(Code::NodeNotFound, detail),
            EditError::KeyNotFound => Self::new(Code::KeyNotFound, detail),
            EditError::VersionNotFound => Self::new(Code::VersionNotFound, detail)
                .hint("GET /v1/history/{node}/{key} lists what is kept"),
            EditError::PreconditionFailed { .. } => Self::new(Code::PreconditionFailed, detail)
                .hint("read it again, decide again, write with the new ETag"),
            EditError::NameTooLong { .. } => Self::new(Code::InvalidName, detail),
            EditError::ValueTooLarge { .. } => {
                Self::new(Code::ValueTooLarge, detail).hint("the limit is set by --max-value-bytes")
            }
            EditError::TooManyKeys { .. } => Self::new(Code::TooManyKeys, detail)
                .hint("delete keys, or raise --max-keys on every member"),
            EditError::Clock(trouble) => Self::from(trouble),
            EditError::DiskFull => Self::new(Code::DiskFull, detail)
                .hint("deleting still works; writes go on by themselves when there is room"),
            EditError::Fenced(_) => Self::new(Code::WriteFenced, detail)
                .hint("write through another member; restart this one when its disk is sound"),
            EditError::InDoubt(_) => Self::new(Code::WriteFenced, detail)
                .outcome(Outcome::Unknown)
                .hint("read it from another member; restart this one when its disk is sound"),
            EditError::Damaged(_) => Self::new(Code::Internal, detail)
                .hint("write it through another member; the log of this one names the file"),
            EditError::MemberNotFound => Self::new(Code::MemberNotFound, detail)
                .hint("GET /v1/members?all=true lists all members with their ids"),
            EditError::Forgotten => Self::new(Code::Forgotten, detail),
            EditError::Overloaded => Self::new(Code::Overloaded, detail).retry_after(1),
            EditError::Stopping => Self::shutting_down(),
            EditError::Lost => Self::new(Code::Internal, detail)
                .outcome(Outcome::Unknown)
                .hint("read it again before writing it again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_written_with_its_members_in_order() {
        let problem = Problem::from(EditError::DiskFull);
        assert_eq!(
            problem.to_json(),
            concat!(
                r#"{"type":"about:blank","title":"The disk is full","#,
                r#""status":507,"code":"disk-full","#,
                r#""detail":"the disk of the data directory is full","#,
                r#""outcome":"not-applied","#,
                r#""hint":"deleting still works; writes go on by themselves when there is room"}"#,
            )
        );
        assert_eq!(
            Problem::unauthorized().to_json(),
            concat!(
                r#"{"type":"about:blank","title":"Credentials are needed","#,
                r#""status":401,"code":"unauthorized","#,
                r#""detail":"the user name or the password is missing or wrong","#,
                r#""outcome":"not-applied"}"#,
            )
        );
    }

    #[test]
    fn an_edit_that_may_have_been_done_says_so() {
        let check = |error: EditError, code, outcome| {
            let problem = Problem::from(error.clone());
            assert_eq!((problem.code, problem.outcome), (code, outcome), "{error}");
        };
        check(EditError::Lost, Code::Internal, Outcome::Unknown);
        check(
            EditError::Fenced("EIO".into()),
            Code::WriteFenced,
            Outcome::NotApplied,
        );
        check(
            EditError::InDoubt("EIO".into()),
            Code::WriteFenced,
            Outcome::Unknown,
        );
        check(EditError::Overloaded, Code::Overloaded, Outcome::NotApplied);
        check(EditError::Stopping, Code::ShuttingDown, Outcome::NotApplied);
        check(
            EditError::TooManyKeys { limit: 1 },
            Code::TooManyKeys,
            Outcome::NotApplied,
        );
    }

    #[test]
    fn headers_tell_what_the_body_tells() {
        let header = |problem: Problem, name: http::HeaderName| {
            let response = problem.into_response();
            let value = response.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let allow = Problem::method_not_allowed("GET, HEAD");
        assert_eq!(header(allow, ALLOW).as_deref(), Some("GET, HEAD"));
        let busy = Problem::from(EditError::Overloaded);
        assert_eq!(header(busy, RETRY_AFTER).as_deref(), Some("1"));
        assert_eq!(
            header(Problem::unauthorized(), WWW_AUTHENTICATE).as_deref(),
            Some(r#"Basic realm="gaggle", charset="UTF-8""#)
        );
        assert_eq!(header(Problem::not_found(), WWW_AUTHENTICATE), None);
    }
}
