//! `/v1/counters`: numbers that add up exactly, whoever adds at the same time.

use axum::body::Body;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::body::Purpose;
use crate::api::coordination::{READ, WRITE};
use crate::api::json;
use crate::api::problem::Problem;
use crate::api::query::Query;
use crate::api::reply;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::strong::{Command, CounterName, CounterOp, Op, Outcome, Refused};

/// A counter as this resource shows it.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    value: i64,
    /// Where in the log it was written last; grows with each write.
    version: u64,
}

/// All counters, by name.
pub(super) async fn list(call: &Call<'_>) -> Answer {
    #[derive(Serialize)]
    struct All<'a> {
        counters: Vec<Shown<'a>>,
    }
    let query = Query::of(&call.head.uri, &READ)?;
    let fresh = call.fresh(&query).await?;
    let counters = fresh.view.state.counters().iter();
    let all = All {
        counters: counters
            .map(|(name, at)| Shown {
                name: name.as_str(),
                value: at.value,
                version: at.version,
            })
            .collect(),
    };
    let mut response = reply::json(StatusCode::OK, &all);
    fresh.mark(&mut response);
    Ok(response)
}

/// One counter.
pub(super) async fn get(call: &Call<'_>, name: &str) -> Answer {
    let query = Query::of(&call.head.uri, &READ)?;
    let name = parse(name)?;
    let fresh = call.fresh(&query).await?;
    let found = fresh.view.state.counters().counter(name.as_str());
    let at = found.ok_or(Problem::from(Refused::CounterNotFound))?;
    let shown = Shown {
        name: name.as_str(),
        value: at.value,
        version: at.version,
    };
    let mut response = reply::json(StatusCode::OK, &shown);
    fresh.mark(&mut response);
    Ok(response)
}

/// What a client asks of a counter: exactly one of `add`, `set`; `expect` goes with `set`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    add: Option<i64>,
    set: Option<i64>,
    expect: Option<i64>,
}

/// Adds to a counter, which begins at zero, or sets it.
pub(super) async fn post(call: &Call<'_>, name: &str, body: Body) -> Answer {
    let query = Query::of(&call.head.uri, &WRITE)?;
    let name = parse(name)?;
    let received = call.take(body, Purpose::Document).await?;
    let wanted: Wanted = json::document(&received.octets)?;
    let op = match wanted {
        Wanted {
            add: Some(by),
            set: None,
            expect: None,
        } => CounterOp::Add { name, by },
        Wanted {
            add: None,
            set: Some(value),
            expect,
        } => CounterOp::Set {
            name,
            to: value,
            expected: expect,
        },
        Wanted { .. } => return Err(odd_body()),
    };
    answer(call, &query, op).await
}

fn odd_body() -> Problem {
    Problem::new(
        crate::api::problem::Code::InvalidBody,
        "the body is {\"add\":N}, or {\"set\":N} with or without \"expect\":M",
    )
}

/// Deletes a counter: the next one of that name begins at zero.
pub(super) async fn delete(call: &Call<'_>, name: &str) -> Answer {
    let query = Query::of(&call.head.uri, &WRITE)?;
    let name = parse(name)?;
    let op = CounterOp::Delete { name };
    call.propose(&query, Command::Op(Op::Counter(op))).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

async fn answer(call: &Call<'_>, query: &Query, op: CounterOp) -> Answer {
    #[derive(Serialize)]
    struct Value {
        value: i64,
    }
    let outcome = call.propose(query, Command::Op(Op::Counter(op))).await?;
    match outcome {
        Outcome::Counter(Some(value)) => Ok(reply::json(StatusCode::OK, &Value { value })),
        _ => Err(Problem::internal()),
    }
}

fn parse(name: &str) -> Result<CounterName, Problem> {
    Ok(decode(name)?.parse()?)
}
