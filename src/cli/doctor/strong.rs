//! What the member says about its strong side: the group, its voters, who leads.

use serde_json::Value;

use super::Finding;
use crate::cli::exit::Exit;
use crate::cli::session::Session;

const CHECK: &str = "strong side";

pub(super) async fn look(session: &Session, members: Option<&Value>) -> Vec<Finding> {
    match session.json("/v1/quorum").await {
        Ok(status) => judge(&status, members),
        Err(why) if why.exit == Exit::NoQuorum => {
            let detail = "off: the member has neither --voters nor --cluster-size";
            vec![Finding::ok(CHECK, detail)]
        }
        Err(why) => vec![Finding::failed(CHECK, why.said(), "")],
    }
}

/// The verdict on what `/v1/quorum` says; `members` is what `/v1/members` does.
fn judge(status: &Value, members: Option<&Value>) -> Vec<Finding> {
    let why = text(status, "why");
    let first = match text(status, "state") {
        "working" => works(status),
        "forming" => forms(status, members),
        "fenced" => Finding::failed(
            CHECK,
            format!("two groups were founded, and this member is in the younger one: {why}"),
            "save what you need (?consistency=stale, or store.json), then run \
             `gaggle quorum reset` on each member of this group",
        ),
        _ => Finding::failed(
            CHECK,
            format!("down: {why}"),
            "look at the member's log and the system's; it goes on by itself when there is room \
             again, and after a restart when the disk is sound. Other members take requests",
        ),
    };
    let more = [strangers(status), even(status)];
    std::iter::once(first)
        .chain(more.into_iter().flatten())
        .collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn voters(status: &Value) -> usize {
    let is_voter = |part: &&Value| text(part, "role") != "learner";
    list(status, "members").filter(is_voter).count()
}

/// Whether somebody leads, and all voters are alive.
fn works(status: &Value) -> Finding {
    let voters = voters(status);
    let missing: Vec<&str> = list(status, "missing").filter_map(Value::as_str).collect();
    let alive = voters.saturating_sub(missing.len());
    let names = missing.join(", ");
    let leader = list(status, "members").find(|part| text(part, "role") == "leader");
    match leader.map(|part| text(part, "name")) {
        Some(leader) if voters == 1 => {
            Finding::ok(CHECK, format!("{leader} leads, and is the only voter"))
        }
        Some(leader) if missing.is_empty() => Finding::ok(
            CHECK,
            format!("{leader} leads, all {voters} voters are alive"),
        ),
        Some(leader) => Finding::warning(
            CHECK,
            format!("{leader} leads; {alive} of {voters} voters are alive, missing: {names}"),
            "start them again; a learner steps in for one that is away longer than \
             --promote-after, or `gaggle quorum promote NAME` and `demote NAME`",
        ),
        None if missing.is_empty() => Finding::failed(
            CHECK,
            format!("nobody leads, though all {voters} voters are seen alive"),
            "right after a member went away this passes by itself; if it stays, see the members' \
             logs, and whether TCP 8000 of each voter reaches the others",
        ),
        None => Finding::failed(
            CHECK,
            format!(
                "nobody leads: {alive} of {voters} voters are alive, {} are needed; missing: \
                 {names}",
                voters / 2 + 1
            ),
            "start the missing ones again; if they are gone for good, docs/STRONG.md has the way \
             back, `gaggle quorum recover`",
        ),
    }
}

/// Who is waited for, and whether anybody has the names that `--voters` has.
fn forms(status: &Value, members: Option<&Value>) -> Finding {
    let known: Vec<&str> = members
        .into_iter()
        .flat_map(|members| list(members, "members"))
        .map(|member| text(member, "name"))
        .collect();
    let named = list(status, "named").filter_map(Value::as_str);
    let unknown: Vec<&str> = named.filter(|name| !known.contains(name)).collect();
    let why = text(status, "why");
    if members.is_none() || unknown.is_empty() {
        let hint = "all members need the same --voters or --cluster-size, and must see each other";
        return Finding::warning(CHECK, format!("the group is not there yet: {why}"), hint);
    }
    Finding::warning(
        CHECK,
        format!(
            "--voters names members that are not known: {}",
            unknown.join(", ")
        ),
        "start them with that --name, or correct the list: it must be the same on every member",
    )
}

/// An even number of voters bears no more losses than one less.
fn even(status: &Value) -> Option<Finding> {
    let voters = voters(status);
    (voters > 0 && voters.is_multiple_of(2)).then(|| {
        let detail = format!("{voters} voters bear no more losses than {}", voters - 1);
        let hint = "make it an odd number: `gaggle quorum promote NAME` or `demote NAME`";
        Finding::warning(CHECK, detail, hint)
    })
}

/// Another group than this one was met.
fn strangers(status: &Value) -> Option<Finding> {
    let names: Vec<&str> = list(status, "strangers")
        .map(|at| text(at, "name"))
        .collect();
    let is_fenced = text(status, "state") == "fenced";
    (!names.is_empty() && !is_fenced).then(|| {
        let detail = format!(
            "two groups were founded; in the other one, which is younger and fenced: {}",
            names.join(", ")
        );
        let hint = "save what you need from them, then run `gaggle quorum reset` on each of them";
        Finding::failed(CHECK, detail, hint)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Verdict;
    use super::*;

    fn working(leader: Option<&str>, voters: &[&str], missing: &[&str]) -> Value {
        let part = |name: &&str| {
            let role = if leader == Some(name) {
                "leader"
            } else {
                "voter"
            };
            json!({"name": name, "role": role})
        };
        let members: Vec<Value> = voters.iter().map(part).collect();
        json!({"state": "working", "members": members, "missing": missing, "strangers": []})
    }

    /// The verdicts, and that this is said.
    #[track_caller]
    fn check(status: &Value, members: Option<&Value>, verdicts: &[Verdict], part: &str) {
        let found = judge(status, members);
        let of: Vec<Verdict> = found.iter().map(|finding| finding.verdict).collect();
        assert_eq!(of, verdicts, "{found:?}");
        assert!(found.iter().any(|it| it.detail.contains(part)), "{found:?}");
    }

    #[test]
    fn each_state_of_a_group_has_its_verdict() {
        use Verdict::{Failed, Ok, Warning};
        let three = ["a", "b", "c"];
        let all = working(Some("b"), &three, &[]);
        check(&all, None, &[Ok], "b leads, all 3 voters");
        let one = working(Some("b"), &three, &["c"]);
        check(
            &one,
            None,
            &[Warning],
            "2 of 3 voters are alive, missing: c",
        );
        let lost = working(None, &three, &["a", "c"]);
        check(&lost, None, &[Failed], "2 are needed; missing: a, c");
        let deaf = working(None, &three, &[]);
        check(&deaf, None, &[Failed], "nobody leads, though");
        let even = working(Some("a"), &["a", "b"], &[]);
        check(
            &even,
            None,
            &[Ok, Warning],
            "2 voters bear no more losses than 1",
        );
        let failed = json!({"state": "failed", "why": "EIO"});
        check(&failed, None, &[Failed], "down: EIO");
        let fenced = json!({"state": "fenced", "why": "x", "strangers": [{"name": "a"}]});
        check(&fenced, None, &[Failed], "two groups");
        let mut met = all;
        met["strangers"] = json!([{"name": "d", "group": "0"}]);
        check(&met, None, &[Ok, Failed], "younger and fenced: d");
    }

    #[test]
    fn names_in_the_list_that_nobody_has_are_told() {
        let forming = json!({"state": "forming", "why": "waiting for b", "named": ["a", "b"]});
        let members = json!({"members": [{"name": "a"}]});
        let warned = [Verdict::Warning];
        check(&forming, Some(&members), &warned, "not known: b");
        let members = json!({"members": [{"name": "a"}, {"name": "b"}]});
        check(&forming, Some(&members), &warned, "waiting for b");
    }
}
