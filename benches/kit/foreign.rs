//! The servers to compare with: nginx, etcd, redis, as Debian packs them, on loopback ports and
//! with the same kind of key as ours. Each is skipped with a line if it is not installed.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use gaggle::io::clock;

use super::client::Address;
use super::member::{key, unsigned, value};
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

    /// etcd with its JSON gateway over TLS, alone.
    pub(crate) async fn etcd(at: &Path, certificate: &Certificate) -> io::Result<Option<Self>> {
        let mut group = Self::etcd_group(at, certificate, 1).await?;
        Ok(group.pop())
    }

    /// So many members of etcd, with their JSON gateways over TLS; none if it is not installed.
    /// Among each other they talk without TLS.
    pub(crate) async fn etcd_group(
        at: &Path,
        certificate: &Certificate,
        count: usize,
    ) -> io::Result<Vec<Self>> {
        let Some(program) = installed("etcd") else {
            return Ok(Vec::new());
        };
        let mut ports = Vec::new();
        for _ in 0..count {
            ports.push((free_port()?, free_port()?));
        }
        let name = |number: usize| format!("bench-{count}-{number}");
        let peer = |port: u16| format!("http://127.0.0.1:{port}");
        let all = ports.iter().enumerate();
        let all: Vec<_> = all
            .map(|(at, (_, port))| format!("{}={}", name(at), peer(*port)))
            .collect();
        let mut started = Vec::new();
        for (number, (port, peers)) in ports.iter().enumerate() {
            let clients = format!("https://127.0.0.1:{port}");
            let mut command = Command::new(&program);
            command.arg("--data-dir").arg(at.join(name(number)));
            command.args(["--name", &name(number), "--log-level", "error"]);
            command.args(["--listen-client-urls", &clients]);
            command.args(["--advertise-client-urls", &clients]);
            command.args(["--listen-peer-urls", &peer(*peers)]);
            command.args(["--initial-advertise-peer-urls", &peer(*peers)]);
            command.args(["--initial-cluster", &all.join(",")]);
            command.arg("--cert-file").arg(&certificate.chain);
            command.arg("--key-file").arg(&certificate.key);
            let log = at.join(format!("{}.log", name(number)));
            let address = Address::https(*port, &certificate.pem)?;
            started.push((Process::start(&mut command, &log)?, log, address));
        }
        let mut group = Vec::new();
        for (process, log, address) in started {
            group.push(answers("etcd", process, &log, address).await?);
        }
        Ok(group)
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
    answers(name, Process::start(command, log)?, log, address).await
}

/// Waits until a server takes connections.
async fn answers(
    name: &str,
    mut process: Process,
    log: &Path,
    address: Address,
) -> io::Result<Foreign> {
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

/// A put of the key of this number, as etcd's gateway takes it.
pub(crate) fn etcd_put(at: u64) -> Vec<u8> {
    let (name, value) = (base64(key(at).as_bytes()), base64(value(at).as_bytes()));
    let body = format!("{{\"key\":\"{name}\",\"value\":\"{value}\"}}");
    unsigned("POST", "/v3/kv/put", "", body.as_bytes())
}

/// The octets as base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
