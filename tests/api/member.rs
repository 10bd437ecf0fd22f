//! A member to ask: the real face over a real store in a directory of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gaggle::api::auth::{Auth, PasswordHash, Users, hash_password};
use gaggle::api::metrics::Metrics;
use gaggle::api::{
    About, ApiParts, FoundView, MemberDirectory, MemberState, MemberView, Outcome, WayView, front,
};
use gaggle::app::{App, BlockList, Health, Ledger, LedgerParts, Limits, Published, Strong, Writer};
use gaggle::io::disk::{DataDir, Disk, Opening};
use gaggle::io::recent::Recent;
use gaggle::io::serve::{Answerer, Connection};
use gaggle::io::tasks::Tasks;
use gaggle::model::{ClusterId, HybridClock, MemberId, WallTime};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use crate::stream::Events;

/// This member's id.
pub(crate) const ID: MemberId = MemberId::from_u64(7);
/// The user that asks unless a test says otherwise.
pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "päss:wörd";

/// A member.
pub(crate) struct Member {
    pub(crate) app: App,
    pub(crate) auth: Arc<Auth>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) recent: Recent,
    pub(crate) strong: Strong,
    front: Answerer,
    _dir: tempfile::TempDir,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header as text; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The code of a problem; empty if it is none.
    pub(crate) fn code(&self) -> String {
        if self.header("content-type") != "application/problem+json" {
            return String::new();
        }
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!(
            (self.status.as_u16(), &*self.code()),
            (status, code),
            "{self:?}"
        );
        self
    }
}

/// Two members, and those that a test adds; or a fault of ours.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) panics: AtomicBool,
    pub(crate) more: Mutex<Vec<MemberView>>,
}

impl MemberDirectory for Directory {
    fn members(&self) -> Vec<MemberView> {
        assert!(!self.panics.load(Ordering::Relaxed), "planted");
        let address: SocketAddr = "192.0.2.7:8000".parse().unwrap();
        let myself = MemberView {
            id: ID,
            name: "seven".into(),
            address: Some(address),
            state: MemberState::Alive,
            incarnation: Some(1),
            version: Some("0.1.0".into()),
            since: WallTime::from_millis(1_800_000_000_000),
            lag_ms: Some(0),
            digest: Some(0xab),
            in_sync: true,
            watched_over: None,
            clock_offset_ms: Some(0),
            forgotten_by: None,
            is_self: true,
        };
        let other = MemberView {
            id: MemberId::from_u64(8),
            name: "eight".into(),
            state: MemberState::Suspect,
            watched_over: Some("https"),
            lag_ms: None,
            digest: None,
            in_sync: false,
            clock_offset_ms: Some(-12),
            is_self: false,
            ..myself.clone()
        };
        let mut members = vec![myself, other];
        members.extend(self.more.lock().unwrap().iter().cloned());
        members
    }

    fn ways(&self) -> Vec<WayView> {
        let found = FoundView {
            address: "192.0.2.8:8000".parse().unwrap(),
            outcome: Outcome::Member,
            member: Some("eight".into()),
            why: None,
        };
        vec![WayView {
            way: "dns:gaggle.example".into(),
            asked: Some(WallTime::from_millis(1_800_000_000_000)),
            trouble: None,
            found: vec![found],
        }]
    }
}

fn app(dir: &Path, id: MemberId, limits: Limits) -> App {
    let now = WallTime::from_millis(1_800_000_000_000);
    let data = DataDir::open(dir, now).unwrap();
    let opening = Opening {
        cluster: ClusterId::default(),
        member: id,
        now,
        cache: 1 << 20,
    };
    let (disk, loaded) = Disk::open(&data, &opening).unwrap();
    let reader = disk.reader();
    let published = Arc::new(Published::new(loaded.store.clone(), loaded.identity.member));
    let health = Arc::new(Health::default());
    let (queue, commands) = mpsc::channel(1024);
    let (time, sequence) = loaded.clock;
    let parts = LedgerParts {
        disk,
        store: loaded.store,
        gap: loaded.gap,
        clock: HybridClock::new(id, time, sequence, Duration::from_secs(10)),
        published: published.clone(),
        health: health.clone(),
        limits,
    };
    let writer = Writer::new(Ledger::new(parts), commands);
    Tasks::thread("writer", move || writer.run().close()).unwrap();
    App::new(published, queue, reader, health, limits)
}

