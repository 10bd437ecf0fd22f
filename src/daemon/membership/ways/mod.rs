//! The ways in which members to dial are found: hosts from the list, names asked of a name server,
//! files. Each is looked at by a task of its own, again and again.
//!
//! What comes out is a hint. An answer that is empty leaves nobody to dial, but removes no member;
//! a question without an answer changes nothing at all.

mod report;
mod scout;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use self::scout::Scout;
use crate::config::{Discover, DnsName, Endpoint};
use crate::io::clock;
use crate::io::tasks::Tasks;
use crate::protocol::dialer::Outcome;

pub use report::{Tried, WayReport};

/// How much news of ways waits for the driver; whoever has more waits until there is room.
const NEWS: usize = 16;

/// One way to find members.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// A host by name or address (`static:`).
    Host(Endpoint),
    /// A name that a name server knows (`dns:`).
    Name(DnsName),
    /// A file of hosts (`file:`).
    File(PathBuf),
}

impl Way {
    fn all(discover: &Discover) -> Vec<Self> {
        let hosts = discover.contacts.iter().cloned().map(Self::Host);
        let names = discover.names.iter().cloned().map(Self::Name);
        let files = discover.files.iter().cloned().map(Self::File);
        hosts.chain(names).chain(files).collect()
    }

    /// As it stands in `--discover`.
    fn shown(&self) -> String {
        match self {
            Self::Host(host) => format!("static:{host}"),
            Self::Name(name) => format!("dns:{name}"),
            Self::File(path) => format!("file:{}", path.display()),
        }
    }
}

/// What a look at one way brought.
#[derive(Debug)]
pub(super) struct News {
    /// Which way, by its place.
    way: usize,
    /// Where members may answer; `None`: nothing new is known.
    addresses: Option<Vec<SocketAddr>>,
    /// What went wrong.
    trouble: Option<String>,
}

/// All ways, with what each brought last.
pub(super) struct Ways {
    reports: Vec<WayReport>,
    /// Why an address that was tried did not lead to a member.
    failures: BTreeMap<SocketAddr, String>,
    told: Option<Vec<SocketAddr>>,
    out: watch::Sender<Arc<Vec<WayReport>>>,
}

/// Starts to look; gives where the news comes out, and who keeps it.
pub(super) fn start(
    tasks: &Tasks,
    discover: &Discover,
    resolv_conf: &std::path::Path,
) -> (
    mpsc::Receiver<News>,
    Ways,
    watch::Receiver<Arc<Vec<WayReport>>>,
) {
    let (found, news) = mpsc::channel(NEWS);
    let ways = Way::all(discover);
    let reports: Vec<WayReport> = ways.iter().map(|way| WayReport::new(way.shown())).collect();
    for (place, way) in ways.into_iter().enumerate() {
        let scout = Scout::new(place, way, resolv_conf.to_owned(), found.clone());
        tasks.spawn_until_stop(scout.run());
    }
    let (out, seen) = watch::channel(Arc::new(reports.clone()));
    let ways = Ways {
        reports,
        failures: BTreeMap::new(),
        told: None,
        out,
    };
    (news, ways, seen)
}

impl Ways {
    /// Takes news; gives all addresses to dial if they are others than before.
    pub(super) fn take(&mut self, news: News) -> Option<Vec<SocketAddr>> {
        let report = self.reports.get_mut(news.way)?;
        report.asked = Some(clock::wall());
        report.trouble = news.trouble;
        if let Some(addresses) = news.addresses {
            let old = std::mem::take(&mut report.found);
            let outcome = |at: &SocketAddr| {
                let known = old.iter().find(|(address, _)| address == at);
                known.map_or(Tried::NotYet, |(_, tried)| tried.clone())
            };
            report.found = addresses.iter().map(|at| (*at, outcome(at))).collect();
        }
        let all = self.reports.iter().flat_map(|report| &report.found);
        let mut all: Vec<SocketAddr> = all.map(|(address, _)| *address).collect();
        all.sort_unstable();
        all.dedup();
        self.failures
            .retain(|address, _| all.binary_search(address).is_ok());
        self.publish();
        let changed = self.told.as_ref() != Some(&all);
        changed.then(|| self.told.insert(all).clone())
    }

    /// Why the dial of `address` that is about to be told failed.
    pub(super) fn failed(&mut self, address: SocketAddr, why: String) {
        if self.leads_to(address) {
            self.failures.insert(address, why);
        }
    }

    /// Notes how a dial of `address` ended.
    pub(super) fn tried(&mut self, address: SocketAddr, outcome: Option<Outcome>) {
        if !self.leads_to(address) {
            return;
        }
        let failure = self.failures.remove(&address);
        let tried = match outcome {
            None => return,
            Some(Outcome::Met(member)) => Tried::Member(member),
            Some(Outcome::Ourselves) => Tried::Ourselves,
            Some(Outcome::Failed) => {
                let why = "it is no member of this cluster".to_owned();
                Tried::Failed(failure.unwrap_or(why))
            }
        };
        let mut changed = false;
        for report in &mut self.reports {
            let those = report.found.iter_mut().filter(|(at, _)| *at == address);
            for (_, old) in those {
                changed |= *old != tried;
                *old = tried.clone();
            }
        }
        if changed {
            self.publish();
        }
    }

    fn leads_to(&self, address: SocketAddr) -> bool {
        let told = self.told.as_ref();
        told.is_some_and(|told| told.binary_search(&address).is_ok())
    }

    fn publish(&self) {
        self.out.send_replace(Arc::new(self.reports.clone()));
    }
}
