//! A client: `curl` on one of the hosts, with the cluster's certificate and a password.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::lan::Host;
use super::program::command;

/// What a request came to. Status 0: there was no answer, and `body` says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Reply {
    /// The body as JSON; `null` if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The stable code of a problem.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Where a client is.
#[derive(Clone, Debug)]
enum Place {
    /// On a host of a test's network.
    Host(Host),
    /// On this machine itself.
    Machine,
}

/// One user of one member.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    host: Place,
    /// `https://address:port`
    pub(crate) base: String,
    pub(crate) ca: PathBuf,
    /// `name:password`
    pub(crate) user: String,
}

impl Client {
    /// A client on one of the hosts.
    pub(crate) fn of_host(host: &Host, base: String, ca: PathBuf, user: String) -> Self {
        let host = Place::Host(host.clone());
        Self {
            host,
            base,
            ca,
            user,
        }
    }

    /// A client on this machine, outside all of the tests' networks.
    pub(crate) fn of_machine(base: String, ca: PathBuf, user: String) -> Self {
        let host = Place::Machine;
        Self {
            host,
            base,
            ca,
            user,
        }
    }

    /// The same client on another host.
    pub(crate) fn moved_to(&self, host: &Host) -> Self {
        Self::of_host(host, self.base.clone(), self.ca.clone(), self.user.clone())
    }

    /// A program where the client is.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        match &self.host {
            Place::Host(host) => host.command(words),
            Place::Machine => command(words),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask(&[], path)
    }

    pub(crate) fn put(&self, path: &str, value: &str) -> Reply {
        self.ask(
            &[
                "-X",
                "PUT",
                "-H",
                "Content-Type: text/plain",
                "--data-binary",
                value,
            ],
            path,
        )
    }

    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.ask(&["-X", "DELETE"], path)
    }

    /// Any request: `options` are those of curl.
    pub(crate) fn ask(&self, options: &[&str], path: &str) -> Reply {
        let ca = self.ca.to_string_lossy();
        let mut command = self.command(&["curl", "--silent", "--show-error", "--globoff"]);
        command.args(["--cacert", &ca, "--user", &self.user, "--max-time", "15"]);
        command.args([
            "--path-as-is",
            "--noproxy",
            "*",
            "--write-out",
            "\n%{http_code}",
        ]);
        command.args(options).arg(format!("{}{path}", self.base));
        let output = command.stdin(Stdio::null()).output().expect("curl runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
        let status = status.parse().unwrap_or(0);
        let body = if status == 0 {
            String::from_utf8_lossy(&output.stderr).into_owned()
        } else {
            body.to_owned()
        };
        Reply { status, body }
    }

    /// A request as a section of a script for curl, which sends one after another over one
    /// connection (`curl --silent --fail-early --config …`) and prints each status on its error.
    /// The body has a content type and octets.
    pub(crate) fn section(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> String {
        let body = body.map_or_else(String::new, |(kind, octets)| {
            let octets = octets.replace('\\', "\\\\").replace('"', "\\\"");
            format!("data-raw = \"{octets}\"\nheader = \"Content-Type: {kind}\"\n")
        });
        let (base, ca, user) = (&self.base, self.ca.display(), &self.user);
        format!(
            "url = \"{base}{path}\"\nrequest = \"{method}\"\n{body}\
             cacert = \"{ca}\"\nuser = \"{user}\"\nmax-time = 20\nnoproxy = \"*\"\n\
             write-out = \"%{{stderr}}%{{http_code}}\\n\"\nnext\n"
        )
    }

    /// The whole store, byte by byte as the member tells it.
    pub(crate) fn store(&self) -> String {
        self.get("/v1/store").body
    }

    /// The whole store, as JSON.
    pub(crate) fn store_json(&self) -> Value {
        self.get("/v1/store").json()
    }

    /// The member's digest of all that it holds.
    pub(crate) fn digest(&self) -> String {
        self.get("/v1/status").json()["digest"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The members that this one knows, as (name, address, state), itself included.
    pub(crate) fn members(&self) -> Vec<(String, String, String)> {
        let told = self.get("/v1/members").json();
        let text = |member: &Value, field: &str| member[field].as_str().unwrap_or("").to_owned();
        let mut members: Vec<_> = told["members"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|member| {
                (
                    text(member, "name"),
                    text(member, "address"),
                    text(member, "state"),
                )
            })
            .collect();
        members.sort();
        members
    }

    /// How many members this one believes to be alive, itself included.
    pub(crate) fn alive(&self) -> usize {
        self.members()
            .iter()
            .filter(|(_, _, state)| state == "alive")
            .count()
    }

    /// Datagrams that the member threw away, whatever the reason.
    pub(crate) fn dropped(&self) -> f64 {
        ["undecipherable", "foreign", "repeated"]
            .map(|why| self.metric(&format!("gaggle_datagrams_{why}_total")))
            .iter()
            .sum()
    }

    /// The sum of a metric over its labels; 0 if the member does not show it.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.get("/metrics")
            .body
            .lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}
