//! The names in a leaf: what clients call a member, and what peers call it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls::pki_types::{DnsName, ServerName};

use crate::model::MemberId;

/// The name that every member's leaf has: asked for by a peer that does not know the id yet.
pub const PEER_NAME: &str = "peer.gaggle.internal";
const PEER_SUFFIX: &str = ".gaggle.internal";
/// The most names and the most addresses in a leaf: a bound on its size.
const MOST: usize = 100;

/// The name that only this member's leaf has.
pub(crate) fn member_name(member: MemberId) -> String {
    format!("{member}.member{PEER_SUFFIX}")
}

/// Whether a client that asks for this name is a peer, which must show a certificate.
pub(crate) fn is_peer_name(name: &str) -> bool {
    let at = name.len().saturating_sub(PEER_SUFFIX.len());
    name.get(at..)
        .is_some_and(|end| end.eq_ignore_ascii_case(PEER_SUFFIX))
}

/// The name to ask of a peer: its own if its id is known.
pub(crate) fn server_name(member: Option<MemberId>) -> ServerName<'static> {
    let name = member.map_or_else(|| PEER_NAME.to_owned(), member_name);
    ServerName::try_from(name).expect("letters, digits and dots are a DNS name")
}

/// What clients may call this member: names and addresses, sorted, each once. The loopback's names
/// are always among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafNames {
    dns: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl LeafNames {
    /// From texts that are each a name or an address. What is neither (a host name that DNS does
    /// not allow) cannot stand in a certificate and is left out, as is what exceeds 100 of a kind.
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut names = Self {
            dns: vec!["localhost".to_owned()],
            addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        };
        for text in texts {
            names.add(text.as_ref());
        }
        names.dns.sort_unstable();
        names.addresses.sort_unstable();
        names
    }

    /// The DNS names.
    pub fn dns(&self) -> &[String] {
        &self.dns
    }

    /// The addresses.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    fn add(&mut self, text: &str) {
        let text = text.trim().trim_end_matches('.');
        if let Ok(address) = text.parse::<IpAddr>() {
            push_new(&mut self.addresses, address.to_canonical());
        } else if DnsName::try_from(text).is_ok() && !is_peer_name(text) {
            push_new(&mut self.dns, text.to_ascii_lowercase());
        }
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < MOST && !list.contains(&item) {
        list.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart_and_kept_once() {
        let names = LeafNames::new(["b", "A.example.", "10.0.0.1", "b", "::1", "fe80::1"]);
        assert_eq!(names.dns(), ["a.example", "b", "localhost"]);
        let shown: Vec<_> = names.addresses().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.1", "127.0.0.1", "::1", "fe80::1"]);
        let other_order = LeafNames::new(["fe80::1", "10.0.0.1", "a.example", "b"]);
        assert_eq!(names, other_order);
    }

    #[test]
    fn what_cannot_stand_in_a_certificate_is_left_out() {
        let names = LeafNames::new(["", "a b", "ä", "x..y", "-", "member.gaggle.internal"]);
        assert_eq!(names, LeafNames::new::<&str>([]));
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let names = LeafNames::new((0..1000).map(|n| format!("host-{n}")));
        assert_eq!(names.dns().len(), MOST);
    }

    #[test]
    fn peers_are_known_by_the_name_they_ask_for() {
        let own = member_name(MemberId::from_u64(0xab));
        assert_eq!(own, "00000000000000ab.member.gaggle.internal");
        for peer in [own.as_str(), PEER_NAME, "PEER.Gaggle.Internal"] {
            assert!(is_peer_name(peer), "{peer}");
        }
        for client in [
            "",
            "localhost",
            "gaggle.internal",
            "ü.internal",
            "x.gaggle.internal.evil",
        ] {
            assert!(!is_peer_name(client), "{client}");
        }
    }
}
