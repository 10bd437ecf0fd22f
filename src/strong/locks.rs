//! Locks, semaphores (a lock with a limit above one) and elections (a lock with a value).
//!
//! Who holds a lock proves it with a nonce, drawn for the request, and shows its fencing token to
//! whatever the lock protects. Tokens only grow, over all locks together: a token is the index of
//! the entry that granted it, or one above the last token if that is greater (one entry can end
//! many leases). So also a lock that was forgotten and made again grants greater tokens than
//! before.
//!
//! Who cannot hold it yet waits in a line, first come first served. Holders and waiters are state:
//! they survive their leader. Leases run out by the log's time, which stands still between two
//! leaders (see [`super::clock`]): never early. Of what is due at one entry, waiters whose time is
//! over leave first, so that nothing is granted to somebody who is not there any more; then leases
//! end; then the next in line get what became free, with a whole lease from now.
//!
//! Invariants: there are never more holders than the limit; if anybody waits, all places are held.

mod fence;
mod lapse;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use super::clock::{LogTime, Millis};
use super::name::LockName;
use super::outcome::{Answer, End, Event, LockEvent, Outcome, Scene};
use super::refused::{Measure, Refused, at_most, within};
use super::requests::RequestId;

/// The most locks that are known at once. Of those that nobody holds, the longest idle one is
/// forgotten for a new one.
pub const LOCKS_LIMIT: usize = 100_000;
/// The most holders of one semaphore.
pub const HOLDERS_LIMIT: u32 = 1_000;
/// The most waiters of one lock.
pub const WAITERS_LIMIT: usize = 10_000;
/// The most waiters of all locks.
pub const ALL_WAITERS_LIMIT: usize = 100_000;
/// The shortest lease.
pub const LOCK_TTL_LEAST: Millis = Millis(1);
/// The longest lease: a day.
pub const LOCK_TTL_LIMIT: Millis = Millis::seconds(24 * 3600);
/// The longest wait: a day.
pub const MAX_WAIT_LIMIT: Millis = Millis::seconds(24 * 3600);
/// The longest value that a holder can publish, in bytes.
pub const LOCK_VALUE_LIMIT: usize = 4096;
/// How long a lock that nobody holds is known: a day. Its tokens are refused from then on.
pub const LOCK_IDLE: Millis = Millis::seconds(24 * 3600);

/// What proves that a request is the holder or a waiter: 128 random bits, drawn where the request
/// was taken. A secret of the holder's.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// The nonce of these bits.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads 32 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let bits = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
        Some(Self(bits.to_be_bytes()))
    }

    /// The nonce as 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Nonce {
    /// Too little of it to be of use to whoever reads a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({:02x}…)", self.0[0])
    }
}

/// Something about a lock. The order of the variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockCommand {
    /// Take it, or wait for it.
    Acquire(Acquire),
    /// Prolong the lease by its whole length from now. It is never shortened.
    Renew {
        /// The lock.
        name: LockName,
        /// The holder.
        nonce: Nonce,
        /// How long the lease lasts from now on without being renewed; none: as long as before.
        ttl: Option<Millis>,
        /// What to publish from now on; none: as it is.
        value: Option<Arc<str>>,
    },
    /// Give it back, or leave the line.
    Release {
        /// The lock.
        name: LockName,
        /// The holder or waiter.
        nonce: Nonce,
    },
    /// Take it from all who hold it and wait for it, and forget it: for an operator.
    Delete {
        /// The lock.
        name: LockName,
    },
}

/// A request for a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquire {
    /// The lock; made if it is not there.
    pub name: LockName,
    /// What will prove it. The same nonce again is the same request.
    pub nonce: Nonce,
    /// How long the lease lasts without being renewed.
    pub ttl: Millis,
    /// How long to wait; zero: not at all.
    pub max_wait: Millis,
    /// How many may hold it at once; the same for all while it is in use.
    pub limit: u32,
    /// What the holder publishes, such as the address of an elected leader.
    pub value: Option<Arc<str>>,
}

/// Somebody who holds a lock. Its token is the key that it stands under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// What proves it.
    pub nonce: Nonce,
    /// Who asked.
    pub author: Arc<str>,
    /// The length of the lease.
    pub ttl: Millis,
    /// Since when it holds the lock.
    pub since: LogTime,
    /// When the lease runs out.
    pub expires: LogTime,
    /// What it publishes.
    pub value: Option<Arc<str>>,
}

/// Somebody who waits for a lock. The index of its entry is the key that it stands under, so the
/// order of waiters is the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// What will prove it.
    pub nonce: Nonce,
    /// Who asked.
    pub author: Arc<str>,
    /// Under which idempotency key, whose answer follows what becomes of it.
    pub request: Option<RequestId>,
    /// The length of the lease.
    pub ttl: Millis,
    /// Since when it waits.
    pub since: LogTime,
    /// When it gives up.
    pub until: LogTime,
    /// What it will publish.
    pub value: Option<Arc<str>>,
}

