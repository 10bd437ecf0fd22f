//! `/v1/status`: this member in one page.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::members::{MemberState, MemberView};
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::io::disk::{DiskReader, DiskState};

#[derive(Serialize)]
struct Status<'a> {
    member: String,
    name: &'a str,
    cluster: &'a str,
    version: &'a str,
    started: String,
    uptime_ms: u64,
    address: Option<SocketAddr>,
    revision: u64,
    digest: String,
    nodes: usize,
    keys: usize,
    tombstones: usize,
    bytes: usize,
    members: Members,
    ready: bool,
    disk: DiskView,
}

#[derive(Default, Serialize)]
struct Members {
    alive: usize,
    suspect: usize,
    dead: usize,
    left: usize,
}

/// Whether the disk takes writes, and how much room there is.
#[derive(Serialize)]
struct DiskView {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_bytes: Option<u64>,
}

impl DiskView {
    fn of(disk: &DiskReader) -> Self {
        let (state, detail) = match disk.state() {
            DiskState::Ok => ("ok", None),
            DiskState::Full => ("full", None),
            DiskState::Fenced(why) => ("fenced", Some(why)),
        };
        let room = disk.room();
        Self {
            state,
            detail,
            free_bytes: room.map(|room| room.free),
            total_bytes: room.map(|room| room.total),
            used_bytes: room.map(|room| room.used),
        }
    }
}

impl Members {
    fn count(members: &[MemberView]) -> Self {
        members.iter().fold(Self::default(), |mut counts, member| {
            match member.state {
                MemberState::Alive => counts.alive += 1,
                MemberState::Suspect => counts.suspect += 1,
                MemberState::Dead => counts.dead += 1,
                MemberState::Left => counts.left += 1,
            }
            counts
        })
    }
}

/// This member: who it is, what it holds, how it is.
pub(super) async fn get(call: &Call<'_>) -> Answer {
    let parts = &call.api.parts;
    let view = call.view();
    let (counted, reader) = (view.clone(), parts.app.disk().clone());
    let (nodes, disk) = call
        .blocking(move || (counted.store.nodes().count(), DiskView::of(&reader)))
        .await?;
    let counts = view.store.counts();
    let members = parts.members.members();
    let status = Status {
        member: parts.about.member.to_string(),
        name: &parts.about.name,
        cluster: parts.about.cluster.as_str(),
        version: parts.about.version,
        started: parts.about.started.to_string(),
        uptime_ms: u64::try_from(call.uptime().as_millis()).unwrap_or(u64::MAX),
        address: members
            .iter()
            .find(|member| member.is_self)
            .map(|member| member.address),
        revision: view.revision,
        digest: format!("{:032x}", view.store.digest().root()),
        nodes,
        keys: counts.keys,
        tombstones: counts.entries - counts.keys,
        bytes: counts.bytes,
        members: Members::count(&members),
        ready: parts.app.health().first_failure().is_none(),
        disk,
    };
    Ok(reply::json(StatusCode::OK, &status))
}
