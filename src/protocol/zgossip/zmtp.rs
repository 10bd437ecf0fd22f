//! The wire of ZeroMQ: ZMTP 3.0 and 3.1 with the mechanism NULL, no more of it than a DEALER and a
//! ROUTER need (RFC 23 and RFC 37 of ZeroMQ).
//!
//! A connection begins with a greeting of 64 octets from each side, whose first ten say whether it
//! is ZMTP at all. Then come frames: a byte of flags, a length of one or eight octets, the body.
//! Commands are frames; the first one of each side is READY.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The octets of a greeting.
const GREETING: usize = 64;
/// From where on the greeting says a version.
const SIGNATURE: usize = 10;
const MECHANISM: [u8; 20] = *b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;
/// The longest command, in octets: a READY with properties of its own has some hundred.
pub const COMMAND_LIMIT: usize = 4096;
/// The most properties in a READY.
pub const PROPERTIES: usize = 32;
/// The longest context of a PING, in octets (RFC 37).
const CONTEXT: usize = 16;

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The other end does not speak ZMTP.
    #[error("what was said first is no greeting of ZMTP")]
    NoZmtp,
    /// It speaks an older ZMTP.
    #[error("it speaks ZMTP {0}, but 3.0 is the least that will do")]
    Old(u8),
    /// It wants PLAIN, CURVE or another mechanism.
    #[error("it wants another security mechanism than NULL")]
    Mechanism,
    /// A frame's flags have no meaning.
    #[error("a frame with the flags {0:#04x}")]
    Flags(u8),
    /// A frame claims to be longer than the limit.
    #[error("a frame of {claimed} octets, which is over the limit of {limit}")]
    FrameTooLarge {
        /// The length that it claims.
        claimed: u64,
        /// The limit.
        limit: usize,
    },
    /// A command cannot be read, or comes at the wrong time.
    #[error("{0}")]
    Command(&'static str),
    /// The other end is no partner for this one.
    #[error("it is no {0} socket")]
    SocketType(&'static str),
    /// The other end refused the connection.
    #[error("it refused: {0}")]
    Refused(String),
    /// A message of several frames; those of zgossip have one.
    #[error("a message of several parts")]
    Parts,
    /// A frame that is no message of zgossip.
    #[error("no message of zgossip: {0}")]
    Message(#[from] super::message::MessageError),
    /// The handshake was not over in time.
    #[error("the handshake took too long")]
    SlowHandshake,
    /// It began anew again and again; each time it is told everything.
    #[error("it began anew more than {0} times within a second")]
    TooManyBeginnings(u32),
    /// Nothing was heard for too long from one that used to answer.
    #[error("nothing was heard for too long")]
    Silent,
}

impl Fault {
    /// Whether the other end said something wrong, and did not only go silent or refuse.
    pub fn is_malformed(&self) -> bool {
        !matches!(self, Self::SlowHandshake | Self::Silent | Self::Refused(_))
    }
}

/// Our greeting: ZMTP 3.1, NULL, no server in the sense of the mechanism.
pub fn greeting() -> [u8; GREETING] {
    let mut octets = [0; GREETING];
    octets[..SIGNATURE].copy_from_slice(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f]);
    octets[SIGNATURE] = 3;
    octets[SIGNATURE + 1] = 1;
    octets[SIGNATURE + 2..SIGNATURE + 22].copy_from_slice(&MECHANISM);
    octets
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The greeting, with the minor version of the other end's ZMTP 3.
    Greeting {
        /// 0 or 1; larger ones are later than this code.
        minor: u8,
    },
    /// READY, with its socket type.
    Ready {
        /// The property `Socket-Type`; empty if there was none.
        socket_type: Bytes,
    },
    /// ERROR, with its reason.
    Error(String),
    /// PING, with its context.
    Ping(Bytes),
    /// PONG.
    Pong,
    /// Another command.
    Other,
    /// A frame of a message.
    Frame {
        /// Whether the message has another one.
        more: bool,
        /// What is in it.
        body: Bytes,
    },
}

/// Makes inputs of octets as they arrive.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    limit: usize,
    greeted: bool,
}

