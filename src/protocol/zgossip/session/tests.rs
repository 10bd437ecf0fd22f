//! Sessions against the octets of a trace, and czmq's table of states.

use super::super::message::MessageError as M;
use super::*;

const GREETING: [u8; 64] = {
    let mut octets = [0; 64];
    (octets[0], octets[8], octets[9]) = (0xff, 1, 0x7f);
    (octets[10], octets[11]) = (3, 1);
    (octets[12], octets[13], octets[14], octets[15]) = (b'N', b'U', b'L', b'L');
    octets
};
const DEALER: &[u8] = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0";
const ROUTER: &[u8] = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0";
const HELLO: &[u8] = b"\0\x04\xaa\xa0\x01\x01";
const PING: &[u8] = b"\0\x04\xaa\xa0\x03\x01";
const PONG: &[u8] = b"\0\x04\xaa\xa0\x04\x01";
const INVALID: &[u8] = b"\0\x04\xaa\xa0\x05\x01";
const PUBLISH: &[u8] = b"\0\x18\xaa\xa0\x02\x01\x09alpha-pre\0\0\0\x02v0\0\0\0\0";

/// A session with a clock of its own.
struct Side {
    session: Session,
    now: Mono,
}

impl Side {
    fn new(role: Role) -> (Self, Vec<u8>) {
        let (now, mut out) = (Mono::default(), Vec::new());
        let session = Session::new(now, role, 1 << 20, &mut out);
        (Self { session, now }, sent(&out))
    }

    /// One whose handshake is over; for a client, HELLO was sent.
    fn open(role: Role) -> Self {
        let (mut side, _) = Self::new(role);
        side.hear(&GREETING);
        side.hear(if role == Role::Server { DEALER } else { ROUTER });
        assert!(side.session.is_open());
        side
    }

    fn hear(&mut self, octets: &[u8]) -> Vec<Effect> {
        let mut out = Vec::new();
        let event = Event::Received(Bytes::copy_from_slice(octets));
        self.session.on_event(self.now, event, &mut out);
        out
    }

    /// Lets time pass until the next deadline.
    fn wait(&mut self) -> (Duration, Vec<Effect>) {
        let at = self.session.deadline().unwrap();
        let waited = at.since(self.now);
        self.now = at;
        let mut out = Vec::new();
        self.session.on_deadline(at, &mut out);
        (waited, out)
    }
}

fn sent(effects: &[Effect]) -> Vec<u8> {
    let octets = effects.iter().map(|effect| match effect {
        Effect::Send(octets) => octets.to_vec(),
        _ => Vec::new(),
    });
    octets.flatten().collect()
}

fn send(octets: &[u8]) -> Effect {
    Effect::Send(Bytes::copy_from_slice(octets))
}

fn alpha_pre() -> Tuple {
    Tuple {
        key: Bytes::from_static(b"alpha-pre"),
        value: Bytes::from_static(b"v0"),
        ttl: 0,
    }
}

#[test]
fn a_client_says_the_octets_of_the_trace() {
    let (mut client, first) = Side::new(Role::Client);
    assert_eq!(first, GREETING);
    assert_eq!(client.hear(&GREETING[..11]), []);
    assert_eq!(client.hear(&GREETING[11..]), [send(DEALER)]);
    assert_eq!(client.hear(ROUTER), [send(HELLO), Effect::Begin]);
    let mut out = Vec::new();
    let tell = Event::Tell(alpha_pre());
    client.session.on_event(client.now, tell, &mut out);
    assert_eq!(out, [send(PUBLISH)]);
    assert_eq!(client.hear(PUBLISH), [Effect::Tuple(alpha_pre())]);
    assert_eq!(client.hear(INVALID), [send(HELLO), Effect::Begin]);
    assert_eq!(client.hear(PONG), []);
}

