//! The checked configuration of the other faces.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::checker::Checker;
use super::settings as s;
use crate::model::NodeName;

/// The map face: plain HTTP without a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFace {
    /// Where it listens. Port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// Whom it answers.
    pub reach: Reach,
    /// The node that it shows.
    pub node: NodeName,
}

/// From where a face without a password may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// From this host, or this pod, by its own name.
    Loopback,
    /// From wherever the address is reached: the operator said that this is meant.
    Anywhere,
}

/// The map face, if it is on.
pub(super) fn map(c: &mut Checker<'_>) -> Option<MapFace> {
    let reach = match c.choice(&s::MAP_EXPOSE) {
        Some(1) => Reach::Anywhere,
        _ => Reach::Loopback,
    };
    let read = |text: &str| {
        let name: Result<NodeName, _> = text.parse();
        name.map(Some).map_err(|why| why.to_string())
    };
    let node = c.value(&s::MAP_NODE, read);
    let (listen, _) = c.given(&s::MAP_LISTEN, address)?;
    if reach == Reach::Loopback && !listen.ip().to_canonical().is_loopback() {
        c.conflict(
            &s::MAP_LISTEN,
            "whoever reaches this address could read and write without a password; give \
             --map-expose (GAGGLE_MAP_EXPOSE=yes) if that is meant",
        );
        return None;
    }
    Some(MapFace {
        listen,
        reach,
        node: node?,
    })
}

/// Reads `port` or `:port`, on the loopback, or `address:port`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix(':').unwrap_or(text);
    if !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()) {
        let port: u16 = bare.parse().map_err(|_| "the port is beyond 65535")?;
        return Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), port).into());
    }
    text.parse()
        .map_err(|_| "no address with a port".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::layers::{Flags, Layers};
    use super::*;

    /// The face by these flags, or what was refused.
    fn face(flags: &[(&str, &str)]) -> Result<Option<MapFace>, String> {
        let pairs = flags
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let flags: Flags = pairs.collect();
        let layers = Layers::new(flags, &|_| None).unwrap();
        let mut c = Checker::new(&layers);
        let face = map(&mut c);
        c.finish().map_err(|why| why.to_string())?;
        Ok(face)
    }

    #[test]
    fn it_is_off_unless_it_is_asked_for_and_then_on_the_loopback() {
        assert_eq!(face(&[]), Ok(None));
        assert_eq!(face(&[("map-expose", "yes")]), Ok(None));
        for (text, listen) in [
            ("8080", "127.0.0.1:8080"),
            (":80", "127.0.0.1:80"),
            ("127.0.0.2:0", "127.0.0.2:0"),
            ("[::1]:80", "[::1]:80"),
        ] {
            let face = face(&[("map-listen", text)]).unwrap().unwrap();
            assert_eq!(face.listen.to_string(), listen);
            assert_eq!((face.reach, face.node.as_str()), (Reach::Loopback, "map"));
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_a_second_word() {
        for text in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
            let why = face(&[("map-listen", text)]).unwrap_err();
            assert!(why.contains("--map-listen is"), "{why}");
            assert!(
                why.contains("without a password") && why.contains("--map-expose"),
                "{why}"
            );
            let face = face(&[("map-listen", text), ("map-expose", "yes")])
                .unwrap()
                .unwrap();
            assert_eq!(
                (face.listen.to_string().as_str(), face.reach),
                (text, Reach::Anywhere)
            );
        }
    }

    #[test]
    fn what_is_no_address_or_no_node_is_refused() {
        for bad in ["", ":", "65536", "localhost:80", "a", "1.2.3.4"] {
            let why = face(&[("map-listen", bad)]).unwrap_err();
            assert!(why.starts_with("--map-listen is"), "{why}");
        }
        let why = face(&[("map-listen", "80"), ("map-node", "a/b")]).unwrap_err();
        assert!(why.starts_with("--map-node is \"a/b\""), "{why}");
        let other = face(&[("map-listen", "80"), ("map-node", "car")])
            .unwrap()
            .unwrap();
        assert_eq!(other.node.as_str(), "car");
    }
}
