//! Clients of gaggle 0.7 on two members: what they write at once comes together with one checksum;
//! the block list, and `credentials.json`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{self, Client, Cluster, Lan, Member, Reply, seconds};

const JSON: &str = "Content-Type: application/json";

fn until(what: &str, limit: Duration, is_so: impl FnMut() -> bool) {
    harness::until(what, limit, is_so, |is_so| *is_so);
}

fn post(client: &Client, path: &str) -> Reply {
    client.ask(&["--request", "POST"], path)
}

fn put(client: &Client, path: &str, body: &str) -> Reply {
    client.ask(
        &["--request", "PUT", "--header", JSON, "--data", body],
        path,
    )
}

fn create(client: &Client, key: &str, body: &str) {
    let node = post(client, "/api/store/web").status;
    assert!(matches!(node, 201 | 409), "{node}");
    let path = format!("/api/store/web/{key}");
    assert_eq!(post(client, &path).status, 201, "{key}");
    assert_eq!(put(client, &path, body).status, 200, "{key}");
}

fn sum(member: &Member) -> String {
    member.client().get("/api/status/checksum").body
}

#[test]
fn keys_that_are_made_on_both_at_once_come_together_with_one_checksum() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let members = cluster.start_on(&lan.hosts::<2>());
    std::thread::scope(|scope| {
        for member in &members {
            let name = member.host().address().to_string().replace('.', "-");
            scope.spawn(move || {
                for n in 0..10 {
                    create(member.client(), &format!("{name}-{n}"), r#"{"value":"1"}"#);
                }
            });
        }
    });
    until("both have one checksum", seconds(20), || {
        sum(&members[0]) == sum(&members[1])
    });
    let text = members[0].client().get("/api/store").body;
    assert_eq!(members[1].client().get("/api/store").body, text);
    assert_eq!(text.matches(":1").count(), 20, "{text}");
    let isolated = members[1].client().get("/api/status").json()["isolated"].clone();
    assert_eq!(isolated, false);
}

/// Whether this member pushes to its only peer: then it knows how far that is behind.
fn pushes(member: &Member) -> bool {
    let all = member.client().get("/v1/members").json();
    let members = all["members"].as_array().cloned().unwrap_or_default();
    let peer = members.iter().find(|member| member["self"] == false);
    peer.is_some_and(|peer| peer["state"] == "alive" && !peer["lag_ms"].is_null())
}

#[test]
fn nothing_is_pushed_to_an_address_on_the_block_list_also_after_a_restart() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let hosts = lan.hosts::<2>();
    let mut members = cluster.start_on(&hosts);
    until("it pushes", seconds(10), || pushes(&members[0]));
    let add = format!("/api/config/blacklist/add/{}", hosts[1].address());
    assert_eq!(post(members[0].client(), &add).status, 200);
    until("it pushes no more", seconds(10), || !pushes(&members[0]));
    assert!(pushes(&members[1]), "the list is one member's own");
    // The other one asks for what it lacks.
    create(members[0].client(), "colour", r#"{"value":"blue"}"#);
    until("it comes all the same", seconds(20), || {
        members[1].client().get("/api/store/web/colour").body == "blue"
    });

    members[0].stop();
    members[0] = cluster.member(&hosts[0], "a").start();
    members[0].wait_alive(2);
    let config = members[0].client().get("/api/config").json();
    assert_eq!(config["blacklist"][0], hosts[1].address().to_string());
    assert!(!pushes(&members[0]));
    let del = add.replace("/add/", "/del/");
    assert_eq!(post(members[0].client(), &del).status, 200);
    until("it pushes again", seconds(10), || pushes(&members[0]));
}

#[test]
fn credentials_of_the_original_are_taken_warned_of_and_read_again() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let data = cluster.data("a");
    fs::create_dir(&data).expect("a directory");
    let file = data.join("credentials.json");
    let write = |text: &str| fs::write(&file, text).expect("a file");
    write(r#"{"user":"ann","password":"goose"}"#);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    // An empty variable is none.
    let member = cluster
        .member(&host, "a")
        .setting("GAGGLE_PASSWORD", "")
        .start();
    let ask = |user: &str| {
        let client = Client::of_host(
            &host,
            member.client().base.clone(),
            cluster.ca(),
            user.to_owned(),
        );
        client.get("/api/store").status
    };
    assert_eq!(ask("ann:goose"), 200);
    assert_eq!(ask("admin:goose"), 401);
    let said = member.said();
    assert!(
        said.contains("others on this host can read the password"),
        "{said}"
    );
    assert!(!said.contains("goose"), "{said}");

    write(r#"{"user":"bob","password":"gander"}"#);
    member.signal(Signal::HUP);
    until("the new ones count", seconds(10), || {
        ask("bob:gander") == 200
    });
    assert_eq!(ask("ann:goose"), 401);
    write("{\"user\":");
    member.signal(Signal::HUP);
    until("it says that they are broken", seconds(10), || {
        member.said().contains("credentials.json: at line 1")
    });
    assert_eq!(ask("bob:gander"), 200);
    drop(member);

    let refused = cluster
        .member(&host, "a")
        .setting("GAGGLE_PASSWORD", "")
        .refused();
    let said = format!("{refused:?}");
    assert!(said.contains("credentials.json: at line 1"), "{said}");
}
