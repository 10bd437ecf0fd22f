//! The composition root: builds the parts, owns every task, stops them in order.
//!
//! | file | what lives there |
//! |---|---|
//! | `member` | one running member: its start and its end |
//! | `store` | the data directory, the database, the writer |
//! | `access` | the secret and the password: given, kept, or made |
//! | `import` | edits of `store.json`, taken at the start |
//! | `snapshot` | keeps `store.json` up to date |
//! | `serving` | certificates, the listener, its limits |
//! | `faces` | the other faces: their listeners, and what they work with |
//! | `directory` | the member table as the API shows it |
//! | `metrics` | what the parts count, as the API shows it |
//! | `contact` | ties the membership driver to the rest |
//! | `membership` | drives discovery and membership |
//! | `replication`, `push`, `sync`, `peers` | drive push and sync |
//! | `upkeep`, `forgotten` | what a member does by itself; its way back when it was forgotten |
//! | `clocks` | compares the clock with those of the peers |
//! | `backlog` | what is held aside, and what waits for members that are away |
//! | `embedded` | members inside a program: the strong side as a library |
//! | `strong` | starts the strong side, and is the world around its engine |
//! | `zgossip` | starts the zgossip face |
//! | `scrub` | compares disk, memory and digest, and mends |
//! | `logging`, `signals` | log lines out, signals in |

mod access;
mod backlog;
mod clocks;
mod contact;
mod directory;
pub mod embedded;
mod error;
mod faces;
mod forgotten;
mod import;
mod logging;
mod member;
pub mod membership;
mod metrics;
mod peers;
mod push;
mod replication;
mod scrub;
mod serving;
mod signals;
mod snapshot;
mod store;
mod strong;
mod sync;
mod upkeep;
mod zgossip;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Config;
use crate::model::{ClusterId, MemberId};

pub use error::DaemonError;

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Reads the configuration again, for a reload; the text says why it cannot be taken.
pub type Reread = Box<dyn Fn() -> Result<Config, String> + Send>;

/// What there is to tell when a member has started.
#[derive(Clone, Debug)]
pub struct Started {
    /// Its id.
    pub member: MemberId,
    /// Its name.
    pub name: String,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Where its API listens.
    pub listen: SocketAddr,
    /// Where its map face listens, if it does.
    pub map: Option<SocketAddr>,
    /// The file with the certificate authority that clients trust.
    pub ca: PathBuf,
    /// Whether clients are shown the operator's own certificate instead.
    pub own_certificate: bool,
    /// The first user's name.
    pub user: String,
    /// A password that was made just now; it is told this once.
    pub new_password: Option<String>,
    /// A secret that was made just now; another host joins with it.
    pub new_secret: Option<String>,
    /// The port of discovery, which all members share.
    pub discovery_port: u16,
    /// How many edits of `store.json` were taken.
    pub imported: usize,
    /// Keys in the store.
    pub keys: usize,
}

/// Runs a member until a signal stops it. `started` is called once it serves.
///
/// # Errors
/// See [`DaemonError`]: it could not start, or it had to end.
pub fn run(
    config: &Config,
    reread: &Reread,
    started: impl Fn(&Started),
) -> Result<(), DaemonError> {
    let logging = logging::Logging::start(config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("gaggle")
        .build()
        .map_err(|why| DaemonError::System {
            what: "a runtime",
            why,
        })?;
    let ended = runtime.block_on(lives(config, reread, &logging, &started));
    // What still runs is a request that outlived its drain: nothing it holds is acknowledged.
    runtime.shutdown_background();
    ended
}

/// One life after the other: a member that was forgotten begins again as another one.
async fn lives(
    config: &Config,
    reread: &Reread,
    logging: &logging::Logging,
    started: &impl Fn(&Started),
) -> Result<(), DaemonError> {
    loop {
        match member::run(config.clone(), reread, logging.clone(), started).await {
            Err(DaemonError::Forgotten) => {
                let set_aside = forgotten::set_aside(config).await?;
                tracing::warn!("{}", forgotten::told(&set_aside));
            }
            ended => return ended,
        }
    }
}
