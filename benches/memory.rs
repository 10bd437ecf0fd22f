//! Memory per key: resident memory of a member, empty and with 100,000 and 1,000,000 keys.
//!
//! `cargo bench --bench memory -- [--keys N,N]`
//!
//! Keys have names of 24 bytes, values of 64 bytes and no history; they come in through the API, a
//! thousand in a PATCH. The memory is read from /proc after it has been still for two seconds, so
//! the readable copy has been written. "Anonymous" is what is no file. The figure after a restart
//! is what the store itself takes; the one after loading also has what the writing needed and the
//! allocator has not given back.

mod kit;

use std::io;
use std::time::Duration;

use clap::Parser;
use gaggle::io::clock;
use kit::member::{Cluster, Member};
use kit::process::resident;
use kit::{elapsed, table};

/// How long the memory must be still.
const STILL: Duration = Duration::from_secs(2);
/// How long to wait for that.
const SETTLE: Duration = Duration::from_mins(1);

/// Memory per key.
#[derive(Parser)]
struct Options {
    /// How many keys.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000")]
    keys: Vec<u64>,
}

fn main() -> io::Result<()> {
    let Some(arguments) = kit::arguments() else {
        return Ok(());
    };
    kit::introduce("memory");
    kit::runtime()?.block_on(measure(&Options::parse_from(arguments)))
}

/// Resident bytes: all, and those that are no file.
type Resident = (u64, u64);

async fn measure(options: &Options) -> io::Result<()> {
    let cluster = Cluster::new()?;
    let mut member = cluster.start("m", &[]).await?;
    let empty = settled(&member).await?;
    let mut shown = table::Table::new(&["", "resident", "anonymous", "per key", "bar"]);
    shown.row(row("empty", empty, None));
    let mut filled = 0;
    for &keys in &options.keys {
        let begin = clock::mono();
        member.fill(filled, keys).await?;
        filled = keys;
        println!(
            "{keys} keys are in after {:.1} s more",
            elapsed(begin).as_secs_f64()
        );
        let loaded = settled(&member).await?;
        shown.row(row(
            &format!("{keys} keys loaded"),
            loaded,
            Some((empty, keys)),
        ));
        member.process.stop();
        member = cluster.start("m", &[]).await?;
        let again = settled(&member).await?;
        shown.row(row(
            &format!("{keys} keys after a restart"),
            again,
            Some((empty, keys)),
        ));
    }
    println!();
    shown.print();
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "bytes for people")]
fn row(name: &str, now: Resident, keys: Option<(Resident, u64)>) -> Vec<String> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut cells = vec![
        name.to_owned(),
        format!("{:.1} MiB", mib(now.0)),
        format!("{:.1} MiB", mib(now.1)),
    ];
    if let Some((empty, keys)) = keys {
        let each = now.0.saturating_sub(empty.0) as f64 / keys as f64;
        cells.push(format!("{each:.0} B"));
        cells.push(table::at_most(each, 400.0, "B"));
    } else {
        cells.push(String::new());
        cells.push(table::at_most(mib(now.0), 30.0, "MiB"));
    }
    cells
}

/// The memory of a member once it is still.
async fn settled(member: &Member) -> io::Result<Resident> {
    let gone = || io::Error::other("the member is gone");
    let begin = clock::mono();
    let mut last = resident(member.process.pid()).ok_or_else(gone)?;
    let mut since = begin;
    while elapsed(since) < STILL && elapsed(begin) < SETTLE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = resident(member.process.pid()).ok_or_else(gone)?;
        if now.0.abs_diff(last.0) > last.0 / 200 {
            since = clock::mono();
            last = now;
        }
    }
    resident(member.process.pid()).ok_or_else(gone)
}
