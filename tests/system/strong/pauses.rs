//! A client that holds a lock and sleeps too long: what it writes with its old token when it wakes
//! is refused, always.
//!
//! `GAGGLE_FENCE_ROUNDS` makes it longer (default 150).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::io::http_client::ApiRequest;
use gaggle::protocol::Mono;
use http::Method;
use serde_json::json;

use super::steps::{Grant, Stop, acquire, make_node, number, release, works};
use crate::harness::{Caller, Cluster, Exchange, Lan, Reply, post, put};

const LIMIT: Duration = Duration::from_secs(20);
/// The lease of who falls asleep.
const LEASE: &str = "30ms";

/// Each kind of write that a lock can guard, and how it is answered if it is done.
fn write(kind: usize, text: &str) -> ApiRequest {
    match kind % 6 {
        0 => put("/v1/store/n/guarded", text),
        1 => ApiRequest::new(Method::DELETE, "/v1/store/n/guarded"),
        2 => post("/v1/counters/guarded", &json!({"add": 1})),
        3 => post("/v1/log/guarded", &json!(text)),
        4 => {
            let patch = ApiRequest::new(Method::PATCH, "/v1/store/n");
            patch
                .with_header("content-type", "application/merge-patch+json")
                .with_body(json!({"guarded": text}).to_string())
        }
        _ => post("/v1/counters/guarded", &json!({"set": 7})),
    }
}

/// A write that the lock guards: when it was sent, how long it took, and its answer.
struct Sent {
    at: Mono,
    took: Duration,
    reply: Reply,
}

/// Sends a write with the token of a grant.
fn guarded(caller: &Caller, request: ApiRequest, grant: &Grant) -> Sent {
    let fence = format!("job={}", grant.token);
    let at = mono();
    let became = caller.call(request.with_header("if-fence", &fence));
    Sent {
        at,
        took: mono().since(at),
        reply: became.answer(),
    }
}

fn is_done(reply: &Reply) -> bool {
    (200..300).contains(&reply.status)
}

/// What the sleeper's writes came to.
#[derive(Default)]
struct Tally {
    accepted: AtomicUsize,
    refused: AtomicUsize,
    /// Accepted although the request was sent after another had the lock.
    stale: AtomicUsize,
    /// The longest that one took, in ms.
    slowest: AtomicUsize,
}

impl Tally {
    /// Judges a write; another was told at `granted` that it has the lock.
    fn judge(&self, Sent { at, took, reply }: &Sent, granted: Mono) {
        let took = usize::try_from(took.as_millis()).unwrap_or(usize::MAX);
        self.slowest.fetch_max(took, Ordering::Relaxed);
        let is_late = *at > granted;
        if is_done(reply) {
            self.accepted.fetch_add(1, Ordering::Relaxed);
            self.stale.fetch_add(is_late.into(), Ordering::Relaxed);
            return;
        }
        let refused = (reply.status, reply.code());
        assert_eq!(refused, (412, "stale-fence".to_owned()), "{reply:?}");
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// One client falls asleep with the lock, another takes it and writes; the sleeper never stops
/// writing with its old token.
fn round(number: usize, sleeper: &Caller, other: &Caller, tally: &Tally) {
    let old = acquire(sleeper, "job", LEASE, "10s");
    let first = guarded(sleeper, put("/v1/store/n/guarded", "first"), &old);
    assert!(
        is_done(&first.reply),
        "who has it may write: {:?}",
        first.reply
    );
    let is_over = AtomicBool::new(false);
    let (new, granted, sent) = std::thread::scope(|scope| {
        let still_writing = scope.spawn(|| {
            let mut sent = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let value = put("/v1/store/n/guarded", "sleeper");
                sent.push(guarded(sleeper, value, &old));
            }
            sent
        });
        let _stop = Stop(&is_over);
        let new = acquire(other, "job", "20s", "15s");
        let granted = mono();
        assert!(new.token > old.token, "tokens grow: {old:?}, {new:?}");
        let value = format!("round {number}");
        let written = guarded(other, put("/v1/store/n/guarded", &value), &new);
        assert!(is_done(&written.reply), "{:?}", written.reply);
        for kind in 0..6 {
            let sent = guarded(sleeper, write(number + kind, "sleeper"), &old);
            tally.judge(&sent, granted);
        }
        is_over.store(true, Ordering::Relaxed);
        let sent = still_writing.join().expect("the sleeper writes on");
        // Whatever was on its way: nothing of the old token came behind the new one's write.
        let held = other.get("/v1/store/n/guarded").answer().json();
        assert_eq!(held["value"], value, "a stale write came through");
        (new, granted, sent)
    });
    for sent in &sent {
        tally.judge(sent, granted);
    }
    release(other, "job", &new);
}

#[test]
fn a_holder_that_slept_too_long_never_writes() {
    let rounds = usize::try_from(number("GAGGLE_FENCE_ROUNDS", 150)).expect("a small number");
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let alone = ["--cluster-size", "1"];
    let member = cluster.member(&host, "a").with(&alone).start();
    works(&member, 1);
    make_node(member.client(), "n");
    let exchange = Exchange::new(&lan);
    let [sleeper, other] = [(); 2].map(|()| exchange.caller(&cluster, &member, LIMIT));
    let tally = Tally::default();
    for number in 0..rounds {
        round(number, &sleeper, &other, &tally);
    }
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    let (stale, refused) = (count(&tally.stale), count(&tally.refused));
    println!(
        "{rounds} rounds: {} writes of sleepers before another had the lock, {refused} refused, \
         {stale} stale ones accepted; the slowest write took {} ms",
        count(&tally.accepted) - stale,
        count(&tally.slowest),
    );
    assert_eq!(stale, 0);
    assert!(refused >= 6 * rounds);
}
