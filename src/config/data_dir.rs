//! The files in a data directory that other programs on this host may read.
//!
//! A member keeps there what it made up itself (`secret`, `password`, both mode 0600), the
//! certificate that clients trust (`ca.pem`), and where it runs (`member.json`). So
//! `docker exec m1 /gaggle get web colour` works without any flag.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::hidden::Hidden;
use super::layers::hidden_file;
use crate::model::{ClusterId, MemberId};

/// The most that `member.json` may hold.
const MEMBER_FILE_LIMIT: u64 = 64 << 10;
/// The most that `blocklist.json` may hold.
const BLOCK_LIST_LIMIT: u64 = 256 << 10;

/// A data directory, by its name. It need not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The directory with this name.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The secret that the member made itself; mode 0600.
    pub fn secret_file(&self) -> PathBuf {
        self.0.join("secret")
    }

    /// The password that the member made itself; mode 0600.
    pub fn password_file(&self) -> PathBuf {
        self.0.join("password")
    }

    /// The certificate that clients trust, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// Where the member runs.
    pub fn member_file(&self) -> PathBuf {
        self.0.join("member.json")
    }

    /// The secret that the member made itself, if it did and we may read it.
    pub fn secret(&self) -> Option<Hidden> {
        hidden_file(&self.secret_file()).ok()
    }

    /// The password that the member made itself, if it did and we may read it.
    pub fn password(&self) -> Option<Hidden> {
        hidden_file(&self.password_file()).ok()
    }

    /// Where the member runs, or ran last; nothing if it never did or the file is not readable.
    pub fn member(&self) -> Option<MemberFile> {
        let path = self.member_file();
        let size = fs::metadata(&path).ok()?.len();
        let text = (size <= MEMBER_FILE_LIMIT).then(|| fs::read(&path).ok())??;
        serde_json::from_slice(&text).ok()
    }

    /// A user with a password, as gaggle 0.7 kept them.
    pub fn credentials_file(&self) -> PathBuf {
        self.0.join("credentials.json")
    }

    /// The addresses that the member sends nothing to by itself.
    pub fn block_list_file(&self) -> PathBuf {
        self.0.join("blocklist.json")
    }

    /// The addresses on the block list; none if there is no such file.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is no list of addresses.
    pub fn block_list(&self) -> io::Result<BTreeSet<IpAddr>> {
        let path = self.block_list_file();
        let size = match fs::metadata(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            size => size?.len(),
        };
        if size > BLOCK_LIST_LIMIT {
            let why = format!("it has more than {BLOCK_LIST_LIMIT} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        serde_json::from_slice(&fs::read(&path)?)
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
    }

    /// Keeps the addresses on the block list; returns when they have reached the disk.
    ///
    /// # Errors
    /// What the file system says; an older file then stays as it was.
    pub fn write_block_list(&self, addresses: &BTreeSet<IpAddr>) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(addresses)?;
        text.push(b'\n');
        replace(&self.block_list_file(), &text, 0o644)
    }

    /// Tells where the member runs. Call it once it listens.
    ///
    /// # Errors
    /// What the file system says; an older file then stays as it was.
    pub fn write_member(&self, member: &MemberFile) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(member)?;
        text.push(b'\n');
        replace(&self.member_file(), &text, 0o644)
    }

    /// Writes the certificate that clients trust.
    ///
    /// # Errors
    /// What the file system says; an older file then stays as it was.
    pub fn write_ca(&self, pem: &str) -> io::Result<()> {
        replace(&self.ca_file(), pem.as_bytes(), 0o644)
    }

    /// Keeps a secret that the member made itself, readable by its owner only; returns when it has
    /// reached the disk.
    ///
    /// # Errors
    /// What the file system says; an older file then stays as it was.
    pub fn write_secret(&self, secret: &str) -> io::Result<()> {
        replace(&self.secret_file(), format!("{secret}\n").as_bytes(), 0o600)
    }

    /// Keeps a password that the member made itself, readable by its owner only; returns when it
    /// has reached the disk.
    ///
    /// # Errors
    /// What the file system says; an older file then stays as it was.
    pub fn write_password(&self, password: &str) -> io::Result<()> {
        replace(
            &self.password_file(),
            format!("{password}\n").as_bytes(),
            0o600,
        )
    }
}

/// What `member.json` tells programs on this host about the member that runs in the directory. It
/// stays there after the member has stopped: whoever reads it must try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFile {
    /// The member's id.
    #[serde(with = "as_text")]
    pub id: MemberId,
    /// The name that people see.
    pub name: String,
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The process.
    pub pid: u32,
    /// Where the REST API listens.
    pub listen: SocketAddr,
    /// Where the map face listens, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<SocketAddr>,
    /// The UDP port of discovery; none: written by a version that did not tell.
    #[serde(default)]
    pub discovery_port: Option<u16>,
    /// The interfaces that it was told to use (`--interface`); none: all that are up.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// The own certificate that clients are shown instead of the cluster's, by its absolute path.
    pub own_certificate: Option<PathBuf>,
    /// The program's version.
    pub version: String,
}

impl MemberFile {
    /// The name or address under which programs on this host reach the member, and its port.
    pub fn local(&self) -> (String, u16) {
        let host = match self.listen.ip() {
            ip if ip.is_unspecified() => "localhost".to_owned(),
            IpAddr::V6(ip) => ip.to_canonical().to_string(),
            IpAddr::V4(ip) => ip.to_string(),
        };
        (host, self.listen.port())
    }
}

mod as_text {
    //! A member's id as its sixteen digits.

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::model::MemberId;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands out references"
    )]
    pub(super) fn serialize<S: Serializer>(id: &MemberId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<MemberId, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Writes beside the file, syncs, renames over it, syncs the directory: at any time there is the
/// old file or the new one.
fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    // Made anew, so that the mode is ours even if somebody left a file of this name.
    match fs::remove_file(&beside) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn member() -> MemberFile {
        MemberFile {
            id: MemberId::from_u64(0xab),
            name: "a".to_owned(),
            cluster: ClusterId::default(),
            pid: 7,
            listen: "[::]:8000".parse().unwrap(),
            map: None,
            discovery_port: Some(2900),
            interfaces: Vec::new(),
            own_certificate: None,
            version: "0.1.0".to_owned(),
        }
    }

    #[test]
    fn what_is_written_reads_back_and_secrets_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        assert_eq!(
            (data.secret(), data.password(), data.member()),
            (None, None, None)
        );
        data.write_secret("old").unwrap();
        data.write_secret("s").unwrap();
        data.write_password("p").unwrap();
        data.write_member(&member()).unwrap();
        assert_eq!(data.secret(), Some(Hidden::new("s")));
        assert_eq!(data.password(), Some(Hidden::new("p")));
        assert_eq!(data.member(), Some(member()));
        for file in [data.secret_file(), data.password_file()] {
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_broken_member_file_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        fs::write(data.member_file(), "{\"id\": \"zz\"").unwrap();
        assert_eq!(data.member(), None);
    }

    #[test]
    fn a_member_is_reached_where_it_listens() {
        let cases = [
            ("[::]:8000", "localhost"),
            ("0.0.0.0:8000", "localhost"),
            ("127.0.0.2:8000", "127.0.0.2"),
            ("[::1]:8000", "::1"),
        ];
        for (listen, host) in cases {
            let listen = listen.parse().unwrap();
            let at = MemberFile { listen, ..member() }.local();
            assert_eq!(at, (host.to_owned(), 8000));
        }
    }
}
