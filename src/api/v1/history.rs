//! `/v1/history/{node}/{key}`: the versions of a key, and restoring one of them.
//!
//! A key may contain slashes and end in `/restore`. POST exists for restoring alone, so there the
//! last segment of the raw path is always the word, and what stands before it is the key: POST to
//! `/v1/history/a/x/restore` restores `x`, and `/v1/history/a/x/restore/restore` the key
//! `x/restore`. For GET the whole rest of the path is the key.

use axum::body::Body;
use http::header::{ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::key::{missing, names, raw};
use super::strong_history;
use super::version::{write_list, write_member, write_shown};
use crate::api::accept::{Form, form};
use crate::api::body::Purpose;
use crate::api::classes::{Found, IfMissing, Target};
use crate::api::conditions;
use crate::api::json::{self, write_text};
use crate::api::media;
use crate::api::problem::{Code, Problem};
use crate::api::query::{Query, refused};
use crate::api::reply;
use crate::api::route::{RESTORE, Route};
use crate::api::server::{Answer, Call};
use crate::app::{Choice, Edit, EditError, Past, Shown};
use crate::io::disk::DiskError;
use crate::model::{HISTORY_LIMIT, KeyName, NodeName, Stamp, StampError, WallTime};

/// The query parameters that reading versions knows.
const QUERY: [&str; 6] = [
    "before",
    "class",
    "consistency",
    "limit",
    "stamp",
    "timeout",
];

/// The versions of a key, newest first; with `stamp` one of them.
pub(super) async fn get(call: &Call<'_>, node: &str, key: &str) -> Answer {
    let (node, key) = names(node, key)?;
    let query = Query::of(&call.head.uri, &QUERY)?;
    if let Found::Strong(fresh) = call.found(node.as_str(), &query).await? {
        return strong_history::get(call, &fresh, (&node, &key), &query);
    }
    let before = query.parsed("before")?;
    let limit = query.limit(usize::from(HISTORY_LIMIT))?;
    let Some(word) = query.text("stamp") else {
        let past = past(call, &node, &key, Choice::Page { before, limit }).await?;
        return listed(call, &node, &key, &past);
    };
    if query.text("before").is_some() || query.text("limit").is_some() {
        return Err(refused("stamp asks for one version, not for a page".into()));
    }
    let wrong = |why: StampError| refused(format!("stamp={word:?}: {why}"));
    let stamp = meant(call, &node, &key, word, wrong).await?;
    let past = past(call, &node, &key, Choice::One(stamp)).await?;
    let shown = past.versions.first().ok_or(EditError::VersionNotFound)?;
    one(call, &node, &key, &past, shown)
}

/// The stamp that a word means: a whole one, or the beginning of one that no other version of the
/// key has, as `gaggle history` prints it. `wrong` tells of a word that can be neither.
async fn meant(
    call: &Call<'_>,
    node: &NodeName,
    key: &KeyName,
    word: &str,
    wrong: impl FnOnce(StampError) -> Problem,
) -> Result<Stamp, Problem> {
    let why = match word.parse() {
        Ok(stamp) => return Ok(stamp),
        Err(why) => why,
    };
    let is_of_one = |c: char| matches!(c, '0'..='9' | 'a'..='f' | '-');
    if word.is_empty() || !word.chars().all(is_of_one) {
        return Err(wrong(why));
    }
    let view = call.view();
    let entry = view.store.entry(node.as_str(), key.as_str());
    let newest = entry.map(|entry| entry.head.stamp);
    let disk = call.api.parts.app.disk().clone();
    let (of_node, of_key) = (node.clone(), key.clone());
    let read = move || disk.older(&of_node, &of_key);
    let older = call.blocking(read).await?.map_err(unreadable)?;
    let older = older.iter().map(|older| older.stamp);
    let mut all: Vec<Stamp> = newest.into_iter().chain(older).collect();
    all.retain(|stamp| stamp.to_string().starts_with(word));
    // The newest in our view may be an older one on the disk by now.
    all.dedup();
    match all[..] {
        [one] => Ok(one),
        [] => Err(EditError::VersionNotFound.into()),
        [..] => {
            let detail = format!("{} versions have a stamp that begins so", all.len());
            let whole: Vec<String> = all.iter().map(ToString::to_string).collect();
            let hint = format!("give more of it: {}", whole.join(", "));
            Err(Problem::new(Code::VersionAmbiguous, detail).hint(hint))
        }
    }
}

/// Reads the past of a key on a thread that may block.
pub(super) async fn past(
    call: &Call<'_>,
    node: &NodeName,
    key: &KeyName,
    choice: Choice,
) -> Result<Past, Problem> {
    let disk = call.api.parts.app.disk().clone();
    let (of_node, of_key) = (node.clone(), key.clone());
    let read = move || Past::read(&disk, &of_node, &of_key, choice);
    let read = call.blocking(read).await?.map_err(unreadable)?;
    read.ok_or_else(|| missing(&call.view(), node.as_str(), key.as_str()))
}

/// Why what is kept of a key could not be read.
pub(super) fn unreadable(error: DiskError) -> Problem {
    match error {
        DiskError::Closed => Problem::shutting_down(),
        error => {
            tracing::error!(%error, "the versions of a key could not be read");
            Problem::from(EditError::Damaged(error.to_string()))
                .hint("read it from another member; the log of this one names the file")
        }
    }
}

/// The tag of a key's history, or of one version's description in it: it changes with the set of
/// versions, and when the node's deletion hides the key.
fn tag(past: &Past, is_live: bool) -> String {
    let live = if is_live { "" } else { "-gone" };
    format!("{:032x}{live}", past.tag)
}

fn is_live(call: &Call<'_>, node: &NodeName, key: &KeyName) -> bool {
    let view = call.view();
    view.store
        .get(node.as_str(), key.as_str(), call.now())
        .is_some()
}

/// The deletion of the node that hides a key whose own newest version is a value; none: it is not
/// hidden so.
fn hidden_by(call: &Call<'_>, node: &NodeName, key: &KeyName) -> Option<Stamp> {
    let view = call.view();
    let head = view.store.entry(node.as_str(), key.as_str())?.head.clone();
    let cleared = view.store.register(node.as_str())?.cleared?;
    (head.value().is_some() && head.stamp <= cleared).then_some(cleared)
}

fn listed(call: &Call<'_>, node: &NodeName, key: &KeyName, past: &Past) -> Answer {
    let is_live = is_live(call, node, key);
    let tag = tag(past, is_live);
    let mut response = if conditions::unchanged(&call.head.headers, &tag)? {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut out = begun(node, key);
        out.extend_from_slice(format!(r#","live":{is_live},"count":{}"#, past.count).as_bytes());
        if let Some(deletion) = hidden_by(call, node, key) {
            out.extend_from_slice(br#","hidden_by":{"#);
            write_member(&mut out, "stamp", &deletion.to_string());
            out.push(b',');
            write_member(&mut out, "deleted", &deletion.time.wall().to_string());
            out.push(b'}');
        }
        out.extend_from_slice(br#","versions":"#);
        write_list(&mut out, &past.versions, call.now());
        if let (Some(_), Some(last)) = (past.next, past.versions.last()) {
            out.extend_from_slice(br#","next":"#);
            write_text(&mut out, &last.version.stamp.to_string());
        }
        out.push(b'}');
        reply::json_body(Body::from(out))
    };
    reply::tag_stored(response.headers_mut(), reply::tag(&tag));
    Ok(response)
}

fn begun(node: &NodeName, key: &KeyName) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    write_member(&mut out, "node", node.as_str());
    out.push(b',');
    write_member(&mut out, "key", key.as_str());
    out
}

/// One version: its octets as they were written, or described as JSON.
fn one(call: &Call<'_>, node: &NodeName, key: &KeyName, past: &Past, shown: &Shown) -> Answer {
    let (headers, now) = (&call.head.headers, call.now());
    let version = &shown.version;
    let stored = version.value().map(|value| &*value.content_type);
    let form = form(headers, stored.unwrap_or_default());
    let tag = match (form, stored) {
        (Form::Raw, None) => return Err(deleted(version.written)),
        (Form::Raw, Some(_)) => version.stamp.to_string(),
        (Form::Json, _) => tag(past, is_live(call, node, key)),
    };
    let mut response = match (form, stored) {
        _ if conditions::unchanged(headers, &tag)? => reply::empty(StatusCode::NOT_MODIFIED),
        (Form::Raw, Some(stored)) => raw(version, stored),
        _ => {
            let mut out = begun(node, key);
            out.push(b',');
            let mut described = Vec::new();
            write_shown(&mut described, shown, now);
            out.extend_from_slice(described.get(1..).unwrap_or_default());
            reply::json_body(Body::from(out))
        }
    };
    reply::tag_version(response.headers_mut(), version, now);
    response.headers_mut().insert(ETAG, reply::tag(&tag));
    Ok(response)
}

fn deleted(at: WallTime) -> Problem {
    let detail = format!("with this version, of {at}, the key was deleted: it has no value");
    Problem::new(Code::VersionDeleted, detail)
        .hint("with Accept: application/json the deletion is described")
}

/// What a restore wants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    stamp: String,
}

/// Writes an older version's value, or deletion, again.
pub(super) async fn restore(call: &Call<'_>, node: &str, path: &str, body: Body) -> Answer {
    let Some(raw_key) = path.strip_suffix(RESTORE) else {
        return Err(Problem::method_not_allowed(
            Route::History(node, path).allow(),
        ));
    };
    let (name, key) = names(node, raw_key)?;
    if let Target::Strong(_) = call.target(&name, IfMissing::Make).await? {
        return Err(strong_history::no_history());
    }
    let condition = conditions::for_write(&call.head.headers)?;
    media::check_json(&call.head.headers, "application/json")?;
    let received = call.take(body, Purpose::Document).await?;
    let wanted: Wanted = json::document(&received.octets)?;
    let wrong = |why: StampError| {
        let detail = format!("stamp {:?}: {why}", wanted.stamp);
        Problem::new(Code::InvalidBody, detail)
    };
    let stamp = meant(call, &name, &key, &wanted.stamp, wrong).await?;
    let edit = Edit::Restore {
        node: name,
        key,
        stamp,
    };
    let written = call.write(edit, condition).await?;
    let mut response = reply::empty(if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::NO_CONTENT
    });
    if let Some(stamp) = written.stamp {
        response.headers_mut().insert(ETAG, reply::stamp_tag(stamp));
    }
    let place = format!("/v1/store/{node}/{raw_key}");
    if written.created
        && let Ok(place) = HeaderValue::from_str(&place)
    {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}
