//! Pure data and its laws. This room knows no other: no async, no socket, no file, no clock, no
//! randomness; time and seeds come in as arguments.

mod change;
mod digest;
mod entry;
mod feed;
mod member;
mod name;
mod node;
pub mod planted;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
pub(crate) mod shelf;
mod stamp;
mod standing;
mod store;
#[cfg(test)]
mod store_laws;
mod time;
mod vector;
mod version;

pub use change::{
    AUTHOR_LIMIT, BadChange, CONTENT_TYPE_LIMIT, Change, Gap, Row, Slot, VALUE_LIMIT,
};
pub use digest::{Bucket, Digest, FAN, LEVELS};
pub use entry::{Entry, Older, Place, lost, place};
use entry::{beyond, losers};
pub use feed::{Applied, Feed, Source, TooOld};
pub use member::{ClusterId, ClusterIdError, MemberId, MemberIdError};
pub use name::{KeyName, NAME_LIMIT, NameError, NodeName};
pub use node::{DESCRIPTION_LIMIT, HISTORY_LIMIT, NodeRegister, NodeState, Settings};
pub use stamp::{HybridClock, HybridTime, STAMP_BYTES, Stamp, StampError};
pub use standing::{FORGET_AFTER, Standing};
pub use store::{Counts, Merged, Node, Store};
pub use time::WallTime;
pub use vector::VersionVector;
pub use version::{Content, JSON, OCTETS, REPLACES_LIMIT, Replaces, TEXT, Value, Version};
