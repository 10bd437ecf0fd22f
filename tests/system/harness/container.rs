//! One container with every right taken away, on a network that has no way out.

use std::fs;
use std::path::PathBuf;

use super::client::Client;
use super::image::{Image, ask_docker, try_docker};
use super::member::Cluster;
use super::program::scratch;

/// Removed, with its volume and network, when dropped.
pub(crate) struct Container {
    id: String,
    network: String,
    folder: tempfile::TempDir,
}

impl Container {
    /// Starts the image, read-only and without a single capability, with these options of
    /// `docker run` and these words for gaggle.
    pub(crate) fn start(image: &Image, options: &[&str], words: &[&str]) -> Self {
        let cluster = Cluster::new();
        let network = format!("gaggle-test-{}", std::process::id());
        ask_docker(&["network", "create", "--internal", &network]);
        let secret = format!("GAGGLE_SECRET={}", cluster.secret());
        let hardened = [
            "run",
            "--detach",
            "--network",
            &network,
            "--read-only",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            "--env",
            &secret,
            "--env",
            "GAGGLE_PASSWORD=in-a-container",
            "--health-interval",
            "1s",
        ];
        let all = [&hardened[..], options, &[image.tag()], words].concat();
        let id = ask_docker(&all);
        Self {
            id,
            network,
            folder: scratch(),
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// One field of what docker knows of it, as text.
    pub(crate) fn inspect(&self, field: &str) -> String {
        ask_docker(&["inspect", "--format", &format!("{{{{{field}}}}}"), &self.id])
    }

    /// What its health check says; with what it wrote if it is not running any more.
    pub(crate) fn health(&self) -> String {
        assert_eq!(self.inspect(".State.Running"), "true", "{}", self.logs());
        self.inspect(".State.Health.Status")
    }

    /// All that it wrote.
    pub(crate) fn logs(&self) -> String {
        let said = try_docker(&["logs", &self.id]);
        format!("{}\n{}", said.out, said.err)
    }

    /// User and group of its process, as this machine's kernel sees them.
    pub(crate) fn identity(&self) -> (u32, u32) {
        let of = |field| {
            let line = self.kernel(field);
            line.split_whitespace()
                .next()
                .and_then(|id| id.parse().ok())
                .expect("a number")
        };
        (of("Uid:"), of("Gid:"))
    }

    /// The capabilities that its process has, as a mask.
    pub(crate) fn capabilities(&self) -> String {
        self.kernel("CapEff:")
    }

    fn kernel(&self, field: &str) -> String {
        let pid = self.inspect(".State.Pid");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .expect("a field");
        line.trim().to_owned()
    }

    /// The certificate of the cluster, as the container's own binary prints it.
    pub(crate) fn authority(&self, environment: &[(&str, &str)]) -> PathBuf {
        let set: Vec<String> = environment
            .iter()
            .flat_map(|(name, value)| ["--env".to_owned(), format!("{name}={value}")])
            .collect();
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let pem = ask_docker(&[&["exec"], &set[..], &[&self.id, "/gaggle", "ca"]].concat());
        let file = self.folder.path().join("ca.pem");
        fs::write(&file, pem).expect("a file");
        file
    }

    /// A client on this machine, which is the one place that reaches an internal network.
    pub(crate) fn client(&self) -> Client {
        let address = self.inspect("range .NetworkSettings.Networks}}{{.IPAddress}}{{end");
        let base = format!("https://{address}:8000");
        Client::of_machine(base, self.authority(&[]), "admin:in-a-container".to_owned())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the container said:\n{}", self.logs());
        }
        let _ = try_docker(&["rm", "--force", "--volumes", &self.id]);
        let _ = try_docker(&["network", "rm", &self.network]);
    }
}
