//! The checked configuration of a member.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::address::{Endpoint, Listen};
use super::checker::{Checker, InForce, Refusals};
use super::credentials;
use super::data_dir::DataDir;
use super::discover::Discover;
use super::faces::{self, MapFace};
use super::hidden::Hidden;
use super::layers::{Layers, Source};
use super::settings as s;
use super::zgossip::{Zgossip, zgossip};
use crate::model::ClusterId;

/// Everything that a member needs to know before it starts. Ranges and defaults are those of
/// [`settings`](super::settings).
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The name that people see.
    pub name: String,
    /// The data directory; it need not exist yet.
    pub data: DataDir,
    /// The cluster's secret or secrets as given; none: the one in the data directory.
    pub secret: Option<Hidden>,
    /// The first user.
    pub user: String,
    /// The first user's password as given; none: the one in the data directory.
    pub password: Option<Hidden>,
    /// Whether both come from a `credentials.json` that other users of this host may read.
    pub credentials_open: bool,
    /// An own certificate for clients; none: one made from the secret.
    pub certificate: Option<CertificateFiles>,
    /// Where the REST API listens.
    pub listen: Listen,
    /// Where others reach it, if that is not where it listens.
    pub advertise: Option<Endpoint>,
    /// Interfaces for discovery, by name or address; none: all that are up.
    pub interfaces: Vec<String>,
    /// How members are found.
    pub discover: Discover,
    /// UDP port of discovery.
    pub discovery_port: u16,
    /// The map face, if it is on.
    pub map: Option<MapFace>,
    /// What is to be told in the log about the configuration, in whole sentences.
    pub notices: Vec<String>,
    /// How far ahead another member's clock may be.
    pub max_clock_skew: Duration,
    /// How long what was deleted can be restored (`--keep-deleted`).
    pub keep_deleted: Duration,
    /// How long a member may be away before it is forgotten (`--forget-after`).
    pub forget_after: Duration,
    /// How many members get a change directly.
    pub fanout: usize,
    /// The strong side, if it is on.
    pub strong: Option<Strong>,
    /// How long a clean stop may take.
    pub stop_timeout: Duration,
    /// How often everything on disk is looked at; none: never.
    pub scrub_every: Option<Duration>,
    /// What becomes of a damaged database at the start.
    pub repair: Repair,
    /// Bounds on what clients may bring.
    pub limits: Limits,
    /// Bounds on how long they may take.
    pub timeouts: Timeouts,
    /// The face for zgossip, if it is on.
    pub zgossip: Option<Zgossip>,
    /// What is logged: directives of `tracing`, known to be right.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// An own certificate and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How the group of the strong side is founded and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strong {
    /// By whom.
    pub founders: Founders,
    /// How long a voter may be away before a learner takes its place; none: as long as it likes.
    pub promote_after: Option<Duration>,
}

/// Who founds the group of the strong side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Founders {
    /// The first so many members that see each other (`--cluster-size`).
    First(usize),
    /// The members of these names (`--voters`).
    Named(BTreeSet<String>),
}

/// Bounds on what clients may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest name, in bytes.
    pub name_bytes: usize,
    /// The largest value, in bytes.
    pub value_bytes: usize,
    /// The largest request body, in bytes; never less than a value.
    pub body_bytes: usize,
    /// The most live keys.
    pub keys: usize,
    /// The most connections at once.
    pub connections: usize,
    /// The most requests at once on one HTTP/2 connection.
    pub streams: usize,
}

/// Bounds on how long clients and peers may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request.
    pub header: Duration,
    /// For a pause within the body of a request.
    pub body: Duration,
    /// For a connection without a request.
    pub idle: Duration,
    /// For a request to another member.
    pub peer: Duration,
}

