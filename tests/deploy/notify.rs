//! What a member tells its service manager: the test is the manager.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{free_udp_port, program};

/// How long a word may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A service manager that started a member.
struct Manager {
    socket: UnixDatagram,
    member: Child,
    dir: tempfile::TempDir,
}

impl Manager {
    fn start(variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let member = program()
            .args(["serve", "--listen", "127.0.0.1:0", "--interface", "lo"])
            .args(["--discover", "none", "--name", "served"])
            .args(["--discovery-port", &free_udp_port().to_string()])
            .arg("--stop-with-stdin")
            .arg("--data")
            .arg(dir.path().join("data"))
            .env("NOTIFY_SOCKET", &path)
            .env_remove("WATCHDOG_USEC")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self {
            socket,
            member,
            dir,
        }
    }

    /// The next word, line by line.
    fn word(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).unwrap_or_else(|why| {
            panic!("{why}: {}", self.log());
        });
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.member.id()).ok().and_then(Pid::from_raw);
        kill_process(id.unwrap(), signal).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(Path::new(self.dir.path()).join("log")).unwrap()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(self.member.kill());
        drop(self.member.wait());
    }
}

#[test]
fn it_tells_when_it_serves_reloads_and_stops() {
    let mut manager = Manager::start(&[]);
    let ready = manager.word();
    assert_eq!(ready[0], "READY=1");
    assert!(
        ready[1].starts_with("STATUS=served serves at 127.0.0.1:"),
        "{ready:?}"
    );
    let file = fs::read(manager.dir.path().join("data/member.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    assert!(
        ready[1].ends_with(file["listen"].as_str().unwrap()),
        "it serves by then"
    );

    manager.signal(Signal::HUP);
    let reloading = manager.word();
    assert_eq!(reloading[0], "RELOADING=1");
    let at = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(at.parse::<u64>().unwrap() > 0, "{reloading:?}");
    assert_eq!(manager.word(), ready);

    manager.signal(Signal::TERM);
    assert_eq!(manager.word(), ["STOPPING=1", "STATUS=stopping"]);
    let ended = manager.member.wait().unwrap();
    assert!(ended.success(), "{}", manager.log());
}

#[test]
fn it_gives_signs_of_life_as_often_as_they_are_wanted() {
    let manager = Manager::start(&[("WATCHDOG_USEC", "200000")]);
    let mut before = None;
    for _ in 0..5 {
        while manager.word() != ["WATCHDOG=1"] {}
        let now = gaggle::io::clock::mono();
        if let Some(before) = before {
            // Half of 200 ms, and what a busy machine adds; the manager would not wait longer.
            assert!(now.since(before) < Duration::from_secs(2));
        }
        before = Some(now);
    }
    manager.signal(Signal::STOP);
    manager
        .socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut bytes = [0; 64];
    // At most what was on its way.
    let late = (0..3)
        .filter(|_| manager.socket.recv(&mut bytes).is_ok())
        .count();
    assert!(late < 3, "a member that is stopped gives no sign");
    manager.signal(Signal::CONT);
}

#[test]
fn another_processs_watchdog_is_none_of_its_business() {
    let manager = Manager::start(&[("WATCHDOG_USEC", "20000"), ("WATCHDOG_PID", "1")]);
    assert_eq!(manager.word()[0], "READY=1");
    manager.signal(Signal::TERM);
    assert_eq!(manager.word()[0], "STOPPING=1");
}

#[test]
fn a_manager_that_does_not_hear_is_no_reason_to_end() {
    let manager = Manager::start(&[("NOTIFY_SOCKET", "/nowhere/notify")]);
    crate::harness::wait_for("a member that serves", || {
        manager
            .log()
            .contains("the service manager does not hear")
            .then_some(())
    });
    manager.signal(Signal::TERM);
    let mut manager = manager;
    assert!(
        manager.member.wait().unwrap().success(),
        "{}",
        manager.log()
    );
}
