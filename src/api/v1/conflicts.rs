//! `/v1/conflicts`: the keys that two members wrote without knowing of each other, with what won
//! and what lost.

use std::sync::Arc;

use axum::body::Body;

use super::history::unreadable;
use super::version::{write_list, write_member, write_shown};
use crate::api::problem::Problem;
use crate::api::query::{Query, refused};
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::app::{Choice, EditError, Past, View};
use crate::io::disk::{DiskError, DiskReader};
use crate::model::{KeyName, NodeName, WallTime};

/// The most keys in one answer.
const LIMIT: usize = 1000;
/// The size from which on an answer ends, though there is more, in bytes.
const PAGE_BYTES: usize = 1 << 20;

/// Which conflicts are asked for.
struct Wanted {
    node: Option<NodeName>,
    after: Option<(NodeName, KeyName)>,
    limit: usize,
}

impl Wanted {
    fn of(query: &Query) -> Result<Self, Problem> {
        let after = query.text("after").map(|text| {
            let place = text
                .split_once('/')
                .and_then(|(node, key)| Some((node.parse().ok()?, key.parse().ok()?)));
            place.ok_or_else(|| {
                refused(format!(
                    "after={text:?}: it is the node and key of \"next\", as NODE/KEY"
                ))
            })
        });
        Ok(Self {
            node: query.parsed("node")?,
            after: after.transpose()?,
            limit: query.limit(LIMIT)?,
        })
    }

    /// How many keys are in conflict, and those that are asked for, one more than fit if there are.
    fn find(&self, view: &View) -> (usize, Vec<(NodeName, KeyName)>) {
        let (mut count, mut found) = (0, Vec::new());
        if view.store.counts().conflicts == 0 {
            return (count, found);
        }
        let nodes = view.store.all_nodes();
        let nodes = nodes.filter(|(name, _)| self.node.as_ref().is_none_or(|node| node == *name));
        for (name, node) in nodes {
            for (key, _) in node.conflicts() {
                count += 1;
                let after = self.after.as_ref();
                let is_after = after.is_none_or(|(n, k)| (name, key) > (n, k));
                if is_after && found.len() <= self.limit {
                    found.push((name.clone(), key.clone()));
                }
            }
        }
        (count, found)
    }

    /// The answer.
    fn answer(&self, view: &View, disk: &DiskReader, now: WallTime) -> Result<Vec<u8>, DiskError> {
        let (count, found) = self.find(view);
        let mut out = format!(r#"{{"count":{count},"conflicts":["#).into_bytes();
        let mut last = None;
        let mut shown = 0;
        for (node, key) in &found {
            if shown == self.limit || out.len() > PAGE_BYTES {
                break;
            }
            shown += 1;
            last = Some((node, key));
            let past = match Past::read(disk, node, key, Choice::Conflict) {
                Ok(Some(past)) => Some(past),
                Ok(None) => continue,
                Err(error @ DiskError::Corrupt { .. }) => {
                    tracing::error!(%node, %error, "a key in conflict could not be read");
                    None
                }
                Err(error) => return Err(error),
            };
            let is_live = view.store.get(node.as_str(), key.as_str(), now).is_some();
            if out.last() == Some(&b'}') {
                out.push(b',');
            }
            out.push(b'{');
            write_member(&mut out, "node", node.as_str());
            out.push(b',');
            write_member(&mut out, "key", key.as_str());
            out.extend_from_slice(format!(r#","live":{is_live}"#).as_bytes());
            match past {
                Some(past) => write_conflict(&mut out, &past, now),
                None => out.extend_from_slice(br#","damaged":true"#),
            }
            out.push(b'}');
        }
        out.push(b']');
        if let (true, Some((node, key))) = (shown < found.len(), last) {
            out.push(b',');
            write_member(&mut out, "next", &format!("{node}/{key}"));
        }
        out.push(b'}');
        Ok(out)
    }
}

/// Writes what won and what lost. If it was settled since the view was taken, nothing has lost.
fn write_conflict(out: &mut Vec<u8>, past: &Past, now: WallTime) {
    let Some((current, losers)) = past.versions.split_first() else {
        return;
    };
    out.extend_from_slice(br#","current":"#);
    write_shown(out, current, now);
    out.extend_from_slice(br#","losers":"#);
    write_list(out, losers, now);
    if past.next.is_some() {
        // The values are too large for one answer; the history has the rest.
        out.extend_from_slice(br#","more":true"#);
    }
}

/// The keys in conflict, by node and key.
pub(super) async fn list(call: &Call<'_>) -> Answer {
    let query = Query::of(&call.head.uri, &["node", "after", "limit"])?;
    let wanted = Wanted::of(&query)?;
    let (view, now): (Arc<View>, _) = (call.view(), call.now());
    if let Some(node) = &wanted.node
        && view.store.register(node.as_str()).is_none()
        && view.store.node(node.as_str()).is_none()
    {
        return Err(EditError::NodeNotFound.into());
    }
    let disk = call.api.parts.app.disk().clone();
    let read = move || wanted.answer(&view, &disk, now);
    let out = call.blocking(read).await?.map_err(unreadable)?;
    let mut response = reply::json_body(Body::from(out));
    reply::no_store(response.headers_mut());
    Ok(response)
}
