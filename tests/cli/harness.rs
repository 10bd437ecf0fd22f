//! A member to talk to, and the program to talk with.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use gaggle::io::clock::mono;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// The program, without any variable of ours that this test run may have.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gaggle"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GAGGLE_") {
            command.env_remove(name);
        }
    }
    command
        .env_remove("CLICOLOR_FORCE")
        .env_remove("FORCE_COLOR");
    command
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What is on stdout, if all went well.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        String::from_utf8(self.stdout).expect("stdout is text")
    }

    /// What is on stdout, as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"))
    }

    /// It failed with this code, and said this on stderr; stdout stayed empty.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, part: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(part), "{part}: {self:?}");
        assert_eq!(String::from_utf8_lossy(&self.stdout), "");
    }
}

/// Runs a command line that needs no member.
pub(crate) fn run<const N: usize>(args: [&str; N]) -> Ran {
    // In a directory without data, so that nothing is found by chance.
    let dir = TempDir::new().expect("a directory");
    let output = program()
        .args(args)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output();
    Ran::of(output.expect("the program runs"))
}

/// Waits until `what` gives something.
#[track_caller]
pub(crate) fn wait_for<T>(name: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let start = mono();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(mono().since(start) < PATIENCE, "waited in vain for {name}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A member that runs alone on the loopback.
pub(crate) struct Member {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl Member {
    /// Starts one that makes its own secret and password.
    pub(crate) fn start() -> Self {
        Self::start_with(&["serve"], &[])
    }

    /// Starts one whose strong side works, alone.
    pub(crate) fn start_strong() -> Self {
        let member = Self::start_with(&["serve"], &["--cluster-size", "1"]);
        member.wait_for_leader();
        member
    }

    /// Waits until somebody leads the group of its strong side.
    pub(crate) fn wait_for_leader(&self) {
        wait_for("a leader", || {
            (self.run(["quorum"]).code == 0).then_some(())
        });
    }

    /// Starts one by `words`, with further flags.
    pub(crate) fn start_with(words: &[&str], flags: &[&str]) -> Self {
        Self::start_among("none", words, flags)
    }

    /// The same, looking for others by `discover`.
    pub(crate) fn start_among(discover: &str, words: &[&str], flags: &[&str]) -> Self {
        let dir = TempDir::new().expect("a directory");
        let (child, port) = launch(dir.path(), discover, words, flags);
        let member = Self { child, dir, port };
        member.wait_until_ready();
        member
    }

    /// Stops it cleanly.
    pub(crate) fn stop(&mut self) {
        drop(self.child.stdin.take());
        let ended = self.child.wait().expect("it can be waited for");
        assert!(ended.success(), "{ended}: {}", self.log());
    }

    /// Starts it again after a stop, looking for others by `discover`, with further flags.
    pub(crate) fn start_again(&mut self, discover: &str, flags: &[&str]) {
        let here = self.data().join("member.json");
        fs::remove_file(here).expect("it was told at the last start");
        (self.child, self.port) = launch(self.dir.path(), discover, &["serve"], flags);
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        wait_for("readiness", || {
            (self.run(["health"]).code == 0).then_some(())
        });
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok();
        let id = id.and_then(Pid::from_raw).expect("a process");
        kill_process(id, signal).expect("it runs");
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A directory for the test's own files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The same as one of the names that `--discover` takes.
    pub(crate) fn seed(&self) -> String {
        format!("static:127.0.0.1:{}", self.port)
    }

    /// What it has logged and told.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).expect("the log")
    }

    /// The program as on the member's host: only the data directory is known.
    pub(crate) fn program(&self) -> Command {
        let mut command = program();
        command
            .env("GAGGLE_DATA", self.data())
            .current_dir(self.dir.path());
        command
    }

    /// Runs a command on the member's host.
    pub(crate) fn run<const N: usize>(&self, args: [&str; N]) -> Ran {
        let output = self.program().args(args).stdin(Stdio::null()).output();
        Ran::of(output.expect("the program runs"))
    }

    /// Runs a command on the member's host that reads `stdin`.
    pub(crate) fn run_with_stdin<const N: usize>(&self, args: [&str; N], stdin: &[u8]) -> Ran {
        let mut child = self
            .program()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut pipe = child.stdin.take().expect("stdin is piped");
        pipe.write_all(stdin).expect("stdin is read");
        drop(pipe);
        Ran::of(child.wait_with_output().expect("the program ends"))
    }
}

/// Starts the program as a member of its own in `dir`; gives it and the port that it listens at.
fn launch(dir: &Path, discover: &str, words: &[&str], flags: &[&str]) -> (Child, u16) {
    let log = fs::File::create(dir.join("log")).expect("a file");
    let mut child = program()
        .args(words)
        .args([
            "--listen",
            "127.0.0.1:0",
            "--name",
            "solo",
            "--discover",
            discover,
        ])
        .args([
            "--interface",
            "lo",
            "--discovery-port",
            &free_udp_port().to_string(),
        ])
        .arg("--data")
        .arg(dir.join("data"))
        .args(flags)
        // However this test ends, the member ends with it.
        .arg("--stop-with-stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the member starts");
    let file = dir.join("data/member.json");
    let port = wait_for("member.json", || {
        if let Ok(Some(status)) = child.try_wait() {
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            panic!("the member ended, {status}: {log}");
        }
        let text = fs::read_to_string(&file).ok()?;
        let member: serde_json::Value = serde_json::from_str(&text).ok()?;
        let listen: std::net::SocketAddr = member["listen"].as_str()?.parse().ok()?;
        Some(listen.port())
    });
    (child, port)
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A UDP port that nobody uses.
pub(crate) fn free_udp_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address").port()
}

/// A TCP port at which nobody answers.
pub(crate) fn closed_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address").port()
}
