//! In which ways members are found, and the file that names some of them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::address::Endpoint;

/// The most ways of one kind (`static:` hosts, `dns:` names, `file:` paths) in one list.
const WAYS_LIMIT: usize = 256;
/// The largest file of hosts, in bytes; what is beyond is not read.
pub const HOSTS_FILE_BYTES: usize = 256 * 1024;
/// The most hosts taken from one file.
pub const HOSTS_LIMIT: usize = 1_024;

/// In which ways members are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discover {
    /// Whether beacons are sent and heard by multicast.
    pub multicast: bool,
    /// Members to be asked, by name or address; the port is that of their REST API.
    pub contacts: Vec<Endpoint>,
    /// Names whose addresses a name server tells, again and again.
    pub names: Vec<DnsName>,
    /// Files that name members, one a line; read again when they change.
    pub files: Vec<PathBuf>,
}

/// A name to ask a name server for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName {
    /// The name, as it was given.
    pub name: String,
    /// The port of the members there, if it was said.
    pub port: Option<u16>,
}

impl DnsName {
    /// Whether SRV records are asked for, which say the ports themselves: the name begins with
    /// `_service._proto.` (RFC 2782).
    pub fn is_service(&self) -> bool {
        let mut labels = self.name.split('.');
        let mut is_marked = || labels.next().is_some_and(|label| label.starts_with('_'));
        is_marked() && is_marked()
    }

    /// The port of the members there; that of the REST API where none was said.
    pub fn api_port(&self) -> u16 {
        self.port.unwrap_or(super::address::API_PORT)
    }
}

impl FromStr for DnsName {
    type Err = String;

    /// Reads `name` or `name:port`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Endpoint { host: name, port } = text.parse()?;
        let name = Self { name, port };
        if name.name.parse::<std::net::IpAddr>().is_ok() {
            return Err("an address needs no name server; use static:".to_owned());
        }
        if name.is_service() && port.is_some() {
            return Err("SRV records say the port; leave it out".to_owned());
        }
        Ok(name)
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Discover {
    type Err = String;

    /// Reads a comma-separated list. `static:` opens a list of hosts that goes on until the next
    /// word with a method's name; `none` stands alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut found = Self::default();
        if text.trim() == "none" {
            return Ok(found);
        }
        let mut in_hosts = false;
        for item in text.split(',').map(str::trim) {
            let is_way = found.take(item)?;
            if !is_way && !in_hosts {
                return Err(format!("\"{item}\" is no way to find members"));
            }
            if !is_way {
                found.contacts.push(read(item, item)?);
            }
            in_hosts = !is_way || item.starts_with("static:");
        }
        let most = [found.contacts.len(), found.names.len(), found.files.len()];
        if most.into_iter().any(|count| count > WAYS_LIMIT) {
            return Err(format!(
                "more than {WAYS_LIMIT} of one kind; use file: instead"
            ));
        }
        Ok(found)
    }
}

impl Discover {
    /// Takes `item` if it begins with a method's name; says whether it did.
    fn take(&mut self, item: &str) -> Result<bool, String> {
        if item == "multicast" {
            self.multicast = true;
        } else if let Some(host) = item.strip_prefix("static:") {
            self.contacts.push(read(host, host)?);
        } else if let Some(name) = after("dns", item) {
            self.names.push(read(name, item)?);
        } else if let Some(path) = after("file", item) {
            if path.is_empty() {
                return Err(format!("in \"{item}\": no path"));
            }
            self.files.push(PathBuf::from(path));
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

impl fmt::Display for Discover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let multicast = self.multicast.then(|| "multicast".to_owned());
        let contacts = self.contacts.iter().map(|host| format!("static:{host}"));
        let names = self.names.iter().map(|name| format!("dns:{name}"));
        let files = self
            .files
            .iter()
            .map(|path| format!("file:{}", path.display()));
        let all = multicast.into_iter().chain(contacts).chain(names);
        let all: Vec<String> = all.chain(files).collect();
        f.write_str(if all.is_empty() { "none" } else { "" })?;
        f.write_str(&all.join(","))
    }
}

/// What follows a method's name; `dns:8000` in a list of hosts is a host named `dns`.
fn after<'a>(method: &str, item: &'a str) -> Option<&'a str> {
    let rest = item.strip_prefix(method)?.strip_prefix(':')?;
    let is_port = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    (!is_port).then_some(rest)
}

fn read<T: FromStr<Err = String>>(text: &str, shown: &str) -> Result<T, String> {
    text.parse().map_err(|why| format!("in \"{shown}\": {why}"))
}

