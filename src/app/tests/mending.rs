//! Damage on the disk of a running member: found, mended, and brought again by a peer.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::app::{Finding, FindingKind, Look};
use crate::io::disk::{Cursor, verify};

/// Flips a bit in every place of the database where `part` stands.
fn flip(dir: &Path, part: &str) {
    let path = dir.join("gaggle.redb");
    let bytes = std::fs::read(&path).unwrap();
    let windows = bytes.windows(part.len()).enumerate();
    let places = windows.filter(|(_, window)| *window == part.as_bytes());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut count = 0;
    for (at, window) in places {
        use std::os::unix::fs::FileExt;
        file.write_all_at(&[window[0] ^ 1], at as u64).unwrap();
        count += 1;
    }
    assert!(count > 0, "{part} is on the disk");
}

/// Everything that a whole pass finds, in portions of `limit` bytes.
fn looks(app: &App, limit: u64) -> (BTreeSet<Finding>, Vec<Place>, u64) {
    let (mut all, mut places, mut rows) = (BTreeSet::new(), Vec::new(), 0);
    let mut at = Some(Cursor::default());
    while let Some(cursor) = at.take() {
        let look: Look = app.look(&cursor, limit).unwrap();
        all.extend(look.findings);
        places.extend(look.places);
        rows += look.rows;
        at = look.next;
    }
    (all, places, rows)
}

async fn filled(app: &App) {
    for number in 0..30 {
        let name = format!("k{number:02}");
        app.write(set("web", &name, &format!("first of {name}")))
            .await
            .unwrap();
        app.write(set("web", &name, &format!("second of {name}")))
            .await
            .unwrap();
    }
    let settings = Edit::Configure {
        node: node("settings"),
        description: Some("what it is for".into()),
        history: None,
    };
    app.write(request(settings)).await.unwrap();
}

fn is_sound(dir: &Path) {
    let found = verify(dir, &mut |_, _| {}).unwrap();
    assert_eq!(found.faults, []);
}

#[tokio::test]
async fn a_sound_member_looks_sound_whatever_the_portions() {
    let temp = tempfile::tempdir().unwrap();
    let member = member(temp.path(), Limits::default());
    filled(&member.app).await;
    for limit in [1, 500, 1 << 20] {
        let (findings, places, rows) = looks(&member.app, limit);
        assert_eq!(findings, BTreeSet::new(), "{limit}");
        assert_eq!(places.len(), 32, "{limit}");
        assert_eq!(rows, 62, "{limit}");
    }
    member.close();
}

#[tokio::test]
async fn a_damaged_row_is_found_and_written_again() {
    let temp = tempfile::tempdir().unwrap();
    let member = member(temp.path(), Limits::default());
    filled(&member.app).await;
    let root = member.app.view().store.digest().root();
    for part in ["second of k07", "first of k08", "what it is for"] {
        flip(temp.path(), part);
    }
    let (findings, places, _) = looks(&member.app, 700);
    let named = |name: &str| findings.iter().any(|finding| finding.what.contains(name));
    assert!(
        named("k07") && named("k08") && named("settings"),
        "{findings:#?}"
    );
    assert!(
        findings
            .iter()
            .all(|finding| finding.kind == FindingKind::Disk)
    );
    let mended = member.app.mend(places).await.unwrap();
    assert_eq!((mended.written, mended.dropped), (32, 0));
    assert_eq!(looks(&member.app, 700).0, BTreeSet::new());
    assert_eq!(member.app.view().store.digest().root(), root);
    member.close();
    is_sound(temp.path());
    let again = super::member(temp.path(), Limits::default());
    assert_eq!(again.app.view().store.digest().root(), root);
    again.close();
}

#[tokio::test]
async fn an_older_version_that_is_gone_leaves_the_set_and_comes_again_from_a_peer() {
    let temp = tempfile::tempdir().unwrap();
    let member = member_with_cache(temp.path(), Limits::default(), 0);
    filled(&member.app).await;
    let app = &member.app;
    let root = app.view().store.digest().root();
    let versions = app.disk().versions(&node("web"), &key("k08")).unwrap();
    assert_eq!(versions.len(), 1);
    flip(temp.path(), "first of k08");
    let (findings, ..) = looks(app, 700);
    let place = (node("web"), Some(key("k08")));
    assert!(
        findings.iter().any(|f| f.place == Some(place.clone())),
        "{findings:#?}"
    );
    let mended = app.mend(vec![place]).await.unwrap();
    assert_eq!((mended.written, mended.dropped), (1, 1));
    assert_eq!(looks(app, 700).0, BTreeSet::new());
    assert_ne!(
        app.view().store.digest().root(),
        root,
        "peers see that something is missing"
    );
    assert_eq!(*app.roots().borrow(), app.view().store.digest().root());
    let change = Change::Key {
        node: node("web"),
        key: key("k08"),
        version: versions[0].clone(),
    };
    let merging = app.merge(arrival(9, vec![change])).await.unwrap();
    assert_eq!(merging.new, 1);
    assert_eq!(app.view().store.digest().root(), root);
    assert_eq!(looks(app, 700).0, BTreeSet::new());
    member.close();
    is_sound(temp.path());
}

#[tokio::test]
async fn a_write_over_a_damaged_row_leaves_a_sound_database() {
    let temp = tempfile::tempdir().unwrap();
    let member = member_with_cache(temp.path(), Limits::default(), 0);
    filled(&member.app).await;
    flip(temp.path(), "second of k07");
    let rewritten = member.app.write(set("web", "k07", "third")).await;
    rewritten.unwrap();
    let root = member.app.view().store.digest().root();
    member.close();
    is_sound(temp.path());
    let again = super::member(temp.path(), Limits::default());
    assert_eq!(again.app.view().store.digest().root(), root);
    again.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_meanwhile_are_no_findings() {
    let temp = tempfile::tempdir().unwrap();
    let member = member(temp.path(), Limits::default());
    filled(&member.app).await;
    let app = member.app.clone();
    let tasks = Tasks::new();
    let looking = tasks.blocking(move || {
        let mut seen = BTreeSet::new();
        for round in 0..40 {
            let (findings, ..) = looks(&app, 900);
            let again = looks(&app, 900).0;
            let lasting = findings.intersection(&again).cloned();
            seen.extend(lasting.map(|finding| (round, finding)));
        }
        seen
    });
    let writing = async {
        for number in 0..400 {
            let name = format!("k{:02}", number % 30);
            let written = member
                .app
                .write(set("web", &name, &number.to_string()))
                .await;
            written.unwrap();
        }
    };
    let (seen, ()) = tokio::join!(looking, writing);
    assert_eq!(seen.unwrap(), BTreeSet::new());
    member.close();
}
