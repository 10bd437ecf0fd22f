//! The face over a real store, against raw sockets: what strangers may say, and what it costs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::app::{Condition, Edit, Health, Ledger, LedgerParts, Limits, Published, Request};
use crate::app::{Strong, Writer};
use crate::io::disk::{DataDir, Disk, Opening};
use crate::model::{ClusterId, HybridClock, MemberId, Value, WallTime};

const HELLO: &[u8] = b"\0\x04\xaa\xa0\x01\x01";
const PING: &[u8] = b"\0\x04\xaa\xa0\x03\x01";
const PONG: &[u8] = b"\0\x04\xaa\xa0\x04\x01";

/// A member with the face, and a runtime that both live in.
struct Member {
    face: Zgossip,
    app: App,
    runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

fn app(dir: &std::path::Path) -> App {
    let (id, now) = (
        MemberId::from_u64(7),
        WallTime::from_millis(1_700_000_000_000),
    );
    let data = DataDir::open(dir, now).unwrap();
    let opening = Opening {
        cluster: ClusterId::default(),
        member: id,
        now,
        cache: 1 << 20,
    };
    let (disk, loaded) = Disk::open(&data, &opening).unwrap();
    let reader = disk.reader();
    let published = Arc::new(Published::new(loaded.store.clone(), id));
    let health = Arc::new(Health::default());
    let (queue, commands) = mpsc::channel(64);
    let (time, sequence) = loaded.clock;
    let limits = Limits::default();
    let parts = LedgerParts {
        disk,
        store: loaded.store,
        gap: loaded.gap,
        clock: HybridClock::new(id, time, sequence, Duration::from_secs(10)),
        published: published.clone(),
        health: health.clone(),
        limits,
    };
    let writer = Writer::new(Ledger::new(parts), commands);
    Tasks::thread("writer", move || writer.run().close()).unwrap();
    App::new(published, queue, reader, health, limits)
}

impl Member {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let config = Config {
            node: "zgossip".parse().unwrap(),
            bind: vec!["tcp://127.0.0.1:*".parse().unwrap()],
            connect: Vec::new(),
        };
        let parts = Parts {
            app: app.clone(),
            strong: Strong::off(),
            tasks: Tasks::new(),
        };
        let face = runtime.block_on(Zgossip::start(&config, parts)).unwrap();
        Self {
            face,
            app,
            runtime,
            _dir: dir,
        }
    }

    fn edit(&self, edit: Edit) {
        let request = Request {
            edit,
            author: "ann".into(),
            condition: Condition::default(),
        };
        self.runtime.block_on(self.app.write(request)).unwrap();
    }

    fn put(&self, key: &str, value: &[u8]) {
        self.edit(Edit::SetKey {
            node: "zgossip".parse().unwrap(),
            key: key.parse().unwrap(),
            value: Value::untyped(value),
        });
    }

    fn delete(&self, key: &str) {
        self.edit(Edit::DeleteKey {
            node: "zgossip".parse().unwrap(),
            key: key.parse().unwrap(),
        });
    }

    fn value(&self, key: &str) -> Option<Vec<u8>> {
        let view = self.app.view();
        let version = view.store.get("zgossip", key, self.app.now())?;
        Some(version.value()?.octets.to_vec())
    }

    /// How many milliseconds a key has left; none: for ever.
    fn left(&self, key: &str) -> Option<u64> {
        let (view, now) = (self.app.view(), self.app.now());
        let version = view.store.get("zgossip", key, now)?;
        let expires = version.expires?;
        Some(expires.millis() - now.millis())
    }

    fn raw(&self) -> Raw {
        let port = self.face.status().bound[0].port.unwrap();
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Raw(socket)
    }

    /// A client after its HELLO, and after the member has taken it.
    fn client(&self) -> Raw {
        let mut raw = self.raw();
        raw.shake_hands();
        raw.say(HELLO);
        raw
    }

