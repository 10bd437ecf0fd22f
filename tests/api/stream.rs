//! Reads server-sent events from an answer, as a client does (HTML Living Standard, 9.2.6).

use std::time::Duration;

use axum::body::Body;
use http::Response;
use http_body_util::BodyExt;

/// How long an event may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream of events.
pub(crate) struct Events {
    body: Body,
    text: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

impl Event {
    /// The data as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

impl Events {
    /// The events of an answer.
    #[track_caller]
    pub(crate) fn of(answer: Response<Body>) -> Self {
        let (head, body) = answer.into_parts();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.headers["content-type"], "text/event-stream");
        assert_eq!(head.headers["cache-control"], "no-store");
        assert!(!head.headers.contains_key("content-length"));
        let text = String::new();
        Self { body, text }
    }

    /// The next event; none at the end of the stream. Comments and `retry` are passed over.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let event = read(&self.text[..end]);
                self.text.drain(..end + 2);
                if event.is_some() {
                    return event;
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let piece = frame.expect("an event comes in time")?.unwrap();
            let piece = piece.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The next event, which has this name; its data.
    pub(crate) async fn take(&mut self, name: &str) -> serde_json::Value {
        let event = self.next().await;
        let event = event.unwrap_or_else(|| panic!("the stream ended before {name}"));
        assert_eq!(event.name, name, "{event:?}");
        event.json()
    }
}

fn read(block: &str) -> Option<Event> {
    let mut event = Event {
        name: String::new(),
        id: String::new(),
        data: String::new(),
    };
    let mut lines = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(": ").unwrap();
        match field {
            "event" => value.clone_into(&mut event.name),
            "id" => value.clone_into(&mut event.id),
            "data" => lines.push(value),
            "" | "retry" => {}
            _ => panic!("an unknown field: {line}"),
        }
    }
    event.data = lines.join("\n");
    (!lines.is_empty()).then_some(event)
}
