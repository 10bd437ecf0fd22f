//! Voters come and go while clients write, while members are cut off, and while leaders die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::io::tasks::Tasks;
use gaggle::model::MemberId;
use gaggle::strong::engine::{Engine, Plan, StrongError};
use gaggle::strong::{Command, CounterOp, Op};
use parking_lot::Mutex;

use crate::net::{Member, Net, id};
use crate::steps::{LONG, add, change, leader, members, read, request, until};

/// How long a client waits for one answer.
const LIMIT: Duration = Duration::from_secs(1);

fn first_alone() -> Plan {
    Plan::Names(["m1".to_owned()].into())
}

fn three_of_them() -> Plan {
    Plan::Names(["m1", "m2", "m3"].map(str::to_owned).into())
}

/// The numbers of those who vote, as a member sees it.
fn voters(engine: &Engine) -> Vec<u64> {
    let members = engine.status().members.into_iter();
    let mut voters: Vec<u64> = members
        .filter(|it| it.votes)
        .map(|it| it.member.as_u64())
        .collect();
    voters.sort_unstable();
    voters
}

/// Whether exactly these vote, as a member sees it, and no change is half done.
fn are_voters(engine: &Engine, numbers: &[u64]) -> bool {
    !engine.status().changing && voters(engine) == numbers
}

/// Makes a voter a learner; if it leads, another one leads first.
async fn demote(engine: &Engine, number: u64) {
    change("demote", || async {
        let status = engine.status();
        if status.leader == Some(id(number)) {
            let other = voters(engine).into_iter().find(|it| *it != number);
            engine.transfer(id(other.unwrap())).await?;
        }
        engine.demote(id(number)).await
    })
    .await;
}

/// Clients that add one to a counter all the time, at the members that there are.
struct Adders {
    engines: Mutex<Vec<Engine>>,
    stop: AtomicBool,
    added: AtomicI64,
    unknown: AtomicI64,
}

impl Adders {
    fn start(members: &[Member]) -> (Arc<Self>, Tasks) {
        let adders = Arc::new(Self {
            engines: Mutex::default(),
            stop: AtomicBool::new(false),
            added: AtomicI64::new(0),
            unknown: AtomicI64::new(0),
        });
        adders.at(members);
        let tasks = Tasks::new();
        for number in 0..3 {
            let adders = adders.clone();
            tasks.spawn(async move { adders.work(number).await });
        }
        (adders, tasks)
    }

    /// From now on at these.
    fn at(&self, members: &[Member]) {
        let engines = members.iter().map(|it| it.engine.clone());
        *self.engines.lock() = engines.collect();
    }

