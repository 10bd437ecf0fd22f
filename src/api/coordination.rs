//! What all requests to the strong side have in common: who asks, `Idempotency-Key`, `If-Fence`,
//! `timeout`, `consistency`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::io::clock;
use crate::protocol::Mono;
use crate::strong::engine::{Engine, Request, StrongError, View};
use crate::strong::{self, Command, Fence, LockName, Outcome, RequestKey};

use super::metrics::Asked;
use super::problem::{Code, Problem};
use super::query::{Query, refused};
use super::server::Call;

/// How long a request waits for the majority unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a request may ask to wait.
const LONGEST: Duration = Duration::from_mins(10);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IF_FENCE: HeaderName = HeaderName::from_static("if-fence");
/// How many milliseconds what was read may be behind.
const AGE: HeaderName = HeaderName::from_static("gaggle-age-ms");

/// The query parameters that a read of the strong side knows.
pub(super) const READ: [&str; 2] = ["consistency", "timeout"];
/// The query parameters that a write knows.
pub(super) const WRITE: [&str; 1] = ["timeout"];

/// A state of the strong side to read from.
pub(super) struct Fresh {
    /// The state.
    pub(super) view: Arc<View>,
    age: Age,
}

/// How old what is read may be.
enum Age {
    /// It has everything that was answered before.
    Fresh,
    /// So long ago somebody confirmed it, if anybody ever did.
    Stale(Option<Duration>),
}

impl Fresh {
    /// A strong node.
    pub(super) fn node(&self, node: &str) -> Option<&strong::Node> {
        self.view.state.nodes().node(node)
    }

    /// Whether it has everything that was answered before.
    pub(super) fn has_all(&self) -> bool {
        matches!(self.age, Age::Fresh)
    }

    /// Says in the answer how old it may be, if it may be old.
    pub(super) fn mark<T>(&self, response: &mut Response<T>) {
        let Age::Stale(age) = self.age else {
            return;
        };
        let text = age.map_or_else(|| "unknown".to_owned(), |age| age.as_millis().to_string());
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(AGE, value);
        }
    }
}

