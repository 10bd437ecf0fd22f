//! A member whose clock is ahead of the others': it refuses to write as soon as they have told the
//! time. What it wrote before, alone, is held aside by them until its time has come, so that it
//! cannot win over what is written meanwhile, and is not lost either.

use crate::harness::{
    Client, Clock, Cluster, Host, Lan, Member, agree, seconds, throughout, until,
};

const FLAGS: [&str; 2] = ["--max-clock-skew", "2s"];

fn put(client: &Client, key: &str, value: &str) {
    let reply = client.put(&format!("/v1/store/web/{key}"), value);
    assert!(matches!(reply.status, 201 | 204), "{key}: {reply:?}");
}

fn get(client: &Client, key: &str) -> Option<String> {
    let reply = client.get(&format!("/v1/store/web/{key}"));
    (reply.status == 200).then_some(reply.body)
}

/// The first by a clock of its own, two by the right time; all allow a difference of 2 s.
fn three(cluster: &Cluster, hosts: &[Host; 3], clock: &Clock) -> Vec<Member> {
    let flags = FLAGS;
    let members = vec![
        cluster
            .member(&hosts[0], "a")
            .by(clock)
            .with(&flags)
            .start(),
        cluster.member(&hosts[1], "b").with(&flags).start(),
        cluster.member(&hosts[2], "c").with(&flags).start(),
    ];
    for member in &members {
        member.wait_alive(3);
    }
    members
}

fn arrives(members: &[Member], key: &str, value: &str) {
    for member in members {
        let what = format!("{key} is {value:?} on another member");
        let held = || get(member.client(), key);
        until(&what, seconds(30), held, |held| {
            held.as_deref() == Some(value)
        });
    }
}

/// Starts the first one alone under a clock that is ahead, so that nobody tells it; what it writes
/// then reaches the others when they come.
fn alone_ahead(cluster: &Cluster, host: &Host, clock: &Clock, ahead: i64) -> Member {
    clock.turn(ahead);
    let member = cluster.member(host, "a").by(clock).with(&FLAGS).start();
    put(member.client(), "colour", "from ahead");
    put(member.client(), "new", "from ahead");
    member
}

/// A write, and a deletion, that must be refused for the clock.
fn refused(client: &Client) {
    let reply = client.put("/v1/store/web/refused", "x");
    assert_eq!(
        (reply.status, &*reply.code()),
        (503, "clock-skew"),
        "{reply:?}"
    );
    assert_eq!(reply.json()["outcome"], "not-applied");
    let reply = client.delete("/v1/store/web/colour");
    assert_eq!(
        (reply.status, &*reply.code()),
        (503, "clock-skew"),
        "{reply:?}"
    );
    assert_eq!(get(client, "refused"), None);
}

/// What a member says about one of its checks: whether it is well, and the words.
fn check(client: &Client, code: &str) -> (bool, String) {
    let told = client.get("/readyz?verbose").json();
    let checks = told["checks"].as_array().cloned().unwrap_or_default();
    let found = checks.into_iter().find(|check| check["code"] == code);
    let found = found.unwrap_or_default();
    let text = found["detail"].as_str().unwrap_or_default().to_owned();
    (found["ok"] == true, text)
}

fn waits_until_compared(client: &Client) {
    let told = || check(client, "clock").1;
    until("its peers have told the time", seconds(30), told, |text| {
        text.contains("live peers")
    });
}

#[test]
fn a_member_whose_clock_jumps_ahead_refuses_to_write_until_it_is_set() {
    let (lan, cluster, clock) = (Lan::new(), Cluster::new(), Clock::new());
    let hosts = lan.hosts();
    let members = three(&cluster, &hosts, &clock);
    let [a, b, c] = &members[..] else {
        unreachable!("three members")
    };
    put(a.client(), "colour", "before");
    arrives(&members, "colour", "before");
    waits_until_compared(a.client());
    for ahead in [12, 3600] {
        clock.turn(ahead);
        refused(a.client());
        assert!(get(a.client(), "colour").is_some(), "reads go on");
        let told = || check(a.client(), "clock");
        let (_, text) = until("it says so", seconds(10), told, |(ok, _)| !ok);
        assert!(
            text.contains("ahead of the median of its live peers"),
            "{text}"
        );
        assert_eq!(
            a.client().get("/readyz").status,
            503,
            "clients go elsewhere"
        );
        // What the others write reaches it all the while, and nobody was dragged along.
        let value = format!("while a is {ahead} s ahead");
        put(b.client(), "colour", &value);
        arrives(&members, "colour", &value);
        put(c.client(), "of-c", &value);
        arrives(&members, "of-c", &value);
        assert_eq!(b.client().alive(), 3, "an odd clock is not a dead member");
        assert!(b.client().metric("gaggle_held_aside") < 0.5);
    }
    let offset = || {
        let told = b.client().get("/v1/members").json();
        let members = told["members"].as_array().cloned().unwrap_or_default();
        let of_a = members.into_iter().find(|member| member["name"] == "a");
        of_a.and_then(|of_a| of_a["clock_offset_ms"].as_i64())
    };
    until(
        "b knows how far a is ahead",
        seconds(20),
        offset,
        |offset| offset.is_some_and(|ms| (3_590_000..3_610_000).contains(&ms)),
    );
    clock.turn(0);
    put(a.client(), "colour", "set");
    arrives(&members, "colour", "set");
    let told = || check(a.client(), "clock");
    until("all is well again", seconds(20), told, |(ok, _)| *ok);
}

