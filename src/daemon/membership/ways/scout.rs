//! The task that looks at one way.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::{News, Way};
use crate::config::{DnsName, Endpoint, HOSTS_FILE_BYTES, hosts_of};
use crate::io::dns::NameServers;
use crate::io::{clock, random};

/// How often the hosts of a list are resolved again while that works.
const PERIOD: Duration = Duration::from_secs(30);
/// How soon after the first failure; doubles with each, up to `PERIOD`.
const RETRY: Duration = Duration::from_secs(1);
/// The least and the longest pause between two questions for a name: what a name server says of
/// how long its answer holds counts within these. A name without records is asked for soon again.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_secs(30);
/// How often a file is looked at.
const LOOK_AT_FILE: Duration = Duration::from_secs(1);
/// How long the system's resolver may take for one host.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many hosts of a file are resolved at once.
const AT_ONCE: usize = 8;

/// Looks at one way for ever.
pub(super) struct Scout {
    place: usize,
    shown: String,
    way: Way,
    servers: NameServers,
    out: mpsc::Sender<News>,
    rng: StdRng,
    failures: u32,
    /// What was told last: addresses, and the trouble.
    addresses: Option<Vec<SocketAddr>>,
}

/// What one look brought.
struct Look {
    /// `None`: what was found before still counts.
    addresses: Option<Vec<SocketAddr>>,
    trouble: Option<String>,
    /// When to look again, if nothing was wrong.
    again: Duration,
}

impl Scout {
    pub(super) fn new(
        place: usize,
        way: Way,
        resolv_conf: PathBuf,
        out: mpsc::Sender<News>,
    ) -> Self {
        Self {
            place,
            shown: way.shown(),
            way,
            servers: NameServers::of(resolv_conf),
            out,
            rng: StdRng::seed_from_u64(random::seed()),
            failures: 0,
            addresses: None,
        }
    }

    /// Ends when nobody takes the news any more, or nothing can change.
    pub(super) async fn run(mut self) {
        if let Way::File(path) = &self.way {
            let path = path.clone();
            return self.watch(&path).await;
        }
        loop {
            let look = match &self.way {
                Way::Host(host) => list(std::slice::from_ref(host)).await,
                Way::Name(name) => ask(&mut self.servers, name).await,
                Way::File(_) => return,
            };
            let pause = self.pause(&look);
            let is_fixed = matches!(&self.way, Way::Host(host) if host.address().is_some());
            if self.tell(look).await.is_err() || is_fixed {
                return;
            }
            clock::sleep_until(clock::mono().plus(pause)).await;
        }
    }

    /// Looks at a file every second, and resolves its hosts when it has changed or it is time.
    async fn watch(&mut self, path: &Path) {
        let mut seen: Option<Result<Stamp, String>> = None;
        let mut due = clock::mono();
        loop {
            let now = stamp(path).await;
            if seen.as_ref() != Some(&now) || due <= clock::mono() {
                let look = match &now {
                    Ok(_) => read(path).await,
                    Err(why) => Look::failed(why.clone()),
                };
                // A file that is not there changes nothing until it is; bad lines do not, either.
                due = clock::mono().plus(self.pause(&look).max(LOOK_AT_FILE));
                if seen.is_some_and(|seen| seen != now) && look.trouble.is_some() {
                    // What is wrong with the new contents is worth saying.
                    self.failures = 0;
                }
                seen = Some(now);
                if self.tell(look).await.is_err() {
                    return;
                }
            }
            clock::sleep_until(clock::mono().plus(LOOK_AT_FILE)).await;
        }
    }

    fn pause(&mut self, look: &Look) -> Duration {
        let after_failures = RETRY.saturating_mul(1 << self.failures.min(6));
        let pause = match look.trouble {
            Some(_) => after_failures.min(PERIOD),
            None => look.again,
        };
        pause.mul_f64(self.rng.random_range(0.8..1.2))
    }

