//! What the handle promises, tried on a real disk.

mod mending;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::io::disk::{DataDir, Disk, Opening};
use crate::io::tasks::Tasks;
use crate::model::{Change, ClusterId, HybridClock, HybridTime, KeyName, NodeName, Source, Value};
use crate::protocol::message::Claim;

struct Member {
    app: App,
    writer: std::thread::JoinHandle<()>,
}

fn member(dir: &std::path::Path, limits: Limits) -> Member {
    member_with_cache(dir, limits, 1 << 20)
}

fn member_with_cache(dir: &std::path::Path, limits: Limits, cache: usize) -> Member {
    let now = WallTime::from_millis(1_800_000_000_000);
    let data = DataDir::open(dir, now).unwrap();
    let opening = Opening {
        cluster: ClusterId::default(),
        member: MemberId::from_u64(7),
        now,
        cache,
    };
    let (disk, loaded) = Disk::open(&data, &opening).unwrap();
    let reader = disk.reader();
    let published = Arc::new(Published::new(loaded.store.clone(), MemberId::from_u64(7)));
    let health = Arc::new(Health::default());
    let (queue, commands) = mpsc::channel(64);
    let (time, sequence): (HybridTime, u64) = loaded.clock;
    let clock = HybridClock::new(
        MemberId::from_u64(7),
        time,
        sequence,
        Duration::from_secs(10),
    );
    let parts = LedgerParts {
        disk,
        store: loaded.store,
        gap: loaded.gap,
        clock,
        published: published.clone(),
        health: health.clone(),
        limits,
    };
    let writer = Writer::new(Ledger::new(parts), commands);
    let writer = Tasks::thread("writer", move || writer.run().close()).unwrap();
    Member {
        app: App::new(published, queue, reader, health, limits),
        writer,
    }
}

impl Member {
    /// Ends the writer as a stop does: the queue closes, what waits is done.
    fn close(self) {
        drop(self.app);
        self.writer.join().unwrap();
    }
}

fn arrival(peer: u64, changes: Vec<Change>) -> Arrival {
    Arrival {
        source: Source::Push(MemberId::from_u64(peer)),
        changes,
        claims: Vec::new(),
    }
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn key(name: &str) -> KeyName {
    name.parse().unwrap()
}

fn set(to: &str, at: &str, value: &str) -> Request {
    request(Edit::SetKey {
        node: node(to),
        key: key(at),
        value: Value::untyped(value.as_bytes()),
    })
}

fn request(edit: Edit) -> Request {
    Request {
        edit,
        author: "ann".into(),
        condition: Condition::default(),
    }
}

fn value(app: &App, of: &str, at: &str) -> Option<String> {
    let view = app.view();
    let version = view.store.get(of, at, app.now())?;
    Some(version.value()?.text()?.to_owned())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

#[test]
fn what_was_written_is_read_and_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = member(dir.path(), Limits::default());
    let written = block_on(async {
        assert!(
            first
                .app
                .write(set("web", "colour", "red"))
                .await
                .unwrap()
                .created
        );
        first.app.write(set("web", "colour", "blue")).await.unwrap()
    });
    assert!(!written.created);
    assert_eq!(value(&first.app, "web", "colour").as_deref(), Some("blue"));
    let root = *first.app.roots().borrow();
    first.close();
    let second = member(dir.path(), Limits::default());
    assert_eq!(value(&second.app, "web", "colour").as_deref(), Some("blue"));
    assert_eq!(
        *second.app.roots().borrow(),
        root,
        "the digest is the same, history included"
    );
    let older = second
        .app
        .disk()
        .versions(&node("web"), &key("colour"))
        .unwrap();
    assert_eq!(older.len(), 1);
    assert_eq!(older[0].value().and_then(Value::text), Some("red"));
    let next = block_on(second.app.write(set("web", "colour", "green"))).unwrap();
    assert!(
        next.stamp > written.stamp,
        "stamps go on above those of the last run"
    );
    second.close();
}

#[test]
fn a_write_from_the_far_future_is_held_aside_and_wins_over_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(dir.path(), Limits::default());
    let far = crate::model::Stamp {
        time: HybridTime::from_bits(u64::MAX >> 1),
        member: MemberId::from_u64(9),
        sequence: 1,
    };
    let version = crate::model::Version {
        stamp: far,
        replaces: crate::model::Replaces::Nothing,
        author: "eve".into(),
        written: WallTime::default(),
        expires: None,
        content: crate::model::Content::Value(Value::untyped(*b"future")),
    };
    let change = Change::Key {
        node: node("web"),
        key: key("k"),
        version: Arc::new(version),
    };
    block_on(async {
        let first = member
            .app
            .merge(arrival(9, vec![change.clone()]))
            .await
            .unwrap();
        assert_eq!((first.new, first.held), (1, 1), "held aside");
        let again = member.app.merge(arrival(9, vec![change])).await.unwrap();
        assert_eq!((again.new, again.held), (0, 0), "known");
        let written = member.app.write(set("web", "k", "now")).await.unwrap();
        assert!(written.stamp < Some(far), "and did not lift our clock");
    });
    assert_eq!(value(&member.app, "web", "k").as_deref(), Some("now"));
    // A peer that collected it has this member let it go, the held copy, too.
    block_on(async {
        let slot = crate::model::Slot::Key(node("web"), key("k"));
        let head = member
            .app
            .view()
            .store
            .entry("web", "k")
            .unwrap()
            .head
            .stamp;
        let horizon = HybridTime::default();
        for (stamps, gone) in [(vec![far], 0), (vec![head, far], 1)] {
            let slot = slot.clone();
            let gone_there = vec![crate::protocol::message::Have { slot, stamps }];
            let upkeep = Upkeep::LetGo {
                gone: gone_there,
                horizon,
            };
            assert_eq!(member.app.upkeep(upkeep).await.unwrap(), gone);
        }
    });
    assert_eq!(value(&member.app, "web", "k"), None);
    assert_eq!(member.app.view().store.held_count(), 0);
    member.close();
}

