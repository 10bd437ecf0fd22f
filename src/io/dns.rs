//! Questions to name servers: the addresses behind a name, or behind a service's SRV records.
//!
//! The engine is `hickory-resolver`, which unlike the system's resolver knows SRV records and tells
//! how long an answer holds. Nothing is kept between two questions: whoever asks decides when to
//! ask again. `/etc/resolv.conf` is read again whenever it changes; `/etc/hosts` is not looked at.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures_util::future::{join, join_all};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;

/// Where the system keeps the addresses of its name servers.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The largest such file, in bytes.
const RESOLV_CONF_BYTES: u64 = 64 * 1024;
/// How long all of one question may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long one name server may take for one packet, whatever the file says.
const SERVER_PATIENCE: Duration = Duration::from_secs(2);
/// How often each is asked, whatever the file says.
const ATTEMPTS: usize = 2;
/// The most SRV records that are followed.
const TARGETS: usize = 64;
/// The most addresses taken from one question.
const ADDRESSES: usize = 256;

/// What a name stands for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Where members may answer, in order, each once. Empty if there is no such name.
    pub addresses: Vec<SocketAddr>,
    /// How long the answer holds, as the name server says; none if it has no records.
    pub holds: Option<Duration>,
}

/// Why a question had no answer. Nothing is known then, not even that there is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The list of name servers cannot be read; it is tried again with the next question.
    #[error("cannot read the name servers from {file}: {why}")]
    Servers {
        /// The file.
        file: String,
        /// Why not.
        why: String,
    },
    /// No name server answered, or all said that they could not.
    #[error("no name server told it: {0}")]
    Failed(String),
}

/// Asks the name servers of the system.
pub struct NameServers {
    file: PathBuf,
    open: Option<(Stamp, TokioResolver)>,
}

/// By what a changed file is known.
type Stamp = (Option<SystemTime>, u64);

impl NameServers {
    /// The name servers that `file` lists; usually [`RESOLV_CONF`].
    pub fn of(file: impl Into<PathBuf>) -> Self {
        let file = file.into();
        Self { file, open: None }
    }

    /// The addresses (A and AAAA) behind `name`, with this port.
    ///
    /// # Errors
    /// See [`Unanswered`]. A name that does not exist is no error.
    pub async fn addresses(&mut self, name: &str, port: u16) -> Result<Found, Unanswered> {
        let resolver = self.resolver().await?;
        within(addresses(resolver, name, port)).await
    }

    /// The addresses and ports behind the SRV records of `name`.
    ///
    /// # Errors
    /// See [`Unanswered`]. A name that does not exist is no error.
    pub async fn service(&mut self, name: &str) -> Result<Found, Unanswered> {
        let resolver = self.resolver().await?;
        within(service(resolver, name)).await
    }

    async fn resolver(&mut self) -> Result<&TokioResolver, Unanswered> {
        let file = self.file.display().to_string();
        let unread = |why: &dyn Display| Unanswered::Servers {
            file: file.clone(),
            why: why.to_string(),
        };
        let about = tokio::fs::metadata(&self.file).await;
        let about = about.map_err(|why| unread(&why))?;
        let stamp = (about.modified().ok(), about.len());
        if about.len() > RESOLV_CONF_BYTES {
            return Err(unread(&"it is larger than 64 KiB"));
        }
        if self.open.as_ref().is_none_or(|(seen, _)| *seen != stamp) {
            let text = tokio::fs::read(&self.file).await;
            let text = text.map_err(|why| unread(&why))?;
            let made = resolver_of(&text).map_err(|why| unread(&why))?;
            self.open = Some((stamp, made));
        }
        match &self.open {
            Some((_, resolver)) => {
                resolver.clear_cache();
                Ok(resolver)
            }
            None => Err(unread(&"it vanished")),
        }
    }
}

fn resolver_of(resolv_conf: &[u8]) -> Result<TokioResolver, NetError> {
    let (config, mut options) = parse_resolv_conf(resolv_conf)?;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 0;
    options.timeout = options.timeout.min(SERVER_PATIENCE);
    options.attempts = options.attempts.min(ATTEMPTS);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.with_options(options).build()
}

