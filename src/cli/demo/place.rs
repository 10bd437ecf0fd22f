//! The temporary directory, and ports that nobody uses.

use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::NAMES;
use crate::io::random;

/// Where the demonstration takes place; the directory goes when this is dropped.
pub(super) struct Place {
    directory: PathBuf,
    /// A TCP port for each member's API.
    pub(super) ports: [u16; NAMES.len()],
    /// The UDP port on which they find each other.
    pub(super) discovery_port: u16,
}

impl Place {
    /// Makes the directory, for its owner only, and chooses the ports.
    pub(super) fn new() -> anyhow::Result<Self> {
        let name = format!("gaggle-demo-{:08x}", random::seed() >> 32);
        let directory = std::env::temp_dir().join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        let mut place = Self {
            directory,
            ports: [0; NAMES.len()],
            discovery_port: 0,
        };
        // All at once, so that they differ. They are free again when this returns; that somebody
        // else takes one in between would be seen when the member starts.
        let mut taken = Vec::new();
        for port in &mut place.ports {
            let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            *port = socket.local_addr()?.port();
            taken.push(socket);
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        place.discovery_port = socket.local_addr()?.port();
        Ok(place)
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is in the system's directory for temporary things.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_place_is_private_has_different_ports_and_vanishes() {
        let place = Place::new().unwrap();
        let directory = place.directory().to_owned();
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let [a, b, c] = place.ports;
        assert!(a != b && b != c && a != c && a != 0);
        assert_ne!(place.discovery_port, 0);
        fs::create_dir(directory.join("x")).unwrap();
        drop(place);
        assert!(!directory.exists());
    }
}
