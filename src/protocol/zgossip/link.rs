//! What the other end of a connection is known to have: which tuples to tell it, and which of its
//! words are news.
//!
//! The problem: zgossip has no versions. A node takes what arrives last, and passes on whatever
//! differed from what it had, also to whom it came from. Two nodes that were told different values
//! at the same moment swap them for ever, and one that comes back after a while tells old values
//! beside new ones.
//!
//! The idea: the other end is one register per key. Its messages are that register's history,
//! except that it repeats what we told it (the echo). So this side
//!
//! - tells a value only if the register is not known to hold it,
//! - takes a word that repeats what it told the other end as an echo, never as news; if the store
//!   has moved on by then, it answers with the winner,
//! - takes a word as news only if it changes the register. The first word about a key on a
//!   connection is no change but a memory: it is news if the key never had that value here,
//! - does not tell a value back to whom it came from, unless something of ours was on its way.
//!
//! Each pair in which one side behaves so falls silent after at most one more exchange. Should
//! others keep swapping values beyond us, what returns to a value again and again is damped: taken
//! once at the end of growing pauses.
//!
//! Invariant: memory per connection is bounded by the number of keys in the store, whatever is said
//! on it: of keys that the store does not take nothing is kept.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::model::{KeyName, WallTime};
use crate::protocol::Mono;

/// How long an echo is waited for from one that was never heard to echo.
const ECHO: Duration = Duration::from_secs(1);
/// The same from one that does.
const ECHO_KNOWN: Duration = Duration::from_secs(30);
/// The most echoes that are waited for, per key.
const ECHOES: usize = 16;
/// The other end tells what it remembers without a pause longer than this one.
const MEMORY_PAUSE: Duration = Duration::from_millis(500);
/// How many former values of a register are remembered to notice that it returns to them.
const FORMER: usize = 8;
/// How often a register may return to a former value within [`CALM`] until it is damped.
const RETURNS: u32 = 50;
/// The window in which returns are counted, and the first pause of a damped key.
const CALM: Duration = Duration::from_secs(5);
/// The longest pause of a damped key.
const CALM_MOST: Duration = Duration::from_mins(1);
/// The most keys of a connection that wait for the end of their pause.
const DAMPED: usize = 1000;

/// The print of a value: equal values have equal ones, others practically never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print(u64);

impl Print {
    /// The print of these octets.
    pub fn of(value: &[u8]) -> Self {
        let hash = blake3::hash(value);
        let (half, _) = hash.as_bytes().split_at(8);
        Self(
            half.iter()
                .fold(0, |bits, octet| bits << 8 | u64::from(*octet)),
        )
    }
}

/// What the store has under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing is known of the key.
    Never,
    /// A value.
    Live {
        /// Its print.
        print: Print,
        /// From when on readers do not see it.
        expires: Option<WallTime>,
    },
    /// A value that has expired.
    Expired(Print),
    /// It was deleted.
    Deleted,
}

impl Held {
    fn live(self) -> Option<Print> {
        match self {
            Self::Live { print, .. } => Some(print),
            Self::Never | Self::Expired(_) | Self::Deleted => None,
        }
    }
}

/// What the other end said about a key.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// The print of the value.
    pub print: Print,
    /// When it is to expire; none: never.
    pub expires: Option<WallTime>,
    /// The wall clock.
    pub wall: WallTime,
}

/// What becomes of a word of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It changes nothing.
    Nothing,
    /// It is news: write it.
    Write,
    /// It is news if the key never had this value: look it up, then call [`Link::was_former`] if it
    /// had, or write it.
    Recall,
    /// It is old: the other end is to be told the current value.
    Answer,
    /// It is news of a key that flaps: to be offered again when [`Link::calm`] gives the key.
    Damp,
    /// Too many keys flap at once: the connection must end.
    TooMuch,
}

/// What is known of the other end of a connection.
#[derive(Debug, Default)]
pub struct Link {
    keys: HashMap<KeyName, Register>,
    echoes: bool,
    has_begun: bool,
    /// When the other end may no longer be telling what it remembers.
    memory_until: Mono,
    damped: BTreeMap<KeyName, Mono>,
}

/// One key at the other end.
#[derive(Debug, Default)]
struct Register {
    /// What it told last.
    told: Option<Print>,
    /// What we told since, if anything.
    ours: Option<Print>,
    /// What we told and have not heard again, oldest first.
    awaited: VecDeque<(Print, Mono)>,
    flap: Option<Box<Flap>>,
}

/// How restless a key is.
#[derive(Debug)]
struct Flap {
    former: VecDeque<Print>,
    since: Mono,
    returns: u32,
    pause: Option<Duration>,
}

impl Link {
    /// The other end begins to tell what it remembers, and is told everything. What was known of it
    /// no longer holds.
    pub fn begin(&mut self, now: Mono) {
        self.keys.clear();
        self.damped.clear();
        self.has_begun = true;
        self.memory_until = now.plus(MEMORY_PAUSE);
    }

    /// The other end said something about a key of which the store has `held`.
    pub fn said(&mut self, now: Mono, key: &KeyName, said: Said, held: Held) -> Verdict {
        let in_memory = !self.has_begun || now < self.memory_until;
        if in_memory {
            self.memory_until = now.plus(MEMORY_PAUSE);
        }
        let window = if self.echoes { ECHO_KNOWN } else { ECHO };
        let register = self.keys.entry(key.clone()).or_default();
        let current = held.live();
        if register.is_echo(now, said.print, window) {
            self.echoes = true;
            let is_behind = current.is_some_and(|current| current != said.print);
            return if is_behind && register.awaited.is_empty() {
                Verdict::Answer
            } else {
                Verdict::Nothing
            };
        }
        let before = register.told.replace(said.print);
        let is_memory = before.is_none() && (in_memory || current.is_none());
        // What is on its way to the other end comes after this word.
        if before != Some(said.print) && register.awaited.is_empty() {
            register.ours = None;
        }
        if current == Some(said.print) {
            return renewal(said, held);
        }
        if before == Some(said.print) && !revives(said, held) {
            return Verdict::Nothing;
        }
        if held == Held::Never || revives(said, held) {
            return Verdict::Write;
        }
        if is_memory {
            return Verdict::Recall;
        }
        if register.is_calm(now, said.print) {
            return Verdict::Write;
        }
        self.damp(now, key)
    }

