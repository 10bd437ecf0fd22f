//! The older versions on disk, as sync asks for them.

use std::sync::Arc;

use crate::io::disk::{DiskError, DiskReader};
use crate::model::{Change, KeyName, NodeName, Stamp};
use crate::protocol::sync::History;

/// The disk as a history. It blocks: for threads that may.
pub struct DiskHistory(pub DiskReader);

impl History for DiskHistory {
    type Error = DiskError;

    fn older_stamps(&self, node: &NodeName, key: &KeyName) -> Result<Vec<Stamp>, DiskError> {
        Ok(self
            .0
            .older(node, key)?
            .into_iter()
            .map(|older| older.stamp)
            .collect())
    }

    fn older_versions(
        &self,
        node: &NodeName,
        key: &KeyName,
        stamps: &[Stamp],
    ) -> Result<Vec<Change>, DiskError> {
        let versions = self.0.versions(node, key)?;
        let wanted = versions
            .into_iter()
            .filter(|version| stamps.contains(&version.stamp));
        Ok(wanted
            .map(|version: Arc<_>| Change::Key {
                node: node.clone(),
                key: key.clone(),
                version,
            })
            .collect())
    }
}
