//! Wall clocks that jump, stand in 1970, or are an hour off, while members run by them: a later
//! write wins, no stamp is given twice, and nobody is thought dead for it.

use gaggle::model::Stamp;

use crate::harness::{Client, Clock, Cluster, Host, Lan, Member, seconds, throughout, until};

const HOUR: i64 = 3600;

/// Writes a key and gives the stamp that it got.
fn put(client: &Client, key: &str, value: &str) -> Stamp {
    let path = format!("/v1/store/web/{key}");
    let reply = client.put(&path, value);
    assert!(matches!(reply.status, 201 | 204), "{key}: {reply:?}");
    let told = client
        .ask(&["--header", "Accept: application/json"], &path)
        .json();
    assert_eq!(
        told["value"], value,
        "{key} holds what was written last: {told}"
    );
    let stamp = told["stamp"].as_str().expect("a stamp");
    stamp.parse().expect("a stamp's text")
}

fn get(client: &Client, key: &str) -> String {
    client.get(&format!("/v1/store/web/{key}")).body
}

fn arrives(client: &Client, key: &str, value: &str) {
    let what = format!("{key} is {value:?} on another member");
    until(
        &what,
        seconds(20),
        || get(client, key),
        |held| held == value,
    );
}

/// The first member by a clock of its own, the second by the right time.
fn two(cluster: &Cluster, hosts: &[Host; 2], clock: &Clock) -> (Member, Member) {
    let a = cluster.member(&hosts[0], "a").by(clock).start();
    let b = cluster.member(&hosts[1], "b").start();
    a.wait_alive(2);
    b.wait_alive(2);
    (a, b)
}

fn all_greater(stamps: &[Stamp]) {
    for pair in stamps.windows(2) {
        assert!(pair[0] < pair[1], "{} is not below {}", pair[0], pair[1]);
    }
}

#[test]
fn after_a_jump_back_of_an_hour_later_writes_still_win_everywhere() {
    let (lan, cluster, clock) = (Lan::new(), Cluster::new(), Clock::new());
    let hosts: [Host; 3] = lan.hosts();
    let [first, second, third] = &hosts;
    let (a, b) = two(&cluster, &[first.clone(), second.clone()], &clock);
    // Of two alone nobody could tell which clock is right.
    let c = cluster.member(third, "c").start();
    for member in [&a, &b, &c] {
        member.wait_alive(3);
    }
    let mut stamps = vec![put(a.client(), "colour", "before")];
    arrives(b.client(), "colour", "before");
    clock.turn(-HOUR);
    for n in 0..10 {
        stamps.push(put(a.client(), "colour", &format!("after-{n}")));
        stamps.push(put(a.client(), &format!("new-{n}"), "new"));
    }
    all_greater(&stamps);
    arrives(b.client(), "colour", "after-9");
    // Seen from an hour back, what others write lies far ahead: it is held aside until the clock
    // is set, and not lost.
    put(b.client(), "colour", "by b");
    put(b.client(), "of-b", "by b");
    clock.turn(0);
    arrives(a.client(), "colour", "by b");
    arrives(a.client(), "of-b", "by b");
    put(a.client(), "colour", "by a");
    arrives(b.client(), "colour", "by a");
    assert_eq!(b.client().delete("/v1/store/web/colour").status, 204);
    let status = || a.client().get("/v1/store/web/colour").status;
    until("the deletion arrives", seconds(20), status, |status| {
        *status == 404
    });
}

#[test]
fn a_jump_of_the_clock_gets_nobody_suspected() {
    let (lan, cluster, clock) = (Lan::new(), Cluster::new(), Clock::new());
    let hosts = lan.hosts();
    let (a, b) = two(&cluster, &hosts, &clock);
    for offset in [-HOUR, HOUR, 0] {
        clock.turn(offset);
        throughout(seconds(7), || {
            assert_eq!(
                (a.client().alive(), b.client().alive()),
                (2, 2),
                "{offset} s"
            );
        });
    }
}

