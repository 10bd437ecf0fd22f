//! `/v1/locks`: locks, semaphores (a lock with a limit above one), elections (a lock with a value).

mod acquiring;
mod observing;
mod waiting;

use std::sync::Arc;

use axum::body::Body;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::api::body::Purpose;
use crate::api::coordination::{READ, WRITE};
use crate::api::json;
use crate::api::log_clock::Clocks;
use crate::api::problem::{Code, Problem};
use crate::api::query::Query;
use crate::api::reply;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::config;
use crate::strong::{
    Command, Holder, Lock, LockCommand, LockName, LogTime, Millis, Nonce, Outcome, Refused, Waiter,
};

pub(super) use observing::observe;

/// The query parameters that a list knows.
const LIST: [&str; 4] = ["consistency", "timeout", "after", "limit"];
/// The most locks in one answer.
const LIMIT: usize = 1000;
/// The size from which on an answer ends, though there is more, in bytes.
const PAGE_BYTES: usize = 1 << 20;

/// A lock as this resource shows it; no nonces, for they are the holders' secrets.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    limit: u32,
    /// The newest fencing token that it granted.
    token: u64,
    holders: Vec<ShownHolder<'a>>,
    waiters: Vec<ShownWaiter<'a>>,
}

#[derive(Serialize)]
struct ShownHolder<'a> {
    author: &'a str,
    token: u64,
    since: String,
    age_ms: u64,
    expires: String,
    expires_in_ms: u64,
    ttl_ms: u64,
    value: Option<&'a str>,
}

#[derive(Serialize)]
struct ShownWaiter<'a> {
    author: &'a str,
    since: String,
    age_ms: u64,
    until: String,
    left_ms: u64,
}

impl<'a> Shown<'a> {
    fn of(name: &'a LockName, lock: &'a Lock, clocks: &Clocks<'_>) -> Self {
        let holder = |(token, holder): (&u64, &'a Holder)| ShownHolder {
            author: &holder.author,
            token: *token,
            since: clocks.wall(holder.since).to_string(),
            age_ms: clocks.since(holder.since).0,
            expires: clocks.wall(holder.expires).to_string(),
            expires_in_ms: clocks.until(holder.expires).0,
            ttl_ms: holder.ttl.0,
            value: holder.value.as_deref(),
        };
        let waiter = |(_, waiter): (&u64, &'a Waiter)| ShownWaiter {
            author: &waiter.author,
            since: clocks.wall(waiter.since).to_string(),
            age_ms: clocks.since(waiter.since).0,
            until: clocks.wall(waiter.until).to_string(),
            left_ms: clocks.until(waiter.until).0,
        };
        Self {
            name: name.as_str(),
            limit: lock.limit(),
            token: lock.newest(),
            holders: lock.holders().map(holder).collect(),
            waiters: lock.waiters().map(waiter).collect(),
        }
    }
}

/// All locks that are known, held or not, by name.
pub(super) async fn list(call: &Call<'_>) -> Answer {
    let query = Query::of(&call.head.uri, &LIST)?;
    let limit = query.limit(LIMIT)?;
    let after = query.text("after").unwrap_or_default();
    let fresh = call.fresh(&query).await?;
    let clocks = Clocks::of(call.engine()?, &fresh.view);
    let mut out = br#"{"locks":["#.to_vec();
    let mut next = None;
    let locks = fresh.view.state.locks().iter();
    let locks = locks.skip_while(|(name, _)| name.as_str() <= after);
    for (place, (name, lock)) in locks.enumerate() {
        if place == limit || out.len() > PAGE_BYTES {
            break;
        }
        if place > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, &Shown::of(name, lock, &clocks))
            .expect("a Vec takes everything, the members are text");
        next = Some(name.as_str());
    }
    let last = fresh.view.state.locks().last().map(LockName::as_str);
    out.push(b']');
    if let Some(next) = next.filter(|next| Some(*next) != last) {
        out.push(b',');
        super::version::write_member(&mut out, "next", next);
    }
    out.push(b'}');
    let mut response = reply::json_body(Body::from(out));
    reply::no_store(response.headers_mut());
    fresh.mark(&mut response);
    Ok(response)
}

/// One lock.
pub(super) async fn get(call: &Call<'_>, name: &str) -> Answer {
    let query = Query::of(&call.head.uri, &READ)?;
    let name = parse(name)?;
    let fresh = call.fresh(&query).await?;
    let lock = fresh.view.state.locks().lock(name.as_str());
    let lock = lock.ok_or(Problem::from(Refused::LockNotFound))?;
    let clocks = Clocks::of(call.engine()?, &fresh.view);
    let mut response = reply::json(StatusCode::OK, &Shown::of(&name, lock, &clocks));
    fresh.mark(&mut response);
    Ok(response)
}

