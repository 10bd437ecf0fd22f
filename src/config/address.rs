//! Hosts and ports as text.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The port of the REST API where none is said.
pub(super) const API_PORT: u16 = 8000;

/// A host name or address, and a port where one was said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A DNS name or an IP address (without brackets).
    pub host: String,
    /// The port, if one was said.
    pub port: Option<u16>,
}

impl Endpoint {
    /// The host as an address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port; that of the REST API where none was said.
    pub fn api_port(&self) -> u16 {
        self.port.unwrap_or(API_PORT)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads `host`, `host:port`, `192.0.2.1:8000`, `::1` or `[::1]:8000`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self {
                host: text.to_owned(),
                port: None,
            });
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("the closing ] is missing")?;
                host.parse::<Ipv6Addr>()
                    .map_err(|_| "no IPv6 address between [ and ]")?;
                (host, port)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        if !is_host(host) {
            return Err("no host name or address".to_owned());
        }
        let port = match port.strip_prefix(':') {
            Some(port) => Some(port_number(port)?),
            None if port.is_empty() => None,
            None => return Err("something else than a port follows the address".to_owned()),
        };
        let host = host.to_owned();
        Ok(Self { host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
            (None, _) => f.write_str(&self.host),
        }
    }
}

fn port_number(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port| *port > 0 && !text.starts_with('+'))
        .ok_or_else(|| "the port is no number from 1 to 65535".to_owned())
}

fn is_host(text: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.parse::<IpAddr>().is_ok()
        || ((1..=253).contains(&text.len()) && text.chars().all(word) && !text.starts_with('.'))
}

/// Where to listen: the first address that can be bound. The default is port 8000 on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address to bind. Port 0 lets the system choose one.
    pub first: SocketAddr,
    /// What to bind instead where the host has no IPv6: set if `first` is the IPv6 wildcard.
    pub without_ipv6: Option<SocketAddr>,
}

impl FromStr for Listen {
    type Err = String;

    /// Reads `address:port`, or `port` or `:port` for all addresses.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix(':').unwrap_or(text);
        if !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()) {
            let port = bare.parse().map_err(|_| "the port is beyond 65535")?;
            return Ok(Self::all(port));
        }
        let first: SocketAddr = text.parse().map_err(|_| "no address with a port")?;
        if first.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            return Ok(Self::all(first.port()));
        }
        Ok(Self {
            first,
            without_ipv6: None,
        })
    }
}

impl Listen {
    fn all(port: u16) -> Self {
        Self {
            first: (Ipv6Addr::UNSPECIFIED, port).into(),
            without_ipv6: Some((Ipv4Addr::UNSPECIFIED, port).into()),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self::all(API_PORT)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_reads_back_what_it_shows() {
        let cases = [
            ("a", "a", None),
            ("a.example:8000", "a.example", Some(8000)),
            ("192.0.2.1", "192.0.2.1", None),
            ("192.0.2.1:1", "192.0.2.1", Some(1)),
            ("::1", "::1", None),
            ("[::1]:8443", "::1", Some(8443)),
            ("m_1", "m_1", None),
        ];
        for (text, host, port) in cases {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port));
            assert_eq!(endpoint.to_string(), text);
        }
        for bad in [
            "", ":80", "a:0", "a:65536", "a:b", "[::1", "[x]:1", "[::1]x", "a b", "a:+1",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn listening_on_all_addresses_falls_back_where_there_is_no_ipv6() {
        for text in ["8000", ":8000", "[::]:8000"] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.to_string(), "[::]:8000", "{text}");
            assert_eq!(listen.without_ipv6, "0.0.0.0:8000".parse().ok());
        }
        for text in ["127.0.0.1:0", "0.0.0.0:80", "[::1]:8000"] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(
                (listen.to_string().as_str(), listen.without_ipv6),
                (text, None)
            );
        }
        for bad in [
            "",
            ":",
            "localhost",
            "localhost:80",
            "65536",
            "1.2.3.4",
            "1.2.3.4:x",
        ] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }
}
