//! What the member that answers says: credentials, readiness, members, agreement, clock.

use std::time::Duration;

use http::header::DATE;
use http::{HeaderMap, Method};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::{Finding, strong, ways};
use crate::cli::exit::Exit;
use crate::cli::session::{Session, body_json};
use crate::config::{ClientConfig, Config, show_duration};
use crate::io::clock;
use crate::io::http_client::ApiRequest;

/// A difference of clocks that nobody needs to know about: the header has whole seconds.
const UNNOTICED: Duration = Duration::from_secs(2);

pub(super) async fn look(client: &ClientConfig, member: &Config) -> Vec<Finding> {
    // If there is none, the certificate's check has said why.
    let Ok(session) = Session::open(client) else {
        return Vec::new();
    };
    let request = ApiRequest::new(Method::GET, "/v1/status");
    let answer = match session.send(request).await {
        Ok(answer) => answer,
        Err(why) => {
            let check = match why.exit {
                Exit::Auth => "credentials",
                _ => "status",
            };
            let hint = why.hint.clone().unwrap_or_default();
            return vec![Finding::failed(check, why.said(), hint)];
        }
    };
    let user = &client.user;
    let mut findings = vec![Finding::ok("credentials", format!("{user} may come in"))];
    findings.extend(clocks(&answer.headers, member));
    if let Ok(status) = body_json(&answer.body) {
        findings.push(disk(&status));
        findings.extend(conflicts(&status));
        findings.extend(deleted(&status));
        findings.extend(ways::ways(&status));
    }
    findings.extend(readiness(&session).await);
    let all = session.json("/v1/members").await;
    match &all {
        Ok(value) => {
            findings.extend(members(value, member.discovery_port));
            findings.extend(ways::over_https(value, member.discovery_port));
        }
        Err(why) => findings.push(Finding::failed("members", why.said(), "")),
    }
    findings.extend(strong::look(&session, all.ok().as_ref()).await);
    findings
}

/// The difference of the clocks here and there, from the answer's `Date`.
fn clocks(headers: &HeaderMap, member: &Config) -> Option<Finding> {
    const CHECK: &str = "clock";
    let date = headers.get(DATE)?.to_str().ok()?.replace("GMT", "+0000");
    let there = OffsetDateTime::parse(&date, &Rfc2822).ok()?;
    let there = u64::try_from(there.unix_timestamp())
        .ok()?
        .saturating_mul(1000);
    let apart = Duration::from_millis(clock::wall().millis().abs_diff(there));
    let detail = format!(
        "the clocks here and there are {} apart",
        show_seconds(apart)
    );
    let hint = "let every host keep its time by NTP";
    Some(if apart <= UNNOTICED {
        Finding::ok(CHECK, "the clocks here and there agree")
    } else if apart < member.max_clock_skew {
        Finding::warning(CHECK, detail, hint)
    } else {
        let limit = show_duration(member.max_clock_skew);
        let detail = format!("{detail}, more than --max-clock-skew {limit}");
        Finding::failed(CHECK, detail, hint)
    })
}

fn show_seconds(span: Duration) -> String {
    format!("{:.0} s", span.as_secs_f64())
}

fn disk(status: &Value) -> Finding {
    const CHECK: &str = "disk";
    let disk = status.get("disk").unwrap_or(&Value::Null);
    let free = disk.get("free_bytes").and_then(Value::as_u64);
    let free = free.map_or(String::new(), |bytes| format!(", {} MiB free", bytes >> 20));
    match disk.get("state").and_then(Value::as_str) {
        Some("ok") => Finding::ok(CHECK, format!("it takes writes{free}")),
        Some("full") => Finding::failed(
            CHECK,
            format!("it is full{free}"),
            "make room; writes go on by themselves then",
        ),
        Some(other) => Finding::failed(
            CHECK,
            format!("writes are {other}"),
            "the disk failed: look at the member's log and the system's, then restart the member",
        ),
        None => Finding::warning(CHECK, "the member says nothing about it", ""),
    }
}

/// What to do about a check that is not well.
fn hint_for(code: &str) -> &'static str {
    match code {
        "integrity" => {
            "see the member's log; `gaggle serve --repair` at its next start mends what cannot be \
             mended while it runs"
        }
        "convergence" => {
            "see the log of both members; do all run the same version, and do their clocks agree?"
        }
        "clock" => "let every host keep its time by NTP",
        "held-aside" => {
            "they are merged by themselves when their time has come; see whose clock is ahead with \
             `gaggle members`"
        }
        "tombstones" => "`gaggle members forget NAME` for members that do not come back",
        _ => "",
    }
}

