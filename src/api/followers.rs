//! Who waits on this member for something of the strong side, so that a change wakes those whom it
//! is about and nobody else: a thousand who wait for one lock cost one wake when one gets it.
//!
//! The engine tells everything that happens, in its order. One task reads that and looks up whom it
//! is about. If it falls behind, or the state is replaced by a newer one, everybody is told to look
//! at the state again. The state that others read is never older than what the task tells.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::strong::engine::Happened;
use crate::strong::{End, Event, LockEvent, LockName, LogName, LogTime, Nonce};

/// How many events of a lock wait for each who observes it; who falls behind begins anew.
const EVENTS: usize = 64;

/// What became of a request for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing was heard of it yet.
    Open,
    /// Something may have been missed, for so many times: the state tells.
    Unsure(u64),
    /// It holds the lock.
    Granted {
        /// Its fencing token.
        token: u64,
        /// When the lease runs out.
        expires: LogTime,
    },
    /// It left the line.
    Left(End),
    /// It held the lock, and does not any more.
    Ended {
        /// Its fencing token.
        token: u64,
    },
}

/// What happened to a lock, and at which position.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// This.
    Event(u64, LockEvent),
    /// Something may have been missed: the state tells.
    Unsure,
}

/// Those who wait on this member. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Followers {
    requests: Table<Nonce, watch::Sender<Fate>>,
    tries: Table<Nonce, watch::Sender<Option<Nonce>>>,
    locks: Table<LockName, broadcast::Sender<Told>>,
    logs: Table<LogName, watch::Sender<u64>>,
}

impl Followers {
    /// What becomes of a request for a lock, from now on.
    pub(super) fn request(&self, nonce: Nonce) -> (RequestSeat, watch::Receiver<Fate>) {
        let make = || watch::Sender::new(Fate::Open);
        self.requests.join(nonce, make, watch::Sender::subscribe)
    }

    /// Which try of a request came again last, from now on, whichever member took it.
    pub(super) fn tries(&self, nonce: Nonce) -> (TrySeat, watch::Receiver<Option<Nonce>>) {
        let make = || watch::Sender::new(None);
        self.tries.join(nonce, make, watch::Sender::subscribe)
    }

    /// What happens to a lock, from now on.
    pub(super) fn lock(&self, name: LockName) -> (LockSeat, broadcast::Receiver<Told>) {
        let make = || broadcast::Sender::new(EVENTS);
        self.locks.join(name, make, broadcast::Sender::subscribe)
    }

    /// Wakes when a log or the leader changes, from now on.
    pub(super) fn log(&self, name: LogName) -> (LogSeat, watch::Receiver<u64>) {
        let make = || watch::Sender::new(0);
        self.logs.join(name, make, watch::Sender::subscribe)
    }

    /// How many requests for locks wait here.
    pub(super) fn requests(&self) -> usize {
        self.requests.0.lock().len()
    }

