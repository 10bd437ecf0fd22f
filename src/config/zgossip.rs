//! Where nodes of zgossip connect, and to which ones we do: endpoints of ZeroMQ.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::address::Endpoint;
use super::checker::Checker;
use super::settings as s;
use crate::model::NodeName;

/// The longest path of a socket on Linux, in bytes.
const PATH_LIMIT: usize = 107;
/// The most endpoints of each list.
const ENDPOINTS: usize = 64;

/// What the zgossip face is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zgossip {
    /// The node whose keys are the tuples.
    pub node: NodeName,
    /// Where to listen.
    pub bind: Vec<Bind>,
    /// Whom to connect to.
    pub connect: Vec<Connect>,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A TCP port; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Ipc(PathBuf),
}

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connect {
    /// A TCP port of a host, by name or address; the port is always there.
    Tcp(Endpoint),
    /// A Unix socket.
    Ipc(PathBuf),
}

impl Bind {
    /// Whether only this host reaches it.
    fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Ipc(_) => true,
        }
    }
}

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("ipc://") {
            return socket_path(path).map(Self::Ipc);
        }
        let rest = text.strip_prefix("tcp://").ok_or_else(|| scheme(text))?;
        let (host, port) = rest.rsplit_once(':').ok_or("the port is missing")?;
        let port = match port {
            "*" | "0" => 0,
            port => port
                .parse()
                .map_err(|_| format!("\"{port}\" is no port; * takes any free one"))?,
        };
        let host = host.strip_prefix('[').map_or(Ok(host), |host| {
            host.strip_suffix(']').ok_or("the closing ] is missing")
        })?;
        let address = match host {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host
                .parse()
                .map_err(|_| format!("\"{host}\" is no address of this host; * means all"))?,
        };
        Ok(Self::Tcp(SocketAddr::new(address, port)))
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) if address.port() == 0 => match address.ip() {
                IpAddr::V4(ip) => write!(f, "tcp://{ip}:*"),
                IpAddr::V6(ip) => write!(f, "tcp://[{ip}]:*"),
            },
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

impl FromStr for Connect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("ipc://") {
            return socket_path(path).map(Self::Ipc);
        }
        let rest = text.strip_prefix("tcp://").ok_or_else(|| scheme(text))?;
        let endpoint: Endpoint = rest.parse()?;
        if endpoint.port.is_none() {
            return Err("the port is missing".to_owned());
        }
        Ok(Self::Tcp(endpoint))
    }
}

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint) => write!(f, "tcp://{endpoint}"),
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

fn scheme(text: &str) -> String {
    format!("\"{text}\" begins with neither tcp:// nor ipc://")
}

fn socket_path(path: &str) -> Result<PathBuf, String> {
    if !path.starts_with('/') {
        return Err("the path of a socket begins with /".to_owned());
    }
    if path.len() > PATH_LIMIT || path.contains('\0') {
        return Err(format!(
            "the path of a socket has at most {PATH_LIMIT} bytes"
        ));
    }
    Ok(PathBuf::from(path))
}

/// Reads a list of endpoints, each once.
fn list<T: FromStr<Err = String> + PartialEq>(text: &str) -> Result<Vec<T>, String> {
    let mut all: Vec<T> = Vec::new();
    for item in text.split(',').map(str::trim) {
        let one = item
            .parse()
            .map_err(|why| format!("in \"{item}\": {why}"))?;
        all.push(one);
    }
    if all.len() > ENDPOINTS {
        return Err(format!("more than {ENDPOINTS} endpoints"));
    }
    Ok(all)
}

/// What the face is to do, if it is on.
pub(super) fn zgossip(c: &mut Checker<'_>) -> Option<Zgossip> {
    let bind: Option<Vec<Bind>> = c.given(&s::ZGOSSIP_BIND, list).map(|found| found.0);
    let connect: Option<Vec<Connect>> = c.given(&s::ZGOSSIP_CONNECT, list).map(|found| found.0);
    let node = |text: &str| text.parse().map_err(|why| format!("{why}"));
    let node: Option<NodeName> = c.given(&s::ZGOSSIP_NODE, node).map(|found| found.0);
    let exposed = c.choice(&s::ZGOSSIP_EXPOSE) == Some(1);
    let (bind, connect) = (bind.unwrap_or_default(), connect.unwrap_or_default());
    if let Some(open) = bind.iter().find(|at| !exposed && !at.is_local()) {
        let why = format!(
            "{open} is reached by other hosts, and zgossip knows no passwords: say \
             --zgossip-expose if that is meant"
        );
        c.conflict(&s::ZGOSSIP_BIND, &why);
    }
    if bind.is_empty() && connect.is_empty() {
        return None;
    }
    Some(Zgossip {
        node: node?,
        bind,
        connect,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags, Layers};

    #[test]
    fn endpoints_read_back_as_they_are_shown() {
        for (text, shown) in [
            ("tcp://127.0.0.1:5670", "tcp://127.0.0.1:5670"),
            ("tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
            ("tcp://[::1]:5670", "tcp://[::1]:5670"),
            ("tcp://[::1]:*", "tcp://[::1]:*"),
            ("tcp://*:5670", "tcp://0.0.0.0:5670"),
            ("tcp://localhost:0", "tcp://127.0.0.1:*"),
            ("ipc:///run/z", "ipc:///run/z"),
        ] {
            assert_eq!(text.parse::<Bind>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["tcp://gossip.example:1", "tcp://[::1]:5670", "ipc:///run/z"] {
            assert_eq!(text.parse::<Connect>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "127.0.0.1:1",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:x",
            "tcp://eth0:1",
            "tcp://[::1:1",
            "udp://127.0.0.1:1",
            "ipc://relative",
            "ipc://",
        ] {
            assert!(bad.parse::<Bind>().is_err(), "{bad}");
        }
        for bad in ["tcp://a", "tcp://a:*", "tcp://a:0", "ipc://x", "inproc://x"] {
            assert!(bad.parse::<Connect>().is_err(), "{bad}");
        }
        let long = format!("ipc:///{}", "x".repeat(PATH_LIMIT));
        assert!(long.parse::<Bind>().is_err());
    }

    fn check(flags: &[(&str, &str)]) -> Result<Option<Zgossip>, String> {
        let mut given = Flags::new();
        for (name, text) in flags {
            given.insert((*name).to_owned(), (*text).to_owned());
        }
        let layers = Layers::new(given, &|_| None).unwrap();
        Config::check(&layers)
            .map(|(config, _)| config.zgossip)
            .map_err(|why| why.to_string())
    }

    #[test]
    fn the_face_is_off_unless_it_has_an_endpoint() {
        assert_eq!(check(&[]), Ok(None));
        let found = check(&[("zgossip-bind", "tcp://127.0.0.1:*,ipc:///z")]);
        let found = found.unwrap().unwrap();
        assert_eq!((found.bind.len(), found.node.as_str()), (2, "zgossip"));
        let flags = [("zgossip-connect", "tcp://a:1"), ("zgossip-node", "tuples")];
        let found = check(&flags).unwrap().unwrap();
        assert_eq!((found.connect.len(), found.node.as_str()), (1, "tuples"));
    }

    #[test]
    fn an_address_that_others_reach_needs_a_word_more() {
        for open in ["tcp://*:1", "tcp://192.0.2.1:1", "tcp://[::]:1"] {
            let why = check(&[("zgossip-bind", open)]).unwrap_err();
            assert!(why.contains("zgossip-expose"), "{why}");
            let flags = [("zgossip-bind", open), ("zgossip-expose", "yes")];
            assert!(check(&flags).unwrap().is_some(), "{open}");
        }
    }
}
