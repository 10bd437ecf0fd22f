//! `gaggle members`: who belongs to the cluster, as one member sees it; and forgetting one.

use std::fmt;
use std::io::{self, BufRead, IsTerminal, Write};

use http::Method;
use serde_json::Value;

use super::escape::{Lines, for_terminal};
use super::exit::{Exit, Failure};
use super::hints;
use super::output::{self, Printer, Rows, Tone};
use super::session::{Session, in_query, wait_for};
use crate::config::Flags;
use crate::io::http_client::ApiRequest;

/// List the members of the cluster, or forget one
///
/// As the member that answers sees them; it is marked with a star. A member that belongs to the
/// cluster and was not seen since that one started is dead and has no address. One that datagrams
/// (UDP) do not reach is watched over HTTPS, which its state says.
#[derive(clap::Args)]
pub(super) struct Members {
    #[command(subcommand)]
    action: Option<Action>,
    /// Also those that were forgotten
    #[arg(long)]
    all: bool,
}

#[derive(clap::Subcommand)]
enum Action {
    Forget(Forget),
}

/// Forget a member that does not come back
///
/// Deleted keys are kept until every member of the cluster has heard of their deletion; one that
/// never comes back keeps them for ever. A forgotten member that returns all the same sets its copy
/// of the store aside in its data directory and joins as a new member; what it wrote and no other
/// member has is then only in that copy.
#[derive(clap::Args)]
struct Forget {
    /// Its name, its id, or the beginning of either that no other member has
    #[arg(value_name = "NAME|ID")]
    member: String,
    /// Also if it is alive
    #[arg(long)]
    force: bool,
    /// Do not ask (asked only on a terminal)
    #[arg(long, short)]
    yes: bool,
}

impl Members {
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let config = super::client_config(flags)?;
        let session = Session::open(&config)?;
        if let Some(Action::Forget(forget)) = self.action {
            return forget.run(&session);
        }
        let path = if self.all {
            "/v1/members?all=true"
        } else {
            "/v1/members"
        };
        let value = wait_for(session.json(path))?;
        let members = value.get("members").cloned().unwrap_or_default();
        Printer::new(config.output).show(&members, || rows(&members))?;
        Ok(Exit::Ok)
    }
}

impl Forget {
    fn run(self, session: &Session) -> Result<Exit, Failure> {
        let value = wait_for(session.json("/v1/members?all=true"))?;
        let members = value.get("members").and_then(Value::as_array);
        let members: Vec<Known> = members.into_iter().flatten().map(Known::of).collect();
        let member = find(&members, &self.member)?;
        if member.is_here() && !self.force {
            let message = format!("the member {member} is {}", member.state);
            let hint = hints::of("member-alive", true).unwrap_or_default();
            return Err(Failure::message(Exit::Conflict, message).hint(hint));
        }
        for warning in warnings(&members, member) {
            output::message("warning", Tone::Warning, &warning);
        }
        if !self.yes && !agreed(member)? {
            return Err(Failure::message(Exit::Error, "nobody was forgotten"));
        }
        let mut path = format!("/v1/members/{}", in_query(&member.id));
        if self.force {
            path.push_str("?force=true");
        }
        wait_for(session.send(ApiRequest::new(Method::DELETE, path)))?;
        output::message("forgotten", Tone::Good, &member.to_string());
        Ok(Exit::Ok)
    }
}

/// Asks on a terminal; elsewhere nobody could answer, and a script means what it says.
fn agreed(member: &Known) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    let mut err = io::stderr().lock();
    write!(
        err,
        "Forget the member {member}? This cannot be undone. If it returns, it sets its copy of the \
         store aside and joins as a new member; writes of it that no other member has are then \
         only in that copy. [y/N] "
    )?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// A member as it must be known to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    id: String,
    name: String,
    state: String,
}

impl Known {
    fn of(member: &Value) -> Self {
        let field = |name: &str| member.get(name).map(output::cell).unwrap_or_default();
        Self {
            id: field("id"),
            name: field("name"),
            state: field("state"),
        }
    }

    fn is_here(&self) -> bool {
        ["alive", "suspect"].contains(&self.state.as_str())
    }

