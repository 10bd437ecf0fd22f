//! Connections of zgossip: whatever is said on one, it ends at most; what is kept of it is bounded,
//! and so is what is answered.

use std::time::Duration;

use bytes::Bytes;
use gaggle::protocol::zgossip::{Decoder, Effect, Event, OVERHEAD, Role, Session};
use gaggle::protocol::{Mono, Protocol};

use super::{Shape, shape_of};

/// The largest value that the fuzzed member takes.
const VALUE_LIMIT: usize = 4096;
const GREETING: &[u8] = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL";
const READY: &[u8] = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06";
const IDENTITY: &[u8] = b"\x08Identity\0\0\0\0";

fn greeting() -> Vec<u8> {
    let mut octets = GREETING.to_vec();
    octets.resize(64, 0);
    octets
}

fn ready(socket_type: &str) -> Vec<u8> {
    [READY, socket_type.as_bytes(), IDENTITY].concat()
}

/// What nodes of czmq say. The first octet says which side hears it, and in which pieces.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let said = b"\0\x04\xaa\xa0\x01\x01\0\x18\xaa\xa0\x02\x01\x09alpha-pre\0\0\0\x02v0\0\0\0\0";
    let more = b"\0\x04\xaa\xa0\x03\x01\0\x04\xaa\xa0\x04\x01\0\x04\xaa\xa0\x05\x01";
    let pings = b"\x04\x09\x04PING\0\x0ahi\x04\x05\x04PONG\x04\x08\x05ERROR\x01!";
    let long = [b"\x02\0\0\0\0\0\0\x01\0", &[b'x'; 256][..]].concat();
    let of =
        |side: u8, role: &str, rest: &[u8]| [&[side][..], &greeting(), &ready(role), rest].concat();
    vec![
        of(0, "DEALER", said),
        of(1, "ROUTER", said),
        of(2, "DEALER", &[&said[..], more].concat()),
        of(3, "ROUTER", &[&said[..], more].concat()),
        of(4, "DEALER", pings),
        of(0, "DEALER", &long),
        // Without a handshake of its own: see `run`.
        [&[128][..], said, more].concat(),
        [&[129][..], said, more, pings].concat(),
    ]
}

/// Hands `data` to a connection.
///
/// # Panics
/// If the connection breaks its promise.
pub(crate) fn run(data: &[u8]) -> Shape {
    let Some((how, rest)) = data.split_first() else {
        return "empty".to_owned();
    };
    let role = if how & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    // From the upper half on the handshake is done already, so that what follows is reached.
    let octets = if how & 128 == 0 {
        rest.to_vec()
    } else {
        let other = if how & 1 == 0 { "DEALER" } else { "ROUTER" };
        [&greeting(), &ready(other), rest].concat()
    };
    let piece = 1 + usize::from(how >> 1 & 63) * 7;
    bounded(&octets, piece);
    let mut effects = Vec::new();
    let mut session = Session::new(Mono::default(), role, VALUE_LIMIT, &mut effects);
    for (number, piece) in octets.chunks(piece).enumerate() {
        let now = Mono(Duration::from_millis(number as u64));
        let event = Event::Received(Bytes::copy_from_slice(piece));
        session.on_event(now, event, &mut effects);
    }
    let sent: usize = effects.iter().map(sent).sum();
    assert!(
        sent <= 200 + 8 * octets.len(),
        "{sent} octets for {}",
        octets.len()
    );
    let closes = effects.iter().position(|at| matches!(at, Effect::Close(_)));
    assert!(
        closes.is_none_or(|at| at + 1 == effects.len()),
        "something follows the end: {effects:?}"
    );
    let tuples = effects.iter().filter_map(|effect| match effect {
        Effect::Tuple(tuple) => Some(tuple),
        _ => None,
    });
    for tuple in tuples.clone() {
        assert!(tuple.key.len() <= 255 && tuple.value.len() <= VALUE_LIMIT + OVERHEAD);
    }
    let end = match effects.last() {
        Some(Effect::Close(fault)) => shape_of(fault),
        _ => "goes on".to_owned(),
    };
    let open = session.is_connected();
    format!("{role:?} {open} {} tuples: {end}", tuples.count().min(3))
}

/// What waits for its end is never more than one frame.
fn bounded(octets: &[u8], piece: usize) {
    let mut decoder = Decoder::new(VALUE_LIMIT);
    for piece in octets.chunks(piece) {
        decoder.push(piece);
        while let Ok(Some(_)) = decoder.next_input() {}
        if decoder.next_input().is_err() {
            return;
        }
        assert!(decoder.waiting() <= VALUE_LIMIT + 9);
    }
}

fn sent(effect: &Effect) -> usize {
    match effect {
        Effect::Send(octets) => octets.len(),
        _ => 0,
    }
}
