//! Programs: the one under test, and those of the system that build a world around it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The release binary under test, which tests/run names in `GAGGLE_BIN`.
pub(crate) fn binary() -> PathBuf {
    let path = std::env::var_os("GAGGLE_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_gaggle")),
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "{} is no binary; tests/run builds it",
        path.display()
    );
    path
}

/// An own, empty directory that goes away with the value. Others may look into it, as members
/// that run as another user do.
pub(crate) fn scratch() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary directory");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))
        .expect("an own directory");
    folder
}

/// Runs a program to its end and gives what it printed; fails the test if it fails.
pub(crate) fn run(words: &[&str]) -> String {
    run_with(words, "")
}

/// As [`run`], with `input` on its standard input.
pub(crate) fn run_with(words: &[&str], input: &str) -> String {
    let mut child = command(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that does not read its input may be gone already; its exit code tells.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("a program that ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{words:?}: {}: {said}",
        output.status
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A program with its arguments; those of the system that only root needs are found, too.
pub(crate) fn command(words: &[&str]) -> Command {
    let (first, rest) = words.split_first().expect("a program");
    let sbin = ["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(first));
    let program = sbin.into_iter().find(|path| path.is_file());
    let mut command = Command::new(program.unwrap_or_else(|| PathBuf::from(first)));
    command.args(rest);
    command
}
