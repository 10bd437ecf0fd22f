//! Commands for tests: a run that applies one after the other, and arbitrary histories of few
//! names, few nonces and short times, so that they meet.

use proptest::prelude::*;

use crate::model::{MemberId, Value, WallTime};

use super::{
    Acquire, Answer, Applied, Command, Condition, CounterOp, Entry, Event, Fence, KeyTest,
    LockCommand, LogOp, Match, Millis, NodeOp, Nonce, Op, Place, Relation, Retention, State, Test,
    Txn,
};

/// The wall clock at the first entry.
const BEGIN: u64 = 1_000_000;

/// One state, to which a test applies one command after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) state: State,
    pub(crate) events: Vec<Event>,
    pub(crate) is_repeated: bool,
    index: u64,
    term: u64,
    millis: u64,
}

impl Run {
    /// The index of the last entry.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// Lets time go by.
    pub(crate) fn wait(&mut self, millis: u64) -> &mut Self {
        self.millis += millis;
        self
    }

    /// Another leader takes over, whose wall clock stands there.
    pub(crate) fn lead(&mut self, millis: u64) -> &mut Self {
        self.term += 1;
        self.millis = millis;
        self
    }

    pub(crate) fn op(&mut self, op: impl Into<Op>) -> Answer {
        self.command(Command::Op(op.into()))
    }

    pub(crate) fn command(&mut self, command: Command) -> Answer {
        self.entry(entry(command))
    }

    pub(crate) fn tick(&mut self) -> &[Event] {
        self.command(Command::Tick).unwrap();
        &self.events
    }

    pub(crate) fn entry(&mut self, mut entry: Entry) -> Answer {
        self.index += 1;
        entry.time = WallTime::from_millis(BEGIN + self.millis);
        let at = place(self.index, self.term);
        let applied = self.state.apply(at, &entry).unwrap();
        self.events = applied.events;
        self.is_repeated = applied.is_repeated;
        applied.answer
    }
}

impl From<NodeOp> for Op {
    fn from(op: NodeOp) -> Self {
        Self::Node(op)
    }
}

impl From<CounterOp> for Op {
    fn from(op: CounterOp) -> Self {
        Self::Counter(op)
    }
}

impl From<LogOp> for Op {
    fn from(op: LogOp) -> Self {
        Self::Log(op)
    }
}

pub(crate) fn place(index: u64, term: u64) -> Place {
    let leader = MemberId::from_u64(term % 3);
    Place {
        index,
        term,
        leader,
    }
}

pub(crate) fn entry(command: Command) -> Entry {
    Entry {
        time: WallTime::from_millis(BEGIN),
        author: "ann".into(),
        request: None,
        fences: Vec::new(),
        command,
    }
}

/// The same under an idempotency key.
pub(crate) fn keyed(key: &str, command: Command) -> Entry {
    Entry {
        request: Some(key.parse().unwrap()),
        ..entry(command)
    }
}

/// The same under a fencing token.
pub(crate) fn fenced(lock: &str, token: u64, command: Command) -> Entry {
    let lock = lock.parse().unwrap();
    Entry {
        fences: vec![Fence { lock, token }],
        ..entry(command)
    }
}

pub(crate) fn text(text: &str) -> Value {
    Value::untyped(text.as_bytes())
}

pub(crate) fn set(node: &str, key: &str, value: &str) -> NodeOp {
    NodeOp::SetKey {
        node: node.parse().unwrap(),
        key: key.parse().unwrap(),
        value: text(value),
        ttl: None,
        condition: Condition::default(),
    }
}

pub(crate) fn append(name: &str, json: &str) -> LogOp {
    LogOp::Append {
        name: name.parse().unwrap(),
        json: json.parse().unwrap(),
    }
}

pub(crate) fn nonce(number: u8) -> Nonce {
    Nonce::from_bytes([number; 16])
}

pub(crate) fn acquire(name: &str, number: u8, ttl: u64, max_wait: u64, limit: u32) -> Command {
    Command::Lock(LockCommand::Acquire(Acquire {
        name: name.parse().unwrap(),
        nonce: nonce(number),
        ttl: Millis(ttl),
        max_wait: Millis(max_wait),
        limit,
        value: Some(format!("v{number}").into()),
    }))
}

