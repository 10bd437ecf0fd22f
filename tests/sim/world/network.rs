//! The network between hosts: each direction of each link has its own losses, delays and cuts.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

/// One direction of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// Nothing gets through.
    pub(crate) cut: bool,
    /// The share of datagrams that are lost.
    pub(crate) loss: f64,
    /// The share of datagrams that arrive twice.
    pub(crate) twice: f64,
    /// The share of HTTPS answers that are lost with their connection, the request applied.
    pub(crate) broken: f64,
    /// The longest that something is under way; the shortest is a tenth of a millisecond.
    pub(crate) slowest: Duration,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            cut: false,
            loss: 0.0,
            twice: 0.0,
            broken: 0.0,
            slowest: Duration::from_millis(1),
        }
    }
}

impl Link {
    /// How long something is under way.
    pub(crate) fn delay(&self, random: &mut StdRng) -> Duration {
        let slowest = u64::try_from(self.slowest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random.random_range(100..=slowest.max(101)))
    }
}

/// All links.
#[derive(Debug)]
pub(crate) struct Network {
    hosts: usize,
    links: Vec<Link>,
}

impl Network {
    /// Perfect links between so many hosts.
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            hosts,
            links: vec![Link::default(); hosts * hosts],
        }
    }

    /// The link from one host to another.
    pub(crate) fn link(&self, from: usize, to: usize) -> &Link {
        &self.links[from * self.hosts + to]
    }

    /// All links between different hosts, with their ends.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = (usize, usize, &mut Link)> {
        let hosts = self.hosts;
        let with_ends = move |(place, link)| (place / hosts, place % hosts, link);
        let links = self.links.iter_mut().enumerate().map(with_ends);
        links.filter(|(from, to, _)| from != to)
    }

    /// Makes everything well.
    pub(crate) fn heal(&mut self) {
        self.links.fill(Link::default());
    }
}
