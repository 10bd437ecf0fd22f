//! Damaged and given-up databases: what is sound is kept, nothing is deleted, no crash in between
//! makes an old member of a new one or an empty one of a full one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::super::{DataDir, Disk, DiskError, Opening, repair};
use super::member::{all, write};
use super::script::{batch, open, run, states};
use super::sim::SimDisk;
use crate::model::{MemberId, Store, WallTime};

const NOW: WallTime = WallTime::from_millis(1_795_229_155_000);

fn fresh() -> Opening {
    Opening {
        member: MemberId::from_u64(8),
        now: NOW,
        ..super::opening(1)
    }
}

fn directory(path: &Path) -> DataDir {
    DataDir::open(path, NOW).unwrap()
}

/// A directory after ten batches, closed; and what is known in it.
fn filled(path: &Path) -> (DataDir, BTreeSet<String>) {
    let dir = directory(path);
    let (mut disk, loaded) = Disk::open(&dir, &super::opening(1)).unwrap();
    let mut store = loaded.store;
    for number in 1..=10 {
        write(&mut disk, &mut store, &batch(number), number).unwrap();
    }
    let known = all(&store, &disk.reader());
    disk.close();
    for name in ["store.json", "store.json.sum", "generation"] {
        std::fs::write(path.join(name), name).unwrap();
    }
    (dir, known)
}

fn names(path: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect()
}

/// The places in a file where these bytes stand.
fn places(bytes: &[u8], part: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(part.len()).enumerate();
    windows
        .filter(|(_, window)| *window == part)
        .map(|(at, _)| at)
        .collect()
}

fn flip(path: &Path, part: &[u8]) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    for at in places(&bytes, part) {
        bytes[at] ^= 1;
    }
    std::fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_damaged_key_is_left_out_and_everything_else_is_kept_under_a_new_id() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, known) = filled(temp.path());
    let damaged = flip(&dir.database(), b"key/4");
    let refused = Disk::open(&dir, &fresh()).unwrap_err();
    assert!(refused.to_string().contains("--repair"), "{refused}");
    let (disk, loaded, repaired) = Disk::open_or_repair(&dir, &fresh()).unwrap();
    let repaired = repaired.unwrap();
    assert_eq!(loaded.identity.member.as_u64(), 8);
    assert_eq!(repaired.was, Some(MemberId::from_u64(7)));
    let kept = all(&loaded.store, &disk.reader());
    let lost: Vec<&String> = known.difference(&kept).collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0].starts_with("web key/4"), "{lost:?}");
    assert!(kept.is_subset(&known));
    assert!(repaired.damaged > 0 && repaired.keys > 10, "{repaired:?}");
    assert!(
        loaded.clock.0 >= newest(&loaded.store),
        "stamps go on above"
    );
    let aside = repaired.aside.unwrap();
    let file = std::fs::read(&aside).unwrap();
    assert_eq!(places(&file, b"jey/4"), places(&damaged, b"jey/4"));
    assert_eq!(file.len(), damaged.len());
    assert!(
        aside.ends_with("gaggle.redb.damaged-20261121T024555Z"),
        "{aside:?}"
    );
    assert_eq!(
        std::fs::read(repaired.copy.unwrap()).unwrap(),
        b"store.json"
    );
    disk.close();
    let (_, _, again) = Disk::open_or_repair(&dir, &fresh()).unwrap();
    assert!(again.is_none(), "a sound database is left alone");
}

fn newest(store: &Store) -> crate::model::HybridTime {
    let nodes = store.all_nodes();
    let all = nodes.flat_map(|(_, node)| node.entries().map(|(_, at)| at.head.stamp.time));
    all.max().unwrap()
}

#[test]
fn an_older_version_never_passes_for_a_damaged_current_one() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, _) = filled(temp.path());
    flip(&dir.database(), b"blue 10");
    let (_, loaded, repaired) = Disk::open_or_repair(&dir, &fresh()).unwrap();
    assert!(repaired.is_some());
    assert!(loaded.store.entry("web", "colour").is_none());
    assert!(loaded.store.entry("web", "key/10").is_some());
}

