//! Strong nodes: the two-level store whose writes stand in one order.
//!
//! A key's version is the index of the entry that wrote it, so versions only grow and none is used
//! twice, also after a delete. A node's version is that of the last change to it or to any of its
//! keys. Only what is current is here; older versions go out as events, for whoever keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::model::{CONTENT_TYPE_LIMIT, KeyName, NodeName, Value, WallTime};

use super::clock::{LogTime, Millis};
use super::outcome::{Answer, Cause, Event, Outcome, Scene};
use super::refused::{Measure, Refused, at_most, room, within};

/// The largest value of a strong key, in bytes: 1 MiB.
pub const STRONG_VALUE_LIMIT: usize = 1 << 20;
/// The most strong nodes.
pub const NODES_LIMIT: usize = 100_000;
/// The most keys in all strong nodes.
pub const KEYS_LIMIT: usize = 1_000_000;
/// The most bytes in all strong nodes, names and [`ITEM_BYTES`] for each key included: 1 GiB.
pub const NODES_BYTES_LIMIT: usize = 1 << 30;
/// What a key is counted for beside its name and value, in bytes.
pub const ITEM_BYTES: usize = 128;
/// The longest time to live of a key: ten years.
pub const KEY_TTL_LIMIT: Millis = Millis::seconds(10 * 366 * 24 * 3600);
/// The most versions in one condition.
pub const VERSIONS_LIMIT: usize = 100;

/// An operation on a strong node. The order of the variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeOp {
    /// Reads a key; of use within a transaction.
    Get {
        /// The node.
        node: NodeName,
        /// The key.
        key: KeyName,
    },
    /// Sets a key; its node is made if it is missing.
    SetKey {
        /// The node.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// Its new value.
        value: Value,
        /// How long it lives; none: until it is deleted.
        ttl: Option<Millis>,
        /// What must hold of the key.
        condition: Condition,
    },
    /// Deletes a key that is there.
    DeleteKey {
        /// The node.
        node: NodeName,
        /// The key.
        key: KeyName,
        /// What must hold of the key.
        condition: Condition,
    },
    /// Makes a node hold exactly these keys; it is made if it is missing. Keys that have that value
    /// already, and live for ever, are not written again.
    Replace {
        /// The node.
        node: NodeName,
        /// All its keys.
        keys: BTreeMap<KeyName, Value>,
        /// What must hold of the node.
        condition: Condition,
    },
    /// Sets and deletes (`None`) some keys of a node; it is made if it is missing. Deleting what is
    /// not there is no error (RFC 7396).
    Patch {
        /// The node.
        node: NodeName,
        /// The keys to set or delete.
        keys: BTreeMap<KeyName, Option<Value>>,
        /// What must hold of the node.
        condition: Condition,
    },
    /// Deletes a node that is there, with all its keys.
    Delete {
        /// The node.
        node: NodeName,
        /// What must hold of the node.
        condition: Condition,
    },
}

/// What must hold for a write to be done (RFC 9110 §13).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `If-Match`: done only if what is there is one of these.
    pub if_match: Option<Match>,
    /// `If-None-Match`: done only if what is there is none of these.
    pub if_none_match: Option<Match>,
}

/// One side of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Match {
    /// `*`: anything that is there.
    Any,
    /// One of these versions.
    OneOf(Vec<u64>),
}

impl Match {
    fn matches(&self, current: Option<u64>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::OneOf(versions), Some(version)) => versions.contains(&version),
        }
    }

    fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Any => Ok(()),
            Self::OneOf(versions) => at_most(Measure::Versions, versions.len(), VERSIONS_LIMIT),
        }
    }
}

impl Condition {
    /// Only if it is not there.
    pub fn absent() -> Self {
        Self {
            if_none_match: Some(Match::Any),
            ..Self::default()
        }
    }

    /// Only if it has this version.
    pub fn version(version: u64) -> Self {
        Self {
            if_match: Some(Match::OneOf(vec![version])),
            ..Self::default()
        }
    }

    fn holds(&self, current: Option<u64>) -> Result<(), Refused> {
        let wanted = self.if_match.as_ref().is_none_or(|m| m.matches(current));
        let unwanted = self.if_none_match.as_ref();
        if wanted && !unwanted.is_some_and(|m| m.matches(current)) {
            Ok(())
        } else {
            Err(Refused::PreconditionFailed { current })
        }
    }

    fn check(&self) -> Result<(), Refused> {
        let sides = [&self.if_match, &self.if_none_match];
        sides.into_iter().flatten().try_for_each(Match::check)
    }
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The value.
    pub value: Value,
    /// The index of the entry that wrote it.
    pub version: u64,
    /// The index of the entry that made the key.
    pub created: u64,
    /// Who wrote it.
    pub author: Arc<str>,
    /// The leader's wall clock at that time; for people.
    pub written: WallTime,
    /// When it goes.
    pub expires: Option<LogTime>,
}

/// One strong node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub(super) created: u64,
    pub(super) version: u64,
    pub(super) keys: OrdMap<KeyName, Arc<Item>>,
}

