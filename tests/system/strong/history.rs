//! Clients that write down what they saw, for the model to judge.
//!
//! Objects have a name for each few seconds, so that what nobody knows the outcome of does not
//! pile up on one of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::io::http_client::ApiRequest;
use gaggle::protocol::Mono;
use http::Method;
use parking_lot::Mutex;
use porcupine_rs::Operation;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::model::{Done, Objects, recorded};
use crate::harness::{Became, Caller, Reply, post, put};

/// How long objects of one name are used.
const EPOCH: Duration = Duration::from_secs(5);
/// How often a request with an idempotency key is sent again while nobody knows what became of it.
const TRIES: usize = 4;
/// The node with the registers.
pub(super) const NODE: &str = "n";
const REGISTERS: u64 = 3;
const COUNTERS: u64 = 2;

/// What all clients write down.
pub(super) struct Recorder {
    begun: Mono,
    seed: u64,
    pub(super) stop: AtomicBool,
    items: AtomicU64,
    history: Mutex<Vec<Operation<Objects>>>,
    pub(super) not_done: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) settled: AtomicU64,
}

impl Recorder {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            begun: mono(),
            seed,
            stop: AtomicBool::new(false),
            items: AtomicU64::new(1),
            history: Mutex::default(),
            not_done: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            settled: AtomicU64::new(0),
        }
    }

    fn now(&self) -> Duration {
        mono().since(self.begun)
    }

    fn epoch(&self) -> u64 {
        self.now().as_secs() / EPOCH.as_secs()
    }

    pub(super) fn take(&self) -> Vec<Operation<Objects>> {
        std::mem::take(&mut *self.history.lock())
    }

    /// The clients' work until [`Recorder::stop`] is set.
    pub(super) fn work(&self, id: u32, callers: Vec<Caller>) {
        let mut client = self.client(id, callers);
        while !self.stop.load(Ordering::Relaxed) {
            client.step();
            let pause = client.random.random_range(1..15);
            std::thread::sleep(Duration::from_millis(pause));
        }
    }

    fn client(&self, id: u32, callers: Vec<Caller>) -> Client<'_> {
        Client {
            id,
            random: StdRng::seed_from_u64(self.seed ^ (u64::from(id) << 32)),
            callers,
            book: self,
            requests: 0,
            held: None,
            lost: None,
        }
    }

    /// Reads once more all that was ever written, when all is well: whatever was acknowledged is
    /// there.
    pub(super) fn read_all(&self, id: u32, callers: Vec<Caller>) {
        let mut client = self.client(id, callers);
        for epoch in 0..=self.epoch() {
            for register in 0..REGISTERS {
                client.get_register(&format!("r{register}-{epoch}"));
            }
            for counter in 0..COUNTERS {
                client.count(&format!("c{counter}-{epoch}"));
            }
            client.read_log(&format!("log-{epoch}"));
        }
    }
}

/// What a register held, and its version; none: nothing.
type Seen = Option<(u64, String)>;

/// What became of a command.
enum Known {
    Answered(Reply),
    NotDone,
    Nothing,
}

struct Client<'a> {
    id: u32,
    random: StdRng,
    callers: Vec<Caller>,
    book: &'a Recorder,
    requests: u64,
    /// The lock that it has, and the nonce.
    held: Option<(String, String)>,
    /// It may have the lock of that time and not know it; it asks for that one no more.
    lost: Option<String>,
}

