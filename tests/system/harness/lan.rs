//! Hosts on a bridge, each a network namespace of its own. The bridge has one, too, so that nothing
//! of it can be seen, or get out, elsewhere on this machine.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::program::{command, run};

static LANS: AtomicU32 = AtomicU32::new(0);

/// A network of hosts. The cuts are made on the bridge, so the hosts cannot tell why.
pub(crate) struct Lan {
    switch: String,
    hosts: Cell<u8>,
    namespaces: RefCell<Vec<String>>,
}

/// One host: a namespace with a loopback interface and `eth0` on the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    namespace: String,
    /// The host's end at the bridge.
    port: String,
    address: Ipv4Addr,
}

impl Lan {
    pub(crate) fn new() -> Self {
        remove_what_the_dead_left();
        let number = LANS.fetch_add(1, Ordering::Relaxed);
        let switch = format!("gaggle-{}-{number}", std::process::id());
        let lan = Self {
            switch: switch.clone(),
            hosts: Cell::new(0),
            namespaces: RefCell::new(vec![switch]),
        };
        run(&["ip", "netns", "add", &lan.switch]);
        lan.on_switch(&["ip", "link", "set", "lo", "up"]);
        lan.on_switch(&[
            "ip",
            "link",
            "add",
            "br0",
            "type",
            "bridge",
            "mcast_snooping",
            "0",
        ]);
        lan.on_switch(&["ip", "link", "set", "br0", "up"]);
        lan.on_switch(&["ip", "address", "add", "10.77.0.254/16", "dev", "br0"]);
        lan.on_switch(&["nft", "add table bridge gaggle"]);
        lan.on_switch(&[
            "nft",
            "add chain bridge gaggle cuts { type filter hook forward priority 0; }",
        ]);
        lan
    }

    fn on_switch(&self, words: &[&str]) -> String {
        run(&[&["ip", "netns", "exec", &self.switch], words].concat())
    }

    /// Another host: the first is 10.77.0.1, and so on.
    pub(crate) fn host(&self) -> Host {
        let number = self.hosts.get() + 1;
        self.hosts.set(number);
        let host = Host {
            namespace: format!("{}-{number}", self.switch),
            port: format!("port{number}"),
            address: Ipv4Addr::new(10, 77, 0, number),
        };
        run(&["ip", "netns", "add", &host.namespace]);
        self.namespaces.borrow_mut().push(host.namespace.clone());
        let (name, port) = (&host.namespace, &host.port);
        self.on_switch(&[
            "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name,
        ]);
        self.on_switch(&["ip", "link", "set", port, "master", "br0", "up"]);
        host.run(&["ip", "link", "set", "lo", "up"]);
        host.run(&[
            "ip",
            "address",
            "add",
            &format!("{}/16", host.address),
            "dev",
            "eth0",
        ]);
        host.run(&["ip", "link", "set", "eth0", "up"]);
        host
    }

    /// Several hosts at once.
    pub(crate) fn hosts<const COUNT: usize>(&self) -> [Host; COUNT] {
        std::array::from_fn(|_| self.host())
    }

    /// From now on nothing of `from` reaches `to`.
    pub(crate) fn cut_one_way(&self, from: &Host, to: &Host) {
        let rule = format!(
            "add rule bridge gaggle cuts iifname {} oifname {} drop",
            from.port, to.port
        );
        self.on_switch(&["nft", &rule]);
    }

    /// From now on no one of `these` and no one of `others` reach each other.
    pub(crate) fn cut(&self, these: &[&Host], others: &[&Host]) {
        for one in these {
            for other in others {
                self.cut_one_way(one, other);
                self.cut_one_way(other, one);
            }
        }
    }

    /// Undoes all cuts.
    pub(crate) fn heal(&self) {
        self.on_switch(&["nft", "flush chain bridge gaggle cuts"]);
    }

    /// From now on no multicast crosses the bridge, as on networks that filter it.
    pub(crate) fn drop_multicast(&self) {
        let group = "add rule bridge gaggle cuts meta pkttype multicast ether type";
        for kind in ["ip", "ip6"] {
            let udp = if kind == "ip" {
                "ip protocol udp"
            } else {
                "ip6 nexthdr udp"
            };
            self.on_switch(&["nft", &format!("{group} {kind} {udp} drop")]);
        }
    }

    /// From now on, of all that crosses the bridge, so many of a hundred frames are lost.
    pub(crate) fn lose(&self, of_hundred: u8) {
        self.rule(&format!("numgen random mod 100 < {of_hundred} drop"));
    }

    /// From now on the bridge drops what matches `what`, in the words of nft.
    pub(crate) fn drop(&self, what: &str) {
        self.rule(&format!("{what} drop"));
    }

    /// As [`Lan::drop`], only between these two, both ways.
    pub(crate) fn drop_between(&self, one: &Host, other: &Host, what: &str) {
        for (from, to) in [(one, other), (other, one)] {
            self.rule(&format!(
                "iifname {} oifname {} {what} drop",
                from.port, to.port
            ));
        }
    }