#[test]
fn a_server_says_the_octets_of_the_trace() {
    let (mut server, first) = Side::new(Role::Server);
    assert_eq!(first, GREETING);
    // As libzmq sends it: first ten octets, then the rest with READY behind it.
    assert_eq!(server.hear(&GREETING[..10]), []);
    let rest = [&GREETING[10..], DEALER].concat();
    assert_eq!(server.hear(&rest), [send(ROUTER)]);
    assert!(!server.session.is_connected());
    assert_eq!(server.hear(HELLO), [Effect::Begin]);
    assert_eq!(server.hear(PUBLISH), [Effect::Tuple(alpha_pre())]);
}

#[test]
fn the_servers_states_are_those_of_czmq() {
    let begin = || vec![Effect::Begin];
    let pong = || vec![send(PONG)];
    let invalid = || vec![send(INVALID), Effect::Pause];
    let tuple = || vec![Effect::Tuple(alpha_pre())];
    let table = [
        (false, HELLO, begin(), true),
        (false, PUBLISH, [tuple(), invalid()].concat(), false),
        (false, PING, pong(), false),
        (false, PONG, invalid(), false),
        (false, INVALID, invalid(), false),
        (true, PUBLISH, tuple(), true),
        (true, PING, pong(), true),
        (true, HELLO, invalid(), false),
        (true, PONG, invalid(), false),
        (true, INVALID, invalid(), false),
    ];
    for (connected, heard, does, connected_then) in table {
        let mut server = Side::open(Role::Server);
        if connected {
            server.hear(HELLO);
        }
        assert_eq!(server.hear(heard), does, "{connected} {heard:?}");
        assert_eq!(server.session.is_connected(), connected_then, "{heard:?}");
        if !connected_then {
            assert_eq!(server.hear(HELLO), begin(), "after {heard:?}");
        }
    }
}

#[test]
fn nothing_is_told_to_who_is_not_connected() {
    let mut server = Side::open(Role::Server);
    let mut out = Vec::new();
    let tell = Event::Tell(alpha_pre());
    server.session.on_event(server.now, tell, &mut out);
    assert_eq!(out, []);
}

#[test]
fn a_client_says_ping_well_within_the_second_of_czmq() {
    let mut client = Side::open(Role::Client);
    for _ in 0..10 {
        let (waited, out) = client.wait();
        assert_eq!(waited, Duration::from_millis(300));
        assert_eq!(out, [send(PING)]);
        client.hear(PONG);
    }
}

#[test]
fn a_client_gives_a_server_up_that_answers_nothing() {
    let mut client = Side::open(Role::Client);
    let begun = client.now;
    loop {
        let (_, out) = client.wait();
        if out == [Effect::Close(Fault::Silent)] {
            break;
        }
        assert_eq!(out, [send(PING)]);
    }
    assert_eq!(client.now.since(begun), SERVER_SILENCE);
    assert_eq!(client.session.deadline(), None);
}

#[test]
fn a_silent_client_is_never_forgotten() {
    let mut server = Side::open(Role::Server);
    server.hear(HELLO);
    for _ in 0..1000 {
        let (waited, out) = server.wait();
        assert_eq!(waited, ASK_AFTER);
        assert_eq!(out, [send(b"\x04\x07\x04PING\0\0")]);
    }
    assert!(server.session.is_connected());
    // One that answers and then no longer does is gone.
    server.hear(b"\x04\x05\x04PONG");
    let last = server.now;
    while server.session.deadline().is_some() {
        server.wait();
    }
    assert_eq!(server.now.since(last), SILENCE);
}