#[test]
fn what_was_written_under_a_clock_far_ahead_can_be_overwritten_and_deleted_at_once() {
    let (lan, cluster, clock) = (Lan::new(), Cluster::new(), Clock::new());
    let host = lan.host();
    clock.turn(HOUR);
    let member = cluster.member(&host, "a").by(&clock).start();
    let client = member.client();
    let poisoned = [put(client, "one", "poison"), put(client, "two", "poison")];
    clock.turn(0);
    let one = put(client, "one", "healed");
    assert!(one > poisoned[0], "the later write has the greater stamp");
    assert_eq!(client.delete("/v1/store/web/two").status, 204);
    assert_eq!(client.get("/v1/store/web/two").status, 404);
    let two = put(client, "two", "written again");
    assert!(two > poisoned[1]);
    assert_eq!(client.delete("/v1/store/web").status, 204);
    assert_eq!(
        client.get("/v1/store/web/one").status,
        404,
        "its node is gone"
    );
    put(client, "one", "and back");
}

#[test]
fn no_stamp_is_given_twice_when_the_clock_went_back_over_a_restart() {
    let (lan, cluster, clock) = (Lan::new(), Cluster::new(), Clock::new());
    let host = lan.host();
    let mut stamps = Vec::new();
    let mut member = cluster.member(&host, "a").by(&clock).start();
    for (round, offset) in [0, -HOUR, -25 * HOUR, 0].into_iter().enumerate() {
        clock.turn(offset);
        if round % 2 == 0 {
            member.crash();
        } else {
            member.stop();
        }
        member = cluster.member(&host, "a").by(&clock).start();
        for n in 0..8 {
            stamps.push(put(
                member.client(),
                &format!("key-{n}"),
                &format!("{round}"),
            ));
        }
    }
    all_greater(&stamps);
    let mut sequences: Vec<u64> = stamps.iter().map(|stamp| stamp.sequence).collect();
    sequences.dedup();
    assert_eq!(sequences.len(), stamps.len(), "{sequences:?}");
}

#[test]
fn a_member_that_starts_in_1970_serves_and_is_whole_when_its_clock_is_set() {
    let (lan, cluster, clock) = (Lan::new(), Cluster::new(), Clock::new());
    let hosts: [Host; 2] = lan.hosts();
    let b = cluster.member(&hosts[1], "b").start();
    put(b.client(), "of-b", "before");
    clock.forget();
    let a = cluster.member(&hosts[0], "a").by(&clock).spawn();
    // Its certificate is of 1971: no client with the right time takes it.
    let insecure = |method: &str, path: &str, data: &str| {
        let options = ["--insecure", "-X", method, "--data-binary", data];
        let kind = ["-H", "Content-Type: text/plain"];
        a.client().ask(&[&options[..], &kind].concat(), path)
    };
    let ready = || insecure("GET", "/livez", "").status;
    until("it starts", seconds(20), ready, |status| *status == 200);
    assert_eq!(insecure("PUT", "/v1/store/web/of-a", "in 1970").status, 201);
    clock.turn(0);
    let trusted = || a.client().get("/readyz").status;
    until(
        "its certificate is renewed",
        seconds(10),
        trusted,
        |status| *status == 200,
    );
    assert_eq!(get(a.client(), "of-a"), "in 1970");
    arrives(b.client(), "of-a", "in 1970");
    arrives(a.client(), "of-b", "before");
    put(a.client(), "of-a", "today");
    arrives(b.client(), "of-a", "today");
    put(a.client(), "of-b", "today");
    arrives(b.client(), "of-b", "today");
}

