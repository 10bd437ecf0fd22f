//! Connections: several requests on one, sent ahead, slow, or no HTTP at all.

use crate::client::{Line, ask, car};

#[test]
fn a_connection_stays_open_until_the_client_asks_otherwise() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    let first = line.ask("PUT", "/map?k=a", b"1");
    assert_eq!((first.status, first.header("connection")), (201, ""));
    line.ask("GET", "/map?k=a", b"").is(200);
    line.ask("GET", "/nothing", b"").is(404);
    line.ask("PUT", "/map", b"not taken").is(422);
    let last = line.ask_with("GET", "/map?k=a", "Connection: close\r\n", b"");
    assert_eq!(last.text(), "a=1\n");
    assert!(line.is_closed());
    let mut old = Line::to(&member);
    old.send(b"GET /map?k=a HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer("GET").text(), "a=1\n");
    assert!(old.is_closed());
}

#[test]
fn requests_that_are_sent_ahead_are_answered_in_their_order() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    let mut ahead = String::new();
    for number in 0..20 {
        let value = format!("value-{number}");
        let length = value.len();
        let two = format!(
            "PUT /map?k=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{value}\
             GET /map?k=a HTTP/1.1\r\nHost: localhost\r\n\r\n"
        );
        ahead.push_str(&two);
    }
    line.send(ahead.as_bytes());
    for number in 0..20 {
        let put = line.answer("PUT");
        put.is(if number == 0 { 201 } else { 204 });
        assert_eq!(line.answer("GET").text(), format!("a=value-{number}\n"));
    }
}

#[test]
fn what_is_no_http_costs_its_connection_and_nothing_else() {
    let member = car(&[]);
    for bytes in [
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /map?k=a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /map HTTP/1.1\r\nbroken header\r\n\r\n",
        b"\0\0\0\0",
        b"PUT /map?k=a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut line = Line::to(&member);
        line.send(bytes);
        if !line.is_closed() {
            let answer = line.answer("GET");
            let told = String::from_utf8_lossy(bytes);
            assert!(
                (400..500).contains(&answer.status),
                "{told}: {}",
                answer.head
            );
        }
    }
    let head = format!(
        "GET /map?k=a HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let mut line = Line::to(&member);
    line.send(head.as_bytes());
    line.answer("GET").is(431);
    ask(&member, "PUT", "/map?k=a", b"1").is(201);
}

#[test]
fn slow_clients_are_cut_off() {
    let member = car(&["--header-timeout", "300ms", "--body-timeout", "300ms"]);
    let mut silent = Line::to(&member);
    assert!(silent.is_closed());
    let mut slow = Line::to(&member);
    slow.send(b"GET /map?k=a HTTP/1.1\r\n");
    assert!(slow.is_closed());
    let mut body = Line::to(&member);
    body.send(b"PUT /map?k=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc");
    body.answer("PUT").is(408);
    ask(&member, "GET", "/map?k=a", b"").is(404);
}

#[test]
fn connections_beyond_the_limit_are_closed_at_once() {
    let member = car(&["--max-connections", "2"]);
    let (mut one, mut two) = (Line::to(&member), Line::to(&member));
    one.ask("PUT", "/map?k=a", b"1").is(201);
    two.ask("GET", "/map?k=a", b"").is(200);
    assert!(Line::to(&member).is_closed());
    two.ask("GET", "/map?k=a", b"").is(200);
    drop(one);
    crate::harness::wait_for("a free place", || {
        let mut next = Line::to(&member);
        if next.is_open() {
            Some(next.ask("GET", "/map?k=a", b"").is(200).status)
        } else {
            None
        }
    });
}
