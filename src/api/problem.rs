//! The one error that clients see: `application/problem+json` (RFC 9457) with a stable `code` and
//! an honest `outcome`.
//!
//! The rooms below have their own small errors and know nothing of HTTP; here they become problems.

use std::borrow::Cow;

use axum::body::Body;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::app::EditError;
use crate::model::NameError;

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
    /// There is no such node.
    NodeNotFound "node-not-found" NOT_FOUND "There is no such node",
    /// The node has no such key.
    KeyNotFound "key-not-found" NOT_FOUND "There is no such key",
    /// There is nothing at this path.
    NotFound "not-found" NOT_FOUND "There is nothing here",
    /// The path is right, the method is not.
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The method is not allowed here",
    /// The body did not arrive in time.
    BodyTimeout "body-timeout" REQUEST_TIMEOUT "The body took too long to arrive",
    /// A node that must not be there is.
    NodeExists "node-exists" CONFLICT "The node exists already",
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
    /// The store holds as many keys as it may.
    TooManyKeys "too-many-keys" INSUFFICIENT_STORAGE "The store holds too many keys",
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

impl From<EditError> for Problem {
    fn from(error: EditError) -> Self {
        let detail = error.to_string();
        match error {
            EditError::NodeNotFound => Self::new(Code::NodeNotFound, detail),
            EditError::KeyNotFound => Self::new(Code::KeyNotFound, detail),
            EditError::PreconditionFailed { .. } => Self::new(Code::PreconditionFailed, detail)
                .hint("read it again, decide again, write with the new ETag"),
            EditError::NameTooLong { .. } => Self::new(Code::InvalidName, detail),
            EditError::ValueTooLarge { .. } => {
                Self::new(Code::ValueTooLarge, detail).hint("the limit is set by --max-value-bytes")
            }
            EditError::TooManyKeys { .. } => Self::new(Code::TooManyKeys, detail)
                .hint("delete keys, or raise --max-keys on every member"),
            EditError::DiskFull => Self::new(Code::DiskFull, detail)
                .hint("deleting still works; writes go on by themselves when there is room"),
            EditError::Fenced(_) => Self::new(Code::WriteFenced, detail)
                .hint("write through another member; restart this one when its disk is sound"),
            EditError::InDoubt(_) => Self::new(Code::WriteFenced, detail)
                .outcome(Outcome::Unknown)
                .hint("read it from another member; restart this one when its disk is sound"),
            EditError::Damaged(_) => Self::new(Code::Internal, detail)
                .hint("write it through another member; the log of this one names the file"),
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
