//! Which of the host's interfaces and addresses are used for datagrams.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use if_addrs::{IfAddr, Interface};

/// Which interfaces the operator wants (`--interface`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InterfaceChoice {
    /// All that are up, have an address and are no loopback; the loopback if there is no other.
    #[default]
    Usual,
    /// Those with one of these names or addresses.
    Only(Vec<String>),
}

/// An address on an interface that is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The interface's name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Our address on it.
    pub address: IpAddr,
    /// How many leading bits of the address are the network's.
    pub prefix: u8,
}

impl Place {
    /// Whether `other` is on the same link.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differ = u32::from(ours) ^ u32::from(theirs);
                differ.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differ = u128::from(ours) ^ u128::from(theirs);
                differ.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

/// The places to use, the one to tell others first; and what was asked for but is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The places, the first being where we are best reached.
    pub places: Vec<Place>,
    /// The names and addresses of the choice that match nothing now.
    pub missing: Vec<String>,
}

/// The interfaces as they are now.
///
/// # Errors
/// If the system does not tell.
pub fn interfaces(choice: &InterfaceChoice) -> io::Result<Chosen> {
    if_addrs::get_if_addrs().map(|all| choose(&all, choice))
}

fn choose(all: &[Interface], choice: &InterfaceChoice) -> Chosen {
    let up: Vec<&Interface> = all
        .iter()
        .filter(|interface| interface.is_oper_up() && interface.index.is_some())
        .collect();
    let (wanted, missing) = match choice {
        InterfaceChoice::Usual => (usual(&up), vec![]),
        InterfaceChoice::Only(names) => only(&up, names),
    };
    let mut places: Vec<Place> = wanted.into_iter().filter_map(place).collect();
    places.sort_by_key(|place| (rank(place.address), place.index, place.address));
    Chosen { places, missing }
}

/// Addresses that others reach best come first.
fn rank(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(v4) => u8::from(v4.is_link_local()) * 2,
        IpAddr::V6(v6) => 1 + u8::from(v6.is_unicast_link_local()) * 2,
    }
}

fn usual<'a>(up: &[&'a Interface]) -> Vec<&'a Interface> {
    let loopbacks: BTreeSet<&str> = up
        .iter()
        .filter(|interface| interface.is_loopback())
        .map(|interface| interface.name.as_str())
        .collect();
    let real: Vec<&Interface> = up
        .iter()
        .filter(|interface| !loopbacks.contains(interface.name.as_str()))
        .copied()
        .collect();
    if real.is_empty() {
        let loopback = up.iter().filter(|interface| interface.is_loopback());
        let v4 = loopback.filter(|interface| interface.ip().is_ipv4());
        return v4.copied().take(1).collect();
    }
    // The host's ends of containers have nothing but link-local addresses, and no use for us.
    let routable = real.iter().any(|interface| !interface.is_link_local());
    let named = |name: &str| -> Vec<&'a Interface> {
        let own = real.iter().filter(|interface| interface.name == name);
        best(&own.copied().collect::<Vec<_>>())
    };
    let all: BTreeSet<&str> = real.iter().map(|interface| &*interface.name).collect();
    let places = all.into_iter().flat_map(named);
    places
        .filter(|interface| !(routable && interface.is_link_local()))
        .collect()
}

/// Of an interface's addresses one of each family; a link-local one only if there is no other.
fn best<'a>(own: &[&'a Interface]) -> Vec<&'a Interface> {
    let first = |v4: bool, link_local: bool| {
        own.iter().copied().find(|interface| {
            interface.ip().is_ipv4() == v4 && interface.is_link_local() == link_local
        })
    };
    let routable: Vec<_> = [first(true, false), first(false, false)]
        .into_iter()
        .flatten()
        .collect();
    if !routable.is_empty() {
        return routable;
    }
    let link_local = first(true, true).or_else(|| first(false, true));
    link_local.into_iter().collect()
}

fn only<'a>(up: &[&'a Interface], names: &[String]) -> (Vec<&'a Interface>, Vec<String>) {
    let mut wanted: Vec<&Interface> = vec![];
    let mut missing = vec![];
    for name in names {
        let found = if let Ok(address) = name.parse::<IpAddr>() {
            let at = up.iter().filter(|interface| interface.ip() == address);
            at.copied().take(1).collect()
        } else {
            let own = up.iter().filter(|interface| interface.name == *name);
            best(&own.copied().collect::<Vec<_>>())
        };
        if found.is_empty() {
            missing.push(name.clone());
        }
        for interface in found {
            if !wanted.contains(&interface) {
                wanted.push(interface);
            }
        }
    }
    (wanted, missing)
}

