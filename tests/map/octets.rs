//! Values of any octets, keys that a hash of 64 bits could not tell apart, and texts that are no
//! keys.

use crate::client::{Line, ask, car};

#[test]
fn a_value_is_read_as_it_is_whatever_it_holds() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    let all: Vec<u8> = (0..=255).collect();
    let large = vec![b'x'; 1 << 20];
    for (key, value) in [
        ("nl", &b"line1\nx=y"[..]),
        ("empty", b""),
        ("equals", b"a=b=c\n"),
        ("octets", &all),
        ("large", &large),
    ] {
        line.ask("PUT", &format!("/map?k={key}"), value).is(201);
        let raw = line.ask("GET", &format!("/map/{key}"), b"");
        raw.is(200);
        assert!(raw.body == value, "{key}: {} bytes", raw.body.len());
        let listed = line.ask("GET", &format!("/map?k={key}"), b"");
        let expected = [key.as_bytes(), b"=", value, b"\n"].concat();
        assert!(
            listed.body == expected,
            "{key}: {} bytes",
            listed.body.len()
        );
    }
}

#[test]
fn a_value_keeps_its_content_type_and_is_never_wrapped() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    line.ask_with("PUT", "/map?k=css", "Content-Type: text/css\r\n", b"a{}")
        .is(201);
    let json = "Accept: application/json\r\n";
    let raw = line.ask_with("GET", "/map/css", json, b"");
    assert_eq!(
        (raw.header("content-type"), raw.text()),
        ("text/css", "a{}")
    );
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    line.ask_with("PUT", "/map?k=curl", form, b"hello").is(201);
    let raw = line.ask("GET", "/map/curl", b"");
    assert_eq!(raw.header("content-type"), "text/plain; charset=utf-8");
    let tag = format!("If-None-Match: {}\r\n", raw.header("etag"));
    line.ask_with("GET", "/map/curl", &tag, b"").is(304);
}

#[test]
fn keys_whose_hashes_collide_stay_apart() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    line.ask("PUT", "/map?k=Aa", b"first").is(201);
    line.ask("GET", "/map?k=BB", b"").is(404);
    line.ask("PUT", "/map?k=BB", b"second").is(201);
    let both = line.ask("GET", "/map?k=Aa&k=BB", b"");
    assert_eq!(both.text(), "Aa=first\nBB=second\n");
}

#[test]
fn one_octet_more_than_fits_is_413_and_the_connection_goes_on() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    let fits = vec![7; 1 << 20];
    let more = vec![7; (1 << 20) + 1];
    line.ask("PUT", "/map?k=a", &more).is(413);
    line.ask("GET", "/map?k=a", b"").is(404);
    line.ask("PUT", "/map?k=a", &fits).is(201);
    assert_eq!(line.ask("GET", "/map/a", b"").body.len(), 1 << 20);
    let far_more = vec![7; 20 << 20];
    ask(&member, "PUT", "/map?k=b", &far_more).is(413);
}

#[test]
fn a_chunked_value_is_taken_and_bounded_as_well() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    let head = "PUT /map?k=a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    line.send(head.as_bytes());
    line.send(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    line.answer("PUT").is(201);
    assert_eq!(line.ask("GET", "/map/a", b"").text(), "abcde");
}

#[test]
fn a_text_that_is_no_key_is_422_in_words_for_every_method() {
    let member = car(&["--max-name-bytes", "64"]);
    let mut line = Line::to(&member);
    let long = "x".repeat(65);
    for (key, words) in [
        ("..", "no segment"),
        (".", "no segment"),
        ("%2e%2e", "no segment"),
        ("a/../b", "no segment"),
        ("%00", "no control characters"),
        ("a%0Ab", "no control characters"),
        ("%ff", "UTF-8"),
        ("%", "hexadecimal"),
        ("", "at least one character"),
        (&*long, "65 bytes"),
    ] {
        let put = line.ask("PUT", &format!("/map?k={key}"), b"x");
        put.is(422);
        assert!(put.text().contains(words), "{key}: {}", put.text());
        if key.len() <= 64 {
            for (method, target) in [("GET", "/map?k="), ("DELETE", "/map?k="), ("GET", "/map/")] {
                line.ask(method, &format!("{target}{key}"), b"").is(422);
            }
        }
    }
    for key in [
        "a..b",
        "...",
        "%E2%80%AE",
        "%252e%252e",
        "/",
        "a//b",
        "__proto__",
    ] {
        line.ask("PUT", &format!("/map?k={key}"), key.as_bytes())
            .is(201);
        assert_eq!(line.ask("GET", &format!("/map/{key}"), b"").text(), key);
    }
}
