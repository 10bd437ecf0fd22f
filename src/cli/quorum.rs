//! `gaggle quorum`: the group of the strong side, and what an operator can do about it.

use std::time::Duration;

use serde_json::{Value, json};

use super::coordination::{agreed, ask, post};
use super::exit::{Exit, Failure};
use super::output::{self, Printer, Report, Rows, Tone, cell};
use super::session::{Session, wait_for};
use crate::config::Flags;

/// How long a change of the group may take: the leader waits for it, and then the member that was
/// asked for its own view of it.
const CHANGE: Duration = Duration::from_secs(30);

/// Show the group of the strong side, or change who votes
///
/// As the member that answers sees it: who votes and who learns, who is alive, who leads, and how
/// many entries each lacks, which only the leader knows. The exit code is 6 if nobody leads.
#[derive(clap::Args)]
pub(super) struct Quorum {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Show the group (what `gaggle quorum` alone does)
    Status,
    /// Make a learner a voter
    Promote(Whom),
    /// Make a voter a learner
    Demote(Whom),
    /// Let a voter lead
    Transfer(Whom),
    /// Go on with one member after the majority was lost for good
    ///
    /// The member that is asked becomes the only voter of the group, with everything in its log.
    /// What only the lost members had is gone. Survivors of the group before give their copy up
    /// and learn from this one as soon as they meet it. Ask `quorum status` on each survivor
    /// first, and recover the one whose LAST is greatest.
    Recover(Sure),
    /// Give up this member's copy of the strong side
    ///
    /// It begins again as a learner of the group that it meets: the way out for a member that was
    /// fenced because it was in a younger group, or whose copy is damaged. A voter of a group that
    /// works is demoted first.
    Reset(Reset),
}

#[derive(clap::Args)]
struct Whom {
    /// Its name or id
    #[arg(value_name = "NAME|ID")]
    member: String,
}

#[derive(clap::Args)]
struct Sure {
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    yes: bool,
}

#[derive(clap::Args)]
struct Reset {
    #[command(flatten)]
    sure: Sure,
    /// Also a voter of a group that works; of the only voter all is lost
    #[arg(long)]
    force: bool,
}

impl Quorum {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let config = super::client_config(flags)?;
        let printer = Printer::new(config.output);
        let action = match self.action.unwrap_or(Action::Status) {
            Action::Status => {
                let status = wait_for(Session::open(&config)?.json("/v1/quorum"))?;
                printer.report(&status, &report(&status))?;
                return Ok(exit(&status));
            }
            action => action,
        };
        action.check()?;
        let (word, body) = action.request();
        let session = Session::open_within(&config, config.timeout.max(CHANGE))?;
        let status = ask(&session, post(format!("/v1/quorum/{word}"), &body))?;
        printer.report(&status, &report(&status))?;
        if let Action::Recover(_) = action
            && exit(&status) != Exit::Ok
        {
            let message = "this member is the only voter now, and does not lead yet";
            return Err(Failure::message(Exit::NoQuorum, message)
                .hint("`gaggle quorum` shows when it does"));
        }
        output::message("done", Tone::Good, &action.done(&status));
        Ok(Exit::Ok)
    }
}

impl Action {
    /// Asks before what cannot be taken back.
    fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Recover(sure) if !sure.yes => agreed(
                "Go on with this member as the only voter? What only the lost members had is gone \
                 for good.",
            ),
            Self::Reset(reset) if !reset.sure.yes => {
                agreed("Give up this member's copy of the strong side?")
            }
            _ => Ok(()),
        }
    }

    fn request(&self) -> (&'static str, Value) {
        match self {
            Self::Status => ("status", json!({})),
            Self::Promote(Whom { member }) => ("promote", json!({"member": member})),
            Self::Demote(Whom { member }) => ("demote", json!({"member": member})),
            Self::Transfer(Whom { member }) => ("transfer", json!({"member": member})),
            Self::Recover(_) => ("recover", json!({})),
            Self::Reset(Reset { force, .. }) => ("reset", json!({"force": force})),
        }
    }

    /// What was done, in words.
    fn done(&self, status: &Value) -> String {
        match self {
            Self::Status => String::new(),
            Self::Promote(Whom { member }) => format!("{member} votes"),
            Self::Demote(Whom { member }) => format!("{member} learns"),
            Self::Transfer(Whom { member }) => format!("{member} leads"),
            Self::Recover(_) => format!(
                "the group works again, with {} as its only voter; make others voters with \
                 `gaggle quorum promote NAME`",
                leader(status).unwrap_or_default()
            ),
            Self::Reset(_) => "this member begins again as a learner".to_owned(),
        }
    }
}

/// The name of who leads.
fn leader(status: &Value) -> Option<&str> {
    let members = status.get("members")?.as_array()?;
    let mut leaders = members.iter().filter(|member| member["role"] == "leader");
    leaders.next()?.get("name")?.as_str()
}

