//! Three members in one process: an ordered log that all of them read alike, and increments that
//! none of them loses. `cargo run --example embedded`, or over the network: `… -- network`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use gaggle::daemon::embedded::{Embedded, Hall, Keep, Network};

const RHYME: [&str; 4] = [
    "mary had a little lamb",
    "its fleece was white as snow",
    "and everywhere that mary went",
    "the lamb was sure to go",
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (hall, network) = (Hall::new(), Network::on_loopback());
    let over_network = std::env::args().any(|argument| argument == "network");
    let mut members = Vec::new();
    for name in ["a", "b", "c"] {
        members.push(Arc::new(if over_network {
            network.start(name, 3, Keep::InMemory).await?
        } else {
            hall.start(name, 3, Keep::InMemory).await?
        }));
    }

    // Any member takes an entry; it has its index when a majority has the entry.
    for (line, member) in RHYME.iter().zip(members.iter().cycle()) {
        let index = member.append("rhyme", &format!("{line:?}")).await?;
        println!("{index} appended by a member");
    }
    // All members have the same entries in the same order.
    for member in &members {
        println!("member {}:", member.id());
        let mut next = 1;
        while next <= RHYME.len() as u64 {
            for (index, entry) in member.committed("rhyme", next).await? {
                println!("  {index} {}", entry.json.as_str());
                next = index + 1;
            }
        }
    }

    // A counter adds up whoever adds at the same time; a lock helps what has no counter.
    let mut shared = 0;
    for round in 0..3 {
        let (one, other) = (&members[round], &members[(round + 1) % 3]);
        let (first, second) = tokio::join!(one.add("hits", 1), other.add("hits", 1));
        println!("two at once: {} and {}", first?, second?);
        shared += under_lock(one).await?;
    }
    assert_eq!(members[0].add("hits", 0).await?, 6);
    assert_eq!(shared, 3);
    for member in members {
        Arc::into_inner(member).ok_or("in use")?.stop().await;
    }
    Ok(())
}

async fn under_lock(member: &Embedded) -> Result<u32, Box<dyn Error>> {
    let (ttl, wait) = (Duration::from_secs(10), Duration::from_secs(5));
    let lock = member.lock("shared", ttl, wait).await?;
    println!("the lock is held with token {}", lock.token);
    member.unlock(&lock).await?;
    Ok(1)
}