impl Decoder {
    /// A decoder that takes frames of at most `limit` octets.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            limit,
            greeted: false,
        }
    }

    /// Takes what arrived.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// How many octets wait here for the rest of their frame.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The next input, if it is whole.
    ///
    /// # Errors
    /// If what arrived cannot be ZMTP within the limits. The decoder is of no use then.
    pub fn next_input(&mut self) -> Result<Option<Input>, Fault> {
        if self.greeted {
            self.frame()
        } else {
            self.greeting()
        }
    }

    fn greeting(&mut self) -> Result<Option<Input>, Fault> {
        let got = &self.buffer[..];
        // Who is no ZMTP is not waited for.
        if got.first().is_some_and(|first| *first != 0xff)
            || got.get(9).is_some_and(|last| *last != 0x7f)
        {
            return Err(Fault::NoZmtp);
        }
        if let Some(major) = got.get(SIGNATURE).filter(|major| **major < 3) {
            return Err(Fault::Old(*major));
        }
        let mechanism = got.get(SIGNATURE + 2..SIGNATURE + 22);
        if mechanism.is_some_and(|given| given != MECHANISM) {
            return Err(Fault::Mechanism);
        }
        if got.len() < GREETING {
            return Ok(None);
        }
        // A later major version falls back to ours.
        let minor = match got.get(SIGNATURE..SIGNATURE + 2) {
            Some([3, minor]) => *minor,
            _ => 1,
        };
        self.buffer.advance(GREETING);
        self.greeted = true;
        Ok(Some(Input::Greeting { minor }))
    }

    fn frame(&mut self) -> Result<Option<Input>, Fault> {
        let Some(flags) = self.buffer.first().copied() else {
            return Ok(None);
        };
        let is_command = flags & COMMAND != 0;
        if flags & !(MORE | LONG | COMMAND) != 0 || (is_command && flags & MORE != 0) {
            return Err(Fault::Flags(flags));
        }
        let (head, claimed) = if flags & LONG == 0 {
            let Some(length) = self.buffer.get(1) else {
                return Ok(None);
            };
            (2, u64::from(*length))
        } else {
            let rest = self.buffer.get(1..).unwrap_or_default();
            let Some(length) = rest.first_chunk() else {
                return Ok(None);
            };
            (9, u64::from_be_bytes(*length))
        };
        let limit = if is_command {
            COMMAND_LIMIT
        } else {
            self.limit
        };
        let length = usize::try_from(claimed).ok().filter(|at| *at <= limit);
        let length = length.ok_or(Fault::FrameTooLarge { claimed, limit })?;
        if self.buffer.len() < head + length {
            return Ok(None);
        }
        self.buffer.advance(head);
        let body = self.buffer.split_to(length).freeze();
        if is_command {
            return command(body).map(Some);
        }
        let more = flags & MORE != 0;
        Ok(Some(Input::Frame { more, body }))
    }
}

fn command(mut body: Bytes) -> Result<Input, Fault> {
    let broken = Fault::Command("a command that ends within a field");
    let name = short(&mut body).ok_or(broken.clone())?;
    match &name[..] {
        b"READY" => Ok(Input::Ready {
            socket_type: socket_type(body)?,
        }),
        b"ERROR" => {
            let reason = short(&mut body).ok_or(broken)?;
            Ok(Input::Error(String::from_utf8_lossy(&reason).into_owned()))
        }
        b"PING" => {
            if body.len() < 2 {
                return Err(broken);
            }
            body.advance(2);
            body.truncate(CONTEXT);
            Ok(Input::Ping(body))
        }
        b"PONG" => Ok(Input::Pong),
        _ => Ok(Input::Other),
    }
}

/// Text with a length of one octet before it.
fn short(body: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(*body.first()?);
    if body.len() < 1 + length {
        return None;
    }
    body.advance(1);
    Some(body.split_to(length))
}

/// Looks for the socket type among the properties, whose names know no case.
fn socket_type(mut body: Bytes) -> Result<Bytes, Fault> {
    let broken = || Fault::Command("a property of READY that ends too early");
    let mut found = Bytes::new();
    let mut count = 0;
    while !body.is_empty() {
        count += 1;
        if count > PROPERTIES {
            return Err(Fault::Command("a READY with too many properties"));
        }
        let name = short(&mut body).ok_or_else(broken)?;
        let length = *body.first_chunk().ok_or_else(broken)?;
        body.advance(4);
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| broken())?;
        if length > body.len() {
            return Err(broken());
        }
        let value = body.split_to(length);
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            found = value;
        }
    }
    Ok(found)
}

/// Writes a frame that is a whole message.
pub(super) fn write_message(out: &mut BytesMut, body: &[u8]) {
    write_head(out, 0, body.len());
    out.put_slice(body);
}

/// Writes READY for a socket of this type, without an identity.
pub(super) fn write_ready(out: &mut BytesMut, socket_type: &str) {
    let mut body = BytesMut::new();
    write_short(&mut body, "READY");
    for (name, value) in [("Socket-Type", socket_type), ("Identity", "")] {
        write_short(&mut body, name);
        body.put_u32(u32::try_from(value.len()).unwrap_or(0));
        body.put_slice(value.as_bytes());
    }
    write_head(out, COMMAND, body.len());
    out.put_slice(&body);
}

/// Writes ERROR with its reason, at most 255 octets.
pub(super) fn write_error(out: &mut BytesMut, reason: &'static str) {
    write_head(out, COMMAND, 7 + reason.len());
    write_short(out, "ERROR");
    write_short(out, reason);
}

/// Writes PING without a context and without a wish to be forgotten.
pub(super) fn write_ping(out: &mut BytesMut) {
    write_head(out, COMMAND, 7);
    write_short(out, "PING");
    out.put_u16(0);
}

/// Writes PONG with the context of a PING.
pub(super) fn write_pong(out: &mut BytesMut, context: &[u8]) {
    write_head(out, COMMAND, 5 + context.len());
    write_short(out, "PONG");
    out.put_slice(context);
}

fn write_short(out: &mut BytesMut, text: &str) {
    out.put_u8(u8::try_from(text.len()).expect("names of commands and properties are short"));
    out.put_slice(text.as_bytes());
}

fn write_head(out: &mut BytesMut, flags: u8, length: usize) {
    if let Ok(length) = u8::try_from(length) {
        out.put_slice(&[flags, length]);
    } else {
        out.put_u8(flags | LONG);
        out.put_u64(length as u64);
    }
}

#[cfg(test)]
mod tests;
