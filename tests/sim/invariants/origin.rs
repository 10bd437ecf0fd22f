//! Nothing comes from nowhere: each version that a member has was written by a client on the member
//! that its stamp names, with that content; and no stamp was ever given twice.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use gaggle::model::{Change, KeyName, NodeName, Source, Stamp, Store, Version};

use super::{Held, Step, Violation};

/// Every write that was ever decided.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    versions: HashMap<Stamp, u128>,
    registers: BTreeSet<Stamp>,
    /// Values that clients sent.
    sent: BTreeSet<String>,
}

fn broken(what: String) -> Held {
    let invariant = "origin";
    Err(Violation { invariant, what })
}

impl Origin {
    /// A client sends a value.
    pub(crate) fn send(&mut self, value: &str) {
        self.sent.insert(value.to_owned());
    }

    /// How many versions and registers were written.
    pub(crate) fn written(&self) -> usize {
        self.versions.len() + self.registers.len()
    }

    /// Looks at what a commit applied.
    pub(crate) fn check(&mut self, step: &Step<'_>) -> Held {
        for applied in step.applied {
            let own = applied.source == Source::Own;
            match &applied.change {
                Change::Key { node, key, version } if own => {
                    self.born(step.host, node, key, version)?;
                }
                Change::Node { register, .. } if own => {
                    if !self.registers.insert(register.stamp) {
                        return broken(format!(
                            "[{}] gave the stamp {} again",
                            step.host, register.stamp
                        ));
                    }
                }
                Change::Key { node, key, version } => {
                    // What is let go is told as a deletion under the stamp that it had.
                    let let_go = version.value().is_none()
                        && step.after.entry(node.as_str(), key.as_str()).is_none();
                    if !let_go {
                        self.known(step.host, node, key, version)?;
                    }
                }
                Change::Node { node, register } => {
                    if !self.registers.contains(&register.stamp) {
                        return broken(format!(
                            "[{}] took a state of {node} that nobody wrote: {}",
                            step.host, register.stamp
                        ));
                    }
                }
                Change::Member { .. } => {}
            }
        }
        Ok(())
    }

    /// A client was told that its write is done, under this stamp.
    pub(crate) fn check_told(&self, host: usize, stamp: Stamp) -> Held {
        if self.versions.contains_key(&stamp) || self.registers.contains(&stamp) {
            return Ok(());
        }
        let invariant = "durable";
        let what = format!("[{host}] acknowledged {stamp}, which it never wrote");
        Err(Violation { invariant, what })
    }

    fn born(&mut self, host: usize, node: &NodeName, key: &KeyName, version: &Version) -> Held {
        let hash = version.hash(node, key);
        match self.versions.insert(version.stamp, hash) {
            None => Ok(()),
            Some(_) => broken(format!("[{host}] gave the stamp {} again", version.stamp)),
        }
    }

    fn known(&self, host: usize, node: &NodeName, key: &KeyName, version: &Version) -> Held {
        let told = match self.versions.get(&version.stamp) {
            Some(hash) if *hash == version.hash(node, key) => return Ok(()),
            Some(_) => "was written otherwise",
            None => "nobody wrote",
        };
        broken(format!(
            "[{host}] has a version of {node}/{key} that {told}: {version:?}"
        ))
    }

    /// Looks at a store that was loaded: a write that was under way when the process ended may be
    /// in it, though nobody was told, and so may one of the same batch that it replaced.
    pub(crate) fn check_loaded(
        &mut self,
        host: usize,
        store: &Store,
        older: impl Fn(&NodeName, &KeyName) -> Vec<Arc<Version>>,
    ) -> Held {
        for (node, at) in store.all_nodes() {
            if let Some(register) = at.register() {
                self.registers.insert(register.stamp);
            }
            for (key, entry) in at.entries() {
                if self.loaded(host, (node, key), &entry.head)? {
                    for version in older(node, key) {
                        self.loaded(host, (node, key), &version)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A version that was loaded; gives whether it was not known.
    fn loaded(
        &mut self,
        host: usize,
        (node, key): (&NodeName, &KeyName),
        version: &Version,
    ) -> Result<bool, Violation> {
        if self.versions.contains_key(&version.stamp) {
            self.known(host, node, key, version)?;
            return Ok(false);
        }
        let sent = |text: &str| self.sent.contains(text);
        let value = version.value();
        if !value.is_none_or(|value| value.text().is_some_and(sent)) {
            let invariant = "origin";
            let what =
                format!("[{host}] loaded a value of {node}/{key} that nobody sent: {version:?}");
            return Err(Violation { invariant, what });
        }
        self.versions.insert(version.stamp, version.hash(node, key));
        Ok(true)
    }
}
