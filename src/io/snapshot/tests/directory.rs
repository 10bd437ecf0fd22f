//! The file in its directory: replaced whole, edits kept, broken ones set aside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::edits::Edit;
use super::super::{Aside, Import, Limits, SnapshotError, SnapshotFile, set_aside};
use super::{NOW, put, store, text};
use crate::model::Store;
use crate::strong::Nodes;

fn read(file: &mut SnapshotFile, store: &Store) -> Result<Import, SnapshotError> {
    file.read_edits(store, NOW, Limits::default())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn our_own_file_is_no_edit_even_if_the_store_went_on_without_it() {
    let temp = tempfile::tempdir().unwrap();
    let mut store = store(&[("n", "k", text("1"))]);
    let mut file = SnapshotFile::open(temp.path());
    assert_eq!(read(&mut file, &store).unwrap(), Import::default());
    assert_eq!(file.write(&store, &Nodes::default(), NOW).unwrap(), None);
    let mode = fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(names(temp.path()), ["store.json", "store.json.sum"]);
    put(&mut store, "n", "k", text("2"), 9);
    let mut again = SnapshotFile::open(temp.path());
    assert_eq!(read(&mut again, &store).unwrap(), Import::default());
}

#[test]
fn a_crash_between_the_record_and_the_file_leaves_no_edit_behind() {
    let temp = tempfile::tempdir().unwrap();
    let mut store = store(&[("n", "k", text("1"))]);
    let mut file = SnapshotFile::open(temp.path());
    file.write(&store, &Nodes::default(), NOW).unwrap();
    let old = fs::read(file.path()).unwrap();
    let record = fs::read_to_string(temp.path().join("store.json.sum")).unwrap();
    put(&mut store, "n", "k", text("2"), 9);
    file.write(&store, &Nodes::default(), NOW).unwrap();
    let newer = fs::read_to_string(temp.path().join("store.json.sum")).unwrap();
    fs::write(file.path(), old).unwrap();
    fs::write(temp.path().join("store.json.sum"), newer + &record).unwrap();
    let mut again = SnapshotFile::open(temp.path());
    assert_eq!(read(&mut again, &store).unwrap(), Import::default());
}

#[test]
fn an_edit_made_while_the_daemon_was_down_is_imported_once() {
    let temp = tempfile::tempdir().unwrap();
    let mut store = store(&[("n", "k", text("1"))]);
    SnapshotFile::open(temp.path())
        .write(&store, &Nodes::default(), NOW)
        .unwrap();
    fs::write(temp.path().join("store.json"), r#"{"n": {"k": "2"}}"#).unwrap();
    let mut file = SnapshotFile::open(temp.path());
    let import = read(&mut file, &store).unwrap();
    assert!(
        matches!(&import.edits[..], [Edit::Set { .. }]),
        "{import:?}"
    );
    put(&mut store, "n", "k", text("2"), 9);
    assert_eq!(
        read(&mut SnapshotFile::open(temp.path()), &store).unwrap(),
        Import::default()
    );
    assert_eq!(
        file.write(&store, &Nodes::default(), NOW).unwrap(),
        None,
        "it was taken over"
    );
    assert_eq!(
        read(&mut SnapshotFile::open(temp.path()), &store).unwrap(),
        Import::default()
    );
}

#[test]
fn a_file_in_a_new_data_directory_is_an_import() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(
        temp.path().join("store.json"),
        r#"{"n": {"k": "2", "j": 1}}"#,
    )
    .unwrap();
    let mut file = SnapshotFile::open(temp.path());
    assert_eq!(read(&mut file, &Store::new()).unwrap().edits.len(), 3);
}

#[test]
fn a_file_from_nowhere_beside_a_full_store_only_adds_and_is_kept() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(&[("n", "k", text("1")), ("n", "j", text("1"))]);
    fs::write(
        temp.path().join("store.json"),
        r#"{"n": {"k": "2", "new": "3"}}"#,
    )
    .unwrap();
    let mut file = SnapshotFile::open(temp.path());
    let import = read(&mut file, &store).unwrap();
    assert_eq!((import.edits.len(), import.kept), (1, 2));
    let aside = file
        .write(&store, &Nodes::default(), NOW)
        .unwrap()
        .expect("it was not taken over whole");
    assert!(fs::read_to_string(aside).unwrap().contains("\"k\": \"2\""));
}

#[test]
fn an_edit_made_while_the_daemon_runs_is_kept_under_a_dated_name() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(&[("n", "k", text("1"))]);
    let mut file = SnapshotFile::open(temp.path());
    file.write(&store, &Nodes::default(), NOW).unwrap();
    fs::write(file.path(), "edited").unwrap();
    let aside = file.write(&store, &Nodes::default(), NOW).unwrap().unwrap();
    assert_eq!(
        aside,
        temp.path().join("store.json.edited-20261121T024555Z")
    );
    assert_eq!(fs::read_to_string(aside).unwrap(), "edited");
    assert!(
        fs::read_to_string(file.path())
            .unwrap()
            .contains("\"k\": \"1\"")
    );
    assert_eq!(
        file.write(&store, &Nodes::default(), NOW).unwrap(),
        None,
        "once"
    );
}

#[test]
fn a_file_that_was_only_touched_is_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(&[("n", "k", text("1"))]);
    let mut file = SnapshotFile::open(temp.path());
    file.write(&store, &Nodes::default(), NOW).unwrap();
    let same = fs::read(file.path()).unwrap();
    fs::remove_file(file.path()).unwrap();
    fs::write(file.path(), same).unwrap();
    assert_eq!(file.write(&store, &Nodes::default(), NOW).unwrap(), None);
}

#[test]
fn a_broken_file_is_left_alone_until_it_is_set_aside() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("store.json");
    for expected in [
        "store.json.broken-20261121T024555Z",
        "store.json.broken-20261121T024555Z-2",
    ] {
        fs::write(&path, "{\"n\": {").unwrap();
        let mut file = SnapshotFile::open(temp.path());
        read(&mut file, &Store::new()).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\": {");
        assert_eq!(
            set_aside(&path, Aside::Broken, NOW).unwrap(),
            temp.path().join(expected)
        );
        assert!(!path.exists());
    }
}

#[test]
fn a_copy_that_cannot_be_written_leaves_the_old_one() {
    let temp = tempfile::tempdir().unwrap();
    let mut store = store(&[("n", "k", text("1"))]);
    let mut file = SnapshotFile::open(temp.path());
    file.write(&store, &Nodes::default(), NOW).unwrap();
    let old = fs::read(file.path()).unwrap();
    fs::create_dir(temp.path().join("store.json.new")).unwrap();
    put(&mut store, "n", "k", text("2"), 9);
    file.write(&store, &Nodes::default(), NOW).unwrap_err();
    assert_eq!(fs::read(file.path()).unwrap(), old);
}
