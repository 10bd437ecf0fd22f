//! The rows of the database as bytes. `docs/FORMATS.md` draws them.
//!
//! Every value is `format (1 byte) · check (8 bytes) · payload`. The check is over the table, the
//! key and the payload, so that neither a changed byte nor a value at a wrong place is ever taken
//! for data.

use std::ops::RangeInclusive;
use std::sync::Arc;

use redb::{TableDefinition, TableHandle};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{
    Change, HybridTime, KeyName, MemberId, NodeName, NodeRegister, Older, Replaces, STAMP_BYTES,
    Stamp, Standing, Version,
};

/// A table of bytes to bytes. Names that later issues use: `queues`, `users`.
pub(super) type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// node NUL key → the current version, with the number of older ones and the sum of all hashes.
pub(super) const ENTRIES: Table = TableDefinition::new("entries");
/// node NUL key NUL stamp → an older version with its hash.
pub(super) const HISTORY: Table = TableDefinition::new("history");
/// node → its register.
pub(super) const NODES: Table = TableDefinition::new("nodes");
/// member → its standing, and up to where its writes are included.
pub(super) const MEMBERS: Table = TableDefinition::new("members");
/// stamp, slot → a change that is held aside.
pub(super) const HELD: Table = TableDefinition::new("held");
/// index (8 bytes, big endian) → an entry of the strong side's log.
pub(super) const RAFT_LOG: Table = TableDefinition::new("raft-log");
/// number, piece (8 and 4 bytes, big endian) → a piece of a snapshot of the strong side.
pub(super) const RAFT_SNAPSHOTS: Table = TableDefinition::new("raft-snapshots");
/// name → a fact about the member or the database itself.
pub(super) const META: Table = TableDefinition::new("meta");

/// The format of a value, its first byte.
const FORMAT: u8 = 1;
/// Bytes before the payload.
const HEAD: usize = 9;

/// Why bytes are no row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadRow(pub(super) &'static str);

/// The key of an entry.
pub(super) fn entry_key(node: &NodeName, key: &KeyName, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(node.as_str().as_bytes());
    out.push(0);
    out.extend_from_slice(key.as_str().as_bytes());
}

/// The key of an older version.
pub(super) fn history_key(node: &NodeName, key: &KeyName, stamp: Stamp, out: &mut Vec<u8>) {
    entry_key(node, key, out);
    out.push(0);
    out.extend_from_slice(&stamp.to_bytes());
}

/// The keys of all older versions of a key.
pub(super) fn history_range(node: &NodeName, key: &KeyName) -> RangeInclusive<Vec<u8>> {
    let mut low = Vec::new();
    entry_key(node, key, &mut low);
    low.push(0);
    let mut high = low.clone();
    low.extend_from_slice(&[0; STAMP_BYTES]);
    high.extend_from_slice(&[0xff; STAMP_BYTES]);
    low..=high
}

/// Splits an entry's key into the names of node and key.
pub(super) fn split_entry_key(key: &[u8]) -> Result<(&str, &str), BadRow> {
    let text = std::str::from_utf8(key).map_err(|_| BadRow("a name that is no UTF-8"))?;
    text.split_once('\0')
        .ok_or(BadRow("an entry without a key"))
}

fn check(table: &str, key: &[u8], payload: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for part in [table.as_bytes(), key] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(payload);
    let mut check = [0; 8];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    check
}

/// Builds a value in `out`: `fixed` and then `rest` by postcard.
pub(super) fn encode(
    table: Table,
    key: &[u8],
    fixed: &[&[u8]],
    rest: &impl Serialize,
    out: &mut Vec<u8>,
) {
    out.clear();
    out.push(FORMAT);
    out.extend_from_slice(&[0; HEAD - 1]);
    for part in fixed {
        out.extend_from_slice(part);
    }
    *out = postcard::to_extend(rest, std::mem::take(out))
        .expect("a vector takes every byte and no type of ours refuses to be written");
    let sum = check(table.name(), key, &out[HEAD..]);
    out[1..HEAD].copy_from_slice(&sum);
}

/// Checks a value and gives its payload.
pub(super) fn payload<'a>(table: Table, key: &[u8], value: &'a [u8]) -> Result<&'a [u8], BadRow> {
    check_row(table.name(), key, value)
}