fn place(interface: &Interface) -> Option<Place> {
    let prefix = match &interface.addr {
        IfAddr::V4(v4) => v4.prefixlen,
        IfAddr::V6(v6) => v6.prefixlen,
    };
    Some(Place {
        name: interface.name.clone(),
        index: interface.index?,
        address: interface.ip(),
        prefix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::{IfOperStatus, Ifv4Addr, Ifv6Addr};

    fn interface(name: &str, index: u32, address: &str, prefixlen: u8) -> Interface {
        let addr = match address.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr {
                ip,
                netmask: [0, 0, 0, 0].into(),
                prefixlen,
                broadcast: None,
            }),
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr {
                ip,
                netmask: [0; 16].into(),
                prefixlen,
                broadcast: None,
            }),
        };
        Interface {
            name: name.to_owned(),
            addr,
            index: Some(index),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
        }
    }

    fn host() -> Vec<Interface> {
        let mut down = interface("eth9", 9, "10.9.0.1", 24);
        down.oper_status = IfOperStatus::Unknown;
        vec![
            interface("lo", 1, "127.0.0.1", 8),
            interface("lo", 1, "::1", 128),
            interface("lo", 1, "10.255.0.1", 32),
            interface("docker0", 4, "172.17.0.1", 16),
            interface("veth1", 7, "fe80::7", 64),
            interface("eth0", 2, "fe80::2", 64),
            interface("eth0", 2, "2001:db8::2", 64),
            interface("eth0", 2, "10.0.0.2", 24),
            interface("eth0", 2, "10.0.0.3", 24),
            interface("usb0", 3, "169.254.1.1", 16),
            down,
        ]
    }

    fn chosen(all: &[Interface], choice: &InterfaceChoice) -> Vec<String> {
        let places = choose(all, choice).places;
        let shown = places.iter().map(|p| format!("{} {}", p.name, p.address));
        shown.collect()
    }

    #[test]
    fn usually_all_that_are_up_and_lead_somewhere_are_used() {
        let expected = ["eth0 10.0.0.2", "docker0 172.17.0.1", "eth0 2001:db8::2"];
        assert_eq!(chosen(&host(), &InterfaceChoice::Usual), expected);
    }

    #[test]
    fn the_loopback_is_used_if_there_is_no_other() {
        let alone = &host()[..3];
        assert_eq!(chosen(alone, &InterfaceChoice::Usual), ["lo 127.0.0.1"]);
        assert_eq!(chosen(&[], &InterfaceChoice::Usual), [""; 0]);
    }

    #[test]
    fn a_link_local_address_is_used_if_there_is_no_other() {
        let link = &host()[4..6];
        let expected = ["eth0 fe80::2", "veth1 fe80::7"];
        assert_eq!(chosen(link, &InterfaceChoice::Usual), expected);
    }

    #[test]
    fn the_operator_names_interfaces_or_addresses() {
        let cases: [(&[&str], &[&str], &[&str]); 4] = [
            (
                &["lo"],
                &["lo 10.255.0.1", "lo 127.0.0.1", "lo ::1"][1..],
                &[],
            ),
            (&["127.0.0.1"], &["lo 127.0.0.1"], &[]),
            (
                &["10.0.0.3", "usb0"],
                &["eth0 10.0.0.3", "usb0 169.254.1.1"],
                &[],
            ),
            (
                &["eth9", "eth7", "veth1"],
                &["veth1 fe80::7"],
                &["eth9", "eth7"],
            ),
        ];
        for (names, expected, missing) in cases {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let choice = InterfaceChoice::Only(names);
            assert_eq!(chosen(&host(), &choice), expected, "{choice:?}");
            assert_eq!(choose(&host(), &choice).missing, missing);
        }
    }

    #[test]
    fn a_place_knows_its_neighbours() {
        let place = place(&interface("eth0", 2, "10.0.0.2", 24)).unwrap();
        assert!(place.contains("10.0.0.77".parse().unwrap()));
        assert!(!place.contains("10.0.1.77".parse().unwrap()));
        assert!(!place.contains("fe80::1".parse().unwrap()));
    }
}
