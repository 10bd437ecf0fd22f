//! The operator's block list: addresses of members that this one sends nothing to by itself.
//!
//! It is this member's own, and kept in its data directory. A member at such an address gets no
//! changes pushed from here, and no comparison is begun with it from here. It is not shut out: it
//! may ask, and write here, and others may send it what it lacks. Taken off the list, it gets what
//! it missed by the next comparison.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::DataDir;

/// The most addresses on it.
const ADDRESSES: usize = 1024;

/// The block list.
#[derive(Debug)]
pub struct BlockList {
    data: DataDir,
    told: watch::Sender<Arc<BTreeSet<IpAddr>>>,
    /// Held while the file is written.
    turn: Mutex<()>,
}

/// Why the list stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum BlockListError {
    /// There are too many on it.
    #[error("the block list has 1024 addresses, which is the most")]
    Full,
    /// The file cannot be written.
    #[error("the block list cannot be written: {0}")]
    File(#[from] io::Error),
}

impl BlockList {
    /// The list that is kept in a data directory.
    ///
    /// # Errors
    /// When its file is there and cannot be read: an effect that somebody wanted must not be lost
    /// in silence.
    pub fn open(data: &DataDir) -> io::Result<Self> {
        let kept = data.block_list()?;
        Ok(Self {
            data: data.clone(),
            told: watch::Sender::new(Arc::new(kept)),
            turn: Mutex::new(()),
        })
    }

    /// The addresses on it, in order.
    pub fn addresses(&self) -> Arc<BTreeSet<IpAddr>> {
        self.told.borrow().clone()
    }

    /// The addresses, as they change.
    pub fn watch(&self) -> watch::Receiver<Arc<BTreeSet<IpAddr>>> {
        self.told.subscribe()
    }

    /// Puts an address on it; says whether it was not there. Writes a file: for threads that may
    /// block.
    ///
    /// # Errors
    /// See [`BlockListError`]; nothing was changed.
    pub fn add(&self, address: IpAddr) -> Result<bool, BlockListError> {
        self.change(|list| list.insert(address.to_canonical()))
    }

    /// Takes an address off; says whether it was there. Writes a file: for threads that may block.
    ///
    /// # Errors
    /// See [`BlockListError`]; nothing was changed.
    pub fn remove(&self, address: IpAddr) -> Result<bool, BlockListError> {
        self.change(|list| list.remove(&address.to_canonical()))
    }

    fn change(
        &self,
        change: impl FnOnce(&mut BTreeSet<IpAddr>) -> bool,
    ) -> Result<bool, BlockListError> {
        let _turn = self.turn.lock();
        let mut list = BTreeSet::clone(&self.addresses());
        if !change(&mut list) {
            return Ok(false);
        }
        if list.len() > ADDRESSES {
            return Err(BlockListError::Full);
        }
        self.data.write_block_list(&list)?;
        self.told.send_replace(Arc::new(list));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_list_survives_a_restart_and_has_nobody_twice() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        let list = BlockList::open(&data).unwrap();
        assert!(list.add(ip("10.0.0.2")).unwrap());
        assert!(list.add(ip("fd00::1")).unwrap());
        assert!(
            !list.add(ip("::ffff:10.0.0.2")).unwrap(),
            "the same address"
        );
        assert!(!list.remove(ip("10.0.0.3")).unwrap(), "it is not there");
        let again = BlockList::open(&data).unwrap();
        let all: Vec<String> = again.addresses().iter().map(ToString::to_string).collect();
        assert_eq!(all, ["10.0.0.2", "fd00::1"]);
        assert!(again.remove(ip("10.0.0.2")).unwrap());
        assert_eq!(BlockList::open(&data).unwrap().addresses().len(), 1);
    }

    #[test]
    fn a_list_that_cannot_be_read_is_no_empty_list() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        for broken in ["", "{}", "[\"localhost\"]", "[\"10.0.0.1\""] {
            std::fs::write(data.block_list_file(), broken).unwrap();
            let why = BlockList::open(&data).unwrap_err();
            assert_eq!(why.kind(), io::ErrorKind::InvalidData, "{broken}");
        }
    }

    #[test]
    fn the_list_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        let full: BTreeSet<IpAddr> = (0..1024u32).map(|n| IpAddr::V4(n.into())).collect();
        data.write_block_list(&full).unwrap();
        let list = BlockList::open(&data).unwrap();
        let more = list.add(ip("10.0.0.2"));
        assert!(matches!(more, Err(BlockListError::Full)), "{more:?}");
        assert_eq!(list.addresses().len(), 1024);
    }
}
