//! Voters that come back with an older copy of what they had: they must not vote by it.

use std::sync::Arc;
use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::strong::engine::{MemoryDisk, Plan, Trouble, View};

use crate::net::{Member, Net};
use crate::steps::{LONG, add, leader, members, read, until};

const PLAN: Plan = Plan::Size(3);
/// Longer than an election takes, and than a majority is waited for.
const WHILE: Duration = Duration::from_secs(4);

/// A stopped group: what each member had before the last commands, and what it has.
struct Stopped {
    net: Net,
    older: Vec<Arc<MemoryDisk>>,
    disks: Vec<Arc<MemoryDisk>>,
    /// Who led, who acknowledged all, and who was cut off: places among them.
    lead: usize,
    follow: usize,
    apart: usize,
}

/// When the older copies are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// While all are stopped.
    Stopped,
    /// While they run.
    Running,
}

/// Three members stop after a counter went from 1 to 6; the older copies know of 1 only, and so
/// does the member that was cut off.
async fn stopped(made: Made) -> Stopped {
    let net = Net::default();
    let mut three = members(&net, 3, &PLAN).await;
    let lead = leader(&three).await;
    assert_eq!(add(&three[lead].engine, "c", 1).await, Ok(1));
    for member in &three {
        assert_eq!(read(&member.engine, "c").await, Ok(Some(1)));
    }
    let copy = |disks: &[Arc<MemoryDisk>]| -> Vec<_> {
        disks.iter().map(|disk| Arc::new(disk.copy())).collect()
    };
    let mut older = Vec::new();
    if made == Made::Stopped {
        let disks = kill(&net, three);
        older = copy(&disks);
        three = start(&net, disks).await;
    }
    let lead = leader(&three).await;
    assert_eq!(read(&three[lead].engine, "c").await, Ok(Some(1)));
    if made == Made::Running {
        let disks: Vec<_> = three.iter().map(|member| member.disk.clone()).collect();
        older = copy(&disks);
    }
    let (follow, apart) = ((lead + 1) % 3, (lead + 2) % 3);
    net.cut(&[three[apart].id.as_u64()]);
    for value in 2..=6 {
        assert_eq!(add(&three[lead].engine, "c", 1).await, Ok(value));
    }
    let disks = kill(&net, three);
    net.heal();
    Stopped {
        net,
        older,
        disks,
        lead,
        follow,
        apart,
    }
}

fn kill(net: &Net, members: Vec<Member>) -> Vec<Arc<MemoryDisk>> {
    members.into_iter().map(|member| net.kill(member)).collect()
}

async fn start(net: &Net, disks: Vec<Arc<MemoryDisk>>) -> Vec<Member> {
    let mut members = Vec::new();
    for (number, disk) in (1..).zip(disks) {
        members.push(net.start(number, PLAN, disk).await);
    }
    members
}

impl Stopped {
    /// Starts a member with what it had when it stopped.
    async fn intact(&self, at: usize) -> Member {
        self.with(at, self.disks[at].clone()).await
    }

    async fn with(&self, at: usize, disk: Arc<MemoryDisk>) -> Member {
        self.net.start(at as u64 + 1, PLAN, disk).await
    }
}

