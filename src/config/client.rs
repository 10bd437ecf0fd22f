//! The checked configuration of a command that asks a member.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::address::Endpoint;
use super::checker::{Checker, InForce, Refusals};
use super::credentials;
use super::data_dir::{DataDir, MemberFile};
use super::hidden::Hidden;
use super::layers::{Layers, Source};
use super::member::{cluster, not_empty, password, path, user};
use super::settings as s;
use crate::model::ClusterId;

/// How a command finds a member, trusts it, and is trusted by it.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The members to ask, in this order; never empty.
    pub servers: Vec<ServerUrl>,
    /// The file with the certificates to trust; none: derive one from the secret.
    pub ca: Option<PathBuf>,
    /// The cluster's secret, if known.
    pub secret: Option<Hidden>,
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The user.
    pub user: String,
    /// The user's password, if known.
    pub password: Option<Hidden>,
    /// The data directory of a member on this host; it need not exist.
    pub data: DataDir,
    /// How results are written; none: as suits the command.
    pub output: Option<Output>,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// The file that keeps what this client has seen; none: it keeps nothing.
    pub session: Option<PathBuf>,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Table,
    /// One JSON value.
    Json,
    /// One YAML document.
    Yaml,
    /// Values as they are; lists one item per line.
    Raw,
}

/// A member's REST API: always HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// A DNS name or an IP address (without brackets).
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl FromStr for ServerUrl {
    type Err = String;

    /// Reads `https://HOST[:PORT][/]` or `HOST[:PORT]`; without a port it is 8000.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = match text.split_once("://") {
            Some(("https", rest)) => rest,
            Some((scheme, _)) => return Err(format!("{scheme}:// is not spoken, only https://")),
            None => text,
        };
        if rest.contains('@') {
            return Err("user and password go into --user and --password".to_owned());
        }
        let place = rest.strip_suffix('/').unwrap_or(rest);
        if place.contains(['/', '?', '#']) {
            return Err("there is more than a host and a port".to_owned());
        }
        let endpoint: Endpoint = place.parse()?;
        let port = endpoint.api_port();
        Ok(Self {
            host: endpoint.host,
            port,
        })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "https://{}:{}", self.host, self.port)
        }
    }
}

impl ServerUrl {
    /// Whether it is on this host, by its name.
    pub fn is_local(&self) -> bool {
        let address: Option<std::net::IpAddr> = self.host.parse().ok();
        self.host == "localhost" || address.is_some_and(|ip| ip.is_loopback())
    }
}

impl ClientConfig {
    /// Checks what was given, and looks into the data directory for what was not. Also tells each
    /// value in force and where it comes from.
    ///
    /// # Errors
    /// Every value that cannot be taken, and why.
    pub fn check(layers: &Layers) -> Result<(Self, Vec<InForce>), Refusals> {
        let mut c = Checker::new(layers);
        let data = DataDir::new(c.value(&s::DATA, path));
        let member = data.member();
        let servers = c.value(&s::SERVER, servers);
        let ca = c.given(&s::CA, path).map(|found| found.0);
        let secret = c.hidden(&s::SECRET, not_empty);
        let mut config = Self {
            servers,
            ca,
            secret,
            cluster: ClusterId::default(),
            user: c.value(&s::USER, user),
            password: c.hidden(&s::PASSWORD, password),
            data,
            output: c.choice(&s::OUTPUT).map(output),
            timeout: c.duration(&s::TIMEOUT),
            session: c.given(&s::SESSION, path).map(|found| found.0),
        };
        let cluster = c.given(&s::CLUSTER, cluster);
        match (cluster, &member) {
            (Some((_, Source::Default)) | None, Some(member)) => {
                config.cluster = member.cluster.clone();
            }
            (Some((cluster, _)), _) => config.cluster = cluster,
            (None, None) => {}
        }
        config.look_around(&mut c, member.as_ref());
        c.finish().map(|in_force| (config, in_force))
    }

    /// Fills in what a member on this host left in its data directory.
    fn look_around(&mut self, c: &mut Checker<'_>, member: Option<&MemberFile>) {
        let here = Source::Found(self.data.path().to_owned());
        let is_member_here = self.servers.is_empty() && member.is_some();
        if self.servers.is_empty() {
            let (host, port) = member.map_or_else(
                || ("localhost".to_owned(), super::address::API_PORT),
                MemberFile::local,
            );
            let server = ServerUrl { host, port };
            let source = if is_member_here {
                here.clone()
            } else {
                Source::Default
            };
            c.note(&s::SERVER, server.to_string(), source);
            self.servers.push(server);
        }
        let is_trusted_here = self.ca.is_none() && (self.secret.is_none() || is_member_here);
        if is_trusted_here {
            let own = member.and_then(|member| member.own_certificate.clone());
            let file = own
                .filter(|_| is_member_here)
                .unwrap_or_else(|| self.data.ca_file());
            if file.is_file() {
                c.note(&s::CA, file.display().to_string(), here.clone());
                self.ca = Some(file);
            }
        }
        // The password of the member here is for that member, or one that shows its certificate:
        // never for a server elsewhere that another certificate or secret was given for.
        let is_for_them = is_trusted_here || self.servers.iter().all(ServerUrl::is_local);
        if self.password.is_none() && is_for_them && !c.is_given(&s::USER) {
            let file = self.data.credentials_file();
            // One that cannot be taken is the member's to complain about.
            if let Ok(Some(found)) = credentials::read(&file) {
                let source = Source::Found(file);
                c.note(&s::USER, found.user.clone(), source.clone());
                c.note(&s::PASSWORD, "(hidden)".to_owned(), source);
                self.user = found.user;
                self.password = Some(found.password);
            }
        }
        if self.password.is_none() && is_for_them {
            self.password = self.data.password();
            if self.password.is_some() {
                c.note(&s::PASSWORD, "(hidden)".to_owned(), here.clone());
            }
        }
        if self.secret.is_none() {
            self.secret = self.data.secret();
            if self.secret.is_some() {
                c.note(&s::SECRET, "(hidden)".to_owned(), here);
            }
        }
    }
}

fn servers(text: &str) -> Result<Vec<ServerUrl>, String> {
    let one = |text: &str| {
        text.trim()
            .parse::<ServerUrl>()
            .map_err(|why| format!("in {:?}: {why}", text.trim()))
    };
    text.split(',').map(one).collect()
}

fn output(at: usize) -> Output {
    match at {
        1 => Output::Json,
        2 => Output::Yaml,
        3 => Output::Raw,
        _ => Output::Table,
    }
}
