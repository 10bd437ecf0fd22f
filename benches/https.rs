//! HTTPS GET and durable PUT beside nginx, etcd and redis, in one run, turn by turn.
//!
//! `cargo bench --bench https -- [--only get|put] [--rounds N] [--seconds S] [--bare]`
//!
//! The same client for all servers: kept-alive connections, one request at a time on each, no
//! pipelining; TLS 1.3 with a P-256 key for all but redis. Each server has as many workers as the
//! machine has cores, and shares them with the client, so beside answers per second the table has
//! the processor time that the server took per answer, which other work on the machine hardly
//! changes. `--bare` adds the engine that we stand on (hyper on rustls) answering a fixed value:
//! what
//! is left of GET when everything of ours is taken away.

mod bare;
mod kit;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use kit::foreign::{Certificate, Foreign, base64, etcd_put};
use kit::load::{Asks, Contender, Language, OURS, compare};
use kit::member::{Cluster, Member, key, request, unsigned, value};

/// Keys that the writers go round.
const KEYS: u64 = 10_000;

/// HTTPS beside nginx, etcd and redis.
#[derive(Parser)]
struct Options {
    /// Measure only one of the two: get or put.
    #[arg(long)]
    only: Option<String>,
    /// How often each server takes its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn is, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Also measure hyper on rustls with nothing around it.
    #[arg(long)]
    bare: bool,
    /// Leave our own member out, to try the others.
    #[arg(long)]
    without_ours: bool,
    /// What `--bare` starts itself with: a directory with the certificate, and a port.
    #[arg(long, num_args = 2, hide = true)]
    serve_bare: Option<Vec<String>>,
}

fn main() -> io::Result<()> {
    let Some(arguments) = kit::arguments() else {
        return Ok(());
    };
    let options = Options::parse_from(arguments);
    if let Some(bare) = &options.serve_bare {
        return bare::serve(bare);
    }
    kit::introduce("https");
    kit::runtime()?.block_on(measure(&options))
}

/// Everything that takes part.
struct Stage {
    ours: Option<Member>,
    nginx: Option<Foreign>,
    etcd: Option<Foreign>,
    redis: Option<Foreign>,
    bare: Option<Foreign>,
}

async fn measure(options: &Options) -> io::Result<()> {
    let directory = kit::directory()?;
    let certificate = Certificate::make(directory.path())?;
    let cluster = if options.without_ours {
        None
    } else {
        Some(Cluster::new()?)
    };
    let ours = match &cluster {
        Some(cluster) => Some(cluster.start("ours", &[]).await?),
        None => None,
    };
    let at = directory.path();
    let mut stage = Stage {
        ours,
        nginx: Foreign::nginx(at, &certificate).await?,
        etcd: Foreign::etcd(at, &certificate).await?,
        redis: Foreign::redis(at).await?,
        bare: None,
    };
    if options.bare {
        stage.bare = Some(bare::start(at, &certificate).await?);
    }
    if options.only.as_deref() != Some("put") {
        get(&stage, options).await?;
    }
    if options.only.as_deref() != Some("get") {
        for connections in [32, 256] {
            put(&stage, options, connections).await?;
        }
    }
    Ok(())
}

/// The load of GET: one key of 64 bytes, 32 connections.
async fn get(stage: &Stage, options: &Options) -> io::Result<()> {
    let mut contenders = Vec::new();
    if let Some(ours) = &stage.ours {
        let mut connection = ours.address.connect().await?;
        let path = format!("/v1/store/node0000/{}", key(1));
        let put = request(
            "PUT",
            &path,
            "Content-Type: text/plain\r\n",
            value(1).as_bytes(),
        );
        Member::ask(&mut connection, &put).await?;
        let asks = fixed(request("GET", &path, "", b""));
        let place = ([&ours.process], &ours.address);
        contenders.push(Contender::open(OURS, None, place, (Language::Http, asks), 32).await?);
    }
    for (name, server, bar) in [
        ("nginx return 200", &stage.nginx, Some(0.6)),
        ("bare hyper", &stage.bare, None),
    ] {
        if let Some(server) = server {
            let asks = fixed(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec());
            let place = ([&server.process], &server.address);
            contenders.push(Contender::open(name, bar, place, (Language::Http, asks), 32).await?);
        }
    }
    if let Some(etcd) = &stage.etcd {
        let mut connection = etcd.address.connect().await?;
        Member::ask(&mut connection, &etcd_put(1)).await?;
        let name = base64(key(1).as_bytes());
        let body = format!("{{\"key\":\"{name}\"}}");
        let asks = fixed(unsigned("POST", "/v3/kv/range", "", body.as_bytes()));
        let place = ([&etcd.process], &etcd.address);
        let load = (Language::Http, asks);
        contenders.push(Contender::open("etcd range", Some(6.0), place, load, 32).await?);
    }
    let time = Duration::from_secs_f64(options.seconds);
    compare(
        "GET of 64 bytes, 32 connections",
        &mut contenders,
        options.rounds,
        time,
    )
    .await
}

/// The load of PUT: 64 bytes into ten thousand keys in turn, acknowledged when they are on disk.
async fn put(stage: &Stage, options: &Options, connections: usize) -> io::Result<()> {
    let mut contenders = Vec::new();
    if let Some(ours) = &stage.ours {
        let asks: Asks = Arc::new(move |connection, turn, out| {
            let at = number(connection, turn);
            let path = format!("/v1/store/node0000/{}", key(at));
            let kind = "Content-Type: text/plain\r\n";
            out.extend(request("PUT", &path, kind, value(turn).as_bytes()));
        });
        let place = ([&ours.process], &ours.address);
        let load = (Language::Http, asks);
        contenders.push(Contender::open(OURS, None, place, load, connections).await?);
    }
    if let Some(etcd) = &stage.etcd {
        let asks: Asks = Arc::new(move |connection, turn, out| {
            out.extend(etcd_put(number(connection, turn)));
        });
        let place = ([&etcd.process], &etcd.address);
        let load = (Language::Http, asks);
        contenders.push(Contender::open("etcd put", Some(2.0), place, load, connections).await?);
    }
    if let Some(redis) = stage.redis.as_ref().filter(|_| connections == 256) {
        let asks: Asks = Arc::new(move |connection, turn, out| {
            let (key, value) = (key(number(connection, turn)), value(turn));
            let (k, v) = (key.len(), value.len());
            let set = format!("*3\r\n$3\r\nSET\r\n${k}\r\n{key}\r\n${v}\r\n{value}\r\n");
            out.extend(set.as_bytes());
        });
        let place = ([&redis.process], &redis.address);
        let load = (Language::Resp, asks);
        contenders
            .push(Contender::open("redis always", Some(0.2), place, load, connections).await?);
    }
    let title = format!("durable PUT of 64 bytes, {connections} connections");
    let time = Duration::from_secs_f64(options.seconds);
    compare(&title, &mut contenders, options.rounds, time).await
}

fn fixed(bytes: Vec<u8>) -> Asks {
    Arc::new(move |_, _, out| out.extend_from_slice(&bytes))
}

/// Spreads the writers over the keys.
fn number(connection: usize, turn: u64) -> u64 {
    (connection as u64 * 7919 + turn) % KEYS
}
