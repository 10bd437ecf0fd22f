//! Sockets: TCP and Unix, bound and connected, as one kind of stream.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, lookup_host};

use super::Bound;
use crate::config::{Bind, Connect, Endpoint};

/// After how long without a sign of its host a connection is given up.
const HOST_GONE: Duration = Duration::from_mins(1);
/// How long the look-up of a name may take, and then each of its addresses.
const DIAL: Duration = Duration::from_secs(5);
/// How many addresses of a name are tried.
const ADDRESSES: usize = 8;

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An endpoint of `--zgossip-bind` cannot be listened on. Happens when an operator mistypes or
/// another program is there.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {endpoint}: {why}")]
pub struct BindError {
    /// The endpoint.
    pub endpoint: String,
    /// The system's reason.
    pub why: io::Error,
}

/// A listening socket.
pub(super) struct Listener {
    socket: Socket,
    bound: Bound,
}

enum Socket {
    Tcp(TcpListener),
    Ipc(
        UnixListener,
        #[expect(dead_code, reason = "held until the end")] SocketFile,
    ),
}

/// The file of a Unix socket; dropping this removes it, if it is still the same.
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            fs::remove_file(&self.path).unwrap_or_default();
        }
    }
}

impl Listener {
    /// Listens; the file of a Unix socket that nobody listens on any more is taken over.
    pub(super) async fn bind(bind: &Bind) -> Result<Self, BindError> {
        let asked = bind.to_string();
        let failed = |why| BindError {
            endpoint: asked.clone(),
            why,
        };
        let (socket, endpoint, port) = match bind {
            Bind::Tcp(address) => {
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                let endpoint = format!("tcp://{address}");
                (Socket::Tcp(listener), endpoint, Some(address.port()))
            }
            Bind::Ipc(path) => {
                remove_stale(path).map_err(failed)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                // Who may reach it is said by the rights on its directory, not by our umask.
                let open = fs::Permissions::from_mode(0o666);
                fs::set_permissions(path, open).map_err(failed)?;
                let inode = fs::symlink_metadata(path).map_err(failed)?.ino();
                let path = path.clone();
                let file = SocketFile { path, inode };
                (Socket::Ipc(listener, file), asked.clone(), None)
            }
        };
        let bound = Bound {
            asked,
            endpoint,
            port,
        };
        Ok(Self { socket, bound })
    }

    pub(super) fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The next connection, and from where it comes.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Stream>, String)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                prepare(&stream);
                Ok((Box::new(stream), from.to_string()))
            }
            Socket::Ipc(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), self.bound.endpoint.clone()))
            }
        }
    }
}

/// A member that was killed leaves the file of its socket behind: it is removed if it is a socket
/// and nobody answers there.
fn remove_stale(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(why),
    };
    if !there.file_type().is_socket() {
        let why = "a file that is no socket is there";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(why) => Err(why),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Connects. A name is looked up anew each time; its addresses are tried one after the other.
pub(super) async fn connect(to: &Connect) -> io::Result<Box<dyn Stream>> {
    match to {
        Connect::Ipc(path) => {
            let stream = in_time(UnixStream::connect(path)).await?;
            Ok(Box::new(stream))
        }
        Connect::Tcp(Endpoint { host, port }) => {
            let name = (host.as_str(), port.unwrap_or_default());
            let addresses = in_time(lookup_host(name)).await?;
            let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in addresses.take(ADDRESSES) {
                match in_time(TcpStream::connect(address)).await {
                    Ok(stream) => {
                        prepare(&stream);
                        return Ok(Box::new(stream));
                    }
                    Err(why) => failed = why,
                }
            }
            Err(failed)
        }
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| Err(io::ErrorKind::TimedOut.into());
    tokio::time::timeout(DIAL, work).await.unwrap_or_else(late)
}

/// Tells without delay; notices a host that vanished.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(HOST_GONE / 2)
        .with_interval(HOST_GONE / 8);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}
