//! Histories recorded from clients of a group that is cut, slowed, frozen and killed, held against
//! one copy of everything.
//!
//! `GAGGLE_LINEAR_SECONDS` makes it longer (default 12), `GAGGLE_LINEAR_SEED` other faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::io::random;
use gaggle::io::tasks::Tasks;
use gaggle::model::Value;
use gaggle::protocol::Mono;
use gaggle::strong::engine::{Engine, Plan, Request, StrongError, Trouble};
use gaggle::strong::{
    Acquire, Command, Condition, CounterOp, LockCommand, LogOp, Match, Millis, NodeOp, Nonce, Op,
    Outcome, Refused,
};
use parking_lot::Mutex;
use porcupine_rs::Operation;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::model::{Done, Objects, check, recorded};
use crate::net::{Member, Net};
use crate::steps::{LONG, leader, until};

const PATIENCE: Duration = Duration::from_secs(3);
const CLIENTS: u32 = 6;

/// The members that are up, by their numbers.
type Up = Arc<Mutex<Vec<Option<Member>>>>;
type History = Arc<Mutex<Vec<Operation<Objects>>>>;

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// What is known of a command.
enum Known {
    Answer(Result<Outcome, Refused>),
    NotDone,
    Nothing,
}

async fn propose(engine: &Engine, command: Command) -> Known {
    let request = Request {
        author: "client".into(),
        request: None,
        fences: Vec::new(),
        command,
    };
    match engine.propose(request, PATIENCE).await {
        Ok(answer) => Known::Answer(answer),
        Err(StrongError::Unknown(_)) => Known::Nothing,
        Err(_) => Known::NotDone,
    }
}

struct Client {
    id: u32,
    random: StdRng,
    up: Up,
    history: History,
    begun: Mono,
    item: Arc<AtomicU64>,
    held: Option<Nonce>,
    /// It may hold the lock and not know it; it asks no more.
    is_lost: bool,
}

impl Client {
    fn engine(&mut self) -> Option<Engine> {
        let up = self.up.lock();
        let at = self.random.random_range(0..up.len());
        up[at].as_ref().map(|member| member.engine.clone())
    }

    /// How long the history has been going on.
    fn now(&self) -> Duration {
        mono().since(self.begun)
    }

    fn note(&self, object: &str, done: Done, call: Duration, back: Option<Duration>) {
        let it = recorded(self.id, object, done, (call, back));
        self.history.lock().push(it);
    }

    /// Does a command, and notes what is known of it then.
    async fn command(
        &self,
        engine: &Engine,
        object: &str,
        command: Command,
        answered: impl FnOnce(Result<Outcome, Refused>) -> Done,
        unknown: Done,
    ) -> bool {
        let call = self.now();
        match propose(engine, command).await {
            Known::Answer(answer) => {
                let back = Some(self.now());
                self.note(object, answered(answer), call, back);
                true
            }
            Known::NotDone => true,
            Known::Nothing => {
                self.note(object, unknown, call, None);
                false
            }
        }
    }