/// The same request, tried again: only its nonce is another.
pub(crate) fn with_nonce(mut command: Command, number: u8) -> Command {
    if let Command::Lock(LockCommand::Acquire(acquire)) = &mut command {
        acquire.nonce = nonce(number);
    }
    command
}

pub(crate) fn renew(name: &str, number: u8) -> Command {
    renew_for(name, number, None)
}

pub(crate) fn renew_for(name: &str, number: u8, ttl: Option<u64>) -> Command {
    Command::Lock(LockCommand::Renew {
        name: name.parse().unwrap(),
        nonce: nonce(number),
        ttl: ttl.map(Millis),
        value: None,
    })
}

pub(crate) fn release(name: &str, number: u8) -> Command {
    Command::Lock(LockCommand::Release {
        name: name.parse().unwrap(),
        nonce: nonce(number),
    })
}

pub(crate) fn delete_lock(name: &str) -> Command {
    let name = name.parse().unwrap();
    Command::Lock(LockCommand::Delete { name })
}

/// An entry of every kind, in the order of the format.
pub(crate) fn every_kind() -> Vec<Entry> {
    let (node, key) = ("n".parse().unwrap(), "k".parse().unwrap());
    let condition = Condition {
        if_match: Some(Match::OneOf(vec![3, 400])),
        if_none_match: Some(Match::Any),
    };
    let get = NodeOp::Get { node, key };
    let mut commands = vec![Command::Tick];
    commands.extend(node_ops(&condition).map(|op| Command::Op(op.into())));
    commands.extend(counter_ops().map(|op| Command::Op(op.into())));
    commands.extend(log_ops().map(|op| Command::Op(op.into())));
    commands.push(Command::Txn(Txn {
        tests: tests(),
        then: vec![
            get.into(),
            CounterOp::Get {
                name: "c".parse().unwrap(),
            }
            .into(),
        ],
        otherwise: vec![append("x", "[1]").into()],
    }));
    commands.extend([
        acquire("l", 7, 10_000, 5_000, 2),
        renew("l", 7),
        release("l", 7),
        delete_lock("l"),
    ]);
    let mut entries: Vec<Entry> = commands.into_iter().map(entry).collect();
    entries.push(keyed("again", Command::Tick));
    entries.push(fenced("l", 300, Command::Tick));
    entries
}

fn node_ops(condition: &Condition) -> impl Iterator<Item = NodeOp> {
    let (node, key) = (|| "n".parse().unwrap(), || "k".parse().unwrap());
    let condition = || condition.clone();
    [
        NodeOp::Get {
            node: node(),
            key: key(),
        },
        NodeOp::SetKey {
            node: node(),
            key: key(),
            value: text("v"),
            ttl: Some(Millis(30_000)),
            condition: condition(),
        },
        NodeOp::DeleteKey {
            node: node(),
            key: key(),
            condition: condition(),
        },
        NodeOp::Replace {
            node: node(),
            keys: [(key(), text("v"))].into(),
            condition: condition(),
        },
        NodeOp::Patch {
            node: node(),
            keys: [(key(), None)].into(),
            condition: condition(),
        },
        NodeOp::Delete {
            node: node(),
            condition: condition(),
        },
    ]
    .into_iter()
}

fn counter_ops() -> impl Iterator<Item = CounterOp> {
    let name = || "c".parse().unwrap();
    [
        CounterOp::Get { name: name() },
        CounterOp::Add {
            name: name(),
            by: -5,
        },
        CounterOp::Set {
            name: name(),
            to: 9,
            expected: Some(4),
        },
        CounterOp::Delete { name: name() },
    ]
    .into_iter()
}

