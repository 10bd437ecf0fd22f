//! `/v1/log`: ordered logs of JSON texts, the same on every member, in the same order.

mod following;

use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::body::Purpose;
use crate::api::coordination::{READ, WRITE};
use crate::api::json;
use crate::api::problem::{Code, Problem};
use crate::api::query::Query;
use crate::api::reply;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::config;
use crate::strong::{
    AGE_LIMIT, Command, Json, JsonError, Log, LogItem, LogName, LogOp, Millis, Op, Outcome,
    PAGE_BYTES_LIMIT, PAGE_LIMIT, Refused, Retention,
};

pub(super) use following::follow;

/// The query parameters that a page knows.
const PAGED: [&str; 4] = ["consistency", "timeout", "from", "limit"];
/// How many entries are in one answer unless the query asks for another number.
const PAGE: usize = 1000;

/// A log as this resource shows it.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    /// The first index that is kept, or `next` if none is.
    first: u64,
    /// The index that the next entry gets.
    next: u64,
    retention: ShownRetention,
}

#[derive(Serialize)]
struct ShownRetention {
    count: u64,
    /// None: for ever.
    age: Option<String>,
}

impl From<Retention> for ShownRetention {
    fn from(retention: Retention) -> Self {
        let text = |age: Millis| config::show_duration(Duration::from_millis(age.0));
        Self {
            count: retention.count,
            age: retention.age.map(text),
        }
    }
}

impl<'a> Shown<'a> {
    fn of(name: &'a LogName, log: &Log) -> Self {
        Self {
            name: name.as_str(),
            first: log.first(),
            next: log.next(),
            retention: log.retention().into(),
        }
    }
}

/// All logs, by name.
pub(super) async fn list(call: &Call<'_>) -> Answer {
    #[derive(Serialize)]
    struct All<'a> {
        logs: Vec<Shown<'a>>,
    }
    let query = Query::of(&call.head.uri, &READ)?;
    let fresh = call.fresh(&query).await?;
    let logs = fresh.view.state.logs().iter();
    let all = All {
        logs: logs.map(|(name, log)| Shown::of(name, log)).collect(),
    };
    let mut response = reply::json(StatusCode::OK, &all);
    fresh.mark(&mut response);
    Ok(response)
}

/// A page of one log.
pub(super) async fn get(call: &Call<'_>, name: &str) -> Answer {
    let query = Query::of(&call.head.uri, &PAGED)?;
    let name = parse(name)?;
    let from = query.parsed("from")?.unwrap_or(0);
    let limit = match query.text("limit") {
        None => PAGE,
        Some(_) => query.limit(PAGE_LIMIT)?,
    };
    let fresh = call.fresh(&query).await?;
    let log = fresh.view.state.logs().log(name.as_str());
    let log = log.ok_or(Problem::from(Refused::LogNotFound))?;
    let page = log.read(from, limit, PAGE_BYTES_LIMIT)?;
    let (first, next, end) = (page.first, page.resume, log.next());
    let mut out = format!(r#"{{"first":{first},"next":{next},"end":{end},"entries":["#);
    for (place, (index, item)) in page.items.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_item(&mut out, *index, item);
    }
    out.push_str("]}");
    let mut response = reply::json_body(Body::from(out));
    reply::no_store(response.headers_mut());
    fresh.mark(&mut response);
    Ok(response)
}

/// Writes one entry; its text comes out as it went in, octet by octet.
fn write_item(out: &mut String, index: u64, item: &LogItem) {
    #[derive(Serialize)]
    struct Head<'a> {
        index: u64,
        position: u64,
        author: &'a str,
        written: String,
    }
    let head = Head {
        index,
        position: item.position,
        author: &item.author,
        written: item.written.to_string(),
    };
    let head = serde_json::to_string(&head).expect("numbers and text are written into a String");
    out.push_str(head.strip_suffix('}').unwrap_or(&head));
    out.push_str(r#","data":"#);
    out.push_str(item.json.as_str());
    out.push('}');
}