    fn is_forgotten(&self) -> bool {
        self.state == "forgotten"
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = for_terminal(self.name.as_bytes(), Lines::Escape);
        write!(f, "{name} ({})", self.id)
    }
}

/// The member that a word means: its id, its name, or the beginning of either; each looked for
/// among those that belong to the cluster, then among those that were forgotten. (So who forgets a
/// member twice never forgets another one whose name only begins so.)
fn find<'a>(members: &'a [Known], word: &str) -> Result<&'a Known, Failure> {
    let means: [fn(&Known, &str) -> bool; 3] = [
        |member, word| member.id == word,
        |member, word| member.name == word,
        |member, word| member.id.starts_with(word) || member.name.starts_with(word),
    ];
    for is_meant in means {
        for is_forgotten in [false, true] {
            let meant = |member: &&Known| {
                member.is_forgotten() == is_forgotten && !word.is_empty() && is_meant(member, word)
            };
            let found: Vec<&Known> = members.iter().filter(meant).collect();
            match found[..] {
                [] => {}
                [one] => return Ok(one),
                [..] => {
                    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
                    let message = format!("{word:?} may be {}", all.join(" or "));
                    let hint = "give its id, or more of it";
                    return Err(Failure::message(Exit::Conflict, message).hint(hint));
                }
            }
        }
    }
    let message = format!("there is no member {word:?}");
    let hint = hints::of("member-not-found", true).unwrap_or_default();
    Err(Failure::message(Exit::NotFound, message).hint(hint))
}

/// What somebody should know before it is done.
fn warnings(members: &[Known], member: &Known) -> Vec<String> {
    if member.is_forgotten() {
        return vec![format!("{member} was forgotten before: nothing changes")];
    }
    let mut warnings = Vec::new();
    let known = members.iter().filter(|at| !at.is_forgotten()).count();
    let here = members.iter().filter(|at| at.is_here()).count();
    if here * 2 < known {
        let are = if here == 1 { "is" } else { "are" };
        warnings.push(format!(
            "only {here} of the {known} members that belong to the cluster {are} here. If the \
             others are merely cut off, {member} may be there with them: forgetting it counts for \
             all, for good"
        ));
    }
    if member.is_here() {
        warnings.push(format!(
            "{member} is {}: it will set its copy aside and join again as a new member; what only \
             it has is then only in that copy",
            member.state
        ));
    }
    warnings
}

