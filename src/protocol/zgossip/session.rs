//! One connection, from the greeting to its end: octets in, octets and tuples out.
//!
//! The server's side is czmq's state machine without its faults. A client that says nothing is
//! never forgotten, for clients of czmq have nothing to say by themselves: after a second of
//! silence czmq's server stops telling them anything. The client's side says PING so often that
//! such a server does not forget us, and begins again with HELLO when it is told INVALID.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::message::{Message, OVERHEAD, Tuple};
use super::zmtp::{self, Decoder, Fault, Input};
use crate::protocol::{Mono, Protocol};

/// How long greeting and READY of the other end may take.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often a client says PING: well within the second after which czmq's server forgets it.
pub const PING_EVERY: Duration = Duration::from_millis(300);
/// How long a client hears nothing, not even PONG, until it takes the server for dead.
pub const SERVER_SILENCE: Duration = Duration::from_secs(15);
/// After how long a silence the server's side asks by a PING of ZMTP 3.1 whether the other end is
/// there.
const ASK_AFTER: Duration = Duration::from_secs(5);
/// After how long a silence it takes one that answered such a question before for dead.
pub const SILENCE: Duration = Duration::from_secs(20);

/// How often the other end may begin anew within a second: each time it is told everything.
pub(super) const BEGINNINGS: u32 = 8;

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that was connected to: a ROUTER.
    Server,
    /// The one that connects: a DEALER.
    Client,
}

impl Role {
    fn socket_types(self) -> (&'static str, &'static str) {
        match self {
            Self::Server => ("ROUTER", "DEALER"),
            Self::Client => ("DEALER", "ROUTER"),
        }
    }
}

/// What may happen to a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// Octets arrived.
    Received(Bytes),
    /// A tuple is to be told; only while [`Session::is_connected`].
    Tell(Tuple),
}

/// What a session wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send these octets.
    Send(Bytes),
    /// The other end is ready for all tuples, and knows none of what it was told before.
    Begin,
    /// It published a tuple.
    Tuple(Tuple),
    /// It said something at the wrong time and was told INVALID: it is told nothing until HELLO.
    Pause,
    /// The connection must end. Nothing follows.
    Close(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Handshake,
    /// The server's state `start`: no HELLO yet, or INVALID since.
    Start,
    Connected,
    Closed,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    role: Role,
    stage: Stage,
    decoder: Decoder,
    minor: u8,
    since: Mono,
    heard: Mono,
    asked: Mono,
    answers: bool,
    /// How often it began within the second that began then.
    begun: (Mono, u32),
}

impl Session {
    /// A connection that was made at `now`; values may have `value_limit` octets. Its greeting goes
    /// out at once.
    pub fn new(now: Mono, role: Role, value_limit: usize, out: &mut Vec<Effect>) -> Self {
        out.push(Effect::Send(Bytes::copy_from_slice(&zmtp::greeting())));
        Self {
            role,
            stage: Stage::Greeting,
            decoder: Decoder::new(value_limit + OVERHEAD),
            minor: 0,
            since: now,
            heard: now,
            asked: now,
            answers: false,
            begun: (now, 0),
        }
    }

