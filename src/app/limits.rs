//! What may be written on this member.

use super::edit::Edit;
use super::error::EditError;
use crate::model::{KeyName, NodeName, Value};

/// What may be written on this member.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest name, in bytes.
    pub name_bytes: usize,
    /// The largest value, in bytes.
    pub value_bytes: usize,
    /// The most live keys.
    pub keys: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_bytes: 255,
            value_bytes: 1 << 20,
            keys: 10_000_000,
        }
    }
}

impl Limits {
    /// Whether an edit's names and values are within the limits.
    pub fn check(&self, edit: &Edit) -> Result<(), EditError> {
        self.check_values(edit.node(), edit.values())
    }

    /// Whether the names and values that go into a node are within the limits.
    pub fn check_values<'a>(
        &self,
        node: &NodeName,
        values: impl Iterator<Item = (&'a KeyName, &'a Value)>,
    ) -> Result<(), EditError> {
        let name = |length: usize| {
            let limit = self.name_bytes;
            if length > limit {
                Err(EditError::NameTooLong { length, limit })
            } else {
                Ok(())
            }
        };
        name(node.as_str().len())?;
        for (key, value) in values {
            name(key.as_str().len())?;
            let size = value.octets.len();
            if size > self.value_bytes {
                return Err(EditError::ValueTooLarge {
                    size,
                    limit: self.value_bytes,
                });
            }
        }
        Ok(())
    }
}
