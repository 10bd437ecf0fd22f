//! `gaggle service`: what it writes, as systemd reads it, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Ran, program, run};

/// A binary that every host has, so that systemd finds what the unit runs.
const BINARY: &str = "/bin/true";

struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn service(&self, words: &[&str]) -> Ran {
        let output = program()
            .arg("service")
            .args(words)
            .arg("--root")
            .arg(self.0.path())
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output();
        Ran::of(output.unwrap())
    }

    fn unit(&self) -> PathBuf {
        self.0.path().join("etc/systemd/system/gaggle.service")
    }
}

/// The unit that packages install.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/gaggle.service")
}

#[test]
fn the_unit_is_written_and_removed_and_told_of() {
    let root = Root::new();
    root.service(&["status"]).failed(3, "there is no ");
    root.service(&["remove"])
        .failed(3, "gaggle service install");
    let installed = root.service(&["install", "--binary", "/usr/local/bin/gaggle"]);
    assert_eq!(installed.code, 0, "{installed:?}");
    let (unit, ours) = (fs::read(root.unit()).unwrap(), fs::read(shipped()).unwrap());
    assert!(
        unit == ours,
        "without flags it is the one that packages install"
    );
    let told = root.service(&["status"]);
    assert_eq!(told.code, 0, "{told:?}");
    let again = [
        "install",
        "--binary",
        "/usr/local/bin/gaggle",
        "--name",
        "a b",
        "--repair",
    ];
    assert_eq!(root.service(&again).code, 0);
    let unit = fs::read_to_string(root.unit()).unwrap();
    let line = "ExecStart=/usr/local/bin/gaggle serve \"--name=a b\" --repair=yes\n";
    assert!(unit.contains(line), "{unit}");
    let entries = fs::read_dir(root.unit().parent().unwrap()).unwrap();
    assert_eq!(entries.count(), 1, "nothing is left beside it");
    let removed = root.service(&["remove"]);
    assert!(
        removed.stderr.contains("the data stay in /var/lib/gaggle"),
        "{removed:?}"
    );
    assert!(!root.unit().exists());
}

#[test]
fn another_directory_for_units_is_taken() {
    let root = Root::new();
    let words = [
        "install",
        "--unit-dir",
        "/usr/lib/systemd/system",
        "--binary",
        BINARY,
    ];
    assert_eq!(root.service(&words).code, 0);
    assert!(
        root.0
            .path()
            .join("usr/lib/systemd/system/gaggle.service")
            .is_file()
    );
}

#[test]
fn what_cannot_be_a_service_is_refused_and_nothing_written() {
    let root = Root::new();
    for (flags, part) in [
        (&["--fanout", "x"][..], "--fanout is \"x\""),
        (
            &["--secret", "0123456789abcdef"],
            "everybody on this host can read",
        ),
        (&["--data", "/srv/data"], "leave --data out"),
        (
            &["--tls-cert", "/home/a/c.pem", "--tls-key", "/etc/k.pem"],
            "homes are hidden",
        ),
        (&["--map-listen", "0.0.0.0:80"], "--map-expose"),
    ] {
        let words = [&["install", "--binary", BINARY], flags].concat();
        root.service(&words).failed(2, part);
        assert!(!root.unit().exists());
    }
    run(["service", "start", "--name", "x"]).failed(2, "--name is for \"gaggle service install\"");
}

#[test]
fn without_systemd_it_says_so_and_what_to_do() {
    if Path::new("/run/systemd/system").is_dir() {
        eprintln!("skipped: systemd runs here, and a test does not touch the host's services");
        return;
    }
    for words in [["service", "start"], ["service", "stop"]] {
        run(words).failed(1, "systemd does not run here");
    }
    let refused = run([
        "service",
        "install",
        "--binary",
        BINARY,
        "--unit-dir",
        "/nowhere",
    ]);
    refused.failed(1, "gaggle service install --root DIR");
    assert!(!Path::new("/nowhere").exists());
}

/// What `systemd-analyze` says; none, with a reason that is seen, where there is none.
fn analyzed(words: &[&str], unit: &Path) -> Option<Ran> {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(words).arg(unit).stdin(Stdio::null()).output();
    match output {
        Ok(output) => Some(Ran::of(output)),
        Err(why) => {
            eprintln!("skipped: systemd-analyze: {why} (tests/run installs it for this part)");
            None
        }
    }
}

#[test]
fn systemd_reads_the_unit_without_a_word() {
    let root = Root::new();
    let secret = root.0.path().join("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let mut words = vec!["install", "--binary", BINARY, "--name", "100% $x \"a\" \\b"];
    words.extend(["--discover", "static:a,b", "--map-listen", "8080"]);
    words.extend(["--secret-file", secret.to_str().unwrap()]);
    assert_eq!(root.service(&words).code, 0);
    if let Some(verified) = analyzed(&["verify", "--man=no"], &root.unit()) {
        assert_eq!((verified.code, verified.stderr.as_str()), (0, ""));
    }
    // It would say a word.
    let broken = root.unit().with_file_name("broken.service");
    let unit = fs::read_to_string(root.unit()).unwrap();
    fs::write(
        &broken,
        unit.replace("ProtectHome=yes", "ProtectHome=perhaps"),
    )
    .unwrap();
    if let Some(verified) = analyzed(&["verify", "--man=no"], &broken) {
        assert!(verified.stderr.contains("protect home"), "{verified:?}");
    }
}

#[test]
fn the_unit_is_hardened_as_systemd_counts_it() {
    let root = Root::new();
    assert_eq!(root.service(&["install", "--binary", BINARY]).code, 0);
    // 0 is closed, 100 is open; a unit without a word about it has 96.
    let words = ["security", "--offline=yes", "--threshold=20", "--no-pager"];
    if let Some(judged) = analyzed(&words, &root.unit()) {
        assert_eq!(judged.code, 0, "{judged:?}");
    }
}