async fn within(
    asking: impl Future<Output = Result<Found, NetError>>,
) -> Result<Found, Unanswered> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(mut found)) => {
            found.addresses.sort_unstable();
            found.addresses.dedup();
            found.addresses.truncate(ADDRESSES);
            Ok(found)
        }
        Ok(Err(why)) => Err(Unanswered::Failed(why.to_string())),
        Err(_late) => {
            let why = format!("no answer within {} s", PATIENCE.as_secs());
            Err(Unanswered::Failed(why))
        }
    }
}

/// Asks for both families at once. One that fails counts only if the other has nothing.
async fn addresses(resolver: &TokioResolver, name: &str, port: u16) -> Result<Found, NetError> {
    let (four, six) = join(
        records(resolver, name, RecordType::A),
        records(resolver, name, RecordType::AAAA),
    )
    .await;
    let mut found = Found::default();
    let mut failed = None;
    for family in [four, six] {
        match family {
            Ok(Some(lookup)) => {
                let here = lookup.answers().iter().filter_map(|r| ip(&r.data));
                found
                    .addresses
                    .extend(here.map(|ip| SocketAddr::new(ip, port)));
                found.holds = shorter(found.holds, holds(&lookup));
            }
            Ok(None) => {}
            Err(why) => failed = Some(why),
        }
    }
    match failed {
        Some(why) if found.addresses.is_empty() => Err(why),
        _ => Ok(found),
    }
}

async fn service(resolver: &TokioResolver, name: &str) -> Result<Found, NetError> {
    let Some(lookup) = records(resolver, name, RecordType::SRV).await? else {
        return Ok(Found::default());
    };
    let targets = lookup.answers().iter().filter_map(|r| srv(&r.data));
    // A target that is the root says that there is no such service (RFC 2782).
    let targets = targets.filter(|srv| !srv.target.is_root() && srv.port > 0);
    let asking = targets.take(TARGETS).map(|srv| async move {
        let target = srv.target.to_utf8();
        addresses(resolver, &target, srv.port).await
    });
    let mut found = Found {
        holds: holds(&lookup),
        ..Found::default()
    };
    let mut failed = None;
    for target in join_all(asking).await {
        match target {
            Ok(target) => {
                found.addresses.extend(target.addresses);
                found.holds = shorter(found.holds, target.holds);
            }
            Err(why) => failed = Some(why),
        }
    }
    match failed {
        Some(why) if found.addresses.is_empty() => Err(why),
        _ => Ok(found),
    }
}

/// The records of one type; none if there are none or no such name.
async fn records(
    resolver: &TokioResolver,
    name: &str,
    kind: RecordType,
) -> Result<Option<Lookup>, NetError> {
    match resolver.lookup(name, kind).await {
        Ok(lookup) => Ok(Some(lookup)),
        Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Ok(None),
        Err(why) => Err(why),
    }
}

fn ip(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

fn srv(data: &RData) -> Option<&SRV> {
    match data {
        RData::SRV(srv) => Some(srv),
        _ => None,
    }
}

fn holds(lookup: &Lookup) -> Option<Duration> {
    let all = lookup.answers().iter().map(|record| record.ttl);
    all.min().map(|ttl| Duration::from_secs(ttl.into()))
}

fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_or_empty_list_of_name_servers_is_told_and_read_once_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("resolv.conf");
        let mut servers = NameServers::of(&file);
        let why = servers.addresses("a.example", 1).await.unwrap_err();
        let shown = why.to_string();
        assert!(shown.contains("resolv.conf"), "{shown}");
        std::fs::write(&file, "# nothing\n").unwrap();
        let why = servers.addresses("a.example", 1).await.unwrap_err();
        assert!(why.to_string().contains("no nameservers"), "{why}");
        std::fs::write(&file, "nameserver 127.0.0.1\n").unwrap();
        servers.resolver().await.unwrap();
        std::fs::write(&file, "nameserver 127.0.0.1\noptions ndots:1\n").unwrap();
        servers.resolver().await.unwrap();
        assert_eq!(
            servers.open.unwrap().1.options().ndots,
            1,
            "it was read again"
        );
    }
}