    async fn step(&mut self) {
        let Some(engine) = self.engine() else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            return;
        };
        match self.random.random_range(0..10) {
            0..=3 => self.register(&engine).await,
            4..=5 => self.counter(&engine).await,
            6..=7 => self.log(&engine).await,
            _ => self.lock(&engine).await,
        }
    }

    async fn register(&mut self, engine: &Engine) {
        let key = format!("r{}", self.random.random_range(0..3));
        let value = self.item.fetch_add(1, Ordering::Relaxed);
        let call = self.now();
        let Ok(view) = engine.fresh(PATIENCE).await else {
            return;
        };
        let back = self.now();
        let item = view.state.nodes().key("n", &key).cloned();
        let read = |value: &Value| {
            String::from_utf8_lossy(&value.octets)
                .parse::<u64>()
                .unwrap()
        };
        let seen = item.as_ref().map(|item| read(&item.value));
        self.note(&key, Done::Get(seen), call, Some(back));
        let condition = match (&item, self.random.random_bool(0.5)) {
            (Some(item), true) => Condition {
                if_match: Some(Match::OneOf(vec![item.version])),
                if_none_match: None,
            },
            _ => Condition::default(),
        };
        let swaps = condition != Condition::default();
        let set = NodeOp::SetKey {
            node: "n".parse().unwrap(),
            key: key.parse().unwrap(),
            value: Value::untyped(value.to_string().as_bytes()),
            ttl: None,
            condition,
        };
        let from = seen.unwrap_or_default();
        let answered = |answer: Result<Outcome, Refused>| match (answer, swaps) {
            (Ok(_), false) => Done::Put(value),
            (answer, true) => Done::Swap {
                from,
                to: value,
                swapped: answer.is_ok(),
            },
            (Err(refused), false) => panic!("{refused}"),
        };
        let unknown = if swaps {
            Done::MaySwap { from, to: value }
        } else {
            Done::Put(value)
        };
        let set = Command::Op(Op::Node(set));
        self.command(engine, &key, set, answered, unknown).await;
    }

    async fn counter(&mut self, engine: &Engine) {
        let name = format!("c{}", self.random.random_range(0..2));
        if self.random.random_bool(0.4) {
            let call = self.now();
            if let Ok(view) = engine.fresh(PATIENCE).await {
                let found = view.state.counters().counter(&name);
                let value = found.map_or(0, |counter| counter.value);
                self.note(&name, Done::Count(value), call, Some(self.now()));
            }
            return;
        }
        let by = self.random.random_range(1..4);
        let add = CounterOp::Add {
            name: name.parse().unwrap(),
            by,
        };
        let answered = |answer| match answer {
            Ok(Outcome::Counter(Some(after))) => Done::Add { by, after },
            other => panic!("{other:?}"),
        };
        let add = Command::Op(Op::Counter(add));
        self.command(engine, &name, add, answered, Done::MayAdd { by })
            .await;
    }

    async fn log(&mut self, engine: &Engine) {
        if self.random.random_bool(0.3) {
            let call = self.now();
            if let Ok(view) = engine.fresh(PATIENCE).await {
                let log = view.state.logs().log("l");
                let items = log.map_or(Vec::new(), |log| {
                    let items = log.items();
                    items
                        .map(|(_, item)| item.json.as_str().parse().unwrap())
                        .collect()
                });
                self.note("log", Done::Read(items), call, Some(self.now()));
            }
            return;
        }
        let item = self.item.fetch_add(1, Ordering::Relaxed);
        let append = LogOp::Append {
            name: "l".parse().unwrap(),
            json: item.to_string().parse().unwrap(),
        };
        let answered = |answer| match answer {
            Ok(Outcome::Appended { index, .. }) => Done::Append { item, at: index },
            other => panic!("{other:?}"),
        };
        let append = Command::Op(Op::Log(append));
        self.command(engine, "log", append, answered, Done::MayAppend { item })
            .await;
    }

    async fn lock(&mut self, engine: &Engine) {
        let client = self.id;
        if self.is_lost {
            return;
        }
        if let Some(nonce) = self.held {
            let release = LockCommand::Release {
                name: "lock".parse().unwrap(),
                nonce,
            };
            let answered = |answer: Result<Outcome, Refused>| {
                answer.expect("who holds it can give it back");
                Done::Release { client }
            };
            let release = Command::Lock(release);
            let unknown = Done::MayRelease { client };
            let call = self.now();
            match propose(engine, release).await {
                Known::Answer(answer) => {
                    self.held = None;
                    let back = Some(self.now());
                    self.note("lock", answered(answer), call, back);
                }
                Known::NotDone => {}
                Known::Nothing => {
                    self.is_lost = true;
                    self.note("lock", unknown, call, None);
                }
            }
            return;
        }
        let nonce = Nonce::from_bytes(self.random.random());
        let acquire = LockCommand::Acquire(Acquire {
            name: "lock".parse().unwrap(),
            nonce,
            ttl: Millis::seconds(24 * 3600),
            max_wait: Millis(0),
            limit: 1,
            value: None,
        });
        let mut got = false;
        let answered = |answer| match answer {
            Ok(Outcome::Granted { token, .. }) => {
                got = true;
                Done::Acquire {
                    client,
                    token: Some(token),
                }
            }
            Err(Refused::LockHeld { .. }) => Done::Acquire {
                client,
                token: None,
            },
            other => panic!("{other:?}"),
        };
        let acquire = Command::Lock(acquire);
        let unknown = Done::MayAcquire { client };
        let known = self
            .command(engine, "lock", acquire, answered, unknown)
            .await;
        self.is_lost = !known;
        self.held = got.then_some(nonce);
    }
}