/// What becomes of a damaged database at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repair {
    /// The start is refused.
    #[default]
    Never,
    /// It is set aside, and what is sound of it taken over.
    Damaged,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// Checks what was given. Also tells each value in force and where it comes from, in the order
    /// of the help.
    ///
    /// # Errors
    /// Every value that cannot be taken, and why.
    pub fn check(layers: &Layers) -> Result<(Self, Vec<InForce>), Refusals> {
        let mut c = Checker::new(layers);
        let cluster = c.value(&s::CLUSTER, cluster);
        let name = name(&mut c);
        let data = DataDir::new(c.value(&s::DATA, path));
        let secret = c.hidden(&s::SECRET, not_empty);
        let first = FirstUser::read(&mut c, &data);
        let config = Self {
            cluster,
            name,
            data,
            secret,
            user: first.name,
            password: first.password,
            credentials_open: first.is_open,
            certificate: certificate(&mut c),
            listen: c.value(&s::LISTEN, str::parse),
            advertise: c.given(&s::ADVERTISE, str::parse).map(|found| found.0),
            interfaces: c.value(&s::INTERFACE, interfaces),
            discover: c.value(&s::DISCOVER, str::parse),
            discovery_port: u16::try_from(c.number(&s::DISCOVERY_PORT)).unwrap_or(u16::MAX),
            map: faces::map(&mut c),
            notices: layers.notices().to_vec(),
            max_clock_skew: c.duration(&s::MAX_CLOCK_SKEW),
            keep_deleted: c.duration(&s::KEEP_DELETED),
            forget_after: c.duration(&s::FORGET_AFTER),
            fanout: c.number(&s::FANOUT),
            strong: strong(&mut c),
            stop_timeout: c.duration(&s::STOP_TIMEOUT),
            scrub_every: Some(c.duration(&s::SCRUB_EVERY)).filter(|every| !every.is_zero()),
            repair: match c.choice(&s::REPAIR) {
                Some(1) => Repair::Damaged,
                _ => Repair::Never,
            },
            limits: limits(&mut c),
            timeouts: timeouts(&mut c),
            zgossip: zgossip(&mut c),
            log: c.value(&s::LOG, log),
            log_format: match c.choice(&s::LOG_FORMAT) {
                Some(1) => LogFormat::Json,
                _ => LogFormat::Text,
            },
        };
        c.finish().map(|in_force| (config, in_force))
    }
}

/// The first user, as given or as `credentials.json` says.
struct FirstUser {
    name: String,
    password: Option<Hidden>,
    is_open: bool,
}

impl FirstUser {
    fn read(c: &mut Checker<'_>, data: &DataDir) -> Self {
        if !c.is_given(&s::USER) && !c.is_given(&s::PASSWORD) {
            let file = data.credentials_file();
            match credentials::read(&file) {
                Ok(Some(found)) => {
                    let source = Source::Found(file);
                    c.note(&s::USER, found.user.clone(), source.clone());
                    c.note(&s::PASSWORD, "(hidden)".to_owned(), source);
                    return Self {
                        name: found.user,
                        password: Some(found.password),
                        is_open: found.is_open,
                    };
                }
                Ok(None) => {}
                Err(why) => c.refuse_file(&s::PASSWORD, &file, why),
            }
        }
        Self {
            name: c.value(&s::USER, user),
            password: c.hidden(&s::PASSWORD, password),
            is_open: false,
        }
    }
}

pub(super) fn cluster(text: &str) -> Result<ClusterId, String> {
    text.parse().map_err(|_| "no cluster id".to_owned())
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    not_empty(text).map(|()| PathBuf::from(text))
}

pub(super) fn not_empty(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        Err("there is nothing in it".to_owned())
    } else {
        Ok(())
    }
}

pub(super) fn user(text: &str) -> Result<String, String> {
    if text.contains(':') {
        return Err("a colon ends the name in Basic authentication".to_owned());
    }
    plain(text, 255).map(|()| text.to_owned())
}

pub(super) fn password(text: &str) -> Result<(), String> {
    plain(text, 1024)
}

fn plain(text: &str, longest: usize) -> Result<(), String> {
    not_empty(text)?;
    if text.len() > longest {
        return Err(format!("it has {} bytes", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("there is a control character in it".to_owned());
    }
    Ok(())
}

fn name(c: &mut Checker<'_>) -> String {
    let given = c.given(&s::NAME, |text| plain(text, 255).map(|()| text.to_owned()));
    if let Some((name, _)) = given {
        return name;
    }
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy().into_owned();
    let name = plain(&name, 255).map_or_else(|_| "member".to_owned(), |()| name);
    c.note(&s::NAME, name.clone(), Source::Default);
    name
}

fn strong(c: &mut Checker<'_>) -> Option<Strong> {
    let promote_after = Some(c.duration(&s::PROMOTE_AFTER)).filter(|after| !after.is_zero());
    let size = c.given(&s::CLUSTER_SIZE, cluster_size).map(|found| found.0);
    let names = c.given(&s::VOTERS, voters).map(|found| found.0);
    let founders = match (size, names) {
        (Some(_), Some(_)) => {
            c.conflict(&s::CLUSTER_SIZE, "it goes not together with voters");
            return None;
        }
        (Some(size), None) => Founders::First(size),
        (None, Some(names)) => Founders::Named(names),
        (None, None) => return None,
    };
    Some(Strong {
        founders,
        promote_after,
    })
}

fn cluster_size(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(size) if (1..=9).contains(&size) => Ok(size),
        Ok(_) => Err("it is out of range".to_owned()),
        Err(_) => Err("it is no number".to_owned()),
    }
}

fn voters(text: &str) -> Result<BTreeSet<String>, String> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    for name in &names {
        plain(name, 255)?;
    }
    let set: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    if set.len() < names.len() {
        return Err("a name is in it twice".to_owned());
    }
    if set.len() > 9 {
        return Err("more than nine members vote slowly".to_owned());
    }
    Ok(set)
}

