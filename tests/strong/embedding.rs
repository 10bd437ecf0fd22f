//! Members inside a program, see `gaggle::daemon::embedded`.

use std::sync::Arc;
use std::time::Duration;

use gaggle::daemon::embedded::{EmbedError, Embedded, Hall, Keep};
use gaggle::strong::Refused;

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
