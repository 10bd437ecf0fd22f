//! A host: an address, a clock, a disk, and perhaps a running process.

use std::net::SocketAddr;
use std::time::Duration;

use gaggle::io::disk::DiskState;
use gaggle::model::{MemberId, Store};
use gaggle::protocol::Mono;

use super::clock::WallClock;
use super::medium::SimMedium;
use crate::invariants::Belief;
use crate::member::Process;

/// One host.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) clock: WallClock,
    pub(crate) disk: SimMedium,
    /// The member whose disk it is, once that is known.
    pub(crate) member: Option<MemberId>,
    /// When its disk was replaced last.
    pub(crate) replaced: Mono,
    /// What is known of what this disk holds.
    pub(crate) belief: Belief,
    /// What the process had published when it ended.
    pub(crate) last: Store,
    /// The file `generation` of the data directory.
    pub(crate) generation: u64,
    pub(crate) process: Option<Process>,
    /// Counts starts.
    pub(crate) boot: u64,
    /// When it is woken next.
    pub(crate) wake: Option<Mono>,
    /// Acts that are still done before it is killed.
    pub(crate) acts_left: Option<u32>,
    /// How long a commit takes at most.
    pub(crate) disk_time: Duration,
    /// How much later it does what it has to.
    pub(crate) slowness: Duration,
    /// Which release its program is: another speaks another version of messages.
    pub(crate) release: u8,
    /// The host of which this is a clone.
    pub(crate) clone_of: Option<usize>,
    /// Not to be started before somebody says so.
    pub(crate) absent: bool,
    /// Its memory or disk flipped bits: what it lost is damage, not a fault of the program.
    pub(crate) damaged: bool,
}

impl Host {
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        Self {
            address: address(number),
            clock: WallClock::default(),
            disk: SimMedium::new(seed),
            member: None,
            replaced: Mono::default(),
            belief: Belief::default(),
            last: Store::new(),
            generation: 0,
            process: None,
            boot: 0,
            wake: None,
            acts_left: None,
            disk_time: Duration::from_millis(2),
            slowness: Duration::ZERO,
            release: 0,
            clone_of: None,
            absent: false,
            damaged: false,
        }
    }

    /// Whether its disk failed, so that it takes no writes before a restart.
    pub(crate) fn is_fenced(&self) -> bool {
        let state = self.process.as_ref().map(|at| at.app.disk().state());
        matches!(state, Some(DiskState::Fenced(_)))
    }

    /// The store as readers see it, or as it was when the process ended.
    pub(crate) fn store(&self) -> Store {
        match &self.process {
            Some(process) => process.app.view().store.clone(),
            None => self.last.clone(),
        }
    }
}

/// Where a host receives datagrams.
pub(crate) fn address(number: usize) -> SocketAddr {
    let low = u8::try_from(number % 250 + 1).unwrap_or(1);
    let high = u8::try_from(number / 250).unwrap_or(0);
    SocketAddr::from(([10, 0, high, low], 2_900))
}

/// Which host has this address.
pub(crate) fn number_of(address: SocketAddr) -> Option<usize> {
    match address {
        SocketAddr::V4(at) => {
            let [_, _, high, low] = at.ip().octets();
            Some(usize::from(high) * 250 + usize::from(low) - 1)
        }
        SocketAddr::V6(_) => None,
    }
}
