//! What a sync costs: 100 differing keys among 1,000,000, in bytes and in time.
//!
//! `cargo bench --bench sync_cost -- [--keys N] [--differ N] [--members-keys N]`
//!
//! First in the library: two stores, the walk and its answers of `protocol::sync`, every message
//! encoded and decoded as on the wire, all on one thread. A differing key is one that the other has
//! in another version; half of them are newer here, half there. Then with two real members: one is
//! stopped, the other is written to, and the time runs from the moment the first is ready again
//! until both tell the same digest.

mod kit;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use gaggle::io::clock;
use gaggle::model::{
    Change, Content, HybridTime, KeyName, MemberId, NodeName, NodeRegister, NodeState, Older,
    Settings, Stamp, Store, Value, Version, WallTime,
};
use gaggle::protocol::message::{About, Ask, Reply, Taken, decode, encode};
use gaggle::protocol::sync::{History, Walk, WalkStep, answer};
use kit::member::{Cluster, Member, key, request, value};
use kit::{elapsed, stats, table};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The cost of a sync.
#[derive(Parser)]
struct Options {
    /// Keys in each store.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Keys that differ.
    #[arg(long, default_value_t = 100)]
    differ: u64,
    /// Keys of the real members; 0 leaves them out.
    #[arg(long, default_value_t = 100_000)]
    members_keys: u64,
    /// How often.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
}

fn main() -> io::Result<()> {
    let Some(arguments) = kit::arguments() else {
        return Ok(());
    };
    let options = Options::parse_from(arguments);
    kit::introduce("sync_cost");
    in_the_library(&options);
    if options.members_keys > 0 {
        kit::runtime()?.block_on(with_members(&options))?;
    }
    Ok(())
}

/// A store that keeps no older versions where the walk could read them.
struct Bare;

impl History for Bare {
    type Error = Infallible;

    fn older_stamps(&self, _: &NodeName, _: &KeyName) -> Result<Vec<Stamp>, Infallible> {
        Ok(Vec::new())
    }

    fn older_versions(
        &self,
        _: &NodeName,
        _: &KeyName,
        _: &[Stamp],
    ) -> Result<Vec<Change>, Infallible> {
        Ok(Vec::new())
    }
}

/// The settings of the node of this number: no history, so that all that is kept is in memory.
fn without_history(node: u64) -> Change {
    let register = NodeRegister {
        stamp: stamp(1, 1),
        replaces: None,
        author: "admin".into(),
        written: WallTime::from_millis(1),
        state: NodeState::Present(Settings {
            history: 1,
            ..Settings::default()
        }),
        cleared: None,
    };
    Change::Node {
        node: name_of(node),
        register: Arc::new(register),
    }
}

fn name_of(node: u64) -> NodeName {
    format!("node{node:04}").parse().expect("a name")
}

fn stamp(member: u64, sequence: u64) -> Stamp {
    Stamp {
        time: HybridTime::from_bits(sequence << 16),
        member: MemberId::from_u64(member),
        sequence,
    }
}

/// The write number `sequence` of a member to the key of this number.
fn change(at: u64, member: u64, sequence: u64) -> Change {
    let version = Version {
        stamp: stamp(member, sequence),
        replaces: gaggle::model::Replaces::Nothing,
        author: "admin".into(),
        written: WallTime::from_millis(sequence),
        expires: None,
        content: Content::Value(Value::untyped(value(at).into_bytes())),
    };
    Change::Key {
        node: name_of(at / 10_000),
        key: key(at).parse().expect("a name"),
        version: Arc::new(version),
    }
}

fn merge(store: &mut Store, change: &Change) {
    let none = |_: &NodeName, _: &KeyName| Ok::<Vec<Older>, Infallible>(Vec::new());
    let Ok(_) = store.merge(change, none, &mut Vec::new());
}

/// One walk: bytes, questions, and the time that both sides took together.
struct Cost {
    bytes: usize,
    questions: usize,
    time: Duration,
}

fn walk(asker: &mut Store, answerer: &mut Store) -> Cost {
    let begin = clock::mono();
    let (mut bytes, mut questions) = (0, 0);
    let mut walk = Walk::new(About::default());
    let Ok(mut step) = walk.next(asker, &Bare);
    loop {
        let next = match step {
            WalkStep::Done => break,
            WalkStep::Include(_) | WalkStep::LetGo { .. } => walk.next(asker, &Bare),
            WalkStep::Merge(changes) => {
                changes.iter().for_each(|change| merge(asker, change));
                walk.next(asker, &Bare)
            }
            WalkStep::Ask(ask) => {
                let sent = encode(&ask);
                let received = encode(&answered(answerer, &sent));
                bytes += sent.len() + received.len();
                questions += 1;
                let reply = decode(&received).expect("our own message");
                walk.on_reply(asker, &Bare, reply)
            }
        };
        let Ok(next) = next;
        step = next;
    }
    Cost {
        bytes,
        questions,
        time: elapsed(begin),
    }
}