    fn damp(&mut self, now: Mono, key: &KeyName) -> Verdict {
        let flap = self.keys.get(key).and_then(|at| at.flap.as_ref());
        let until = flap.map_or(now, |flap| flap.until());
        if self.damped.len() >= DAMPED && !self.damped.contains_key(key) {
            return Verdict::TooMuch;
        }
        self.damped.insert(key.clone(), until);
        Verdict::Damp
    }

    /// The value that the other end told is one that the key had and lost: it holds no longer what
    /// it should, if there is a current value.
    pub fn was_former(held: Held) -> Verdict {
        match held {
            Held::Live { .. } => Verdict::Answer,
            Held::Never | Held::Expired(_) | Held::Deleted => Verdict::Nothing,
        }
    }

    /// Whether the other end is to be told this value; if so, it is taken for told.
    pub fn tells(&mut self, now: Mono, key: &KeyName, print: Print) -> bool {
        let window = if self.echoes { ECHO_KNOWN } else { ECHO };
        let register = self.keys.entry(key.clone()).or_default();
        if register.ours.or(register.told) == Some(print) {
            return false;
        }
        register.forget(now, window);
        if register.awaited.len() == ECHOES {
            register.awaited.pop_front();
        }
        register.awaited.push_back((print, now));
        register.ours = Some(print);
        true
    }

    /// The store does not take what was said about this key: nothing is kept of it.
    pub fn forget(&mut self, key: &KeyName) {
        self.keys.remove(key);
        self.damped.remove(key);
    }

    /// How many keys something is known of.
    pub fn known(&self) -> usize {
        self.keys.len()
    }

    /// A key whose pause is over: what the other end said last of it is to be written if it differs
    /// from the current value.
    pub fn calm(&mut self, now: Mono) -> Option<KeyName> {
        let due = self.damped.iter().find(|(_, until)| **until <= now);
        let key = due.map(|(key, _)| key.clone())?;
        self.damped.remove(&key);
        Some(key)
    }

    /// When the first pause is over.
    pub fn deadline(&self) -> Option<Mono> {
        self.damped.values().min().copied()
    }

    /// How many keys wait for the end of their pause.
    pub fn damped(&self) -> usize {
        self.damped.len()
    }
}

/// The value is there already: does the word make it last longer? By a tenth of what is left at
/// least, so that it does not go round and round growing by what the way takes.
fn renewal(said: Said, held: Held) -> Verdict {
    let (Held::Live { expires, .. }, Some(new)) = (held, said.expires) else {
        return Verdict::Nothing;
    };
    let Some(old) = expires else {
        return Verdict::Nothing;
    };
    let left = |at: WallTime| at.millis().saturating_sub(said.wall.millis());
    if left(new) > left(old) + left(new) / 10 {
        Verdict::Write
    } else {
        Verdict::Nothing
    }
}

/// Whether it is said with an expiry of a value that had one and is past it.
fn revives(said: Said, held: Held) -> bool {
    matches!(held, Held::Expired(_)) && said.expires.is_some()
}

impl Register {
    fn forget(&mut self, now: Mono, window: Duration) {
        self.awaited.retain(|(_, at)| now.since(*at) < window);
    }

    fn is_echo(&mut self, now: Mono, print: Print, window: Duration) -> bool {
        self.forget(now, window);
        let Some(at) = self.awaited.iter().position(|(told, _)| *told == print) else {
            return false;
        };
        self.awaited.remove(at);
        self.told = Some(print);
        self.ours = self.awaited.back().map(|(told, _)| *told);
        true
    }

    /// Counts a change of the register; whether it may be taken at once.
    fn is_calm(&mut self, now: Mono, print: Print) -> bool {
        let flap = self.flap.get_or_insert_with(|| Box::new(Flap::new(now)));
        flap.counts(now, print)
    }
}

impl Flap {
    fn new(now: Mono) -> Self {
        Self {
            former: VecDeque::with_capacity(FORMER),
            since: now,
            returns: 0,
            pause: None,
        }
    }

    /// When the window or pause ends.
    fn until(&self) -> Mono {
        self.since.plus(self.pause.unwrap_or(CALM))
    }

    fn counts(&mut self, now: Mono, print: Print) -> bool {
        if now >= self.until() {
            // Restless up to the end: the next pause is longer.
            let restless = self.returns > self.allowed();
            let longer = |pause: Duration| (pause * 2).min(CALM_MOST);
            self.pause = restless.then(|| self.pause.map_or(CALM, longer));
            self.since = now;
            self.returns = 0;
        }
        if self.former.contains(&print) {
            self.returns = self.returns.saturating_add(1);
        } else {
            if self.former.len() == FORMER {
                self.former.pop_front();
            }
            self.former.push_back(print);
        }
        self.returns <= self.allowed()
    }

    /// How many returns are taken until the end of the window or pause.
    fn allowed(&self) -> u32 {
        if self.pause.is_some() { 1 } else { RETURNS }
    }
}

#[cfg(test)]
mod tests;