fn rows(members: &Value) -> Rows {
    let mut rows = Rows::new([
        "NAME", "ID", "ADDRESS", "STATE", "SINCE", "IN SYNC", "LAG", "CLOCK", "VERSION",
    ]);
    for member in members.as_array().into_iter().flatten() {
        let field = |name: &str| member.get(name).map(output::cell).unwrap_or_default();
        let is_self = member.get("self").and_then(Value::as_bool) == Some(true);
        let is_in_sync = member.get("in_sync").and_then(Value::as_bool);
        let mut state = field("state");
        let tone = match (state.as_str(), is_in_sync) {
            ("dead", _) => Tone::Bad,
            ("suspect", _) | ("alive", Some(false)) => Tone::Warning,
            ("alive", _) => Tone::Good,
            _ => Tone::Plain,
        };
        if let Some(who) = member.get("forgotten_by").and_then(Value::as_str) {
            state = format!("{state} by {who}");
        }
        if field("watched_over") == "https" {
            state.push_str(" over https");
        }
        let name = format!("{}{}", field("name"), if is_self { "*" } else { "" });
        let sync = match is_in_sync {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let clock = match member.get("clock_offset_ms").and_then(Value::as_i64) {
            Some(offset) if !is_self => format!("{offset:+}ms"),
            _ => String::new(),
        };
        let lag = match field("lag_ms") {
            lag if lag.is_empty() => lag,
            lag => format!("{lag}ms"),
        };
        let cells = [
            &name,
            &field("id"),
            &field("address"),
            &state,
            &field("since"),
            sync,
            &lag,
            &clock,
            &field("version"),
        ];
        rows.push(cells, tone);
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(id: &str, name: &str, state: &str) -> Known {
        Known::of(&json!({"id": id, "name": name, "state": state}))
    }

    #[test]
    fn a_member_that_is_watched_over_https_says_so() {
        let members = json!([
            {"name": "a", "state": "alive", "watched_over": "https", "in_sync": true},
            {"name": "b", "state": "alive", "watched_over": "udp", "in_sync": true},
        ]);
        let shown = rows(&members).raw();
        assert!(shown.contains("alive over https"), "{shown}");
        assert_eq!(shown.matches("over").count(), 1, "{shown}");
    }

    #[test]
    fn a_member_is_found_by_as_much_of_its_id_or_name_as_only_it_has() {
        let members = [
            known("1c69d06d7356a71e", "web-1", "alive"),
            known("1c72000000000000", "web-10", "dead"),
            known("72e0bb076957c6a5", "db", "dead"),
            known("72ffbb076957c6a5", "db-old", "forgotten"),
            known("db00000000000000", "other", "dead"),
            known("9000000000000000", "twin", "dead"),
            known("9100000000000000", "twin", "dead"),
            known("a000000000000000", "old", "forgotten"),
            known("a100000000000000", "older", "dead"),
        ];
        let check = |word: &str, expected: Result<usize, Exit>| {
            let found = find(&members, word).map_err(|failure| failure.exit);
            let expected = expected.map(|at| &members[at]);
            assert_eq!(found, expected, "{word}");
        };
        check("1c69d06d7356a71e", Ok(0));
        check("1c6", Ok(0));
        check("1c7", Ok(1));
        check("1c", Err(Exit::Conflict));
        check("web-1", Ok(0));
        check("web-10", Ok(1));
        check("web", Err(Exit::Conflict));
        check("72", Ok(2));
        check("72ff", Ok(3));
        check("db", Ok(2));
        check("db0", Ok(4));
        check("twin", Err(Exit::Conflict));
        check("90", Ok(5));
        check("old", Ok(7));
        check("olde", Ok(8));
        check("nobody", Err(Exit::NotFound));
        check("", Err(Exit::NotFound));
    }

    #[test]
    fn forgetting_somebody_who_is_here_or_from_the_smaller_side_is_warned_of() {
        let members = [
            known("1", "a", "alive"),
            known("2", "b", "dead"),
            known("3", "c", "dead"),
            known("4", "d", "forgotten"),
        ];
        let warned = warnings(&members, &members[1]);
        assert_eq!(warned.len(), 1);
        assert!(warned[0].contains("only 1 of the 3 members"), "{warned:?}");
        assert_eq!(warnings(&members[..2], &members[1]), Vec::<String>::new());
        let here = warnings(&members[..2], &members[0]);
        assert!(here[0].contains("a (1) is alive"), "{here:?}");
        assert!(warnings(&members, &members[3])[0].contains("forgotten before"));
    }

    #[test]
    fn a_member_is_one_row_and_the_one_that_answers_has_a_star() {
        let members = json!([
            {"name": "a", "id": "1", "address": "127.0.0.1:8000", "state": "alive",
             "in_sync": true, "self": true, "lag_ms": 0, "clock_offset_ms": 0},
            {"name": "b", "id": "2", "state": "dead"},
            {"name": "c", "id": "3", "state": "alive", "clock_offset_ms": -12},
            {"name": "d", "id": "4", "state": "forgotten", "forgotten_by": "ann"},
        ]);
        let mut expected = Rows::new([
            "NAME", "ID", "ADDRESS", "STATE", "SINCE", "IN SYNC", "LAG", "CLOCK", "VERSION",
        ]);
        let first = [
            "a*",
            "1",
            "127.0.0.1:8000",
            "alive",
            "",
            "yes",
            "0ms",
            "",
            "",
        ];
        expected.push(first, Tone::Good);
        expected.push(["b", "2", "", "dead", "", "", "", "", ""], Tone::Bad);
        let third = ["c", "3", "", "alive", "", "", "", "-12ms", ""];
        expected.push(third, Tone::Good);
        let last = ["d", "4", "", "forgotten by ann", "", "", "", "", ""];
        expected.push(last, Tone::Plain);
        assert_eq!(rows(&members), expected);
    }
}
