//! How many connections there may be, how many from one address, and the reserve for peers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::counters::ServeCounters;
use super::limits::ServeLimits;

/// Hands out slots for connections.
pub(super) struct Admission {
    most: usize,
    for_clients: usize,
    per_address: usize,
    counters: Arc<ServeCounters>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right to one connection; dropping it gives it back.
pub(super) struct Slot {
    admission: Arc<Admission>,
    counted_as: Option<IpAddr>,
    reserve: bool,
}

impl Admission {
    pub(super) fn new(limits: &ServeLimits, counters: Arc<ServeCounters>) -> Arc<Self> {
        let most = limits.connections.max(1);
        Arc::new(Self {
            most,
            for_clients: most.saturating_sub(limits.reserved_for_peers).max(1),
            per_address: limits.connections_per_address.max(1),
            counters,
            taken: Mutex::default(),
        })
    }

    /// A slot for a connection from `remote`; `None` (and counted) if there is none to be had.
    pub(super) fn admit(self: &Arc<Self>, remote: IpAddr) -> Option<Slot> {
        ServeCounters::count(&self.counters.accepted);
        let slot = self.take(remote);
        let counter = match slot {
            Some(_) => &self.counters.open,
            None => &self.counters.refused_by_limit,
        };
        ServeCounters::count(counter);
        slot
    }

    fn take(self: &Arc<Self>, remote: IpAddr) -> Option<Slot> {
        let counted_as = network(remote);
        let mut taken = self.taken.lock();
        if taken.all >= self.most {
            return None;
        }
        if let Some(network) = counted_as {
            let count = taken.by_address.entry(network).or_default();
            if *count >= self.per_address {
                return None;
            }
            *count += 1;
        }
        taken.all += 1;
        Some(Slot {
            admission: self.clone(),
            counted_as,
            reserve: taken.all > self.for_clients,
        })
    }

    fn give_back(&self, counted_as: Option<IpAddr>) {
        let mut taken = self.taken.lock();
        taken.all -= 1;
        if let Some(network) = counted_as
            && let Some(count) = taken.by_address.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&network);
            }
        }
    }
}

impl Slot {
    /// Whether this slot is of the reserve, which only a peer may keep.
    pub(super) fn is_for_peers_only(&self) -> bool {
        self.reserve
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.give_back(self.counted_as);
        self.admission.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What an address is counted as: itself, for IPv6 its /64 network; `None` for the loopback.
fn network(address: IpAddr) -> Option<IpAddr> {
    match address {
        loopback if loopback.is_loopback() => None,
        IpAddr::V4(_) => Some(address),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, reserved: usize, per_address: usize) -> Arc<Admission> {
        let limits = ServeLimits {
            connections,
            reserved_for_peers: reserved,
            connections_per_address: per_address,
            ..ServeLimits::default()
        };
        Admission::new(&limits, Arc::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_slots_are_for_peers_only_and_then_there_are_none() {
        let admission = admission(3, 1, 100);
        let slots: Vec<_> = (0..3)
            .filter_map(|_| admission.admit(ip("10.0.0.1")))
            .collect();
        let reserve: Vec<_> = slots.iter().map(Slot::is_for_peers_only).collect();
        assert_eq!(reserve, [false, false, true]);
        assert!(admission.admit(ip("10.0.0.2")).is_none());
        drop(slots);
        assert!(!admission.admit(ip("10.0.0.2")).unwrap().is_for_peers_only());
        assert_eq!(ServeCounters::read(&admission.counters.accepted), 5);
        assert_eq!(ServeCounters::read(&admission.counters.refused_by_limit), 1);
        assert_eq!(ServeCounters::read(&admission.counters.open), 0);
    }

    #[test]
    fn one_address_cannot_take_all_and_the_loopback_is_exempt() {
        let admission = admission(100, 0, 2);
        let mut slots = Vec::new();
        for (from, fits) in [
            ("10.0.0.1", true),
            ("10.0.0.1", true),
            ("10.0.0.1", false),
            ("10.0.0.2", true),
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("2001:db8::3", false),
            ("2001:db8:0:1::3", true),
            ("127.0.0.1", true),
            ("127.0.0.1", true),
            ("127.0.0.1", true),
        ] {
            let slot = admission.admit(ip(from));
            assert_eq!(slot.is_some(), fits, "{from}");
            slots.extend(slot);
        }
        drop(slots);
        let taken = admission.taken.lock();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }
}
