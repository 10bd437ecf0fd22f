//! What a client can ask to be written, and what becomes of it: pure decisions over a store.
//!
//! An edit is decided against the newest store by the one writer: its condition holds or the whole
//! edit is refused; then it becomes changes with stamps above all that they replace.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::planted::{self, Bug};
use crate::model::{
    Change, Content, HybridClock, KeyName, Node, NodeName, NodeRegister, NodeState, Settings,
    Stamp, Store, Value, Version, WallTime,
};

use super::error::EditError;
use super::past::Recalled;
use super::tag::{Condition, key_tag, node_tag};

/// One thing that a client wants written. All of it happens, or nothing.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Sets a key; its node is made if it is missing.
    SetKey {
        /// The node.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// Its new value.
        value: Value,
    },
    /// Deletes a key that is there.
    DeleteKey {
        /// The node.
        node: NodeName,
        /// The key.
        key: KeyName,
    },
    /// Writes an older version's value, or deletion, again: a new version that replaces the current
    /// one and all that lost a conflict, which is settled by it. A value makes its node if that is
    /// missing; what expires, expires no more.
    Restore {
        /// The node.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// Which version; the current one is one of them.
        stamp: Stamp,
    },
    /// Makes a node hold exactly these keys; it is made if it is missing. Keys that have that value
    /// already are not written again.
    ReplaceNode {
        /// The node.
        node: NodeName,
        /// All its keys.
        keys: BTreeMap<KeyName, Value>,
    },
    /// Sets and deletes (`None`) some keys of a node; it is made if it is missing. Deleting what is
    /// not there is no error (RFC 7396).
    PatchNode {
        /// The node.
        node: NodeName,
        /// The keys to set or delete.
        keys: BTreeMap<KeyName, Option<Value>>,
    },
    /// Sets some keys of a node, each until its own expiry; it is made if it is missing. A key that
    /// has these octets already, whatever their media type, is written again only if that makes
    /// them last longer. For faces whose publishers say the same again and again.
    Publish {
        /// The node.
        node: NodeName,
        /// The keys to set, and from when on readers do not see them (none: never).
        keys: BTreeMap<KeyName, (Value, Option<WallTime>)>,
    },
    /// Deletes a node that is there, with all its keys.
    DeleteNode {
        /// The node.
        node: NodeName,
    },
    /// Sets some of a node's settings; it is made, with defaults for the rest, if it is missing.
    Configure {
        /// The node.
        node: NodeName,
        /// What it is for; none: as it is.
        description: Option<Arc<str>>,
        /// How many versions of a key are kept; none: as it is.
        history: Option<u16>,
    },
}

/// An edit with its author and its condition.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to write.
    pub edit: Edit,
    /// Who asks: kept with every version.
    pub author: Arc<str>,
    /// What must hold for it to be done.
    pub condition: Condition,
}

/// Where an edit happens and by what clock.
pub(super) struct Scene<'a> {
    pub(super) store: &'a Store,
    pub(super) clock: &'a mut HybridClock,
    pub(super) now: WallTime,
    /// What the disk knows that the edit needs.
    pub(super) recalled: Recalled,
}

/// What an edit came to.
#[derive(Debug)]
pub(super) struct Decision {
    /// Whether the node or key was not there before.
    pub(super) created: bool,
    /// The changes, in order.
    pub(super) changes: Vec<Change>,
}

impl Edit {
    /// The node that it touches.
    pub fn node(&self) -> &NodeName {
        match self {
            Self::SetKey { node, .. }
            | Self::DeleteKey { node, .. }
            | Self::Restore { node, .. }
            | Self::ReplaceNode { node, .. }
            | Self::PatchNode { node, .. }
            | Self::Publish { node, .. }
            | Self::DeleteNode { node }
            | Self::Configure { node, .. } => node,
        }
    }

    /// Whether it only takes away: such edits go through on a full disk.
    pub fn only_deletes(&self) -> bool {
        match self {
            Self::DeleteKey { .. } | Self::DeleteNode { .. } => true,
            Self::PatchNode { keys, .. } => keys.values().all(Option::is_none),
            Self::SetKey { .. }
            | Self::Restore { .. }
            | Self::ReplaceNode { .. }
            | Self::Publish { .. }
            | Self::Configure { .. } => false,
        }
    }