    async fn work(&self, number: usize) {
        let mut turn = number;
        while !self.stop.load(Ordering::Relaxed) {
            turn += 1;
            let engine = {
                let engines = self.engines.lock();
                engines[turn % engines.len()].clone()
            };
            let one = CounterOp::Add {
                name: "c".parse().unwrap(),
                by: 1,
            };
            let one = request(Command::Op(Op::Counter(one)));
            match engine.propose(one, LIMIT).await {
                Ok(_) => self.added.fetch_add(1, Ordering::Relaxed),
                Err(StrongError::Unknown(_)) => self.unknown.fetch_add(1, Ordering::Relaxed),
                Err(_) => 0,
            };
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until more is added.
    async fn go_on(&self) {
        let enough = self.added.load(Ordering::Relaxed) + 10;
        let begun = mono();
        while self.added.load(Ordering::Relaxed) < enough {
            let engines = self.engines.lock().clone();
            let stand = || engines.iter().map(Engine::status).collect::<Vec<_>>();
            assert!(
                mono().since(begun) < LONG,
                "nothing is added: {:#?}",
                stand()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends them, and holds the counter against what they were told.
    async fn end(&self, tasks: Tasks, engine: &Engine) {
        self.stop.store(true, Ordering::Relaxed);
        assert!(tasks.stop(LONG).await, "a client does not end");
        let held = read(engine, "c").await.unwrap().unwrap();
        let (added, unknown) = (&self.added, &self.unknown);
        let (added, unknown) = (
            added.load(Ordering::Relaxed),
            unknown.load(Ordering::Relaxed),
        );
        assert!(
            (added..=added + unknown).contains(&held),
            "{held} of {added}, and perhaps {unknown}"
        );
    }
}

/// Ends the member that leads; gives its number and disk.
async fn kill_leader(
    net: &Net,
    members: &mut Vec<Member>,
) -> (u64, Arc<gaggle::strong::engine::MemoryDisk>) {
    let at = leader(members).await;
    let dead = members.remove(at);
    let number = dead.id.as_u64();
    (number, net.kill(dead))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_grows_to_five_and_shrinks_to_three_while_clients_write() {
    let net = Net::default();
    let mut all = members(&net, 5, &first_alone()).await;
    until("all take part", || {
        all.iter().all(|it| it.engine.status().members.len() == 5)
    })
    .await;
    let (adders, tasks) = Adders::start(&all);
    adders.go_on().await;
    for number in 2..=5 {
        change("promote", || all[0].engine.promote(id(number))).await;
        adders.go_on().await;
    }
    until("five vote", || voters(&all[0].engine) == [1, 2, 3, 4, 5]).await;
    // Five bear the loss of two, one of them the leader.
    let dead = [
        kill_leader(&net, &mut all).await,
        kill_leader(&net, &mut all).await,
    ];
    adders.at(&all);
    adders.go_on().await;
    for (number, disk) in dead {
        all.push(net.start(number, first_alone(), disk).await);
    }
    adders.at(&all);
    // Down to three, without the one that leads now.
    let lead = leader(&all).await;
    let gone: [u64; 2] = [all[lead].id.as_u64(), all[(lead + 1) % 5].id.as_u64()];
    for number in gone {
        demote(&all[lead].engine, number).await;
        adders.go_on().await;
    }
    until("three vote", || {
        let now = voters(&all[(lead + 2) % 5].engine);
        now.len() == 3 && gone.iter().all(|it| !now.contains(it))
    })
    .await;
    all.retain(|it| !gone.contains(&it.id.as_u64()));
    kill_leader(&net, &mut all).await;
    adders.at(&all);
    adders.go_on().await;
    adders.end(tasks, &all[0].engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_demoted_while_it_was_cut_off_disturbs_nobody_when_it_is_back() {
    let net = Net::default();
    let mut three = members(&net, 3, &three_of_them()).await;
    let lead = leader(&three).await;
    let away = (lead + 1) % 3;
    let number = three[away].id.as_u64();
    net.cut(&[number]);
    change("demote", || three[lead].engine.demote(id(number))).await;
    assert_eq!(add(&three[lead].engine, "c", 1).await, Ok(1));
    // It asks for votes all that time, and is started again before it can hear of it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let gone = three.remove(away);
    let disk = net.kill(gone);
    let stayed = |at: &Member| (at.engine.status().leader, at.engine.status().term);
    let before = stayed(&three[0]);
    let back = net.start(number, three_of_them(), disk).await;
    net.heal();
    assert_eq!(read(&back.engine, "c").await, Ok(Some(1)));
    until("it knows that it votes no more", || {
        !voters(&back.engine).contains(&number)
    })
    .await;
    for turn in 2..=30 {
        assert_eq!(add(&back.engine, "c", 1).await, Ok(turn));
        assert_eq!(stayed(&three[0]), before, "the leader and its term stay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_within_a_change_leaves_a_group_that_works() {
    let net = Net::default();
    let mut all = members(&net, 4, &three_of_them()).await;
    until("all take part", || {
        all.iter().all(|it| it.engine.status().members.len() == 4)
    })
    .await;
    let (adders, tasks) = Adders::start(&all);
    for (round, delay) in [0, 1, 2, 4, 8, 16].into_iter().enumerate() {
        let at = leader(&all).await;
        let lead = all[at].engine.clone();
        let whom: MemberId = id(4);
        let changing = Tasks::new();
        changing.spawn(async move {
            // Whoever is asked dies; what becomes of the change is seen below.
            let asked = async {
                match round % 2 {
                    0 => lead.promote(whom).await,
                    _ => lead.demote(whom).await,
                }
            };
            let _ = tokio::time::timeout(LIMIT, asked).await;
        });
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let (number, disk) = kill_leader(&net, &mut all).await;
        adders.at(&all);
        adders.go_on().await;
        all.push(net.start(number, three_of_them(), disk).await);
        adders.at(&all);
        // Whatever was half done, the change can be made now, and undone.
        let votes = round % 2 == 0;
        if votes {
            change("promote", || all[0].engine.promote(whom)).await;
        } else {
            demote(&all[0].engine, 4).await;
        }
        let now: &[u64] = if votes { &[1, 2, 3, 4] } else { &[1, 2, 3] };
        until("it is made", || {
            all.iter().all(|it| are_voters(&it.engine, now))
        })
        .await;
        adders.go_on().await;
        assert!(changing.stop(LONG).await, "a change does not end");
    }
    adders.end(tasks, &all[0].engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demotion_of_which_only_the_demoted_one_heard_holds_nobody_up() {
    let net = Net::default();
    let mut all = members(&net, 4, &three_of_them()).await;
    until("all take part", || {
        all.iter().all(|it| it.engine.status().members.len() == 4)
    })
    .await;
    let lead = all[leader(&all).await].id.as_u64();
    let at = |number: u64| all.iter().find(|it| it.id == id(number)).unwrap();
    let (first, demoted) = (at(lead).engine.clone(), at(4).engine.clone());
    change("promote", || first.promote(id(4))).await;
    until("all know", || {
        all.iter().all(|it| voters(&it.engine).contains(&4))
    })
    .await;
    let (adders, tasks) = Adders::start(&all);
    adders.go_on().await;
    let others: Vec<u64> = (1..=3).filter(|number| *number != lead).collect();
    for other in &others {
        net.far(lead, *other, Duration::from_millis(80));
    }
    let changing = Tasks::new();
    changing.spawn(async move {
        let _ = tokio::time::timeout(LIMIT, first.demote(id(4))).await;
    });
    let begun = mono();
    while voters(&demoted).contains(&4) {
        assert!(mono().since(begun) < LONG, "it is never demoted");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let gone = all.iter().position(|it| it.id == id(lead)).unwrap();
    let _disk = net.kill(all.remove(gone));
    for it in all.iter().filter(|it| it.id != id(4)) {
        assert!(voters(&it.engine).contains(&4), "they have not heard of it");
    }
    adders.at(&all);
    adders.go_on().await;
    demote(&all[0].engine, 4).await;
    until("it is made", || {
        all.iter().all(|it| are_voters(&it.engine, &[1, 2, 3]))
    })
    .await;
    adders.go_on().await;
    adders.end(tasks, &all[0].engine).await;
    assert!(changing.stop(LONG).await, "a change does not end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_left_half_done_is_finished_by_the_next_leader() {
    let net = Net::default();
    let mut all = members(&net, 4, &three_of_them()).await;
    until("all take part", || {
        all.iter().all(|it| it.engine.status().members.len() == 4)
    })
    .await;
    let gone = leader(&all).await;
    let lead = all[gone].id.as_u64();
    for other in (1..=4).filter(|number| *number != lead) {
        net.far(lead, other, Duration::from_millis(80));
    }
    let (changing, first) = (Tasks::new(), all[gone].engine.clone());
    changing.spawn(async move {
        let _ = tokio::time::timeout(LIMIT, first.promote(id(4))).await;
    });
    // Its first step has come to the others, its second one is on the way.
    let begun = mono();
    let half_done = |all: &[Member]| {
        let others = all.iter().filter(|it| it.id != id(lead));
        others.filter(|it| it.engine.status().changing).count() == 3
    };
    while !half_done(&all) {
        assert!(mono().since(begun) < LONG, "it is never half done");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let _disk = net.kill(all.remove(gone));
    assert!(all.iter().all(|it| it.engine.status().changing));
    until("it is finished", || {
        all.iter().all(|it| are_voters(&it.engine, &[1, 2, 3, 4]))
    })
    .await;
    assert_eq!(add(&all[0].engine, "c", 1).await, Ok(1));
    assert!(changing.stop(LONG).await, "a change does not end");
}
