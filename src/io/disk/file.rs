//! The medium of life: `gaggle.redb` and the `reserve` beside it.
//!
//! The reserve is a file of real blocks. It is given up when deletes must go through on a full
//! disk, and made again before ordinary writes are taken again.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes as Octets;
use parking_lot::Mutex;
use redb::StorageBackend;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, statvfs};
use rustix::io::Errno;

use super::dir::{DirError, refusal, sync_dir};
use super::mark::MARK_BYTES;
use super::medium::{Medium, Room};
use super::{DataDir, DiskError};

/// The greatest size of the reserve, in bytes; on small file systems a 32nd of them.
const RESERVE: u64 = 4 << 20;

/// The database file of a data directory. Holds the directory's lock.
#[derive(Debug)]
pub(super) struct FileMedium {
    dir: DataDir,
    mark: Mutex<Option<File>>,
    /// Whether a new database is made beside one that is there.
    is_making: bool,
}

impl FileMedium {
    /// The files of this directory.
    pub(super) fn of(dir: DataDir) -> Self {
        Self {
            dir,
            mark: Mutex::default(),
            is_making: false,
        }
    }

    /// The files of this directory, where a new database is to take the place of what is there.
    /// The mark is left to who installs it.
    pub(super) fn making(dir: DataDir) -> Self {
        Self {
            is_making: true,
            ..Self::of(dir)
        }
    }

    fn new_database(&self) -> PathBuf {
        self.dir.path().join("gaggle.redb.new")
    }

    fn reserve(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.dir.path().join("reserve"))
    }
}

impl Medium for FileMedium {
    fn open(&self) -> Result<Arc<dyn StorageBackend>, DiskError> {
        let mut path = self.dir.database();
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        match std::fs::metadata(&path) {
            _ if self.is_making => {
                path = self.new_database();
                options.create(true).truncate(true);
            }
            Ok(found) if found.len() == 0 => return Err(DiskError::corrupt("it is empty")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                path = self.new_database();
                options.create(true).truncate(true);
            }
            Ok(_) | Err(_) => {}
        }
        let file = options.open(&path).map_err(|error| refusal(&path, error))?;
        Ok(Arc::new(Bytes(file)))
    }

    fn look(&self) -> io::Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(Straight::open(&self.dir.database())?))
    }

    fn install(&self) -> Result<(), DirError> {
        let path = self.dir.database();
        std::fs::rename(self.new_database(), &path)
            .and_then(|()| sync_dir(self.dir.path()))
            .map_err(|error| refusal(&path, error))
    }

    fn mark(&self) -> Option<Vec<u8>> {
        std::fs::read(self.dir.path().join("gaggle.mark")).ok()
    }

    fn set_mark(&self, mark: &[u8; MARK_BYTES]) -> io::Result<()> {
        if self.is_making {
            return Ok(());
        }
        let mut file = self.mark.lock();
        if file.is_none() {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            *file = Some(options.open(self.dir.path().join("gaggle.mark"))?);
        }
        file.as_ref()
            .map_or(Ok(()), |file| file.write_all_at(mark, 0))
    }

    fn room(&self) -> Option<Room> {
        let found = statvfs(self.dir.path()).ok()?;
        // The file has holes, so its length says little.
        let used = std::fs::metadata(self.dir.database()).map_or(0, |meta| meta.blocks() * 512);
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        (found.f_blocks > 0).then_some(Room {
            free: bytes(found.f_bavail),
            total: bytes(found.f_blocks),
            used,
        })
    }

    fn hold_reserve(&self) -> io::Result<()> {
        let total = self.room().map_or(u64::MAX, |room| room.total);
        let size = RESERVE.min(total / 32);
        let file = self.reserve()?;
        if file.metadata()?.len() >= size {
            return Ok(());
        }
        let result = match fallocate(&file, FallocateFlags::empty(), 0, size) {
            Err(Errno::OPNOTSUPP) => file.write_all_at(&vec![0; to_usize(size)], 0),
            other => other.map_err(io::Error::from),
        };
        result.inspect_err(|_| {
            let _ = file.set_len(0);
        })
    }

    fn release_reserve(&self) -> io::Result<()> {
        self.reserve()?.set_len(0)
    }

    /// The number of the file and when it was made: a copy has others, a renamed file has the same.
    fn place(&self) -> Option<Octets> {
        let found = std::fs::metadata(self.dir.database()).ok()?;
        let made = found.created().ok();
        let made = made.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let mut place = found.ino().to_be_bytes().to_vec();
        place.extend(made.map_or(0, |at| at.as_nanos()).to_be_bytes());
        Some(place.into())
    }
}

fn to_usize(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// A file as redb wants to see it.
#[derive(Debug)]
struct Bytes(File);

impl StorageBackend for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// A file for reading only. The system's cache is asked to let go of what is read, so that it comes
/// from the disk.
#[derive(Debug)]
pub(super) struct Straight(File);

impl Straight {
    /// Opens the file at this path.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }
}

impl StorageBackend for Straight {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        // A file system that cannot do it reads from its cache.
        let length = NonZeroU64::new(out.len() as u64);
        let _ = fadvise(&self.0, offset, length, Advice::DontNeed);
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