impl Client<'_> {
    fn caller(&mut self) -> Caller {
        let at = self.random.random_range(0..self.callers.len());
        self.callers[at].clone()
    }

    fn note(&self, object: &str, done: Done, call: Duration, back: Option<Duration>) {
        let it = recorded(self.id, object, done, (call, back));
        self.book.history.lock().push(it);
    }

    fn step(&mut self) {
        let epoch = self.book.epoch();
        let (register, counter) = (self.below(REGISTERS), self.below(COUNTERS));
        match self.below(10) {
            0..=3 => self.register(&format!("r{register}-{epoch}")),
            4..=5 => self.counter(&format!("c{counter}-{epoch}")),
            6..=7 => self.log(&format!("log-{epoch}")),
            _ => self.lock(&format!("lock-{epoch}")),
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random.random_range(0..end)
    }

    /// Reads and gives the document, or none if there is no such object.
    fn read(&mut self, path: &str, absent: &str) -> Option<(Option<Value>, Duration)> {
        let call = self.book.now();
        match self.caller().get(path) {
            Became::Answered(reply) if reply.status == 200 => Some((Some(reply.json()), call)),
            Became::Answered(reply) => {
                assert_eq!(
                    (reply.status, reply.code().as_str()),
                    (404, absent),
                    "{path}"
                );
                Some((None, call))
            }
            Became::NotDone(_) | Became::Unknown(_) => None,
        }
    }

    /// Has a command done, sometimes with an idempotency key, and then again and again at other
    /// members until there is an answer.
    fn command(
        &mut self,
        object: &str,
        request: ApiRequest,
        answered: impl FnOnce(&Reply) -> Done,
        unknown: Done,
    ) -> Known {
        let (request, tries) = if self.random.random_bool(0.5) {
            self.requests += 1;
            let key = format!("{}-{}", self.id, self.requests);
            (request.with_header("idempotency-key", &key), TRIES)
        } else {
            (request, 1)
        };
        let call = self.book.now();
        let mut in_doubt = false;
        for _ in 0..tries {
            match self.caller().call(request.clone()) {
                Became::Answered(reply) => {
                    if in_doubt {
                        self.book.settled.fetch_add(1, Ordering::Relaxed);
                    }
                    let back = Some(self.book.now());
                    self.note(object, answered(&reply), call, back);
                    return Known::Answered(reply);
                }
                Became::Unknown(_) => in_doubt = true,
                Became::NotDone(_) if in_doubt => {}
                Became::NotDone(_) => {
                    self.book.not_done.fetch_add(1, Ordering::Relaxed);
                    return Known::NotDone;
                }
            }
        }
        self.book.unknown.fetch_add(1, Ordering::Relaxed);
        self.note(object, unknown, call, None);
        Known::Nothing
    }

    /// Reads a register; gives what it held and its version, and nothing if nobody could tell.
    fn get_register(&mut self, key: &str) -> Option<Seen> {
        let path = format!("/v1/store/{NODE}/{key}?class=strong&timeout=2s");
        let (found, call) = self.read(&path, "key-not-found")?;
        let back = self.book.now();
        let seen = found.map(|item| {
            let value = item["value"].as_str().and_then(|it| it.parse().ok());
            let version = item["stamp"].as_str().expect("a version");
            (value.expect("a number"), version.to_owned())
        });
        let value = seen.as_ref().map(|(value, _)| *value);
        self.note(key, Done::Get(value), call, Some(back));
        Some(seen)
    }

    fn register(&mut self, key: &str) {
        let Some(seen) = self.get_register(key) else {
            return;
        };
        let to = self.book.items.fetch_add(1, Ordering::Relaxed);
        let path = format!("/v1/store/{NODE}/{key}?class=strong&timeout=2s");
        let request = put(&path, &to.to_string());
        let swap = seen.filter(|_| self.random.random_bool(0.5));
        let Some((from, version)) = swap else {
            let written = |reply: &Reply| {
                assert!(matches!(reply.status, 201 | 204), "{reply:?}");
                Done::Put(to)
            };
            self.command(key, request, written, Done::Put(to));
            return;
        };
        let request = request.with_header("if-match", &format!("\"{version}\""));
        let tried = |reply: &Reply| Done::Swap {
            from,
            to,
            swapped: match (reply.status, reply.code().as_str()) {
                (204, _) => true,
                (412, "precondition-failed") => false,
                _ => panic!("{reply:?}"),
            },
        };
        self.command(key, request, tried, Done::MaySwap { from, to });
    }

    fn count(&mut self, name: &str) {
        let path = format!("/v1/counters/{name}?timeout=2s");
        if let Some((found, call)) = self.read(&path, "counter-not-found") {
            let back = self.book.now();
            let value = found.map_or(Some(0), |it| it["value"].as_i64());
            self.note(
                name,
                Done::Count(value.expect("a number")),
                call,
                Some(back),
            );
        }
    }

    fn counter(&mut self, name: &str) {
        if self.random.random_bool(0.4) {
            return self.count(name);
        }
        let by = self.random.random_range(1..4);
        let path = format!("/v1/counters/{name}?timeout=2s");
        let added = |reply: &Reply| Done::Add {
            by,
            after: reply.json()["value"].as_i64().expect("a sum"),
        };
        self.command(
            name,
            post(&path, &json!({"add": by})),
            added,
            Done::MayAdd { by },
        );
    }

    fn read_log(&mut self, name: &str) {
        let path = format!("/v1/log/{name}?timeout=2s");
        if let Some((found, call)) = self.read(&path, "log-not-found") {
            let back = self.book.now();
            let page = found.unwrap_or_default();
            assert_eq!(page["next"], page["end"], "all of it is in one page");
            let entries = page["entries"].as_array().into_iter().flatten();
            let items = entries.map(|it| it["data"].as_u64().expect("a number"));
            self.note(name, Done::Read(items.collect()), call, Some(back));
        }
    }

    fn log(&mut self, name: &str) {
        if self.random.random_bool(0.3) {
            return self.read_log(name);
        }
        let item = self.book.items.fetch_add(1, Ordering::Relaxed);
        let path = format!("/v1/log/{name}?timeout=2s");
        let appended = |reply: &Reply| Done::Append {
            item,
            at: reply.json()["index"].as_u64().expect("an index"),
        };
        self.command(
            name,
            post(&path, &json!(item)),
            appended,
            Done::MayAppend { item },
        );
    }

    fn lock(&mut self, name: &str) {
        let client = self.id;
        if let Some((held, nonce)) = self.held.take() {
            let path = format!("/v1/locks/{held}/release?timeout=2s");
            let released = |reply: &Reply| {
                assert_eq!(reply.status, 204, "who has it can give it back: {reply:?}");
                Done::Release { client }
            };
            let request = post(&path, &json!({"nonce": nonce}));
            match self.command(&held, request, released, Done::MayRelease { client }) {
                Known::Answered(_) => {}
                Known::NotDone => self.held = Some((held, nonce)),
                Known::Nothing => self.lost = Some(held),
            }
            return;
        }
        if self.lost.as_deref() == Some(name) {
            return;
        }
        let path = format!("/v1/locks/{name}/acquire?timeout=2s");
        let request = ApiRequest::new(Method::POST, path)
            .with_header("content-type", "application/json")
            .with_body(r#"{"ttl":"24h"}"#);
        let asked = |reply: &Reply| Done::Acquire {
            client,
            token: match (reply.status, reply.code().as_str()) {
                (200, _) => reply.json()["token"].as_u64(),
                (409, "lock-held") => None,
                _ => panic!("{reply:?}"),
            },
        };
        match self.command(name, request, asked, Done::MayAcquire { client }) {
            Known::Answered(reply) if reply.status == 200 => {
                let nonce = reply.json()["nonce"].as_str().map(str::to_owned);
                self.held = Some((name.to_owned(), nonce.expect("a nonce")));
            }
            Known::Answered(_) | Known::NotDone => {}
            Known::Nothing => {
                // The member gives up what it asked for when its client has gone.
                self.note(name, Done::MayRelease { client }, self.book.now(), None);
                self.lost = Some(name.to_owned());
            }
        }
    }
}
