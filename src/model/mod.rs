//! Pure data and its laws. This room knows no other: no async, no socket, no file, no clock, no
//! randomness; time and seeds come in as arguments.

mod member;
mod name;
mod time;

pub use member::{ClusterId, ClusterIdError, MemberId, MemberIdError};
pub use name::{KeyName, NAME_LIMIT, NameError, NodeName};
pub use time::WallTime;
