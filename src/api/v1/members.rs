//! `/v1/members`: the members that this one knows; clients fail over by it.

use std::net::SocketAddr;

use axum::body::Body;
use http::{Response, StatusCode};
use serde::{Serialize, Serializer};

use crate::api::reply;
use crate::api::server::Call;
use crate::model::{MemberId, WallTime};

/// Who knows the members.
pub trait MemberDirectory: Send + Sync {
    /// All members that are known, this one among them. Must not wait.
    fn members(&self) -> Vec<MemberView>;
}

/// What is known of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// Its id.
    #[serde(serialize_with = "shown")]
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Where it serves clients.
    pub address: SocketAddr,
    /// How it is.
    pub state: MemberState,
    /// How often it has made itself known anew (SWIM).
    pub incarnation: u64,
    /// The version of its program.
    pub version: String,
    /// Since when it is in this state, as far as this member saw.
    #[serde(serialize_with = "shown")]
    pub since: WallTime,
    /// How long, in milliseconds, the oldest change waits that this member has for it; none if that
    /// is unknown.
    pub lag_ms: Option<u64>,
    /// The root of its digest as last heard.
    #[serde(serialize_with = "hexadecimal")]
    pub digest: Option<u128>,
    /// Whether that equals this member's own.
    pub in_sync: bool,
    /// Whether it is this member itself.
    #[serde(rename = "self")]
    pub is_self: bool,
}

/// How a member is, as this one sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// It answers.
    Alive,
    /// It did not answer lately.
    Suspect,
    /// It has not answered for too long.
    Dead,
    /// It said goodbye.
    Left,
}

fn shown<T: std::fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn hexadecimal<S: Serializer>(digest: &Option<u128>, to: S) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => to.collect_str(&format_args!("{digest:032x}")),
        None => to.serialize_none(),
    }
}

#[derive(Serialize)]
struct List {
    members: Vec<MemberView>,
}

/// All members.
pub(super) fn list(call: &Call<'_>) -> Response<Body> {
    let members = call.api.parts.members.members();
    reply::json(StatusCode::OK, &List { members })
}
