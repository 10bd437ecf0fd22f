//! The data directory: made, locked, and refused in words that help.

use std::os::unix::fs::PermissionsExt;

use super::super::{DataDir, DirError};
use crate::model::WallTime;

fn open(path: &std::path::Path) -> Result<DataDir, DirError> {
    DataDir::open(path, WallTime::from_millis(1_790_000_000_000))
}

#[test]
fn a_missing_directory_is_made_for_its_owner_only() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a/b");
    let dir = open(&path).unwrap();
    let mode = std::fs::metadata(dir.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let lock = std::fs::metadata(path.join("lock")).unwrap();
    assert_eq!(lock.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_second_daemon_is_refused_and_told_who_has_it() {
    let temp = tempfile::tempdir().unwrap();
    let first = open(temp.path()).unwrap();
    let copy = first.clone();
    drop(first);
    let error = open(temp.path()).unwrap_err();
    assert!(matches!(error, DirError::InUse { .. }));
    let told = format!("pid {} since 2026", std::process::id());
    assert!(error.to_string().contains(&told), "{error}");
    drop(copy);
    open(temp.path()).expect("the lock is gone with its last owner");
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    std::fs::write(&path, "x").unwrap();
    for path in [path.clone(), path.join("below")] {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, DirError::NotADirectory { .. }), "{error}");
    }
}
