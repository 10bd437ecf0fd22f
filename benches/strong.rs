//! PUT of strong nodes beside etcd, one voter and three voters, in one run, turn by turn.
//!
//! `cargo bench --bench strong -- [--only put|gap] [--rounds N] [--seconds S] [--kills N]`
//!
//! Puts go to the leader, over kept-alive TLS connections, and are acknowledged when a majority has
//! them on its disk. All members of a group share the machine with the client. Then the leader of
//! three is killed again and again (`kill -9`), and the gap is what a client waits for its next
//! answer that finds another member at once.

mod kit;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use gaggle::io::clock;
use kit::client::Connection;
use kit::elapsed;
use kit::foreign::{Certificate, Foreign, etcd_put};
use kit::load::{Asks, Contender, Language, OURS, compare};
use kit::member::{Cluster, Member, key, request, unsigned, value};
use kit::stats::quantile;
use serde_json::Value;

/// Keys that the writers go round.
const KEYS: u64 = 10_000;
const NODE: &str = "strong0000";
/// The names of the voters.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// How long a group may take to be founded or to elect.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a client waits for one answer before it asks another member.
const LIMIT: Duration = Duration::from_secs(10);

/// Strong PUT beside etcd, and the gap after the death of a leader.
#[derive(Parser)]
struct Options {
    /// Measure only one of the two: put or gap.
    #[arg(long)]
    only: Option<String>,
    /// How often each group takes its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn is, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How often the leader is killed.
    #[arg(long, default_value_t = 100)]
    kills: usize,
}

fn main() -> io::Result<()> {
    let Some(arguments) = kit::arguments() else {
        return Ok(());
    };
    let options = Options::parse_from(arguments);
    kit::introduce("strong");
    kit::runtime()?.block_on(async {
        if options.only.as_deref() != Some("gap") {
            for voters in [1, 3] {
                put(voters, &options).await?;
            }
        }
        if options.only.as_deref() != Some("put") {
            gap(options.kills).await?;
        }
        Ok(())
    })
}

/// Asks for JSON.
async fn json(connection: &mut Connection, request: &[u8]) -> io::Result<Value> {
    let answer = connection.http(request).await?;
    serde_json::from_slice(connection.body(&answer)).map_err(io::Error::other)
}

async fn get(member: &Member, path: &str) -> io::Result<Value> {
    let mut connection = member.address.connect().await?;
    json(&mut connection, &request("GET", path, "", b"")).await
}

/// A group of our own that works.
struct Group {
    cluster: Cluster,
    /// None: it was killed.
    members: Vec<Option<Member>>,
}

impl Group {
    async fn start(voters: usize) -> io::Result<Self> {
        let mut group = Self {
            cluster: Cluster::new()?,
            members: Vec::new(),
        };
        for at in 0..voters {
            group.members.push(None);
            group.restart(at, voters).await?;
        }
        group.leader().await?;
        Ok(group)
    }

    async fn restart(&mut self, at: usize, voters: usize) -> io::Result<()> {
        let names = NAMES[..voters].join(",");
        let member = self.cluster.start(NAMES[at], &["--voters", &names]).await?;
        self.members[at] = Some(member);
        Ok(())
    }

