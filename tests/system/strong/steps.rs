//! What several tests of the strong side do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::io::random;
use gaggle::protocol::Mono;
use serde_json::{Value, json};

use crate::harness::{Became, Caller, Client, Cluster, Host, Member, post, seconds, until};

/// How long a group may take to elect, to be founded, to take someone in: generous, as the tests
/// share two cores.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// A number from the environment.
pub(super) fn number(variable: &str, otherwise: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A seed for what a test draws, which it prints: from the environment, or another each time.
pub(super) fn seed() -> u64 {
    let seed = number("GAGGLE_STRONG_SEED", random::seed() >> 32);
    println!("GAGGLE_STRONG_SEED={seed}");
    seed
}

/// `GET /v1/quorum`
pub(super) fn quorum(client: &Client) -> Value {
    client.get("/v1/quorum").json()
}

/// Starts a group of voters, one on each host, and waits until it works on all of them.
pub(super) fn start(cluster: &Cluster, hosts: &[Host]) -> Vec<Member> {
    let names = ["a", "b", "c", "d", "e"][..hosts.len()].join(",");
    let members = cluster.start_with(hosts, &["--voters", &names]);
    for member in &members {
        works(member, hosts.len());
    }
    members
}

/// Waits until the group works on a member, with so many members and a leader.
pub(super) fn works(member: &Member, members: usize) {
    let status = || quorum(member.client());
    let is_so = |status: &Value| {
        let count = status["members"].as_array().map_or(0, Vec::len);
        status["state"] == "working" && status["leader"].is_string() && count == members
    };
    until("the strong side works", PATIENCE, status, is_so);
}

/// Which of the members leads, once those that are asked agree.
pub(super) fn leader(members: &[&Member]) -> usize {
    let led = || {
        let told: Vec<_> = members.iter().map(|it| is_leader(it)).collect();
        let mut lead = (0..).zip(&told).filter(|(_, is_me)| **is_me == Some(true));
        match (lead.next(), lead.next(), told.contains(&None)) {
            (Some((at, _)), None, false) => Some(at),
            _ => None,
        }
    };
    until("one member leads", PATIENCE, led, Option::is_some).unwrap_or_default()
}

/// Whether a member leads; none: it knows of no leader.
fn is_leader(member: &Member) -> Option<bool> {
    let told = member.client().get("/v1/leader").json();
    told["id"].as_str()?;
    told["is_me"].as_bool()
}

/// Makes a strong node.
pub(super) fn make_node(client: &Client, node: &str) {
    let words = [
        "-X",
        "PUT",
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        r#"{"class":"strong"}"#,
    ];
    let path = format!("/v1/nodes/{node}");
    let made = || client.ask(&words, &path);
    until("a node is made", seconds(30), made, |reply| {
        matches!(reply.status, 200 | 201 | 204)
    });
}

/// A lock that was got.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) nonce: String,
    pub(super) token: u64,
}

/// Waits for a lock at most that long.
pub(super) fn acquire(caller: &Caller, lock: &str, ttl: &str, max_wait: &str) -> Grant {
    let path = format!("/v1/locks/{lock}/acquire");
    let asked = caller.post(&path, &json!({"ttl": ttl, "max_wait": max_wait}));
    let reply = asked.answer();
    assert_eq!(reply.status, 200, "{reply:?}");
    let told = reply.json();
    Grant {
        nonce: told["nonce"].as_str().expect("a nonce").to_owned(),
        token: told["token"].as_u64().expect("a token"),
    }
}

/// Gives a lock back.
pub(super) fn release(caller: &Caller, lock: &str, grant: &Grant) {
    let path = format!("/v1/locks/{lock}/release");
    let reply = caller.post(&path, &json!({"nonce": grant.nonce})).answer();
    assert_eq!(reply.status, 204, "{reply:?}");
}

/// Tells those who work to stop, whatever becomes of the test.
pub(super) struct Stop<'a>(pub(super) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Adds one to the counter `c` again and again, at one member after the other, until it is told to
/// stop; gives when each was answered. Each is sent until it is, with the same key; so the sum says
/// how often they were done.
pub(super) fn adds(callers: &[Caller], answered: &AtomicUsize, stop: &AtomicBool) -> Vec<Mono> {
    let mut times = Vec::new();
    let mut at = 0;
    while !stop.load(Ordering::Relaxed) {
        let number = times.len() + 1;
        let request = post("/v1/counters/c?timeout=3s", &json!({"add": 1}))
            .with_header("idempotency-key", &format!("add {number}"));
        loop {
            match callers[at % callers.len()].call(request.clone()) {
                Became::Answered(reply) => {
                    let sum = reply.json()["value"].as_u64();
                    assert_eq!(sum, Some(number as u64), "each once: {reply:?}");
                    break;
                }
                Became::NotDone(_) | Became::Unknown(_) => {
                    at += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        at += 1;
        times.push(mono());
        answered.store(number, Ordering::Relaxed);
    }
    times
}

/// What a counter holds, once the member that is asked can tell.
pub(super) fn value(caller: &Caller, counter: &str) -> u64 {
    let path = format!("/v1/counters/{counter}");
    let told = || match caller.get(&path) {
        Became::Answered(reply) => reply.json()["value"].as_u64(),
        Became::NotDone(_) | Became::Unknown(_) => None,
    };
    until("a counter is read", PATIENCE, told, Option::is_some).unwrap_or_default()
}