/// Where a nonce stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seat {
    /// Among the waiters, under this index.
    Waiter(u64),
    /// Among the holders, under this token.
    Holder(u64),
}

/// One lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    limit: u32,
    newest: u64,
    idle: Option<LogTime>,
    holders: OrdMap<u64, Holder>,
    waiters: OrdMap<u64, Waiter>,
    seats: OrdMap<Nonce, Seat>,
}

impl Lock {
    /// How many may hold it at once.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The newest fencing token that it granted.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Since when nobody holds it, if nobody does.
    pub fn idle(&self) -> Option<LogTime> {
        self.idle
    }

    /// Who holds it: fencing token and holder, the oldest first.
    pub fn holders(&self) -> impl ExactSizeIterator<Item = (&u64, &Holder)> {
        self.holders.iter()
    }

    /// Who waits for it, the next one first.
    pub fn waiters(&self) -> impl ExactSizeIterator<Item = (&u64, &Waiter)> {
        self.waiters.iter()
    }

    /// Who holds it with this nonce, and its fencing token.
    pub fn holder(&self, nonce: Nonce) -> Option<(u64, &Holder)> {
        match self.seats.get(&nonce)? {
            Seat::Holder(token) => Some((*token, self.holders.get(token)?)),
            Seat::Waiter(_) => None,
        }
    }

    /// Whether somebody waits for it with this nonce.
    pub fn awaits(&self, nonce: Nonce) -> bool {
        matches!(self.seats.get(&nonce), Some(Seat::Waiter(_)))
    }

    /// Whether a fencing token is that of a present holder.
    pub fn is_held_with(&self, token: u64) -> bool {
        self.holders.contains_key(&token)
    }
}

/// All locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    all: OrdMap<LockName, Lock>,
    /// The newest fencing token of all.
    newest: u64,
    waiters: usize,
    due: OrdSet<(LogTime, LockName, Seat)>,
    idle: OrdSet<(LogTime, LockName)>,
}

impl LockCommand {
    pub(super) fn check(&self) -> Result<(), Refused> {
        let value = |value: &Option<Arc<str>>| {
            let size = value.as_ref().map_or(0, |value| value.len());
            at_most(Measure::LockValueBytes, size, LOCK_VALUE_LIMIT)
        };
        match self {
            Self::Acquire(acquire) => {
                check_ttl(acquire.ttl)?;
                within(Measure::MaxWait, acquire.max_wait.0, 0, MAX_WAIT_LIMIT.0)?;
                let limit = u64::from(acquire.limit);
                within(Measure::Holders, limit, 1, u64::from(HOLDERS_LIMIT))?;
                value(&acquire.value)
            }
            Self::Renew {
                ttl, value: new, ..
            } => {
                ttl.map_or(Ok(()), check_ttl)?;
                value(new)
            }
            Self::Release { .. } | Self::Delete { .. } => Ok(()),
        }
    }
}

fn check_ttl(ttl: Millis) -> Result<(), Refused> {
    within(Measure::LockTtl, ttl.0, LOCK_TTL_LEAST.0, LOCK_TTL_LIMIT.0)
}

impl Locks {
    /// A lock.
    pub fn lock(&self, name: &str) -> Option<&Lock> {
        self.all.get(name)
    }

