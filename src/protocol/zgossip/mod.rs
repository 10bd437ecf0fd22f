//! zgossip, the gossip protocol of czmq, over ZMTP 3.0 and 3.1 with the mechanism NULL.
//!
//! | file | what lives there |
//! |---|---|
//! | `zmtp` | greeting, frames and commands of ZMTP (RFC 23 and 37 of ZeroMQ) |
//! | `message` | the messages of zgossip |
//! | `session` | one connection: handshake, who may say what when, signs of life |
//! | `link` | what the other end is known to have: what to tell it, what of its words is news |
//!
//! Every length is checked against a bound before anything is taken up for it, and what is kept of
//! a frame that has not ended is only what has arrived. A fault of the other end ends its
//! connection and nothing else.

mod link;
mod message;
mod session;
mod zmtp;

pub use link::{Held, Link, Print, Said, Verdict};
pub use message::{Message, MessageError, OVERHEAD, Tuple};
pub use session::{Effect, Event, HANDSHAKE, PING_EVERY, Role, SERVER_SILENCE, SILENCE, Session};
pub use zmtp::{COMMAND_LIMIT, Decoder, Fault, Input, PROPERTIES, greeting};
