//! Sitting down and getting up: the only doors through which holders and waiters come and go, and
//! what happens when their time is over.

use std::collections::BTreeSet;

use super::super::clock::LogTime;
use super::super::name::LockName;
use super::super::outcome::{End, LockEvent, Scene, Settled};
use super::super::refused::{Measure, Refused, room};
use super::{
    ALL_WAITERS_LIMIT, Holder, LOCK_IDLE, LOCKS_LIMIT, Lock, Locks, Seat, WAITERS_LIMIT, Waiter,
    event,
};

impl Locks {
    /// When the first lease or wait is over.
    pub(in super::super) fn next_deadline(&self) -> Option<LogTime> {
        self.due.get_min().map(|(at, _, _)| *at)
    }

    /// Ends what is over by now: waits, then leases; then the next in line get their turn.
    pub(in super::super) fn lapse(&mut self, scene: &mut Scene<'_>) {
        let over = self.due.iter().take_while(|(at, _, _)| *at <= scene.now);
        let over: Vec<(LockName, Seat)> =
            over.map(|(_, name, seat)| (name.clone(), *seat)).collect();
        let is_waiter = |seat: &Seat| matches!(seat, Seat::Waiter(_));
        let (waiters, holders): (Vec<_>, Vec<_>) =
            over.into_iter().partition(|(_, seat)| is_waiter(seat));
        let mut touched = BTreeSet::new();
        for (name, seat) in waiters.into_iter().chain(holders) {
            if let Some(mut lock) = self.all.get(&name).cloned() {
                self.end(&name, &mut lock, seat, End::TimeOut, scene);
                self.all.insert(name.clone(), lock);
                touched.insert(name);
            }
        }
        for name in touched {
            if let Some(mut lock) = self.all.get(&name).cloned() {
                self.fill(&name, &mut lock, scene);
                self.put(&name, lock, scene.now);
            }
        }
        while let Some((since, name)) = self.idle.get_min().cloned()
            && since.after(LOCK_IDLE) <= scene.now
        {
            self.forget(&name);
        }
    }

    pub(super) fn room_for_a_waiter(&self, lock: &Lock) -> Result<(), Refused> {
        room(Measure::Waiters, lock.waiters.len() + 1, WAITERS_LIMIT)?;
        room(Measure::AllWaiters, self.waiters + 1, ALL_WAITERS_LIMIT)
    }

    /// Makes room for one more lock: the longest idle one is forgotten.
    pub(super) fn room_for_a_lock(&mut self) -> Result<(), Refused> {
        if self.all.len() < LOCKS_LIMIT {
            return Ok(());
        }
        if let Some((_, name)) = self.idle.get_min().cloned() {
            self.forget(&name);
        }
        room(Measure::Locks, self.all.len() + 1, LOCKS_LIMIT)
    }

    /// Gives free places to those who wait, first come first served.
    pub(super) fn fill(&mut self, name: &LockName, lock: &mut Lock, scene: &mut Scene<'_>) {
        while lock.holders.len() < lock.limit as usize
            && let Some((at, waiter)) = lock.waiters.get_min().cloned()
        {
            self.leave(name, lock, at, &waiter);
            let request = waiter.request.clone();
            let token = self.grant(name, lock, waiter, scene);
            if let Some(request) = request {
                let answer = lock.tell(Seat::Holder(token));
                scene.settled.push(Settled {
                    request,
                    index: at,
                    answer,
                });
            }
        }
    }

    /// Grants a place; the token is above all that were granted before.
    pub(super) fn grant(
        &mut self,
        name: &LockName,
        lock: &mut Lock,
        waiter: Waiter,
        scene: &mut Scene<'_>,
    ) -> u64 {
        let token = scene.index.max(self.newest + 1);
        (self.newest, lock.newest) = (token, token);
        let expires = scene.now.after(waiter.ttl);
        let granted = LockEvent::Granted {
            nonce: waiter.nonce,
            token,
            expires,
            value: waiter.value.clone(),
        };
        scene.events.push(event(name, granted));
        let holder = Holder {
            nonce: waiter.nonce,
            author: waiter.author,
            ttl: waiter.ttl,
            since: scene.now,
            expires,
            value: waiter.value,
        };
        self.hold(name, lock, token, holder);
        token
    }

