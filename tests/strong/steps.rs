//! What the tests do again and again.

use std::sync::Arc;
use std::time::Duration;

use gaggle::strong::engine::{Engine, MemoryDisk, Plan, Request, StrongError};
use gaggle::strong::{Answer, Command, CounterName, CounterOp, Op, Outcome};

use crate::net::{Member, Net};

/// How long things may take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// Starts members with the numbers from 1 on.
pub(crate) async fn members(net: &Net, count: u64, plan: &Plan) -> Vec<Member> {
    let mut members = Vec::new();
    for number in 1..=count {
        let disk = Arc::new(MemoryDisk::new());
        members.push(net.start(number, plan.clone(), disk).await);
    }
    members
}

/// How often a change is asked for until it is made: whoever leads may have died meanwhile.
const TRIES: usize = 60;

/// Asks for a change until it is made.
pub(crate) async fn change<F>(what: &str, ask: impl Fn() -> F)
where
    F: Future<Output = Result<(), StrongError>>,
{
    let mut last = Ok(());
    for _ in 0..TRIES {
        last = ask().await;
        if last.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: {last:?}");
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(LONG, wait).await;
    assert!(waited.is_ok(), "not in time: {what}");
}

/// A command without conditions.
pub(crate) fn request(command: Command) -> Request {
    Request {
        author: "test".into(),
        request: None,
        fences: Vec::new(),
        command,
    }
}

/// Adds to a counter; gives what it holds then.
pub(crate) async fn add(engine: &Engine, name: &str, by: i64) -> Result<i64, StrongError> {
    let name: CounterName = name.parse().unwrap();
    let add = Command::Op(Op::Counter(CounterOp::Add { name, by }));
    let answer: Answer = engine.propose(request(add), LONG).await?;
    match answer? {
        Outcome::Counter(Some(value)) => Ok(value),
        other => panic!("an odd outcome: {other:?}"),
    }
}

/// What a counter holds, freshly read.
pub(crate) async fn read(engine: &Engine, name: &str) -> Result<Option<i64>, StrongError> {
    let view = engine.fresh(LONG).await?;
    Ok(view.state.counters().counter(name).map(|at| at.value))
}

/// Waits until all these agree on who leads; gives its place among them.
pub(crate) async fn leader(members: &[Member]) -> usize {
    until("a leader", || {
        let leads: Vec<_> = members.iter().map(|it| it.engine.status().leader).collect();
        let is_here = members.iter().any(|it| Some(it.id) == leads[0]);
        is_here && leads.iter().all(|it| *it == leads[0])
    })
    .await;
    let leader = members[0].engine.status().leader;
    let place = members.iter().position(|it| Some(it.id) == leader);
    place.expect("the leader is among them")
}