fn interfaces(text: &str) -> Result<Vec<String>, String> {
    // Linux allows 15 bytes, and neither a slash nor blanks.
    let is_name = |name: &str| {
        (1..=15).contains(&name.len())
            && !name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
    };
    let fits = |name: &&str| is_name(name) || name.parse::<std::net::IpAddr>().is_ok();
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    match names.iter().find(|name| !fits(name)) {
        Some(name) => Err(format!("{name:?} is no name or address of an interface")),
        None => Ok(names.into_iter().map(str::to_owned).collect()),
    }
}

fn log(text: &str) -> Result<String, String> {
    not_empty(text)?;
    EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|why| why.to_string())
}

fn certificate(c: &mut Checker<'_>) -> Option<CertificateFiles> {
    let certificate = c.given(&s::TLS_CERT, path).map(|found| found.0);
    let key = c.given(&s::TLS_KEY, path).map(|found| found.0);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
        (Some(_), None) => {
            c.conflict(&s::TLS_CERT, "it goes only together with tls-key");
            None
        }
        (None, Some(_)) => {
            c.conflict(&s::TLS_KEY, "it goes only together with tls-cert");
            None
        }
        (None, None) => certificate_beside(c, &[Path::new("certs"), Path::new("/certs")]),
    }
}

/// The first of the folders that has a certificate and a key.
fn certificate_beside(c: &mut Checker<'_>, folders: &[&Path]) -> Option<CertificateFiles> {
    let found = folders.iter().find_map(|folder| {
        let files = CertificateFiles {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        };
        (files.certificate.is_file() && files.key.is_file()).then_some(files)
    })?;
    for (setting, file) in [
        (&s::TLS_CERT, &found.certificate),
        (&s::TLS_KEY, &found.key),
    ] {
        let folder = file.parent().unwrap_or(file).to_owned();
        c.note(setting, file.display().to_string(), Source::Found(folder));
    }
    Some(found)
}

fn limits(c: &mut Checker<'_>) -> Limits {
    let limits = Limits {
        name_bytes: c.number(&s::MAX_NAME_BYTES),
        value_bytes: c.number(&s::MAX_VALUE_BYTES),
        body_bytes: c.number(&s::MAX_BODY_BYTES),
        keys: c.number(&s::MAX_KEYS),
        connections: c.number(&s::MAX_CONNECTIONS),
        streams: c.number(&s::MAX_STREAMS),
    };
    // Zero stands for what was refused already.
    if limits.body_bytes != 0 && limits.body_bytes < limits.value_bytes {
        c.conflict(
            &s::MAX_BODY_BYTES,
            "a body must hold at least one value of max-value-bytes",
        );
    }
    limits
}

fn timeouts(c: &mut Checker<'_>) -> Timeouts {
    Timeouts {
        handshake: c.duration(&s::HANDSHAKE_TIMEOUT),
        header: c.duration(&s::HEADER_TIMEOUT),
        body: c.duration(&s::BODY_TIMEOUT),
        idle: c.duration(&s::IDLE_TIMEOUT),
        peer: c.duration(&s::PEER_TIMEOUT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn a_certificate_in_the_usual_place_is_taken_if_its_key_is_there_too() {
        let dir = tempfile::tempdir().unwrap();
        let layers = Layers::new(Flags::new(), &|_| None).unwrap();
        let mut c = Checker::new(&layers);
        let folders = [Path::new("/nowhere"), dir.path()];
        std::fs::write(dir.path().join("tls.crt"), "").unwrap();
        assert_eq!(certificate_beside(&mut c, &folders), None);
        std::fs::write(dir.path().join("tls.key"), "").unwrap();
        let found = certificate_beside(&mut c, &folders).unwrap();
        assert_eq!(found.certificate, dir.path().join("tls.crt"));
        let in_force = c.finish().unwrap();
        let source = Source::Found(dir.path().to_owned());
        assert!(in_force.len() == 2 && in_force.iter().all(|item| item.source == source));
    }
}
