//! `gaggle quorum`: the group of the strong side, and what an operator can do about it.

use serde_json::{Value, json};

use super::coordination::{agreed, ask, post};
use super::exit::{Exit, Failure};
use super::output::{self, Printer, Report, Rows, Tone, cell};
use super::session::{Session, wait_for};
use crate::config::Flags;

/// Show the group of the strong side, or change who votes
///
/// As the member that answers sees it.
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
    /// fenced because it was in a younger group, or whose copy is damaged.
    Reset(Sure),
}

#[derive(clap::Args)]
struct Whom {
    /// Its name or id
    #[arg(value_name = "NAME|ID")]
    member: String,
}

#[derive(clap::Args)]
struct Sure {
    /// Do not ask (asked only on a terminal)
    #[arg(long, short)]
    yes: bool,
}

impl Quorum {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let config = super::client_config(flags)?;
        let session = Session::open(&config)?;
        let sure = |sure: &Sure, question: &str| {
            if sure.yes || agreed(question)? {
                return Ok(());
            }
            Err(Failure::message(Exit::Error, "nothing was changed"))
        };
        let (action, body) = match self.action.unwrap_or(Action::Status) {
            Action::Status => {
                let status = wait_for(session.json("/v1/quorum"))?;
                Printer::new(config.output).report(&status, &report(&status))?;
                return Ok(exit(&status));
            }
            Action::Promote(Whom { member }) => ("promote", json!({"member": member})),
            Action::Demote(Whom { member }) => ("demote", json!({"member": member})),
            Action::Transfer(Whom { member }) => ("transfer", json!({"member": member})),
            Action::Recover(yes) => {
                sure(
                    &yes,
                    "Go on with this member as the only voter? What only the lost members had is \
                     gone for good.",
                )?;
                ("recover", json!({}))
            }
            Action::Reset(yes) => {
                sure(&yes, "Give up this member's copy of the strong side?")?;
                ("reset", json!({}))
            }
        };
        let status = ask(&session, post(format!("/v1/quorum/{action}"), &body))?;
        Printer::new(config.output).report(&status, &report(&status))?;
        output::message("done", Tone::Good, action);
        Ok(Exit::Ok)
    }
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
        ("term", "term"),
        ("last", "last"),
        ("applied", "applied"),
        ("snapshot", "snapshot"),
    ] {
        let value = field(key);
        if !value.is_empty() && value != "null" {
            facts.push([name, &value], Tone::Plain);
        }
    }
    let mut list = Rows::new(["NAME", "ID", "ROLE", "LACKS"]);
    let members = status.get("members").and_then(Value::as_array);
    for member in members.into_iter().flatten() {
        let of = |name: &str| match member.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(value) => cell(value),
        };
        let tone = match of("role").as_str() {
            "leader" => Tone::Good,
            _ => Tone::Plain,
        };
        list.push([&of("name"), &of("id"), &of("role"), &of("lacks")], tone);
    }
    let state = field("state");
    let summary = match (state.as_str(), status.get("leader")) {
        ("working", Some(Value::String(_))) => ("the strong side works".to_owned(), Tone::Good),
        ("working", _) => (
            "there is no leader: more than half of the voters must see each other".to_owned(),
            Tone::Bad,
        ),
        ("forming", _) => (
            format!("the group is not there yet: {}", field("why")),
            Tone::Warning,
        ),
        ("fenced", _) => (
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
