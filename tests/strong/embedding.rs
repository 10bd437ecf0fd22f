//! Members inside a program, see `gaggle::daemon::embedded`.

use std::sync::Arc;
use std::time::Duration;

use gaggle::daemon::embedded::{EmbedError, Embedded, Hall, Keep, Network};
use gaggle::strong::Refused;
use gaggle::strong::engine::StrongError;

use crate::steps::{LONG, until};

async fn three(hall: &Hall, keep: impl Fn(usize) -> Keep) -> Vec<Embedded> {
    let mut members = Vec::new();
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        members.push(hall.start(name, 3, keep(number)).await.unwrap());
    }
    members
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_on_disk_is_there_again_in_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    let place = |number: usize| Keep::OnDisk(dir.path().join(number.to_string()));
    let hall = Hall::new();
    let members = three(&hall, place).await;
    let ids: Vec<_> = members.iter().map(Embedded::id).collect();
    for (number, member) in members.iter().enumerate() {
        let index = member.append("l", &number.to_string()).await.unwrap();
        assert_eq!(index, number as u64 + 1);
    }
    // Used by one member at a time.
    let twice = hall.start("d", 3, place(0)).await;
    assert!(matches!(twice, Err(EmbedError::Directory(_))));
    for member in members {
        member.stop().await;
    }
    let again = three(&Hall::new(), place).await;
    assert_eq!(again.iter().map(Embedded::id).collect::<Vec<_>>(), ids);
    assert_eq!(again[1].append("l", "3").await.unwrap(), 4);
    for member in &again {
        let mut found = Vec::new();
        while found.len() < 4 {
            let more = member.committed("l", found.len() as u64 + 1).await.unwrap();
            found.extend(
                more.into_iter()
                    .map(|(_, item)| item.json.as_str().to_owned()),
            );
        }
        assert_eq!(found, ["0", "1", "2", "3"]);
    }
    for member in again {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_under_a_lock_are_not_lost() {
    let hall = Hall::new();
    let members: Vec<_> = three(&hall, |_| Keep::InMemory).await;
    let members: Vec<Arc<Embedded>> = members.into_iter().map(Arc::new).collect();
    // Read, wait, write: without the lock most of them would be lost.
    let value = Arc::new(parking_lot::Mutex::new((0_u32, 0_u64)));
    let tasks = gaggle::io::tasks::Tasks::new();
    for client in 0..6 {
        let (member, value) = (members[client % 3].clone(), value.clone());
        tasks.spawn(async move {
            for _ in 0..5 {
                let long = Duration::from_secs(20);
                let lock = member.lock("value", long, long).await.unwrap();
                let (before, newest) = *value.lock();
                assert!(lock.token > newest, "tokens only grow");
                tokio::time::sleep(Duration::from_millis(2)).await;
                *value.lock() = (before + 1, lock.token);
                member.unlock(&lock).await.unwrap();
            }
        });
    }
    assert!(tasks.stop(Duration::from_mins(1)).await, "all have had it");
    assert_eq!(value.lock().0, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_says_why() {
    let hall = Hall::new();
    let alone = hall.start("a", 1, Keep::InMemory).await.unwrap();
    for (log, json) in [("", "1"), ("a/b", "1"), ("l", ""), ("l", "{")] {
        let refused = alone.append(log, json).await;
        assert!(
            matches!(refused, Err(EmbedError::Invalid(_))),
            "{log:?} {json:?}"
        );
    }
    let (ttl, short) = (Duration::from_secs(20), Duration::from_millis(50));
    let lock = alone.lock("l", ttl, short).await.unwrap();
    let second = alone.lock("l", ttl, short).await;
    assert!(
        matches!(second, Err(EmbedError::Refused(Refused::WaitOver))),
        "{second:?}"
    );
    alone.unlock(&lock).await.unwrap();
    let twice = alone.unlock(&lock).await;
    assert!(
        matches!(twice, Err(EmbedError::Refused(Refused::WrongNonce))),
        "{twice:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_lock_is_told_when_the_majority_is_lost() {
    let hall = Hall::new();
    let [a, b, c] = <[Embedded; 3]>::try_from(three(&hall, |_| Keep::InMemory).await)
        .unwrap_or_else(|_| unreachable!("there are three"));
    let (ttl, short) = (Duration::from_mins(5), Duration::from_millis(500));
    a.lock("l", ttl, short).await.unwrap();
    let waiting = c.lock("l", ttl, Duration::from_secs(3));
    let losing = async {
        until("it waits", || {
            let view = c.engine().local();
            let lock = view.state.locks().lock("l");
            lock.is_some_and(|lock| lock.waiters().len() == 1)
        })
        .await;
        a.stop().await;
        b.stop().await;
    };
    let (waited, ()) = tokio::time::timeout(LONG, async { tokio::join!(waiting, losing) })
        .await
        .expect("it does not wait for ever");
    let unknown = matches!(waited, Err(EmbedError::Group(StrongError::Unknown(_))));
    assert!(unknown, "{waited:?}");
}

/// Who leads, once all of these agree.
async fn leads(members: &[Embedded]) -> usize {
    let leaders = || -> Vec<_> {
        let all = members.iter();
        all.map(|it| it.engine().status().leader).collect()
    };
    until("a leader", || {
        let all = leaders();
        let is_here = members.iter().any(|it| Some(it.id()) == all[0]);
        is_here && all.iter().all(|it| *it == all[0])
    })
    .await;
    let leader = leaders()[0];
    let place = members.iter().position(|it| Some(it.id()) == leader);
    place.expect("it is one of them")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_over_the_network_go_on_when_their_leader_stops() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::on_loopback();
    let mut members = Vec::new();
    for name in ["a", "b", "c"] {
        let place = Keep::OnDisk(dir.path().join(name));
        members.push(network.start(name, 3, place).await.unwrap());
    }
    let lead = leads(&members).await;
    let [one, other] = [(lead + 1) % 3, (lead + 2) % 3].map(|at| &members[at]);
    for index in 1..=3_u64 {
        let appended = one.append("l", &index.to_string()).await.unwrap();
        assert_eq!(appended, index);
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let from = seen.len() as u64 + 1;
        let more = other.committed("l", from).await.unwrap();
        seen.extend(
            more.into_iter()
                .map(|(_, item)| item.json.as_str().to_owned()),
        );
    }
    assert_eq!(seen, ["1", "2", "3"]);
    // A lock that runs out is lost: its next holder has a greater token.
    let short = Duration::from_millis(500);
    let lost = one.lock("k", short, short).await.unwrap();
    let held = other.lock("k", LONG, LONG).await.unwrap();
    assert!(held.token > lost.token);
    let late = one.unlock(&lost).await;
    assert!(
        matches!(late, Err(EmbedError::Refused(Refused::WrongNonce))),
        "{late:?}"
    );
    let address = members[lead].address().unwrap();
    members.remove(lead).stop().await;
    let gone = tokio::net::TcpStream::connect(address).await;
    assert!(gone.is_err(), "nobody answers there any more");
    leads(&members).await;
    assert_eq!(members[0].append("l", "4").await.unwrap(), 4);
    let after = members[1].committed("l", 4).await.unwrap();
    assert_eq!(after[0].1.json.as_str(), "4");
    for member in members {
        member.stop().await;
    }
    // What they kept is there again.
    let network = Network::on_loopback();
    let refused = network
        .start("a", 3, Keep::OnDisk(dir.path().join("a")))
        .await;
    assert!(
        matches!(refused, Err(EmbedError::Daemon(_))),
        "another secret is another cluster"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_over_the_network_that_keeps_nothing_leaves_nothing() {
    let network = Network::on_loopback().with("password", "seven-geese");
    let alone = network.start("a", 1, Keep::InMemory).await.unwrap();
    assert_eq!(alone.add("c", 2).await.unwrap(), 2);
    let id = alone.id().to_string();
    let has_files = || {
        let mut found = std::fs::read_dir(std::env::temp_dir()).unwrap();
        found.any(|entry| {
            let path = entry.unwrap().path().join("member.json");
            std::fs::read_to_string(path).is_ok_and(|text| text.contains(&id))
        })
    };
    assert!(has_files(), "what must be in files has a directory");
    alone.stop().await;
    assert!(!has_files());
    let odd = network.with("colour", "blue");
    let refused = odd.start("a", 1, Keep::InMemory).await;
    assert!(matches!(refused, Err(EmbedError::Setting(why)) if why.contains("colour")));
}
