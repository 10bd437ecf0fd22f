//! What is not as it was written, with everything that is known about its place.

use super::pages::PageFault;
use crate::model::Stamp;

/// Something on the disk that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The table, or what else of the data directory.
    pub table: String,
    /// The node, if the name can be read.
    pub node: Option<String>,
    /// The key, if the name can be read.
    pub key: Option<String>,
    /// Which older version.
    pub stamp: Option<Stamp>,
    /// Where in the file, for a page.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl Fault {
    /// A fault of a table or file as a whole.
    pub(super) fn new(table: &str, what: impl Into<String>) -> Self {
        Self {
            table: table.to_owned(),
            node: None,
            key: None,
            stamp: None,
            offset: None,
            what: what.into(),
        }
    }
}

impl std::fmt::Display for Fault {
    /// `entries web/colour: a row whose checksum does not fit`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.table)?;
        match (&self.node, &self.key) {
            (Some(node), Some(key)) => write!(f, " {node:?}/{key:?}")?,
            (Some(node), None) => write!(f, " {node:?}")?,
            (None, _) => {}
        }
        if let Some(stamp) = self.stamp {
            write!(f, " version {stamp}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A damaged page of a table.
pub(super) fn of_page(table: &str, fault: &PageFault) -> Fault {
    Fault {
        offset: Some(fault.offset),
        ..Fault::new(table, fault.what)
    }
}