    /// The values that it would set.
    pub fn values(&self) -> Box<dyn Iterator<Item = (&KeyName, &Value)> + '_> {
        match self {
            Self::SetKey { key, value, .. } => Box::new(std::iter::once((key, value))),
            Self::ReplaceNode { keys, .. } => Box::new(keys.iter()),
            Self::PatchNode { keys, .. } => Box::new(
                keys.iter()
                    .filter_map(|(key, value)| Some((key, value.as_ref()?))),
            ),
            Self::Publish { keys, .. } => {
                Box::new(keys.iter().map(|(key, (value, _))| (key, value)))
            }
            Self::DeleteKey { .. }
            | Self::Restore { .. }
            | Self::DeleteNode { .. }
            | Self::Configure { .. } => Box::new(std::iter::empty()),
        }
    }
}

/// Decides an edit: its changes with their stamps, or why it is refused.
pub(super) fn decide(scene: &mut Scene<'_>, request: &Request) -> Result<Decision, EditError> {
    let Request {
        edit,
        author,
        condition,
    } = request;
    let name = edit.node();
    let node = scene.store.node(name.as_str());
    let (tag, found) = match edit {
        Edit::SetKey { key, .. } | Edit::DeleteKey { key, .. } | Edit::Restore { key, .. } => {
            let version = scene.store.get(name.as_str(), key.as_str(), scene.now);
            (version.map(|version| key_tag(version)), version.is_some())
        }
        _ => (
            node.filter(|_| !condition.is_empty()).map(node_tag),
            node.is_some(),
        ),
    };
    match edit {
        Edit::DeleteKey { .. } if !found => {
            return Err(if node.is_some() {
                EditError::KeyNotFound
            } else {
                EditError::NodeNotFound
            });
        }
        Edit::DeleteNode { .. } if !found => return Err(EditError::NodeNotFound),
        Edit::Restore { .. } if scene.recalled.version.is_none() => {
            return Err(EditError::VersionNotFound);
        }
        _ => {}
    }
    // What is not there is not there, whatever the condition (RFC 9110 §13.2.1).
    condition.check(found, tag.as_deref())?;
    let mut writing = Writing {
        scene,
        author,
        changes: Vec::new(),
    };
    writing.edit(edit);
    let changes = writing.changes;
    let deletes = |change: &Change| match change {
        Change::Key { version, .. } => version.value().is_none(),
        Change::Node { .. } | Change::Member { .. } => false,
    };
    let restored_deletion =
        matches!(edit, Edit::Restore { .. }) && changes.last().is_some_and(deletes);
    Ok(Decision {
        created: !found && !restored_deletion,
        changes,
    })
}

struct Writing<'a, 'b> {
    scene: &'a mut Scene<'b>,
    author: &'a Arc<str>,
    changes: Vec<Change>,
}

impl Writing<'_, '_> {
    fn edit(&mut self, edit: &Edit) {
        match edit {
            Edit::SetKey { node, key, value } => {
                self.make_node(node);
                self.version(node, key, Content::Value(value.clone()));
            }
            Edit::DeleteKey { node, key } => self.version(node, key, Content::Tombstone),
            Edit::Restore { node, key, .. } => self.restore(node, key),
            Edit::ReplaceNode { node, keys } => {
                self.make_node(node);
                for key in self.keys_beside(node, keys) {
                    self.version(node, &key, Content::Tombstone);
                }
                for (key, value) in keys {
                    self.set_if_different(node, key, value);
                }
            }
            Edit::PatchNode { node, keys } => {
                self.make_node(node);
                for (key, value) in keys {
                    match value {
                        Some(value) => self.set_if_different(node, key, value),
                        None if self.current(node, key).is_some() => {
                            self.version(node, key, Content::Tombstone);
                        }
                        None => {}
                    }
                }
            }
            Edit::Publish { node, keys } => {
                self.make_node(node);
                for (key, (value, expires)) in keys {
                    if self.is_news(node, key, value, *expires) {
                        let content = Content::Value(value.clone());
                        self.version_until(node, key, content, *expires);
                    }
                }
            }
            Edit::DeleteNode { node } => self.register(node, NodeState::Deleted),
            Edit::Configure {
                node,
                description,
                history,
            } => {
                let old = self.scene.store.node(node.as_str()).map(Node::settings);
                let old = old.unwrap_or_default();
                let settings = Settings {
                    description: description.clone().unwrap_or(old.description),
                    history: history.unwrap_or(old.history),
                };
                self.register(node, NodeState::Present(settings));
            }
        }
    }

