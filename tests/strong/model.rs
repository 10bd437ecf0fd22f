//! What one copy of a register, a counter, a lock and a log would do: what a recorded history is
//! held against.

use std::collections::BTreeMap;
use std::time::Duration;

use porcupine_rs::{CheckResult, Model, Operation, check_operations_timeout};

/// An operation on one object, with what the client saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// A register was set; nobody knows what it held.
    Put(u64),
    /// It was read.
    Get(Option<u64>),
    /// It was set if it held something: whether it was.
    Swap { from: u64, to: u64, swapped: bool },
    /// The same, and nobody knows whether it was.
    MaySwap { from: u64, to: u64 },
    /// A counter was added to: what it held then.
    Add { by: i64, after: i64 },
    /// The same, and nobody knows what it held, or whether it was.
    MayAdd { by: i64 },
    /// It was read.
    Count(i64),
    /// A log got an entry: where.
    Append { item: u64, at: u64 },
    /// The same, and nobody knows.
    MayAppend { item: u64 },
    /// It was read from the beginning.
    Read(Vec<u64>),
    /// A lock was asked for by a client: its token if it was got.
    Acquire { client: u32, token: Option<u64> },
    /// The same, and nobody knows.
    MayAcquire { client: u32 },
    /// It was given back by who had it.
    Release { client: u32 },
    /// The same, and nobody knows.
    MayRelease { client: u32 },
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Object {
    Untouched,
    Register(Option<u64>),
    Counter(i64),
    Log(Vec<u64>),
    Lock { held_by: Option<u32>, newest: u64 },
}

/// The objects, each on its own.
#[derive(Clone, Debug)]
pub(crate) struct Objects;

/// An operation, and on which object.
#[derive(Clone, Debug)]
pub(crate) struct On {
    pub(crate) object: String,
    pub(crate) done: Done,
}

impl Model for Objects {
    type State = Object;
    type Op = On;
    type Metadata = ();

    fn partition_operations(history: &[Operation<Self>]) -> Vec<Vec<Operation<Self>>> {
        let mut parts: BTreeMap<String, Vec<Operation<Self>>> = BTreeMap::new();
        for operation in history {
            let part = parts.entry(operation.op.object.clone()).or_default();
            part.push(operation.clone());
        }
        parts.into_values().collect()
    }

    fn init() -> Object {
        Object::Untouched
    }

    fn step(state: &Object, op: &On) -> (bool, Object) {
        match step(state, &op.done) {
            Some(next) => (true, next),
            None => (false, state.clone()),
        }
    }
}

fn step(state: &Object, done: &Done) -> Option<Object> {
    match done {
        Done::Put(_) | Done::Get(_) | Done::Swap { .. } | Done::MaySwap { .. } => {
            let value = match state {
                Object::Untouched => None,
                Object::Register(value) => *value,
                _ => return None,
            };
            register(value, done)
        }
        Done::Add { .. } | Done::MayAdd { .. } | Done::Count(_) => {
            let value = match state {
                Object::Untouched => 0,
                Object::Counter(value) => *value,
                _ => return None,
            };
            counter(value, done).map(Object::Counter)
        }
        Done::Append { .. } | Done::MayAppend { .. } | Done::Read(_) => {
            let items = match state {
                Object::Untouched => Vec::new(),
                Object::Log(items) => items.clone(),
                _ => return None,
            };
            log(items, done).map(Object::Log)
        }
        Done::Acquire { .. }
        | Done::MayAcquire { .. }
        | Done::Release { .. }
        | Done::MayRelease { .. } => {
            let (held_by, newest) = match state {
                Object::Untouched => (None, 0),
                Object::Lock { held_by, newest } => (*held_by, *newest),
                _ => return None,
            };
            let (held_by, newest) = lock(held_by, newest, done)?;
            Some(Object::Lock { held_by, newest })
        }
    }
}

fn register(value: Option<u64>, done: &Done) -> Option<Object> {
    let holds = |from: &u64| value == Some(*from);
    let next = match done {
        Done::Put(next) => Some(*next),
        Done::Get(seen) if value == *seen => value,
        Done::Swap { from, to, swapped } if holds(from) == *swapped => {
            if *swapped {
                Some(*to)
            } else {
                value
            }
        }
        Done::MaySwap { from, to } if holds(from) => Some(*to),
        Done::MaySwap { .. } => value,
        _ => return None,
    };
    Some(Object::Register(next))
}

fn counter(value: i64, done: &Done) -> Option<i64> {
    match done {
        Done::Add { by, after } => (value + by == *after).then_some(*after),
        Done::MayAdd { by } => Some(value + by),
        Done::Count(seen) => (value == *seen).then_some(value),
        _ => None,
    }
}

fn log(mut items: Vec<u64>, done: &Done) -> Option<Vec<u64>> {
    match done {
        Done::Append { item, at } => {
            items.push(*item);
            (items.len() as u64 == *at).then_some(items)
        }
        Done::MayAppend { item } => {
            items.push(*item);
            Some(items)
        }
        Done::Read(seen) => (items == *seen).then_some(items),
        _ => None,
    }
}

