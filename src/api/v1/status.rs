//! `/v1/status`: this member in one page.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::members::{MemberState, MemberView, WayView};
use super::zgossip;
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::app::{App, Strong};
use crate::io::disk::{DiskReader, DiskState};
use crate::model::{HybridTime, Store};
use crate::strong::engine::Part;

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
    conflicts: usize,
    held_aside: HeldAside,
    collecting: Collecting,
    members: Members,
    discovery: Vec<WayView>,
    ready: bool,
    strong: StrongView,
    zgossip: zgossip::Shown,
    disk: DiskView,
}

#[derive(Default, Serialize)]
struct Members {
    alive: usize,
    suspect: usize,
    dead: usize,
    left: usize,
    forgotten: usize,
    /// How many of those that are here are watched over HTTPS, for want of datagrams.
    over_https: usize,
}

/// What is stamped too far ahead of this member's clock.
#[derive(Serialize)]
struct HeldAside {
    count: usize,
    /// When the first of it is merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
}

/// How far what was deleted is known everywhere, and was collected.
#[derive(Serialize)]
struct Collecting {
    /// Since when the oldest deleted thing waits.
    oldest: Option<String>,
    /// Up to then every known member is known to have all.
    stable: Option<String>,
    /// How far back that is.
    stable_lag_ms: Option<u64>,
    /// Up to then what was deleted was collected.
    horizon: Option<String>,
    /// How many keys and nodes since the start.
    collected: u64,
    /// The members that belong to the cluster, alive or not.
    known_members: usize,
}

impl HeldAside {
    fn of(store: &Store) -> Self {
        Self {
            count: store.held_count(),
            first: store.held_next().map(shown),
        }
    }
}

impl Collecting {
    /// Goes through what is deleted, which may take some time.
    fn of(app: &App, store: &Store) -> Self {
        let known = |time: HybridTime| (time > HybridTime::default()).then_some(time);
        let stable = known(app.stable());
        let lag = |time: HybridTime| {
            let stable = time.wall().millis();
            app.now().millis().saturating_sub(stable)
        };
        Self {
            oldest: store.first_dead().map(shown),
            stable: stable.map(shown),
            stable_lag_ms: stable.map(lag),
            horizon: known(store.horizon()).map(shown),
            collected: app.collected(),
            known_members: store.known().count(),
        }
    }
}

fn shown(time: HybridTime) -> String {
    time.wall().to_string()
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

/// The strong side in short; `/v1/quorum` has all of it.
#[derive(Serialize)]
#[serde(untagged)]
enum StrongView {
    Off { state: &'static str },
    On(Box<Standing>),
}

#[derive(Serialize)]
struct Standing {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    group: Option<String>,
    term: u64,
    role: &'static str,
    leader: Option<String>,
    majority: bool,
    voters: Vec<Voter>,
    committed: u64,
    applied: u64,
}

#[derive(Serialize)]
struct Voter {
    name: String,
    alive: bool,
}

impl StrongView {
    fn of(strong: &Strong) -> Self {
        let Ok(engine) = strong.engine() else {
            return Self::Off { state: "off" };
        };
        let status = engine.status();
        let voter = |part: &Part| Voter {
            name: part.name.clone(),
            alive: part.alive && !part.silent,
        };
        Self::On(Box::new(Standing {
            state: status.state,
            group: status.group.as_ref().map(|group| group.id.to_string()),
            term: status.term,
            role: status.role.word(),
            leader: status.leading().map(|leader| leader.name.clone()),
            majority: status.majority,
            voters: status.voters().map(voter).collect(),
            committed: status.committed,
            applied: status.applied,
            why: status.why,
        }))
    }
}

impl Members {
    fn count(members: &[MemberView]) -> Self {
        members.iter().fold(Self::default(), |mut counts, member| {
            counts.over_https += usize::from(member.watched_over == Some("https"));
            match member.state {
                MemberState::Alive => counts.alive += 1,
                MemberState::Suspect => counts.suspect += 1,
                MemberState::Dead => counts.dead += 1,
                MemberState::Left => counts.left += 1,
                MemberState::Forgotten => counts.forgotten += 1,
            }
            counts
        })
    }
}

/// This member: who it is, what it holds, how it is.
pub(super) async fn get(call: &Call<'_>) -> Answer {
    let parts = &call.api.parts;
    let view = call.view();
    let (counted, app) = (view.clone(), parts.app.clone());
    let count = move || {
        let store = &counted.store;
        let nodes = store.nodes().count();
        (nodes, DiskView::of(app.disk()), Collecting::of(&app, store))
    };
    let (nodes, disk, collecting) = call.blocking(count).await?;
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
            .and_then(|member| member.address),
        revision: view.revision,
        digest: format!("{:032x}", view.store.digest().root()),
        nodes,
        keys: counts.keys,
        tombstones: counts.entries - counts.keys,
        bytes: counts.bytes,
        conflicts: counts.conflicts,
        held_aside: HeldAside::of(&view.store),
        collecting,
        members: Members::count(&members),
        discovery: parts.members.ways(),
        strong: StrongView::of(&parts.strong),
        zgossip: zgossip::Shown::of(parts.zgossip.as_ref()),
        ready: parts.app.health().first_failure().is_none(),
        disk,
    };
    Ok(reply::json(StatusCode::OK, &status))
}