#[test]
fn whatever_bit_is_flipped_what_is_rescued_was_there_and_most_of_it_is() {
    let sim = SimDisk::new();
    let (mut disk, loaded) = open(&sim).unwrap();
    let mut store = loaded.store;
    run(&mut disk, &mut store, 1, &sim);
    let known = all(&store, &disk.reader());
    // Where the newest commit has lost its root, the one before it is taken.
    let possible: BTreeSet<String> = states().split_off(29).into_iter().flatten().collect();
    let killed = sim.bytes();
    disk.close();
    let closed = sim.bytes();
    let (mut least, mut full) = (known.len(), 0);
    for (number, bytes) in [closed, killed].into_iter().enumerate() {
        for at in (4096 + number..bytes.len()).step_by(1451) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            let new = SimDisk::new();
            let old = Arc::new(SimDisk::holding(bytes));
            repair::into_new(Arc::new(new.clone()), Some(old), &fresh()).unwrap();
            let (disk, loaded) = open(&new).unwrap();
            let kept = all(&loaded.store, &disk.reader());
            let made_up: Vec<_> = kept
                .iter()
                .filter(|line| !possible.contains(*line))
                // The number of older versions is less where one is lost.
                .filter(|line| !line.ends_with(|c: char| c.is_ascii_digit()))
                .collect();
            assert_eq!(made_up, Vec::<&String>::new(), "disk {number}, byte {at}");
            least = least.min(kept.len());
            full += usize::from(kept == known);
        }
    }
    assert!(least * 10 > known.len() * 7, "{least} of {}", known.len());
    assert!(full > 50, "{full}");
}

#[test]
fn a_crash_within_a_repair_leaves_a_directory_that_is_refused_or_repaired() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, _) = filled(temp.path());
    // The file is an old one of ours: sound in itself, told by the mark alone.
    let old = std::fs::read(dir.database()).unwrap();
    let (mut disk, loaded) = Disk::open(&dir, &super::opening(1)).unwrap();
    write(&mut disk, &mut loaded.store.clone(), &batch(11), 11).unwrap();
    disk.close();
    std::fs::write(dir.database(), &old).unwrap();
    assert!(Disk::open(&dir, &super::opening(2)).is_err());
    // Everything of the repair but its last rename.
    Disk::open_or_repair(&dir, &fresh()).unwrap().0.close();
    std::fs::write(dir.database(), &old).unwrap();
    let refused = Disk::open(&dir, &super::opening(2)).unwrap_err();
    assert!(matches!(refused, DiskError::Corrupt { .. }), "{refused}");
    let (_, loaded, repaired) = Disk::open_or_repair(&dir, &fresh()).unwrap();
    assert_eq!(
        (loaded.identity.member.as_u64(), repaired.is_some()),
        (8, true)
    );
}

#[test]
fn a_damaged_database_of_another_cluster_is_not_repaired() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, _) = filled(temp.path());
    let damaged = flip(&dir.database(), b"key/4");
    let opening = Opening {
        cluster: "other".parse().unwrap(),
        ..fresh()
    };
    let refused = Disk::open_or_repair(&dir, &opening).err().unwrap();
    assert!(
        matches!(
            refused,
            DiskError::Corrupt { .. } | DiskError::OtherCluster { .. }
        ),
        "{refused}"
    );
    let left = std::fs::read(dir.database()).unwrap();
    assert_eq!(places(&left, b"jey/4"), places(&damaged, b"jey/4"));
    assert!(
        !names(temp.path())
            .iter()
            .any(|name| name.contains("damaged"))
    );
}

#[test]
fn a_directory_that_was_set_aside_starts_anew_and_keeps_the_old_files() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, _) = filled(temp.path());
    let before = std::fs::read(dir.database()).unwrap();
    let aside = dir.set_aside(NOW).unwrap();
    assert!(aside.ends_with("set-aside-20261121T024555Z"), "{aside:?}");
    let moved = [
        "gaggle.mark",
        "gaggle.redb",
        "generation",
        "store.json",
        "store.json.sum",
    ];
    assert_eq!(names(&aside), BTreeSet::from(moved.map(str::to_owned)));
    assert!(std::fs::read(aside.join("gaggle.redb")).unwrap() == before);
    let (disk, loaded) = Disk::open(&dir, &fresh()).unwrap();
    assert!(loaded.created);
    assert_eq!(loaded.identity.member.as_u64(), 8);
    disk.close();
    let second = dir.set_aside(NOW).unwrap();
    assert!(
        second.ends_with("set-aside-20261121T024555Z-2"),
        "{second:?}"
    );
}

#[test]
fn a_crash_while_data_is_set_aside_leaves_the_old_member_or_a_new_one() {
    for steps in 0..=5 {
        let temp = tempfile::tempdir().unwrap();
        let (dir, known) = filled(temp.path());
        dir.set_aside_up_to(NOW, steps).unwrap();
        let (disk, loaded) = Disk::open(&dir, &fresh()).unwrap();
        if steps < 5 {
            assert_eq!(loaded.identity.member.as_u64(), 7, "{steps}");
            assert_eq!(all(&loaded.store, &disk.reader()), known, "{steps}");
            disk.close();
            dir.set_aside(NOW).expect("it can be done again");
        } else {
            assert!(loaded.created);
            assert!(!names(temp.path()).contains("store.json"));
        }
    }
}