    fn counts(&self, counter: fn(&Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
        Counters::read(counter(self.face.counters()))
    }
}

/// Waits until it holds; a second is long here.
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = crate::io::clock::mono();
    while !holds() {
        let waited = crate::io::clock::mono().since(begun);
        assert!(waited < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

/// A client that is no more than a socket: it speaks ZMTP 3.0.
struct Raw(TcpStream);

impl Raw {
    fn say(&mut self, octets: &[u8]) {
        self.0.write_all(octets).unwrap();
    }

    fn shake_hands(&mut self) {
        let mut greeting = crate::protocol::zgossip::greeting();
        greeting[11] = 0;
        self.say(&greeting);
        self.say(b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER");
        let mut theirs = [0; 64 + 43];
        self.0.read_exact(&mut theirs).unwrap();
        assert!(theirs.ends_with(b"ROUTER\x08Identity\0\0\0\0"));
    }

    fn publish(&mut self, key: &[u8], value: &[u8], ttl: u32) {
        let message = crate::protocol::zgossip::Message::Publish(crate::protocol::zgossip::Tuple {
            key: bytes::Bytes::copy_from_slice(key),
            value: bytes::Bytes::copy_from_slice(value),
            ttl,
        });
        let body = message.encode();
        self.say(&[&[2][..], &(body.len() as u64).to_be_bytes(), &body].concat());
    }

    /// Waits until the member has taken what was said.
    fn sync(&mut self) {
        self.say(PING);
        assert_eq!(self.frame(), PONG[2..]);
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let length = if head[0] & 2 == 0 {
            usize::from(head[1])
        } else {
            let mut rest = [0; 7];
            self.0.read_exact(&mut rest).unwrap();
            let octets = [&head[1..], &rest].concat();
            usize::try_from(u64::from_be_bytes(octets.try_into().unwrap())).unwrap()
        };
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        body
    }

    /// The next tuple: key, value, TTL.
    fn tuple(&mut self) -> (String, Vec<u8>, u32) {
        let frame = self.frame();
        let message = crate::protocol::zgossip::Message::decode(&frame.into()).unwrap();
        let crate::protocol::zgossip::Message::Publish(tuple) = message else {
            panic!("{message:?}");
        };
        let key = String::from_utf8(tuple.key.to_vec()).unwrap();
        (key, tuple.value.to_vec(), tuple.ttl)
    }

    /// Waits for the end of the connection.
    fn is_ended(&mut self) {
        let mut rest = Vec::new();
        let ended = self.0.read_to_end(&mut rest);
        let reset = |why: &std::io::Error| why.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(ended.is_ok() || ended.is_err_and(|why| reset(&why)));
    }
}

#[test]
fn octets_of_any_kind_and_size_are_values() {
    let member = Member::new();
    let mut client = member.client();
    let large = vec![b'x'; 200_000];
    let longest = "k".repeat(255);
    let cases: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("nul", b"ab\0cd"),
        ("octets", b"\xff\xfe"),
        ("large", &large),
        (&longest, b"longest"),
        ("inproc://alpha-1", b"slashes"),
    ];
    for (key, value) in cases {
        client.publish(key.as_bytes(), value, 0);
    }
    client.sync();
    for (key, value) in cases {
        until(key, || member.value(key).as_deref() == Some(value));
    }
    // Another one is told all but the value that czmq would cut short.
    let mut other = member.client();
    let mut told: Vec<String> = (0..5).map(|_| other.tuple().0).collect();
    told.sort();
    let mut expected: Vec<&str> = cases.iter().map(|case| case.0).collect();
    expected.retain(|key| *key != "nul");
    expected.sort_unstable();
    assert_eq!(told, expected);
    until("not told to the two", || {
        member.counts(|c| &c.not_exported) == 2
    });
}

#[test]
fn what_the_store_does_not_take_is_counted_and_hurts_nothing() {
    let member = Member::new();
    let mut client = member.client();
    for key in [&b""[..], b"\xff", b"a\0b", b"a\nb", b"..", b"a/./b"] {
        client.publish(key, b"v", 0);
    }
    client.publish(b"too-large", &vec![0; (1 << 20) + 1], 0);
    client.publish(b"good", b"v", 0);
    client.sync();
    until("good", || member.value("good").is_some());
    assert_eq!(member.counts(|c| &c.refused), 7);
    assert_eq!(member.face.status().tuples, 1);
}

#[test]
fn who_says_something_wrong_is_cut_off_and_nobody_else() {
    let member = Member::new();
    let mut bystander = member.client();
    bystander.sync();
    let wrong: [&[u8]; 7] = [
        b"\0\x04\xaa\xa1\x01\x01",
        b"\0\x04\xaa\xa0\x06\x01",
        b"\0\0",
        b"\x01\x04\xaa\xa0\x01\x01",
        b"\x02\0\0\x01\0\0\0\0\0",
        b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\xff",
    ];
    for octets in wrong {
        let mut client = member.client();
        client.say(octets);
        client.is_ended();
    }
    let mut stranger = member.raw();
    stranger.say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stranger.is_ended();
    until("each is counted", || member.counts(|c| &c.malformed) == 8);
    bystander.publish(b"k", b"v", 0);
    bystander.sync();
    until("the tuple", || member.value("k").is_some());
    until("only one is left", || member.face.status().connections == 1);
}

#[test]
fn a_time_to_live_is_kept_but_not_told_and_zero_is_none() {
    let member = Member::new();
    let mut client = member.client();
    client.publish(b"for ever", b"v", 0);
    client.publish(b"an hour", b"v", 3_600_000);
    client.publish(b"a moment", b"v", 50);
    client.sync();
    let mut other = member.client();
    let mut told = [other.tuple(), other.tuple()];
    if told[0].0 == "a moment" {
        told[0] = other.tuple();
    }
    told.sort();
    // A node of czmq would send a TTL on with whatever it says next.
    let all = told.map(|(key, _, ttl)| (key, ttl));
    assert_eq!(
        all,
        [("an hour", 0), ("for ever", 0)].map(|(key, ttl)| (key.to_owned(), ttl))
    );
    assert_eq!(member.left("for ever"), None);
    let left = member.left("an hour").unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    until("the moment is over", || member.value("a moment").is_none());
    // Said again it lives again; said without an end by one who only remembers it, it does not.
    other.publish(b"a moment", b"v", 0);
    other.sync();
    assert_eq!(member.value("a moment"), None);
    client.publish(b"a moment", b"v", 3_600_000);
    until("it lives", || member.value("a moment").is_some());
}

#[test]
fn a_deleted_value_comes_back_only_by_a_change() {
    let member = Member::new();
    let mut client = member.client();
    client.publish(b"k", b"v", 0);
    client.sync();
    until("written", || member.value("k").is_some());
    member.delete("k");
    let mut late = member.client();
    for client in [&mut client, &mut late] {
        for _ in 0..3 {
            client.publish(b"k", b"v", 0);
            client.sync();
        }
    }
    assert_eq!(member.value("k"), None);
    late.publish(b"k", b"w", 0);
    until("changed", || member.value("k").as_deref() == Some(b"w"));
}

#[test]
fn what_a_client_remembers_is_answered_with_the_winner_once() {
    let member = Member::new();
    member.put("k", b"old");
    member.put("k", b"new");
    let mut client = member.client();
    client.publish(b"k", b"old", 0);
    assert_eq!(client.tuple(), ("k".to_owned(), b"new".to_vec(), 0));
    for _ in 0..3 {
        client.publish(b"k", b"old", 0);
        client.sync();
    }
    assert_eq!(member.value("k").as_deref(), Some(&b"new"[..]));
    assert_eq!(member.counts(|c| &c.sent), 1);
}
