//! A small disk: an ext4 file system in a file, mounted in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};

use super::program::{command, run, scratch};
use super::wait::{seconds, until};

/// Unmounted and gone when dropped.
pub(crate) struct SmallDisk {
    folder: tempfile::TempDir,
}

/// How the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PowerCut {
    /// The file system is told to write nothing more, not even its journal.
    Shutdown,
    /// The device's bytes are kept as they are at that moment.
    Copy,
}

/// Shuts an ext4 file system down, as a power cut would: `EXT4_IOC_SHUTDOWN` with the flag
/// `NOLOGFLUSH`. Perl is part of every Debian.
const SHUT_DOWN: &str = r#"
    my $flags = pack("L", 2);
    open(my $root, "<", $ARGV[0]) or die "$ARGV[0]: $!";
    ioctl($root, 0x8004587D, $flags) or die "ioctl: $!";
"#;

impl SmallDisk {
    /// A disk of that many MiB, no part of it kept back for root.
    pub(crate) fn new(mebibytes: u64) -> Self {
        let disk = Self { folder: scratch() };
        // Every host has its own view of what is mounted; only from a shared mount point on is an
        // unmount one for all of them.
        let folder = disk.folder.path().to_string_lossy().into_owned();
        run(&["mount", "--bind", "--make-shared", &folder, &folder]);
        let file = fs::File::create(disk.image()).expect("a file");
        file.set_len(mebibytes << 20).expect("a sparse file");
        run(&[
            "mkfs.ext4",
            "-q",
            "-m",
            "0",
            &disk.image().to_string_lossy(),
        ]);
        fs::create_dir(disk.path()).expect("a mount point");
        disk.mount();
        disk
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn kept(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    fn mount(&self) {
        let (image, path) = (self.image(), self.path());
        let (image, path) = (image.to_string_lossy(), path.to_string_lossy());
        run(&["mount", "-o", "loop", &image, &path]);
    }

    /// From now on nothing more is written; `false` if the kernel refuses to do that.
    pub(crate) fn shut_down(&self) -> bool {
        let path = self.path();
        let path = path.to_string_lossy();
        let done = command(&["perl", "-e", SHUT_DOWN, &path]).output();
        done.is_ok_and(|output| output.status.success())
    }

    /// Keeps the bytes of the device for [`SmallDisk::power_up`].
    pub(crate) fn keep_as_it_is(&self) {
        let (image, kept) = (self.image(), self.kept());
        let (image, kept) = (image.to_string_lossy(), kept.to_string_lossy());
        run(&["cp", "--sparse=always", &image, &kept]);
    }

    /// The power is back: mounts what the cut left. No process may have files open on the disk.
    pub(crate) fn power_up(&mut self, after: PowerCut) {
        let path = self.path();
        let unmount = || {
            let done = command(&["umount", &path.to_string_lossy()]).output();
            done.is_ok_and(|output| output.status.success())
        };
        until("the disk is unmounted", seconds(10), unmount, |done| *done);
        // Programs that just ended may have had a view of it: the kernel lets go a little later,
        // and until then a mount would find the file system that was shut down.
        let image = self.image();
        let in_use = || run(&["losetup", "--associated", &image.to_string_lossy()]);
        until("the disk is let go", seconds(10), in_use, String::is_empty);
        if after == PowerCut::Copy {
            fs::rename(self.kept(), self.image()).expect("an own directory");
        }
        self.mount();
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
        for path in [self.path(), self.folder.path().to_owned()] {
            let _ = command(&["umount", "--lazy", &path.to_string_lossy()]).output();
        }
    }
}
