//! A member gives its strong side up while its disk is slow and much goes on around it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gaggle::io::clock::mono;
use gaggle::io::tasks::Tasks;
use gaggle::strong::engine::{
    Kept, LogChange, LogDisk, LogDiskError, MemoryDisk, Plan, Role, StrongError,
};
use parking_lot::{Condvar, Mutex};

use crate::net::Net;
use crate::steps::{LONG, add, change, leader, members, read, until};

const PLAN: Plan = Plan::Size(3);

/// A gate that can be closed for a while.
#[derive(Debug, Default)]
struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn close(&self) {
        *self.is_closed.lock() = true;
    }

    fn open(&self) {
        *self.is_closed.lock() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut is_closed = self.is_closed.lock();
        self.opened.wait_while(&mut is_closed, |it| *it);
    }
}

/// A disk whose commits wait as long as the gate is closed.
#[derive(Debug)]
struct Slow {
    disk: Arc<MemoryDisk>,
    gate: Arc<Gate>,
}

impl LogDisk for Slow {
    fn load(&self) -> Result<Kept, LogDiskError> {
        self.disk.load()
    }

    fn entries(&self, from: u64, to: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, LogDiskError> {
        self.disk.entries(from, to, bytes)
    }

    fn piece(&self, snapshot: u64, piece: u32) -> Result<Option<Bytes>, LogDiskError> {
        self.disk.piece(snapshot, piece)
    }

    fn commit(&self, changes: &[LogChange]) -> Result<(), LogDiskError> {
        self.gate.pass();
        self.disk.commit(changes)
    }

    fn place(&self) -> Option<Bytes> {
        self.disk.place()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_begun_under_an_id_that_was_just_given_up() {
    let net = Net::default();
    let mut others = members(&net, 3, &PLAN).await;
    assert_eq!(add(&others[0].engine, "c", 1).await, Ok(1));
    let at = (leader(&others).await + 1) % 3;
    let number = others[at].id.as_u64();
    let disk = net.kill(others.remove(at));
    let gate = Arc::new(Gate::default());
    let slow = Slow {
        disk: disk.clone(),
        gate: gate.clone(),
    };
    let on: (_, Arc<dyn LogDisk>) = (disk, Arc::new(slow));
    let back = net.start_on(number, PLAN, on, None).await;
    assert_eq!(read(&back.engine, "c").await, Ok(Some(1)));
    gate.close();
    // Its engine has to write down a vote, and cannot be ended before that is done.
    let lead = leader(&others).await;
    let next = others[1 - lead].id;
    others[lead].engine.transfer(next).await.unwrap();
    let (resetting, engine) = (Tasks::new(), back.engine.clone());
    resetting.spawn(async move { engine.reset(true).await.unwrap() });
    until("its parts are gone", || {
        back.engine.status().role == Role::Nothing
    })
    .await;
    // It looks around while its engine ends.
    net.look();
    tokio::time::sleep(Duration::from_millis(300)).await;
    for other in &others {
        net.freeze(other.id.as_u64());
    }
    gate.open();
    assert!(resetting.stop(LONG).await, "the reset does not end");
    let begun = mono();
    while mono().since(begun) < Duration::from_secs(1) {
        let status = back.engine.status();
        assert_eq!(status.role, Role::Nothing, "{status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    net.heal();
    assert_eq!(read(&back.engine, "c").await, Ok(Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_whose_group_works_is_demoted_before_it_gives_up_its_copy() {
    let net = Net::default();
    let three = members(&net, 3, &PLAN).await;
    let lead = leader(&three).await;
    let voter = &three[(lead + 1) % 3];
    for member in &three {
        let refused = member.engine.reset(false).await;
        let Err(StrongError::Impossible(why)) = refused else {
            panic!("{refused:?}");
        };
        assert!(why.contains("demote"), "{why}");
    }
    change("demote", || three[lead].engine.demote(voter.id)).await;
    until("it learns", || voter.engine.status().role == Role::Learner).await;
    let before = voter.engine.status().voter;
    voter.engine.reset(false).await.unwrap();
    assert_eq!(add(&voter.engine, "c", 1).await, Ok(1));
    assert_ne!(voter.engine.status().voter, before, "under another id");
    // Without a majority there is nobody to demote it.
    net.cut(&[three[lead].id.as_u64()]);
    let alone = &three[lead].engine;
    until("it leads no more", || alone.status().leader.is_none()).await;
    alone.reset(false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_up_its_copy_while_the_others_elect() {
    let net = Net::default();
    let mut three = members(&net, 3, &PLAN).await;
    assert_eq!(add(&three[0].engine, "c", 1).await, Ok(1));
    let at = leader(&three).await;
    drop(net.kill(three.remove(at)));
    until("nobody leads", || {
        three.iter().all(|it| it.engine.status().leader.is_none())
    })
    .await;
    for member in &three {
        let refused = member.engine.reset(false).await;
        assert!(
            matches!(refused, Err(StrongError::Impossible(_))),
            "{refused:?}"
        );
    }
    assert_eq!(read(&three[0].engine, "c").await, Ok(Some(1)));
}
