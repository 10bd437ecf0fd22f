//! Push lag: how soon a write on one member is seen on the others.
//!
//! `cargo bench --bench push_lag -- [--writes-per-second N] [--seconds S]`
//!
//! Three members on loopback. Eight connections write to one of them, 500 values a second in all,
//! at fixed times. Every 20 ms one more write is a probe: a key gets a new value, and one
//! connection to each of the other members asks for that key every 0.2 ms until it has it, which is
//! how exact a lag is. (Asking without a pause would take the processor from what is measured.) Two
//! figures: from the request sent (the
//! disk of the first member included) and from its acknowledgement.

mod kit;

use std::io;
use std::time::Duration;

use clap::Parser;
use gaggle::io::clock;
use gaggle::io::tasks::Tasks;
use gaggle::protocol::Mono;
use kit::client::{Address, Connection};
use kit::member::{Cluster, Member, key, request, value};
use kit::{elapsed, stats, table};
use tokio::sync::{mpsc, watch};

/// The connections that write beside the probe.
const WRITERS: u64 = 8;
/// The time from one probe to the next.
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// The pause between two looks at another member.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// A probe that is not seen by then counts as this long.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The lag between members.
#[derive(Parser)]
struct Options {
    /// Writes per second beside the probes.
    #[arg(long, default_value_t = 500)]
    writes_per_second: u64,
    /// How long to measure.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
}

fn main() -> io::Result<()> {
    let Some(arguments) = kit::arguments() else {
        return Ok(());
    };
    kit::introduce("push_lag");
    kit::runtime()?.block_on(measure(&Options::parse_from(arguments)))
}

async fn measure(options: &Options) -> io::Result<()> {
    let cluster = Cluster::new()?;
    let mut members = Vec::new();
    for name in ["a", "b", "c"] {
        members.push(cluster.start(name, &[]).await?);
    }
    for member in &members {
        wait_for_all(member, members.len()).await?;
    }
    let tasks = Tasks::new();
    let [a, b, c] = members.as_slice() else {
        return Ok(());
    };
    for number in 0..WRITERS {
        let connection = a.address.connect().await?;
        let pause =
            Duration::from_secs(WRITERS) / u32::try_from(options.writes_per_second).unwrap_or(1);
        tasks.spawn_until_stop(async move {
            if let Err(error) = write_steadily(connection, number, pause).await {
                eprintln!("a writer stopped: {error}");
            }
        });
    }
    let mut probes = a.address.connect().await?;
    let (probe, seen) = watch::channel(None);
    let (tell, mut told) = mpsc::channel(16);
    for member in [b, c] {
        watcher(member.address.clone(), seen.clone(), tell.clone())?;
    }
    let begin = clock::mono();
    let (mut sent_lags, mut acknowledged_lags, mut turn) = (Vec::new(), Vec::new(), 0);
    while elapsed(begin).as_secs_f64() < options.seconds {
        turn += 1;
        let sent = clock::mono();
        probe.send_replace(Some(turn));
        Member::ask(&mut probes, &probe_put(turn)).await?;
        let acknowledged = clock::mono();
        for _ in 0..2 {
            let Some(at) = told.recv().await else {
                return Err(io::Error::other("nobody watches"));
            };
            sent_lags.push(millis(at, sent));
            acknowledged_lags.push(millis(at, acknowledged));
        }
        clock::sleep_until(sent.plus(PROBE_EVERY)).await;
    }
    tasks.stop(Duration::from_secs(5)).await;
    report(options, &sent_lags, &acknowledged_lags);
    Ok(())
}

/// Milliseconds from one point in time to another; negative if it was the other way round.
fn millis(later: Mono, earlier: Mono) -> f64 {
    (later.0.as_secs_f64() - earlier.0.as_secs_f64()) * 1e3
}

fn report(options: &Options, sent: &[f64], acknowledged: &[f64]) {
    println!(
        "\n3 members, {} writes/s, {} probes seen on 2 others, milliseconds",
        options.writes_per_second,
        sent.len() / 2
    );
    let mut shown = table::Table::new(&[
        "until another has it",
        "p50",
        "p99",
        "max",
        "bar p50",
        "bar p99",
    ]);
    for (name, lags) in [
        ("from the request sent", sent),
        ("from its acknowledgement", acknowledged),
    ] {
        let at = |share| stats::quantile(lags, share);
        shown.row(vec![
            name.into(),
            format!("{:.2}", at(0.5)),
            format!("{:.2}", at(0.99)),
            format!("{:.2}", at(1.0)),
            table::at_most(at(0.5), 5.0, "ms"),
            table::at_most(at(0.99), 100.0, "ms"),
        ]);
    }
    shown.print();
}

/// Waits until a member knows so many to be alive.
async fn wait_for_all(member: &Member, count: usize) -> io::Result<()> {
    let begin = clock::mono();
    let mut connection = member.address.connect().await?;
    while elapsed(begin) < Duration::from_mins(1) {
        let status = Member::status(&mut connection).await?;
        if status["members"]["alive"].as_u64() == Some(count as u64) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(io::Error::other(
        "the members did not find each other within a minute",
    ))
}

fn probe_put(turn: u64) -> Vec<u8> {
    request(
        "PUT",
        "/v1/store/probe/lag",
        "Content-Type: text/plain\r\n",
        value(turn).as_bytes(),
    )
}

/// Writes at fixed times; a late one does not move those after it.
async fn write_steadily(
    mut connection: Connection,
    number: u64,
    pause: Duration,
) -> io::Result<()> {
    let mut next = clock::mono();
    for turn in 0u64.. {
        let path = format!(
            "/v1/store/node0000/{}",
            key((number * 1000 + turn) % 10_000)
        );
        let put = request(
            "PUT",
            &path,
            "Content-Type: text/plain\r\n",
            value(turn).as_bytes(),
        );
        Member::ask(&mut connection, &put).await?;
        next = next.plus(pause);
        clock::sleep_until(next).await;
    }
    Ok(())
}

/// Starts a thread that watches one member until there are no more probes.
fn watcher(
    address: Address,
    seen: watch::Receiver<Option<u64>>,
    tell: mpsc::Sender<Mono>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Tasks::thread("watcher", move || {
        let watching = async {
            let connection = address.connect().await?;
            watch_probes(connection, seen, tell).await
        };
        if let Err(error) = runtime.block_on(watching) {
            eprintln!("a watcher stopped: {error}");
        }
    })?;
    Ok(())
}

/// For each probe, asks until its value is there and tells when that was.
async fn watch_probes(
    mut connection: Connection,
    mut probe: watch::Receiver<Option<u64>>,
    tell: mpsc::Sender<Mono>,
) -> io::Result<()> {
    let get = request("GET", "/v1/store/probe/lag", "", b"");
    while probe.changed().await.is_ok() {
        let turn = *probe.borrow_and_update();
        let wanted = turn.map(value).unwrap_or_default().into_bytes();
        let begin = clock::mono();
        loop {
            let answer = connection.http(&get).await?;
            let there = answer.status == 200 && connection.body(&answer) == wanted;
            if there || elapsed(begin) > GIVE_UP {
                break;
            }
            // The thread is this watcher's own, and the runtime's timer knows only milliseconds.
            std::thread::sleep(LOOK_EVERY);
        }
        if tell.send(clock::mono()).await.is_err() {
            break;
        }
    }
    Ok(())
}