    /// Tells what happens to those whom it is about, until the engine ends.
    pub(super) async fn tell(self, mut happenings: broadcast::Receiver<Happened>) {
        loop {
            match happenings.recv().await {
                Ok(Happened::At(position, events)) => {
                    for event in events.iter() {
                        self.pass_on(position, event);
                    }
                }
                Ok(Happened::Replaced) | Err(RecvError::Lagged(_)) => self.look_again(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn pass_on(&self, position: u64, event: &Event) {
        match event {
            Event::Lock { name, what } => {
                if let Some((nonce, fate)) = fate(what) {
                    self.requests.tell(&nonce, |to| {
                        to.send_replace(fate);
                    });
                }
                if let LockEvent::Asked { nonce, by } = what {
                    self.tries.tell(nonce, |to| {
                        to.send_replace(Some(*by));
                    });
                }
                self.locks.tell(name, |to| {
                    // The last one may have left just now.
                    let _ = to.send(Told::Event(position, what.clone()));
                });
            }
            Event::Appended { name, .. } | Event::Trimmed { name, .. } => {
                self.logs.tell(name, wake);
            }
            Event::Leader(_) => self.logs.tell_all(wake),
            Event::NodeCreated(_)
            | Event::NodeDeleted(_)
            | Event::Key { .. }
            | Event::Counter { .. } => {}
        }
    }

    fn look_again(&self) {
        self.requests.tell_all(|to| {
            to.send_modify(|fate| match fate {
                Fate::Open => *fate = Fate::Unsure(1),
                Fate::Unsure(times) => *times += 1,
                Fate::Granted { .. } | Fate::Left(_) | Fate::Ended { .. } => {}
            });
        });
        self.locks.tell_all(|to| {
            let _ = to.send(Told::Unsure);
        });
        self.logs.tell_all(wake);
    }
}

/// Whose fate an event of a lock decides.
fn fate(what: &LockEvent) -> Option<(Nonce, Fate)> {
    match *what {
        LockEvent::Granted {
            nonce,
            token,
            expires,
            ..
        } => Some((nonce, Fate::Granted { token, expires })),
        LockEvent::Left { nonce, why } => Some((nonce, Fate::Left(why))),
        LockEvent::Ended { nonce, token, .. } => Some((nonce, Fate::Ended { token })),
        LockEvent::Queued { .. } | LockEvent::Published { .. } | LockEvent::Asked { .. } => None,
    }
}

fn wake(to: &watch::Sender<u64>) {
    to.send_modify(|times| *times += 1);
}

pub(super) type RequestSeat = Seat<Nonce, watch::Sender<Fate>>;
pub(super) type TrySeat = Seat<Nonce, watch::Sender<Option<Nonce>>>;
pub(super) type LockSeat = Seat<LockName, broadcast::Sender<Told>>;
pub(super) type LogSeat = Seat<LogName, watch::Sender<u64>>;

/// By what is followed: how many follow it, and how they are told.
struct Table<K, S>(Arc<Mutex<HashMap<K, (usize, S)>>>);

impl<K, S> Clone for Table<K, S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, S> Default for Table<K, S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash, S> Table<K, S> {
    fn join<R>(
        &self,
        key: K,
        make: impl FnOnce() -> S,
        hear: impl FnOnce(&S) -> R,
    ) -> (Seat<K, S>, R) {
        let mut all = self.0.lock();
        let (count, sender) = all.entry(key.clone()).or_insert_with(|| (0, make()));
        *count += 1;
        let receiver = hear(sender);
        drop(all);
        let table = self.clone();
        (Seat { table, key }, receiver)
    }

    fn tell<Q: Eq + Hash + ?Sized>(&self, key: &Q, tell: impl FnOnce(&S))
    where
        K: Borrow<Q>,
    {
        if let Some((_, sender)) = self.0.lock().get(key) {
            tell(sender);
        }
    }

    fn tell_all(&self, tell: impl Fn(&S)) {
        for (_, sender) in self.0.lock().values() {
            tell(sender);
        }
    }
}

/// The place of one who follows something; it is given up when this is dropped.
pub(super) struct Seat<K: Clone + Eq + Hash, S> {
    table: Table<K, S>,
    key: K,
}

impl<K: Clone + Eq + Hash, S> Drop for Seat<K, S> {
    fn drop(&mut self) {
        let mut all = self.table.0.lock();
        if let Some((count, _)) = all.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(number: u8) -> Nonce {
        Nonce::from_bytes([number; 16])
    }

    fn left(number: u8) -> Event {
        let (nonce, why) = (nonce(number), End::TimeOut);
        let what = LockEvent::Left { nonce, why };
        let name = "l".parse().unwrap();
        Event::Lock { name, what }
    }

    #[test]
    fn only_whom_it_is_about_is_woken() {
        let followers = Followers::default();
        let (_one, first) = followers.request(nonce(1));
        let (_two, second) = followers.request(nonce(2));
        let (_other, mut other) = followers.lock("other".parse().unwrap());
        followers.pass_on(1, &left(2));
        assert!(!first.has_changed().unwrap());
        assert_eq!(*second.borrow(), Fate::Left(End::TimeOut));
        assert!(other.try_recv().is_err());
        let (_log, log) = followers.log("other".parse().unwrap());
        followers.pass_on(2, &left(1));
        assert!(!log.has_changed().unwrap());
    }

    #[test]
    fn who_may_have_missed_something_looks_again_unless_all_is_decided() {
        let followers = Followers::default();
        let (_one, mut first) = followers.request(nonce(1));
        let (_two, second) = followers.request(nonce(2));
        followers.pass_on(1, &left(2));
        followers.look_again();
        assert_eq!(*first.borrow_and_update(), Fate::Unsure(1));
        followers.look_again();
        assert!(first.has_changed().unwrap());
        assert_eq!(*second.borrow(), Fate::Left(End::TimeOut));
    }

    #[test]
    fn the_last_one_that_goes_leaves_nothing_behind() {
        let followers = Followers::default();
        let (one, _) = followers.request(nonce(1));
        let (again, _) = followers.request(nonce(1));
        drop(one);
        assert_eq!(followers.requests(), 1);
        drop(again);
        assert_eq!(followers.requests(), 0);
    }
}