    fn restore(&mut self, node: &NodeName, key: &KeyName) {
        let Some(version) = self.scene.recalled.version.clone() else {
            return;
        };
        if version.value().is_some() {
            self.make_node(node);
        }
        self.version(node, key, version.content.clone());
    }

    fn current(&self, node: &NodeName, key: &KeyName) -> Option<&Arc<Version>> {
        self.scene
            .store
            .get(node.as_str(), key.as_str(), self.scene.now)
    }

    fn keys_beside(&self, node: &NodeName, keep: &BTreeMap<KeyName, Value>) -> Vec<KeyName> {
        let live = self.scene.store.node(node.as_str()).into_iter();
        live.flat_map(|at| at.live_keys(self.scene.now))
            .map(|(key, _)| key)
            .filter(|key| !keep.contains_key(*key))
            .cloned()
            .collect()
    }

    fn set_if_different(&mut self, node: &NodeName, key: &KeyName, value: &Value) {
        if self.current(node, key).and_then(|version| version.value()) != Some(value) {
            self.version(node, key, Content::Value(value.clone()));
        }
    }

    /// Whether other octets are there than these, or these for a shorter time.
    fn is_news(
        &self,
        node: &NodeName,
        key: &KeyName,
        value: &Value,
        expires: Option<WallTime>,
    ) -> bool {
        let Some(version) = self.current(node, key) else {
            return true;
        };
        let is_same = version.value().map(|there| &there.octets) == Some(&value.octets);
        let lasts = version
            .expires
            .is_none_or(|at| expires.is_some_and(|new| new <= at));
        !(is_same && lasts)
    }

    /// A node that is written to is present from then on, also when its last key goes.
    fn make_node(&mut self, node: &NodeName) {
        let register = self.scene.store.register(node.as_str());
        if register.is_none_or(|register| register.settings().is_none()) {
            self.register(node, NodeState::Present(Settings::default()));
        }
    }

    fn register(&mut self, node: &NodeName, state: NodeState) {
        let old = self.scene.store.register(node.as_str());
        let replaces = old.map(|old| old.stamp);
        let mut above = old.map(|old| old.stamp.max(old.cleared.unwrap_or(old.stamp)));
        if state == NodeState::Deleted {
            let keys = self.scene.store.node(node.as_str()).and_then(greatest);
            above = above.max(keys.filter(|_| !planted::is(Bug::ClearBelowKeys)));
        }
        let old_cleared = old.and_then(|old| old.cleared);
        let stamp = self
            .scene
            .clock
            .stamp(self.scene.now, above.map(|above| above.time));
        let cleared = if state == NodeState::Deleted {
            Some(stamp)
        } else {
            old_cleared
        };
        let register = NodeRegister {
            stamp,
            replaces,
            author: self.author.clone(),
            written: self.scene.now,
            state,
            cleared,
        };
        self.changes.push(Change::Node {
            node: node.clone(),
            register: Arc::new(register),
        });
    }

    fn version(&mut self, node: &NodeName, key: &KeyName, content: Content) {
        self.version_until(node, key, content, None);
    }

    fn version_until(
        &mut self,
        node: &NodeName,
        key: &KeyName,
        content: Content,
        expires: Option<WallTime>,
    ) {
        let old = self
            .scene
            .store
            .entry(node.as_str(), key.as_str())
            .map(|entry| entry.head.stamp);
        let cleared = self
            .scene
            .store
            .register(node.as_str())
            .and_then(|at| at.cleared);
        let made = self.changes.iter().filter_map(|change| match change {
            Change::Node { register, .. } => Some(register.stamp),
            Change::Key { .. } | Change::Member { .. } => None,
        });
        let above = old.max(cleared).max(made.max()).map(|stamp| stamp.time);
        let version = Version {
            stamp: self.scene.clock.stamp(self.scene.now, above),
            replaces: old
                .into_iter()
                .chain(self.scene.recalled.lost.iter().copied())
                .collect(),
            author: self.author.clone(),
            written: self.scene.now,
            expires,
            content,
        };
        self.changes.push(Change::Key {
            node: node.clone(),
            key: key.clone(),
            version: Arc::new(version),
        });
    }
}

/// The greatest stamp of any key of a node.
fn greatest(node: &Node) -> Option<Stamp> {
    node.entries().map(|(_, entry)| entry.head.stamp).max()
}
