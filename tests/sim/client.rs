//! Clients: each does one thing after the other on members of its choice. Values are unique, so
//! that a value that is read names the write that it came from; most keys are few, so that writes
//! meet, and some are many.

use std::collections::BTreeMap;
use std::time::Duration;

use gaggle::app::{Condition, Edit, EditError, Request};
use gaggle::model::{KeyName, NodeName, Value};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::member::Told;

/// How many clients there are.
pub(crate) const CLIENTS: usize = 4;

/// What clients did, and what they were told.
#[derive(Debug)]
pub(crate) struct Clients {
    random: StdRng,
    members: usize,
    next_value: u64,
    next_operation: u64,
    /// Operations under way, with the host.
    under_way: BTreeMap<u64, usize>,
    /// The mean pause of a client.
    pub(crate) pause: Duration,
    /// How many answers of each kind there were.
    pub(crate) applied: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
}

/// One thing that a client does.
pub(crate) struct Operation {
    pub(crate) number: u64,
    pub(crate) host: usize,
    pub(crate) request: Request,
    /// The values in it.
    pub(crate) values: Vec<String>,
}

impl Clients {
    pub(crate) fn new(seed: u64, members: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let pause = Duration::from_millis([1_500, 5_000, 15_000][random.random_range(0..3)]);
        Self {
            random,
            members,
            next_value: 0,
            next_operation: 0,
            under_way: BTreeMap::new(),
            pause,
            applied: 0,
            refused: 0,
            unknown: 0,
        }
    }

    /// How long a client waits until its next operation.
    pub(crate) fn wait(&mut self) -> Duration {
        self.pause.mul_f64(self.random.random_range(0.1..2.0))
    }

    /// A host's process has ended: who waits for it will never know.
    pub(crate) fn host_ended(&mut self, host: usize) {
        let before = self.under_way.len();
        self.under_way.retain(|_, at| *at != host);
        self.unknown += (before - self.under_way.len()) as u64;
    }

    /// A client got its answer.
    pub(crate) fn told(&mut self, told: &Told) {
        if self.under_way.remove(&told.operation).is_none() {
            return;
        }
        match &told.outcome {
            Ok(_) => self.applied += 1,
            Err(EditError::InDoubt(_) | EditError::Lost) => self.unknown += 1,
            Err(_) => self.refused += 1,
        }
    }

    /// The next thing that a client does.
    pub(crate) fn operation(&mut self) -> Operation {
        let host = self.random.random_range(0..self.members);
        let node = self.node();
        let mut values = Vec::new();
        let edit = match self.random.random_range(0..100) {
            0..55 => Edit::SetKey {
                node,
                key: self.key(),
                value: self.value(&mut values),
            },
            55..75 => Edit::DeleteKey {
                node,
                key: self.key(),
            },
            75..80 => Edit::DeleteNode { node },
            80..84 => Edit::Configure {
                node,
                description: None,
                history: Some(self.random.random_range(1..6)),
            },
            84..92 => Edit::PatchNode {
                node,
                keys: (0..3)
                    .map(|_| {
                        let delete = self.random.random_bool(0.3);
                        let value = (!delete).then(|| self.value(&mut values));
                        (self.key(), value)
                    })
                    .collect(),
            },
            _ => Edit::ReplaceNode {
                node,
                keys: (0..3)
                    .map(|_| (self.key(), self.value(&mut values)))
                    .collect(),
            },
        };
        self.next_operation += 1;
        self.under_way.insert(self.next_operation, host);
        Operation {
            number: self.next_operation,
            host,
            request: Request {
                edit,
                author: "client".into(),
                condition: Condition::default(),
            },
            values,
        }
    }

    /// The operation cannot even begin: nobody answers.
    pub(crate) fn nobody(&mut self, operation: &Operation) {
        self.under_way.remove(&operation.number);
        self.refused += 1;
    }

    fn node(&mut self) -> NodeName {
        let number = self.random.random_range(0..4);
        format!("node-{number}").parse().expect("a fit name")
    }

    fn key(&mut self) -> KeyName {
        let key = if self.random.random_bool(0.8) {
            format!("few-{}", self.random.random_range(0..3))
        } else {
            format!("many-{}", self.random.random_range(0..100))
        };
        key.parse().expect("a fit name")
    }

    fn value(&mut self, values: &mut Vec<String>) -> Value {
        self.next_value += 1;
        let text = format!("value {}", self.next_value);
        values.push(text.clone());
        Value::untyped(text.into_bytes())
    }
}

impl crate::world::World {
    /// A client does its next thing.
    pub(crate) fn client(&mut self, client: usize) {
        let wait = self.clients.wait();
        self.client_again(wait, client);
        if !self.turmoil {
            return;
        }
        let operation = self.clients.operation();
        if self.hosts[operation.host].process.is_none() {
            return self.clients.nobody(&operation);
        }
        self.figures.writes += 1;
        self.figures.deletes += u64::from(operation.request.edit.only_deletes());
        self.client_sends(operation);
    }
}
