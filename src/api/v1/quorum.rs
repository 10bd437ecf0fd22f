//! `/v1/quorum`: the group of the strong side, and what an operator can do about it; `/v1/leader`.

use axum::body::Body;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::body::Purpose;
use crate::api::guard;
use crate::api::json;
use crate::api::problem::{Code, Problem};
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::model::MemberId;
use crate::strong::engine::{Part, Status};

#[derive(Serialize)]
struct Shown<'a> {
    state: &'static str,
    why: Option<&'a str>,
    plan: String,
    group: Option<String>,
    epoch: Option<u64>,
    founded: Option<String>,
    voter: String,
    leader: Option<String>,
    term: u64,
    /// The last entry in the log of this member, the last one applied, and where its snapshot ends.
    last: u64,
    applied: u64,
    snapshot: u64,
    /// For how long nobody has confirmed what is here.
    age_ms: Option<u64>,
    members: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    id: String,
    name: &'a str,
    voter: String,
    role: &'static str,
    /// How many entries it lacks; the leader knows.
    lacks: Option<u64>,
}

fn member(part: &Part, leader: Option<MemberId>) -> Member<'_> {
    Member {
        id: part.member.to_string(),
        name: &part.name,
        voter: part.voter.to_string(),
        role: match part.votes {
            true if leader == Some(part.member) => "leader",
            true => "voter",
            false => "learner",
        },
        lacks: part.lacks,
    }
}

/// How the group stands, as this member sees it.
pub(super) fn get(call: &Call<'_>) -> Answer {
    let status: Status = call.engine()?.status();
    let group = status.group.as_ref();
    let age = status
        .age
        .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let shown = Shown {
        state: status.state,
        why: status.why.as_deref(),
        plan: status.plan.to_string(),
        group: group.map(|group| group.id.to_string()),
        epoch: group.map(|group| group.epoch),
        founded: group.map(|group| group.founded.to_string()),
        voter: status.voter.to_string(),
        leader: status.leader.map(|leader| leader.to_string()),
        term: status.term,
        last: status.last,
        applied: status.applied,
        snapshot: status.snapshot,
        age_ms: age,
        members: status
            .members
            .iter()
            .map(|part| member(part, status.leader))
            .collect(),
    };
    Ok(reply::json(StatusCode::OK, &shown))
}

/// Who leads, as far as this member knows: work that only one may do belongs to an election, see
/// `docs/STRONG.md`.
pub(super) fn leader(call: &Call<'_>) -> Answer {
    #[derive(Serialize)]
    struct Leader<'a> {
        id: Option<String>,
        name: Option<&'a str>,
        is_me: bool,
        term: u64,
    }
    let status = call.engine()?.status();
    let part = status
        .members
        .iter()
        .find(|part| Some(part.member) == status.leader);
    let shown = Leader {
        id: status.leader.map(|leader| leader.to_string()),
        name: part.map(|part| part.name.as_str()),
        is_me: status.leader == Some(call.api.parts.about.member),
        term: status.term,
    };
    Ok(reply::json(StatusCode::OK, &shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whom {
    /// A member's id or name.
    member: String,
}

/// `promote`, `demote` and `transfer` name a member; `recover` and `reset` are about this one.
pub(super) async fn act(call: &Call<'_>, action: &str, body: Body) -> Answer {
    guard::no_query(&call.head.uri)?;
    let engine = call.engine()?;
    let received = call.take(body, Purpose::Document).await?;
    let whom = || -> Result<MemberId, Problem> {
        let Whom { member } = json::document(&received.octets)?;
        find(&engine.status(), &member)
    };
    tracing::info!(target: "gaggle::audit", user = %call.user.name, action, "quorum");
    match action {
        "promote" => engine.promote(whom()?).await?,
        "demote" => engine.demote(whom()?).await?,
        "transfer" => engine.transfer(whom()?).await?,
        "recover" => drop(engine.recover().await?),
        "reset" => engine.reset().await?,
        _ => return Err(Problem::not_found()),
    }
    get(call)
}

fn find(status: &Status, word: &str) -> Result<MemberId, Problem> {
    let is_it = |part: &&Part| part.name == word || part.member.to_string() == word;
    let found: Vec<&Part> = status.members.iter().filter(is_it).collect();
    match found[..] {
        [part] => Ok(part.member),
        [] => Err(Problem::new(
            Code::MemberNotFound,
            format!("no member of the group has the id or name {word:?}"),
        )
        .hint("GET /v1/quorum lists the members of the group")),
        _ => Err(Problem::new(
            Code::MemberAmbiguous,
            format!(
                "{} members of the group have the name {word:?}",
                found.len()
            ),
        )
        .hint("give the id")),
    }
}
