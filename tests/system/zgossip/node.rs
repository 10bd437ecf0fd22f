//! A node of czmq's zgossip: a process that is told what to do and says what it is delivered.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use crate::harness::{Host, scratch, until};

/// A node; killed when dropped, as by `kill -9`.
pub(super) struct Node {
    child: Child,
    input: Option<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
}

/// What the node said.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// Its tuples, as they were delivered last.
    pub(super) tuples: BTreeMap<String, String>,
    /// How often it was delivered any.
    pub(super) deliveries: u64,
    port: Option<u16>,
}

/// The program, compiled once in each run.
fn program() -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = scratch();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/zgossip/node.c");
        let compiled = Command::new("gcc")
            .args(["-Wall", "-Wextra", "-Werror", "-O1", "-o"])
            .arg(folder.path().join("node"))
            .args([source, "-lczmq", "-lzmq"])
            .output()
            .expect("gcc runs");
        let said = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "libczmq-dev is needed: {said}");
        folder
    });
    folder.path().join("node")
}

impl Node {
    /// Starts a node on a host.
    pub(super) fn on(host: &Host) -> Self {
        let program = program();
        let mut child = host
            .command(&[&program.to_string_lossy()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let output = child.stdout.take().expect("a pipe");
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let hears = heard.clone();
        std::thread::Builder::new()
            .spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    hears.lock().expect("no panic").hear(&line);
                }
            })
            .expect("a thread");
        Self {
            input: child.stdin.take(),
            child,
            heard,
        }
    }

    /// Tells it what to do.
    pub(super) fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("a running node");
        writeln!(input, "{line}").expect("a running node");
    }

    /// Has it listen; gives where that is.
    pub(super) fn bind(&mut self, endpoint: &str) -> String {
        self.say(&format!("bind {endpoint}"));
        let ask = || self.heard().port;
        let port = until("the node is bound", super::SOON, ask, Option::is_some);
        format!("tcp://localhost:{}", port.unwrap_or_default())
    }

    /// What it said so far.
    pub(super) fn heard(&self) -> Heard {
        self.heard.lock().expect("no panic").clone()
    }

    /// Waits until it was delivered this.
    pub(super) fn has(&self, key: &str, value: &str) {
        let ask = || self.heard().tuples.get(key).cloned();
        let what = format!("the node has {key}");
        until(&what, super::SOON, ask, |found| {
            found.as_deref() == Some(value)
        });
    }
}

impl Heard {
    fn hear(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let (what, first) = (words.next(), words.next().unwrap_or_default());
        match what {
            Some("deliver") => {
                let value = words.next().unwrap_or_default();
                self.tuples.insert(first.to_owned(), value.to_owned());
                self.deliveries += 1;
            }
            Some("port") => self.port = first.parse().ok(),
            _ => {}
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
