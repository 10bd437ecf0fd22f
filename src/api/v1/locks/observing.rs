//! `GET /v1/locks/{name}/observe`: who holds a lock, as it changes: for elections.
//!
//! The stream begins with the state, and goes on with each change after it. Should it fall behind,
//! it says so (`resync`), and begins with the state again.

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::parse;
use crate::api::coordination::READ;
use crate::api::events::{self, Feed};
use crate::api::followers::{LockSeat, Told};
use crate::api::query::Query;
use crate::api::server::{Answer, Call};
use crate::strong::engine::{Engine, View};
use crate::strong::{LockEvent, LockName};

/// Streams who holds a lock.
pub(in crate::api::v1) async fn observe(call: &Call<'_>, name: &str) -> Answer {
    let query = Query::of(&call.head.uri, &READ)?;
    let name = parse(name)?;
    let place = call.api.streams.enter()?;
    let (seat, told) = call.api.followers.lock(name.clone());
    // So that nobody is told of a holder that was replaced before the request.
    call.fresh(&query).await?;
    let observer = Observer {
        engine: call.engine()?.clone(),
        name,
        told,
        position: None,
        _seat: seat,
    };
    Ok(events::answer(call, place, observer))
}

struct Observer {
    engine: Engine,
    name: LockName,
    told: broadcast::Receiver<Told>,
    /// Up to where the client knows what happened; none: it is to be told how all stands.
    position: Option<u64>,
    _seat: LockSeat,
}

/// The data of an event.
#[derive(Serialize)]
struct Data<'a> {
    /// The fencing token of the holder, or of the last one.
    token: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    /// The position of the command that brought it, or of the last one.
    position: u64,
}

fn holder(out: &mut Vec<u8>, token: u64, value: Option<&str>, position: u64) {
    let data = Data {
        token,
        value,
        position,
    };
    write(out, "holder", &data);
}

fn vacant(out: &mut Vec<u8>, token: u64, position: u64) {
    let data = Data {
        token,
        value: None,
        position,
    };
    write(out, "vacant", &data);
}

fn write(out: &mut Vec<u8>, event: &str, data: &Data<'_>) {
    let text = serde_json::to_string(data).expect("numbers and text are written into a String");
    events::write(out, event, None, &text);
}

impl Observer {
    /// Tells how all stands.
    fn begin(&mut self, out: &mut Vec<u8>) {
        let (view, _) = self.engine.view();
        let view: &View = &view;
        let position = view.position();
        if self.position.replace(position).is_some() {
            let data = format!("{{\"position\":{position}}}");
            events::write(out, "resync", None, &data);
        }
        let lock = view.state.locks().lock(self.name.as_str());
        let mut is_vacant = true;
        for (token, held) in lock.into_iter().flat_map(crate::strong::Lock::holders) {
            holder(out, *token, held.value.as_deref(), position);
            is_vacant = false;
        }
        if is_vacant {
            vacant(out, lock.map_or(0, crate::strong::Lock::newest), position);
        }
    }

    /// Tells what happened, unless the client knows it.
    fn take(&mut self, told: Result<Told, RecvError>, out: &mut Vec<u8>) {
        match told {
            Ok(Told::Event(position, what)) => {
                if self.position.is_none_or(|known| position > known) {
                    happened(out, position, &what);
                }
            }
            Ok(Told::Unsure) | Err(RecvError::Lagged(_)) => self.begin(out),
            Err(RecvError::Closed) => {}
        }
    }
}

fn happened(out: &mut Vec<u8>, position: u64, what: &LockEvent) {
    match what {
        LockEvent::Granted { token, value, .. } => holder(out, *token, value.as_deref(), position),
        LockEvent::Published { token, value } => holder(out, *token, Some(value), position),
        LockEvent::Ended { token, .. } => vacant(out, *token, position),
        LockEvent::Queued { .. } | LockEvent::Left { .. } | LockEvent::Asked { .. } => {}
    }
}

impl Feed for Observer {
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        if self.position.is_none() {
            self.begin(&mut out);
        }
        while out.is_empty() {
            let told = self.told.recv().await;
            if matches!(told, Err(RecvError::Closed)) {
                return None;
            }
            self.take(told, &mut out);
        }
        // What is there already goes out together.
        loop {
            let told = match self.told.try_recv() {
                Ok(told) => Ok(told),
                Err(TryRecvError::Lagged(count)) => Err(RecvError::Lagged(count)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            };
            self.take(told, &mut out);
        }
        Some(out.into())
    }

    fn sign_of_life(&self) -> String {
        events::age(&self.engine)
    }
}