    /// From now on no more than that many bytes a second reach `host`; the rest is lost.
    pub(crate) fn throttle(&self, host: &Host, bytes: u32) {
        let port = &host.port;
        let limit = format!("limit rate over {bytes} bytes/second burst {bytes} bytes");
        self.rule(&format!("oifname {port} {limit} drop"));
    }

    fn rule(&self, rule: &str) {
        self.on_switch(&["nft", &format!("add rule bridge gaggle cuts {rule}")]);
    }

    /// Counts from now on the frames between hosts that match `what` (in the words of nft).
    pub(crate) fn count(&self, what: &str) {
        let chain = "add chain bridge gaggle counts { type filter hook forward priority -5; }";
        self.on_switch(&["nft", chain]);
        self.on_switch(&["nft", "flush chain bridge gaggle counts"]);
        self.on_switch(&[
            "nft",
            &format!("add rule bridge gaggle counts {what} counter"),
        ]);
    }

    /// Frames and bytes that were counted since [`Lan::count`].
    pub(crate) fn counted(&self) -> (u64, u64) {
        let shown = self.on_switch(&["nft", "list chain bridge gaggle counts"]);
        let after = |word: &str| {
            let rest = shown.split_once(word).expect("a counter").1;
            rest.split_whitespace()
                .next()
                .and_then(|n| n.parse().ok())
                .expect("a number")
        };
        (after("counter packets "), after(" bytes "))
    }

    /// Runs `work` with the bridge's own namespace: sockets opened there see every frame.
    pub(crate) fn enter_switch<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        enter(&self.switch, work)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in self.namespaces.borrow().iter() {
            let _ = command(&["ip", "netns", "delete", namespace]).output();
        }
    }
}

impl Host {
    /// The address that the host has now.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A program that will run on this host.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        command(&[&["ip", "netns", "exec", &self.namespace], words].concat())
    }

    /// Runs a program on this host to its end; fails the test if it fails.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        run(&[&["ip", "netns", "exec", &self.namespace], words].concat())
    }

    /// Runs `work` in a thread on this host: sockets opened there stay on this host.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        enter(&self.namespace, work)
    }

    /// Gives the host another address, as a new lease would; the old one is gone at once.
    pub(crate) fn move_to(&mut self, last: u8) {
        self.readdress(Ipv4Addr::new(10, 77, 1, last));
    }

    /// From now on the host has no IPv4, but an IPv6 address with the same last number.
    pub(crate) fn only_ipv6(&self) -> Ipv6Addr {
        let [.., last] = self.address.octets();
        let address = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last.into());
        self.run(&["ip", "-4", "address", "flush", "dev", "eth0"]);
        self.run(&[
            "ip",
            "address",
            "add",
            &format!("{address}/64"),
            "dev",
            "eth0",
            "nodad",
        ]);
        address
    }

    /// Steps into the place of `other`, down to its hardware's address; `other` is cut off.
    pub(crate) fn step_into(&mut self, other: &Self) {
        let hardware = other.hardware();
        other.run(&["ip", "link", "set", "eth0", "down"]);
        self.dress(&hardware, other.address);
    }

    /// Gives back the place of `other` and becomes a host of its own again.
    pub(crate) fn step_back(&mut self, own: Ipv4Addr, other: &Self) {
        self.dress("02:67:61:67:67:6c", own);
        other.run(&["ip", "link", "set", "eth0", "up"]);
    }

    fn hardware(&self) -> String {
        self.run(&["cat", "/sys/class/net/eth0/address"])
            .trim()
            .to_owned()
    }

    fn dress(&mut self, hardware: &str, address: Ipv4Addr) {
        self.run(&["ip", "link", "set", "eth0", "down"]);
        self.run(&["ip", "link", "set", "eth0", "address", hardware]);
        self.run(&["ip", "link", "set", "eth0", "up"]);
        self.readdress(address);
    }

    fn readdress(&mut self, address: Ipv4Addr) {
        self.run(&["ip", "address", "flush", "dev", "eth0", "scope", "global"]);
        self.address = address;
        self.run(&[
            "ip",
            "address",
            "add",
            &format!("{address}/16"),
            "dev",
            "eth0",
        ]);
    }
}

fn enter<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let door = File::open(format!("/run/netns/{namespace}")).expect("the namespace is there");
    let inside = move || {
        let network = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(door.as_fd(), Some(network))
            .expect("root may enter a namespace");
        work()
    };
    std::thread::scope(|scope| scope.spawn(inside).join()).expect("no panic inside the namespace")
}

/// A test that was killed could not tidy up: its namespaces carry its process id.
fn remove_what_the_dead_left() {
    for line in run(&["ip", "netns", "list"]).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let owner = name
            .strip_prefix("gaggle-")
            .and_then(|rest| rest.split('-').next());
        let Some(owner) = owner.filter(|id| id.parse::<u32>().is_ok()) else {
            continue;
        };
        if !std::path::Path::new("/proc").join(owner).exists() {
            // Another test may be tidying up at the same time.
            let _ = command(&["ip", "netns", "delete", name]).output();
        }
    }
}
