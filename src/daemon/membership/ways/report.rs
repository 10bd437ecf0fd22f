//! What is told of a way: what it found, when, and what came of it.

use std::net::SocketAddr;

use crate::model::{MemberId, WallTime};

/// One way to find members, as it went lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayReport {
    /// The way, as it stands in `--discover`.
    pub way: String,
    /// When it was looked at last; none if it was not yet.
    pub asked: Option<WallTime>,
    /// What is wrong with it, if anything. What it found before still counts.
    pub trouble: Option<String>,
    /// The addresses that it leads to, and what came of each.
    pub found: Vec<(SocketAddr, Tried)>,
}

/// What came of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It was not dialled yet, or its answer is awaited.
    NotYet,
    /// This member answered.
    Member(MemberId),
    /// It is this member itself.
    Ourselves,
    /// Nobody of the cluster answered; why.
    Failed(String),
}

impl WayReport {
    pub(super) fn new(way: String) -> Self {
        Self {
            way,
            asked: None,
            trouble: None,
            found: vec![],
        }
    }
}