/// Checks a value in the table of this name, whichever it is, and gives its payload.
pub(super) fn check_row<'a>(table: &str, key: &[u8], value: &'a [u8]) -> Result<&'a [u8], BadRow> {
    let (head, payload) = value
        .split_at_checked(HEAD)
        .ok_or(BadRow("a row cut short"))?;
    match head {
        [FORMAT, sum @ ..] if *sum == check(table, key, payload) => Ok(payload),
        [FORMAT, ..] => Err(BadRow("a row whose checksum does not fit")),
        _ => Err(BadRow("a row of an unknown format")),
    }
}

/// Reads a value that is postcard and nothing else.
pub(super) fn decode<T: DeserializeOwned>(
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<T, BadRow> {
    from_postcard(payload(table, key, value)?)
}

fn from_postcard<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadRow> {
    postcard::from_bytes(bytes).map_err(|_| MALFORMED)
}

const MALFORMED: BadRow = BadRow("a row that does not read as what it should be");

/// What the row of an entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryRow {
    pub(super) older: u16,
    pub(super) losers: u16,
    pub(super) sum: u128,
    pub(super) head: Arc<Version>,
}

impl EntryRow {
    pub(super) fn encode(&self, key: &[u8], out: &mut Vec<u8>) {
        let fixed: [&[u8]; 2] = [&self.older.to_le_bytes(), &self.sum.to_le_bytes()];
        match self.losers {
            0 => encode(ENTRIES, key, &fixed, &self.head, out),
            losers => encode(ENTRIES, key, &fixed, &(&self.head, losers), out),
        }
    }

    pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Self, BadRow> {
        let payload = payload(ENTRIES, key, value)?;
        let (older, rest) = take::<2>(payload)?;
        let (sum, rest) = take::<16>(rest)?;
        let (head, rest) = postcard::take_from_bytes(rest).map_err(|_| MALFORMED)?;
        Ok(Self {
            older: u16::from_le_bytes(older),
            sum: u128::from_le_bytes(sum),
            head,
            losers: if rest.is_empty() {
                0
            } else {
                from_postcard(rest)?
            },
        })
    }
}

/// The sum in the row of an entry, without looking at the rest.
pub(super) fn entry_sum(value: &[u8]) -> Result<u128, BadRow> {
    let (_, rest) = take::<{ HEAD + 2 }>(value)?;
    take::<16>(rest).map(|(sum, _)| u128::from_le_bytes(sum))
}

/// An older version: its hash and itself.
pub(super) fn encode_older(key: &[u8], hash: u128, version: &Version, out: &mut Vec<u8>) {
    encode(HISTORY, key, &[&hash.to_le_bytes()], version, out);
}

/// Reads what [`encode_older`] wrote.
pub(super) fn decode_older(key: &[u8], value: &[u8]) -> Result<(u128, Arc<Version>), BadRow> {
    let (hash, rest) = take::<16>(payload(HISTORY, key, value)?)?;
    let version: Version = from_postcard(rest)?;
    if version.stamp != stamp_of(key)? {
        return Err(BadRow("an older version under another stamp"));
    }
    Ok((u128::from_le_bytes(hash), Arc::new(version)))
}

/// What must be known of an older version, without reading what it holds.
pub(super) fn older(key: &[u8], value: &[u8]) -> Result<Older, BadRow> {
    let (hash, rest) = take::<16>(payload(HISTORY, key, value)?)?;
    let ((stamp, replaces), _) =
        postcard::take_from_bytes::<(Stamp, Replaces)>(rest).map_err(|_| MALFORMED)?;
    if stamp != stamp_of(key)? {
        return Err(BadRow("an older version under another stamp"));
    }
    Ok(Older {
        stamp,
        hash: u128::from_le_bytes(hash),
        replaces,
    })
}

fn stamp_of(key: &[u8]) -> Result<Stamp, BadRow> {
    let bytes = key.last_chunk::<STAMP_BYTES>();
    bytes
        .map(|bytes| Stamp::from_bytes(*bytes))
        .ok_or(BadRow("an older version without a stamp"))
}

