//! Counters: numbers of 64 bits that are added to without reading them first.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::name::CounterName;
use super::outcome::{Answer, Event, Outcome, Scene};
use super::refused::{Measure, Refused, room};

/// The most counters.
pub const COUNTERS_LIMIT: usize = 100_000;

/// An operation on a counter. The order of the variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CounterOp {
    /// Reads it; of use within a transaction.
    Get {
        /// The counter.
        name: CounterName,
    },
    /// Adds to it; one that is not there stands at zero.
    Add {
        /// The counter.
        name: CounterName,
        /// What to add; may be negative.
        by: i64,
    },
    /// Sets it.
    Set {
        /// The counter.
        name: CounterName,
        /// What it holds from then on.
        to: i64,
        /// Done only if it holds this; one that is not there stands at zero.
        expected: Option<i64>,
    },
    /// Deletes one that is there.
    Delete {
        /// The counter.
        name: CounterName,
    },
}

/// One counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// What it holds.
    pub value: i64,
    /// The index of the entry that wrote it last.
    pub version: u64,
}

/// All counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(OrdMap<CounterName, Counter>);

impl Counters {
    /// A counter.
    pub fn counter(&self, name: &str) -> Option<Counter> {
        self.0.get(name).copied()
    }

    /// All counters in the order of their names' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&CounterName, &Counter)> {
        self.0.iter()
    }

    pub(super) fn perform(&mut self, op: &CounterOp, scene: &mut Scene<'_>) -> Answer {
        match op {
            CounterOp::Get { name } => Ok(Outcome::Counter(self.value(name))),
            CounterOp::Add { name, by } => {
                let value = self.value(name).unwrap_or(0);
                let overflow = Refused::CounterOverflow { value, by: *by };
                let sum = value.checked_add(*by).ok_or(overflow)?;
                self.set(name, sum, scene)
            }
            CounterOp::Set { name, to, expected } => {
                let value = self.value(name).unwrap_or(0);
                if expected.is_some_and(|expected| expected != value) {
                    return Err(Refused::CounterDiffers { value });
                }
                self.set(name, *to, scene)
            }
            CounterOp::Delete { name } => {
                let old = self.0.remove(name).ok_or(Refused::CounterNotFound)?;
                scene.events.push(Event::Counter {
                    name: name.clone(),
                    old: Some(old.value),
                    new: None,
                });
                Ok(Outcome::Deleted)
            }
        }
    }

    fn value(&self, name: &CounterName) -> Option<i64> {
        self.0.get(name).map(|counter| counter.value)
    }

    fn set(&mut self, name: &CounterName, value: i64, scene: &mut Scene<'_>) -> Answer {
        let version = scene.index;
        let old = self.0.insert(name.clone(), Counter { value, version });
        room(Measure::Counters, self.0.len(), COUNTERS_LIMIT)?;
        scene.events.push(Event::Counter {
            name: name.clone(),
            old: old.map(|old| old.value),
            new: Some(value),
        });
        Ok(Outcome::Counter(Some(value)))
    }

    /// Takes a counter from a snapshot.
    pub(super) fn restore(&mut self, name: CounterName, counter: Counter) {
        self.0.insert(name, counter);
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::Run;
    use super::*;

    fn add(name: &str, by: i64) -> CounterOp {
        let name = name.parse().unwrap();
        CounterOp::Add { name, by }
    }

    fn set(name: &str, to: i64, expected: Option<i64>) -> CounterOp {
        let name = name.parse().unwrap();
        CounterOp::Set { name, to, expected }
    }

    #[test]
    fn a_counter_is_added_to_read_and_set() {
        let mut run = Run::default();
        let get = || CounterOp::Get {
            name: "c".parse().unwrap(),
        };
        assert_eq!(run.op(get()), Ok(Outcome::Counter(None)));
        assert_eq!(run.op(add("c", 5)), Ok(Outcome::Counter(Some(5))));
        assert_eq!(run.op(add("c", -7)), Ok(Outcome::Counter(Some(-2))));
        assert_eq!(run.op(set("c", 9, None)), Ok(Outcome::Counter(Some(9))));
        let differs = Err(Refused::CounterDiffers { value: 9 });
        assert_eq!(run.op(set("c", 1, Some(8))), differs);
        assert_eq!(run.op(get()), Ok(Outcome::Counter(Some(9))));
        assert_eq!(run.op(set("c", 0, Some(9))), Ok(Outcome::Counter(Some(0))));
        let version = run.state.counters().counter("c").unwrap().version;
        assert_eq!(version, run.index(), "a read or a refusal is no write");
    }

    #[test]
    fn what_would_overflow_changes_nothing() {
        let mut run = Run::default();
        run.op(set("c", i64::MAX - 1, None)).unwrap();
        let value = i64::MAX - 1;
        assert_eq!(
            run.op(add("c", 2)),
            Err(Refused::CounterOverflow { value, by: 2 })
        );
        assert_eq!(run.state.counters().counter("c").unwrap().value, value);
        assert_eq!(run.op(add("c", 1)), Ok(Outcome::Counter(Some(i64::MAX))));
        run.op(set("c", i64::MIN, None)).unwrap();
        assert!(run.op(add("c", -1)).is_err());
    }

    #[test]
    fn a_deleted_counter_begins_at_zero_again() {
        let mut run = Run::default();
        let delete = || CounterOp::Delete {
            name: "c".parse().unwrap(),
        };
        assert_eq!(run.op(delete()), Err(Refused::CounterNotFound));
        run.op(add("c", 5)).unwrap();
        assert_eq!(run.op(delete()), Ok(Outcome::Deleted));
        assert_eq!(
            run.events,
            [Event::Counter {
                name: "c".parse().unwrap(),
                old: Some(5),
                new: None
            }]
        );
        assert_eq!(run.op(add("c", 1)), Ok(Outcome::Counter(Some(1))));
    }
}
