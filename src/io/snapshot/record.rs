//! `store.json.sum`: what we wrote last, one line per text.
//!
//! A line is the BLAKE3 hash in hexadecimal, the length in bytes, and the newest hybrid time in the
//! store when it was written (hexadecimal). The newest text comes first; the one before it is
//! kept until the next time, for a crash may have kept the file from being replaced.

use std::fmt;
use std::str::FromStr;

use crate::model::HybridTime;

/// One text that we wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its hash.
    pub(super) hash: blake3::Hash,
    /// Its length in bytes.
    pub(super) length: u64,
    /// No version in the store was newer than this.
    pub(super) newest: HybridTime,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = self.newest.bits();
        write!(f, "{} {} {newest:016x}", self.hash.to_hex(), self.length)
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
            hash: blake3::Hash::from_hex(hash).map_err(|_| ())?,
            length: length.parse().map_err(|_| ())?,
            newest: HybridTime::from_bits(newest),
        })
    }
}

/// Reads the records; a line that is none is left out.
pub(super) fn read(text: &str) -> Vec<Record> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}