    /// Whether tuples may be told.
    pub fn is_connected(&self) -> bool {
        self.stage == Stage::Connected
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Start | Stage::Connected)
    }

    fn receive(&mut self, now: Mono, octets: &[u8], out: &mut Vec<Effect>) {
        if self.stage == Stage::Closed {
            return;
        }
        self.heard = now;
        self.decoder.push(octets);
        loop {
            let taken = match self.decoder.next_input() {
                Ok(None) => return,
                Ok(Some(input)) => self.input(now, input, out),
                Err(fault) => Err(fault),
            };
            if let Err(fault) = taken {
                return self.close(fault, out);
            }
        }
    }

    fn close(&mut self, fault: Fault, out: &mut Vec<Effect>) {
        self.stage = Stage::Closed;
        out.push(Effect::Close(fault));
    }

    fn input(&mut self, now: Mono, input: Input, out: &mut Vec<Effect>) -> Result<(), Fault> {
        let (ours, theirs) = self.role.socket_types();
        match (self.stage, input) {
            (Stage::Greeting, Input::Greeting { minor }) => {
                self.minor = minor;
                self.stage = Stage::Handshake;
                out.push(written(|out| zmtp::write_ready(out, ours)));
            }
            (Stage::Handshake, Input::Ready { socket_type }) => {
                if socket_type != theirs.as_bytes() {
                    out.push(written(|out| {
                        zmtp::write_error(out, "Invalid socket type");
                    }));
                    return Err(Fault::SocketType(theirs));
                }
                self.opened(now, out)?;
            }
            (_, Input::Error(reason)) => return Err(Fault::Refused(reason)),
            (Stage::Handshake, _) => return Err(Fault::Command("something else than READY")),
            (_, Input::Greeting { .. } | Input::Ready { .. }) => {
                return Err(Fault::Command("READY for a second time"));
            }
            (_, Input::Ping(context)) => {
                out.push(written(|out| zmtp::write_pong(out, &context)));
            }
            (_, Input::Pong) => self.answers = true,
            (_, Input::Other) => {}
            (_, Input::Frame { more: true, .. }) => return Err(Fault::Parts),
            (_, Input::Frame { more: false, body }) => {
                let message = Message::decode(&body)?;
                match self.role {
                    Role::Server => self.server(now, message, out)?,
                    Role::Client => self.client(now, message, out)?,
                }
            }
        }
        Ok(())
    }

    fn opened(&mut self, now: Mono, out: &mut Vec<Effect>) -> Result<(), Fault> {
        match self.role {
            Role::Server => self.stage = Stage::Start,
            Role::Client => self.hello(now, out)?,
        }
        Ok(())
    }

    /// The other end is to be told everything.
    fn begin(&mut self, now: Mono, out: &mut Vec<Effect>) -> Result<(), Fault> {
        let (since, times) = &mut self.begun;
        if now >= since.plus(Duration::from_secs(1)) {
            (*since, *times) = (now, 0);
        }
        *times += 1;
        if *times > BEGINNINGS {
            return Err(Fault::TooManyBeginnings(BEGINNINGS));
        }
        self.stage = Stage::Connected;
        out.push(Effect::Begin);
        Ok(())
    }

    /// What czmq's server does with a message, but for its faults.
    fn server(&mut self, now: Mono, message: Message, out: &mut Vec<Effect>) -> Result<(), Fault> {
        match (self.stage, message) {
            (Stage::Start, Message::Hello) => self.begin(now, out)?,
            (Stage::Connected, Message::Publish(tuple)) => out.push(Effect::Tuple(tuple)),
            (_, Message::Ping) => out.push(said(&Message::Pong)),
            (_, message) => {
                // One that was on its way when the connection was lost comes before HELLO. czmq
                // drops it, and its client does not say it again.
                if let Message::Publish(tuple) = message {
                    out.push(Effect::Tuple(tuple));
                }
                self.stage = Stage::Start;
                out.push(said(&Message::Invalid));
                out.push(Effect::Pause);
            }
        }
        Ok(())
    }

    fn client(&mut self, now: Mono, message: Message, out: &mut Vec<Effect>) -> Result<(), Fault> {
        match message {
            Message::Publish(tuple) => out.push(Effect::Tuple(tuple)),
            Message::Invalid => self.hello(now, out)?,
            // A server says neither HELLO nor PING; nothing depends on it.
            Message::Pong | Message::Hello | Message::Ping => {}
        }
        Ok(())
    }

    fn hello(&mut self, now: Mono, out: &mut Vec<Effect>) -> Result<(), Fault> {
        self.asked = now;
        out.push(said(&Message::Hello));
        self.begin(now, out)
    }

    /// Whether the other end answers a question of ours: by PONG of zgossip or of ZMTP 3.1.
    fn silence(&self) -> Option<Duration> {
        match self.role {
            Role::Client => Some(SERVER_SILENCE),
            Role::Server => self.answers.then_some(SILENCE),
        }
    }

    /// When to ask for a sign of life, if at all.
    fn ask_at(&self) -> Option<Mono> {
        match self.role {
            Role::Client => Some(self.asked.plus(PING_EVERY)),
            Role::Server if self.minor >= 1 => Some(self.heard.max(self.asked).plus(ASK_AFTER)),
            Role::Server => None,
        }
    }
}

impl Protocol for Session {
    type Event = Event;
    type Effect = Effect;

    fn on_event(&mut self, now: Mono, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Received(octets) => self.receive(now, &octets, out),
            Event::Tell(tuple) => {
                if self.is_connected() {
                    out.push(said(&Message::Publish(tuple)));
                }
            }
        }
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        match self.stage {
            Stage::Closed => {}
            Stage::Greeting | Stage::Handshake => {
                if now >= self.since.plus(HANDSHAKE) {
                    self.close(Fault::SlowHandshake, out);
                }
            }
            Stage::Start | Stage::Connected => {
                if self
                    .silence()
                    .is_some_and(|most| now >= self.heard.plus(most))
                {
                    return self.close(Fault::Silent, out);
                }
                if self.ask_at().is_some_and(|at| now >= at) {
                    self.asked = now;
                    out.push(match self.role {
                        Role::Client => said(&Message::Ping),
                        Role::Server => written(zmtp::write_ping),
                    });
                }
            }
        }
    }

    fn deadline(&self) -> Option<Mono> {
        match self.stage {
            Stage::Closed => None,
            Stage::Greeting | Stage::Handshake => Some(self.since.plus(HANDSHAKE)),
            Stage::Start | Stage::Connected => {
                let end = self.silence().map(|most| self.heard.plus(most));
                let ask = self.ask_at();
                end.into_iter().chain(ask).min()
            }
        }
    }
}

fn written(write: impl FnOnce(&mut BytesMut)) -> Effect {
    let mut out = BytesMut::new();
    write(&mut out);
    Effect::Send(out.freeze())
}

fn said(message: &Message) -> Effect {
    written(|out| zmtp::write_message(out, &message.encode()))
}

#[cfg(test)]
mod tests;
