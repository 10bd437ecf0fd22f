//! Streams of a log over the deaths of leaders: on any member, every entry once and in order.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::steps::{PATIENCE, Stop, leader, start};
use crate::harness::{Became, Caller, Client, Cluster, Exchange, Lan, post, seconds, until};

/// How often the leader dies.
const DEATHS: usize = 3;
/// The entry after which followers need not wait for more.
const END: &str = "the end";

/// A stream of events, read by curl.
struct Stream {
    curl: Child,
    lines: BufReader<ChildStdout>,
}

impl Stream {
    /// Follows the log `l` at a member, behind the event with this id.
    fn open(client: &Client, after: Option<&str>) -> Self {
        let ca = client.ca.to_string_lossy();
        let mut command = client.command(&["curl", "--silent", "--no-buffer", "--noproxy", "*"]);
        command.args(["--cacert", &ca, "--user", &client.user]);
        if let Some(after) = after {
            command.args(["--header", &format!("Last-Event-ID: {after}")]);
        }
        command.arg(format!("{}/v1/log/l/follow", client.base));
        let mut curl = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl runs");
        let lines = BufReader::new(curl.stdout.take().expect("its output"));
        Self { curl, lines }
    }

    /// The next event: its name, id and data; none at the end of the stream.
    fn next(&mut self) -> Option<(String, String, Value)> {
        let (mut name, mut id, mut data) = (String::new(), String::new(), String::new());
        loop {
            let mut line = String::new();
            if !matches!(self.lines.read_line(&mut line), Ok(1..)) {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", text)) => text.clone_into(&mut name),
                Some(("id", text)) => text.clone_into(&mut id),
                Some(("data", text)) => data.push_str(text),
                None if !data.is_empty() => {
                    let data = serde_json::from_str(&data).expect("JSON");
                    return Some((name, id, data));
                }
                Some(_) | None => {}
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

/// What a follower was told.
#[derive(Debug, Default)]
struct Told {
    entries: Vec<Value>,
    /// Terms and who led in them.
    leaders: Vec<(u64, String)>,
    /// Streams that ended.
    ended: usize,
}

impl Told {
    /// All numbers up to `count` and the end, once and in order, and each new leader.
    fn check(&self, count: usize) {
        let numbers: Vec<Value> = (1..=count)
            .map(|number| json!({"number": number}))
            .collect();
        assert_eq!(self.entries[..count], numbers[..]);
        assert_eq!(self.entries.len(), count + 1);
        let terms: Vec<u64> = self.leaders.iter().map(|(term, _)| *term).collect();
        assert!(terms.len() > DEATHS, "each new leader is told: {terms:?}");
        let once = terms.is_sorted_by(|one, next| one < next);
        assert!(once, "in order, and none twice: {terms:?}");
    }
}

/// Follows the log from its beginning to its end; when a stream ends, at the next member behind
/// what it has.
fn follow(clients: &[Client], first: usize) -> Told {
    let (mut told, mut last) = (Told::default(), None);
    for client in clients.iter().cycle().skip(first) {
        let mut stream = Stream::open(client, last.as_deref());
        while let Some((name, id, data)) = stream.next() {
            last = Some(id);
            if name == "leader" {
                let term = data["term"].as_u64().expect("a term");
                let leader = data["leader"].as_str().unwrap_or_default().to_owned();
                told.leaders.push((term, leader));
                continue;
            }
            assert_eq!(name, "committed", "{data}");
            let next = told.entries.len() as u64 + 1;
            assert_eq!(data["index"], next, "no gap, and nothing twice");
            told.entries.push(data["data"].clone());
            if data["data"] == END {
                return told;
            }
        }
        told.ended += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    unreachable!("clients go round for ever")
}

/// Appends an entry, again and again with the same key until it is answered.
fn append(callers: &[Caller], number: usize, entry: &Value) {
    let request = post("/v1/log/l?timeout=3s", entry)
        .with_header("idempotency-key", &format!("append {number}"));
    let mut callers = callers.iter().cycle();
    loop {
        let caller = callers.next().expect("there is one");
        if let Became::Answered(reply) = caller.call(request.clone()) {
            assert_eq!(reply.json()["index"], number, "{reply:?}");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn followers_see_every_entry_once_over_the_deaths_of_leaders() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let mut members = start(&cluster, &hosts);
    let exchange = Exchange::new(&lan);
    let clients: Vec<Client> = members.iter().map(|it| it.client().clone()).collect();
    let callers: Vec<Caller> = members
        .iter()
        .map(|it| exchange.caller(&cluster, it, seconds(15)))
        .collect();
    let (appended, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (told, count) = std::thread::scope(|scope| {
        let clients = &clients;
        let followers: Vec<_> = (0..3)
            .map(|at| scope.spawn(move || follow(clients, at)))
            .collect();
        let writer = scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                append(&callers, number, &json!({"number": number}));
                appended.fetch_add(1, Ordering::Relaxed);
            }
            append(&callers, number + 1, &json!(END));
            number
        });
        let _stop = Stop(&stop);
        let enough = |more: u64| {
            let begun = appended.load(Ordering::Relaxed);
            let done = || appended.load(Ordering::Relaxed);
            until("entries are appended", PATIENCE, done, |now| {
                *now >= begun + more
            });
        };
        for _ in 0..DEATHS {
            enough(40);
            let lead = leader(&members.iter().collect::<Vec<_>>());
            members[lead].crash();
            enough(40);
            let name = ["a", "b", "c"][lead];
            let again = cluster.member(&hosts[lead], name);
            members[lead] = again.with(&["--voters", "a,b,c"]).start();
        }
        enough(40);
        stop.store(true, Ordering::Relaxed);
        let count = writer.join().expect("the writer ends");
        let told = followers.into_iter().map(|it| it.join().expect("it ends"));
        (told.collect::<Vec<_>>(), count)
    });
    let ended: usize = told.iter().map(|it| it.ended).sum();
    println!(
        "{count} entries; {ended} streams ended; leaders: {:?}",
        told[0].leaders
    );
    assert!(ended > 0, "somebody followed the first that died");
    for told in &told {
        told.check(count);
    }
    let lead = leader(&members.iter().collect::<Vec<_>>());
    let id = members[lead].client().get("/v1/leader").json()["id"].clone();
    for told in &told {
        let last = told.leaders.last().expect("a leader");
        assert_eq!(json!(last.1), id, "the last one leads");
    }
}
