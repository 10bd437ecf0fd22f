//! What a group bears: as many losses as its majority allows, and what a minority says.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gaggle::io::clock::mono;
use gaggle::io::http_client::ApiRequest;
use http::Method;
use serde_json::json;

use super::steps::{PATIENCE, Stop, adds, leader, make_node, start, value};
use crate::harness::{
    Became, Caller, Client, Cluster, Exchange, Lan, Member, Reply, post, put, seconds, until,
};

/// How long a client may wait from the death of the leader to the next write that is answered.
const GAP: Duration = Duration::from_secs(6);
/// How long a member without a majority may take to say so.
const SOON: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(15);

/// A group of so many voters loses its leader and, at the same time, as many others as it may.
fn bears<const COUNT: usize>(losses: usize) {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let mut members = start(&cluster, &lan.hosts::<COUNT>());
    let exchange = Exchange::new(&lan);
    let callers = members
        .iter()
        .map(|it| exchange.caller(&cluster, it, LIMIT));
    let callers: Vec<_> = callers.collect();
    let (answered, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let enough = |more: usize| {
        let begun = answered.load(Ordering::Relaxed);
        let done = || answered.load(Ordering::Relaxed);
        until("writes are answered", PATIENCE, done, |now| {
            *now >= begun + more
        });
    };
    let lead = leader(&members.iter().collect::<Vec<_>>());
    let (killed, times) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| adds(&callers, &answered, &stop));
        let _stop = Stop(&stop);
        enough(30);
        let killed = mono();
        for loss in 0..losses {
            members[(lead + loss) % COUNT].crash();
        }
        enough(30);
        stop.store(true, Ordering::Relaxed);
        (killed, writer.join().expect("the writer ends"))
    });
    let after = times
        .iter()
        .position(|at| *at > killed)
        .expect("writes after");
    let waits = times[after - 1..]
        .windows(2)
        .map(|two| two[1].since(two[0]));
    let gap = waits.max().expect("writes after");
    println!("{COUNT} voters, {losses} killed with their leader: no write for {gap:?}");
    assert!(gap < GAP, "{gap:?}");
    for (at, caller) in callers.iter().enumerate() {
        if (lead..lead + losses).any(|dead| dead % COUNT == at) {
            continue;
        }
        assert_eq!(value(caller, "c"), times.len() as u64);
    }
}

#[test]
fn three_voters_bear_the_loss_of_their_leader() {
    bears::<3>(1);
}

#[test]
fn five_voters_bear_the_loss_of_their_leader_and_another() {
    bears::<5>(2);
}

/// One request of each kind; a majority would answer all of them.
fn requests() -> Vec<ApiRequest> {
    let get = |path: &str| ApiRequest::new(Method::GET, path);
    vec![
        get("/v1/store/n/k"),
        get("/v1/store/n"),
        get("/v1/counters/c"),
        get("/v1/counters"),
        get("/v1/log/l"),
        get("/v1/locks"),
        put("/v1/store/n/k", "by a minority"),
        post("/v1/counters/c", &json!({"add": 100})),
        post("/v1/log/l", &json!("by a minority")),
        post("/v1/locks/x/acquire", &json!({})),
    ]
}

/// Whether an answer says that there is no majority, and that nothing was done.
fn says_so(reply: &Reply) -> bool {
    let told = reply.json();
    (reply.status, &told["code"], &told["outcome"])
        == (503, &json!("no-quorum"), &json!("not-applied"))
}

/// A member without a majority refuses everything, and soon.
fn refuses(caller: &Caller) {
    let ask = |request: ApiRequest| {
        let (asked, what) = (mono(), format!("{} {}", request.method, request.path));
        let reply = caller.ask(request).expect("an answer");
        let took = mono().since(asked);
        assert!(says_so(&reply), "{what}: {reply:?}");
        assert!(took < SOON, "{what} took {took:?}");
        took
    };
    let slowest = std::thread::scope(|scope| {
        let asked = requests()
            .into_iter()
            .map(|it| scope.spawn(move || ask(it)));
        let asked: Vec<_> = asked.collect();
        let took = asked.into_iter().map(|it| it.join().expect("it refuses"));
        took.max().unwrap_or_default()
    });
    println!("a minority refuses within {slowest:?}");
}

fn write_all(caller: &Caller, value: &str) {
    let written = [
        put("/v1/store/n/k", value),
        post("/v1/counters/c", &json!({"add": 1})),
        post("/v1/log/l", &json!(value)),
    ];
    for request in written {
        let what = format!("{} {}", request.method, request.path);
        let reply = || caller.call(request.clone());
        until(
            &what,
            PATIENCE,
            reply,
            |became| matches!(became, Became::Answered(reply) if reply.status < 300),
        );
    }
}