impl Call<'_> {
    /// The strong side.
    pub(super) fn engine(&self) -> Result<&Engine, Problem> {
        Ok(self.api.parts.strong.engine()?)
    }

    /// Has a command done in the user's name.
    pub(super) async fn propose(
        &self,
        query: &Query,
        command: Command,
    ) -> Result<Outcome, Problem> {
        Ok(self.attempt(query, command).await??)
    }

    /// The same, with what the state machine refuses as it is.
    pub(super) async fn attempt(
        &self,
        query: &Query,
        command: Command,
    ) -> Result<strong::Answer, Problem> {
        let headers = &self.head.headers;
        let request = Request {
            author: self.user.name.clone(),
            request: request_key(headers)?,
            fences: fences(headers)?,
            command,
        };
        tracing::debug!(target: "gaggle::audit", user = %request.author, "strong command");
        let limit = timeout(query)?;
        let (engine, begun) = (self.engine()?, clock::mono());
        let answer = engine.propose(request, limit).await;
        let answer = answer.and_then(|answer| Ok(answer?));
        self.count(Asked::Write, &answer, begun);
        match answer {
            Ok(outcome) => Ok(Ok(outcome)),
            Err(StrongError::Refused(why)) => Ok(Err(why)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the client can send this very request again: it has an `Idempotency-Key`.
    pub(super) fn is_repeatable(&self) -> bool {
        self.head.headers.contains_key(&IDEMPOTENCY_KEY)
    }

    /// The state to read from: with everything that was answered before, unless the query asks for
    /// `consistency=stale`.
    pub(super) async fn fresh(&self, query: &Query) -> Result<Fresh, Problem> {
        let limit = timeout(query)?;
        match Consistency::of(query)? {
            Consistency::Linearizable => self.confirmed(limit).await,
            Consistency::Stale => self.stale(),
        }
    }

    /// The state with everything that was answered before.
    pub(super) async fn confirmed(&self, limit: Duration) -> Result<Fresh, Problem> {
        let (engine, begun) = (self.engine()?, clock::mono());
        let answer = engine.fresh(limit).await;
        self.count(Asked::Read, &answer, begun);
        Ok(Fresh {
            view: answer?,
            age: Age::Fresh,
        })
    }

    fn count<T>(&self, asked: Asked, answer: &Result<T, StrongError>, begun: Mono) {
        let took = clock::mono().since(begun);
        self.api.parts.metrics.count_strong(asked, answer, took);
    }

    /// The state as it is here.
    pub(super) fn stale(&self) -> Result<Fresh, Problem> {
        let (view, age) = self.engine()?.view();
        Ok(Fresh {
            view,
            age: Age::Stale(age),
        })
    }
}

/// What a read of the strong side asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consistency {
    /// Everything that was answered before.
    Linearizable,
    /// What is here.
    Stale,
}

impl Consistency {
    /// Reads `consistency`.
    pub(super) fn of(query: &Query) -> Result<Self, Problem> {
        match query.text("consistency") {
            None | Some("linearizable") => Ok(Self::Linearizable),
            Some("stale") => Ok(Self::Stale),
            Some(other) => Err(refused(format!(
                "consistency={other:?}: it is linearizable or stale"
            ))),
        }
    }
}

/// `timeout`: how long the request may wait.
pub(super) fn timeout(query: &Query) -> Result<Duration, Problem> {
    let Some(text) = query.text("timeout") else {
        return Ok(TIMEOUT);
    };
    let limit = crate::config::duration(text);
    let limit = limit.map_err(|why| refused(format!("timeout={text:?}: {why}")))?;
    if limit.is_zero() || limit > LONGEST {
        return Err(refused(
            "timeout is more than 0s and at most 10m".to_owned(),
        ));
    }
    Ok(limit)
}

/// Refuses the headers by which a write asks for what only the strong side can promise.
pub(super) fn check_eventual(headers: &HeaderMap) -> Result<(), Problem> {
    match [IDEMPOTENCY_KEY, IF_FENCE]
        .iter()
        .find(|name| headers.contains_key(*name))
    {
        None => Ok(()),
        Some(name) => Err(Problem::new(
            Code::InvalidHeader,
            format!("{name} holds for strong nodes, and this node is, or would be, eventual"),
        )
        .hint("make the node strong first: PUT /v1/nodes/{node} with {\"class\":\"strong\"}")),
    }
}

/// `Idempotency-Key`.
fn request_key(headers: &HeaderMap) -> Result<Option<RequestKey>, Problem> {
    let Some(text) = once(headers, &IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    // The draft of the header writes it as a quoted string; many clients do not.
    let text = text
        .strip_prefix('"')
        .and_then(|it| it.strip_suffix('"'))
        .unwrap_or(text);
    text.parse()
        .map(Some)
        .map_err(|why: crate::strong::RequestKeyError| {
            Problem::new(Code::InvalidHeader, why.to_string())
        })
}

/// `If-Fence: LOCK=TOKEN, …`.
fn fences(headers: &HeaderMap) -> Result<Vec<Fence>, Problem> {
    let mut fences = Vec::new();
    for value in headers.get_all(IF_FENCE) {
        let text = value.to_str().map_err(|_| bad_fence())?;
        for part in text.split(',') {
            let (lock, token) = part.trim().rsplit_once('=').ok_or_else(bad_fence)?;
            let lock = super::route::decode(lock)?;
            let lock: LockName = lock.parse().map_err(|_| bad_fence())?;
            let token = token.parse().map_err(|_| bad_fence())?;
            fences.push(Fence { lock, token });
        }
    }
    Ok(fences)
}

fn bad_fence() -> Problem {
    Problem::new(
        Code::InvalidHeader,
        "If-Fence has the name of a lock and its token, as LOCK=TOKEN, or a list of such",
    )
    .hint("percent-encode a comma, an equals sign or a \"%\" in the name")
}

/// A header that may come once.
fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut all = headers.get_all(name).iter();
    let (first, second) = (all.next(), all.next());
    if second.is_some() {
        return Err(Problem::new(
            Code::InvalidHeader,
            format!("{name} comes twice"),
        ));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_| Problem::new(Code::InvalidHeader, format!("{name} is no ASCII text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn fences_are_read_from_one_header_or_many() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let fences = fences(&headers(pairs)).ok()?;
            let pair = |fence: &Fence| (fence.lock.as_str().to_owned(), fence.token);
            Some(fences.iter().map(pair).collect::<Vec<_>>())
        };
        let pair = |lock: &str, token| (lock.to_owned(), token);
        assert_eq!(read(&[]), Some(Vec::new()));
        assert_eq!(read(&[("if-fence", "a=7")]), Some(vec![pair("a", 7)]));
        let two = Some(vec![pair("a", 7), pair("b=c", 8)]);
        assert_eq!(read(&[("if-fence", "a=7, b=c=8")]), two);
        assert_eq!(read(&[("if-fence", "a=7"), ("if-fence", "b%3Dc=8")]), two);
        for bad in ["", "a", "a=", "a=x", "=7", "a=-1", "a=7,,b=8", "%zz=1"] {
            let value = HeaderValue::from_static(bad);
            let mut headers = HeaderMap::new();
            headers.insert("if-fence", value);
            assert!(fences(&headers).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_idempotency_key_comes_once_quoted_or_not() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            request_key(&headers(pairs)).map(|key| key.map(|key| key.as_str().to_owned()))
        };
        assert_eq!(read(&[]).unwrap(), None);
        for same in ["k 1", "\"k 1\""] {
            let key = read(&[("idempotency-key", same)]).unwrap();
            assert_eq!(key.as_deref(), Some("k 1"));
        }
        assert!(read(&[("idempotency-key", "")]).is_err());
        assert!(read(&[("idempotency-key", "a"), ("idempotency-key", "b")]).is_err());
    }

    #[test]
    fn a_timeout_is_a_time_span_within_its_bounds() {
        let read = |text: &str| {
            let uri = format!("/v1/txn?{text}").parse().unwrap();
            timeout(&Query::of(&uri, &WRITE).unwrap()).ok()
        };
        assert_eq!(read(""), Some(TIMEOUT));
        assert_eq!(read("timeout=500ms"), Some(Duration::from_millis(500)));
        for bad in ["timeout=", "timeout=0s", "timeout=11m", "timeout=x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
