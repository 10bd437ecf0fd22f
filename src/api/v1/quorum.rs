//! `/v1/quorum`: the group of the strong side, and what an operator can do about it; `/v1/leader`.

use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::body::Purpose;
use crate::api::guard;
use crate::api::json;
use crate::api::problem::{Code, Outcome, Problem};
use crate::api::reply;
use crate::api::server::{Answer, Call};
use crate::io::clock;
use crate::model::MemberId;
use crate::strong::engine::{Engine, Part, Plan, Status};

/// How long an answer waits until this member sees what was done.
const SETTLED: Duration = Duration::from_secs(5);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(20);

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
    committed: u64,
    /// For how long nobody has confirmed what is here.
    age_ms: Option<u64>,
    /// What this member does in the group.
    role: &'static str,
    /// Whether more than half of the voters are there, as far as this member knows, and who is not.
    majority: bool,
    missing: Vec<&'a str>,
    /// Whether a change of the voters is not finished.
    changing: bool,
    /// The voters that `--voters` names; none: the group is founded by `--cluster-size`.
    named: Option<Vec<&'a str>>,
    members: Vec<Member<'a>>,
    /// Members that are in another group.
    strangers: Vec<Stranger<'a>>,
}

#[derive(Serialize)]
struct Stranger<'a> {
    name: &'a str,
    group: String,
}

#[derive(Serialize)]
struct Member<'a> {
    id: String,
    name: &'a str,
    voter: String,
    role: &'static str,
    /// Whether the member that answers sees it alive.
    alive: bool,
    /// Whether its strong side does not answer; the leader knows.
    silent: bool,
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
        alive: part.alive,
        silent: part.silent,
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
        committed: status.committed,
        age_ms: age,
        role: status.role.word(),
        majority: status.majority,
        changing: status.changing,
        missing: status.missing().map(|part| part.name.as_str()).collect(),
        named: match &status.plan {
            Plan::Names(names) => Some(names.iter().map(String::as_str).collect()),
            Plan::Size(_) => None,
        },
        members: status
            .members
            .iter()
            .map(|part| member(part, status.leader))
            .collect(),
        strangers: status
            .strangers
            .iter()
            .map(|(name, group)| Stranger {
                name,
                group: group.to_string(),
            })
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
    let shown = Leader {
        id: status.leader.map(|leader| leader.to_string()),
        name: status.leading().map(|part| part.name.as_str()),
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

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    /// Also if this member votes in a group that works.
    #[serde(default)]
    force: bool,
}

/// `promote`, `demote` and `transfer` name a member; `recover` and `reset` are about this one.
pub(super) async fn act(call: &Call<'_>, action: &str, body: Body) -> Answer {
    guard::no_query(&call.head.uri)?;
    let engine = call.engine()?;
    let received = call.take(body, Purpose::Document).await?;
    let whom = |role: &str| -> Result<MemberId, Problem> {
        let Whom { member } = json::document(&received.octets)?;
        find(&engine.status(), &member, role)
    };
    tracing::info!(target: "gaggle::audit", user = %call.user.name, action, "quorum");
    match action {
        "promote" => {
            let member = whom("learner")?;
            engine.promote(member).await?;
            settled(engine, |status| !status.changing && votes(status, member)).await;
        }
        "demote" => {
            let member = whom("voter")?;
            engine.demote(member).await?;
            settled(engine, |status| !status.changing && !votes(status, member)).await;
        }
        "transfer" => {
            let member = whom("voter")?;
            engine.transfer(member).await?;
            if !settled(engine, |status| status.leader == Some(member)).await {
                return Err(not_elected(&engine.status()));
            }
        }
        "recover" => {
            engine.recover().await?;
            let me = call.api.parts.about.member;
            settled(engine, |status| status.leader == Some(me)).await;
        }
        "reset" => {
            let Reset { force } = match received.octets[..] {
                [] => Reset::default(),
                _ => json::document(&received.octets)?,
            };
            engine.reset(force).await?;
        }
        _ => return Err(Problem::not_found()),
    }
    get(call)
}

/// Waits until this member sees what was done, but not for long: it is done anyway.
async fn settled(engine: &Engine, is_so: impl Fn(&Status) -> bool) -> bool {
    let end = clock::mono().plus(SETTLED);
    loop {
        if is_so(&engine.status()) {
            return true;
        }
        if clock::mono() >= end {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn votes(status: &Status, member: MemberId) -> bool {
    status.voters().any(|part| part.member == member)
}

fn not_elected(status: &Status) -> Problem {
    let detail = match status.leading() {
        Some(leader) => format!("another voter was elected: {}", leader.name),
        None => "nobody was elected so far, as far as this member knows".to_owned(),
    };
    Problem::new(Code::QuorumRefused, detail)
        .outcome(Outcome::Unknown)
        .hint("GET /v1/quorum tells who leads")
}

/// The member of the group that a word means; `role` is what it should be.
fn find(status: &Status, word: &str, role: &str) -> Result<MemberId, Problem> {
    let is_it = |part: &&Part| part.name == word || part.member.to_string() == word;
    let found: Vec<&Part> = status.members.iter().filter(is_it).collect();
    match found[..] {
        [part] => Ok(part.member),
        [] => Err(Problem::new(
            Code::NotInGroup,
            format!("no member of the group has the id or name {word:?}"),
        )
        .hint(in_role(status, role))),
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

/// Who is in such a role, for somebody who named nobody.
fn in_role(status: &Status, role: &str) -> String {
    let is_it = |part: &&Part| part.votes == (role == "voter");
    let names: Vec<&str> = status
        .members
        .iter()
        .filter(is_it)
        .map(|part| part.name.as_str())
        .collect();
    match names[..] {
        [] => format!(
            "the group has no {role}: start a member with {}, it becomes a learner by itself",
            status.plan
        ),
        _ => format!("its {role}s: {}", names.join(", ")),
    }
}
