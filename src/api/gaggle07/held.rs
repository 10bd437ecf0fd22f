//! What this member holds, of both classes of nodes, as this face shows it; and its checksum.
//!
//! Everything here is read from one state of this member, without asking anybody: strong nodes are
//! shown as this member has them.

use std::fmt::Write as _;
use std::future::{self, Future};
use std::sync::Arc;

use axum::body::Body;
use futures_util::FutureExt;
use md5::{Digest, Md5};

use super::values::Shown;
use crate::api::json::write_text;
use crate::api::pages::{self, Pages};
use crate::api::problem::Problem;
use crate::api::server::Call;
use crate::app::View;
use crate::model::{KeyName, Value, WallTime};
use crate::strong::{Listed, engine, listing};

/// How much is gathered before it goes into the checksum, and how much is looked at before others
/// have the thread, in bytes.
const PIECE: usize = 64 * 1024;
/// What looking at a key costs beside its value, in bytes of a value.
const KEY: usize = 64;

/// One state of the store.
#[derive(Clone)]
pub(super) struct Held {
    view: Arc<View>,
    strong: Arc<engine::View>,
    now: WallTime,
}

impl Held {
    /// What this member holds now.
    pub(super) fn of(call: &Call<'_>) -> Self {
        Self {
            view: call.view(),
            strong: call.api.parts.strong.local().unwrap_or_default(),
            now: call.now(),
        }
    }

    /// A node.
    pub(super) fn node(&self, name: &str) -> Option<Listed<'_>> {
        if let Some(node) = self.strong.state.nodes().node(name) {
            return Some(Listed::Strong { node, hides: None });
        }
        self.view.store.node(name).map(Listed::Eventual)
    }

    /// Whether a node is strong.
    pub(super) fn is_strong(&self, name: &str) -> bool {
        self.strong.state.nodes().node(name).is_some()
    }

    /// The value of a key.
    pub(super) fn value(&self, node: &str, key: &str) -> Option<&Value> {
        match self.node(node)? {
            Listed::Eventual(_) => self.view.store.get(node, key, self.now)?.value(),
            Listed::Strong { node, .. } => node.key(key).map(|item| &item.value),
        }
    }

    fn keys<'a>(&self, node: &Listed<'a>) -> Keys<'a> {
        match node {
            Listed::Eventual(node) => {
                let keys = node.live_keys(self.now);
                Box::new(keys.filter_map(|(key, version)| Some((key, version.value()?))))
            }
            Listed::Strong { node, .. } => {
                Box::new(node.keys().map(|(key, item)| (key, &item.value)))
            }
        }
    }

    /// A node as a body.
    pub(super) fn node_body(self, name: String) -> Body {
        pages::body(|mut pages| async move {
            if let Some(node) = self.node(&name) {
                self.write_node(&mut pages, &node).await;
            }
            pages
        })
    }

    /// Everything as a body.
    pub(super) fn body(self) -> Body {
        pages::body(|mut pages| async move {
            self.write(&mut pages).await;
            pages
        })
    }

    /// A list of what `write` makes of each key, as a body. It may write several items, with commas
    /// between, or none.
    pub(super) fn list_body(
        self,
        write: impl Fn(&mut Vec<u8>, Place<'_>) + Send + 'static,
    ) -> Body {
        pages::body(|mut pages| async move {
            pages.page.push(b'[');
            let (mut is_first, mut looked_at) = (true, 0);
            for (name, node) in listing(&self.view.store, self.strong.state.nodes()) {
                for (key, value) in self.keys(&node) {
                    let mut found = Vec::new();
                    let (node, key) = (name.as_str(), key.as_str());
                    write(&mut found, Place { node, key, value });
                    if !found.is_empty() && !std::mem::take(&mut is_first) {
                        pages.page.push(b',');
                    }
                    pages.page.extend_from_slice(&found);
                    pages.turn().await;
                    looked_at += KEY + value.octets.len();
                    if looked_at >= PIECE {
                        looked_at = 0;
                        pages.rest().await;
                    }
                }
            }
            pages.page.push(b']');
            pages
        })
    }

    /// Writes the whole store as compact JSON, nodes and keys in the order of their names: the same
    /// text on every member that holds the same.
    async fn write(&self, out: &mut impl Sink) {
        out.page().push(b'{');
        let all = listing(&self.view.store, self.strong.state.nodes());
        for (place, (name, node)) in all.enumerate() {
            if place > 0 {
                out.page().push(b',');
            }
            write_text(out.page(), name.as_str());
            out.page().push(b':');
            self.write_node(out, &node).await;
            out.turn().await;
        }
        out.page().push(b'}');
    }

    async fn write_node(&self, out: &mut impl Sink, node: &Listed<'_>) {
        out.page().push(b'{');
        for (place, (key, value)) in self.keys(node).enumerate() {
            if place > 0 {
                out.page().push(b',');
            }
            write_text(out.page(), key.as_str());
            out.page().push(b':');
            Shown::of(value).write(out.page());
            out.turn().await;
        }
        out.page().push(b'}');
    }

    /// The MD5 of what [`Held::body`] gives, as 32 hexadecimal digits. For a thread that may block.
    fn checksum(&self) -> String {
        let mut sum = Sum::default();
        self.write(&mut sum).now_or_never().unwrap_or_default();
        sum.finish()
    }
}

/// The checksum of the store as it is.
pub(super) async fn checksum(call: &Call<'_>) -> Result<String, Problem> {
    let held = Held::of(call);
    call.blocking(move || held.checksum()).await
}

type Keys<'a> = Box<dyn Iterator<Item = (&'a KeyName, &'a Value)> + Send + 'a>;

/// A key with its value.
pub(super) struct Place<'a> {
    pub(super) node: &'a str,
    pub(super) key: &'a str,
    pub(super) value: &'a Value,
}

/// Where a text goes that is written piece by piece.
trait Sink: Send {
    /// Where to write next.
    fn page(&mut self) -> &mut Vec<u8>;
    /// What is there may go on.
    fn turn(&mut self) -> impl Future<Output = ()> + Send;
}

impl Sink for Pages {
    fn page(&mut self) -> &mut Vec<u8> {
        &mut self.page
    }

    fn turn(&mut self) -> impl Future<Output = ()> + Send {
        Self::turn(self)
    }
}

/// A checksum in the making. It never waits.
#[derive(Default)]
struct Sum {
    page: Vec<u8>,
    md5: Md5,
}

impl Sum {
    fn finish(mut self) -> String {
        self.md5.update(&self.page);
        hexadecimal(&self.md5.finalize())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A String takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Sink for Sum {
    fn page(&mut self) -> &mut Vec<u8> {
        &mut self.page
    }

    fn turn(&mut self) -> impl Future<Output = ()> + Send {
        if self.page.len() >= PIECE {
            self.md5.update(&self.page);
            self.page.clear();
        }
        future::ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_the_md5_of_all_pieces() {
        let mut sum = Sum::default();
        sum.page.extend_from_slice(b"{}");
        assert_eq!(sum.finish(), "99914b932bd37a50b983c5e7c90ae93b");
        let mut sum = Sum::default();
        for _ in 0..=PIECE {
            sum.page.extend_from_slice(b"ab");
            sum.turn().now_or_never().unwrap();
        }
        assert!(sum.page.len() < PIECE, "what was taken is not kept");
        let whole = Md5::digest("ab".repeat(PIECE + 1));
        assert_eq!(sum.finish(), hexadecimal(&whole));
    }
}
