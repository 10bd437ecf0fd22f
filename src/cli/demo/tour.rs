//! What the demonstration prints, and the change that is watched on its way.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::NAMES;
use super::member::Member;
use super::place::Place;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::session;
use crate::config::Hidden;
use crate::io::clock::mono;
use crate::io::http_client::{ApiClient, ApiOptions, Credentials};
use crate::io::random;
use crate::io::tls::{Secret, Trust};
use crate::model::ClusterId;

/// The time between two looks at a member.
const PAUSE: Duration = Duration::from_millis(1);
/// The time between two looks at who has met whom.
const MEETING_PAUSE: Duration = Duration::from_millis(50);
/// How long a change may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
const USER: &str = "admin";
const CHANGED: &str = "/v1/store/demo/greeting";

/// A guide through the three members.
pub(super) struct Tour {
    password: Hidden,
    ca: PathBuf,
    clients: [ApiClient; NAMES.len()],
}

impl Tour {
    /// Makes a password, writes the certificate, and readies a client for each member.
    pub(super) fn new(place: &Place, secret: &Secret) -> Result<Self, Failure> {
        let cluster: ClusterId = "demo".parse()?;
        let pem = secret.keys(&cluster)?.authority.ca_pem().to_owned();
        let ca = place.directory().join("ca.pem");
        fs::write(&ca, &pem)?;
        let password = Hidden::new(URL_SAFE_NO_PAD.encode(random::bytes16()));
        let trust = Trust::from_pem(pem.as_bytes())?;
        let [a, b, c] = place.ports.map(|port| {
            let options = ApiOptions {
                credentials: Some(Credentials {
                    user: USER.to_owned(),
                    password: Zeroizing::new(password.reveal().to_owned()),
                }),
                limit: ARRIVAL,
                ..ApiOptions::default()
            };
            ApiClient::new(&format!("https://localhost:{port}"), &trust, options)
        });
        let clients = [a, b, c];
        let [a, b, c] = clients;
        let clients = [
            a.map_err(session::failure)?,
            b.map_err(session::failure)?,
            c.map_err(session::failure)?,
        ];
        let tour = Self {
            password,
            ca,
            clients,
        };
        fs::write(tour.env(), tour.settings())?;
        Ok(tour)
    }

    /// The password that was made.
    pub(super) fn password(&self) -> &Hidden {
        &self.password
    }

    /// Returns when each member sees all three alive.
    pub(super) async fn meet(&self) {
        for client in &self.clients {
            while !sees_all(client).await {
                tokio::time::sleep(MEETING_PAUSE).await;
            }
        }
    }

    /// Returns who leads the group of the strong side, as soon as somebody does.
    pub(super) async fn elect(&self) -> String {
        let [a, ..] = &self.clients;
        loop {
            let leader = field(a, "/v1/leader", "name").await;
            if let Some(Value::String(leader)) = leader {
                return leader;
            }
            tokio::time::sleep(MEETING_PAUSE).await;
        }
    }

    /// Prints where everything is and what to try.
    pub(super) fn print(&self, members: &[Member], leader: &str) -> Result<(), Failure> {
        let mut text = String::new();
        let _ = writeln!(text, "\nall three see each other\n");
        let _ = writeln!(text, "user         {USER}");
        let _ = writeln!(text, "password     {}", self.password.reveal());
        let _ = writeln!(text, "certificate  {}", self.ca.display());
        for (member, client) in members.iter().zip(&self.clients) {
            let pid = member.pid().unwrap_or_default();
            let _ = writeln!(
                text,
                "member {}     {}  (process {pid})",
                member.name(),
                client.url()
            );
        }
        let all = NAMES.join(", ");
        let _ = writeln!(text, "strong side  {all} vote, {leader} leads");
        let _ = writeln!(text, "\ntry, in another terminal:\n");
        for (what, line) in self.lines() {
            let _ = writeln!(text, "{what}:\n  {line}");
        }
        let env = self.env();
        let _ = writeln!(text, "\nor let the shell remember: . {}", env.display());
        let _ = writeln!(text, "  gcurl $B/v1/store");
        // As this program was called, so that the shell finds it.
        let gaggle = std::env::args_os().next();
        let gaggle = gaggle.map_or("gaggle".into(), |name| name.to_string_lossy().into_owned());
        let _ = writeln!(text, "then the strong side, which needs two of the three:");
        let _ = writeln!(text, "  {gaggle} counter add visits");
        let _ = writeln!(
            text,
            "  {gaggle} lock backup -- sh -c 'echo \"I alone, with token $GAGGLE_LOCK_TOKEN\"'"
        );
        let _ = writeln!(text, "  {gaggle} quorum");
        output::text(&text)
    }

