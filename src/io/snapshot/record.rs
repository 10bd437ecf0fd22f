//! `store.json.sum`: what we wrote last, one line per text.
//!
//! A line is the BLAKE3 hash in hexadecimal, the length in bytes, and the newest hybrid time in the
//! store when it was written (hexadecimal). The newest text comes first; the one before it is
//! kept until the next time, for a crash may have kept the file from being replaced.
//!
//! After it comes a line for each strong node in the text: the word `strong`, the sum of its keys
//! and values, its name up to the end of the line. By them it is known whether such a node was
//! edited, for that cannot be taken over.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use blake3::Hash;

use crate::model::{HybridTime, KeyName, NodeName, Value};

/// How the line of a strong node begins.
const STRONG: &str = "strong ";

/// One text that we wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its hash.
    pub(super) hash: Hash,
    /// Its length in bytes.
    pub(super) length: u64,
    /// No version in the store was newer than this.
    pub(super) newest: HybridTime,
    /// The strong nodes in it, with the sums of what they held.
    pub(super) strong: BTreeMap<NodeName, Hash>,
}

impl fmt::Display for Record {
    /// All its lines, each with its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = self.newest.bits();
        writeln!(f, "{} {} {newest:016x}", self.hash.to_hex(), self.length)?;
        let mut strong = self.strong.iter();
        strong.try_for_each(|(name, sum)| writeln!(f, "{STRONG}{} {name}", sum.to_hex()))
    }
}

impl FromStr for Record {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let mut words = line.split(' ');
        let (Some(hash), Some(length), Some(newest), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(());
        };
        let newest = u64::from_str_radix(newest, 16).map_err(|_| ())?;
        Ok(Self {
            hash: Hash::from_hex(hash).map_err(|_| ())?,
            length: length.parse().map_err(|_| ())?,
            newest: HybridTime::from_bits(newest),
            strong: BTreeMap::new(),
        })
    }
}

/// Reads the records; a line that is none is left out.
pub(super) fn read(text: &str) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for line in text.lines() {
        if let Some(node) = line.strip_prefix(STRONG) {
            if let (Some((name, sum)), Some(record)) = (strong(node), records.last_mut()) {
                record.strong.insert(name, sum);
            }
        } else if let Ok(record) = line.parse() {
            records.push(record);
        }
    }
    records
}

fn strong(line: &str) -> Option<(NodeName, Hash)> {
    let (sum, name) = line.split_once(' ')?;
    Some((name.parse().ok()?, Hash::from_hex(sum).ok()?))
}

/// The sum of a node's keys and values, in the order of the keys; types are not part of it, as an
/// editor sees none.
pub(super) fn sum<'a>(keys: impl Iterator<Item = (&'a KeyName, &'a Value)>) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for (key, value) in keys {
        for bytes in [key.as_str().as_bytes(), &value.octets] {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_with_their_strong_nodes() {
        let record = |time: u64, nodes: &[&str]| Record {
            hash: blake3::hash(b"x"),
            length: 7,
            newest: HybridTime::from_bits(time),
            strong: nodes
                .iter()
                .map(|name| (name.parse().unwrap(), blake3::hash(name.as_bytes())))
                .collect(),
        };
        let records = vec![
            record(1, &["a b", "strong ", "\u{2028}🦢"]),
            record(2, &["a b"]),
        ];
        let text: String = records.iter().map(ToString::to_string).collect();
        assert_eq!(read(&text), records);
        assert_eq!(read(&format!("odd\n{STRONG}x y\n\n{text}odd")), records);
        assert_eq!(
            read(&format!("{STRONG}{} n", blake3::hash(b"").to_hex())),
            []
        );
    }
}
