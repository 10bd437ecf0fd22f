//! Transactions: compare, then, else, as etcd has them. All of the tests hold and the first list is
//! done, or one does not and the second is; and of a list everything is done or, if one operation
//! is refused, nothing. Operations see what those before them did; nobody else sees anything
//! between.
//!
//! Locks are not taken within a transaction, for one cannot wait there; but a test can ask for a
//! lock's token, and `If-Fence` holds for the whole transaction.

use serde::{Deserialize, Serialize};

use crate::model::{KeyName, NodeName};

use super::command::{Fence, Op};
use super::name::{CounterName, LockName};
use super::outcome::{Answer, Outcome, Scene};
use super::refused::{Measure, Refused, at_most};
use super::state::State;

/// The most entries in each of a transaction's three lists.
pub const TXN_LIMIT: usize = 1_000;
/// The most bytes of values that a transaction reads: 4 MiB.
pub const RESULT_LIMIT: usize = 4 << 20;

/// A transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// What is tested: all must hold. Without any, they hold.
    pub tests: Vec<Test>,
    /// What is done if they hold.
    pub then: Vec<Op>,
    /// What is done if they do not.
    pub otherwise: Vec<Op>,
}

/// One test. The order of the variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// Of a key.
    Key {
        /// The node.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// What must hold of it.
        is: KeyTest,
    },
    /// Of a node's version; a node that is not there has version 0.
    Node {
        /// The node.
        node: NodeName,
        /// How its version must stand…
        relation: Relation,
        /// … to this one.
        version: u64,
    },
    /// Of what a counter holds; one that is not there stands at zero.
    Counter {
        /// The counter.
        name: CounterName,
        /// How what it holds must stand…
        relation: Relation,
        /// … to this.
        value: i64,
    },
    /// Whether a counter is there.
    CounterExists {
        /// The counter.
        name: CounterName,
        /// Whether it must be.
        exists: bool,
    },
    /// Whether anybody holds a lock.
    LockHeld {
        /// The lock.
        name: LockName,
        /// Whether anybody must.
        held: bool,
    },
    /// Whether the holder with this token holds the lock still.
    LockToken(Fence),
}

/// A test of a key. The order of the variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyTest {
    /// Whether it must be there.
    Exists(bool),
    /// How its version must stand to this one. A key that is not there has version 0.
    Version(Relation, u64),
    /// How its value must stand to these octets. Of a key that is not there nothing holds.
    Value(Relation, Box<[u8]>),
}

/// How two things stand to each other. The order of the variants is the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Relation {
    /// Whether it holds between two things.
    pub fn holds<T: Ord + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

impl Txn {
    pub(super) fn check(&self) -> Result<(), Refused> {
        let sizes = [self.tests.len(), self.then.len(), self.otherwise.len()];
        for size in sizes {
            at_most(Measure::Operations, size, TXN_LIMIT)?;
        }
        [&self.then, &self.otherwise]
            .into_iter()
            .try_for_each(|list| {
                let checked = list.iter().enumerate();
                checked.into_iter().try_for_each(|(index, op)| {
                    op.check().map_err(|why| within_transaction(index, why))
                })
            })
    }

    /// Does it. If it is refused, the state is in between: whoever calls goes back to the old one.
    pub(super) fn perform(&self, state: &mut State, scene: &mut Scene<'_>) -> Answer {
        let held = self.tests.iter().all(|test| test.holds(state));
        let list = if held { &self.then } else { &self.otherwise };
        let mut results = Vec::with_capacity(list.len());
        let mut read = 0;
        for (index, op) in list.iter().enumerate() {
            let result = state.perform(op, scene);
            let result = result.map_err(|why| within_transaction(index, why))?;
            if let Outcome::Key(Some(item)) = &result {
                read += item.value.octets.len();
                at_most(Measure::ResultBytes, read, RESULT_LIMIT)?;
            }
            results.push(result);
        }
        Ok(Outcome::Txn { held, results })
    }
}

fn within_transaction(index: usize, why: Refused) -> Refused {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let why = Box::new(why);
    Refused::InTransaction { index, why }
}

impl Test {
    fn holds(&self, state: &State) -> bool {
        match self {
            Self::Key { node, key, is } => {
                let item = state.nodes().key(node.as_str(), key.as_str());
                match is {
                    KeyTest::Exists(exists) => item.is_some() == *exists,
                    KeyTest::Version(relation, version) => {
                        relation.holds(&item.map_or(0, |item| item.version), version)
                    }
                    KeyTest::Value(relation, octets) => {
                        item.is_some_and(|item| relation.holds(&item.value.octets, octets))
                    }
                }
            }
            Self::Node {
                node,
                relation,
                version,
            } => {
                let node = state.nodes().node(node.as_str());
                relation.holds(&node.map_or(0, super::nodes::Node::version), version)
            }
            Self::Counter {
                name,
                relation,
                value,
            } => {
                let counter = state.counters().counter(name.as_str());
                relation.holds(&counter.map_or(0, |counter| counter.value), value)
            }
            Self::CounterExists { name, exists } => {
                state.counters().counter(name.as_str()).is_some() == *exists
            }
            Self::LockHeld { name, held } => {
                let lock = state.locks().lock(name.as_str());
                lock.is_some_and(|lock| lock.holders().len() > 0) == *held
            }
            Self::LockToken(fence) => {
                let lock = state.locks().lock(fence.lock.as_str());
                lock.is_some_and(|lock| lock.is_held_with(fence.token))
            }
        }
    }
}

#[cfg(test)]
mod tests;
