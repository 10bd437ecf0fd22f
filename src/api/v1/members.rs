//! `/v1/members`: the members that this one knows; clients fail over by it. One that does not come
//! back is forgotten here.

use std::net::SocketAddr;

use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Serialize, Serializer};

use crate::api::problem::{Code, Problem};
use crate::api::query::{Query, refused};
use crate::api::reply;
use crate::api::route::decode;
use crate::api::server::{Answer, Call};
use crate::app::{EditError, Upkeep};
use crate::model::{MemberId, WallTime};

/// Who knows the members.
pub trait MemberDirectory: Send + Sync {
    /// All members that are known, this one among them. Must not wait.
    fn members(&self) -> Vec<MemberView>;
    /// The ways in which this one looks for others, as they went lately. Must not wait.
    fn ways(&self) -> Vec<WayView>;
}

/// One way to find members (`--discover`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WayView {
    /// The way, as it was told.
    pub way: String,
    /// When it was looked at last; none if it was not yet, or is always open.
    #[serde(serialize_with = "shown_if_any")]
    pub asked: Option<WallTime>,
    /// What is wrong with it, if anything.
    pub trouble: Option<String>,
    /// Where it leads.
    pub found: Vec<FoundView>,
}

/// Where a way leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundView {
    /// The address, and the port of the API.
    pub address: SocketAddr,
    /// What came of it.
    pub outcome: Outcome,
    /// The name of the member there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Why nobody of the cluster answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What came of an address that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A member answered.
    Member,
    /// It is this member itself.
    Itself,
    /// It was not tried yet.
    NotTried,
    /// Nobody of the cluster answered.
    Failed,
}

/// What is known of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// Its id.
    #[serde(serialize_with = "shown")]
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Where it serves clients; none if it was not seen since this member started.
    pub address: Option<SocketAddr>,
    /// How it is.
    pub state: MemberState,
    /// How often it has made itself known anew (SWIM).
    pub incarnation: Option<u64>,
    /// The version of its program.
    pub version: Option<String>,
    /// Since when it is in this state, as far as this member saw. Of a member that was not seen
    /// since this one started: when it joined the cluster under its name. Of a forgotten one: since
    /// when it is forgotten.
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
    /// How it is watched: over `udp`, or over `https` where datagrams do not get through. None of a
    /// member that is not here, and of this one.
    pub watched_over: Option<&'static str>,
    /// How far its clock is ahead of this member's, in milliseconds; none if that is unknown.
    pub clock_offset_ms: Option<i64>,
    /// Who decided to forget it, if it is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgotten_by: Option<String>,
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
    /// It does not belong to the cluster any more.
    Forgotten,
}

impl MemberState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
            Self::Forgotten => "forgotten",
        }
    }
}

fn shown<T: std::fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn shown_if_any<S: Serializer>(value: &Option<WallTime>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
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

/// The members; forgotten ones only with `?all=true`.
pub(super) fn list(call: &Call<'_>) -> Answer {
    let query = Query::of(&call.head.uri, &["all"])?;
    let all = is_set(&query, "all")?;
    let mut members = call.api.parts.members.members();
    members.retain(|member| all || member.state != MemberState::Forgotten);
    Ok(reply::json(StatusCode::OK, &List { members }))
}

/// Forgets a member, which is named by its id or, if only one has it, by its name.
pub(super) async fn forget(call: &Call<'_>, word: &str) -> Answer {
    let query = Query::of(&call.head.uri, &["force"])?;
    let force = is_set(&query, "force")?;
    let word = decode(word)?;
    let members = call.api.parts.members.members();
    let member = find(&members, &word)?;
    if member.is_self {
        return Err(Problem::new(
            Code::MemberIsSelf,
            "this member cannot forget itself: it would set its own copy aside and start anew",
        )
        .hint("ask another member, after this one was stopped"));
    }
    let is_here = matches!(member.state, MemberState::Alive | MemberState::Suspect);
    if is_here && !force {
        let detail = format!("the member {} ({}) is here", member.name, member.id);
        return Err(Problem::new(Code::MemberAlive, detail).hint(
            "stop it first; with force=true it is forgotten at once, sets its copy aside and \
             joins again as a new member",
        ));
    }
    let author = call.user.name.clone();
    let warning = warning(&members, member);
    tracing::warn!(
        target: "gaggle::audit", user = %author, member = %member.id, name = member.name, force,
        warning, "a member is forgotten"
    );
    let member = member.id;
    let upkeep = Upkeep::Forget { member, author };
    call.api.parts.app.upkeep(upkeep).await?;
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    if let Some(warning) = warning.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(WARNING, warning);
    }
    Ok(response)
}

