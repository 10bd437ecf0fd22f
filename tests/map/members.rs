//! Two members: what is written at one face is read at the other's, and over `/v1`.

use std::fs;

use crate::client::{Line, ask, car, place};
use crate::harness::{Member, wait_for};

/// A second member of the first one's cluster, with a map face.
fn beside(one: &Member, flags: &[&str]) -> Member {
    let kept = |name: &str| {
        let copy = one.dir().join(name);
        fs::copy(one.data().join(name), &copy).unwrap();
        copy.to_str().unwrap().to_owned()
    };
    let (secret, password) = (kept("secret"), kept("password"));
    let mut all = vec!["--secret-file", &secret, "--password-file", &password];
    all.extend_from_slice(&["--map-listen", "127.0.0.1:0"]);
    all.extend_from_slice(flags);
    Member::start_among(&one.seed(), &["serve"], &all)
}

#[test]
fn a_write_at_one_member_is_read_at_the_other_by_both_faces() {
    let one = car(&[]);
    let two = beside(&one, &[]);
    assert_ne!(place(&one), place(&two));
    ask(&one, "PUT", "/map?k=colour", b"blue").is(201);
    let read = |member: &Member, key: &str| {
        let answer = ask(member, "GET", &format!("/map/{key}"), b"");
        (answer.status == 200).then(|| answer.text().to_owned())
    };
    let there = wait_for("the value at the other member", || read(&two, "colour"));
    assert_eq!(there, "blue");
    let password = one.data().join("password");
    let password = password.to_str().unwrap();
    let two_runs = |words: [&str; 4]| {
        let [a, b, c, d] = words;
        two.run([a, b, c, d, "--password-file", password])
    };
    // The command reads it over /v1/store/map/colour.
    assert_eq!(two_runs(["get", "map", "colour", "-oraw"]).text(), "blue");
    let known = two_runs(["get", "map", "colour", "-ojson"]).json();
    assert_eq!(known["author"], "map");
    assert_eq!(two_runs(["set", "map", "size", "7"]).code, 0);
    assert_eq!(wait_for("what /v1 wrote", || read(&one, "size")), "7");
    ask(&two, "DELETE", "/map?k=colour", b"").is(204);
    wait_for("the deletion", || {
        read(&one, "colour").is_none().then_some(())
    });
    let stat = |member: &Member, name: &str| -> u64 {
        let answer = ask(member, "GET", "/stats", b"");
        let line = answer.text().lines().find(|line| line.starts_with(name));
        line.unwrap().split_once('=').unwrap().1.parse().unwrap()
    };
    for member in [&one, &two] {
        wait_for("exchanges both ways", || {
            (stat(member, "nOutSyncs") > 0 && stat(member, "nInSyncs") > 0).then_some(())
        });
    }
}

#[test]
fn a_write_that_was_acknowledged_is_there_after_a_restart_and_not_overwritten() {
    let mut one = car(&[]);
    let two = beside(&one, &[]);
    for value in ["1", "2", "3"] {
        ask(&one, "PUT", "/map?k=count", value.as_bytes());
    }
    wait_for("the value at the other member", || {
        (ask(&two, "GET", "/map/count", b"").body == b"3").then_some(())
    });
    one.stop();
    let again = two.seed();
    one.start_again(&again, &["--map-listen", "127.0.0.1:0"]);
    ask(&one, "PUT", "/map?k=count", b"fresh").is(204);
    wait_for("the newer value", || {
        (ask(&two, "GET", "/map/count", b"").body == b"fresh").then_some(())
    });
    assert_eq!(ask(&one, "GET", "/map/count", b"").text(), "fresh");
}

#[test]
fn the_node_may_be_another_one_and_a_strong_one() {
    let member = Member::start_with(
        &["serve"],
        &[
            "--cluster-size",
            "1",
            "--map-listen",
            "127.0.0.1:0",
            "--map-node",
            "car",
        ],
    );
    member.wait_for_leader();
    assert_eq!(
        member
            .run(["set", "--class", "strong", "car", "made", "by-hand"])
            .code,
        0
    );
    let mut line = Line::to(&member);
    assert_eq!(line.ask("GET", "/map/made", b"").text(), "by-hand");
    line.ask("PUT", "/map?k=a", b"1").is(201);
    line.ask("PUT", "/map?k=a", b"2").is(204);
    assert_eq!(
        line.ask("GET", "/map?k=made&k=none&k=a", b"").text(),
        "made=by-hand\na=2\n"
    );
    let listed = member.run(["ls", "car", "-o", "json"]).text();
    assert!(listed.contains("made") && listed.contains('a'), "{listed}");
    line.ask("DELETE", "/map?k=a", b"").is(204);
    line.ask("GET", "/map?k=a", b"").is(404);
}
