//! The data directory: one daemon at a time, the right owner, and one clear line otherwise.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use crate::harness::{Cluster, Ended, Lan};

/// A user that is not root.
const NOBODY: u32 = 65_534;

/// A start that was refused says why in one line that names the directory, and changes nothing.
fn check_refused(ended: &Ended, data: &Path, words: &[&str]) {
    assert!(!ended.status.success(), "{ended:?}");
    assert!(ended.status.code().is_some(), "no crash: {ended:?}");
    let said = ended.said.to_lowercase();
    assert!(
        !said.contains("panicked") && !said.contains("backtrace"),
        "{}",
        ended.said
    );
    let path = data.to_string_lossy().to_lowercase();
    let named = said.lines().any(|line| line.contains(&path));
    assert!(named, "no line names {path}:\n{}", ended.said);
    assert!(
        words.iter().any(|word| said.contains(word)),
        "none of {words:?} in:\n{}",
        ended.said
    );
    assert!(
        said.lines().count() <= 4,
        "more than a clear line:\n{}",
        ended.said
    );
}

#[test]
fn a_second_daemon_on_the_directory_is_refused_and_the_first_goes_on() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let [here, there] = lan.hosts();
    let mut first = cluster.member(&here, "a").start();
    assert_eq!(
        first.client().put("/v1/store/web/colour", "blue").status,
        201
    );
    let data = first.data().to_owned();
    // From another host, as a second container on the same volume would: only the file tells.
    let second = cluster.member(&there, "b").data(&data).refused();
    check_refused(&second, &data, &["in use", "already", "another", "lock"]);
    assert_eq!(
        first.client().put("/v1/store/web/colour", "green").status,
        204
    );
    first.crash();
    let again = cluster.member(&there, "b").data(&data).start();
    assert_eq!(again.client().get("/v1/store/web/colour").body, "green");
}

#[test]
fn a_directory_of_another_user_is_refused_with_one_clear_line() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let data = cluster.data("a");
    fs::create_dir(&data).expect("a directory");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("own directory");
    let ended = cluster.member(&host, "a").run_by(NOBODY).refused();
    check_refused(
        &ended,
        &data,
        &["permission denied", "may not", "cannot", "owner"],
    );
    chown(&data, Some(NOBODY), Some(NOBODY)).expect("root may give a directory away");
    let member = cluster.member(&host, "a").run_by(NOBODY).start();
    assert_eq!(
        member.client().put("/v1/store/web/colour", "blue").status,
        201
    );
}

#[test]
fn files_of_another_user_in_an_own_directory_are_refused_with_one_clear_line() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let mut member = cluster.member(&host, "a").start();
    let data = member.data().to_owned();
    member.stop();
    // Once started by root by mistake: the directory is the user's, the files in it are not.
    chown(&data, Some(NOBODY), Some(NOBODY)).expect("root may give a directory away");
    let ended = cluster.member(&host, "a").run_by(NOBODY).refused();
    check_refused(
        &ended,
        &data,
        &["permission denied", "may not", "cannot", "owner"],
    );
}

#[test]
fn a_read_only_directory_is_refused_with_one_clear_line() {
    let (lan, cluster) = (Lan::new(), Cluster::new());
    let host = lan.host();
    let disk = crate::harness::SmallDisk::new(16);
    let data = disk.path().join("data");
    let mut member = cluster.member(&host, "a").data(&data).start();
    assert_eq!(
        member.client().put("/v1/store/web/colour", "blue").status,
        201
    );
    member.stop();
    disk.remount("ro");
    let ended = cluster.member(&host, "a").data(&data).refused();
    check_refused(&ended, &data, &["read-only", "read only"]);
    disk.remount("rw");
    let again = cluster.member(&host, "a").data(&data).start();
    assert_eq!(again.client().get("/v1/store/web/colour").body, "blue");
}
