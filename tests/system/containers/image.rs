//! The image: what is in it, as whom it runs, and that it is well with every right taken away.

use serde_json::json;

use crate::harness::{Container, Image, ask_docker, seconds, try_docker, until};

#[test]
fn the_image_holds_the_binary_its_licences_and_says_what_it_is() {
    let image = Image::build();
    let config = image.inspect(".Config");
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["WorkingDir"], "/data");
    assert_eq!(config["Entrypoint"], json!(["/gaggle"]));
    assert_eq!(config["Cmd"], json!(["serve"]));
    assert_eq!(config["StopSignal"], "SIGTERM");
    assert_eq!(config["Volumes"], json!({ "/data": {} }));
    assert_eq!(
        config["ExposedPorts"],
        json!({ "8000/tcp": {}, "2900/udp": {} })
    );
    assert_eq!(
        config["Healthcheck"]["Test"],
        json!(["CMD", "/gaggle", "health"])
    );
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(
        (label("version"), label("revision")),
        (json!("1.2.3"), json!("abc"))
    );
    assert_eq!(label("licenses"), "Apache-2.0 AND MPL-2.0");
    for name in [
        "title",
        "description",
        "source",
        "created",
        "vendor",
        "documentation",
    ] {
        assert!(
            label(name).as_str().is_some_and(|text| !text.is_empty()),
            "no label {name}"
        );
    }
    let size = image.inspect(".Size").as_u64().expect("a size");
    assert!(size < 30 << 20, "the image has {size} bytes");
    assert_eq!(
        files_in(&image),
        [
            "gaggle",
            "licenses/LICENSE",
            "licenses/MPL-2.0.txt",
            "licenses/NOTICE"
        ]
    );
}

/// The files that the image itself brings; docker adds a few empty ones of its own.
fn files_in(image: &Image) -> Vec<String> {
    let id = ask_docker(&["create", image.tag()]);
    let listed = crate::harness::run(&[
        "sh",
        "-c",
        &format!("{} export {id} | tar --list", crate::harness::docker()),
    ]);
    ask_docker(&["rm", "--force", "--volumes", &id]);
    let own = |name: &&str| name.starts_with("gaggle") || name.starts_with("licenses/");
    let mut files: Vec<String> = listed
        .lines()
        .filter(own)
        .filter(|name| !name.ends_with('/'))
        .map(str::to_owned)
        .collect();
    files.sort();
    files
}

#[test]
fn a_container_without_any_right_turns_healthy_and_stops_cleanly() {
    let image = Image::build();
    let container = Container::start(&image, &[], &[]);
    until(
        "the container is healthy",
        seconds(60),
        || container.health(),
        |h| h == "healthy",
    );
    assert_eq!(container.identity(), (65532, 65532));
    assert_eq!(container.capabilities(), "0000000000000000");
    let client = container.client();
    assert_eq!(client.put("/v1/store/web/colour", "blue").status, 201);
    ask_docker(&["stop", "--time", "15", container.id()]);
    assert_eq!(
        container.inspect(".State.ExitCode"),
        "0",
        "{}",
        container.logs()
    );
    ask_docker(&["start", container.id()]);
    let client = container.client();
    let value = || client.get("/v1/store/web/colour").body;
    until("the volume kept the value", seconds(30), value, |value| {
        value == "blue"
    });
}

#[test]
fn a_bare_word_after_the_image_is_the_cluster_id() {
    let image = Image::build();
    let container = Container::start(&image, &[], &["my-own-cluster"]);
    until(
        "the container is healthy",
        seconds(60),
        || container.health(),
        |h| h == "healthy",
    );
    let mut client = container.client();
    client.ca = container.authority(&[("GAGGLE_CLUSTER", "my-own-cluster")]);
    let status = client.get("/v1/status");
    assert_eq!(status.json()["cluster"], "my-own-cluster", "{status:?}");
}

#[test]
fn a_wrong_word_is_told_in_one_line_and_creates_nothing() {
    let image = Image::build();
    let said = try_docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        image.tag(),
        "serve",
        "--no-such-flag",
    ]);
    assert!(!said.ok);
    assert!(said.err.contains("--no-such-flag"), "{said:?}");
    assert!(!said.err.contains("panicked"), "{said:?}");
}
