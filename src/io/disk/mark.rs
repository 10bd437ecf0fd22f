//! The mark: how many commits this directory has acknowledged, batches of the store and commits of
//! the strong log, written beside the database after each of them, never synced.
//!
//! The database finds its last whole commit by itself, so if the newest one was damaged later it
//! would quietly go back to the one before; and a file that is missing, old or another member's
//! looks sound on its own. The mark can only lag behind the truth, so a mark that is ahead of the
//! database proves that something acknowledged is gone.

use super::DiskError;
use crate::model::MemberId;

/// The length of a mark, in bytes.
pub const MARK_BYTES: usize = 24;

/// What a data directory acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) member: MemberId,
    pub(super) commits: u64,
}

impl Mark {
    /// member (8 bytes, little endian) · commits (8) · check (8).
    pub(super) fn to_bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..8].copy_from_slice(&self.member.as_u64().to_le_bytes());
        bytes[8..16].copy_from_slice(&self.commits.to_le_bytes());
        let check = check(&bytes);
        bytes[16..].copy_from_slice(&check);
        bytes
    }

    /// Reads what [`Mark::to_bytes`] wrote; none if it is anything else, for a mark is a courtesy.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; MARK_BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| {
            let mut part = [0; 8];
            part.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(part)
        };
        (bytes[16..] == check(bytes)).then(|| Self {
            member: MemberId::from_u64(number(0)),
            commits: number(8),
        })
    }

    /// Compares the mark with what the database says.
    pub(super) fn check(self, member: MemberId, commits: u64) -> Result<(), DiskError> {
        if self.member != member {
            let told = format!("it is of member {member}, the directory of {}", self.member);
            return Err(DiskError::corrupt(told));
        }
        match self.commits.checked_sub(commits) {
            None | Some(0) => Ok(()),
            Some(gone) => Err(DiskError::corrupt(format!(
                "{gone} acknowledged batches are missing at its end"
            ))),
        }
    }
}

fn check(bytes: &[u8; MARK_BYTES]) -> [u8; 8] {
    let mut check = [0; 8];
    check.copy_from_slice(&blake3::hash(&bytes[..16]).as_bytes()[..8]);
    check
}