    /// Ends a hold or a wait, and says so.
    pub(super) fn end(
        &mut self,
        name: &LockName,
        lock: &mut Lock,
        seat: Seat,
        why: End,
        scene: &mut Scene<'_>,
    ) {
        match seat {
            Seat::Holder(token) => {
                let Some(holder) = lock.holders.remove(&token) else {
                    return;
                };
                let nonce = holder.nonce;
                lock.seats.remove(&nonce);
                self.due.remove(&(holder.expires, name.clone(), seat));
                let ended = LockEvent::Ended { nonce, token, why };
                scene.events.push(event(name, ended));
            }
            Seat::Waiter(at) => {
                let Some(waiter) = lock.waiters.get(&at).cloned() else {
                    return;
                };
                self.leave(name, lock, at, &waiter);
                let nonce = waiter.nonce;
                let left = LockEvent::Left { nonce, why };
                scene.events.push(event(name, left));
                let refused = match why {
                    End::TimeOut => Refused::WaitOver,
                    End::Released => Refused::WrongNonce,
                    End::Deleted => Refused::LockDeleted,
                };
                if let Some(request) = waiter.request {
                    scene.settled.push(Settled {
                        request,
                        index: at,
                        answer: Err(refused),
                    });
                }
            }
        }
    }

    /// Puts a holder in its place.
    pub(super) fn hold(&mut self, name: &LockName, lock: &mut Lock, token: u64, holder: Holder) {
        let seat = Seat::Holder(token);
        lock.seats.insert(holder.nonce, seat);
        self.due.insert((holder.expires, name.clone(), seat));
        lock.holders.insert(token, holder);
    }

    /// Puts a waiter in the line.
    pub(super) fn queue(
        &mut self,
        name: &LockName,
        lock: &mut Lock,
        at: u64,
        waiter: Waiter,
    ) -> Seat {
        let seat = Seat::Waiter(at);
        lock.seats.insert(waiter.nonce, seat);
        self.due.insert((waiter.until, name.clone(), seat));
        lock.waiters.insert(at, waiter);
        self.waiters += 1;
        seat
    }

    fn leave(&mut self, name: &LockName, lock: &mut Lock, at: u64, waiter: &Waiter) {
        lock.waiters.remove(&at);
        lock.seats.remove(&waiter.nonce);
        let due = (waiter.until, name.clone(), Seat::Waiter(at));
        self.due.remove(&due);
        self.waiters -= 1;
    }

    /// Keeps a lock as it is now, and marks since when nobody holds it.
    pub(super) fn put(&mut self, name: &LockName, mut lock: Lock, now: LogTime) {
        if let Some(since) = lock.idle.take() {
            self.idle.remove(&(since, name.clone()));
        }
        if lock.holders.is_empty() {
            lock.idle = Some(now);
            self.idle.insert((now, name.clone()));
        }
        self.all.insert(name.clone(), lock);
    }

    pub(super) fn forget(&mut self, name: &LockName) {
        let lock = self.all.remove(name);
        if let Some(since) = lock.and_then(|lock| lock.idle) {
            self.idle.remove(&(since, name.clone()));
        }
    }

    /// Takes a lock from a snapshot, as yet without holders and waiters.
    pub(in super::super) fn restore(
        &mut self,
        name: LockName,
        limit: u32,
        newest: u64,
        idle: Option<LogTime>,
    ) {
        if let Some(since) = idle {
            self.idle.insert((since, name.clone()));
        }
        let lock = Lock {
            limit,
            newest,
            idle,
            ..Lock::default()
        };
        self.all.insert(name, lock);
    }

    /// Takes a holder from a snapshot; says whether its lock is there.
    pub(in super::super) fn restore_holder(
        &mut self,
        name: &LockName,
        token: u64,
        holder: Holder,
    ) -> bool {
        let Some(mut lock) = self.all.get(name).cloned() else {
            return false;
        };
        self.hold(name, &mut lock, token, holder);
        self.all.insert(name.clone(), lock);
        true
    }

    /// Takes a waiter from a snapshot; says whether its lock is there.
    pub(in super::super) fn restore_waiter(
        &mut self,
        name: &LockName,
        at: u64,
        waiter: Waiter,
    ) -> bool {
        let Some(mut lock) = self.all.get(name).cloned() else {
            return false;
        };
        self.queue(name, &mut lock, at, waiter);
        self.all.insert(name.clone(), lock);
        true
    }

    /// Takes the newest token from a snapshot.
    pub(in super::super) fn restore_newest(&mut self, newest: u64) {
        self.newest = newest;
    }
}