/// Without a leader the strong side does not work: a script can tell by the exit code.
fn exit(status: &Value) -> Exit {
    match status.get("leader") {
        Some(Value::String(_)) => Exit::Ok,
        _ => Exit::NoQuorum,
    }
}

fn report(status: &Value) -> Report {
    let field = |name: &str| status.get(name).map(cell).unwrap_or_default();
    let mut facts = Rows::new([]);
    for (name, key) in [
        ("plan", "plan"),
        ("group", "group"),
        ("epoch", "epoch"),
        ("role", "role"),
        ("term", "term"),
        ("last", "last"),
        ("committed", "committed"),
        ("applied", "applied"),
        ("snapshot", "snapshot"),
    ] {
        let value = field(key);
        if !value.is_empty() && value != "null" {
            facts.push([name, &value], Tone::Plain);
        }
    }
    let mut list = Rows::new(["NAME", "ID", "ROLE", "ALIVE", "LACKS"]);
    let members = status.get("members").and_then(Value::as_array);
    for member in members.into_iter().flatten() {
        let of = |name: &str| match member.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(value) => cell(value),
        };
        let role = of("role");
        let (alive, is_well) = match (&member["alive"], &member["silent"]) {
            (Value::Bool(false), _) => ("no", false),
            (_, Value::Bool(true)) => ("silent", false),
            _ => ("yes", true),
        };
        let tone = match role.as_str() {
            "voter" | "leader" if !is_well => Tone::Bad,
            "leader" => Tone::Good,
            _ if !is_well => Tone::Warning,
            _ => Tone::Plain,
        };
        list.push([&of("name"), &of("id"), &role, alive, &of("lacks")], tone);
    }
    let summary = match field("state").as_str() {
        "working" => working(status),
        "forming" => (
            format!("the group is not there yet: {}", field("why")),
            Tone::Warning,
        ),
        "fenced" => (
            format!(
                "this member takes nothing any more: {}. Save what you need, then run `gaggle \
                 quorum reset` here",
                field("why")
            ),
            Tone::Bad,
        ),
        _ => (
            format!("the strong side does not work here: {}", field("why")),
            Tone::Bad,
        ),
    };
    Report {
        facts,
        list,
        summary,
    }
}

/// How a group stands that is there.
fn working(status: &Value) -> (String, Tone) {
    let members = status.get("members").and_then(Value::as_array);
    let voters = members
        .into_iter()
        .flatten()
        .filter(|member| member["role"] != "learner");
    let count = voters.count();
    let names = |field: &str| -> Vec<&str> {
        let all = status
            .get(field)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        all.filter_map(Value::as_str).collect()
    };
    let missing = names("missing");
    let alive = count.saturating_sub(missing.len());
    let missing = match missing[..] {
        [] => String::new(),
        _ => format!("; missing: {}", missing.join(", ")),
    };
    let has_majority = status["majority"] == Value::Bool(true);
    match status.get("leader") {
        Some(Value::String(_)) if status["changing"] == Value::Bool(true) => (
            format!(
                "a change of the voters is not finished: those before and those after must \
                 agree{missing}"
            ),
            Tone::Warning,
        ),
        Some(Value::String(_)) if alive == count => {
            ("the strong side works".to_owned(), Tone::Good)
        }
        Some(Value::String(_)) => (
            format!("the strong side works with {alive} of {count} voters{missing}"),
            Tone::Warning,
        ),
        _ if has_majority => (
            format!("nobody leads: {alive} of {count} voters are alive, and elect one{missing}"),
            Tone::Warning,
        ),
        _ => (
            format!(
                "no majority: {alive} of {count} voters are alive, {} are needed{missing}",
                count / 2 + 1
            ),
            Tone::Bad,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(leader: Option<&str>, missing: &[&str]) -> Value {
        let member = |name: &str| {
            let is_leader = leader == Some(name);
            let role = if is_leader { "leader" } else { "voter" };
            json!({"name": name, "role": role, "alive": !missing.contains(&name)})
        };
        let members = ["a", "b", "c"].map(member);
        json!({
            "state": "working", "leader": leader, "majority": missing.len() < 2,
            "missing": missing, "members": members,
        })
    }

    #[test]
    fn the_last_line_says_who_is_missing_and_how_many_are_needed() {
        let said = |leader, missing: &[&str]| working(&status(leader, missing)).0;
        assert_eq!(said(Some("a"), &[]), "the strong side works");
        let two = "the strong side works with 2 of 3 voters; missing: b";
        assert_eq!(said(Some("a"), &["b"]), two);
        let electing = "nobody leads: 2 of 3 voters are alive, and elect one; missing: a";
        assert_eq!(said(None, &["a"]), electing);
        let lost = "no majority: 1 of 3 voters are alive, 2 are needed; missing: a, b";
        assert_eq!(said(None, &["a", "b"]), lost);
    }
}
