//! Asks a member on behalf of a command, and the next one if it is away.
//!
//! A read goes to the next server whenever one does not answer. A write goes to the next one only
//! if the first certainly did not do it: twice would be wrong where somebody else wrote between.
//! (One with an idempotency key is done once in any case.)

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use zeroize::Zeroizing;

use super::ca;
use super::coordination::IDEMPOTENCY_KEY;
use super::exit::{Exit, Failure};
use super::hints;
use super::token::{self, TokenFile};
use crate::config::ClientConfig;
use crate::io::clock::mono;
use crate::io::http_client::{ApiAnswer, ApiClient, ApiError, ApiOptions, ApiRequest, Credentials};
use crate::io::tls::Trust;
use crate::model::{KeyName, NodeName};
use crate::protocol::Mono;

/// The longest time for TCP and TLS to one address; less if several servers share the time.
pub(super) const CONNECT: Duration = Duration::from_secs(3);
/// A client ends its request by itself when the time is over, and knows best what became of it.
const GRACE: Duration = Duration::from_millis(200);

/// What may not stand for itself in a path.
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The path of a node.
pub(super) fn node_path(node: &NodeName) -> String {
    format!("/v1/store/{}", utf8_percent_encode(node.as_str(), IN_PATH))
}

/// The path of a key; slashes in it stand for themselves.
pub(super) fn key_path(node: &NodeName, key: &KeyName) -> String {
    let key = utf8_percent_encode(key.as_str(), IN_PATH);
    format!("{}/{key}", node_path(node))
}

/// The path of a key's history.
pub(super) fn history_path(node: &NodeName, key: &KeyName) -> String {
    let node = utf8_percent_encode(node.as_str(), IN_PATH);
    let key = utf8_percent_encode(key.as_str(), IN_PATH);
    format!("/v1/history/{node}/{key}")
}

