//! What makes two nodes of czmq swap values for ever: conflicts and rings. With the face between
//! them all agree and fall silent.

use super::*;

/// Waits until nothing more is sent and received by the face for a while.
fn falls_silent(member: &Member) {
    let traffic = || {
        let of = |name| counter(member, name);
        (of("tuples_received"), of("tuples_sent"))
    };
    let ask = || {
        let before = traffic();
        idle(quiet());
        (before, traffic())
    };
    until("the face is silent", seconds(30), ask, |(before, after)| {
        before == after
    });
}

#[test]
fn conflicting_publishers_on_both_sides_agree_and_fall_silent() {
    let scene = Scene::new();
    let mut server = scene.node();
    let at = server.bind("tcp://127.0.0.1:*");
    let flags = [
        "--zgossip-bind",
        "tcp://127.0.0.1:*",
        "--zgossip-connect",
        &at,
    ];
    let member = scene.member(&flags);
    let mut client = scene.node();
    client.say(&format!("connect {}", endpoint(&member)));
    server.say("publish ready yes");
    client.has("ready", "yes");
    for round in 0..30 {
        server.say(&format!("publish k s{round}"));
        client.say(&format!("publish k c{round}"));
        put(&member, "k", &format!("m{round}"));
    }
    falls_silent(&member);
    let winner = value(&member, "k");
    server.has("k", &winner);
    client.has("k", &winner);
    let deliveries = (server.heard().deliveries, client.heard().deliveries);
    idle(quiet());
    let later = (server.heard().deliveries, client.heard().deliveries);
    assert_eq!(deliveries, later, "nobody is delivered anything any more");
}

#[test]
fn a_ring_of_two_nodes_and_a_member_delivers_everything_once() {
    let scene = Scene::new();
    let (mut one, mut two) = (scene.node(), scene.node());
    let (at_one, at_two) = (one.bind("tcp://127.0.0.1:*"), two.bind("tcp://127.0.0.1:*"));
    // The nodes of czmq find each other, too: no forgetting among them.
    one.say("timeout 0");
    two.say("timeout 0");
    one.say(&format!("connect {at_two}"));
    let both = format!("{at_one},{at_two}");
    let member = scene.member(&["--zgossip-connect", &both]);
    for round in 0..100 {
        one.say(&format!("publish one-{round} 1"));
        two.say(&format!("publish two-{round} 2"));
    }
    for round in 0..20 {
        put(&member, &format!("ours-{round}"), "3");
    }
    for node in [&one, &two] {
        let ask = || node.heard().tuples.len();
        until("the node has all", SOON, ask, |count| *count == 220);
    }
    let ask = || status(&member)["tuples"].clone();
    until("the member has all", SOON, ask, |count| *count == 220);
    falls_silent(&member);
    assert_eq!(one.heard().deliveries, 220);
    assert_eq!(two.heard().deliveries, 220);
    assert!(counter(&member, "tuples_written") >= 200);
}