impl Node {
    /// The index of the entry that made it.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// The index of the last entry that changed it or one of its keys.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Its keys in the order of their bytes.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyName, &Arc<Item>)> {
        self.keys.iter()
    }

    /// What a key holds.
    pub fn key(&self, key: &str) -> Option<&Arc<Item>> {
        self.keys.get(key)
    }

    /// The number of its keys.
    pub fn count(&self) -> usize {
        self.keys.len()
    }
}

/// Where a key stands.
#[derive(Clone, Copy)]
struct Spot<'a> {
    node: &'a NodeName,
    key: &'a KeyName,
}

/// All strong nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    all: OrdMap<NodeName, Node>,
    keys: usize,
    bytes: usize,
    due: OrdSet<(LogTime, NodeName, KeyName)>,
}

impl NodeOp {
    pub(super) fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Get { .. } => Ok(()),
            Self::SetKey {
                value,
                ttl,
                condition,
                ..
            } => {
                if let Some(ttl) = ttl {
                    within(Measure::KeyTtl, ttl.0, 1, KEY_TTL_LIMIT.0)?;
                }
                check_value(value)?;
                condition.check()
            }
            Self::Replace {
                keys, condition, ..
            } => {
                keys.values().try_for_each(check_value)?;
                condition.check()
            }
            Self::Patch {
                keys, condition, ..
            } => {
                keys.values().flatten().try_for_each(check_value)?;
                condition.check()
            }
            Self::DeleteKey { condition, .. } | Self::Delete { condition, .. } => condition.check(),
        }
    }
}

fn check_value(value: &Value) -> Result<(), Refused> {
    let size = value.octets.len();
    at_most(Measure::ValueBytes, size, STRONG_VALUE_LIMIT)?;
    let size = value.content_type.len();
    at_most(Measure::ContentTypeBytes, size, CONTENT_TYPE_LIMIT)
}

fn weight(key: &KeyName, item: &Item) -> usize {
    key.as_str().len() + item.value.octets.len() + ITEM_BYTES
}

impl Nodes {
    /// A node.
    pub fn node(&self, node: &str) -> Option<&Node> {
        self.all.get(node)
    }

    /// What a key holds.
    pub fn key(&self, node: &str, key: &str) -> Option<&Arc<Item>> {
        self.all.get(node)?.keys.get(key)
    }