fn log_ops() -> impl Iterator<Item = LogOp> {
    let name = || "x".parse().unwrap();
    let retention = Retention {
        count: 10,
        age: Some(Millis(60_000)),
    };
    [
        append("x", r#"{"mary":"lamb"}"#),
        LogOp::Configure {
            name: name(),
            retention,
        },
        LogOp::Trim {
            name: name(),
            before: 4,
        },
    ]
    .into_iter()
}

fn tests() -> Vec<Test> {
    let key = |is| Test::Key {
        node: "n".parse().unwrap(),
        key: "k".parse().unwrap(),
        is,
    };
    let lock = || "l".parse().unwrap();
    vec![
        key(KeyTest::Exists(true)),
        key(KeyTest::Version(Relation::AtLeast, 2)),
        key(KeyTest::Value(Relation::NotEqual, b"v".as_slice().into())),
        Test::Node {
            node: "n".parse().unwrap(),
            relation: Relation::Greater,
            version: 1,
        },
        Test::Counter {
            name: "c".parse().unwrap(),
            relation: Relation::Less,
            value: -3,
        },
        Test::CounterExists {
            name: "c".parse().unwrap(),
            exists: true,
        },
        Test::LockHeld {
            name: lock(),
            held: true,
        },
        Test::LockToken(Fence {
            lock: lock(),
            token: 5,
        }),
    ]
}

/// An entry of a history: how long after the one before it, and whether another leader begins.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) entry: Entry,
    pub(crate) wait: u64,
    pub(crate) lead: Option<u64>,
}

fn one_of(names: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(names)
}

fn condition() -> impl Strategy<Value = Condition> {
    let side = prop_oneof![
        Just(Match::Any),
        prop::collection::vec(1u64..40, 1..4).prop_map(Match::OneOf)
    ];
    let side = move || prop::option::weighted(0.15, side.clone());
    (side(), side()).prop_map(|(if_match, if_none_match)| Condition {
        if_match,
        if_none_match,
    })
}

fn node_op() -> impl Strategy<Value = NodeOp> {
    let node = || one_of(&["a", "b"]).prop_map(|name| name.parse().unwrap());
    let key = || one_of(&["k", "l/m", "o"]).prop_map(|name| name.parse().unwrap());
    let value = || one_of(&["red", "blue", "green"]).prop_map(text);
    let ttl = prop::option::weighted(0.3, (1u64..60).prop_map(Millis));
    prop_oneof![
        1 => (node(), key()).prop_map(|(node, key)| NodeOp::Get { node, key }),
        4 => (node(), key(), value(), ttl, condition()).prop_map(
            |(node, key, value, ttl, condition)| NodeOp::SetKey {
                node, key, value, ttl, condition
            }
        ),
        1 => (node(), key(), condition()).prop_map(|(node, key, condition)| NodeOp::DeleteKey {
            node, key, condition
        }),
        1 => (node(), prop::collection::btree_map(key(), value(), 0..3), condition())
            .prop_map(|(node, keys, condition)| NodeOp::Replace { node, keys, condition }),
        1 => (
            node(),
            prop::collection::btree_map(key(), prop::option::of(value()), 0..3),
            condition()
        )
            .prop_map(|(node, keys, condition)| NodeOp::Patch { node, keys, condition }),
        1 => (node(), condition()).prop_map(|(node, condition)| NodeOp::Delete {
            node, condition
        }),
    ]
}

fn counter_op() -> impl Strategy<Value = CounterOp> {
    let name = || one_of(&["c", "d"]).prop_map(|name| name.parse().unwrap());
    let number = || prop_oneof![-3i64..4, Just(i64::MAX), Just(i64::MIN)];
    prop_oneof![
        4 => (name(), number()).prop_map(|(name, by)| CounterOp::Add { name, by }),
        1 => (name(), number(), prop::option::of(-3i64..4))
            .prop_map(|(name, to, expected)| CounterOp::Set { name, to, expected }),
        1 => name().prop_map(|name| CounterOp::Get { name }),
        1 => name().prop_map(|name| CounterOp::Delete { name }),
    ]
}

