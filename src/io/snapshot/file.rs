//! `store.json` on disk: read at the start, replaced whole, never overwritten if somebody else
//! changed it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::edits::edits;
use super::record::{self, Record};
use super::{Import, Limits, SnapshotError, compact_date, parse, text};
use crate::io::disk::sync_dir;
use crate::model::{HybridTime, NodeName, Store, WallTime};
use crate::strong::{Node, Nodes};

/// The readable copy in a data directory.
#[derive(Debug)]
pub struct SnapshotFile {
    dir: PathBuf,
    /// What we wrote, newest first.
    records: Vec<Record>,
    /// The file as it was when its content was last known to be ours.
    ours: Option<Identity>,
}

/// What a file system tells about a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// Whether the other is the same file with nothing written since; a new name is no change.
    fn is_content(self, other: Self) -> bool {
        let Self {
            inode,
            length,
            modified,
            ..
        } = self;
        (inode, length, modified) == (other.inode, other.length, other.modified)
    }
}

/// Why a file is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// It does not read.
    Broken,
    /// Somebody edited it while the daemon ran.
    Edited,
}

impl SnapshotFile {
    /// The copy in this directory. Reads what is known about it; touches nothing.
    pub fn open(dir: &Path) -> Self {
        let records = std::fs::read_to_string(dir.join("store.json.sum"));
        Self {
            dir: dir.to_owned(),
            records: record::read(&records.unwrap_or_default()),
            ours: None,
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.join("store.json")
    }

    /// Whether the file is as we wrote it, to the bit. No file is as good as ours, for it is
    /// written again; nor does a file count of which nobody wrote down what it was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_as_written(&self) -> io::Result<bool> {
        match std::fs::read(self.path()) {
            Ok(bytes) => Ok(self.records.is_empty() || self.wrote(blake3::hash(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// What somebody changed in the file since we wrote it, as writes to be made on the store that
    /// readers see at `now`. No file, or one that is as we left it, asks for nothing.
    ///
    /// # Errors
    /// When the file does not read; it is left as it is, see [`set_aside`].
    pub fn read_edits(
        &mut self,
        store: &Store,
        now: WallTime,
        limits: Limits,
    ) -> Result<Import, SnapshotError> {
        let identity = identity(&self.path());
        let bytes = match std::fs::read(self.path()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Import::default()),
            Err(error) => return Err(error.into()),
        };
        let mut import = Import::default();
        if !self.wrote(blake3::hash(&bytes)) {
            let document = parse(&bytes, limits)?;
            import = edits(&document, &self.records, store, now);
        }
        // If not all of it was taken over, the next copy sets the file aside.
        self.ours = identity.filter(|_| import.kept == 0 && import.strong.is_empty());
        Ok(import)
    }

    /// Whether strong nodes were in the file when it was written last.
    pub fn has_strong_nodes(&self) -> bool {
        self.records.iter().any(|record| !record.strong.is_empty())
    }

    /// Replaces the file by a copy of what readers see of both classes of nodes at `now`, durably.
    /// Gives the path where an edit was put that somebody had made in the meantime.
    ///
    /// # Errors
    /// On any error the old file is still there, whole.
    pub fn write(
        &mut self,
        store: &Store,
        strong: &Nodes,
        now: WallTime,
    ) -> io::Result<Option<PathBuf>> {
        let new = self.dir.join("store.json.new");
        let record = write_new(&new, store, strong, now).inspect_err(|_| {
            // On a full disk its space is wanted by others.
            let _ = std::fs::remove_file(&new);
        })?;
        let before = self.records.first().cloned();
        let both = [record.clone()].into_iter().chain(before);
        self.write_records(both.collect())?;
        let aside = self.keep_edit(now)?;
        let written = identity(&new);
        std::fs::rename(&new, self.path())?;
        // Somebody may edit it from here on: it is ours only as it was written.
        let ours = identity(&self.path());
        self.ours = ours.filter(|ours| written.is_some_and(|written| written.is_content(*ours)));
        sync_dir(&self.dir)?;
        self.write_records(vec![record])?;
        Ok(aside)
    }

    fn write_records(&mut self, records: Vec<Record>) -> io::Result<()> {
        let new = self.dir.join("store.json.sum.new");
        let mut file = BufWriter::new(create(&new)?);
        for record in &records {
            write!(file, "{record}")?;
        }
        file.flush()?;
        file.get_ref().sync_all()?;
        std::fs::rename(&new, self.dir.join("store.json.sum"))?;
        self.records = records;
        sync_dir(&self.dir)
    }

    /// Moves the file away if its content is not ours.
    fn keep_edit(&self, now: WallTime) -> io::Result<Option<PathBuf>> {
        let path = self.path();
        let found = identity(&path);
        if found.is_none() || found == self.ours {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut File::open(&path)?, &mut hasher)?;
        if self.wrote(hasher.finalize()) {
            return Ok(None);
        }
        set_aside(&path, Aside::Edited, now).map(Some)
    }

    fn wrote(&self, hash: blake3::Hash) -> bool {
        self.records.iter().any(|record| record.hash == hash)
    }
}

/// Moves a file to a dated name beside it, such as `store.json.broken-20261121T024555Z`; a name
/// that is taken gets a number. Gives the new path.
pub fn set_aside(path: &Path, why: Aside, now: WallTime) -> io::Result<PathBuf> {
    let why = match why {
        Aside::Broken => "broken",
        Aside::Edited => "edited",
    };
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{why}-{}", compact_date(now)));
    let free = (1..).map(|number| {
        let mut name = name.clone();
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    });
    let free = free
        .take(10_000)
        .find(|free| free.symlink_metadata().is_err());
    let free = free.ok_or(io::ErrorKind::AlreadyExists)?;
    std::fs::rename(path, &free)?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))?;
    Ok(free)
}

fn identity(path: &Path) -> Option<Identity> {
    let meta = std::fs::metadata(path).ok()?;
    Some(Identity {
        inode: meta.ino(),
        length: meta.len(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}

fn create(path: &Path) -> io::Result<File> {
    // A left-over of a crash may belong to somebody else's program: begin with a file of our own.
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn write_new(path: &Path, store: &Store, strong: &Nodes, now: WallTime) -> io::Result<Record> {
    let mut out = Hashing {
        file: create(path)?,
        hasher: blake3::Hasher::new(),
        length: 0,
    };
    let mut buffered = BufWriter::with_capacity(64 << 10, &mut out);
    text::write(store, strong, now, &mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    out.file.sync_all()?;
    Ok(Record {
        hash: out.hasher.finalize(),
        length: out.length,
        newest: newest(store),
        strong: strong.iter().map(of_node).collect(),
    })
}

fn of_node((name, node): (&NodeName, &Node)) -> (NodeName, blake3::Hash) {
    let keys = node.keys().map(|(key, item)| (key, &item.value));
    (name.clone(), record::sum(keys))
}

/// The newest hybrid time of anything in the store, dead or alive.
fn newest(store: &Store) -> HybridTime {
    let of_node = |node: &crate::model::Node| {
        let keys = node.entries().map(|(_, entry)| entry.head.stamp.time).max();
        keys.max(node.register().map(|register| register.stamp.time))
    };
    let nodes = store.all_nodes().filter_map(|(_, node)| of_node(node));
    nodes.max().unwrap_or_default()
}

/// A file that hashes what is written to it.
struct Hashing {
    file: File,
    hasher: blake3::Hasher,
    length: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or(bytes));
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
