//! Names given on the command line, checked before anything is sent.

use super::exit::Failure;
use crate::model::{KeyName, NodeName};

/// The name of a node.
pub(super) fn node_name(text: &str) -> Result<NodeName, Failure> {
    text.parse()
        .map_err(|why| Failure::usage(format!("{text:?} is no name of a node: {why}")))
}

/// The name of a key.
pub(super) fn key_name(text: &str) -> Result<KeyName, Failure> {
    text.parse()
        .map_err(|why| Failure::usage(format!("{text:?} is no name of a key: {why}")))
}
