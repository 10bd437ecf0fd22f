//! Pure data and its laws. This room knows no other: no async, no socket, no file, no clock, no
//! randomness; time and seeds come in as arguments.

mod change;
mod digest;
mod entry;
mod feed;
mod member;
mod name;
mod node;
#[cfg(test)]
pub(crate) mod samples;
mod stamp;
mod store;
#[cfg(test)]
mod store_laws;
mod time;
mod version;

pub use change::{Change, Row};
pub use digest::{Bucket, Digest, FAN, LEVELS};
use entry::beyond;
pub use entry::{Entry, Older, Place, place};
pub use feed::{Applied, Feed, TooOld};
pub use member::{ClusterId, ClusterIdError, MemberId, MemberIdError};
pub use name::{KeyName, NAME_LIMIT, NameError, NodeName};
pub use node::{DESCRIPTION_LIMIT, HISTORY_LIMIT, NodeRegister, NodeState, Settings};
pub use stamp::{HybridClock, HybridTime, STAMP_BYTES, Stamp, StampError};
pub use store::{Counts, Merged, Node, Store};
pub use time::WallTime;
pub use version::{Content, JSON, OCTETS, TEXT, Value, Version};