/// How much was deleted and waits to be collected.
fn deleted(status: &Value) -> Option<Finding> {
    let collecting = status.get("collecting")?;
    let text = |name: &str| collecting.get(name).and_then(Value::as_str);
    let count = status.get("tombstones")?.as_u64()?;
    let since = text("oldest").map_or(String::new(), |at| format!(", the oldest of {at}"));
    let stable = match text("stable") {
        Some(at) => format!("; every member is known to have all up to {at}"),
        None => String::new(),
    };
    let detail = format!("{count} deleted keys are remembered{since}{stable}");
    Some(Finding::ok("deleted", detail))
}

/// Whether keys wait for somebody to choose.
fn conflicts(status: &Value) -> Option<Finding> {
    const CHECK: &str = "conflicts";
    let count = status.get("conflicts")?.as_u64()?;
    let keys = if count == 1 { "key has" } else { "keys have" };
    Some(match count {
        0 => Finding::ok(CHECK, "none"),
        _ => Finding::warning(
            CHECK,
            format!("{count} {keys} versions that lost against one whose writer did not know them"),
            "`gaggle conflicts` lists them; `gaggle restore NODE/KEY STAMP` chooses one",
        ),
    })
}

/// What `/readyz?verbose` says; a member that is not ready answers 503.
async fn readiness(session: &Session) -> Vec<Finding> {
    const CHECK: &str = "readiness";
    let request = ApiRequest::new(Method::GET, "/readyz?verbose");
    let Ok(answer) = session.ask_first(request).await else {
        return vec![Finding::failed(CHECK, "the member does not say", "")];
    };
    let Ok(value) = body_json(&answer.body) else {
        return vec![Finding::failed(CHECK, "the answer is no JSON", "")];
    };
    let checks = value.get("checks").and_then(Value::as_array);
    // The strong side has its own finding, which says more.
    let is_here = |check: &&Value| check["code"] != "strong-side";
    let checks: Vec<&Value> = checks.into_iter().flatten().filter(is_here).collect();
    let failed = checks
        .iter()
        .filter(|check| check["ok"] != Value::Bool(true));
    let mut findings: Vec<Finding> = failed
        .map(|check| {
            let text = |name: &str| check.get(name).and_then(Value::as_str).unwrap_or_default();
            let detail = format!("{}: {}", text("code"), text("detail"));
            match text("severity") {
                "warning" => Finding::warning(CHECK, detail, hint_for(text("code"))),
                _ => Finding::failed(CHECK, detail, hint_for(text("code"))),
            }
        })
        .collect();
    if findings.is_empty() {
        let count = checks.len();
        findings.push(Finding::ok(CHECK, format!("{count} checks, all well")));
    }
    findings
}

