//! Runs one connection: the pure session and link against a socket.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Shared;
use super::counters::Counters;
use super::endpoint::Stream;
use super::outward::Outward;
use super::tuples::Batch;
use crate::app::EditError;
use crate::io::clock::{mono, sleep_until};
use crate::model::{KeyName, Value, WallTime};
use crate::protocol::zgossip::{
    Effect, Event, Fault, Held, Link, OVERHEAD, Print, Role, Said, Session, Tuple, Verdict,
};
use crate::protocol::{Mono, Protocol};

/// Octets that are read at once.
const READ: usize = 64 << 10;
/// Tuples are pulled from the store while fewer octets than this wait to be sent.
const PULL: usize = 256 << 10;
/// How many keys are looked at before other things have their turn.
const KEYS: usize = 1024;
/// So many octets may wait to be sent beyond that and one tuple; more are answers to somebody who
/// asks and does not listen.
const OVERFLOW: usize = 1 << 20;
/// How long the other end may take nothing of what waits for it.
const STALL: Duration = Duration::from_secs(30);
/// The most octets of values of damped keys.
const DAMPED: usize = 16 << 20;
/// How long a connection is held on to when the store takes nothing, before it is ended so that
/// the other end says everything again.
const UNABLE: Duration = Duration::from_secs(1);

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Why {
    /// The face stops.
    Stopping,
    /// The other end closed it.
    Gone,
    /// The network failed.
    Lost(io::Error),
    /// What the other end said, or did not say.
    Fault(Fault),
    /// The other end does not take what it is sent.
    Slow,
    /// More keys flap than can be damped.
    Flapping,
    /// The store takes nothing now.
    Unable(EditError),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("this member stops"),
            Self::Gone => f.write_str("the other end closed the connection"),
            Self::Lost(why) => why.fmt(f),
            Self::Fault(why) => why.fmt(f),
            Self::Slow => f.write_str("the other end does not take what it is sent"),
            Self::Flapping => f.write_str("too many keys go back and forth"),
            Self::Unable(why) => write!(f, "the store takes nothing: {why}"),
        }
    }
}

/// Runs a connection to its end. `open` is called when the handshake is over.
pub(super) async fn run(
    stream: Box<dyn Stream>,
    role: Role,
    shared: &Shared,
    open: impl Fn(),
) -> Why {
    let mut running = Running::new(role, shared);
    let why = tokio::select! {
        () = shared.tasks.stopping() => Why::Stopping,
        why = running.drive(stream, open) => why,
    };
    match &why {
        Why::Fault(fault) if fault.is_malformed() => {
            Counters::count(&shared.counters.malformed);
        }
        Why::Slow | Why::Flapping => Counters::count(&shared.counters.slow),
        Why::Unable(_) => {
            tokio::select! {
                () = shared.tasks.stopping() => {}
                () = tokio::time::sleep(UNABLE) => {}
            }
        }
        Why::Stopping | Why::Gone | Why::Lost(_) | Why::Fault(_) => {}
    }
    why
}

struct Running<'a> {
    shared: &'a Shared,
    session: Session,
    link: Link,
    outward: Outward,
    out: BytesMut,
    /// The most octets that may wait to be sent.
    overflow: usize,
    /// When the other end last took some of what waits for it.
    progress: Mono,
    effects: Vec<Effect>,
    damped: HashMap<KeyName, (Value, Option<WallTime>)>,
    damped_bytes: usize,
}

impl<'a> Running<'a> {
    fn new(role: Role, shared: &'a Shared) -> Self {
        let now = mono();
        let mut effects = Vec::new();
        let largest = shared.tuples.app().limits().value_bytes;
        Self {
            shared,
            session: Session::new(now, role, largest, &mut effects),
            link: Link::default(),
            outward: Outward::default(),
            out: BytesMut::new(),
            overflow: PULL + OVERHEAD + largest + OVERFLOW,
            progress: now,
            effects,
            damped: HashMap::new(),
            damped_bytes: 0,
        }
    }