fn lock(held_by: Option<u32>, newest: u64, done: &Done) -> Option<(Option<u32>, u64)> {
    match done {
        Done::Acquire {
            client,
            token: Some(token),
        } => (held_by.is_none() && *token > newest).then_some((Some(*client), *token)),
        Done::Acquire { token: None, .. } => held_by.map(|_| (held_by, newest)),
        Done::MayAcquire { client } => Some((held_by.or(Some(*client)), newest)),
        Done::Release { client } => (held_by == Some(*client)).then_some((None, newest)),
        Done::MayRelease { client } => Some((held_by.filter(|holder| holder != client), newest)),
        _ => None,
    }
}

/// What a client recorded: an operation that may be under way for ever has no end.
pub(crate) fn recorded(
    client: u32,
    object: &str,
    done: Done,
    (call, back): (Duration, Option<Duration>),
) -> Operation<Objects> {
    let nanos = |at: Duration| i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
    Operation {
        client_id: Some(client),
        call_time: nanos(call),
        return_time: back.map_or(i64::MAX, nanos),
        op: On {
            object: object.to_owned(),
            done,
        },
        metadata: None,
    }
}

/// Whether a history could be that of one copy of everything.
///
/// # Panics
/// If it could not, or if that was not found out within a minute.
pub(crate) fn check(history: &[Operation<Objects>]) {
    let within = Duration::from_mins(1);
    for part in Objects::partition_operations(history) {
        let object = part[0].op.object.clone();
        match check_operations_timeout::<Objects>(&part, within) {
            CheckResult::Ok => {}
            verdict => {
                let mut part = part;
                part.sort_by_key(|operation| operation.call_time);
                for it in &part {
                    eprintln!(
                        "{:>12} {:>20} client {:?} {:?}",
                        it.call_time / 1000,
                        it.return_time / 1000,
                        it.client_id,
                        it.op.done
                    );
                }
                panic!("{object}: {verdict:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use porcupine_rs::check_operations;

    use super::*;

    fn history(all: &[(Done, u64, Option<u64>)]) -> Vec<Operation<Objects>> {
        let one = |(client, (done, call, back)): (u32, &(Done, u64, Option<u64>))| {
            let span = (Duration::from_nanos(*call), back.map(Duration::from_nanos));
            recorded(client, "x", done.clone(), span)
        };
        (0..).zip(all).map(one).collect()
    }

    fn holds(all: &[(Done, u64, Option<u64>)]) -> bool {
        let history = history(all);
        check_operations::<Objects>(&history)
    }

    #[test]
    fn a_stale_read_is_found() {
        let put = (Done::Put(1), 0, Some(1));
        assert!(holds(&[put.clone(), (Done::Get(Some(1)), 2, Some(3))]));
        assert!(!holds(&[put.clone(), (Done::Get(None), 2, Some(3))]));
        // One that overlaps the write may see either.
        assert!(holds(&[put, (Done::Get(None), 0, Some(3))]));
    }

    #[test]
    fn what_may_have_been_done_may_show_or_not_but_not_both() {
        let maybe = (Done::MayAdd { by: 1 }, 0, None);
        assert!(holds(&[maybe.clone(), (Done::Count(0), 2, Some(3))]));
        assert!(holds(&[maybe.clone(), (Done::Count(1), 2, Some(3))]));
        let back = [
            maybe,
            (Done::Count(1), 2, Some(3)),
            (Done::Count(0), 4, Some(5)),
        ];
        assert!(!holds(&back));
    }

    #[test]
    fn an_increment_done_twice_and_an_entry_that_is_lost_are_found() {
        let add = (Done::Add { by: 1, after: 1 }, 0, Some(1));
        assert!(!holds(&[add, (Done::Count(2), 2, Some(3))]));
        let append = (Done::Append { item: 7, at: 1 }, 0, Some(1));
        assert!(holds(&[append.clone(), (Done::Read(vec![7]), 2, Some(3))]));
        assert!(!holds(&[append, (Done::Read(vec![]), 2, Some(3))]));
    }

    #[test]
    fn two_holders_at_once_and_tokens_that_do_not_grow_are_found() {
        let take = |client, token| Done::Acquire { client, token };
        let first = (take(1, Some(5)), 0, Some(1));
        let second = |token| (take(2, Some(token)), 2, Some(3));
        assert!(!holds(&[first.clone(), second(6)]));
        let release = (Done::Release { client: 1 }, 1, Some(2));
        assert!(holds(&[first.clone(), release.clone(), second(6)]));
        assert!(!holds(&[first.clone(), release, second(5)]));
        assert!(holds(&[first.clone(), (take(2, None), 2, Some(3))]));
        // One that may have been given back can be got, and need not be free.
        let maybe = (Done::MayRelease { client: 1 }, 1, None);
        assert!(holds(&[first.clone(), maybe.clone(), second(6)]));
        assert!(holds(&[first, maybe, (take(2, None), 2, Some(3))]));
    }
}