/// What reads of these members are answered, for as long as an election could take.
async fn answers(members: &[&Member]) -> Vec<Option<i64>> {
    let (begun, mut answers) = (mono(), Vec::new());
    while mono().since(begun) < WHILE {
        for member in members {
            let answered = member.engine.fresh(Duration::from_millis(300)).await;
            let value = |view: &View| view.state.counters().counter("c").map(|it| it.value);
            answers.extend(answered.map(|view| value(&view)));
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_set_back_while_all_were_stopped_begins_again_and_nothing_is_lost() {
    let group = stopped(Made::Stopped).await;
    let disk = group.older[group.follow].clone();
    let back = group.with(group.follow, disk).await;
    let voter = back.engine.status().voter;
    let others = [
        group.intact(group.apart).await,
        group.intact(group.lead).await,
    ];
    for member in [&back, &others[0], &others[1]] {
        assert_eq!(read(&member.engine, "c").await, Ok(Some(6)));
    }
    until("it has another id", || back.engine.status().voter != voter).await;
    // It takes its own place among the voters again.
    until("it votes", || {
        let status = back.engine.status();
        let mut parts = status.members.iter();
        parts.any(|it| it.votes && it.voter == status.voter)
    })
    .await;
    assert_eq!(add(&back.engine, "c", 1).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_set_back_while_the_leader_is_dead_elects_nobody() {
    let group = stopped(Made::Stopped).await;
    let disk = group.older[group.follow].clone();
    let back = group.with(group.follow, disk).await;
    let voter = back.engine.status().voter;
    let other = group.intact(group.apart).await;
    assert_eq!(answers(&[&back, &other]).await, []);
    let why = back.engine.status().why.unwrap_or_default();
    assert!(
        why.contains("older copy") && why.contains("quorum recover"),
        "{why}"
    );
    let lead = group.intact(group.lead).await;
    for member in [&lead, &other, &back] {
        assert_eq!(read(&member.engine, "c").await, Ok(Some(6)));
    }
    assert_ne!(back.engine.status().voter, voter);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_running_voter_elects_nobody_before_all_others_have_answered() {
    let group = stopped(Made::Running).await;
    let disk = Arc::new(group.older[group.follow].copied());
    let back = group.with(group.follow, disk).await;
    let other = group.intact(group.apart).await;
    assert_eq!(answers(&[&back, &other]).await, []);
    let why = back.engine.status().why.unwrap_or_default();
    assert!(why.contains("moved or copied"), "{why}");
    let lead = group.intact(group.lead).await;
    for member in [&lead, &other, &back] {
        assert_eq!(read(&member.engine, "c").await, Ok(Some(6)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_lost_its_last_writes_elects_nobody_without_them() {
    let group = stopped(Made::Running).await;
    // Nothing tells that it is a copy, but the others know what a majority had.
    let disk = group.older[group.follow].clone();
    group.net.slow(Duration::from_millis(100), 0);
    let back = group.with(group.follow, disk).await;
    let other = group.intact(group.apart).await;
    let lead = group.intact(group.lead).await;
    until("it takes part", || back.engine.status().state == "working").await;
    // The only one that has all dies, most likely before it could send it.
    group.net.kill(lead);
    group.net.heal();
    let answers = answers(&[&back, &other]).await;
    assert!(answers.iter().all(|it| *it == Some(6)), "{answers:?}");
    let lead = group.intact(group.lead).await;
    for member in [&back, &other, &lead] {
        assert_eq!(read(&member.engine, "c").await, Ok(Some(6)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_lost_a_vote_gives_none_in_that_term() {
    let net = Net::default();
    let three = members(&net, 3, &PLAN).await;
    let lead = leader(&three).await;
    assert_eq!(add(&three[lead].engine, "c", 1).await, Ok(1));
    let (at, next) = ((lead + 1) % 3, (lead + 2) % 3);
    assert_eq!(read(&three[next].engine, "c").await, Ok(Some(1)));
    let copy = Arc::new(three[at].disk.copy());
    let before = three[at].engine.status().term;
    three[lead].engine.transfer(three[next].id).await.unwrap();
    leader(&three).await;
    let term = three[next].engine.status().term;
    assert!(term > before);
    let mut disks = kill(&net, three);
    disks[at] = copy;
    // No leader tells it anything before it takes part.
    net.slow(Duration::from_millis(100), 0);
    let again = start(&net, disks).await;
    until("it takes part", || {
        again[at].engine.status().state == "working"
    })
    .await;
    assert!(again[at].engine.status().term >= term);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_of_three_set_back_the_group_refuses_until_an_operator_decides() {
    let group = stopped(Made::Stopped).await;
    let (follow, apart) = (group.follow, group.apart);
    let one = group.with(follow, group.older[follow].clone()).await;
    let two = group.with(apart, group.older[apart].clone()).await;
    let lead = group.intact(group.lead).await;
    assert_eq!(answers(&[&one, &two, &lead]).await, []);
    for set_back in [&one, &two] {
        let why = set_back.engine.status().why.unwrap_or_default();
        assert!(why.contains("quorum recover"), "{why}");
    }
    let last = |member: &Member| member.engine.status().last;
    assert!(last(&lead) > last(&one), "the operator sees who has more");
    lead.engine.recover().await.unwrap();
    for member in [&lead, &one, &two] {
        assert_eq!(read(&member.engine, "c").await, Ok(Some(6)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_go_on_by_themselves_after_all_were_stopped() {
    let group = stopped(Made::Stopped).await;
    let begun = mono();
    let two = [
        group.intact(group.follow).await,
        group.intact(group.apart).await,
    ];
    leader(&two).await;
    assert_eq!(read(&two[1].engine, "c").await, Ok(Some(6)));
    assert!(mono().since(begun) < LONG / 3);
    assert_eq!(add(&two[0].engine, "c", 1).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_data_was_moved_goes_on_once_all_are_there() {
    let group = stopped(Made::Stopped).await;
    let moved = group.disks.iter().map(|disk| Arc::new(disk.copied()));
    let three = start(&group.net, moved.collect()).await;
    let voters: Vec<_> = three.iter().map(|it| it.engine.status().voter).collect();
    for member in &three {
        assert_eq!(read(&member.engine, "c").await, Ok(Some(6)));
    }
    let now: Vec<_> = three.iter().map(|it| it.engine.status().voter).collect();
    assert_eq!(now, voters, "nobody has forgotten anything");
    // The next start is one like any other: two are enough.
    let mut disks = kill(&group.net, three);
    disks.truncate(2);
    let two = start(&group.net, disks).await;
    leader(&two).await;
    assert_eq!(read(&two[0].engine, "c").await, Ok(Some(6)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_cannot_write_its_seal_takes_no_part_and_says_why() {
    let group = stopped(Made::Stopped).await;
    let disk = group.disks[group.apart].clone();
    disk.trouble(Trouble::FailsBefore);
    let other = group.intact(group.follow).await;
    let apart = group.with(group.apart, disk.clone()).await;
    until("it says why", || {
        let status = apart.engine.status();
        status.state == "failed" && status.why.is_some_and(|why| why.contains("disk failed"))
    })
    .await;
    assert_eq!(answers(&[&apart, &other]).await, []);
    let disk = group.net.kill(apart);
    disk.restart();
    let apart = group.with(group.apart, disk).await;
    leader(&[apart, other]).await;
}