/// The hash of the test's password: made once, for it takes some time.
fn hash() -> PasswordHash {
    static HASH: std::sync::OnceLock<PasswordHash> = std::sync::OnceLock::new();
    HASH.get_or_init(|| hash_password(PASSWORD).unwrap())
        .clone()
}

/// A member with the default limits.
pub(crate) fn member() -> Member {
    member_with(Limits::default(), 16 << 20)
}

/// A member with limits of its own.
pub(crate) fn member_with(limits: Limits, body_limit: usize) -> Member {
    make(ID, limits, body_limit, Strong::off())
}

/// A member whose strong side works, alone.
pub(crate) async fn strong_member() -> Member {
    let strong = crate::alone::strong(ID).await;
    make(ID, Limits::default(), 16 << 20, strong)
}

/// A member with this strong side.
pub(crate) fn member_beside(id: MemberId, strong: Strong) -> Member {
    make(id, Limits::default(), 16 << 20, strong)
}

/// Another member of the same cluster.
pub(crate) fn member_as(id: u64) -> Member {
    make(
        MemberId::from_u64(id),
        Limits::default(),
        16 << 20,
        Strong::off(),
    )
}

fn make(id: MemberId, limits: Limits, body_limit: usize, strong: Strong) -> Member {
    let dir = tempfile::tempdir().unwrap();
    let app = app(dir.path(), id, limits);
    let tasks = Tasks::new();
    let auth = Arc::new(Auth::new(Users::one(USER, hash()).unwrap(), tasks.clone()));
    let metrics = Arc::new(Metrics::new());
    let directory = Arc::new(Directory::default());
    let recent = Recent::default();
    let block_list = BlockList::open(&gaggle::config::DataDir::new(dir.path())).unwrap();
    let parts = ApiParts {
        strong: strong.clone(),
        app: app.clone(),
        auth: auth.clone(),
        members: directory.clone(),
        zgossip: None,
        metrics: metrics.clone(),
        tasks,
        body_limit,
        block_list: Arc::new(block_list),
        recent: recent.clone(),
        about: About {
            member: id,
            name: "seven".into(),
            cluster: ClusterId::default(),
            version: "0.1.0",
            started: WallTime::from_millis(1_800_000_000_000),
        },
    };
    Member {
        app,
        auth,
        metrics,
        directory,
        recent,
        strong,
        front: front(parts, Router::new()),
        _dir: dir,
    }
}

/// The value of an `Authorization` header.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The headers that a test adds.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

impl Member {
    /// Asks with the right credentials.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Body>,
    ) -> Answer {
        let authorization = basic(USER, PASSWORD);
        let mut all = vec![("authorization", &*authorization)];
        all.extend_from_slice(headers);
        self.ask_as_is(method, path, &all, body).await
    }

    /// Asks with these headers only.
    pub(crate) async fn ask_as_is(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Body>,
    ) -> Answer {
        let response = self.send(method, path, headers, body).await;
        let (head, body) = response.into_parts();
        if matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        ) {
            assert!(
                !head.headers.contains_key("content-length"),
                "{method} {path}: {head:?}"
            );
        }
        let body = body.collect().await.unwrap().to_bytes();
        if method == Method::HEAD {
            assert!(body.is_empty(), "HEAD {path} has a body");
        }
        assert_eq!(
            head.headers["x-content-type-options"], "nosniff",
            "{method} {path}"
        );
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// The answer to a request with these headers only, its body not read.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Body>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let remote = "192.0.2.99:4711".parse().unwrap();
        let request = request.extension(Connection { remote, peer: None });
        let request = request.body(body.into()).unwrap();
        self.front.answer(request).await
    }

    /// Posts, as most of what the strong side is asked.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.ask("POST", path, &[], body).await
    }

    /// Opens a stream of events with the right credentials.
    pub(crate) async fn stream(&self, path: &str, headers: Headers<'_>) -> Events {
        let authorization = basic(USER, PASSWORD);
        let mut all = vec![("authorization", &*authorization)];
        all.extend_from_slice(headers);
        Events::of(self.send("GET", path, &all, "").await)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.ask("PUT", path, &[], body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], "").await
    }
}
