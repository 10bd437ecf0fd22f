//! A wall clock that a test turns while a member runs by it.
//!
//! The switch is in builds with the feature `test-clock` only: the build that cargo made for these
//! tests, or what `GAGGLE_CLOCK_BIN` names. The release binary has none.

use std::fs;
use std::path::{Path, PathBuf};

use gaggle::io::clock;

use super::program::scratch;

/// One clock; it goes right until it is turned.
pub(crate) struct Clock {
    folder: tempfile::TempDir,
}

impl Clock {
    /// The variable that names the file with the offset.
    pub(crate) const VARIABLE: &str = "GAGGLE_TEST_CLOCK_FILE";

    /// A clock that goes right.
    pub(crate) fn new() -> Self {
        Self { folder: scratch() }
    }

    /// A build that heeds the switch.
    #[expect(clippy::unused_self, reason = "who asks has a clock in hand")]
    pub(crate) fn program(&self) -> PathBuf {
        std::env::var_os("GAGGLE_CLOCK_BIN").map_or_else(
            || PathBuf::from(env!("CARGO_BIN_EXE_gaggle")),
            PathBuf::from,
        )
    }

    /// Where the offset stands.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// From now on the clock is that many seconds ahead, or behind; its members notice within 50
    /// ms.
    pub(crate) fn turn(&self, seconds: i64) {
        self.set(seconds * 1000);
    }

    /// From now on the clock goes on from the first hour of 1970.
    pub(crate) fn forget(&self) {
        let now = i64::try_from(clock::wall().millis()).expect("a time of this age");
        self.set(3_600_000 - now);
    }

    fn set(&self, offset_ms: i64) {
        let new: &Path = &self.folder.path().join("offset.new");
        fs::write(new, offset_ms.to_string()).expect("an own file");
        fs::rename(new, self.file()).expect("an own file");
        // Members read the file at most every 50 ms; after that they go by it.
        std::thread::sleep(std::time::Duration::from_millis(80));
    }
}