/// One fault after the other, each healed again.
async fn disturb(net: Net, up: Up, seed: u64, members: u64, stop: Arc<AtomicBool>) {
    let mut random = StdRng::seed_from_u64(seed);
    while !stop.load(Ordering::Relaxed) {
        let ms = random.random_range(200..1_500);
        let whom = random.random_range(0..members);
        let lead = {
            let up = up.lock();
            let leads = up.iter().flatten().find_map(|it| it.engine.status().leader);
            leads.map_or(whom, |leader| leader.as_u64() - 1)
        };
        let target = if random.random_bool(0.6) { lead } else { whom };
        let other = (target + 1 + random.random_range(0..members - 1)) % members;
        let place = usize::try_from(target).unwrap();
        match random.random_range(0..7) {
            0 => net.cut(&[target + 1]),
            1 => net.cut_one_way(target + 1, other + 1),
            2 => net.slow(Duration::from_millis(30), 100),
            3 => net.freeze(target + 1),
            4 => {
                let member = up.lock()[place].take();
                if let Some(member) = member {
                    let disk = net.kill(member);
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    let plan = Plan::Size(usize::try_from(members).unwrap());
                    let back = net.start(target + 1, plan, disk).await;
                    up.lock()[place] = Some(back);
                }
            }
            5 => break_off_a_change(&net, &up, members, lead, &mut random).await,
            _ => {
                let disk = up.lock()[place].as_ref().map(|member| member.disk.clone());
                if let Some(disk) = disk {
                    disk.trouble(Trouble::FailsAfter);
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    disk.restart();
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(ms)).await;
        net.heal();
        tokio::time::sleep(Duration::from_millis(random.random_range(100..1_500))).await;
    }
}

/// A voter becomes a learner or a learner a voter, and the leader dies within that, sometimes when
/// only the one in question has heard of the last step. Most of the time all vote.
async fn break_off_a_change(net: &Net, up: &Up, members: u64, lead: u64, random: &mut StdRng) {
    let place = usize::try_from(lead).unwrap();
    let Some(engine) = up.lock()[place].as_ref().map(|it| it.engine.clone()) else {
        return;
    };
    let learner = engine.status().members.into_iter().find(|it| !it.votes);
    let whom = (lead + 1 + random.random_range(0..members - 1)) % members + 1;
    for other in (1..=members).filter(|number| ![lead + 1, whom].contains(number)) {
        net.far(
            lead + 1,
            other,
            Duration::from_millis(random.random_range(0..60)),
        );
    }
    let change = async {
        match learner {
            Some(learner) => engine.promote(learner.member).await,
            None => engine.demote(crate::net::id(whom)).await,
        }
    };
    let within = Duration::from_millis(random.random_range(0..160));
    let _ = tokio::time::timeout(within, change).await;
    let Some(member) = up.lock()[place].take() else {
        return;
    };
    let disk = net.kill(member);
    tokio::time::sleep(Duration::from_millis(random.random_range(0..1_200))).await;
    let plan = Plan::Size(usize::try_from(members).unwrap());
    let back = net.start(lead + 1, plan, disk).await;
    up.lock()[place] = Some(back);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_under_faults_are_linearizable() {
    let seconds = number("GAGGLE_LINEAR_SECONDS", 12);
    let seed = number("GAGGLE_LINEAR_SEED", random::seed() >> 32);
    println!("GAGGLE_LINEAR_SEED={seed}");
    // Histories of one group are bounded, for the checker's sake.
    let mut operations = 0;
    let end = mono().plus(Duration::from_secs(seconds));
    let mut round = 0;
    while mono() < end {
        let members = if round % 3 == 2 { 5 } else { 3 };
        operations += one_group(seed.wrapping_add(round), members).await;
        round += 1;
    }
    println!("{operations} operations of {round} groups, no violation");
    assert!(operations > 200, "hardly anything was done: {operations}");
}

/// A group in trouble, with clients; gives how many operations were recorded.
async fn one_group(seed: u64, members: u64) -> usize {
    let net = Net::default();
    let plan = Plan::Size(usize::try_from(members).unwrap());
    let all = crate::steps::members(&net, members, &plan).await;
    leader(&all).await;
    let up: Up = Arc::new(Mutex::new(all.into_iter().map(Some).collect()));
    let history = History::default();
    let stop = Arc::new(AtomicBool::new(false));
    let tasks = Tasks::new();
    let item = Arc::new(AtomicU64::new(1));
    let begun = mono();
    for id in 0..CLIENTS {
        let mut client = Client {
            id,
            random: StdRng::seed_from_u64(seed ^ (u64::from(id) << 32)),
            up: up.clone(),
            history: history.clone(),
            begun,
            item: item.clone(),
            held: None,
            is_lost: false,
        };
        let stop = stop.clone();
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                client.step().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let faults = disturb(net.clone(), up.clone(), seed, members, stop.clone());
    tasks.spawn(faults);
    tokio::time::sleep(Duration::from_secs(8)).await;
    stop.store(true, Ordering::Relaxed);
    assert!(tasks.stop(LONG).await, "a client or a fault does not end");
    net.heal();
    all_agree(&up).await;
    let history = std::mem::take(&mut *history.lock());
    let checking = Tasks::new();
    let checked = checking.blocking(move || {
        check(&history);
        history.len()
    });
    let checked = checked.await.expect("the history is linearizable");
    let members = std::mem::take(&mut *up.lock());
    for member in members.into_iter().flatten() {
        drop(net.kill(member));
    }
    checked
}

/// Waits until everybody has come to the same state.
async fn all_agree(up: &Up) {
    let engines: Vec<Engine> = {
        let up = up.lock();
        up.iter().flatten().map(|it| it.engine.clone()).collect()
    };
    until("all have the same state", || {
        let views: Vec<_> = engines.iter().map(|engine| engine.view().0).collect();
        let first = &views[0];
        views
            .iter()
            .all(|view| view.position() == first.position() && view.state == first.state)
    })
    .await;
}
