//! In which ways the member looks for others, what each led to, and who is watched over HTTPS.

use serde_json::Value;

use super::Finding;

const CHECK: &str = "discovery";
/// The most addresses named in one line.
const NAMED: usize = 8;

/// What `/v1/status` says of the ways.
pub(super) fn ways(status: &Value) -> Vec<Finding> {
    let ways = status.get("discovery").and_then(Value::as_array);
    let Some(ways) = ways else {
        return Vec::new();
    };
    if ways.is_empty() {
        let detail = "none: it waits to be found by others";
        return vec![Finding::ok(CHECK, detail)];
    }
    ways.iter().flat_map(way).collect()
}

/// One way: where it leads, what is wrong with it, and who did not answer.
fn way(way: &Value) -> Vec<Finding> {
    let name = text(way, "way");
    let asked = match text(way, "asked") {
        "" => String::new(),
        at => format!(", last looked at {at}"),
    };
    let found: Vec<&Value> = way["found"].as_array().into_iter().flatten().collect();
    let with = |outcome: &'static str| {
        let those = found
            .iter()
            .filter(move |at| text(at, "outcome") == outcome);
        those.copied()
    };
    let mut findings = Vec::new();
    let mut led: Vec<String> = with("member")
        .map(|at| format!("{} at {}", text(at, "member"), text(at, "address")))
        .collect();
    led.extend(with("itself").map(|at| format!("this member itself at {}", text(at, "address"))));
    led.extend(with("not-tried").map(|at| format!("{}, not tried yet", text(at, "address"))));
    if !led.is_empty() {
        let all = listed(&led);
        findings.push(Finding::ok(CHECK, format!("{name} led to {all}{asked}")));
    }
    match text(way, "trouble") {
        "" if found.is_empty() => findings.push(nothing(name, &asked)),
        "" => {}
        trouble => {
            let detail = format!("{name}: {trouble}{asked}");
            findings.push(Finding::warning(CHECK, detail, hint_for(name)));
        }
    }
    for at in with("failed").take(NAMED) {
        let (address, why) = (text(at, "address"), text(at, "why"));
        let detail = format!("{name}: nobody of this cluster at {address}: {why}");
        findings.push(Finding::warning(CHECK, detail, after(why)));
    }
    findings
}

/// A way that is well and leads nowhere.
fn nothing(name: &str, asked: &str) -> Finding {
    if name == "multicast" {
        let detail = "multicast: no beacon of another member was heard";
        let hint = "where multicast does not pass: --discover static:HOST, dns:NAME or file:PATH";
        return Finding::warning(CHECK, detail, hint);
    }
    let detail = format!("{name} has no address{asked}");
    Finding::warning(CHECK, detail, hint_for(name))
}

fn hint_for(way: &str) -> &'static str {
    match way.split_once(':').map(|(kind, _)| kind) {
        Some("dns") => {
            "ask the name servers of /etc/resolv.conf for it; a headless service needs \
             publishNotReadyAddresses; who is known stays known meanwhile"
        }
        Some("file") => {
            "one HOST[:PORT] a line, # begins a comment; it is read again within a second; who is \
             known stays known meanwhile"
        }
        _ => "does the name resolve on the member's host? It is tried again by itself",
    }
}

/// What to look at after a dial that failed for that reason.
fn after(why: &str) -> &'static str {
    if why.contains("refused") && !why.contains("trust") {
        "is a member running there, at that port?"
    } else if why.contains("trust") || why.contains("no member of this cluster") {
        "another program or another cluster: compare the secret and the cluster id"
    } else {
        "does TCP pass to that port, both ways? It is tried again by itself"
    }
}

