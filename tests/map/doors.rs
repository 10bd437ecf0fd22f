//! Where the face listens, whom it refuses, and the variables of a gossipcar's pod.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::client::{Line, ask, car};
use crate::harness::{Member, Ran, closed_port, free_udp_port, program, wait_for};

#[test]
fn it_is_off_unless_it_is_asked_for() {
    let member = Member::start_with(&["serve"], &[]);
    let text = std::fs::read_to_string(member.data().join("member.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(file.get("map"), None);
}

#[test]
fn an_address_that_others_reach_is_refused_without_a_second_flag() {
    for place in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        // Should it start after all, it must not reach out of this host.
        let port = free_udp_port().to_string();
        let output = program()
            .args(["serve", "--listen", "127.0.0.1:0", "--map-listen", place])
            .args(["--interface", "lo", "--discover", "none"])
            .args(["--discovery-port", &port, "--stop-with-stdin", "--data"])
            .arg(tempfile::tempdir().unwrap().path().join("data"))
            .stdin(Stdio::null())
            .output();
        let refused = Ran::of(output.unwrap());
        refused.failed(2, "without a password; give --map-expose");
        assert!(refused.stderr.contains(place), "{}", refused.stderr);
    }
    let member = Member::start_with(&["serve"], &["--map-listen", "0.0.0.0:0", "--map-expose"]);
    ask(&member, "PUT", "/map?k=a", b"1").is(201);
    assert!(
        member
            .log()
            .contains("without a password, to whoever reaches it"),
        "{}",
        member.log()
    );
}

#[test]
fn a_port_that_is_taken_is_told_with_the_flag_that_chooses_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let output = program()
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--interface",
            "lo",
            "--discover",
            "none",
        ])
        .args(["--map-listen", &place, "--data"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output();
    let refused = Ran::of(output.unwrap());
    refused.failed(1, "--map-listen chooses another address");
}

#[test]
fn pages_in_browsers_are_refused() {
    let member = car(&[]);
    let mut line = Line::to(&member);
    line.ask("PUT", "/map?k=a", b"1").is(201);
    let page = "Origin: http://evil.example\r\n";
    line.ask_with("PUT", "/map?k=a", page, b"stolen").is(403);
    line.ask_with("GET", "/map?k=a", "Sec-Fetch-Site: cross-site\r\n", b"")
        .is(403);
    line.send(b"GET /map?k=a HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    let rebound = line.answer("GET");
    rebound.is(403);
    assert!(
        rebound.text().contains("no name of the loopback"),
        "{}",
        rebound.text()
    );
    assert_eq!(line.ask("GET", "/map?k=a", b"").text(), "a=1\n");
}

/// What `gaggle config` shows with these variables.
fn shown(variables: &[(&str, &str)]) -> serde_json::Value {
    let dir = tempfile::tempdir().unwrap();
    let output = pod(variables)
        .args(["config", "-o", "json"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output();
    Ran::of(output.unwrap()).json()
}

fn pod(variables: &[(&str, &str)]) -> Command {
    let mut command = program();
    command.envs(variables.iter().copied());
    command
}

#[test]
fn the_variables_of_a_gossipcar_are_taken_and_shown_with_where_they_came_from() {
    let config = shown(&[
        ("CLIENT_PORT", "8080"),
        ("MY_POD_IP", "10.1.2.3"),
        ("MY_POD_NAME", "car-0"),
    ]);
    for (setting, value, source) in [
        ("map-listen", "8080", "variable CLIENT_PORT"),
        ("advertise", "10.1.2.3", "variable MY_POD_IP"),
        ("name", "car-0", "variable MY_POD_NAME"),
        ("discover", "multicast", "default"),
    ] {
        let told = (&config[setting]["value"], &config[setting]["source"]);
        assert_eq!(told, (&value.into(), &source.into()), "{setting}");
    }
}

#[test]
fn our_own_variables_win_and_a_pods_name_alone_means_nothing() {
    let config = shown(&[
        ("CLIENT_PORT", "8080"),
        ("GAGGLE_MAP_LISTEN", "127.0.0.1:81"),
        ("MY_POD_NAME", "car-0"),
        ("GAGGLE_NAME", "mine"),
    ]);
    assert_eq!(config["map-listen"]["source"], "variable GAGGLE_MAP_LISTEN");
    assert_eq!(config["name"]["value"], "mine");
    let config = shown(&[
        ("MY_POD_IP", "10.1.2.3"),
        ("MY_POD_NAME", "car-0"),
        ("PEER_PORT", "1"),
    ]);
    assert_eq!(config["advertise"]["value"], serde_json::Value::Null);
    assert_ne!(config["name"]["value"], "car-0");
}

#[test]
fn a_port_that_is_none_is_refused_by_the_variables_own_name() {
    let output = pod(&[("CLIENT_PORT", "http")])
        .arg("config")
        .output()
        .unwrap();
    let refused = Ran::of(output);
    refused.failed(2, "CLIENT_PORT is \"http\"");
}

#[test]
fn a_pod_that_ran_a_gossipcar_runs_a_member() {
    let dir = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let port = closed_port();
    let mut child = pod(&[
        ("CLIENT_PORT", &port.to_string()),
        ("PEER_PORT", "46747"),
        ("MY_POD_NAME", "car-0"),
    ])
    .args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--interface",
        "lo",
        "--discover",
        "none",
    ])
    .args(["--discovery-port", &free_udp_port().to_string()])
    .arg("--stop-with-stdin")
    .arg("--data")
    .arg(dir.path().join("data"))
    .stdin(Stdio::piped())
    .stdout(Stdio::null())
    .stderr(log)
    .spawn()
    .unwrap();
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
    wait_for("a member of the pod's name", || {
        log().contains("name=car-0").then_some(())
    });
    let place = SocketAddr::from(([127, 0, 0, 1], port));
    TcpStream::connect(place).unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let log = log();
    assert!(log.contains("PEER_PORT=46747 is not used"), "{log}");
}
