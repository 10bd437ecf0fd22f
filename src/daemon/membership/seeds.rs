//! Seeds: hosts to dial, whose names are resolved again and again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::io::tasks::Tasks;

/// The port of a seed that names none.
pub const DEFAULT_SEED_PORT: u16 = 8_000;
/// How often names are resolved again while that works.
const PERIOD: Duration = Duration::from_secs(30);
/// How soon after the first failure; doubles with each.
const RETRY: Duration = Duration::from_secs(1);
/// How long a resolver may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed {
    host: String,
    port: u16,
}

/// A text that is no seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not HOST, HOST:PORT, ADDRESS or [ADDRESS]:PORT")]
pub struct SeedError(String);

impl Seed {
    /// A member at this host (a name or an address) and port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }
}

impl FromStr for Seed {
    type Err = SeedError;

    /// Reads `host`, `host:port`, an address, or `[address]:port`; the port is 8000 by default.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: address.ip().to_string(),
                port: address.port(),
            });
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self {
                host: address.to_string(),
                port: DEFAULT_SEED_PORT,
            });
        }
        let wrong = || SeedError(text.to_owned());
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (text, DEFAULT_SEED_PORT),
        };
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || port == 0 || !host.chars().all(plain) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Starts the resolver; all addresses of all seeds come out whenever they change. A name that
/// cannot be resolved keeps its last addresses.
pub(super) fn resolver(tasks: &Tasks, seeds: Vec<Seed>) -> mpsc::Receiver<Vec<SocketAddr>> {
    let (found, addresses) = mpsc::channel(1);
    if !seeds.is_empty() {
        tasks.spawn_until_stop(resolve_for_ever(seeds, found));
    }
    addresses
}

async fn resolve_for_ever(seeds: Vec<Seed>, found: mpsc::Sender<Vec<SocketAddr>>) {
    let mut known: BTreeMap<&Seed, Vec<SocketAddr>> = BTreeMap::new();
    let mut told = None;
    let mut failures = 0_u32;
    loop {
        let mut all_well = true;
        for seed in &seeds {
            match resolve(seed).await {
                Ok(addresses) => drop(known.insert(seed, addresses)),
                Err(error) => {
                    all_well = false;
                    if failures == 0 {
                        tracing::warn!("cannot resolve the seed {seed}: {error}; trying again");
                    }
                }
            }
        }
        let mut all: Vec<SocketAddr> = known.values().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        if told.as_ref() != Some(&all) {
            told = Some(all.clone());
            if found.send(all).await.is_err() {
                return;
            }
        }
        failures = if all_well {
            0
        } else {
            failures.saturating_add(1)
        };
        let retry = RETRY.saturating_mul(1 << failures.min(6)).min(PERIOD);
        let pause = if all_well { PERIOD } else { retry };
        tokio::time::sleep(pause).await;
    }
}

async fn resolve(seed: &Seed) -> Result<Vec<SocketAddr>, String> {
    let lookup = tokio::net::lookup_host((seed.host.as_str(), seed.port));
    match tokio::time::timeout(PATIENCE, lookup).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_late) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_host_with_or_without_a_port() {
        for (text, shown) in [
            ("db", "db:8000"),
            ("db.example:9000", "db.example:9000"),
            ("10.0.0.1", "10.0.0.1:8000"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("::1", "[::1]:8000"),
            ("[::1]", "[::1]:8000"),
            ("[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(text.parse::<Seed>().unwrap().to_string(), shown);
        }
        for text in [
            "", ":1", "a:", "a:b", "a:0", "a:70000", "a/b", "a b:1", "[x]:1",
        ] {
            assert_eq!(text.parse::<Seed>(), Err(SeedError(text.to_owned())));
        }
    }

    #[tokio::test]
    async fn all_addresses_of_all_seeds_come_out() {
        let tasks = Tasks::new();
        let seeds = ["127.0.0.2:9", "127.0.0.1:8", "127.0.0.1:8"];
        let seeds = seeds.map(|text| text.parse().unwrap()).to_vec();
        let mut found = resolver(&tasks, seeds);
        let expected = ["127.0.0.1:8", "127.0.0.2:9"].map(|text| text.parse().unwrap());
        assert_eq!(found.recv().await.unwrap(), expected);
        assert!(resolver(&tasks, vec![]).recv().await.is_none());
    }
}
