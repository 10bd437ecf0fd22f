//! Clients over kept connections, many requests a second, from a machine at the bridge: cuts
//! between hosts do not touch them.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use gaggle::io::http_client::{ApiClient, ApiError, ApiOptions, ApiRequest, Credentials};
use gaggle::io::tls::{Offer, Trust};
use http::Method;
use serde_json::Value;
use tokio::runtime::{Builder, Handle, Runtime};

use super::client::Reply;
use super::lan::Lan;
use super::member::{Cluster, Member, PASSWORD};

/// The threads that callers send their requests from.
pub(crate) struct Exchange(Runtime);

/// A client of one member.
#[derive(Clone)]
pub(crate) struct Caller {
    threads: Handle,
    api: Arc<ApiClient>,
}

/// What a client knows of a request without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It was not sent.
    NotSent(String),
    /// It was sent, and may have been done.
    Lost(String),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// An answer by the group: done, or refused for what it asked.
    Answered(Reply),
    /// Certainly not done, for want of a member that could do it.
    NotDone(String),
    /// Nobody knows.
    Unknown(String),
}

impl Exchange {
    /// Threads at the bridge of `lan`.
    pub(crate) fn new(lan: &Lan) -> Self {
        // Threads are where the thread is that makes them.
        let made = lan.enter_switch(|| {
            let mut threads = Builder::new_multi_thread();
            threads.worker_threads(2).enable_all().build()
        });
        Self(made.expect("threads"))
    }

    /// A client of `member`, which waits for an answer at most that long.
    pub(crate) fn caller(&self, cluster: &Cluster, member: &Member, limit: Duration) -> Caller {
        let pem = std::fs::read(cluster.ca()).expect("the cluster's certificate");
        let trust = Trust::from_pem(&pem).expect("a certificate");
        let options = ApiOptions {
            credentials: Some(Credentials {
                user: "admin".to_owned(),
                password: PASSWORD.to_owned().into(),
            }),
            // Under HTTP/2 a machine with much to do is taken for a dead connection after 3 s.
            offer: Offer::Http1,
            connect: limit.min(Duration::from_secs(2)),
            limit,
            ..ApiOptions::default()
        };
        let api = ApiClient::new(&member.client().base, &trust, options);
        Caller {
            threads: self.0.handle().clone(),
            api: Arc::new(api.expect("a client")),
        }
    }
}

impl Caller {
    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&self, request: ApiRequest) -> Result<Reply, Silence> {
        let (answer, answered) = mpsc::sync_channel(1);
        let api = self.api.clone();
        self.threads.spawn(async move {
            // Who asked may have gone.
            let _ = answer.send(api.request(request).await);
        });
        match answered.recv().expect("the threads outlive their callers") {
            Ok(answer) => Ok(Reply {
                status: answer.status.as_u16(),
                body: String::from_utf8_lossy(&answer.body).into_owned(),
            }),
            Err(error) => Err(match error {
                ApiError::TimedOut { .. } | ApiError::Broken { .. } => {
                    Silence::Lost(error.to_string())
                }
                _ => Silence::NotSent(error.to_string()),
            }),
        }
    }

    /// Sends a request to the strong side.
    pub(crate) fn call(&self, request: ApiRequest) -> Became {
        match self.ask(request) {
            Err(Silence::NotSent(why)) => Became::NotDone(why),
            Err(Silence::Lost(why)) => Became::Unknown(why),
            Ok(reply) if reply.status < 400 => Became::Answered(reply),
            Ok(reply) => match reply.json()["outcome"].as_str() {
                Some("not-applied") if matches!(reply.status, 429 | 500..) => {
                    Became::NotDone(reply.body)
                }
                Some("not-applied") => Became::Answered(reply),
                _ => Became::Unknown(reply.body),
            },
        }
    }

    /// `GET path`.
    pub(crate) fn get(&self, path: &str) -> Became {
        self.call(ApiRequest::new(Method::GET, path).with_header("accept", "application/json"))
    }

    /// `POST path` with a JSON document.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Became {
        self.call(post(path, body))
    }
}

impl Became {
    /// The answer of a request that must have one; fails the test otherwise.
    #[track_caller]
    pub(crate) fn answer(self) -> Reply {
        match self {
            Self::Answered(reply) => reply,
            other => panic!("no answer: {other:?}"),
        }
    }
}

/// `POST path` with a JSON document.
pub(crate) fn post(path: &str, body: &Value) -> ApiRequest {
    ApiRequest::new(Method::POST, path)
        .with_header("content-type", "application/json")
        .with_body(body.to_string())
}

/// `PUT path` with a text.
pub(crate) fn put(path: &str, text: &str) -> ApiRequest {
    ApiRequest::new(Method::PUT, path)
        .with_header("content-type", "text/plain")
        .with_body(text.to_owned())
}
