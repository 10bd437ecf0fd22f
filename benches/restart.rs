//! Restart and start: from starting the program to its first answer and until it says it is ready;
//! and the sizes of the binary and the image.
//!
//! `cargo bench --bench restart -- [--keys N,N] [--rounds N] [--image NAME]`
//!
//! "Ready" is a 200 from `/readyz`, asked every millisecond over HTTPS. Each restart is measured
//! after a clean stop (SIGTERM) and after `kill -9`; the files are in the page cache both times.

mod kit;

use std::io;
use std::process::Command;

use clap::Parser;
use gaggle::io::clock;
use kit::member::{Cluster, Member, program, request, value};
use kit::{elapsed, stats, table};

/// Start, restart and sizes.
#[derive(Parser)]
struct Options {
    /// How many keys.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000")]
    keys: Vec<u64>,
    /// How often each start is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The image whose size is told, if docker has it.
    #[arg(long, default_value = "gaggle")]
    image: String,
}

fn main() -> io::Result<()> {
    let Some(arguments) = kit::arguments() else {
        return Ok(());
    };
    let options = Options::parse_from(arguments);
    kit::introduce("restart");
    sizes(&options.image)?;
    kit::runtime()?.block_on(async {
        cold(&options).await?;
        restarts(&options).await
    })
}

#[expect(clippy::cast_precision_loss, reason = "bytes for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn sizes(image: &str) -> io::Result<()> {
    let mut shown = table::Table::new(&["", "figure", "bar"]);
    let binary = mib(std::fs::metadata(program())?.len());
    shown.row(vec![
        "binary".into(),
        format!("{binary:.1} MiB"),
        table::at_most(binary, 30.0, "MiB"),
    ]);
    let asked = Command::new("docker")
        .args(["image", "inspect", "--format", "{{.Size}}", image])
        .output();
    let size = asked
        .ok()
        .and_then(|said| String::from_utf8_lossy(&said.stdout).trim().parse().ok());
    if let Some(size) = size.map(mib) {
        shown.row(vec![
            "image".into(),
            format!("{size:.1} MiB"),
            table::at_most(size, 30.0, "MiB"),
        ]);
    } else {
        println!("SKIPPED: the size of the image, docker has none of the name {image}");
    }
    println!();
    shown.print();
    Ok(())
}

/// Starts in an empty directory.
async fn cold(options: &Options) -> io::Result<()> {
    let (mut first, mut ready) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds.max(5) {
        let cluster = Cluster::new()?;
        let member = cluster.start("cold", &[]).await?;
        first.push(member.first_answer.as_secs_f64() * 1e3);
        ready.push(member.ready.as_secs_f64() * 1e3);
    }
    let (first, ready) = (stats::median(&first), stats::median(&ready));
    println!("\ncold start in an empty directory (median)");
    let mut shown = table::Table::new(&["", "ms", "bar"]);
    shown.row(vec![
        "first answer".into(),
        format!("{first:.0}"),
        table::at_most(first, 300.0, "ms"),
    ]);
    shown.row(vec!["ready".into(), format!("{ready:.0}")]);
    shown.print();
    Ok(())
}

async fn restarts(options: &Options) -> io::Result<()> {
    let cluster = Cluster::new()?;
    let mut member = cluster.start("m", &[]).await?;
    let mut filled = 0;
    let mut shown = table::Table::new(&["restart to ready", "seconds", "stopping took", "bar"]);
    for &keys in &options.keys {
        member.fill(filled, keys).await?;
        filled = keys;
        #[expect(clippy::cast_precision_loss, reason = "a bar for people")]
        let bar = keys as f64 / 1e5;
        for clean in [true, false] {
            let (mut starts, mut stops) = (Vec::new(), Vec::new());
            for round in 0..options.rounds {
                let begin = clock::mono();
                end(&mut member, clean, round as u64).await?;
                stops.push(elapsed(begin).as_secs_f64());
                member = cluster.start("m", &[]).await?;
                starts.push(member.ready.as_secs_f64());
                check(&member, keys).await?;
            }
            let (start, how) = (
                stats::median(&starts),
                if clean { "a clean stop" } else { "kill -9" },
            );
            shown.row(vec![
                format!("{keys} keys, after {how}"),
                format!("{start:.2}"),
                format!("{:.2}", stats::median(&stops)),
                table::at_most(start, bar, "s"),
            ]);
        }
    }
    println!();
    shown.print();
    Ok(())
}

/// Ends a member: cleanly, or by a kill right after a write was acknowledged.
async fn end(member: &mut Member, clean: bool, round: u64) -> io::Result<()> {
    if clean {
        member.process.stop();
        return Ok(());
    }
    let mut connection = member.address.connect().await?;
    let put = request("PUT", "/v1/store/last/word", "", value(round).as_bytes());
    Member::ask(&mut connection, &put).await?;
    member.process.kill();
    Ok(())
}

/// Looks whether the keys are there: a quick start without them would be no start.
async fn check(member: &Member, keys: u64) -> io::Result<()> {
    let mut connection = member.address.connect().await?;
    let status = Member::status(&mut connection).await?;
    match status["keys"].as_u64() {
        Some(there) if there >= keys => Ok(()),
        there => Err(io::Error::other(format!(
            "{there:?} of {keys} keys after a restart"
        ))),
    }
}
