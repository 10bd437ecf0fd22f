//! The data directory: made, locked, and refused in words that help.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::super::{DataDir, DirError, Disk, DiskError};
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

#[test]
fn a_damaged_database_is_named_with_its_path_and_a_way_out_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open(temp.path()).unwrap();
    let damaged = vec![0x5a; 100_000];
    std::fs::write(dir.database(), &damaged).unwrap();
    let error = Disk::open(&dir, &super::opening(1)).unwrap_err();
    assert!(matches!(error, DiskError::Corrupt { .. }));
    let told = error.to_string();
    assert!(told.contains(dir.database().to_str().unwrap()), "{told}");
    assert!(told.contains("gaggle serve --repair"), "{told}");
    assert_eq!(std::fs::read(dir.database()).unwrap(), damaged);
}

#[test]
fn a_database_that_is_gone_or_was_emptied_is_not_taken_for_a_new_one() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open(temp.path()).unwrap();
    Disk::open(&dir, &super::opening(1)).unwrap().0.close();
    std::fs::write(dir.database(), "").unwrap();
    let error = Disk::open(&dir, &super::opening(2)).unwrap_err();
    assert!(error.to_string().contains("it is empty"), "{error}");
    assert_eq!(
        std::fs::metadata(dir.database()).unwrap().len(),
        0,
        "left alone"
    );
    std::fs::remove_file(dir.database()).unwrap();
    let error = Disk::open(&dir, &super::opening(2)).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(!dir.database().exists());
}

#[test]
fn the_reserve_takes_real_space_and_gives_it_back() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open(temp.path()).unwrap();
    let (disk, _) = Disk::open(&dir, &super::opening(1)).unwrap();
    let reserve = temp.path().join("reserve");
    let blocks = || std::fs::metadata(&reserve).unwrap().blocks() * 512;
    assert!(blocks() >= 1 << 20, "{}", blocks());
    disk.shared.medium.release_reserve().unwrap();
    assert_eq!(blocks(), 0);
    disk.shared.medium.hold_reserve().unwrap();
    assert!(blocks() >= 1 << 20, "{}", blocks());
}

#[test]
fn a_copy_of_the_directory_is_at_another_place_and_a_renamed_one_is_not() {
    let temp = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        let dir = open(&temp.path().join(name)).unwrap();
        let (disk, _) = Disk::open(&dir, &super::opening(1)).unwrap();
        let place = disk.log_disk().place();
        disk.close();
        place.expect("a file has a place")
    };
    let here = place("here");
    assert_eq!(place("here"), here, "another start is no copy");
    let [from, to, copy] = ["here", "there", "copy"].map(|name| temp.path().join(name));
    std::fs::rename(&from, &to).unwrap();
    assert_eq!(place("there"), here);
    std::fs::create_dir(&copy).unwrap();
    for file in ["gaggle.redb", "gaggle.mark"] {
        std::fs::copy(to.join(file), copy.join(file)).unwrap();
    }
    assert_ne!(place("copy"), here);
    // Put back in its own place it is a copy, too.
    std::fs::rename(&to, &from).unwrap();
    std::fs::remove_file(from.join("gaggle.redb")).unwrap();
    std::fs::copy(copy.join("gaggle.redb"), from.join("gaggle.redb")).unwrap();
    assert_ne!(place("here"), here);
}
