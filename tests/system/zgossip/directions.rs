//! czmq connects to the face, the face connects to czmq, and each is away for a while.

use super::*;

#[test]
fn a_node_of_czmq_connects_and_tuples_go_both_ways() {
    let scene = Scene::new();
    let member = scene.member(&["--zgossip-bind", "tcp://127.0.0.1:*"]);
    put(&member, "base-key", "base-val");
    let mut node = scene.node();
    node.say("publish alpha-pre v0");
    node.say(&format!("connect {}", endpoint(&member)));
    has(&member, "alpha-pre", "v0");
    node.has("base-key", "base-val");
    put(&member, "later", "by another face");
    node.has("later", "by another face");
    node.say("publish k1 value one");
    has(&member, "k1", "value one");
    node.say("publish big @200000");
    has(&member, "big", &"x".repeat(200_000));
    // A node of czmq says nothing while it has nothing to say, and is not forgotten for it.
    idle(IDLE);
    put(&member, "after-idle", "ours");
    node.say("publish after-idle-alpha A");
    node.has("after-idle", "ours");
    has(&member, "after-idle-alpha", "A");
    let shown = status(&member);
    assert_eq!(shown["tuples"], 7, "{shown}");
    assert_eq!(shown["connections"], 1, "{shown}");
    assert_eq!(counter(&member, "connections_accepted"), 1);
    assert_eq!(counter(&member, "malformed"), 0);
    assert_eq!(value(&member, "k1"), "value one");
}

#[test]
fn the_face_connects_by_name_and_comes_back_when_the_node_was_restarted() {
    let scene = Scene::new();
    let mut node = scene.node();
    node.say("publish base-key base-val");
    let server = node.bind("tcp://127.0.0.1:*");
    let member = scene.member(&["--zgossip-connect", &server]);
    has(&member, "base-key", "base-val");
    put(&member, "ours", "1");
    node.has("ours", "1");
    // czmq's server forgets after a second who says nothing: the face says PING.
    idle(IDLE);
    put(&member, "after-idle", "ours");
    node.say("publish after-idle-base theirs");
    node.has("after-idle", "ours");
    has(&member, "after-idle-base", "theirs");
    drop(node);
    let waits = || status(&member)["connect"][0]["state"].clone();
    until("the server is lost", SOON, waits, |state| {
        *state == "waiting"
    });
    put(&member, "meanwhile", "2");
    let mut node = scene.node();
    node.bind(&server.replace("localhost", "127.0.0.1"));
    node.has("meanwhile", "2");
    node.has("base-key", "base-val");
    node.say("publish again theirs");
    has(&member, "again", "theirs");
    assert_eq!(status(&member)["connect"][0]["state"], "connected");
}

#[test]
fn a_member_that_was_restarted_has_its_tuples_and_its_nodes_back() {
    let scene = Scene::new();
    let flags = ["--zgossip-bind", "tcp://127.0.0.1:5670"];
    let member = scene.member(&flags);
    let mut node = scene.node();
    node.say("publish theirs 1");
    node.say("connect tcp://127.0.0.1:5670");
    has(&member, "theirs", "1");
    put(&member, "ours", "1");
    node.has("ours", "1");
    drop(member);
    node.say("publish theirs 2");
    let member = scene.member(&flags);
    has(&member, "theirs", "2");
    assert_eq!(value(&member, "ours"), "1");
    put(&member, "ours", "2");
    node.has("ours", "2");
}

#[test]
fn a_unix_socket_serves_and_one_left_by_a_killed_member_is_taken_over() {
    let scene = Scene::new();
    let path = scene.cluster.data("socket");
    let endpoint = format!("ipc://{}", path.display());
    let flags = ["--zgossip-bind", &endpoint];
    drop(scene.member(&flags));
    assert!(path.exists(), "a member that is killed leaves its socket");
    let member = scene.member(&flags);
    let mut node = scene.node();
    node.say("publish theirs 1");
    node.say(&format!("connect {endpoint}"));
    has(&member, "theirs", "1");
    put(&member, "ours", "1");
    node.has("ours", "1");
    let second = scene
        .cluster
        .member(&scene.host, "b")
        .at_port(8001)
        .with(&flags)
        .refused();
    assert!(second.said.contains("zgossip"), "{}", second.said);
    put(&member, "ours", "2");
    node.has("ours", "2");
}

#[test]
fn a_deleted_key_is_not_brought_back_by_who_still_has_it() {
    let scene = Scene::new();
    let member = scene.member(&["--zgossip-bind", "tcp://127.0.0.1:*"]);
    let mut first = scene.node();
    first.say(&format!("connect {}", endpoint(&member)));
    first.say("publish gone 1");
    has(&member, "gone", "1");
    let path = "/v1/store/zgossip/gone";
    assert_eq!(member.client().delete(path).status, 204);
    // Another one comes and says it, and both go on.
    let mut second = scene.node();
    second.say("publish gone 1");
    second.say(&format!("connect {}", endpoint(&member)));
    second.say("publish sign here");
    has(&member, "sign", "here");
    first.has("sign", "here");
    // What both had, and the word that one said and the other repeated.
    let ask = || counter(&member, "tuples_received");
    until("all was said", SOON, ask, |count| *count == 4);
    assert_eq!(value(&member, "gone"), "");
    // What changes there is news again.
    first.say("publish gone 2");
    has(&member, "gone", "2");
    second.has("gone", "2");
}