fn log_op() -> impl Strategy<Value = LogOp> {
    let name = || one_of(&["x", "y"]).prop_map(|name| name.parse().unwrap());
    let age = prop::option::of((1u64..200_000).prop_map(Millis));
    prop_oneof![
        6 => (one_of(&["x", "y"]), one_of(&["1", "{}", "[null]"]))
            .prop_map(|(name, json)| append(name, json)),
        1 => (name(), 0u64..6, age).prop_map(|(name, count, age)| LogOp::Configure {
            name,
            retention: Retention { count, age }
        }),
        1 => (name(), 0u64..20).prop_map(|(name, before)| LogOp::Trim { name, before }),
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        node_op().prop_map(Op::Node),
        counter_op().prop_map(Op::Counter),
        log_op().prop_map(Op::Log)
    ]
}

/// A command about one of two locks, by one of six clients.
pub(crate) fn lock_command() -> impl Strategy<Value = Command> {
    let name = || one_of(&["l", "m"]);
    let client = || 0u8..6;
    prop_oneof![
        6 => (name(), client(), 1u64..80, prop_oneof![Just(0u64), 1u64..120], 1u32..3).prop_map(
            // Mostly the same limit for the same lock, or hardly anybody would get in.
            |(name, client, ttl, max_wait, odd)| {
                let limit = if name == "l" { 1 } else { 2 };
                acquire(name, client, ttl, max_wait, if ttl == 1 { odd } else { limit })
            }
        ),
        2 => (name(), client(), prop::option::of(1..50_u64))
            .prop_map(|(name, client, ttl)| renew_for(name, client, ttl)),
        3 => (name(), client()).prop_map(|(name, client)| release(name, client)),
        1 => name().prop_map(delete_lock),
        2 => Just(Command::Tick),
    ]
}

fn txn() -> impl Strategy<Value = Txn> {
    let tests = prop::sample::subsequence(tests(), 0..3);
    let list = || prop::collection::vec(op(), 0..5);
    (tests, list(), list()).prop_map(|(tests, then, otherwise)| Txn {
        tests,
        then,
        otherwise,
    })
}

/// Any command, under conditions, keys and tokens or without.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![
        4 => op().prop_map(Command::Op),
        2 => txn().prop_map(Command::Txn),
        5 => lock_command(),
    ];
    let author = one_of(&["ann", "bob"]);
    let key = prop::option::weighted(0.4, one_of(&["1", "2", "3", "4"]));
    let fence = prop::option::weighted(0.2, (one_of(&["l", "m"]), 1u64..60));
    let wait = prop_oneof![9 => 0u64..40, 1 => 0u64..100_000];
    let lead = prop::option::weighted(0.1, 0u64..1_000_000);
    (command, author, key, fence, wait, lead).prop_map(
        |(command, author, key, fence, wait, lead)| {
            let fences = fence.map(|(lock, token)| fenced(lock, token, Command::Tick).fences);
            let entry = Entry {
                author: author.into(),
                request: key.map(|key| key.parse().unwrap()),
                fences: fences.unwrap_or_default(),
                ..entry(command)
            };
            Step { entry, wait, lead }
        },
    )
}

/// The steps with their places and times.
pub(crate) fn timed(steps: Vec<Step>) -> Vec<(Place, Entry)> {
    let (mut term, mut millis) = (1, BEGIN);
    let timed = steps.into_iter().enumerate().map(|(index, step)| {
        millis += step.wait;
        if let Some(begin) = step.lead {
            (term, millis) = (term + 1, begin);
        }
        let time = WallTime::from_millis(millis);
        (place(index as u64 + 1, term), Entry { time, ..step.entry })
    });
    timed.collect()
}

/// A history of any commands.
pub(crate) fn history() -> impl Strategy<Value = Vec<(Place, Entry)>> {
    prop::collection::vec(step(), 1..60).prop_map(timed)
}

/// Applies a history to a state.
pub(crate) fn applied(state: &mut State, history: &[(Place, Entry)]) -> Vec<Applied> {
    let all = history.iter();
    all.map(|(at, entry)| state.apply(*at, entry).unwrap())
        .collect()
}

/// A state as bytes.
pub(crate) fn bytes(state: &State) -> Vec<Vec<u8>> {
    state.pieces().collect()
}
