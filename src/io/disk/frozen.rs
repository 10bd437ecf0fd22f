//! A backend that leaves what is below it as it is: writes stay in memory.
//!
//! The engine wants to write even to read (it marks the file as open, and repairs it). On a disk
//! that failed nothing may be written any more, and on a full one nothing can be.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

const BLOCK: u64 = 4096;
const BLOCK_BYTES: usize = 4096;

/// Reads through to another backend, except where it was written to.
#[derive(Debug)]
pub(super) struct Frozen {
    below: Arc<dyn StorageBackend>,
    over: Mutex<Over>,
}

#[derive(Debug, Default)]
struct Over {
    /// The length as the engine sees it; none until it was set.
    len: Option<u64>,
    /// Whole blocks that were written to, by number.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Frozen {
    /// A frozen view of `below`.
    pub(super) fn over(below: Arc<dyn StorageBackend>) -> Self {
        Self {
            below,
            over: Mutex::default(),
        }
    }

    /// Reads from below; zeros beyond its end.
    fn read_below(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let left = self.below.len()?.saturating_sub(offset);
        let there = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let (stored, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        if stored.is_empty() {
            return Ok(());
        }
        self.below.read(offset, stored)
    }
}

/// The parts of a range, block by block: block number, first byte in it, and where in the range.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let position = offset + at as u64;
        let within = usize::try_from(position % BLOCK).ok()?;
        let count = (len - at).min(BLOCK_BYTES - within);
        let part = (position / BLOCK, within, at..at + count);
        at += count;
        (count > 0).then_some(part)
    })
}

impl StorageBackend for Frozen {
    fn len(&self) -> io::Result<u64> {
        let set = self.over.lock().len;
        set.map_or_else(|| self.below.len(), Ok)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_below(offset, out)?;
        let over = self.over.lock();
        for (number, within, range) in parts(offset, out.len()) {
            if let Some(block) = over.blocks.get(&number) {
                let count = range.len();
                out[range].copy_from_slice(&block[within..within + count]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.over.lock().len = Some(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over.lock();
        for (number, within, range) in parts(offset, data.len()) {
            let block = match over.blocks.entry(number) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(place) => {
                    let mut block = vec![0; BLOCK_BYTES];
                    self.read_below(number * BLOCK, &mut block)?;
                    place.insert(block)
                }
            };
            block[within..within + range.len()].copy_from_slice(&data[range]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_never_reaches_below() {
        let below = Arc::new(InMemoryBackend::new());
        below.set_len(10_000).unwrap();
        below.write(4000, &[7; 200]).unwrap();
        let frozen = Frozen::over(below.clone());
        frozen.write(4090, &[9; 5000]).unwrap();
        frozen.set_len(20_000).unwrap();
        let mut out = vec![1; 16_000];
        frozen.read(4000, &mut out).unwrap();
        assert_eq!(&out[..90], [7; 90]);
        assert_eq!(&out[90..5090], [9; 5000]);
        assert_eq!(&out[5090..], vec![0; 10_910]);
        let mut kept = vec![1; 200];
        below.read(4000, &mut kept).unwrap();
        assert_eq!(kept, [7; 200]);
        assert_eq!(
            (frozen.len().unwrap(), below.len().unwrap()),
            (20_000, 10_000)
        );
    }
}
