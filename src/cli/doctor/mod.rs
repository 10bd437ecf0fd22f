//! `gaggle doctor`: one check after the other, each with a verdict and what to do about it.
//!
//! | file | what is looked at |
//! |---|---|
//! | `host` | the configuration, the data directory, the secret, the network interfaces |
//! | `certificate` | the port, TLS, how long the certificate is valid |
//! | `cluster` | what the member says: credentials, readiness, members, agreement, clock |
//! | `ways` | in which ways it looks for others, and who is watched over HTTPS |
//! | `strong` | what the member says about its strong side |

mod certificate;
mod cluster;
mod host;
mod strong;
mod ways;

use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::output::{Printer, Rows, Tone};
use super::session::wait_for;
use crate::config::{ClientConfig, Config, Flags, InForce, Output, Source};

/// Check everything that a member needs, one thing after the other
///
/// Looks at this host (configuration, data directory, secret, interfaces) and at the member that
/// answers (port, certificate, credentials, readiness, members, agreement, clock, strong side).
/// Exit code 1 if anything fails; a warning is no failure. Takes the flags of all commands.
#[derive(clap::Args)]
pub(super) struct Doctor {}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but somebody should know.
    Warning,
    /// It does not work.
    Failed,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
    hint: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, detail.into(), None)
    }

    fn warning(check: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, detail.into(), Some(hint.into()))
    }

    fn failed(check: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(check, Verdict::Failed, detail.into(), Some(hint.into()))
    }

    fn new(check: &'static str, verdict: Verdict, detail: String, hint: Option<String>) -> Self {
        let hint = hint.filter(|hint| !hint.is_empty());
        Self {
            check,
            verdict,
            detail,
            hint,
        }
    }

    fn json(&self) -> Value {
        let verdict = self.verdict.word();
        json!({"check": self.check, "verdict": verdict, "detail": self.detail, "hint": self.hint})
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warn",
            Self::Failed => "fail",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warning => Tone::Warning,
            Self::Failed => Tone::Bad,
        }
    }
}

impl Doctor {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(super) fn run(self, flags: Flags) -> Result<Exit, Failure> {
        let output = flags.get("output").cloned();
        let (findings, client) = examine(flags);
        let printer = Printer::new(client.as_ref().map_or_else(
            || {
                output
                    .filter(|format| format == "json")
                    .map(|_| Output::Json)
            },
            |client| client.output,
        ));
        let value: Value = findings.iter().map(Finding::json).collect();
        printer.show(&value, || rows(&findings))?;
        let has_failed = findings.iter().any(|f| f.verdict == Verdict::Failed);
        Ok(if has_failed { Exit::Error } else { Exit::Ok })
    }
}

/// Runs every check that can be run; a broken configuration leaves nothing else to look at.
fn examine(flags: Flags) -> (Vec<Finding>, Option<ClientConfig>) {
    const HINT: &str = "`gaggle config` shows each value and its source";
    let wrong = |why: String| (vec![Finding::failed("configuration", why, HINT)], None);
    let layers = match super::layers(flags) {
        Ok(layers) => layers,
        Err(why) => return wrong(why.to_string()),
    };
    let (member, client) = match (Config::check(&layers), ClientConfig::check(&layers)) {
        (Ok((member, in_force)), Ok((client, _))) => (as_it_runs(member, &in_force), client),
        (Err(why), _) | (_, Err(why)) => return wrong(why.to_string()),
    };
    let mut findings = host::look(&member, &client);
    let asked = wait_for(async {
        let mut findings = certificate::look(&client).await;
        findings.extend(cluster::look(&client, &member).await);
        Ok(findings)
    });
    match asked {
        Ok(more) => findings.extend(more),
        Err(why) => findings.push(Finding::failed("connection", why.to_string(), "")),
    }
    (findings, Some(client))
}

/// What nobody gave here is as the member on this host was told when it started.
fn as_it_runs(mut member: Config, in_force: &[InForce]) -> Config {
    let Some(file) = member.data.member() else {
        return member;
    };
    let is_default = |name: &str| {
        let mut all = in_force.iter();
        all.any(|value| value.setting.name == name && value.source == Source::Default)
    };
    if let Some(port) = file.discovery_port.filter(|_| is_default("discovery-port")) {
        member.discovery_port = port;
    }
    if member.interfaces.is_empty() {
        member.interfaces = file.interfaces;
    }
    member
}

fn rows(findings: &[Finding]) -> Rows {
    let mut rows = Rows::new(["CHECK", "RESULT", "DETAIL"]);
    for finding in findings {
        let verdict = finding.verdict;
        rows.push(
            [finding.check, verdict.word(), &finding.detail],
            verdict.tone(),
        );
        if let Some(hint) = &finding.hint {
            rows.push(["", "", &format!("-> {hint}")], Tone::Plain);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, MemberFile};

    #[test]
    fn a_member_on_this_host_is_judged_by_what_it_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let given = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let config = |port: Option<&str>| {
            let data = given("data", dir.path().to_str().unwrap());
            let port = port.map(|port| given("discovery-port", port));
            let flags: Flags = std::iter::once(data).chain(port).collect();
            let layers = Layers::new(flags, &|_| None).unwrap();
            let (member, in_force) = Config::check(&layers).unwrap();
            as_it_runs(member, &in_force)
        };
        assert_eq!(config(None).discovery_port, 2900);
        let file = MemberFile {
            id: crate::model::MemberId::from_u64(1),
            name: "a".to_owned(),
            cluster: "prod".parse().unwrap(),
            pid: 1,
            listen: "127.0.0.1:4711".parse().unwrap(),
            map: None,
            discovery_port: Some(4242),
            interfaces: vec!["lo".to_owned()],
            own_certificate: None,
            version: "0".to_owned(),
        };
        config(None).data.write_member(&file).unwrap();
        let member = config(None);
        assert_eq!(
            (member.discovery_port, &*member.interfaces[0]),
            (4242, "lo")
        );
        assert_eq!(
            config(Some("5353")).discovery_port,
            5353,
            "a flag counts more"
        );
    }
}