    /// All locks that are known, held or not, in the order of their names' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&LockName, &Lock)> {
        self.all.iter()
    }

    /// The last lock by name.
    pub fn last(&self) -> Option<&LockName> {
        self.all.get_max().map(|(name, _)| name)
    }

    /// The newest fencing token that any lock granted.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn perform(&mut self, command: &LockCommand, scene: &mut Scene<'_>) -> Answer {
        match command {
            LockCommand::Acquire(acquire) => self.acquire(acquire, scene),
            LockCommand::Renew {
                name,
                nonce,
                ttl,
                value,
            } => self.renew((name, *nonce), *ttl, value.as_ref(), scene),
            LockCommand::Release { name, nonce } => self.release(name, *nonce, scene),
            LockCommand::Delete { name } => self.delete(name, scene),
        }
    }

    fn acquire(&mut self, acquire: &Acquire, scene: &mut Scene<'_>) -> Answer {
        let name = &acquire.name;
        let mut lock = self.all.get(name).cloned().unwrap_or_default();
        if let Some(seat) = lock.seats.get(&acquire.nonce) {
            return lock.tell(*seat);
        }
        if !lock.seats.is_empty() && lock.limit != acquire.limit {
            let limit = lock.limit;
            return Err(Refused::LimitDiffers { limit });
        }
        let is_free = lock.holders.len() < acquire.limit as usize;
        if !is_free && acquire.max_wait == Millis(0) {
            let until = lock.holders.values().map(|holder| holder.expires).min();
            return Err(Refused::LockHeld { until });
        }
        if !is_free {
            self.room_for_a_waiter(&lock)?;
        } else if !self.all.contains_key(name) {
            self.room_for_a_lock()?;
        }
        lock.limit = acquire.limit;
        let waiter = Waiter {
            nonce: acquire.nonce,
            author: scene.author.clone(),
            request: scene.request.cloned(),
            ttl: acquire.ttl,
            since: scene.now,
            until: scene.now.after(acquire.max_wait),
            value: acquire.value.clone(),
        };
        let seat = if is_free {
            Seat::Holder(self.grant(name, &mut lock, waiter, scene))
        } else {
            let queued = LockEvent::Queued {
                nonce: acquire.nonce,
            };
            scene.events.push(event(name, queued));
            self.queue(name, &mut lock, scene.index, waiter)
        };
        let answer = lock.tell(seat);
        self.put(name, lock, scene.now);
        answer
    }

    fn renew(
        &mut self,
        (name, nonce): (&LockName, Nonce),
        ttl: Option<Millis>,
        value: Option<&Arc<str>>,
        scene: &mut Scene<'_>,
    ) -> Answer {
        let (mut lock, seat) = self.seat(name, nonce)?;
        let Seat::Holder(token) = seat else {
            return Err(Refused::WrongNonce);
        };
        let old = lock.holders.remove(&token).ok_or(Refused::WrongNonce)?;
        self.due.remove(&(old.expires, name.clone(), seat));
        let published = value.filter(|value| old.value.as_ref() != Some(value));
        if let Some(value) = published {
            let value = value.clone();
            let published = LockEvent::Published { token, value };
            scene.events.push(event(name, published));
        }
        let ttl = ttl.unwrap_or(old.ttl);
        let holder = Holder {
            ttl,
            expires: old.expires.max(scene.now.after(ttl)),
            value: value.cloned().or(old.value),
            ..old
        };
        self.hold(name, &mut lock, token, holder);
        let answer = lock.tell(seat);
        self.put(name, lock, scene.now);
        answer
    }

    fn release(&mut self, name: &LockName, nonce: Nonce, scene: &mut Scene<'_>) -> Answer {
        let (mut lock, seat) = self.seat(name, nonce)?;
        self.end(name, &mut lock, seat, End::Released, scene);
        self.fill(name, &mut lock, scene);
        self.put(name, lock, scene.now);
        Ok(Outcome::Released)
    }

    fn delete(&mut self, name: &LockName, scene: &mut Scene<'_>) -> Answer {
        let mut lock = self.lock(name.as_str()).cloned();
        let lock = lock.as_mut().ok_or(Refused::LockNotFound)?;
        let seats: Vec<Seat> = lock.waiters.keys().map(|at| Seat::Waiter(*at)).collect();
        let holders = lock.holders.keys().map(|token| Seat::Holder(*token));
        let seats: Vec<Seat> = seats.into_iter().chain(holders).collect();
        for seat in seats {
            self.end(name, lock, seat, End::Deleted, scene);
        }
        self.forget(name);
        Ok(Outcome::Deleted)
    }

    fn seat(&self, name: &LockName, nonce: Nonce) -> Result<(Lock, Seat), Refused> {
        let lock = self.all.get(name).ok_or(Refused::LockNotFound)?;
        let seat = lock.seats.get(&nonce).ok_or(Refused::WrongNonce)?;
        Ok((lock.clone(), *seat))
    }
}

fn event(name: &LockName, what: LockEvent) -> Event {
    let name = name.clone();
    Event::Lock { name, what }
}

impl Lock {
    /// What somebody who asks again is told.
    fn tell(&self, seat: Seat) -> Answer {
        match seat {
            Seat::Holder(token) => {
                let holder = self.holders.get(&token).ok_or(Refused::WrongNonce)?;
                Ok(Outcome::Granted {
                    nonce: holder.nonce,
                    token,
                    expires: holder.expires,
                })
            }
            Seat::Waiter(at) => {
                let waiter = self.waiters.get(&at).ok_or(Refused::WrongNonce)?;
                let is_last = self.waiters.get_max().is_some_and(|(last, _)| *last == at);
                let ahead = if is_last {
                    self.waiters.len() - 1
                } else {
                    self.waiters.range(..at).count()
                };
                Ok(Outcome::Waiting {
                    nonce: waiter.nonce,
                    ahead: ahead as u64,
                    until: waiter.until,
                })
            }
        }
    }
}