/// A text as the value of a query parameter.
pub(super) fn in_query(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// Servers to ask, in order.
pub(super) struct Session {
    clients: Vec<ApiClient>,
    /// For all servers together.
    limit: Duration,
    has_password: bool,
    seen: Option<TokenFile>,
}

impl Session {
    /// A session with the password, for everything but a look at a member's health.
    pub(super) fn open(config: &ClientConfig) -> Result<Self, Failure> {
        Self::open_within(config, config.timeout)
    }

    /// The same, waiting for `limit` in all.
    pub(super) fn open_within(config: &ClientConfig, limit: Duration) -> Result<Self, Failure> {
        let pem = ca::pem(config)?;
        let trust = Trust::from_pem(pem.as_bytes())?;
        let credentials = config.password.as_ref().map(|password| Credentials {
            user: config.user.clone(),
            password: Zeroizing::new(password.reveal().to_owned()),
        });
        let share = u32::try_from(config.servers.len())
            .unwrap_or(u32::MAX)
            .max(1);
        let options = ApiOptions {
            credentials,
            connect: CONNECT.min(config.timeout / share),
            limit,
            ..ApiOptions::default()
        };
        let clients = config
            .servers
            .iter()
            .map(|server| ApiClient::new(&server.to_string(), &trust, options.clone()))
            .collect::<Result<_, _>>()
            .map_err(failure)?;
        Ok(Self {
            clients,
            limit,
            has_password: config.password.is_some(),
            seen: config.session.as_deref().map(TokenFile::open).transpose()?,
        })
    }

    /// Sends a request; gives an answer that reports success (or `304 Not Modified`).
    pub(super) async fn send(&self, request: ApiRequest) -> Result<ApiAnswer, Failure> {
        let mut failed = Vec::new();
        let end = mono().plus(self.limit);
        for client in &self.clients {
            match self.request(client, &request, end).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => {
                    let failure = self.problem(&client.url(), &answer);
                    if !is_away(&answer) {
                        return Err(failure);
                    }
                    failed.push(failure);
                }
                Err(why) => {
                    let goes_on = request.method == Method::GET
                        || request.headers.contains_key(IDEMPOTENCY_KEY)
                        || was_not_sent(&why);
                    failed.push(self::failure(why));
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Err(all_failed(failed))
    }

    /// One request to one server, ended when the time of all is over.
    async fn request(
        &self,
        client: &ApiClient,
        request: &ApiRequest,
        end: Mono,
    ) -> Result<ApiAnswer, ApiError> {
        let left = end.since(mono()) + GRACE;
        let mut request = request.clone();
        if let Some(token) = self.seen.as_ref().and_then(TokenFile::token) {
            request.headers.insert(token::HEADER, token);
        }
        let asked = tokio::time::timeout(left, client.request(request));
        let answer = asked.await.unwrap_or_else(|_elapsed| {
            Err(ApiError::TimedOut {
                url: client.url(),
                after: self.limit,
            })
        })?;
        if let Some(seen) = &self.seen {
            seen.take(&answer.headers);
        }
        Ok(answer)
    }

    /// Sends a request to the first server that answers; gives whatever it answers.
    pub(super) async fn ask_first(&self, request: ApiRequest) -> Result<ApiAnswer, Failure> {
        let mut failed = Vec::new();
        let end = mono().plus(self.limit);
        for client in &self.clients {
            match self.request(client, &request, end).await {
                Ok(answer) => return Ok(answer),
                Err(why) => failed.push(failure(why)),
            }
        }
        Err(all_failed(failed))
    }

    /// The body of a successful GET, as JSON.
    pub(super) async fn json(&self, path: &str) -> Result<Value, Failure> {
        let request = ApiRequest::new(Method::GET, path).with_header("accept", "application/json");
        body_json(&self.send(request).await?.body)
    }

    /// What an answer that reports a problem means.
    pub(super) fn problem(&self, url: &str, answer: &ApiAnswer) -> Failure {
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let field = |name: &str| problem.get(name).and_then(Value::as_str);
        let code = field("code").unwrap_or_default();
        let what = field("detail")
            .or(field("title"))
            .or(answer.status.canonical_reason())
            .unwrap_or("no reason given");
        let mut message = format!("{url}: {what}");
        if !code.is_empty() {
            message = format!("{message} ({code})");
        }
        if field("outcome") == Some("unknown") {
            message.push_str("; whether it was done is unknown");
        }
        let exit = exit_of(answer.status, code);
        let failure = Failure::message(exit, message);
        let hint = hints::of(code, self.has_password).or(field("hint"));
        match hint {
            Some(hint) => failure.hint(hint),
            None if exit == Exit::Auth => failure.hint(hints::auth(self.has_password)),
            None => failure,
        }
    }
}

/// The JSON of a body.
pub(super) fn body_json(body: &Bytes) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|why| {
        anyhow::Error::new(why)
            .context("the answer is no JSON")
            .into()
    })
}

/// Runs a command that waits for the network.
pub(super) fn wait_for<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

/// Whether the member cannot answer now and did nothing, so that another may be asked.
fn is_away(answer: &ApiAnswer) -> bool {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    answer.status == StatusCode::SERVICE_UNAVAILABLE
        && problem.get("outcome").and_then(Value::as_str) == Some("not-applied")
}

fn was_not_sent(why: &ApiError) -> bool {
    match why {
        ApiError::NobodyAnswers { .. }
        | ApiError::UnknownHost { .. }
        | ApiError::Refused { .. }
        | ApiError::BadUrl { .. }
        | ApiError::BadRequest(_) => true,
        ApiError::TimedOut { .. } | ApiError::Broken { .. } | ApiError::TooLarge { .. } => false,
    }
}

/// A request without an answer, as a failure.
pub(super) fn failure(why: ApiError) -> Failure {
    let exit = match &why {
        ApiError::TimedOut { .. } => Exit::TimeOut,
        ApiError::BadUrl { .. } | ApiError::BadRequest(_) => Exit::Usage,
        ApiError::UnknownHost { .. }
        | ApiError::NobodyAnswers { .. }
        | ApiError::Refused { .. }
        | ApiError::Broken { .. }
        | ApiError::TooLarge { .. } => Exit::Error,
    };
    let is_nobody = matches!(why, ApiError::NobodyAnswers { .. });
    let failure = Failure::new(exit, why);
    if is_nobody {
        failure.hint(
            "start a member with `gaggle serve`, or name another one with --server (GAGGLE_SERVER)",
        )
    } else {
        failure
    }
}

/// The failure that says most, with what happened at the other servers before it: that something
/// may have been done, then what a member answered, then that somebody was not reached.
fn all_failed(mut failed: Vec<Failure>) -> Failure {
    let weight = |failure: &Failure| match failure.exit {
        Exit::TimeOut => 2,
        Exit::Error => 0,
        _ => 1,
    };
    let most = (0..failed.len()).max_by_key(|at| weight(&failed[*at]));
    let Some(last) = most.map(|at| failed.remove(at)) else {
        return Failure::message(Exit::Error, "no server was asked");
    };
    let others: Vec<String> = failed.iter().map(|f| format!("{:#}", f.error)).collect();
    if others.is_empty() {
        return last;
    }
    let message = format!("{}\n{:#}", others.join("\n"), last.error);
    Failure {
        error: anyhow::anyhow!(message),
        ..last
    }
}

fn exit_of(status: StatusCode, code: &str) -> Exit {
    match (status.as_u16(), code) {
        (_, "session-behind") => Exit::Behind,
        (_, "strong-side-off" | "strong-side-down" | "no-quorum") => Exit::NoQuorum,
        (401 | 403 | 429, _) => Exit::Auth,
        (404, _) => Exit::NotFound,
        (409 | 412, _) => Exit::Conflict,
        (408 | 504, _) => Exit::TimeOut,
        _ => Exit::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_once_and_slashes_in_keys_stand_for_themselves() {
        let node: NodeName = "a b%🦆".parse().unwrap();
        assert_eq!(node_path(&node), "/v1/store/a%20b%25%F0%9F%A6%86");
        let key: KeyName = "inproc://x?y#z".parse().unwrap();
        let expected = "/v1/store/a%20b%25%F0%9F%A6%86/inproc://x%3Fy%23z";
        assert_eq!(key_path(&node, &key), expected);
    }

    #[test]
    fn each_kind_of_answer_has_its_exit_code() {
        let cases = [
            (404, "key-not-found", Exit::NotFound),
            (401, "unauthorized", Exit::Auth),
            (429, "too-many-attempts", Exit::Auth),
            (412, "precondition-failed", Exit::Conflict),
            (409, "node-exists", Exit::Conflict),
            (503, "strong-side-off", Exit::NoQuorum),
            (503, "session-behind", Exit::Behind),
            (503, "shutting-down", Exit::Error),
            (504, "ack-timeout", Exit::TimeOut),
            (500, "internal", Exit::Error),
            (507, "disk-full", Exit::Error),
        ];
        for (status, code, exit) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(exit_of(status, code), exit, "{code}");
        }
    }

    #[test]
    fn no_answer_in_time_and_nobody_there_have_different_exit_codes() {
        let url = || "https://a:1".to_owned();
        let after = Duration::from_secs(1);
        let late = failure(ApiError::TimedOut { url: url(), after });
        assert_eq!(late.exit, Exit::TimeOut);
        assert!(late.to_string().contains("unknown"), "{late}");
        let tried = "refused".to_owned();
        let nobody = failure(ApiError::NobodyAnswers { url: url(), tried });
        assert_eq!(nobody.exit, Exit::Error);
        assert!(nobody.to_string().contains("gaggle serve"), "{nobody}");
    }

    #[test]
    fn what_happened_at_each_server_is_told() {
        let failed = vec![
            Failure::message(Exit::Error, "a: away"),
            Failure::message(Exit::TimeOut, "b: slow").hint("wait"),
        ];
        let all = all_failed(failed);
        assert_eq!(all.exit, Exit::TimeOut);
        assert_eq!(all.to_string(), "a: away\nb: slow\nhint: wait");
        let failed = vec![
            Failure::message(Exit::NoQuorum, "a: no majority").hint("wait"),
            Failure::message(Exit::Error, "b: nobody is there").hint("start one"),
        ];
        let all = all_failed(failed);
        assert_eq!(all.exit, Exit::NoQuorum);
        let told = "b: nobody is there\na: no majority\nhint: wait";
        assert_eq!(all.to_string(), told);
    }
}