/// Who is there and who is not, and whether all agree.
fn members(value: &Value, udp_port: u16) -> Vec<Finding> {
    let all: Vec<&Value> = value
        .get("members")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    let text = |member: &Value, field: &str| {
        let text = member.get(field).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let in_state = |state: &str| -> Vec<String> {
        let those = all.iter().filter(|member| text(member, "state") == state);
        those
            .map(|member| match text(member, "address") {
                address if address.is_empty() => {
                    format!(
                        "{}, not seen since this member started",
                        text(member, "name")
                    )
                }
                address => format!("{} at {address}", text(member, "name")),
            })
            .collect()
    };
    let (alive, dead, suspect) = (in_state("alive"), in_state("dead"), in_state("suspect"));
    let mut findings = Vec::new();
    if alive.len() > 1 {
        findings.push(Finding::ok("members", format!("{} alive", alive.len())));
    } else {
        let hint = format!(
            "others need the same secret and cluster id, and the same --discovery-port: here UDP \
             {udp_port}, by multicast; where that does not pass, --discover static:HOST, dns:NAME \
             or file:PATH"
        );
        findings.push(Finding::warning(
            "members",
            "no other member is alive",
            hint,
        ));
    }
    for (those, word, hint) in [
        (suspect, "suspect", "did not answer lately".to_owned()),
        (
            dead,
            "dead",
            format!(
                "start it again, or see whether UDP {udp_port} and the TCP port of its address \
                 reach it; if it does not come back: `gaggle members forget NAME`"
            ),
        ),
    ] {
        if !those.is_empty() {
            let detail = format!("{word}: {}", those.join(", "));
            findings.push(Finding::warning("members", detail, hint));
        }
    }
    let apart: Vec<String> = all
        .iter()
        .filter(|member| text(member, "state") == "alive" && member["in_sync"] == false)
        .map(|member| text(member, "name"))
        .collect();
    findings.push(if apart.is_empty() {
        Finding::ok("agreement", "all that are alive hold the same store")
    } else {
        let detail = format!("another store than here: {}", apart.join(", "));
        let hint = "right after a write this passes by itself; if it stays, see the members' logs";
        Finding::warning("agreement", detail, hint)
    });
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Verdict;
    use super::*;
    use crate::config::{Flags, Layers};

    fn verdicts(findings: &[Finding]) -> Vec<(&'static str, Verdict)> {
        findings.iter().map(|f| (f.check, f.verdict)).collect()
    }

    #[test]
    fn the_dead_the_suspect_and_those_apart_are_named() {
        let value = json!({"members": [
            {"name": "a", "address": "10.0.0.1:8000", "state": "alive", "in_sync": true},
            {"name": "b", "address": "10.0.0.2:8000", "state": "alive", "in_sync": false},
            {"name": "c", "address": "10.0.0.3:8000", "state": "dead", "in_sync": false},
            {"name": "d", "address": "10.0.0.4:8000", "state": "suspect", "in_sync": false},
        ]});
        let found = members(&value, 4242);
        let expected = [
            ("members", Verdict::Ok),
            ("members", Verdict::Warning),
            ("members", Verdict::Warning),
            ("agreement", Verdict::Warning),
        ];
        assert_eq!(verdicts(&found), expected);
        let details: Vec<_> = found.iter().map(|f| f.detail.as_str()).collect();
        assert_eq!(details[1], "suspect: d at 10.0.0.4:8000");
        assert_eq!(details[2], "dead: c at 10.0.0.3:8000");
        assert_eq!(details[3], "another store than here: b");
        let hint = found[2].hint.as_deref().unwrap();
        assert!(hint.contains("UDP 4242"), "the port in use: {hint}");
    }

    #[test]
    fn a_member_alone_is_a_warning() {
        let value = json!({"members": [{"name": "a", "state": "alive", "in_sync": true}]});
        let expected = [("members", Verdict::Warning), ("agreement", Verdict::Ok)];
        assert_eq!(verdicts(&members(&value, 4242)), expected);
    }

    #[test]
    fn conflicts_are_a_warning_with_the_command_that_shows_them() {
        let found = conflicts(&json!({"conflicts": 2})).unwrap();
        assert_eq!(found.verdict, Verdict::Warning);
        assert!(found.detail.starts_with("2 keys"), "{found:?}");
        assert!(found.hint.unwrap().contains("gaggle conflicts"));
        let none = conflicts(&json!({"conflicts": 0})).unwrap();
        assert_eq!(none.verdict, Verdict::Ok);
        assert_eq!(conflicts(&json!({})), None, "an older member");
    }

    #[test]
    fn a_clock_that_is_wrong_is_noticed() {
        let member = Config::check(&Layers::new(Flags::new(), &|_| None).unwrap())
            .unwrap()
            .0;
        let verdict = |away: i64| {
            let now = i64::try_from(clock::wall().millis() / 1000).unwrap();
            let at = OffsetDateTime::from_unix_timestamp(now + away).unwrap();
            let date = at.format(&Rfc2822).unwrap().replace("+0000", "GMT");
            let headers = HeaderMap::from_iter([(DATE, date.parse().unwrap())]);
            clocks(&headers, &member).unwrap().verdict
        };
        assert_eq!(verdict(0), Verdict::Ok);
        assert_eq!(verdict(-5), Verdict::Warning);
        assert_eq!(verdict(3600), Verdict::Failed);
    }

    #[test]
    fn a_full_or_failed_disk_is_a_failure() {
        let of = |state: &str| disk(&json!({"disk": {"state": state}})).verdict;
        assert_eq!(of("ok"), Verdict::Ok);
        assert_eq!(of("full"), Verdict::Failed);
        assert_eq!(of("fenced"), Verdict::Failed);
    }
}