#[test]
fn a_member_that_lost_its_clock_goes_by_its_peers_as_soon_as_it_meets_one() {
    let (lan, cluster, clock) = (Lan::new(), Cluster::new(), Clock::new());
    let hosts = lan.hosts();
    let (mut a, b) = two(&cluster, &hosts, &clock);
    let before = put(a.client(), "colour", "before");
    arrives(b.client(), "colour", "before");
    a.stop();
    clock.forget();
    lan.cut(&[&hosts[0]], &[&hosts[1]]);
    a = cluster.member(&hosts[0], "a").by(&clock).spawn();
    // Its certificate is of 1971: no client with the right time takes it.
    let write = |member: &Member| {
        let kind = "Content-Type: text/plain";
        let options = ["--insecure", "-X", "PUT", "-H", kind, "--data-binary", "x"];
        member.client().ask(&options, "/v1/store/web/of-a")
    };
    let refused = until(
        "it starts",
        seconds(20),
        || write(&a),
        |reply| reply.status != 0,
    );
    assert_eq!(
        (refused.status, &*refused.code()),
        (503, "clock-implausible"),
        "{refused:?}"
    );
    let read = a.client().ask(&["--insecure"], "/v1/store/web/colour");
    assert_eq!(read.body, "before", "reads go on");
    lan.heal();
    put(b.client(), "of-b", "while a is in 1970");
    let took = || write(&a).status;
    until("it goes by its peer's time", seconds(40), took, |status| {
        matches!(status, 201 | 204)
    });
    let trusted = || a.client().get("/livez").status;
    until(
        "its certificate is of today",
        seconds(20),
        trusted,
        |status| *status == 200,
    );
    arrives(a.client(), "of-b", "while a is in 1970");
    arrives(b.client(), "of-a", "x");
    assert!(put(a.client(), "colour", "after") > before);
    arrives(b.client(), "colour", "after");
    assert!(a.client().metric("gaggle_held_aside") < 0.5);
    let told = a.client().get("/readyz?verbose").body;
    assert!(told.contains("cannot be right"), "{told}");
}

#[test]
fn a_restart_under_a_clock_set_back_is_known_as_a_restart() {
    let (lan, cluster, clock) = (Lan::new(), Cluster::new(), Clock::new());
    let hosts = lan.hosts();
    let (mut a, b) = two(&cluster, &hosts, &clock);
    let incarnation = || {
        let told = b.client().get("/v1/members").json();
        let members = told["members"].as_array().cloned().unwrap_or_default();
        let of_a = members.into_iter().find(|member| member["name"] == "a");
        let of_a = of_a.unwrap_or_default();
        (
            of_a["state"].clone(),
            of_a["incarnation"].as_u64().unwrap_or_default(),
        )
    };
    let (_, mut before) = incarnation();
    for clean in [true, false] {
        if clean {
            a.stop();
        } else {
            a.crash();
        }
        // Further back, and the certificates of others would not be valid yet.
        clock.turn(-23 * HOUR);
        a = cluster.member(&hosts[0], "a").by(&clock).start();
        let known = until(
            "the other one knows of the restart",
            seconds(20),
            incarnation,
            |(state, now)| state == "alive" && *now > before,
        );
        before = known.1;
        put(a.client(), "colour", &format!("clean: {clean}"));
        arrives(b.client(), "colour", &format!("clean: {clean}"));
    }
}

#[test]
fn time_zone_and_language_of_the_host_change_nothing() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let member = cluster
        .member(&host, "a")
        .setting("TZ", "Asia/Kathmandu")
        .setting("LC_ALL", "tr_TR.UTF-8")
        .start();
    put(member.client(), "colour", "blue");
    let told = member
        .client()
        .ask(
            &["--header", "Accept: application/json"],
            "/v1/store/web/colour",
        )
        .json();
    let written = told["written"].as_str().unwrap_or_default().to_owned();
    assert!(written.ends_with('Z'), "{written}");
    let utc = crate::harness::run(&["date", "--utc", "+%Y-%m-%dT%H"]);
    let hour_ago = crate::harness::run(&["date", "--utc", "--date=1 hour ago", "+%Y-%m-%dT%H"]);
    assert!(
        written.starts_with(utc.trim()) || written.starts_with(hour_ago.trim()),
        "{written} is not {utc}"
    );
}

#[test]
fn the_release_has_no_switch_for_its_clock() {
    let program = crate::harness::binary();
    let bytes = std::fs::read(&program).expect("the binary");
    let name = Clock::VARIABLE.as_bytes();
    let is_release = std::env::var_os("GAGGLE_BIN").is_some();
    let found = bytes.windows(name.len()).any(|window| window == name);
    assert_ne!(found, is_release, "{}", program.display());
}