    async fn drive(&mut self, stream: Box<dyn Stream>, open: impl Fn()) -> Why {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut revisions = self.shared.tuples.app().revisions();
        let mut input = BytesMut::with_capacity(READ);
        let mut is_open = false;
        loop {
            if let Err(why) = self.settle().await {
                // An ERROR that says why may still go out.
                let _ = tokio::time::timeout(UNABLE, writer.write(&self.out)).await;
                return why;
            }
            if self.session.is_open() && !std::mem::replace(&mut is_open, true) {
                open();
            }
            let more = self.pull();
            if self.out.len() > self.overflow {
                return Why::Slow;
            }
            let deadline = if more { mono() } else { self.deadline() };
            let has_room = self.out.len() < PULL;
            let waits = !self.out.is_empty();
            tokio::select! {
                read = reader.read_buf(&mut input) => match read {
                    Ok(0) => return Why::Gone,
                    Ok(_) => self.event(Event::Received(input.split().freeze())),
                    Err(why) => return Why::Lost(why),
                },
                wrote = writer.write(&self.out), if waits => match wrote {
                    Ok(0) => return Why::Gone,
                    Ok(count) => {
                        self.out.advance(count);
                        self.progress = mono();
                    }
                    Err(why) => return Why::Lost(why),
                },
                changed = revisions.changed(), if has_room => if changed.is_err() {
                    return Why::Stopping;
                },
                () = sleep_until(deadline) => {
                    let now = mono();
                    if waits && now >= self.progress.plus(STALL) {
                        return Why::Slow;
                    }
                    self.session.on_deadline(now, &mut self.effects);
                }
            }
            input.reserve(READ);
            if !waits {
                self.progress = mono();
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.session.on_event(mono(), event, &mut self.effects);
    }

    /// When to look again at the latest.
    fn deadline(&self) -> Mono {
        let stall = (!self.out.is_empty()).then(|| self.progress.plus(STALL));
        let all = [self.session.deadline(), self.link.deadline(), stall];
        let far = mono().plus(STALL);
        all.into_iter().flatten().min().unwrap_or(far)
    }

    /// Does what the session wants done, and writes what is news.
    async fn settle(&mut self) -> Result<(), Why> {
        let mut batch = Batch::new();
        let mut end = Ok(());
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Send(octets) => self.out.extend_from_slice(&octets),
                Effect::Begin => {
                    self.link.begin(mono());
                    self.outward.begin(&self.shared.tuples);
                    self.damped.clear();
                    self.damped_bytes = 0;
                }
                Effect::Pause => self.outward.pause(),
                Effect::Tuple(tuple) => self.tuple(tuple, &mut batch).await?,
                Effect::Close(fault) => end = Err(Why::Fault(fault)),
            }
        }
        while let Some(key) = self.link.calm(mono()) {
            self.calm(key, &mut batch);
        }
        let Shared {
            tuples, counters, ..
        } = self.shared;
        let refused = tuples.write(batch, counters).await.map_err(Why::Unable)?;
        for key in refused {
            self.link.forget(&key);
        }
        end
    }

    async fn tuple(&mut self, tuple: Tuple, batch: &mut Batch) -> Result<(), Why> {
        let Shared {
            tuples, counters, ..
        } = self.shared;
        Counters::count(&counters.received);
        let limits = tuples.app().limits();
        let key = std::str::from_utf8(&tuple.key).ok();
        let key = key.and_then(|key| KeyName::limited(key, limits.name_bytes).ok());
        let Some(key) = key.filter(|_| tuple.value.len() <= limits.value_bytes) else {
            Counters::count(&counters.refused);
            return Ok(());
        };
        let wall = tuples.app().now();
        let expires = (tuple.ttl > 0).then(|| {
            let at = wall.millis().saturating_add(u64::from(tuple.ttl));
            WallTime::from_millis(at)
        });
        let said = Said {
            print: Print::of(&tuple.value),
            expires,
            wall,
        };
        let held = match batch.get(&key) {
            Some((value, expires)) => Held::Live {
                print: Print::of(&value.octets),
                expires: *expires,
            },
            None => tuples.held(&key),
        };
        let mut verdict = self.link.said(mono(), &key, said, held);
        if verdict == Verdict::Recall {
            let was_former = tuples.was_former(&key, &tuple.value).await;
            verdict = if was_former {
                Link::was_former(held)
            } else {
                Verdict::Write
            };
        }
        self.undamp(&key);
        match verdict {
            Verdict::Nothing | Verdict::Recall => {}
            Verdict::Answer => self.outward.again(key),
            Verdict::Write => {
                batch.insert(key, (Value::untyped(&tuple.value[..]), expires));
            }
            Verdict::Damp => {
                Counters::count(&counters.damped);
                self.damped_bytes += tuple.value.len();
                let value = Value::untyped(&tuple.value[..]);
                self.damped.insert(key, (value, expires));
                if self.damped_bytes > DAMPED {
                    return Err(Why::Flapping);
                }
            }
            Verdict::TooMuch => return Err(Why::Flapping),
        }
        Ok(())
    }

    fn undamp(&mut self, key: &KeyName) -> Option<(Value, Option<WallTime>)> {
        let value = self.damped.remove(key)?;
        self.damped_bytes -= value.0.octets.len();
        Some(value)
    }

    /// The pause of a damped key is over: what was said last of it is news if it still differs.
    fn calm(&mut self, key: KeyName, batch: &mut Batch) {
        let Some((value, expires)) = self.undamp(&key) else {
            return;
        };
        batch.entry(key).or_insert((value, expires));
    }

    /// Tells what there is to tell, as long as there is room; whether there is more to look at.
    fn pull(&mut self) -> bool {
        let Shared {
            tuples, counters, ..
        } = self.shared;
        for _ in 0..KEYS {
            if !self.session.is_connected() || self.out.len() >= PULL {
                return false;
            }
            let Some(key) = self.outward.next(tuples) else {
                return false;
            };
            let Some(tuple) = tuples.tuple(&key) else {
                continue;
            };
            let print = Print::of(&tuple.value);
            // czmq keeps C strings: it would cut the value short, and tell that as news.
            if tuple.value.contains(&0) {
                Counters::count(&counters.not_exported);
                continue;
            }
            if !self.link.tells(mono(), &key, print) {
                continue;
            }
            self.event(Event::Tell(tuple));
            Counters::count(&counters.sent);
            for effect in self.effects.drain(..) {
                if let Effect::Send(octets) = effect {
                    self.out.extend_from_slice(&octets);
                }
            }
        }
        true
    }
}
