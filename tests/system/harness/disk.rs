//! A small disk: an ext4 file system in a file, mounted in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};

use super::program::{command, run, scratch};

/// Unmounted and gone when dropped.
pub(crate) struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// A disk of that many MiB, no part of it kept back for root.
    pub(crate) fn new(mebibytes: u64) -> Self {
        let disk = Self { folder: scratch() };
        let image = disk.folder.path().join("image");
        let file = fs::File::create(&image).expect("a file");
        file.set_len(mebibytes << 20).expect("a sparse file");
        let image = image.to_string_lossy().into_owned();
        run(&["mkfs.ext4", "-q", "-m", "0", &image]);
        fs::create_dir(disk.path()).expect("a mount point");
        run(&[
            "mount",
            "-o",
            "loop",
            &image,
            &disk.path().to_string_lossy(),
        ]);
        disk
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Mounts it again as `ro` or `rw`.
    pub(crate) fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        run(&["mount", "-o", &options, &self.path().to_string_lossy()]);
    }

    /// Fills all free space with one file, to the last block.
    pub(crate) fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        write_until_full(&ballast);
        ballast
    }
}

/// Writes in ever smaller pieces until not one more block fits.
fn write_until_full(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).expect("a file on the small disk");
    for size in [1 << 20, 1 << 16, 1 << 12] {
        while file
            .write_all(&vec![b'x'; size])
            .and_then(|()| file.sync_data())
            .is_ok()
        {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = command(&["umount", "--lazy", &self.path().to_string_lossy()]).output();
    }
}