#[test]
fn an_older_copy_claims_no_more_after_a_restart_than_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let me = MemberId::from_u64(7);
    let own = |app: &App| app.view().store.vector().get(me);
    let first = member(dir.path(), Limits::default());
    let has = own(&first.app);
    let later = HybridTime::from_bits(1_800_000_009_000 << 16);
    assert!(later > has);
    block_on(first.app.upkeep(Upkeep::Lift(later))).unwrap();
    assert_eq!(own(&first.app), has, "peers know more");
    first.close();
    let second = member(dir.path(), Limits::default());
    block_on(second.app.write(set("web", "k", "v"))).unwrap();
    assert_eq!(own(&second.app), has, "and the restart did not bring it");
    let claim = |upto| Arrival {
        claims: vec![(
            me,
            Claim {
                base: HybridTime::default(),
                upto,
            },
        )],
        ..arrival(9, Vec::new())
    };
    block_on(second.app.merge(claim(has))).unwrap();
    assert_eq!(own(&second.app), has, "less than what is missing");
    block_on(second.app.merge(claim(later))).unwrap();
    assert!(own(&second.app) > later);
    second.close();
    let third = member(dir.path(), Limits::default());
    assert!(own(&third.app) > later, "nothing is missing any more");
    third.close();
}

#[test]
fn a_node_is_replaced_patched_and_deleted_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(dir.path(), Limits::default());
    let app = &member.app;
    let text = |value: &str| Value::untyped(value.as_bytes());
    block_on(async {
        let keys = BTreeMap::from([(key("a"), text("1")), (key("b"), text("2"))]);
        app.write(request(Edit::ReplaceNode {
            node: node("n"),
            keys,
        }))
        .await
        .unwrap();
        let keys = BTreeMap::from([(key("b"), text("2")), (key("c"), text("3"))]);
        let replace = request(Edit::ReplaceNode {
            node: node("n"),
            keys,
        });
        let before = app.view().revision;
        app.write(replace.clone()).await.unwrap();
        assert_eq!(
            app.view().revision,
            before + 2,
            "a goes, c comes, b stays as it is"
        );
        assert_eq!(
            app.write(replace).await.unwrap().stamp,
            None,
            "nothing to change"
        );
        let keys = BTreeMap::from([(key("b"), None), (key("d"), Some(text("4")))]);
        app.write(request(Edit::PatchNode {
            node: node("n"),
            keys,
        }))
        .await
        .unwrap();
        let found: Vec<_> = ["a", "b", "c", "d"]
            .map(|at| value(app, "n", at).is_some())
            .into();
        assert_eq!(found, [false, false, true, true]);
        app.write(request(Edit::DeleteNode { node: node("n") }))
            .await
            .unwrap();
        assert!(app.view().store.node("n").is_none());
        let gone = app
            .write(request(Edit::DeleteNode { node: node("n") }))
            .await;
        assert_eq!(gone, Err(EditError::NodeNotFound));
        app.write(set("n", "c", "again")).await.unwrap();
        let view = app.view();
        assert_eq!(
            view.store.node("n").unwrap().live(),
            1,
            "what was deleted stays deleted"
        );
        let delete = Edit::DeleteKey {
            node: node("n"),
            key: key("c"),
        };
        app.write(request(delete)).await.unwrap();
        assert!(
            app.view().store.node("n").is_some(),
            "an empty node is still there"
        );
    });
    member.close();
}

#[test]
fn of_writes_that_expect_the_same_version_exactly_one_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(dir.path(), Limits::default());
    block_on(async {
        let first = member
            .app
            .write(set("web", "n", "0"))
            .await
            .unwrap()
            .stamp
            .unwrap();
        let condition = Condition {
            if_match: Some(Tags::OneOf(vec![first.to_string()])),
            if_none_match: None,
        };
        let racing = (0..20).map(|i| {
            let request = Request {
                condition: condition.clone(),
                ..set("web", "n", &i.to_string())
            };
            member.app.write(request)
        });
        let results = futures_util::future::join_all(racing).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        let refused = results.into_iter().find_map(Result::err).unwrap();
        assert!(matches!(
            refused,
            EditError::PreconditionFailed { current: Some(_) }
        ));
        let create = Condition {
            if_match: None,
            if_none_match: Some(Tags::Any),
        };
        let again = Request {
            condition: create,
            ..set("web", "n", "x")
        };
        assert!(member.app.write(again).await.is_err());
    });
    member.close();
}

