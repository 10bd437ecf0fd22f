//! The locks against a naive model of them: lists, walked from end to end each time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::Command;
use super::super::samples::{Run, lock_command};
use super::*;

/// Somebody who holds or waits.
#[derive(Clone, Debug, PartialEq)]
struct Client {
    nonce: Nonce,
    ttl: u64,
    token: u64,
    over: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct NaiveLock {
    limit: usize,
    holders: Vec<Client>,
    line: Vec<Client>,
}

#[derive(Clone, Debug, Default)]
struct Naive {
    now: u64,
    newest: u64,
    index: u64,
    locks: BTreeMap<String, NaiveLock>,
}

/// What a command comes to, as far as the model tells.
#[derive(Debug, PartialEq)]
enum Told {
    Holds(u64, u64),
    Waits(u64, u64),
    Free,
    Nothing,
    No(&'static str),
}

impl Naive {
    fn expire(&mut self) {
        let now = self.now;
        for lock in self.locks.values_mut() {
            lock.line.retain(|client| client.over > now);
            lock.holders.retain(|client| client.over > now);
        }
        self.promote();
    }

    fn promote(&mut self) {
        let (now, index) = (self.now, self.index);
        for lock in self.locks.values_mut() {
            while lock.holders.len() < lock.limit && !lock.line.is_empty() {
                let mut next = lock.line.remove(0);
                self.newest = index.max(self.newest + 1);
                (next.token, next.over) = (self.newest, now + next.ttl);
                lock.holders.push(next);
            }
        }
    }

    fn acquire(&mut self, acquire: &Acquire) -> Told {
        let (now, name) = (self.now, acquire.name.to_string());
        let limit = acquire.limit as usize;
        let lock = self.locks.entry(name.clone()).or_default();
        let is_known = |client: &Client| client.nonce == acquire.nonce;
        if !lock.holders.iter().chain(&lock.line).any(is_known) {
            if lock.holders.is_empty() {
                lock.limit = limit;
            }
            if lock.limit != limit {
                return Told::No("limit-differs");
            }
            if lock.holders.len() >= limit && acquire.max_wait.0 == 0 {
                return Told::No("lock-held");
            }
            lock.line.push(Client {
                nonce: acquire.nonce,
                ttl: acquire.ttl.0,
                token: 0,
                over: now + acquire.max_wait.0,
            });
            self.promote();
        }
        let lock = &self.locks[&name];
        if let Some(client) = lock.holders.iter().find(|client| is_known(client)) {
            return Told::Holds(client.token, client.over);
        }
        let ahead = lock.line.iter().position(is_known).unwrap();
        Told::Waits(ahead as u64, lock.line[ahead].over)
    }

    fn perform(&mut self, command: &Command) -> Told {
        self.expire();
        let Command::Lock(command) = command else {
            return Told::Nothing;
        };
        match command {
            LockCommand::Acquire(acquire) => self.acquire(acquire),
            LockCommand::Renew {
                name, nonce, ttl, ..
            } => {
                let Some(lock) = self.locks.get_mut(name.as_str()) else {
                    return Told::No("lock-not-found");
                };
                let holder = lock.holders.iter_mut().find(|one| one.nonce == *nonce);
                let Some(holder) = holder else {
                    return Told::No("wrong-nonce");
                };
                holder.ttl = ttl.map_or(holder.ttl, |ttl| ttl.0);
                holder.over = holder.over.max(self.now + holder.ttl);
                Told::Holds(holder.token, holder.over)
            }
            LockCommand::Release { name, nonce } => {
                let Some(lock) = self.locks.get_mut(name.as_str()) else {
                    return Told::No("lock-not-found");
                };
                let before = lock.holders.len() + lock.line.len();
                lock.holders.retain(|one| one.nonce != *nonce);
                lock.line.retain(|one| one.nonce != *nonce);
                if lock.holders.len() + lock.line.len() == before {
                    return Told::No("wrong-nonce");
                }
                self.promote();
                Told::Free
            }
            LockCommand::Delete { name } => match self.locks.remove(name.as_str()) {
                Some(_) => Told::Free,
                None => Told::No("lock-not-found"),
            },
        }
    }
}

fn told(answer: &Answer) -> Told {
    match answer {
        Ok(Outcome::Granted { token, expires, .. }) => Told::Holds(*token, expires.millis()),
        Ok(Outcome::Waiting { ahead, until, .. }) => Told::Waits(*ahead, until.millis()),
        Ok(Outcome::Released | Outcome::Deleted) => Told::Free,
        Ok(_) => Told::Nothing,
        Err(refused) => Told::No(refused.code()),
    }
}

/// The locks as the model has them.
fn seen(locks: &Locks) -> BTreeMap<String, NaiveLock> {
    let all = locks.iter().map(|(name, lock)| {
        let holders = lock.holders().map(|(token, holder)| Client {
            nonce: holder.nonce,
            ttl: holder.ttl.0,
            token: *token,
            over: holder.expires.millis(),
        });
        let line = lock.waiters().map(|(_, waiter)| Client {
            nonce: waiter.nonce,
            ttl: waiter.ttl.0,
            token: 0,
            over: waiter.until.millis(),
        });
        let lock = NaiveLock {
            limit: lock.limit as usize,
            holders: holders.collect(),
            line: line.collect(),
        };
        (name.to_string(), lock)
    });
    all.collect()
}

proptest! {
    #[test]
    fn locks_do_what_a_naive_model_does(
        history in prop::collection::vec((lock_command(), 0u64..25), 1..80)
    ) {
        let mut run = Run::default();
        let mut naive = Naive::default();
        run.tick();
        naive.index = 1;
        for (command, wait) in history {
            naive.now += wait;
            naive.index += 1;
            let expected = naive.perform(&command);
            let answer = run.wait(wait).command(command);
            prop_assert_eq!(told(&answer), expected);
            prop_assert_eq!(seen(run.state.locks()), naive.locks.clone());
            for (_, lock) in run.state.locks().iter() {
                prop_assert!(lock.holders().len() <= lock.limit() as usize);
                let is_full = lock.holders().len() == lock.limit() as usize;
                prop_assert!(is_full || lock.waiters().len() == 0, "nobody waits in vain");
            }
        }
    }

    #[test]
    fn places_are_granted_in_the_order_in_which_they_were_asked_for(
        history in prop::collection::vec((lock_command(), 0u64..25), 1..80)
    ) {
        let mut run = Run::default();
        let mut line: BTreeMap<LockName, Vec<Nonce>> = BTreeMap::new();
        for (command, wait) in history {
            let _ = run.wait(wait).command(command);
            for event in &run.events {
                let Event::Lock { name, what } = event else {
                    continue;
                };
                let line = line.entry(name.clone()).or_default();
                match what {
                    LockEvent::Queued { nonce } => line.push(*nonce),
                    LockEvent::Left { nonce, .. } => line.retain(|one| one != nonce),
                    LockEvent::Granted { nonce, .. } => {
                        // Either nobody waits, or this one was the first of those who do.
                        prop_assert!(line.is_empty() || line.remove(0) == *nonce);
                    }
                    LockEvent::Asked { .. }
                    | LockEvent::Published { .. }
                    | LockEvent::Ended { .. } => {}
                }
            }
        }
    }
}
