//! Our own members: the program of this build, started as a user would start it, on loopback only
//! (`--interface lo`), each cluster with a secret, a name and a discovery port of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use gaggle::io::clock;

use super::client::{Address, Answer, Connection};
use super::elapsed;
use super::process::{Process, free_port};

/// The password of the one user, `admin`.
const PASSWORD: &str = "a-password-for-measuring";
/// How long a member may take until it is ready.
const READY: Duration = Duration::from_mins(3);

/// What members of one cluster share.
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    secret: String,
    discovery_port: u16,
    authority: String,
}

/// A member that runs.
pub(crate) struct Member {
    /// Its process.
    pub(crate) process: Process,
    /// Where it answers.
    pub(crate) address: Address,
    /// From its start to its first answer.
    pub(crate) first_answer: Duration,
    /// From its start until it said that it is ready.
    pub(crate) ready: Duration,
    /// What it printed.
    pub(crate) log: PathBuf,
}

/// The program of this build.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gaggle"))
}

impl Cluster {
    /// A cluster without members.
    pub(crate) fn new() -> io::Result<Self> {
        let directory = super::directory()?;
        let secret = said(Command::new(program()).arg("secret"))?
            .trim()
            .to_owned();
        let mut cluster = Self {
            directory,
            secret,
            discovery_port: free_udp_port()?,
            authority: String::new(),
        };
        let mut command = Command::new(program());
        command.arg("ca");
        cluster.authority = said(cluster.told(&mut command))?;
        Ok(cluster)
    }

    /// A directory for its data and more.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn told<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("GAGGLE_SECRET", &self.secret)
            .env("GAGGLE_CLUSTER", "bench")
            .env("GAGGLE_USER", "admin")
            .env("GAGGLE_PASSWORD", PASSWORD)
    }

    /// Starts the member of this name (again, if it ran before) with further flags and waits until
    /// it is ready, asking every millisecond.
    pub(crate) async fn start(&self, name: &str, flags: &[&str]) -> io::Result<Member> {
        let port = free_port()?;
        let data = self.directory.path().join(name);
        let log = self.directory.path().join(format!("{name}.log"));
        let mut command = Command::new(program());
        self.told(command.arg("serve").arg("--data").arg(&data));
        command.args(["--name", name, "--interface", "lo"]);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--discovery-port", &self.discovery_port.to_string()]);
        command.args(flags);
        let address = Address::https(port, &self.authority)?;
        let begin = clock::mono();
        let mut process = Process::start(&mut command, &log)?;
        let (mut first_answer, mut connection) = (None, None);
        loop {
            if let Ok(ready) = ask_ready(&mut connection, &address).await {
                let answered = *first_answer.get_or_insert_with(|| elapsed(begin));
                if ready {
                    return Ok(Member {
                        process,
                        address,
                        first_answer: answered,
                        ready: elapsed(begin),
                        log,
                    });
                }
            } else {
                connection = None;
            }
            if process.ended() || elapsed(begin) > READY {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("{name} is not ready:\n{said}")));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn ask_ready(connection: &mut Option<Connection>, address: &Address) -> io::Result<bool> {
    if connection.is_none() {
        *connection = Some(address.connect().await?);
    }
    match connection {
        Some(open) => Ok(open.http(&request("GET", "/readyz", "", b"")).await?.status == 200),
        None => Ok(false),
    }
}

impl Member {
    /// Asks it something and wants a 2xx answer.
    pub(crate) async fn ask(connection: &mut Connection, request: &[u8]) -> io::Result<Answer> {
        let answer = connection.http(request).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let body = String::from_utf8_lossy(connection.body(&answer)).into_owned();
        Err(io::Error::other(format!("{}: {body}", answer.status)))
    }

    /// Its status as JSON.
    pub(crate) async fn status(connection: &mut Connection) -> io::Result<serde_json::Value> {
        let answer = Self::ask(connection, &request("GET", "/v1/status", "", b"")).await?;
        serde_json::from_slice(connection.body(&answer)).map_err(io::Error::other)
    }

    /// Loads keys `from` up to `to` with values of 64 bytes, a thousand keys in a request; a node
    /// holds ten thousand keys, a key's name has 24 bytes.
    pub(crate) async fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        let mut connection = self.address.connect().await?;
        for first in (from..to).step_by(1000) {
            let node = format!("node{:04}", first / 10_000);
            let pairs: Vec<String> = (first..(first + 1000).min(to))
                .map(|at| format!("\"{}\":\"{}\"", key(at), value(at)))
                .collect();
            let body = format!("{{{}}}", pairs.join(","));
            let kind = "Content-Type: application/merge-patch+json\r\n";
            let patch = request("PATCH", &format!("/v1/store/{node}"), kind, body.as_bytes());
            Self::ask(&mut connection, &patch).await?;
        }
        Ok(())
    }
}

/// The name of the key of this number: 24 bytes.
pub(crate) fn key(number: u64) -> String {
    format!("service/setting-{number:08}")
}

/// A value of 64 bytes.
pub(crate) fn value(number: u64) -> String {
    format!("{number:064x}")
}

/// An HTTP/1.1 request by the one user. `headers` are whole lines.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("admin:{PASSWORD}"));
    let user = format!("Authorization: Basic {credentials}\r\n{headers}");
    unsigned(method, path, &user, body)
}

/// An HTTP/1.1 request by nobody in particular. `headers` are whole lines.
pub(crate) fn unsigned(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() && method == "GET" {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n");
    [head.as_bytes(), body].concat()
}

fn said(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{command:?}: {complaint}")))
}

fn free_udp_port() -> io::Result<u16> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}