/// The header that tells of what was done and may not have been meant.
const WARNING: HeaderName = HeaderName::from_static("gaggle-warning");

/// What whoever forgets this member should know.
fn warning(members: &[MemberView], member: &MemberView) -> Option<String> {
    if member.state == MemberState::Forgotten {
        return None;
    }
    let is_here = |at: &&MemberView| matches!(at.state, MemberState::Alive | MemberState::Suspect);
    let is_known = |at: &&MemberView| at.state != MemberState::Forgotten;
    let known = members.iter().filter(is_known).count();
    let here = members.iter().filter(is_here).count();
    let few = (here * 2 < known).then(|| {
        format!("only {here} of the {known} members that belong to the cluster were here")
    });
    let was_here = is_here(&member).then(|| {
        let state = member.state.word();
        format!("it was {state}: it sets its copy aside and joins again as a new member")
    });
    let all: Vec<String> = few.into_iter().chain(was_here).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// The member that a word means: an id, or the name of one that is not forgotten; of the forgotten
/// ones, if there is no other.
fn find<'a>(members: &'a [MemberView], word: &str) -> Result<&'a MemberView, Problem> {
    let id: Option<MemberId> = word.parse().ok();
    if let Some(member) = members.iter().find(|member| Some(member.id) == id) {
        return Ok(member);
    }
    let (forgotten, known): (Vec<_>, Vec<_>) = members
        .iter()
        .filter(|member| member.name == word)
        .partition(|member| member.state == MemberState::Forgotten);
    match (&known[..], &forgotten[..]) {
        ([one], _) | ([], [one, ..]) => Ok(one),
        ([], []) => Err(EditError::MemberNotFound.into()),
        (several, _) => {
            let shown = |member: &&MemberView| {
                let state = member.state.word();
                format!("{} ({state})", member.id)
            };
            let ids: Vec<String> = several.iter().map(shown).collect();
            let detail = format!("{} members are called {word:?}", several.len());
            let hint = format!("name it by its id: {}", ids.join(", "));
            Err(Problem::new(Code::MemberAmbiguous, detail).hint(hint))
        }
    }
}

/// Whether a switch of the query is on.
fn is_set(query: &Query, name: &str) -> Result<bool, Problem> {
    match query.text(name) {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(other) => Err(refused(format!("{name}={other:?}: it is true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(id: u64, name: &str, state: MemberState) -> MemberView {
        MemberView {
            id: MemberId::from_u64(id),
            name: name.to_owned(),
            address: None,
            state,
            incarnation: None,
            version: None,
            since: WallTime::default(),
            lag_ms: None,
            digest: None,
            in_sync: false,
            watched_over: None,
            clock_offset_ms: None,
            forgotten_by: None,
            is_self: false,
        }
    }

    #[test]
    fn a_member_is_found_by_its_id_or_by_a_name_that_only_it_has() {
        let members = [
            view(1, "a", MemberState::Alive),
            view(2, "b", MemberState::Dead),
            view(3, "b", MemberState::Alive),
            view(4, "c", MemberState::Forgotten),
            view(5, "a", MemberState::Forgotten),
            view(6, "0000000000000002", MemberState::Alive),
        ];
        let check = |word: &str, expected: Result<u64, Code>| {
            let found = find(&members, word).map(|member| member.id.as_u64());
            assert_eq!(found.map_err(|problem| problem.code), expected, "{word}");
        };
        check("a", Ok(1));
        check("b", Err(Code::MemberAmbiguous));
        check("0000000000000002", Ok(2));
        check("c", Ok(4));
        check("d", Err(Code::MemberNotFound));
        check("0000000000000009", Err(Code::MemberNotFound));
    }
}