#[test]
fn limits_refuse_what_is_too_much_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        name_bytes: 5,
        value_bytes: 3,
        keys: 2,
    };
    let member = member(dir.path(), limits);
    let app = &member.app;
    block_on(async {
        let long = app.write(set("abcdef", "k", "v")).await;
        assert_eq!(
            long,
            Err(EditError::NameTooLong {
                length: 6,
                limit: 5
            })
        );
        let large = app.write(set("n", "k", "1234")).await;
        assert_eq!(large, Err(EditError::ValueTooLarge { size: 4, limit: 3 }));
        app.write(set("n", "a", "1")).await.unwrap();
        app.write(set("n", "b", "1")).await.unwrap();
        let many = app.write(set("n", "c", "1")).await;
        assert_eq!(many, Err(EditError::TooManyKeys { limit: 2 }));
        app.write(set("n", "a", "2")).await.unwrap();
        assert_eq!(app.view().store.counts().keys, 2);
    });
    member.close();
}

#[test]
fn the_feed_has_every_change_in_order_and_says_whose_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(dir.path(), Limits::default());
    block_on(async {
        let mut revisions = member.app.revisions();
        for i in 0..5 {
            member
                .app
                .write(set("n", &format!("k{i}"), "v"))
                .await
                .unwrap();
        }
        revisions.changed().await.unwrap();
        let changes = member.app.changes_after(0, 100).unwrap();
        let revisions: Vec<u64> = changes.iter().map(|applied| applied.revision).collect();
        assert_eq!(
            revisions,
            (1..=6).collect::<Vec<_>>(),
            "the node, then five keys"
        );
        assert!(
            changes
                .iter()
                .all(|applied| applied.source == Source::Own && applied.current)
        );
        let there = tempfile::tempdir().unwrap();
        let other = self::member(there.path(), Limits::default());
        let sent = changes
            .iter()
            .map(|applied| applied.change.clone())
            .collect();
        assert_eq!(other.app.merge(arrival(8, sent)).await.unwrap().new, 6);
        assert_eq!(*other.app.roots().borrow(), *member.app.roots().borrow());
        let source = other.app.changes_after(0, 1).unwrap()[0].source;
        assert_eq!(source, Source::Push(MemberId::from_u64(8)));
        other.close();
    });
    member.close();
}

#[test]
fn a_stopping_member_takes_no_more_writes() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(dir.path(), Limits::default());
    member.app.health().stop();
    assert_eq!(
        block_on(member.app.write(set("n", "k", "v"))),
        Err(EditError::Stopping)
    );
    assert_eq!(member.app.health().first_failure(), Some("stopping"));
    member.close();
}

#[test]
fn settings_that_are_patched_at_once_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(dir.path(), Limits::default());
    let configure = |description: Option<&str>, history| {
        request(Edit::Configure {
            node: node("n"),
            description: description.map(Arc::from),
            history,
        })
    };
    block_on(async {
        let both = futures_util::future::join(
            member.app.write(configure(Some("what it is for"), None)),
            member.app.write(configure(None, Some(3))),
        );
        let (first, second) = both.await;
        assert!(first.is_ok() && second.is_ok());
    });
    let settings = member.app.view().store.node("n").unwrap().settings();
    assert_eq!(
        (&*settings.description, settings.history),
        ("what it is for", 3)
    );
    for value in 0..5 {
        block_on(member.app.write(set("n", "k", &value.to_string()))).unwrap();
    }
    let older = member.app.disk().versions(&node("n"), &key("k")).unwrap();
    assert_eq!(older.len(), 2, "three versions in all");
    block_on(member.app.write(configure(None, Some(1)))).unwrap();
    assert!(
        member
            .app
            .disk()
            .versions(&node("n"), &key("k"))
            .unwrap()
            .is_empty()
    );
    assert_eq!(value(&member.app, "n", "k").as_deref(), Some("4"));
    member.close();
}

#[test]
fn who_watches_learns_that_a_node_was_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(dir.path(), Limits::default());
    block_on(async {
        let app = &member.app;
        let made = Edit::ReplaceNode {
            node: node("n"),
            keys: BTreeMap::new(),
        };
        app.write(request(made)).await.unwrap();
        let stamp = app.view().store.register("n").unwrap().stamp;
        let since = app.view().revision;
        let gone = vec![crate::protocol::message::Have {
            slot: crate::model::Slot::Node(node("n")),
            stamps: vec![stamp],
        }];
        let horizon = HybridTime::default();
        assert_eq!(
            app.upkeep(Upkeep::LetGo { gone, horizon }).await.unwrap(),
            1
        );
        assert!(app.view().store.register("n").is_none());
        let told = app.changes_after(since, 10).unwrap();
        let [told] = told.as_slice() else {
            panic!("{told:?}");
        };
        let Change::Node { register, .. } = &told.change else {
            panic!("{told:?}");
        };
        assert!(told.current && register.settings().is_none());
    });
    member.close();
}