    /// The file that sets a shell up; it lies beside the certificate, in a private directory.
    fn env(&self) -> PathBuf {
        self.ca.with_file_name("env")
    }

    /// Variables for `gaggle` and for curl, and a short word for curl with all of them.
    fn settings(&self) -> String {
        let [a, b, c] = self.clients.each_ref().map(ApiClient::url);
        let (ca, password) = (self.ca.display(), self.password.reveal());
        format!(
            "export A={a} B={b} C={c}\n\
             export GAGGLE_SERVER=$A,$B,$C GAGGLE_CA_FILE='{ca}'\n\
             export GAGGLE_USER={USER} GAGGLE_PASSWORD='{password}'\n\
             gcurl() {{ curl -sS --cacert '{ca}' -u '{USER}:{password}' \"$@\"; }}\n"
        )
    }

    /// Five lines for a shell.
    fn lines(&self) -> [(&'static str, String); 5] {
        let ca = self.ca.display();
        let curl = format!(
            "curl -sS --cacert {ca} -u {USER}:{}",
            self.password.reveal()
        );
        let [a, b, c] = self.clients.each_ref().map(ApiClient::url);
        [
            (
                "write on a",
                format!("{curl} -X PUT --data blue {a}/v1/store/web/colour"),
            ),
            ("read it on b", format!("{curl} {b}/v1/store/web/colour")),
            (
                "with all that is known about it, on c",
                format!("{curl} -H 'Accept: application/json' {c}/v1/store/web/colour"),
            ),
            (
                "the members, as c sees them",
                format!("{curl} {c}/v1/members"),
            ),
            (
                "delete it on b",
                format!("{curl} -X DELETE {b}/v1/store/web/colour"),
            ),
        ]
    }

    /// Writes to the first member, and tells when the change is on the others.
    pub(super) async fn watch_a_change(&self) -> Result<(), Failure> {
        let [a, b, c] = &self.clients;
        let greeting = format!("hello-{:08x}", random::seed() >> 32);
        let start = mono();
        let answer = a.put(CHANGED, greeting.clone()).await;
        let answer = answer.map_err(session::failure)?;
        if !answer.status.is_success() {
            let message = format!("{}: the write was refused: {}", a.url(), answer.status);
            return Err(Failure::message(Exit::Error, message));
        }
        let written = mono().since(start);
        let both = async { tokio::join!(arrival(b, &greeting), arrival(c, &greeting)) };
        let Ok((at_b, at_c)) = tokio::time::timeout(ARRIVAL, Box::pin(both)).await else {
            let message = format!("the change did not arrive within {ARRIVAL:?}");
            return Err(Failure::message(Exit::TimeOut, message));
        };
        let mut text = String::from("\na change on its way:\n\n");
        let _ = writeln!(text, "  demo/greeting = {greeting}");
        let _ = writeln!(
            text,
            "  on a's disk, acknowledged  after {}",
            millis(written)
        );
        let _ = writeln!(
            text,
            "  seen on b                  after {}",
            millis(at_b.since(start))
        );
        let _ = writeln!(
            text,
            "  seen on c                  after {}",
            millis(at_c.since(start))
        );
        output::text(&text)
    }
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1000.0)
}

/// A member of the object that is answered at a path.
async fn field(client: &ApiClient, path: &str, name: &str) -> Option<Value> {
    let answer = client.get(path).await.ok()?;
    let mut value: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(value.get_mut(name)?.take())
}

async fn sees_all(client: &ApiClient) -> bool {
    let members = field(client, "/v1/members", "members").await;
    let members = members.as_ref().and_then(Value::as_array);
    let alive = members
        .into_iter()
        .flatten()
        .filter(|m| m["state"] == "alive");
    alive.count() == NAMES.len()
}

/// When the value is there.
async fn arrival(client: &ApiClient, value: &str) -> crate::protocol::Mono {
    loop {
        let answer = client.get(CHANGED).await;
        if answer.is_ok_and(|answer| answer.body == value.as_bytes()) {
            return mono();
        }
        tokio::time::sleep(PAUSE).await;
    }
}