/// A node's register.
pub(super) fn encode_node(key: &[u8], register: &NodeRegister, out: &mut Vec<u8>) {
    encode(NODES, key, &[], register, out);
}

/// The row of a member.
pub(super) type MemberRow = (Option<Arc<Standing>>, HybridTime);

/// The key of a member.
pub(super) fn member_key(member: MemberId) -> [u8; 8] {
    member.as_u64().to_be_bytes()
}

/// The member under a key.
pub(super) fn member_of(key: &[u8]) -> Result<MemberId, BadRow> {
    let bytes = key
        .try_into()
        .map_err(|_| BadRow("a member without an id"))?;
    Ok(MemberId::from_u64(u64::from_be_bytes(bytes)))
}

/// The key of a change that is held aside.
pub(super) fn held_key(change: &Change, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&change.stamp().map_or([0; STAMP_BYTES], Stamp::to_bytes));
    let slot = change.slot();
    *out = postcard::to_extend(&slot, std::mem::take(out))
        .expect("a vector takes every byte and no type of ours refuses to be written");
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), BadRow> {
    let (first, rest) = bytes
        .split_first_chunk::<N>()
        .ok_or(BadRow("a row cut short"))?;
    Ok((*first, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::samples::{names, register, version};

    proptest! {
        #[test]
        fn rows_read_back_what_was_written(
            head in version(), older in any::<u16>(), losers in 0u16..3, sum in any::<u128>(),
            register in register()
        ) {
            let (node, key) = names();
            let (mut at, mut value) = (Vec::new(), Vec::new());
            entry_key(&node, &key, &mut at);
            prop_assert_eq!(split_entry_key(&at), Ok((node.as_str(), key.as_str())));
            let row = EntryRow { older, losers, sum, head: Arc::new(head.clone()) };
            row.encode(&at, &mut value);
            prop_assert_eq!(entry_sum(&value), Ok(sum));
            prop_assert_eq!(EntryRow::decode(&at, &value), Ok(row));
            history_key(&node, &key, head.stamp, &mut at);
            prop_assert!(history_range(&node, &key).contains(&at));
            encode_older(&at, sum, &head, &mut value);
            let stamp = head.stamp;
            let replaces = head.replaces.clone();
            prop_assert_eq!(super::older(&at, &value), Ok(Older { stamp, hash: sum, replaces }));
            prop_assert_eq!(decode_older(&at, &value), Ok((sum, Arc::new(head))));
            encode_node(node.as_str().as_bytes(), &register, &mut value);
            prop_assert_eq!(decode(NODES, node.as_str().as_bytes(), &value), Ok(register));
        }

        #[test]
        fn a_changed_bit_a_cut_and_another_place_are_noticed(
            head in version(), at in any::<usize>()
        ) {
            let mut value = Vec::new();
            let row = EntryRow { older: 0, losers: 0, sum: 1, head: Arc::new(head) };
            row.encode(b"web\0colour", &mut value);
            prop_assert!(EntryRow::decode(b"web\0color", &value).is_err());
            prop_assert!(payload(HISTORY, b"web\0colour", &value).is_err());
            let place = at % value.len();
            prop_assert!(EntryRow::decode(b"web\0colour", &value[..place]).is_err());
            value[place] ^= 1 << (at % 8);
            prop_assert!(EntryRow::decode(b"web\0colour", &value).is_err());
        }

        #[test]
        fn no_bytes_make_the_readers_panic(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
            let _ = split_entry_key(&key);
            let _ = entry_sum(&value);
            let _ = EntryRow::decode(&key, &value);
            let _ = decode_older(&key, &value);
            let _ = super::older(&key, &value);
            let _ = decode::<NodeRegister>(NODES, &key, &value);
        }
    }

    #[test]
    fn a_key_whose_name_begins_like_another_shares_no_history_with_it() {
        let (node, key) = names();
        let longer = format!("{key}x").parse().unwrap();
        let stamp = Stamp::from_bytes([0xff; STAMP_BYTES]);
        let mut at = Vec::new();
        history_key(&node, &longer, stamp, &mut at);
        assert!(!history_range(&node, &key).contains(&at));
    }
}
