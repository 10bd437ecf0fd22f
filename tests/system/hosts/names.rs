//! Members that find each other by a name server and by a file; name servers that change and fail.

use std::net::Ipv4Addr;

use super::discovery::agree;
use crate::harness::{Cluster, Host, Lan, Member, Mood, NameServer, seconds, throughout, until};

const NAME: &str = "gaggle.test";
const SERVICE: &str = "_gaggle._tcp.gaggle.test";

/// A member that looks for others only by `discover`, asking this name server.
fn start(
    cluster: &Cluster,
    server: &NameServer,
    (host, name): (&Host, &str),
    discover: &str,
) -> Member {
    let member = cluster.member(host, name).under(server.wrapper());
    member.with(&["--discover", discover]).start()
}

/// What the member tells of one of its ways.
fn way(member: &Member, way: &str) -> serde_json::Value {
    let status = member.client().get("/v1/status").json();
    let ways = status["discovery"].as_array().cloned().unwrap_or_default();
    let found = ways.into_iter().find(|known| known["way"] == way);
    found.unwrap_or_default()
}

#[test]
fn members_find_each_other_by_a_name_whose_addresses_come_and_change() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let [servers, a, b, mut c] = lan.hosts();
    let server = NameServer::on(&servers);
    let discover = format!("dns:{NAME}");
    let begin = |host: &Host, name: &str| start(&cluster, &server, (host, name), &discover);
    let at = |hosts: &[&Host]| {
        let all: Vec<Ipv4Addr> = hosts.iter().map(|host| host.address()).collect();
        server.addresses(NAME, &all);
    };
    // One after the other, as pods of a service come up.
    let mut members = Vec::new();
    let hosts = [&a, &b, &c];
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        members.push(begin(hosts[number], name));
        at(&hosts[..=number]);
        for member in &members {
            member.wait_alive(number + 1);
        }
    }
    assert_eq!(
        members[1]
            .client()
            .put("/v1/store/web/colour", "blue")
            .status,
        201
    );
    agree(&members);

    // It moves, and finds nobody by itself: only the name tells the others where it is now.
    members[2].crash();
    c.move_to(33);
    at(&[&c]);
    members[2] = begin(&c, "c");
    for member in &members {
        member.wait_alive(3);
    }
    let found = || way(&members[0], &discover)["found"].clone();
    let led = until("the way tells where it led", seconds(30), found, |found| {
        found[0]["outcome"] == "member"
    });
    assert_eq!(led[0]["address"], "10.77.1.33:8000");
    assert_eq!(led[0]["member"], "c");

    // No name any more: nobody to dial, and nobody who goes.
    server.forget(NAME);
    server.wait_asked(9);
    let gone = || way(&members[0], &discover);
    let empty = |way: &serde_json::Value| way["found"].as_array().is_some_and(Vec::is_empty);
    let told = until("the name is gone", seconds(30), gone, empty);
    assert!(told["trouble"].is_null(), "{told}");
    throughout(seconds(3), || {
        for member in &members {
            member.wait_alive(3);
        }
    });
}

#[test]
fn members_at_other_ports_find_each_other_by_the_records_of_a_service() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let [servers, one, other] = lan.hosts();
    let server = NameServer::on(&servers);
    server.addresses("one.gaggle.test", &[one.address()]);
    server.addresses("other.gaggle.test", &[other.address()]);
    let at = [(8001, "one.gaggle.test"), (8002, "other.gaggle.test")];
    server.service(SERVICE, &at);
    let discover = format!("dns:{SERVICE}");
    let begin = |host: &Host, name: &str, port: u16| {
        let member = cluster.member(host, name).at_port(port);
        let member = member.under(server.wrapper());
        member.with(&["--discover", &discover]).start()
    };
    let members = [begin(&one, "a", 8001), begin(&other, "b", 8002)];
    for member in &members {
        member.wait_alive(2);
    }
    let found = || way(&members[0], &discover)["found"].clone();
    let led = |found: &serde_json::Value| {
        found[0]["outcome"] == "itself" && found[1]["outcome"] == "member"
    };
    let found = until("the way tells where it led", seconds(30), found, led);
    assert_eq!(found[0]["address"], "10.77.0.2:8001");
    assert_eq!(found[1]["address"], "10.77.0.3:8002");
    agree(&members);
}

#[test]
fn a_name_server_that_fails_is_told_once_and_other_ways_go_on() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let [servers, a, b] = lan.hosts();
    let server = NameServer::on(&servers);
    server.mood(Mood::Failing);
    let dns = format!("dns:{NAME}");
    let file = cluster.data("peers");
    let both = format!("{dns},file:{}", file.display());
    let members = [
        start(&cluster, &server, (&a, "a"), &both),
        start(&cluster, &server, (&b, "b"), &both),
    ];
    // Neither way leads anywhere yet; both are told.
    let troubles = || way(&members[0], &dns)["trouble"].to_string();
    until("the failure is told", seconds(30), troubles, |told| {
        told.contains("no name server told it")
    });
    assert_eq!(members[0].client().members().len(), 1);
    // A file that appears, with a bad line.
    std::fs::write(&file, "# here\n10.77.0.2\n10.77.0.3:8000\nno host\n").expect("a file");
    for member in &members {
        member.wait_alive(2);
    }
    let doctor = cluster.ask(&a, members[0].client(), &["doctor"]);
    for part in [
        "led to b at 10.77.0.3:8000",
        "line 4: ",
        "no name server told it",
    ] {
        assert!(doctor.contains(part), "no {part:?} in:\n{doctor}");
    }
    // It answers nothing at all, for some questions; then it is well.
    server.mood(Mood::Silent);
    server.wait_asked(6);
    for member in &members {
        member.wait_alive(2);
        let said = member.said();
        let told = said
            .lines()
            .filter(|line| line.contains("WARN") && line.contains(&dns));
        assert_eq!(told.count(), 1, "once, not each time:\n{said}");
    }
    server.addresses(NAME, &[a.address(), b.address()]);
    server.mood(Mood::Well);
    let led = || way(&members[0], &dns)["found"][1]["outcome"].to_string();
    until("the name leads somewhere", seconds(60), led, |outcome| {
        outcome == "\"member\""
    });
    agree(&members);
}
