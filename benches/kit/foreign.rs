//! The servers to compare with: nginx, etcd, redis, as Debian packs them, on loopback ports and
//! with the same kind of key as ours. Each is skipped with a line if it is not installed.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gaggle::io::clock;

use super::client::Address;
use super::process::{Process, find, free_port};
use super::{cores, elapsed};

/// A P-256 certificate for localhost, as files and as text.
pub(crate) struct Certificate {
    chain: std::path::PathBuf,
    key: std::path::PathBuf,
    /// The certificate, to be trusted by the client.
    pub(crate) pem: String,
}

impl Certificate {
    /// Makes one in a directory.
    pub(crate) fn make(directory: &Path) -> io::Result<Self> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let (chain, key) = (directory.join("server.pem"), directory.join("server.key"));
        let pem = made.cert.pem();
        std::fs::write(&chain, &pem)?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        Ok(Self { chain, key, pem })
    }
}

/// A foreign server that answers.
pub(crate) struct Foreign {
    /// Its process.
    pub(crate) process: Process,
    /// Where it answers.
    pub(crate) address: Address,
}

impl Foreign {
    /// nginx that answers everything with 64 bytes over TLS, with a worker per core.
    pub(crate) async fn nginx(at: &Path, certificate: &Certificate) -> io::Result<Option<Self>> {
        let Some(program) = installed("nginx") else {
            return Ok(None);
        };
        let port = free_port()?;
        let directory = at.join("nginx");
        std::fs::create_dir(&directory)?;
        let configuration = nginx_configuration(&directory, port, certificate);
        let file = directory.join("nginx.conf");
        std::fs::write(&file, configuration)?;
        let mut command = Command::new(program);
        let log = directory.join("out.log");
        command.arg("-p").arg(&directory).arg("-c").arg(&file);
        command.arg("-e").arg(directory.join("error.log"));
        let address = Address::https(port, &certificate.pem)?;
        up("nginx", &mut command, &log, address).await.map(Some)
    }

    /// etcd with its JSON gateway over TLS.
    pub(crate) async fn etcd(at: &Path, certificate: &Certificate) -> io::Result<Option<Self>> {
        let Some(program) = installed("etcd") else {
            return Ok(None);
        };
        let (port, peers) = (free_port()?, free_port()?);
        let directory = at.join("etcd");
        let (clients, peers) = (
            format!("https://127.0.0.1:{port}"),
            format!("http://127.0.0.1:{peers}"),
        );
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(&directory);
        command.args(["--name", "bench", "--log-level", "error"]);
        command.args([
            "--listen-client-urls",
            &clients,
            "--advertise-client-urls",
            &clients,
        ]);
        command.args([
            "--listen-peer-urls",
            &peers,
            "--initial-advertise-peer-urls",
            &peers,
        ]);
        command.args(["--initial-cluster", &format!("bench={peers}")]);
        command.arg("--cert-file").arg(&certificate.chain);
        command.arg("--key-file").arg(&certificate.key);
        let address = Address::https(port, &certificate.pem)?;
        up("etcd", &mut command, &at.join("etcd.log"), address)
            .await
            .map(Some)
    }

    /// redis that syncs its append-only file before each answer.
    pub(crate) async fn redis(at: &Path) -> io::Result<Option<Self>> {
        let Some(program) = installed("redis-server") else {
            return Ok(None);
        };
        let port = free_port()?;
        let directory = at.join("redis");
        std::fs::create_dir(&directory)?;
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
        ]);
        command.arg("--dir").arg(&directory);
        up(
            "redis",
            &mut command,
            &at.join("redis.log"),
            Address::plain(port),
        )
        .await
        .map(Some)
    }
}

fn installed(program: &str) -> Option<std::path::PathBuf> {
    let found = find(program);
    if found.is_none() {
        println!("SKIPPED: the comparison with {program}, which is not installed here");
    }
    found
}

fn nginx_configuration(directory: &Path, port: u16, certificate: &Certificate) -> String {
    let (at, workers, value) = (directory.display(), cores(), "v".repeat(64));
    let (chain, key) = (certificate.chain.display(), certificate.key.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
        .concat();
    format!(
        "daemon off;\nworker_processes {workers};\npid {at}/pid;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\n{temporary}server {{\nlisten 127.0.0.1:{port} ssl;\n\
         ssl_certificate {chain};\nssl_certificate_key {key};\nssl_protocols TLSv1.3;\n\
         keepalive_requests 1000000000;\nlocation / {{\ndefault_type text/plain;\n\
         return 200 \"{value}\";\n}}\n}}\n}}\n"
    )
}

/// Starts a server and waits until it takes connections.
pub(crate) async fn up(
    name: &str,
    command: &mut Command,
    log: &Path,
    address: Address,
) -> io::Result<Foreign> {
    let mut process = Process::start(command, log)?;
    let begin = clock::mono();
    loop {
        match address.connect().await {
            Ok(_) => return Ok(Foreign { process, address }),
            Err(error) if process.ended() || elapsed(begin) > Duration::from_secs(20) => {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let message = format!("{name} does not answer ({error}); it said:\n{said}");
                return Err(io::Error::other(message));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