/// Takes a lock from all who hold it and wait for it.
pub(super) async fn delete(call: &Call<'_>, name: &str) -> Answer {
    let query = Query::of(&call.head.uri, &WRITE)?;
    let name = parse(name)?;
    tracing::info!(target: "gaggle::audit", user = %call.user.name, %name, "lock deleted");
    let command = Command::Lock(LockCommand::Delete { name });
    call.propose(&query, command).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// What a holder or waiter asks.
pub(super) async fn act(call: &Call<'_>, name: &str, action: &str, body: Body) -> Answer {
    let name = parse(name)?;
    match action {
        "acquire" => acquiring::acquire(call, name, body).await,
        "renew" => renew(call, name, body).await,
        "value" => publish(call, name, body).await,
        "release" => release(call, name, body).await,
        _ => Err(Problem::not_found()),
    }
}

async fn renew(call: &Call<'_>, name: LockName, body: Body) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        nonce: String,
        ttl: Option<String>,
    }
    let wanted: Wanted = read(call, body).await?;
    let ttl = wanted.ttl.map(|ttl| span("ttl", &ttl)).transpose()?;
    let nonce = nonce(&wanted.nonce)?;
    prolong(call, (name, nonce), ttl, None).await
}

/// Publishes another value; the lease is renewed with it, for whoever publishes is alive.
async fn publish(call: &Call<'_>, name: LockName, body: Body) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        nonce: String,
        value: Arc<str>,
    }
    let wanted: Wanted = read(call, body).await?;
    let nonce = nonce(&wanted.nonce)?;
    prolong(call, (name, nonce), None, Some(wanted.value)).await
}

async fn prolong(
    call: &Call<'_>,
    (name, nonce): (LockName, Nonce),
    ttl: Option<Millis>,
    value: Option<Arc<str>>,
) -> Answer {
    let query = Query::of(&call.head.uri, &WRITE)?;
    let renew = LockCommand::Renew {
        name: name.clone(),
        nonce,
        ttl,
        value,
    };
    let outcome = call.propose(&query, Command::Lock(renew)).await?;
    let Outcome::Granted { token, expires, .. } = outcome else {
        return Err(Problem::internal());
    };
    let engine = call.engine()?;
    let (view, _) = engine.view();
    let held = view.state.locks().lock(name.as_str());
    let length = held.and_then(|lock| Some(lock.holder(nonce)?.1.ttl));
    let clocks = Clocks::of(engine, &view);
    let left = clocks.until(expires);
    let grant = Grant {
        nonce,
        token,
        expires,
        // It may be more by far if the lease was longer before.
        left: ttl.or(length).map_or(left, |length| length.max(left)),
    };
    Ok(reply::json(StatusCode::OK, &grant.shown(&clocks)))
}

async fn release(call: &Call<'_>, name: LockName, body: Body) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        nonce: String,
    }
    let query = Query::of(&call.head.uri, &WRITE)?;
    let wanted: Wanted = read(call, body).await?;
    let nonce = nonce(&wanted.nonce)?;
    let command = Command::Lock(LockCommand::Release { name, nonce });
    call.propose(&query, command).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// What a holder is told.
#[derive(Clone, Copy, Debug)]
struct Grant {
    nonce: Nonce,
    token: u64,
    expires: LogTime,
    /// How long the lease lasts from now on.
    left: Millis,
}

#[derive(Serialize)]
struct ShownGrant {
    nonce: String,
    /// The fencing token.
    token: u64,
    /// By the leader's wall clock, for people; a program counts `ttl_ms` from when it asked.
    expires: String,
    ttl_ms: u64,
}

impl Grant {
    fn shown(&self, clocks: &Clocks<'_>) -> ShownGrant {
        ShownGrant {
            nonce: self.nonce.to_hex(),
            token: self.token,
            expires: clocks.wall(self.expires).to_string(),
            ttl_ms: self.left.0,
        }
    }
}

/// Reads a body; an empty one says nothing of its own.
async fn read<T: DeserializeOwned>(call: &Call<'_>, body: Body) -> Result<T, Problem> {
    let received = call.take(body, Purpose::Document).await?;
    if received.octets.trim_ascii().is_empty() {
        return json::document(b"{}");
    }
    json::document(&received.octets)
}

/// A time span in a body.
fn span(what: &str, text: &str) -> Result<Millis, Problem> {
    let span = config::duration(text);
    let span = span.map_err(|why| {
        let detail = format!("{what}: {text:?}: {why}");
        Problem::new(Code::InvalidBody, detail).hint("write it as \"10s\" or \"500ms\"")
    });
    span.map(Millis::from)
}

fn nonce(text: &str) -> Result<Nonce, Problem> {
    Nonce::from_hex(text).ok_or_else(|| {
        Problem::new(
            Code::InvalidBody,
            "nonce: 32 hexadecimal digits, as acquire gave them",
        )
    })
}

fn parse(name: &str) -> Result<LockName, Problem> {
    Ok(decode(name)?.parse()?)
}
