//! The zgossip face beside czmq itself: nodes of Debian's libczmq in both directions.
//!
//! `node.c` is a program around czmq's zgossip, compiled here. All of it runs on the loopback of a
//! host that the test made.

mod conflicts;
mod directions;
mod node;

use std::time::Duration;

use node::Node;

use crate::harness::{Cluster, Host, Lan, Member, seconds, until};

/// What is enough for anything that happens at once.
const SOON: Duration = Duration::from_secs(10);
/// What is long for a node of czmq: after one second its server forgets who says nothing.
const IDLE: Duration = Duration::from_secs(10);

/// A member with the face, and the host that it is on.
struct Scene {
    _lan: Lan,
    host: Host,
    cluster: Cluster,
}

impl Scene {
    fn new() -> Self {
        let lan = Lan::new();
        let host = lan.host();
        Self {
            host,
            _lan: lan,
            cluster: Cluster::new(),
        }
    }

    fn member(&self, flags: &[&str]) -> Member {
        self.cluster.member(&self.host, "a").with(flags).start()
    }

    fn node(&self) -> Node {
        Node::on(&self.host)
    }
}

/// What `/v1/status` says of the face.
fn status(member: &Member) -> serde_json::Value {
    member.client().get("/v1/status").json()["zgossip"].clone()
}

/// Where the first endpoint of the face really is.
fn endpoint(member: &Member) -> String {
    let bound = status(member)["bind"][0]["endpoint"].clone();
    bound.as_str().expect("a bound endpoint").to_owned()
}

fn value(member: &Member, key: &str) -> String {
    let path = format!("/v1/store/zgossip/{key}");
    let reply = member.client().get(&path);
    if reply.status == 200 {
        reply.body
    } else {
        String::new()
    }
}

fn put(member: &Member, key: &str, value: &str) {
    let path = format!("/v1/store/zgossip/{key}");
    let status = member.client().put(&path, value).status;
    assert!(matches!(status, 201 | 204), "{path}: {status}");
}

/// Waits until the member has this value.
fn has(member: &Member, key: &str, expected: &str) {
    let ask = || value(member, key);
    let what = format!("the member has {key}");
    until(&what, SOON, ask, |found| found == expected);
}

/// A counter of the face.
fn counter(member: &Member, name: &str) -> u64 {
    let page = member.client().get("/metrics").body;
    let name = format!("gaggle_zgossip_{name}_total ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no {name}in the metrics"))
}

/// Lets this much time pass without a word.
fn idle(time: Duration) {
    std::thread::sleep(time);
}

/// Long enough for anything that goes on for ever to show.
fn quiet() -> Duration {
    seconds(2)
}
