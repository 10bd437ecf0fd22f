//! The octets of libzmq 4.3.4 as they were seen on the wire, and what is none of them.

use super::*;
use proptest::prelude::*;

/// What libzmq sends first, in two pieces.
fn their_greeting() -> Vec<u8> {
    let mut octets = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    octets.extend_from_slice(b"NULL");
    octets.resize(64, 0);
    octets
}

/// The READY of a socket of libzmq.
fn their_ready(socket_type: &str) -> Vec<u8> {
    let mut octets = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06".to_vec();
    octets.extend_from_slice(socket_type.as_bytes());
    octets.extend_from_slice(b"\x08Identity\0\0\0\0");
    octets
}

fn inputs(octets: &[u8], piece: usize) -> Result<Vec<Input>, Fault> {
    let mut decoder = Decoder::new(1000);
    let mut inputs = Vec::new();
    for piece in octets.chunks(piece) {
        decoder.push(piece);
        while let Some(input) = decoder.next_input()? {
            inputs.push(input);
        }
    }
    Ok(inputs)
}

/// After the greeting.
fn frames(octets: &[u8]) -> Result<Vec<Input>, Fault> {
    let all = inputs(&[&their_greeting()[..], octets].concat(), 4096)?;
    Ok(all[1..].to_vec())
}

#[test]
fn ours_are_the_octets_of_libzmq() {
    assert_eq!(greeting()[..], their_greeting());
    for socket_type in ["DEALER", "ROUTER"] {
        let mut ready = BytesMut::new();
        write_ready(&mut ready, socket_type);
        assert_eq!(ready[..], their_ready(socket_type));
        assert_eq!(ready.len(), 43);
    }
    let mut message = BytesMut::new();
    write_message(&mut message, b"\xaa\xa0\x01\x01");
    assert_eq!(message[..], *b"\0\x04\xaa\xa0\x01\x01");
    let mut long = BytesMut::new();
    write_message(&mut long, &vec![7; 200_016]);
    assert_eq!(long[..9], [2, 0, 0, 0, 0, 0, 3, 0x0d, 0x50]);
    assert_eq!(long.len(), 9 + 200_016);
    let mut pings = BytesMut::new();
    write_ping(&mut pings);
    write_pong(&mut pings, b"here");
    assert_eq!(pings[..], *b"\x04\x07\x04PING\0\0\x04\x09\x04PONGhere");
    let mut error = BytesMut::new();
    write_error(&mut error, "no");
    assert_eq!(error[..], *b"\x04\x09\x05ERROR\x02no");
}

#[test]
fn theirs_are_read_whole_or_in_pieces() {
    let all = [
        &their_greeting()[..],
        &their_ready("DEALER"),
        b"\0\x04\xaa\xa0\x01\x01\x04\x09\x04PING\0\x0ahi\x04\x05\x04PONG\x04\x02\x01x",
        b"\x01\x01a\x02\0\0\0\0\0\0\0\x01b\x04\x08\x05ERROR\x01!",
    ]
    .concat();
    let frame = |more, body| Input::Frame {
        more,
        body: Bytes::from_static(body),
    };
    let expected = [
        Input::Greeting { minor: 1 },
        Input::Ready {
            socket_type: Bytes::from_static(b"DEALER"),
        },
        frame(false, b"\xaa\xa0\x01\x01"),
        Input::Ping(Bytes::from_static(b"hi")),
        Input::Pong,
        Input::Other,
        frame(true, b"a"),
        frame(false, b"b"),
        Input::Error("!".to_owned()),
    ];
    for piece in [1, 2, 7, 64, all.len()] {
        assert_eq!(inputs(&all, piece).as_deref(), Ok(&expected[..]), "{piece}");
    }
}

