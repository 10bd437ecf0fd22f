//! Why a member did not start, or had to end. Each says what to do next.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::app::EditError;
use crate::io::disk::{DirError, DiskError};
use crate::io::tls::{AuthorityError, SecretError, TlsServerError};
use crate::model::{MemberId, NodeName};

/// Why the daemon ended other than by a signal. Data that was acknowledged is safe in every case.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirError),
    /// The database cannot be opened.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file of the data directory cannot be read or written.
    #[error("{what} in the data directory: {why}")]
    File {
        /// Which file.
        what: &'static str,
        /// The system's reason.
        why: io::Error,
    },
    /// The cluster forgot this member while it was away. It sets its copy aside and begins again.
    #[error("the cluster forgot this member while it was away")]
    Forgotten,
    /// The zgossip face cannot listen.
    #[error("zgossip: {0}")]
    Zgossip(#[from] crate::faces::zgossip::BindError),
    /// The log of the strong side cannot be used.
    #[error("the strong side: {0}")]
    Strong(String),
    /// The secret cannot be used.
    #[error("the cluster's secret cannot be used")]
    Secret(#[from] SecretError),
    /// The data directory is a cluster's, and no secret was given.
    #[error(
        "{} holds the data of a cluster whose secret was given from outside: give it again \
         (GAGGLE_SECRET or --secret-file). To begin another cluster with this data, remove ca.pem \
         there first", .0.display()
    )]
    SecretMissing(PathBuf),
    /// The data directory is that of a cluster with another secret.
    #[error(
        "{} holds the data of a cluster with another secret. Give that one; to change a secret, \
         give the new and the old one, separated by a comma. To begin another cluster with this \
         data, remove ca.pem there first", .0.display()
    )]
    OtherSecret(PathBuf),
    /// The first user's name or password cannot be used.
    #[error("the first user: {0}")]
    User(String),
    /// No certificate could be made from the secret.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The operator's own certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsServerError),
    /// Nobody can be served.
    #[error(
        "cannot listen on {address}: {why}. Is another member, or another program, there already? \
         {flag} chooses another address"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The flag that chooses it.
        flag: &'static str,
        /// The system's reason.
        why: io::Error,
    },
    /// The ways to find others could not be set up.
    #[error("discovery: {0}")]
    Discovery(String),
    /// `store.json` is broken and there is no sound database to start from.
    #[error(
        "{file}: {why}. The database is empty, so nothing else is known: mend the file, or move it \
         away to start with an empty store"
    )]
    BrokenImport {
        /// The file.
        file: String,
        /// What is wrong with it, and where.
        why: String,
    },
    /// The edits of a node in `store.json` cannot be taken. Edits of nodes before it were taken.
    #[error("the edits of node {node} in store.json: {why}")]
    Import {
        /// The node.
        node: NodeName,
        /// Why they were refused.
        why: EditError,
    },
    /// Another member has this member's id: its data directory was copied.
    #[error(
        "member id {member} is already in use by {other}: this data directory is a copy of that \
         member's. Start this one with an empty data directory; it gets an id of its own and the \
         cluster's data"
    )]
    Duplicate {
        /// The id.
        member: MemberId,
        /// Where the other one is.
        other: SocketAddr,
    },
    /// The system refused a thread or the runtime.
    #[error("the system refused to start a thread: {0}")]
    Thread(io::Error),
    /// The runtime or a signal handler could not be set up.
    #[error("the system refused {what}: {why}")]
    System {
        /// What.
        what: &'static str,
        /// The system's reason.
        why: io::Error,
    },
}