fn answered(store: &mut Store, sent: &[u8]) -> Reply {
    match decode::<Ask>(sent).expect("our own message") {
        Ask::Push { changes, .. } => {
            changes
                .changes
                .iter()
                .for_each(|change| merge(store, change));
            Reply::Taken(Taken {
                new: changes.changes.len() as u64,
                ..Taken::default()
            })
        }
        ask => {
            let Ok(reply) = answer(store, &Bare, About::default, ask);
            reply.expect("a question has an answer")
        }
    }
}

fn in_the_library(options: &Options) {
    let filled = || {
        let mut store = Store::new();
        (0..options.keys.div_ceil(10_000))
            .for_each(|node| merge(&mut store, &without_history(node)));
        (0..options.keys).for_each(|at| merge(&mut store, &change(at, 1, at + 1)));
        store
    };
    // Filled one by one, so that the two share no memory.
    let (mut left, mut right) = (filled(), filled());
    let equal = walk(&mut left, &mut right);
    let (mut times, mut bytes, mut questions) = (Vec::new(), 0, 0);
    for round in 1..=options.rounds {
        for number in 0..options.differ {
            let at = (number * 7919 + round * 104_729) % options.keys;
            let changed = change(at, 1 + number % 2, options.keys * (round + 1) + number);
            let newer = if number % 2 == 0 {
                &mut left
            } else {
                &mut right
            };
            merge(newer, &changed);
        }
        let cost = walk(&mut left, &mut right);
        assert_eq!(
            left.digest().root(),
            right.digest().root(),
            "they are equal now"
        );
        times.push(cost.time.as_secs_f64());
        (bytes, questions) = (cost.bytes, cost.questions);
    }
    let (differ, keys, time) = (options.differ, options.keys, stats::median(&times));
    println!(
        "\nin the library: {differ} differing keys among {keys}, median of {}",
        times.len()
    );
    let mut shown = table::Table::new(&["", "figure", "bar"]);
    let kib = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1024.0;
    shown.row(vec![
        "bytes, both ways".into(),
        format!("{kib:.1} KiB"),
        table::at_most(kib, 1024.0, "KiB"),
    ]);
    shown.row(vec!["questions".into(), questions.to_string()]);
    shown.row(vec![
        "time".into(),
        format!("{time:.3} s"),
        table::at_most(time, 1.0, "s"),
    ]);
    let idle = format!(
        "{} B, {:.0} us",
        equal.bytes,
        equal.time.as_secs_f64() * 1e6
    );
    shown.row(vec!["between equals".into(), idle]);
    shown.print();
}

async fn with_members(options: &Options) -> io::Result<()> {
    let cluster = Cluster::new()?;
    let a = cluster.start("a", &[]).await?;
    a.fill(0, options.members_keys).await?;
    let mut b = cluster.start("b", &[]).await?;
    let first = until_equal(&a, &b).await?;
    let mut heals = Vec::new();
    for round in 0..3 {
        b.process.stop();
        let mut writer = a.address.connect().await?;
        for number in 0..options.differ {
            let at = (number * 7919 + round * 104_729) % options.members_keys;
            let path = format!("/v1/store/node{:04}/{}", at / 10_000, key(at));
            let put = request("PUT", &path, "", value(at + round + 1).as_bytes());
            Member::ask(&mut writer, &put).await?;
        }
        b = cluster.start("b", &[]).await?;
        heals.push(until_equal(&a, &b).await?.as_secs_f64());
    }
    let (keys, differ) = (options.members_keys, options.differ);
    println!("\ntwo members with {keys} keys, on loopback");
    let mut shown = table::Table::new(&["", "seconds from ready to equal digests"]);
    let first = first.as_secs_f64();
    shown.row(vec![
        "an empty member gets everything".into(),
        format!("{first:.2}"),
    ]);
    let heal = stats::median(&heals);
    let what = format!(
        "{differ} keys written meanwhile (median of {})",
        heals.len()
    );
    shown.row(vec![what, format!("{heal:.2}")]);
    shown.print();
    Ok(())
}

/// Waits until both tell the same digest; fails after two minutes.
async fn until_equal(a: &Member, b: &Member) -> io::Result<Duration> {
    let begin = clock::mono();
    let (mut to_a, mut to_b) = (a.address.connect().await?, b.address.connect().await?);
    while elapsed(begin) < Duration::from_mins(2) {
        let (left, right) = (
            Member::status(&mut to_a).await?,
            Member::status(&mut to_b).await?,
        );
        if left["digest"].is_string() && left["digest"] == right["digest"] {
            return Ok(elapsed(begin));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(io::Error::other(
        "the members are not equal after two minutes",
    ))
}
