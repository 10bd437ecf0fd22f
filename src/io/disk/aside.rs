//! Setting data aside: moved to a dated name, never deleted.
//!
//! A member that may not go on with what it has (it was forgotten, or its directory was given up)
//! starts anew under another id, and its old data stays beside it. The database is moved last: that
//! one rename decides. A crash before it leaves the old member, which lacks only what it writes
//! again by itself; a crash after it leaves an empty directory, in which the next start makes a new
//! member.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::dir::{refusal, sync_dir};
use super::{DataDir, DirError};
use crate::io::snapshot::compact_date;
use crate::model::WallTime;

/// What is moved, in this order; the database last.
const MOVED: [&str; 5] = [
    "store.json",
    "store.json.sum",
    "gaggle.mark",
    "generation",
    "gaggle.redb",
];

impl DataDir {
    /// Moves the database and what belongs to it into `set-aside-DATE/` here, durably, so that the
    /// next open makes a new database with a new id. Gives the path of that directory. The database
    /// must be closed.
    ///
    /// # Errors
    /// What the file system says. What was moved until then stays moved; the old member can start,
    /// or this can be done again.
    pub fn set_aside(&self, now: WallTime) -> Result<PathBuf, DirError> {
        self.set_aside_up_to(now, MOVED.len())
    }

    /// Does the first `steps` moves.
    pub(super) fn set_aside_up_to(&self, now: WallTime, steps: usize) -> Result<PathBuf, DirError> {
        let name = format!("set-aside-{}", compact_date(now));
        let to = free(&self.path().join(name));
        let done = std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&to)
            .and_then(|()| sync_dir(self.path()));
        done.map_err(|why| refusal(&to, why))?;
        for name in MOVED.into_iter().take(steps) {
            let from = self.path().join(name);
            let moved = sync_dir(&to)
                .and_then(|()| sync_dir(self.path()))
                .and_then(|()| rename_if_there(&from, &to.join(name)));
            moved.map_err(|why| refusal(&from, why))?;
        }
        let done = sync_dir(&to).and_then(|()| sync_dir(self.path()));
        done.map_err(|why| refusal(&to, why))?;
        Ok(to)
    }
}

/// Moves a file; that it is not there is no error.
pub(super) fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A path that nothing has: this one, or with a number behind it.
pub(super) fn free(path: &Path) -> PathBuf {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("-{number}"));
        PathBuf::from(name)
    };
    let all = std::iter::once(path.to_owned()).chain((2..).map(numbered));
    let mut free = all.filter(|path| path.symlink_metadata().is_err());
    free.next().unwrap_or_else(|| path.to_owned())
}