/// Whether a read of the key gives the value that was there first.
fn reads_the_old(caller: &Caller) -> bool {
    match caller.get("/v1/store/n/k?timeout=1s") {
        Became::Answered(reply) => reply.json()["value"] == "before",
        Became::NotDone(_) | Became::Unknown(_) => false,
    }
}

/// Who asks for what is there gets it, and is told how old it may be.
fn tells_the_age(client: &Client) {
    let path = "/v1/store/n/k?class=strong&consistency=stale";
    let kept = client.ask(&["--include"], path);
    assert!(kept.body.ends_with("before"), "{kept:?}");
    let is_marked = kept.body.to_lowercase().contains("gaggle-age-ms: ");
    assert!(is_marked, "{kept:?}");
}

#[test]
fn a_leader_that_is_cut_off_refuses_soon_and_never_answers_stale() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<3>();
    let members = start(&cluster, &hosts);
    make_node(members[0].client(), "n");
    let exchange = Exchange::new(&lan);
    let caller = |member: &Member| exchange.caller(&cluster, member, LIMIT);
    let lead = leader(&members.iter().collect::<Vec<_>>());
    let (old, other) = (caller(&members[lead]), caller(&members[(lead + 1) % 3]));
    write_all(&old, "before");
    let rest: Vec<_> = (0..3)
        .filter(|at| *at != lead)
        .map(|at| &hosts[at])
        .collect();
    let (is_new, stale) = (AtomicBool::new(false), AtomicUsize::new(0));
    let asked = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        // Someone reads the old leader all the time.
        let reader = caller(&members[lead]);
        let (is_new, stale, asked) = (&is_new, &stale, &asked);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let is_late = is_new.load(Ordering::SeqCst);
                let is_old = reads_the_old(&reader);
                stale.fetch_add((is_late && is_old).into(), Ordering::Relaxed);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _stop = Stop(stop);
        lan.cut(&[&hosts[lead]], &rest);
        let cut = mono();
        let of_old = || members[lead].client().get("/v1/leader").json()["id"].clone();
        until("it knows of no leader", seconds(10), of_old, |id| {
            id.is_null()
        });
        println!(
            "the old leader steps down {:?} after the cut",
            mono().since(cut)
        );
        refuses(&old);
        write_all(&other, "after");
        is_new.store(true, Ordering::SeqCst);
        refuses(&old);
        for _ in 0..20 {
            let reply = old.ask(ApiRequest::new(Method::GET, "/v1/counters/c?timeout=100ms"));
            let reply = reply.expect("an answer");
            assert!(says_so(&reply), "{reply:?}");
        }
        tells_the_age(members[lead].client());
        lan.heal();
        let value = || match old.get("/v1/store/n/k") {
            Became::Answered(reply) => reply.json()["value"].clone(),
            _ => json!(null),
        };
        until("it is back", PATIENCE, value, |value| *value == "after");
    });
    assert_eq!(
        stale.load(Ordering::Relaxed),
        0,
        "old values after new ones"
    );
    assert!(asked.load(Ordering::Relaxed) > 5);
    let counted = old.get("/v1/counters/c").answer();
    assert_eq!(
        counted.json()["value"],
        2,
        "nothing of the minority was done"
    );
}

#[test]
fn the_last_one_of_three_refuses_soon_also_what_was_on_its_way() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let mut members = start(&cluster, &lan.hosts::<3>());
    make_node(members[0].client(), "n");
    let exchange = Exchange::new(&lan);
    let lead = leader(&members.iter().collect::<Vec<_>>());
    let last = (lead + 1) % 3;
    let caller = exchange.caller(&cluster, &members[last], LIMIT);
    write_all(&caller, "before");
    let stop = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let caller = exchange.caller(&cluster, &members[last], LIMIT);
                let stop = &stop;
                scope.spawn(move || {
                    let mut slowest = Duration::ZERO;
                    while !stop.load(Ordering::Relaxed) {
                        let asked = mono();
                        let became = caller.get("/v1/counters/c");
                        assert!(!matches!(became, Became::Unknown(_)), "{became:?}");
                        slowest = slowest.max(mono().since(asked));
                    }
                    slowest
                })
            })
            .collect();
        let _stop = Stop(&stop);
        std::thread::sleep(Duration::from_millis(500));
        for at in [lead, (lead + 2) % 3] {
            members[at].crash();
        }
        std::thread::sleep(SOON);
        refuses(&caller);
        stop.store(true, Ordering::Relaxed);
        let slowest = readers.into_iter().map(|it| it.join().expect("it ends"));
        slowest.max().expect("readers")
    });
    println!("the slowest read, begun before the loss or after it, took {slowest:?}");
    assert!(slowest < SOON, "{slowest:?}");
}