    /// Passes on what was found, and says it in the log if it is new. What is wrong is said once,
    /// not each time.
    async fn tell(&mut self, look: Look) -> Result<(), ()> {
        let way = &self.shown;
        match &look.trouble {
            Some(trouble) if self.failures == 0 => {
                tracing::warn!("--discover {way}: {trouble}; trying again");
            }
            Some(trouble) => tracing::debug!("--discover {way}: {trouble}"),
            None if self.failures > 0 => tracing::info!("--discover {way}: all well again"),
            None => {}
        }
        self.failures = match look.trouble {
            Some(_) => self.failures.saturating_add(1),
            None => 0,
        };
        if look.addresses.is_some() && look.addresses != self.addresses {
            self.addresses.clone_from(&look.addresses);
            let all = self.addresses.iter().flatten().map(ToString::to_string);
            match all.collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => tracing::info!("--discover {way}: no address"),
                all => tracing::info!("--discover {way}: {all}"),
            }
        }
        let news = News {
            way: self.place,
            addresses: look.addresses,
            trouble: look.trouble,
        };
        self.out.send(news).await.map_err(|_| ())
    }
}

impl Look {
    fn failed(trouble: String) -> Self {
        Self {
            addresses: None,
            trouble: Some(trouble),
            again: RETRY,
        }
    }
}

async fn ask(servers: &mut NameServers, name: &DnsName) -> Look {
    let asked = if name.is_service() {
        servers.service(&name.name).await
    } else {
        servers.addresses(&name.name, name.api_port()).await
    };
    match asked {
        Ok(found) => Look {
            addresses: Some(found.addresses),
            trouble: None,
            again: found.holds.unwrap_or_default().clamp(SOONEST, LATEST),
        },
        Err(why) => Look::failed(why.to_string()),
    }
}

/// Resolves all hosts. If one cannot be, the others count; if none can, nothing changes.
async fn list(hosts: &[Endpoint]) -> Look {
    let hosts = hosts.iter().cloned();
    let asking = hosts.map(|host| async move {
        let found = resolve(&host).await;
        (host, found)
    });
    let mut asking = stream::iter(asking).buffered(AT_ONCE);
    let (mut addresses, mut failed) = (vec![], vec![]);
    while let Some((host, asked)) = asking.next().await {
        match asked {
            Ok(found) => addresses.extend(found),
            Err(why) => failed.push(format!("cannot resolve {host}: {why}")),
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    let nothing = addresses.is_empty() && !failed.is_empty();
    Look {
        addresses: (!nothing).then_some(addresses),
        trouble: first_of(&failed),
        again: PERIOD,
    }
}

/// By what a changed file is known.
type Stamp = (Option<SystemTime>, u64);

async fn stamp(path: &Path) -> Result<Stamp, String> {
    match tokio::fs::metadata(path).await {
        Ok(about) if about.is_file() => Ok((about.modified().ok(), about.len())),
        Ok(_) => Err("it is no file".to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

async fn read(path: &Path) -> Look {
    let text = match text_of(path).await {
        Ok(text) => text,
        Err(why) => return Look::failed(why),
    };
    let (hosts, bad) = hosts_of(&text);
    let mut look = list(&hosts).await;
    let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
    look.trouble = first_of(&bad).or(look.trouble);
    look
}

/// The text of a file; what is no UTF-8 in it is in lines that name no host.
async fn text_of(path: &Path) -> Result<String, String> {
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|why| why.to_string())?;
    let mut bytes = Vec::new();
    let most = HOSTS_FILE_BYTES as u64 + 1;
    let read = file.take(most).read_to_end(&mut bytes).await;
    read.map_err(|why| why.to_string())?;
    if bytes.len() > HOSTS_FILE_BYTES {
        return Err(format!("it is larger than {} KiB", HOSTS_FILE_BYTES >> 10));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn first_of(troubles: &[String]) -> Option<String> {
    let (first, more) = troubles.split_first()?;
    Some(match more.len() {
        0 => first.clone(),
        more => format!("{first} (and {more} more)"),
    })
}

async fn resolve(host: &Endpoint) -> Result<Vec<SocketAddr>, String> {
    let port = host.api_port();
    if let Some(address) = host.address() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let lookup = tokio::net::lookup_host((host.host.as_str(), port));
    match tokio::time::timeout(PATIENCE, lookup).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_late) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
