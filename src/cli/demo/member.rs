//! One member's process.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, ChildStdin, Command};

use super::place::Place;
use crate::config::Hidden;
use crate::io::tls::Secret;

/// How long a member may take to stop cleanly.
const STOPPING: Duration = Duration::from_secs(10);
/// How many lines of its log are shown when a member failed.
const LAST_LINES: usize = 5;

/// A running member. It stops when its stdin closes: so it never outlives us, whatever ends us.
pub(super) struct Member {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl Member {
    /// Starts the member `name` with its API at `port` of the loopback.
    pub(super) fn start(
        name: &'static str,
        port: u16,
        place: &Place,
        secret: &Secret,
        password: &Hidden,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let log = place.directory().join(format!("{name}.log"));
        let log_file = File::create(&log)?;
        let mut command = Command::new(program);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("GAGGLE_") {
                command.env_remove(variable);
            }
        }
        let mut child = command
            .args(["serve", "--stop-with-stdin", "--cluster", "demo"])
            .args(["--name", name])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--interface", "lo", "--discover", "multicast"])
            .args(["--voters", &super::NAMES.join(",")])
            .args(["--discovery-port", &place.discovery_port.to_string()])
            .arg("--data")
            .arg(place.directory().join(name))
            .env("GAGGLE_SECRET", secret.reveal())
            .env("GAGGLE_PASSWORD", password.reveal())
            .current_dir(place.directory())
            .stdin(Stdio::piped())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            // Ctrl-C is for us alone: we stop the members in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("a member cannot be started")?;
        let stdin = child.stdin.take();
        Ok(Self {
            name,
            child,
            stdin,
            log,
        })
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Its process id, as long as it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last lines of its log.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(LAST_LINES)..);
        let tail = tail.unwrap_or_default().join("\n  ");
        format!("the log of {} ends with\n  {tail}", self.name)
    }

    /// Stops it cleanly, or at once if that takes too long.
    pub(super) async fn stop(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(STOPPING, self.child.wait())
            .await
            .is_err()
        {
            // It may just have ended by itself.
            let _ = self.child.kill().await;
        }
    }
}

/// The last lines of all logs.
pub(super) fn last_words(members: &[Member]) -> String {
    let words: Vec<String> = members.iter().map(Member::last_words).collect();
    words.join("\n")
}