/// Who is watched over HTTPS because datagrams do not get through.
pub(super) fn over_https(members: &Value, udp_port: u16) -> Option<Finding> {
    let all = members.get("members").and_then(Value::as_array)?;
    let those = all.iter().filter(|at| text(at, "watched_over") == "https");
    let mut those: Vec<String> = those.map(|at| text(at, "name").to_owned()).collect();
    those.sort_unstable();
    (!those.is_empty()).then(|| {
        let detail = format!(
            "datagrams do not get through to {}: watched over HTTPS instead",
            listed(&those)
        );
        let hint = format!(
            "all works, with more requests; open UDP {udp_port} both ways, and it goes back to \
             datagrams by itself"
        );
        Finding::warning("udp", detail, hint)
    })
}

fn listed(all: &[String]) -> String {
    let shown = all
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Verdict;
    use super::*;

    fn told(findings: &[Finding]) -> Vec<(Verdict, &str)> {
        findings
            .iter()
            .map(|f| (f.verdict, f.detail.as_str()))
            .collect()
    }

    #[test]
    fn each_way_tells_where_it_led_and_why_not() {
        let found = |address: &str, outcome: &str| json!({"address": address, "outcome": outcome});
        let mut member = found("10.0.0.2:8000", "member");
        member["member"] = json!("b");
        let mut refused = found("10.0.0.3:8000", "failed");
        refused["why"] = json!("no connection to the peer: Connection refused");
        let mut foreign = found("10.0.0.4:8000", "failed");
        foreign["why"] = json!("the peer and we cannot trust each other: unknown issuer");
        let status = json!({"discovery": [
            {"way": "multicast", "asked": null, "trouble": null, "found": []},
            {"way": "dns:g.example", "asked": "T", "trouble": null, "found": [
                member, found("10.0.0.1:8000", "itself"), found("10.0.0.5:8000", "not-tried"),
                refused, foreign,
            ]},
            {"way": "file:/p", "asked": "T", "trouble": "line 2: no host name", "found": []},
            {"way": "dns:h", "asked": "T", "trouble": null, "found": []},
        ]});
        let findings = ways(&status);
        let expected = [
            (
                Verdict::Warning,
                "multicast: no beacon of another member was heard",
            ),
            (
                Verdict::Ok,
                "dns:g.example led to b at 10.0.0.2:8000, this member itself at 10.0.0.1:8000, \
                 10.0.0.5:8000, not tried yet, last looked at T",
            ),
            (
                Verdict::Warning,
                "dns:g.example: nobody of this cluster at 10.0.0.3:8000: no connection to the \
                 peer: Connection refused",
            ),
            (
                Verdict::Warning,
                "dns:g.example: nobody of this cluster at 10.0.0.4:8000: the peer and we cannot \
                 trust each other: unknown issuer",
            ),
            (
                Verdict::Warning,
                "file:/p: line 2: no host name, last looked at T",
            ),
            (Verdict::Warning, "dns:h has no address, last looked at T"),
        ];
        assert_eq!(told(&findings), expected);
        let hint = |place: usize| findings[place].hint.as_deref().unwrap_or_default();
        assert!(hint(2).contains("running there"), "{}", hint(2));
        assert!(hint(3).contains("compare the secret"), "{}", hint(3));
        assert!(hint(4).contains("HOST[:PORT]"), "{}", hint(4));
        assert!(hint(5).contains("resolv.conf"), "{}", hint(5));
        assert_eq!(ways(&json!({})), [], "an older member");
        let none = ways(&json!({"discovery": []}));
        assert_eq!(none[0].verdict, Verdict::Ok);
    }

    #[test]
    fn members_without_datagrams_are_named_with_the_port_to_open() {
        let members = json!({"members": [
            {"name": "a", "watched_over": null},
            {"name": "b", "watched_over": "https"},
            {"name": "c", "watched_over": "udp"},
        ]});
        let found = over_https(&members, 4242).unwrap();
        assert_eq!(found.verdict, Verdict::Warning);
        assert!(found.detail.contains("to b:"), "{}", found.detail);
        assert!(found.hint.unwrap().contains("UDP 4242"));
        assert_eq!(over_https(&json!({"members": []}), 1), None);
    }
}