    /// All nodes in the order of their names' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, &Node)> {
        self.all.iter()
    }

    /// The number of nodes.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether nothing was written between two states: they share their memory. Equal states that
    /// were come to in different ways count as different.
    pub fn is_same(&self, other: &Self) -> bool {
        self.all.ptr_eq(&other.all)
    }

    /// The number of keys in all nodes.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// The bytes in all nodes, as [`NODES_BYTES_LIMIT`] counts them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn next_deadline(&self) -> Option<LogTime> {
        self.due.get_min().map(|(at, _, _)| *at)
    }

    /// Lets go of keys whose time to live is over.
    pub(super) fn lapse(&mut self, scene: &mut Scene<'_>) {
        while let Some((at, node, key)) = self.due.get_min()
            && *at <= scene.now
        {
            let (node, key) = (node.clone(), key.clone());
            let spot = Spot {
                node: &node,
                key: &key,
            };
            self.put(spot, None, Cause::Time, scene);
        }
    }

    pub(super) fn perform(&mut self, op: &NodeOp, scene: &mut Scene<'_>) -> Answer {
        match op {
            NodeOp::Get { node, key } => {
                let item = self.key(node.as_str(), key.as_str());
                Ok(Outcome::Key(item.cloned()))
            }
            NodeOp::SetKey {
                node,
                key,
                value,
                ttl,
                condition,
            } => {
                let old = self.key(node.as_str(), key.as_str());
                condition.holds(old.map(|item| item.version))?;
                let created = old.is_none();
                let expires = ttl.map(|ttl| scene.now.after(ttl));
                self.set(Spot { node, key }, value, expires, scene);
                self.written(scene.index, created)
            }
            NodeOp::DeleteKey {
                node,
                key,
                condition,
            } => {
                let at = self.node(node.as_str()).ok_or(Refused::NodeNotFound)?;
                let old = at.keys.get(key).ok_or(Refused::KeyNotFound)?;
                condition.holds(Some(old.version))?;
                self.put(Spot { node, key }, None, Cause::Command, scene);
                Ok(Outcome::Deleted)
            }
            NodeOp::Replace {
                node,
                keys,
                condition,
            } => {
                let beside = self.keys_beside(node, keys);
                let gone = beside.into_iter().map(|key| (key, None));
                let set = keys.iter().map(|(key, value)| (key.clone(), Some(value)));
                self.write_all(node, gone.chain(set).collect(), condition, scene)
            }
            NodeOp::Patch {
                node,
                keys,
                condition,
            } => {
                let all = keys.iter();
                let all = all.map(|(key, value)| (key.clone(), value.as_ref()));
                self.write_all(node, all.collect(), condition, scene)
            }
            NodeOp::Delete { node, condition } => {
                let at = self.node(node.as_str()).ok_or(Refused::NodeNotFound)?;
                condition.holds(Some(at.version))?;
                let keys: Vec<KeyName> = at.keys.keys().cloned().collect();
                for key in keys {
                    self.put(Spot { node, key: &key }, None, Cause::Command, scene);
                }
                self.all.remove(node);
                scene.events.push(Event::NodeDeleted(node.clone()));
                Ok(Outcome::Deleted)
            }
        }
    }

    fn keys_beside(&self, node: &NodeName, keep: &BTreeMap<KeyName, Value>) -> Vec<KeyName> {
        let at = self.node(node.as_str()).into_iter();
        at.flat_map(|at| at.keys.keys())
            .filter(|key| !keep.contains_key(*key))
            .cloned()
            .collect()
    }

    fn write_all(
        &mut self,
        node: &NodeName,
        keys: Vec<(KeyName, Option<&Value>)>,
        condition: &Condition,
        scene: &mut Scene<'_>,
    ) -> Answer {
        let old = self.node(node.as_str()).map(|at| at.version);
        condition.holds(old)?;
        self.make(node, scene);
        for (key, value) in keys {
            let spot = Spot { node, key: &key };
            let current = self.at(spot);
            match value {
                Some(value) => {
                    let differs = |item: &Arc<Item>| item.expires.is_some() || item.value != *value;
                    if current.is_none_or(differs) {
                        self.set(spot, value, None, scene);
                    }
                }
                None if current.is_some() => self.put(spot, None, Cause::Command, scene),
                None => {}
            }
        }
        let version = self.node(node.as_str()).map(|at| at.version);
        self.written(version.unwrap_or(scene.index), old.is_none())
    }

    /// The answer to a write, or that there is no room for it.
    fn written(&self, version: u64, created: bool) -> Answer {
        room(Measure::Nodes, self.all.len(), NODES_LIMIT)?;
        room(Measure::Keys, self.keys, KEYS_LIMIT)?;
        room(Measure::NodesBytes, self.bytes, NODES_BYTES_LIMIT)?;
        Ok(Outcome::Written { version, created })
    }

    fn make(&mut self, node: &NodeName, scene: &mut Scene<'_>) {
        if !self.all.contains_key(node) {
            let made = Node {
                created: scene.index,
                version: scene.index,
                keys: OrdMap::new(),
            };
            self.all.insert(node.clone(), made);
            scene.events.push(Event::NodeCreated(node.clone()));
        }
    }

    fn at(&self, spot: Spot<'_>) -> Option<&Arc<Item>> {
        self.key(spot.node.as_str(), spot.key.as_str())
    }

    fn set(
        &mut self,
        spot: Spot<'_>,
        value: &Value,
        expires: Option<LogTime>,
        scene: &mut Scene<'_>,
    ) {
        self.make(spot.node, scene);
        let item = Item {
            value: value.clone(),
            version: scene.index,
            created: self.at(spot).map_or(scene.index, |old| old.created),
            author: scene.author.clone(),
            written: scene.written,
            expires,
        };
        self.put(spot, Some(Arc::new(item)), Cause::Command, scene);
    }

    /// The one place where a key changes: the node's version and the event go with it.
    fn put(&mut self, spot: Spot<'_>, new: Option<Arc<Item>>, cause: Cause, scene: &mut Scene<'_>) {
        let old = self.replace(spot, new.as_ref());
        if let Some(at) = self.all.get_mut(spot.node) {
            at.version = scene.index;
        }
        scene.events.push(Event::Key {
            node: spot.node.clone(),
            key: spot.key.clone(),
            old,
            new,
            cause,
        });
    }

    /// Changes a key, and with it the sums and the deadlines.
    fn replace(&mut self, spot: Spot<'_>, new: Option<&Arc<Item>>) -> Option<Arc<Item>> {
        let Spot { node, key } = spot;
        let at = self.all.get_mut(node)?;
        let old = match new {
            Some(item) => at.keys.insert(key.clone(), item.clone()),
            None => at.keys.remove(key),
        };
        if let Some(old) = &old {
            (self.keys, self.bytes) = (self.keys - 1, self.bytes - weight(key, old));
            if let Some(at) = old.expires {
                self.due.remove(&(at, node.clone(), key.clone()));
            }
        }
        if let Some(new) = new {
            (self.keys, self.bytes) = (self.keys + 1, self.bytes + weight(key, new));
            if let Some(at) = new.expires {
                self.due.insert((at, node.clone(), key.clone()));
            }
        }
        old
    }

    /// Takes a node from a snapshot.
    pub(super) fn restore_node(&mut self, name: NodeName, created: u64, version: u64) {
        let keys = OrdMap::new();
        let node = Node {
            created,
            version,
            keys,
        };
        self.all.insert(name, node);
    }

    /// Takes a key from a snapshot; says whether its node is there.
    pub(super) fn restore_key(&mut self, node: &NodeName, key: &KeyName, item: &Arc<Item>) -> bool {
        self.replace(Spot { node, key }, Some(item));
        self.all.contains_key(node)
    }
}

#[cfg(test)]
mod tests;
