//! What the database says about itself and its member: rows of the table `meta`.

use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase};
use serde::{Deserialize, Serialize};

use super::engine::Failure;
use super::rows::{self, BadRow, ENTRIES, HELD, HISTORY, MEMBERS, META, NODES};
use crate::model::{ClusterId, HybridTime, MemberId};

/// The format of the database as a whole. A greater one is refused.
pub(super) const FORMAT: u16 = 1;

pub(super) const FORMAT_KEY: &[u8] = b"format";
pub(super) const IDENTITY_KEY: &[u8] = b"identity";
pub(super) const STATE_KEY: &[u8] = b"state";
pub(super) const HORIZON_KEY: &[u8] = b"horizon";
/// What is kept for the strong side ([`crate::strong::engine::Kept`]); made with its first commit.
pub(super) const LOG_KEY: &[u8] = b"log";
pub(super) const GAP_KEY: &[u8] = b"gap";

/// Who the data directory belongs to; written once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The member.
    pub member: MemberId,
    /// The cluster that it is a member of.
    pub cluster: ClusterId,
}

/// Whether the disk takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskState {
    /// It does.
    Ok,
    /// No space was left at the last try. Deletes may still go through.
    Full,
    /// Not before a restart: this failed.
    Fenced(Arc<str>),
}

/// What changes with every batch: where the member's clock is, and what a sound database must
/// add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Commits since the database was made: batches of the store, and of the strong log.
    pub(super) commits: u64,
    /// Starts of the daemon.
    pub(super) boots: u64,
    /// A number that grows with every start, and is about the time of the start in ms.
    pub(super) generation: u64,
    /// The last hybrid time that the member's clock gave.
    pub(super) time: HybridTime,
    /// The last sequence that the member used.
    pub(super) sequence: u64,
    /// Rows in `entries`.
    pub(super) entries: u64,
    /// Rows in `nodes`.
    pub(super) nodes: u64,
    /// The wrapping sum over all entries' sums and the hashes of all registers and standings: the
    /// digest's root.
    pub(super) root: u128,
}

impl State {
    /// The state after one more start at `now_ms`.
    pub(super) fn booted(self, now_ms: u64) -> Self {
        Self {
            boots: self.boots + 1,
            generation: now_ms.max(self.generation + 1),
            ..self
        }
    }

    /// Takes a row's old contribution out and puts the new one in; none where there was no row.
    pub(super) fn replace(&mut self, old: Option<u128>, new: u128) {
        self.root = self.root.wrapping_sub(old.unwrap_or(0)).wrapping_add(new);
    }
}

/// A row of `meta`.
pub(super) fn encode(key: &[u8], value: &impl Serialize, out: &mut Vec<u8>) {
    rows::encode(META, key, &[], value, out);
}

/// The format number is readable whatever else changes, so it is outside the row format.
pub(super) fn format_of(value: &[u8]) -> Result<u16, BadRow> {
    match value {
        [low, high, check_low, check_high] if (*check_low, *check_high) == (!low, !high) => {
            Ok(u16::from_le_bytes([*low, *high]))
        }
        _ => Err(BadRow("a format number that does not read")),
    }
}

/// Writes what [`format_of`] reads.
pub(super) fn format_bytes(format: u16) -> [u8; 4] {
    let [low, high] = format.to_le_bytes();
    [low, high, !low, !high]
}

/// What a database says about itself.
#[derive(Debug)]
pub(super) enum About {
    /// It is ours to read.
    Known {
        /// Whose it is.
        identity: Identity,
        /// Where it is.
        state: State,
    },
    /// A newer program wrote it, in this format.
    Newer(u16),
}

/// Reads what a database says about itself.
pub(super) fn about(read: &ReadTransaction) -> Result<About, Failure> {
    let meta = read.open_table(META)?;
    let mut found = Vec::new();
    for key in [FORMAT_KEY, IDENTITY_KEY, STATE_KEY] {
        let value = meta.get(key)?;
        found.extend(value.map(|value| (key.to_vec(), value.value().to_vec())));
    }
    Ok(about_in(&found)?)
}

/// What the rows of `meta` say.
pub(super) fn about_in(meta: &[(Vec<u8>, Vec<u8>)]) -> Result<About, BadRow> {
    let value = |key: &[u8]| {
        let row = meta.iter().find(|(at, _)| at == key);
        row.map(|(_, value)| value.as_slice())
    };
    let format = format_of(value(FORMAT_KEY).ok_or(BadRow("no format number"))?)?;
    if format > FORMAT {
        return Ok(About::Newer(format));
    }
    let identity = value(IDENTITY_KEY).ok_or(BadRow("no identity"))?;
    let state = value(STATE_KEY).ok_or(BadRow("no state"))?;
    Ok(About::Known {
        identity: rows::decode(META, IDENTITY_KEY, identity)?,
        state: rows::decode(META, STATE_KEY, state)?,
    })
}

/// Makes the tables of a database that has none; says whether it had none.
pub(super) fn create_if_new(db: &Database, identity: &Identity) -> Result<bool, Failure> {
    if db.begin_read()?.list_tables()?.next().is_some() {
        return Ok(false);
    }
    let txn = db.begin_write()?;
    {
        let mut meta = txn.open_table(META)?;
        let mut value = Vec::new();
        meta.insert(FORMAT_KEY, format_bytes(FORMAT).as_slice())?;
        encode(IDENTITY_KEY, identity, &mut value);
        meta.insert(IDENTITY_KEY, value.as_slice())?;
        encode(STATE_KEY, &State::default(), &mut value);
        meta.insert(STATE_KEY, value.as_slice())?;
        for table in [ENTRIES, HISTORY, NODES, MEMBERS, HELD] {
            txn.open_table(table)?;
        }
    }
    txn.commit()?;
    Ok(true)
}