    /// Waits until all members know the same leader, and gives its place.
    async fn leader(&self) -> io::Result<usize> {
        let begun = clock::mono();
        while elapsed(begun) < PATIENCE {
            let (mut lead, mut known) = (Vec::new(), 0);
            for (at, member) in self.members.iter().enumerate() {
                let told = match member {
                    Some(member) => get(member, "/v1/leader").await.unwrap_or_default(),
                    None => Value::Null,
                };
                known += usize::from(told["id"].is_string());
                lead.extend((told["is_me"] == true).then_some(at));
            }
            if let (true, [at]) = (known == self.members.len(), lead.as_slice()) {
                return Ok(*at);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(io::Error::other("no leader that all know"))
    }

    fn live(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }
}

/// Which of etcd's members leads.
async fn etcd_leader(group: &[Foreign]) -> io::Result<usize> {
    let begun = clock::mono();
    while elapsed(begun) < PATIENCE {
        for (at, member) in group.iter().enumerate() {
            let mut connection = member.address.connect().await?;
            let ask = unsigned("POST", "/v3/maintenance/status", "", b"{}");
            let told = json(&mut connection, &ask).await.unwrap_or_default();
            let leads = told["leader"].is_string() && told["leader"] == told["header"]["member_id"];
            if leads {
                return Ok(at);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(io::Error::other("no member of etcd leads"))
}

async fn put(voters: usize, options: &Options) -> io::Result<()> {
    let directory = kit::directory()?;
    let certificate = Certificate::make(directory.path())?;
    let ours = Group::start(voters).await?;
    let etcd = Foreign::etcd_group(directory.path(), &certificate, voters).await?;
    let lead = &ours.members[ours.leader().await?].as_ref();
    let lead = lead.ok_or(io::ErrorKind::NotFound)?;
    let mut connection = lead.address.connect().await?;
    let kind = "Content-Type: application/json\r\n";
    let class = request(
        "PUT",
        &format!("/v1/nodes/{NODE}"),
        kind,
        br#"{"class":"strong"}"#,
    );
    Member::ask(&mut connection, &class).await?;
    for connections in [32, 256] {
        let asks: Asks = Arc::new(|connection, turn, out| {
            let path = format!("/v1/store/{NODE}/{}", key(number(connection, turn)));
            let kind = "Content-Type: text/plain\r\n";
            out.extend(request("PUT", &path, kind, value(turn).as_bytes()));
        });
        let processes = ours.live().map(|member| &member.process);
        let place = (processes, &lead.address);
        let load = (Language::Http, asks);
        let mut all = vec![Contender::open(OURS, None, place, load, connections).await?];
        if !etcd.is_empty() {
            let asks: Asks = Arc::new(|connection, turn, out| {
                out.extend(etcd_put(number(connection, turn)));
            });
            let processes = etcd.iter().map(|member| &member.process);
            let place = (processes, &etcd[etcd_leader(&etcd).await?].address);
            let load = (Language::Http, asks);
            all.push(Contender::open("etcd put", Some(1.0), place, load, connections).await?);
        }
        let title = format!("strong PUT of 64 bytes, voters: {voters}, {connections} connections");
        let time = Duration::from_secs_f64(options.seconds);
        compare(&title, &mut all, options.rounds, time).await?;
    }
    Ok(())
}

/// Spreads the writers over the keys.
fn number(connection: usize, turn: u64) -> u64 {
    (connection as u64 * 7919 + turn) % KEYS
}

/// Kills the leader of three again and again, each time once all are back.
async fn gap(kills: usize) -> io::Result<()> {
    let mut group = Group::start(3).await?;
    let mut gaps = Vec::new();
    for kill in 0..kills {
        let lead = group.leader().await?;
        let others: Vec<usize> = (0..3).filter(|at| *at != lead).collect();
        add(&group, lead).await?;
        let killed = clock::mono();
        if let Some(mut member) = group.members[lead].take() {
            member.process.kill();
        }
        let mut asked = others.iter().cycle().skip(kill % 2);
        loop {
            let at = *asked.next().ok_or(io::ErrorKind::NotFound)?;
            if add(&group, at).await.is_ok() {
                break;
            }
            if elapsed(killed) > PATIENCE {
                return Err(io::Error::other("no write after the death of a leader"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gaps.push(elapsed(killed).as_secs_f64());
        group.restart(lead, 3).await?;
    }
    let at = |share: f64| quantile(&gaps, share);
    println!(
        "\nleader of three killed {kills} times: no write for p50 {:.2} s, p99 {:.2} s, at most \
         {:.2} s (bar: p99 3 s)",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

/// Adds one to a counter at a member.
async fn add(group: &Group, at: usize) -> io::Result<()> {
    let member = group.members[at]
        .as_ref()
        .ok_or(io::ErrorKind::NotConnected)?;
    let mut connection = member.address.connect().await?;
    let kind = "Content-Type: application/json\r\n";
    let ask = request("POST", "/v1/counters/kills", kind, br#"{"add":1}"#);
    let answered = tokio::time::timeout(LIMIT, Member::ask(&mut connection, &ask));
    answered.await.map_err(io::Error::other)?.map(drop)
}