#[test]
fn what_was_written_ahead_by_a_member_alone_is_held_aside_until_its_time_has_come() {
    let (lan, cluster, clock) = (Lan::new(), Cluster::new(), Clock::new());
    let hosts: [Host; 3] = lan.hosts();
    let a = alone_ahead(&cluster, &hosts[0], &clock, 25);
    clock.turn(0);
    let mut members = vec![a];
    for (host, name) in hosts[1..].iter().zip(["b", "c"]) {
        members.push(cluster.member(host, name).with(&FLAGS).start());
    }
    for member in &members {
        member.wait_alive(3);
    }
    let held = || members[1].client().metric("gaggle_held_aside");
    until("b holds it aside", seconds(15), held, |held| *held >= 2.0);
    let told = || check(members[1].client(), "held-aside");
    let (_, text) = until("it says so", seconds(10), told, |(ok, _)| !ok);
    assert!(text.contains("held aside"), "{text}");
    assert_eq!(members[1].client().get("/readyz").status, 200, "a warning");
    // Its clock is right again, and still what it wrote would be stamped ahead.
    waits_until_compared(members[0].client());
    refused(members[0].client());
    members[1].crash();
    members[1] = cluster.member(&hosts[1], "b").with(&FLAGS).start();
    assert_eq!(get(members[1].client(), "colour"), None, "still held aside");
    put(members[1].client(), "colour", "meanwhile");
    arrives(&members[1..], "colour", "meanwhile");
    // Its time comes; it was written by the clock that was ahead, and it wins.
    arrives(&members, "new", "from ahead");
    arrives(&members, "colour", "from ahead");
    agree(&members);
    let write = || {
        members[0]
            .client()
            .put("/v1/store/web/colour", "after")
            .status
    };
    until("a writes again by itself", seconds(20), write, |status| {
        *status == 204
    });
    arrives(&members, "colour", "after");
}

#[test]
fn a_member_that_wrote_an_hour_ahead_harms_nobody() {
    let (lan, cluster, clock) = (Lan::new(), Cluster::new(), Clock::new());
    let hosts: [Host; 3] = lan.hosts();
    let a = alone_ahead(&cluster, &hosts[0], &clock, 3600);
    let mut members = vec![a];
    for (host, name) in hosts[1..].iter().zip(["b", "c"]) {
        members.push(cluster.member(host, name).with(&FLAGS).start());
    }
    for member in &members {
        member.wait_alive(3);
    }
    let [a, b, c] = &members[..] else {
        unreachable!("three members")
    };
    for n in 0..5 {
        put(b.client(), "colour", &format!("of b {n}"));
        arrives(&members[1..], "colour", &format!("of b {n}"));
    }
    // Nobody's clock was dragged along: c's next write is not from the future either.
    put(c.client(), "colour", "of c");
    arrives(&members[1..], "colour", "of c");
    assert_eq!(b.client().delete("/v1/store/web/colour").status, 204);
    let gone = || get(c.client(), "colour");
    until("the deletion arrives", seconds(20), gone, Option::is_none);
    throughout(seconds(4), || {
        assert_eq!(get(b.client(), "new"), None, "an hour has not gone by");
    });
    waits_until_compared(a.client());
    refused(a.client());
    assert_eq!(get(a.client(), "new").as_deref(), Some("from ahead"));
    // What others write reaches it all the while.
    put(b.client(), "fresh", "of b");
    arrives(&members, "fresh", "of b");
}