/// Appends an entry; answered when a majority has it.
pub(super) async fn append(call: &Call<'_>, name: &str, body: Body) -> Answer {
    #[derive(Serialize)]
    struct Appended {
        index: u64,
        position: u64,
    }
    let query = Query::of(&call.head.uri, &WRITE)?;
    let name = parse(name)?;
    let received = call.take(body, Purpose::Document).await?;
    let json = json(&received.octets)?;
    let append = Command::Op(Op::Log(LogOp::Append { name, json }));
    match call.propose(&query, append).await? {
        Outcome::Appended { index, position } => {
            let appended = Appended { index, position };
            Ok(reply::json(StatusCode::CREATED, &appended))
        }
        _ => Err(Problem::internal()),
    }
}

fn json(octets: &[u8]) -> Result<Json, Problem> {
    let text = std::str::from_utf8(octets)
        .map_err(|_| Problem::new(Code::InvalidBody, "the body is no UTF-8"))?;
    let read: Result<Json, JsonError> = text.parse();
    let read = read.map_err(|error| {
        let code = match error {
            JsonError::TooLarge { .. } => Code::ValueTooLarge,
            JsonError::Syntax(_) | JsonError::TooDeep => Code::InvalidBody,
        };
        Problem::new(code, error.to_string())
    })?;
    // Many readers could not take a page with such an entry in it.
    json::check(text).map_err(|fault| Problem::new(Code::InvalidBody, format!("it {fault}")))?;
    Ok(read)
}

/// What a log is to keep; what is not said is as it is at first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    retention: WantedRetention,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedRetention {
    count: Option<u64>,
    age: Option<String>,
}

/// Sets what a log keeps; the log is made if it is not there.
pub(super) async fn configure(call: &Call<'_>, name: &str, body: Body) -> Answer {
    #[derive(Serialize)]
    struct Kept<'a> {
        name: &'a str,
        first: u64,
        retention: ShownRetention,
    }
    let query = Query::of(&call.head.uri, &WRITE)?;
    let name = parse(name)?;
    let received = call.take(body, Purpose::Document).await?;
    let wanted: Wanted = json::document(&received.octets)?;
    let WantedRetention { count, age } = wanted.retention;
    let usual = Retention::default();
    let retention = Retention {
        count: count.unwrap_or(usual.count),
        age: age.map(|age| span(&age)).transpose()?.or(usual.age),
    };
    let shown = name.clone();
    let configure = LogOp::Configure { name, retention };
    match call
        .propose(&query, Command::Op(Op::Log(configure)))
        .await?
    {
        Outcome::Kept { first } => {
            let kept = Kept {
                name: shown.as_str(),
                first,
                retention: retention.into(),
            };
            Ok(reply::json(StatusCode::OK, &kept))
        }
        _ => Err(Problem::internal()),
    }
}

fn span(text: &str) -> Result<Millis, Problem> {
    let span = config::duration(text).map_err(|why| {
        let longest = config::show_duration(Duration::from_millis(AGE_LIMIT.0));
        let detail = format!("age: {text:?}: {why}");
        let hint = format!("write it as \"12h\" or \"7d\"; {longest} at most, null: for ever");
        Problem::new(Code::InvalidBody, detail).hint(hint)
    });
    span.map(Millis::from)
}

/// Lets go of the entries of a log, all or those before an index. The log stays, and its indexes go
/// on: an index never means two entries.
pub(super) async fn delete(call: &Call<'_>, name: &str) -> Answer {
    let query = Query::of(&call.head.uri, &["timeout", "before"])?;
    let name = parse(name)?;
    let before = query.parsed("before")?.unwrap_or(u64::MAX);
    tracing::info!(target: "gaggle::audit", user = %call.user.name, %name, before, "log trimmed");
    let trim = LogOp::Trim { name, before };
    call.propose(&query, Command::Op(Op::Log(trim))).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn parse(name: &str) -> Result<LogName, Problem> {
    Ok(decode(name)?.parse()?)
}
