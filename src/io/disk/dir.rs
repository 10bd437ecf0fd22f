//! The data directory: made if missing, owned by one daemon at a time.
//!
//! The lock is the kernel's (`flock`), so a daemon that was killed leaves none behind. What the
//! lock file says (process id, start time) is for people only.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::model::WallTime;

/// Why a data directory cannot be used. None of these changed anything.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Another daemon works in it. Happens in normal life.
    #[error(
        "the data directory {path} is in use by another gaggle ({holder}): stop that one, or give \
         this one its own --data"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// What the lock file says about the other daemon.
        holder: String,
    },
    /// The path is something else than a directory.
    #[error(
        "{path} is not a directory: give --data the path of a directory, it is made if missing"
    )]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// We may not work in it.
    #[error(
        "may not use {path}: it belongs to uid {owner} with mode {mode:03o}, and gaggle runs as \
         uid {user}. Do: chown -R {user} {path} && chmod u+rwx {path}"
    )]
    NotAllowed {
        /// The path.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its permission bits.
        mode: u32,
        /// Who we are.
        user: u32,
    },
    /// The file system is mounted read-only.
    #[error("{path} is on a read-only file system: mount it writable, or give another --data")]
    ReadOnly {
        /// The path.
        path: PathBuf,
    },
    /// No space is left to make it.
    #[error("no space is left for {path}: free some space and start again")]
    Full {
        /// The path.
        path: PathBuf,
    },
    /// The file system cannot lock files.
    #[error(
        "the file system of {path} has no file locks, so two daemons could write at once: use a \
         local file system"
    )]
    NoLocks {
        /// The path.
        path: PathBuf,
    },
    /// Something else failed.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A data directory that is ours alone until the last copy of this value is dropped.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: Arc<Path>,
    _lock: Arc<File>,
}

impl DataDir {
    /// Makes the directory (mode 0700) if it is missing and takes the lock on it. `now` is written
    /// into the lock file.
    ///
    /// # Errors
    /// When the directory cannot be used, with a line that says what to do.
    pub fn open(path: &Path, now: WallTime) -> Result<Self, DirError> {
        make(path)?;
        let lock = take_lock(path, now)?;
        Ok(Self {
            path: path.into(),
            _lock: Arc::new(lock),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database: `gaggle.redb`.
    pub fn database(&self) -> PathBuf {
        self.path.join("gaggle.redb")
    }

    /// The readable copy: `store.json`.
    pub fn snapshot(&self) -> PathBuf {
        self.path.join("store.json")
    }
}

fn make(path: &Path) -> Result<(), DirError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(DirError::NotADirectory { path: path.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut builder = DirBuilder::new();
            builder.mode(0o700).recursive(true);
            builder.create(path).map_err(|error| refusal(path, error))?;
            sync_dir(path.parent().unwrap_or(path)).map_err(|error| refusal(path, error))
        }
        Err(error) => Err(refusal(path, error)),
    }
}

fn take_lock(path: &Path, now: WallTime) -> Result<File, DirError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join("lock"))
        .map_err(|error| refusal(path, error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(in_use(path, &mut file));
        }
        Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL) => {
            return Err(DirError::NoLocks { path: path.into() });
        }
        Err(error) => return Err(refusal(path, error.into())),
    }
    // What it says is a courtesy: a full disk must not keep a daemon from starting.
    let _ = file.set_len(0);
    let _ = writeln!(file, "pid {} since {now}", std::process::id());
    Ok(file)
}

/// Another daemon holds the lock of this directory.
pub(super) fn in_use(path: &Path, lock: &mut File) -> DirError {
    DirError::InUse {
        path: path.into(),
        holder: holder(lock),
    }
}

/// What the other daemon wrote into its lock file, made fit for one line of a terminal.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.take(200).read_to_string(&mut text);
    let line = text.lines().next().unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    if line.is_empty() {
        "it is just starting".to_owned()
    } else {
        line
    }
}

/// Makes entries that were created or renamed in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)?.sync_all()
}

/// The error of opening or making something at `path`, in words that help.
pub(super) fn refusal(path: &Path, error: io::Error) -> DirError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied => not_allowed(path, error),
        io::ErrorKind::ReadOnlyFilesystem => DirError::ReadOnly { path },
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            DirError::NotADirectory { path }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DirError::Full { path },
        _ => DirError::Io {
            path,
            source: error,
        },
    }
}

/// Names the nearest existing part of the path, for that is what refused.
fn not_allowed(path: PathBuf, error: io::Error) -> DirError {
    let found = path
        .ancestors()
        .find_map(|part| std::fs::metadata(part).ok().map(|meta| (part, meta)));
    match found {
        Some((part, meta)) => DirError::NotAllowed {
            path: part.to_owned(),
            owner: meta.uid(),
            mode: meta.mode() & 0o777,
            user: rustix::process::geteuid().as_raw(),
        },
        None => DirError::Io {
            path,
            source: error,
        },
    }
}
