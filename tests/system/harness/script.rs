//! A short script of writes by one client, one after another, and what the store must hold after
//! each: every step that was acknowledged, and of the one that was on its way all or nothing.

use std::fs;
use std::process::Stdio;

use serde_json::{Map, Value, json};

use super::client::Client;
use super::program::scratch;

/// One write.
enum Step {
    Put(&'static str, &'static str, String),
    Delete(&'static str, &'static str),
    /// A JSON merge patch of a node.
    Patch(&'static str, Value),
    Replace(&'static str, Value),
    Drop(&'static str),
}

/// The script, in order.
pub(crate) struct Script(Vec<Step>);

impl Script {
    /// Every kind of write, with a value of several pages, and writes of many keys at once, which
    /// must never be there by half.
    pub(crate) fn reference() -> Self {
        Self(vec![
            Step::Put("web", "colour", "blue".to_owned()),
            Step::Put("web", "large", "large ".repeat(2000)),
            Step::Replace("whole", json!({"a": "1", "b": "1", "c": "1"})),
            Step::Patch("web", json!({"colour": "red", "size": "10", "large": null})),
            Step::Delete("web", "size"),
            Step::Replace("whole", json!({"b": "2", "c": "2", "d": "2"})),
            Step::Put("web", "colour", "green".to_owned()),
            Step::Drop("whole"),
            Step::Put("whole", "again", "there".to_owned()),
            Step::Put("web", "colour", "white".to_owned()),
        ])
    }

    /// How many steps it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends the steps one after another until one gets no answer; the statuses that were told.
    pub(crate) fn run(&self, client: &Client) -> Vec<u16> {
        let folder = scratch();
        let (script, log) = (folder.path().join("script"), folder.path().join("log"));
        let sections: String = self.0.iter().map(|step| step.section(client)).collect();
        fs::write(&script, sections).expect("a script for curl");
        let script = script.to_string_lossy();
        client
            .command(&["curl", "--silent", "--fail-early", "--config", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"))
            .status()
            .expect("curl runs");
        let told = fs::read_to_string(&log).expect("a log");
        told.lines()
            .filter_map(|line| line.parse().ok())
            .filter(|status| *status > 0)
            .collect()
    }

    /// The store holds what `acknowledged` steps left, or one more.
    pub(crate) fn check(&self, client: &Client, acknowledged: usize, when: &str) {
        let held = client.store_json();
        let may = [acknowledged, acknowledged + 1].map(|steps| self.after(steps));
        assert!(
            may.contains(&held),
            "{when}: {acknowledged} steps were acknowledged, and the store is neither what they \
             left nor what one more does:\n{held}"
        );
    }

    /// What the store holds after the first `steps` of the script.
    fn after(&self, steps: usize) -> Value {
        let mut store = Map::new();
        for step in self.0.iter().take(steps) {
            step.apply(&mut store);
        }
        store.into()
    }
}

/// How many answers from the first on acknowledge a write.
pub(crate) fn acknowledged(told: &[u16]) -> usize {
    told.iter()
        .take_while(|status| (200..300).contains(*status))
        .count()
}

impl Step {
    fn section(&self, client: &Client) -> String {
        let node = |name: &str| format!("/v1/store/{name}");
        let key = |name: &str, key: &str| format!("/v1/store/{name}/{key}");
        let json = "application/json";
        match self {
            Self::Put(name, at, value) => {
                client.section("PUT", &key(name, at), Some(("text/plain", value)))
            }
            Self::Delete(name, at) => client.section("DELETE", &key(name, at), None),
            Self::Patch(name, keys) => {
                let kind = "application/merge-patch+json";
                client.section("PATCH", &node(name), Some((kind, &keys.to_string())))
            }
            Self::Replace(name, keys) => {
                client.section("PUT", &node(name), Some((json, &keys.to_string())))
            }
            Self::Drop(name) => client.section("DELETE", &node(name), None),
        }
    }

    fn apply(&self, store: &mut Map<String, Value>) {
        match self {
            Self::Put(name, key, value) => {
                keys(store, name).insert((*key).to_owned(), value.clone().into());
            }
            Self::Delete(name, key) => {
                keys(store, name).remove(*key);
            }
            Self::Patch(name, patch) => {
                for (key, value) in patch.as_object().into_iter().flatten() {
                    if value.is_null() {
                        keys(store, name).remove(key);
                    } else {
                        keys(store, name).insert(key.clone(), value.clone());
                    }
                }
            }
            Self::Replace(name, new) => {
                store.insert((*name).to_owned(), new.clone());
            }
            Self::Drop(name) => {
                store.remove(*name);
            }
        }
    }
}

/// The keys of a node, which is there from now on.
fn keys<'a>(store: &'a mut Map<String, Value>, node: &str) -> &'a mut Map<String, Value> {
    let entry = store.entry(node).or_insert_with(|| json!({}));
    entry.as_object_mut().expect("a node is an object")
}