#[test]
fn a_greeting_of_something_else_is_refused_as_soon_as_it_shows() {
    let with = |at: usize, octet: u8| {
        let mut octets = their_greeting();
        octets[at] = octet;
        octets.truncate(at + 1);
        octets
    };
    assert_eq!(inputs(b"GET / HTTP/1.1\r\n", 99), Err(Fault::NoZmtp));
    assert_eq!(inputs(&with(9, 0x7e), 99), Err(Fault::NoZmtp));
    assert_eq!(inputs(&with(10, 1), 99), Err(Fault::Old(1)));
    let mut plain = their_greeting();
    plain[12..17].copy_from_slice(b"PLAIN");
    assert_eq!(inputs(&plain, 99), Err(Fault::Mechanism));
    let greeted = |major: u8, minor: u8| {
        let mut octets = their_greeting();
        octets[10..12].copy_from_slice(&[major, minor]);
        inputs(&octets, 99)
    };
    for (major, minor, taken) in [(3, 0, 0), (3, 1, 1), (4, 0, 1)] {
        let expected = Ok(vec![Input::Greeting { minor: taken }]);
        assert_eq!(greeted(major, minor), expected, "{major}.{minor}");
    }
}

#[test]
fn lengths_beyond_the_limit_are_refused_before_anything_is_taken_up() {
    for claimed in [1001_u64, 1 << 40, 1 << 63, u64::MAX] {
        let octets = [&[2][..], &claimed.to_be_bytes()].concat();
        let limit = 1000;
        let fault = Fault::FrameTooLarge { claimed, limit };
        assert_eq!(frames(&octets), Err(fault));
    }
    let octets = [&[6][..], &4097_u64.to_be_bytes()].concat();
    let fault = Fault::FrameTooLarge {
        claimed: 4097,
        limit: COMMAND_LIMIT,
    };
    assert_eq!(frames(&octets), Err(fault));
    // What fits is waited for, in no more memory than has arrived.
    let octets = [&[2][..], &1000_u64.to_be_bytes()].concat();
    assert_eq!(frames(&octets), Ok(vec![]));
}

#[test]
fn commands_that_cannot_be_read_are_faults() {
    for flags in [8, 0x80, 0xff, 5, 7] {
        assert_eq!(frames(&[flags, 0]), Err(Fault::Flags(flags)), "{flags}");
    }
    for body in [
        &b""[..],
        b"\x05READ",
        b"\x05READY\x0bSocket-Type\0\0\0\x07DEALER",
        b"\x05READY\x0bSocket-Type\0\0",
        b"\x05READY\x0b",
        b"\x04PING\0",
        b"\x05ERROR",
    ] {
        let length = u8::try_from(body.len()).unwrap();
        let octets = [&[4, length], body].concat();
        assert!(
            matches!(frames(&octets), Err(Fault::Command(_))),
            "{body:?}"
        );
    }
    let mut many = b"\x05READY".to_vec();
    many.extend_from_slice(&b"\x01x\0\0\0\0".repeat(PROPERTIES + 1));
    let octets = [&[6][..], &(many.len() as u64).to_be_bytes(), &many].concat();
    let fault = Fault::Command("a READY with too many properties");
    assert_eq!(frames(&octets), Err(fault));
}

#[test]
fn a_ready_with_other_properties_or_in_other_letters_is_read() {
    let body = b"\x05READY\x08identity\0\0\0\x02me\x0bSOCKET-TYPE\0\0\0\x06DEALER\x03X-a\0\0\0\0";
    let octets = [&[4, u8::try_from(body.len()).unwrap()], &body[..]].concat();
    let socket_type = Bytes::from_static(b"DEALER");
    assert_eq!(frames(&octets), Ok(vec![Input::Ready { socket_type }]));
}

proptest! {
    #[test]
    fn no_octets_make_it_panic_or_keep_more_than_a_frame(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
        greets in any::<bool>(),
    ) {
        let mut decoder = Decoder::new(1000);
        if greets {
            decoder.push(&their_greeting());
        }
        'all: for piece in pieces {
            decoder.push(&piece);
            loop {
                match decoder.next_input() {
                    Ok(None) => break,
                    Ok(Some(_)) => {}
                    Err(_) => break 'all,
                }
            }
            prop_assert!(decoder.waiting() <= 9 + COMMAND_LIMIT.max(1000));
        }
    }

    #[test]
    fn what_was_written_is_read(body in prop::collection::vec(any::<u8>(), 0..1000)) {
        let mut out = BytesMut::new();
        write_message(&mut out, &body);
        let body = Bytes::from(body);
        prop_assert_eq!(frames(&out), Ok(vec![Input::Frame { more: false, body }]));
    }
}
