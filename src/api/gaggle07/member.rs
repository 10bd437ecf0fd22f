//! This member and those it knows: status, configuration, log, block list, sync.

use std::net::IpAddr;

use axum::body::Body;
use http::Response;
use serde::Serialize;

use super::held;
use super::paths::Change;
use super::replies;
use crate::api::problem::{Code, Problem};
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::api::v1::{MemberState, MemberView};
use crate::app::BlockListError;
use crate::io::{clock, host};

#[derive(Serialize)]
struct Status {
    /// When this member started, in ms since 1970.
    sdate: u64,
    /// For how many seconds it is up.
    suptime: u64,
    hostname: String,
    system: String,
    /// The version of the system's kernel.
    version: String,
    arch: String,
    /// For how many seconds the host is up.
    ouptime: u64,
    checksum: String,
    /// Never: members that differ are brought together, not shut out.
    isolated: bool,
}

/// `/api/status`
pub(super) async fn status(call: &Call<'_>) -> Answer {
    let about = &call.api.parts.about;
    let host = host::look();
    Ok(replies::json(&Status {
        sdate: about.started.millis(),
        suptime: call.uptime().as_secs(),
        hostname: about.name.to_string(),
        system: host.system,
        version: host.release,
        arch: arch(&host.machine).to_owned(),
        ouptime: host.uptime.as_secs(),
        checksum: held::checksum(call).await?,
        isolated: false,
    }))
}

/// A kind of processor, as the original's runtime named it.
fn arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `/api/status/checksum`
pub(super) async fn checksum(call: &Call<'_>) -> Answer {
    Ok(replies::text(held::checksum(call).await?))
}

/// A member that is here.
#[derive(Serialize)]
struct Member {
    address: String,
    hostname: String,
    /// When it was known to be here, in ms since 1970.
    timestamp: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    cluster_id: &'a str,
    members: Vec<Member>,
    blacklist: Vec<String>,
}

/// `/api/config`
pub(super) fn config(call: &Call<'_>) -> Response<Body> {
    replies::json(&Config {
        cluster_id: call.api.parts.about.cluster.as_str(),
        members: living(call),
        blacklist: blocked(call),
    })
}

/// `/api/config/members`: this one among them.
pub(super) fn members(call: &Call<'_>) -> Response<Body> {
    replies::json(&living(call))
}

/// The members that are here. The original listed whom it had heard of in the last ten seconds;
/// a member that is alive was probed within as much, and one that is suspect is being asked again:
/// its time is that since when it is.
fn living(call: &Call<'_>) -> Vec<Member> {
    let now = clock::wall().millis();
    let shown = |member: MemberView| {
        let timestamp = match member.state {
            MemberState::Alive => now,
            MemberState::Suspect => member.since.millis(),
            MemberState::Dead | MemberState::Left | MemberState::Forgotten => return None,
        };
        Some(Member {
            address: member.address?.ip().to_canonical().to_string(),
            hostname: member.name,
            timestamp,
        })
    };
    let members = call.api.parts.members.members();
    members.into_iter().filter_map(shown).collect()
}

fn blocked(call: &Call<'_>) -> Vec<String> {
    let list = call.api.parts.block_list.addresses();
    list.iter().map(ToString::to_string).collect()
}

/// `/api/v2/config/blacklist`
pub(super) fn block_list(call: &Call<'_>) -> Response<Body> {
    replies::json(&blocked(call))
}

/// Puts an address on the block list, or takes it off. Either is 200, also when nothing changes.
pub(super) async fn block(call: &Call<'_>, change: Change, address: &str) -> Answer {
    let address = decode(address)?;
    let parsed: Result<IpAddr, _> = address.parse();
    let ip = match (parsed, change) {
        (Ok(ip), _) => ip,
        (Err(_), Change::Remove) => return Ok(replies::done()),
        (Err(_), Change::Add) => {
            let detail = format!("{address:?} is no IP address");
            return Err(Problem::new(Code::InvalidName, detail));
        }
    };
    let list = call.api.parts.block_list.clone();
    let changed = call
        .blocking(move || match change {
            Change::Add => list.add(ip),
            Change::Remove => list.remove(ip),
        })
        .await?
        .map_err(problem)?;
    if changed {
        tracing::warn!(
            target: "gaggle::audit", user = %call.user.name, address = %ip, ?change,
            "the block list was changed"
        );
    }
    Ok(replies::done())
}

fn problem(error: BlockListError) -> Problem {
    match error {
        BlockListError::Full => Problem::new(Code::OverLimit, error.to_string()),
        BlockListError::File(why) => {
            tracing::error!(%why, "the block list cannot be written");
            Problem::internal()
        }
    }
}

#[derive(Serialize)]
struct Line {
    date: u64,
    r#type: &'static str,
    msg: String,
}

/// `/api/log`: the last lines, oldest first.
pub(super) fn log(call: &Call<'_>) -> Response<Body> {
    let lines = call.api.parts.recent.lines();
    let lines = lines.into_iter().map(|line| Line {
        date: line.at.millis(),
        r#type: line.level.short(),
        msg: line.text,
    });
    replies::json(&lines.collect::<Vec<_>>())
}

/// Starts a sync with every member that is here; the answer does not wait for it.
pub(super) fn sync(call: &Call<'_>) -> Response<Body> {
    let members = call.api.parts.members.members().into_iter();
    let others = members.filter(|member| {
        let is_here = matches!(member.state, MemberState::Alive | MemberState::Suspect);
        is_here && !member.is_self
    });
    let others = others.map(|member| member.id).collect();
    call.api.parts.app.want(others);
    replies::done()
}