/// A line in a file of hosts that names none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {why}")]
pub struct BadLine {
    /// Which line; the first is 1.
    pub number: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Reads a file of hosts: one `HOST[:PORT]` a line, `#` begins a comment, empty lines count for
/// nothing. Lines that name no host are told and left out; so is all beyond [`HOSTS_LIMIT`].
pub fn hosts_of(text: &str) -> (Vec<Endpoint>, Vec<BadLine>) {
    let (mut hosts, mut bad) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if hosts.len() == HOSTS_LIMIT {
            let why = format!("more than {HOSTS_LIMIT} hosts; the rest is left out");
            bad.push(BadLine { number, why });
            break;
        }
        match line.parse::<Endpoint>() {
            Ok(host) if !hosts.contains(&host) => hosts.push(host),
            Ok(_again) => {}
            Err(why) => bad.push(BadLine { number, why }),
        }
    }
    (hosts, bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_in_are_a_list_in_which_static_opens_a_list_of_hosts() {
        let cases = [
            ("multicast", "multicast"),
            ("none", "none"),
            ("static:a", "static:a"),
            ("static:a,b", "static:a,static:b"),
            ("static:a,static:b", "static:a,static:b"),
            (
                "multicast,static:a:8000,static:b",
                "multicast,static:a:8000,static:b",
            ),
            ("static:a,b:1,multicast", "multicast,static:a,static:b:1"),
            ("static:[::1]:8000, ::1", "static:[::1]:8000,static:::1"),
            ("static:a,dns:8000", "static:a,static:dns:8000"),
            ("static:file:80", "static:file:80"),
            ("dns:gaggle.svc", "dns:gaggle.svc"),
            (
                "dns:gaggle.svc.:8001,multicast",
                "multicast,dns:gaggle.svc.:8001",
            ),
            (
                "static:a,dns:g,file:/etc/peers",
                "static:a,dns:g,file:/etc/peers",
            ),
            ("dns:_gaggle._tcp.example", "dns:_gaggle._tcp.example"),
            ("file:peers, file:/x:8000", "file:peers,file:/x:8000"),
            (
                "file:/p,static:a,b,dns:c,dns:d",
                "static:a,static:b,dns:c,dns:d,file:/p",
            ),
        ];
        for (text, shown) in cases {
            let found: Discover = text.parse().unwrap();
            assert_eq!(found.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Discover>().unwrap(), found, "it reads back");
        }
        let bad = [
            ("", "\"\" is no way"),
            ("a", "\"a\" is no way"),
            ("multicast,a", "\"a\" is no way"),
            ("static:", "in \"\""),
            ("static:a,", "in \"\""),
            ("static:a,none b", "in \"none b\""),
            ("dns:a,b", "\"b\" is no way"),
            ("file:/p,b", "\"b\" is no way"),
            ("dns:", "in \"dns:\""),
            ("dns:a b", "in \"dns:a b\""),
            ("dns:a:0", "the port is no number"),
            ("dns:10.0.0.1", "use static:"),
            ("dns:[::1]:80", "use static:"),
            ("dns:_gaggle._tcp.example:80", "leave it out"),
            ("file:", "no path"),
            ("dns:8000", "is no way"),
        ];
        for (text, part) in bad {
            let why = text.parse::<Discover>().unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        let many = vec!["dns:a"; WAYS_LIMIT + 1].join(",");
        assert!(many.parse::<Discover>().is_err());
    }

    #[test]
    fn a_name_that_begins_with_a_service_is_asked_for_its_srv_records() {
        for (text, is_service, port) in [
            ("_gaggle._tcp.example", true, 8000),
            ("_gaggle.example", false, 8000),
            ("gaggle._tcp.example:81", false, 81),
            ("gaggle", false, 8000),
        ] {
            let name: DnsName = text.parse().unwrap();
            assert_eq!(
                (name.is_service(), name.api_port()),
                (is_service, port),
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_of_hosts_has_one_a_line_and_tells_the_lines_that_name_none() {
        let text = "# the three\na.example\n\n  b:8001 # the second\n\tbad host\n\
                    [::1]:80\r\na.example\n:80";
        let (hosts, bad) = hosts_of(text);
        let shown: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a.example", "b:8001", "[::1]:80"]);
        let numbers: Vec<usize> = bad.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [5, 8]);
        assert_eq!(bad[0].to_string(), "line 5: no host name or address");
        assert_eq!(hosts_of(""), (vec![], vec![]));
    }

    #[test]
    fn a_file_of_hosts_is_bounded() {
        let lines = (0..=HOSTS_LIMIT).map(|number| format!("host-{number}\n"));
        let (hosts, bad) = hosts_of(&lines.collect::<String>());
        assert_eq!(hosts.len(), HOSTS_LIMIT);
        assert_eq!(bad.len(), 1);
        assert_eq!(bad[0].number, HOSTS_LIMIT + 1);
    }
}