#[test]
fn one_that_speaks_zmtp_3_0_is_not_asked() {
    let (mut server, _) = Side::new(Role::Server);
    let mut greeting = GREETING;
    greeting[11] = 0;
    server.hear(&greeting);
    // Without an identity, as small clients do it.
    server.hear(b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER");
    assert!(server.session.is_open());
    assert_eq!(server.session.deadline(), None);
}

#[test]
fn a_ping_of_zmtp_is_answered_with_its_context() {
    let mut server = Side::open(Role::Server);
    let pong = send(b"\x04\x0b\x04PONGthere!");
    assert_eq!(server.hear(b"\x04\x0d\x04PING\0\x32there!"), [pong]);
}

#[test]
fn a_handshake_has_ten_seconds() {
    for so_far in [&b""[..], &GREETING[..63], &GREETING] {
        let (mut server, _) = Side::new(Role::Server);
        server.hear(so_far);
        let (waited, out) = server.wait();
        assert_eq!(waited, Duration::from_secs(10));
        assert_eq!(out, [Effect::Close(Fault::SlowHandshake)]);
    }
}

#[test]
fn what_is_wrong_ends_the_connection_and_nothing_follows() {
    let message = |why| Fault::Message(why);
    let cases: [(&[u8], Fault); 10] = [
        (b"\0\x04\xaa\xa1\x01\x01", message(M::Signature)),
        (b"\0\x04\xaa\xa0\x01\x02", message(M::Version(2))),
        (b"\0\x04\xaa\xa0\x06\x01", message(M::Number(6))),
        (b"\0\0", message(M::Short)),
        (b"\0\x05\xaa\xa0\x02\x01\xff", message(M::Short)),
        (b"\x01\x04\xaa\xa0\x01\x01", Fault::Parts),
        (b"\x08\0", Fault::Flags(8)),
        (
            b"\x02\0\0\0\0\0\x10\x01\x0d",
            Fault::FrameTooLarge {
                claimed: (1 << 20) + 269,
                limit: (1 << 20) + 268,
            },
        ),
        (DEALER, Fault::Command("READY for a second time")),
        (b"\x04\x08\x05ERROR\x01!", Fault::Refused("!".to_owned())),
    ];
    for (heard, fault) in cases {
        let mut server = Side::open(Role::Server);
        server.hear(HELLO);
        let all = [PUBLISH, heard, PUBLISH].concat();
        let expected = [Effect::Tuple(alpha_pre()), Effect::Close(fault)];
        assert_eq!(server.hear(&all), expected, "{heard:?}");
        assert_eq!(server.hear(PUBLISH), []);
        assert_eq!(server.session.deadline(), None);
    }
}

#[test]
fn a_handshake_that_is_none_ends() {
    let mut ended = Vec::new();
    for heard in [HELLO, b"\x04\x05\x04PONG", b"\0\0"] {
        let (mut server, _) = Side::new(Role::Server);
        server.hear(&GREETING);
        ended.push(server.hear(heard));
    }
    let fault = Fault::Command("something else than READY");
    assert_eq!(ended, vec![vec![Effect::Close(fault)]; 3]);
    let (mut server, _) = Side::new(Role::Server);
    server.hear(&GREETING);
    let error = b"\x04\x1a\x05ERROR\x13Invalid socket type";
    let ends = Effect::Close(Fault::SocketType("DEALER"));
    assert_eq!(server.hear(ROUTER), [send(error), ends]);
}

#[test]
fn who_begins_anew_again_and_again_is_disconnected() {
    for role in [Role::Server, Role::Client] {
        let mut side = Side::open(role);
        // HELLO in the state `connected` is INVALID, and the next one begins anew.
        let again = match role {
            Role::Server => [HELLO, HELLO].concat(),
            Role::Client => INVALID.to_vec(),
        };
        let mut begun = u32::from(role == Role::Client);
        let end = loop {
            let out = side.hear(&again);
            begun += u32::from(out.contains(&Effect::Begin));
            if let Some(Effect::Close(fault)) = out.last() {
                break fault.clone();
            }
            assert!(begun <= BEGINNINGS, "{role:?}");
        };
        assert_eq!(end, Fault::TooManyBeginnings(BEGINNINGS));
        assert_eq!(begun, BEGINNINGS, "{role:?}");
    }
}

#[test]
fn who_begins_anew_now_and_then_is_not_disconnected() {
    let mut side = Side::open(Role::Server);
    for _ in 0..10 * BEGINNINGS {
        let out = side.hear(&[HELLO, HELLO].concat());
        assert!(out.contains(&Effect::Begin), "{out:?}");
        side.now = side.now.plus(Duration::from_millis(200));
    }
}
