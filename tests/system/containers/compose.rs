//! The compose file: three members that agree, also after all of them got new addresses.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Client, Cluster, Image, Said, ask_docker, run, scratch, seconds, until};

/// A project of compose: this repository's file, with a network that has no way out and with the
/// image under test. Taken down, with its volumes, when dropped.
struct Project {
    name: String,
    folder: tempfile::TempDir,
    cluster: Cluster,
    image: Image,
    hearing: Hearing,
}

/// Docker lets nothing pass on an internal network that is not for an address of it, multicast
/// included. This lets the members of one bridge hear each other's beacons, as they would on an
/// ordinary network; still nothing leaves the bridge.
struct Hearing {
    bridge: String,
}

impl Hearing {
    fn on(bridge: String) -> Self {
        let hearing = Self { bridge };
        hearing.rule("-I");
        hearing
    }

    fn rule(&self, change: &str) {
        let bridge = &self.bridge;
        let rule = ["DOCKER-USER", "-i", bridge, "-o", bridge, "-j", "ACCEPT"];
        run(&[&["iptables", "--wait", change], &rule[..]].concat());
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.rule("-D");
    }
}

impl Project {
    fn new() -> Self {
        let project = Self {
            name: format!("gaggle-test-{}", std::process::id()),
            folder: scratch(),
            cluster: Cluster::new(),
            image: Image::build(),
            hearing: Hearing::on(format!("ggt{}", std::process::id())),
        };
        let service = |name| {
            let tag = project.image.tag();
            let quick = "    restart: \"no\"\n    healthcheck:\n      interval: 1s\n";
            format!("  {name}:\n    image: {tag}\n{quick}")
        };
        let bridge = &project.hearing.bridge;
        let text = format!(
            "services:\n{}networks:\n  gaggle:\n    internal: true\n    driver_opts:\n      \
             com.docker.network.bridge.name: {bridge}\n",
            ["a", "b", "c"].map(service).concat(),
        );
        fs::write(project.folder.path().join("test.yml"), text).expect("a file");
        project
    }

    fn compose(&self, words: &[&str]) -> Said {
        let said = self.try_compose(words, &self.secrets());
        assert!(said.ok, "compose {words:?}: {}{}", said.out, said.err);
        said
    }

    fn secrets(&self) -> BTreeMap<&'static str, String> {
        let password = self.password();
        BTreeMap::from([
            ("GAGGLE_SECRET", self.cluster.secret().to_owned()),
            ("GAGGLE_PASSWORD", password),
            ("GAGGLE_CLUSTER", "test".to_owned()),
        ])
    }

    fn password(&self) -> String {
        format!("compose-{}", self.name)
    }

    fn try_compose(&self, words: &[&str], environment: &BTreeMap<&str, String>) -> Said {
        let program =
            std::env::var("GAGGLE_COMPOSE").unwrap_or_else(|_| "docker-compose".to_owned());
        let mut parts = program.split_whitespace();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker-compose.yml");
        let mut command = Command::new(parts.next().expect("a program"));
        for name in ["GAGGLE_SECRET", "GAGGLE_PASSWORD", "GAGGLE_CLUSTER"] {
            command.env_remove(name);
        }
        command.args(parts).arg("--file").arg(own);
        command
            .arg("--file")
            .arg(self.folder.path().join("test.yml"));
        // A user's own .env file must not be read.
        command.arg("--project-directory").arg(self.folder.path());
        command
            .args(["--project-name", &self.name])
            .args(words)
            .envs(environment);
        command
            .current_dir(self.folder.path())
            .output()
            .expect("compose runs")
            .into()
    }

    fn container(&self, service: &str) -> String {
        self.compose(&["ps", "--quiet", service]).out
    }

    fn address(&self, service: &str) -> String {
        let each = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        ask_docker(&["inspect", "--format", each, &self.container(service)])
    }

    fn clients(&self) -> Vec<Client> {
        let client = |service| {
            let base = format!("https://{}:8000", self.address(service));
            Client::of_machine(
                base,
                self.cluster.ca(),
                format!("admin:{}", self.password()),
            )
        };
        ["a", "b", "c"].map(client).to_vec()
    }

    /// Waits until each of the three believes all three alive, and all hold the same.
    fn agree(&self) -> Vec<Client> {
        for service in ["a", "b", "c"] {
            let id = self.container(service);
            let health = || ask_docker(&["inspect", "--format", "{{.State.Health.Status}}", &id]);
            until(&format!("{service} is healthy"), seconds(90), health, |h| {
                h == "healthy"
            });
        }
        let clients = self.clients();
        let alive = || clients.iter().map(Client::alive).collect::<Vec<_>>();
        until("all three know each other", seconds(60), alive, |all| {
            *all == [3, 3, 3]
        });
        let digests = || clients.iter().map(Client::digest).collect::<Vec<_>>();
        let equal = |all: &Vec<String>| !all[0].is_empty() && all.iter().all(|one| *one == all[0]);
        until("all digests are equal", seconds(40), digests, equal);
        let stores: Vec<String> = clients.iter().map(Client::store).collect();
        assert!(stores.iter().all(|store| *store == stores[0]), "{stores:?}");
        clients
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}",
                self.try_compose(&["logs", "--tail", "30"], &self.secrets())
                    .out
            );
        }
        let down = ["down", "--volumes", "--remove-orphans", "--timeout", "1"];
        let _ = self.try_compose(&down, &self.secrets());
    }
}

#[test]
fn three_members_of_the_compose_file_agree_also_after_all_got_new_addresses() {
    let project = Project::new();
    project.compose(&["up", "--detach", "--no-build"]);
    let clients = project.agree();
    for (number, client) in clients.iter().enumerate() {
        let reply = client.put(&format!("/v1/store/web/from-{number}"), "value");
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    project.agree();
    let before: Vec<String> = ["a", "b", "c"]
        .map(|service| project.address(service))
        .to_vec();
    project.compose(&["down", "--timeout", "15"]);
    // Started in another order, so that addresses are dealt out anew.
    for service in ["c", "a", "b"] {
        project.compose(&["up", "--detach", "--no-build", "--no-deps", service]);
    }
    let clients = project.agree();
    let after: Vec<String> = ["a", "b", "c"]
        .map(|service| project.address(service))
        .to_vec();
    assert_ne!(
        before, after,
        "the addresses did not change, so this showed nothing"
    );
    assert_eq!(
        clients[0].store_json()["web"]
            .as_object()
            .map(serde_json::Map::len),
        Some(3)
    );
    assert_eq!(clients[0].put("/v1/store/web/after", "value").status, 201);
    let clients = project.agree();
    assert_eq!(clients[2].get("/v1/store/web/after").body, "value");
    assert_eq!(
        clients[1].members().len(),
        3,
        "no ghosts of the old addresses"
    );
}

#[test]
fn the_compose_file_says_what_is_missing() {
    let project = Project::new();
    for missing in ["GAGGLE_SECRET", "GAGGLE_PASSWORD"] {
        let mut environment = project.secrets();
        environment.remove(missing);
        let said = project.try_compose(&["config"], &environment);
        assert!(!said.ok, "{missing}: {said:?}");
        assert!(
            said.err.contains(missing) && said.err.contains("is not set"),
            "{said:?}"
        );
    }
}
