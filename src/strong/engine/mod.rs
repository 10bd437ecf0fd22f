//! Keeps a Raft log among members and applies it: the glue between [`crate::strong`] and the
//! `openraft` engine.
//!
//! | file | what lives there |
//! |---|---|
//! | `engine` | the handle that the rest of the program holds |
//! | `leading` | what only the leader can do: found, asked, done |
//! | `life`, `group` | how a member finds its group and stays in it |
//! | `founding`, `meeting` | charters and promises; taken in by a group, two groups that meet |
//! | `proving`, `seal`, `recalling` | a member that was set back to an older copy is found out |
//! | `keeping` | what an engine does by itself: time, elections, replacing voters, snapshots |
//! | `quorum` | what an operator sees and can do |
//! | `running` | one engine that runs, and its doors |
//! | `clerk`, `readers` | commands into the log, many at once; reads confirmed, many at once |
//! | `log`, `scribe` | the log: recent entries in memory, all on the disk, many with one sync |
//! | `machine` | applies committed entries, and shows the state |
//! | `portraits` | snapshots: made, kept, sent piece by piece, put together |
//! | `disk`, `memory` | what is kept, and the door to whatever keeps it |
//! | `peers`, `message`, `encoding` | what members send each other |
//! | `types`, `world` | what `openraft` is set up with, and what the engine needs around it |

mod clerk;
mod disk;
mod encoding;
#[expect(clippy::module_inception, reason = "it is what the room is about")]
mod engine;
mod founding;
mod group;
mod keeping;
mod leading;
mod life;
mod log;
mod machine;
mod meeting;
mod memory;
mod message;
mod peers;
mod portraits;
mod proving;
mod quorum;
mod readers;
mod recalling;
mod running;
mod scribe;
mod seal;
mod types;
mod world;

pub use disk::{Cell, Kept, LogChange, LogDisk, LogDiskError};
pub use encoding::EncodingError;
pub use engine::{Engine, Request, Settings, StrongError};
pub use founding::plan;
pub use group::{Belonging, Charter, Group, GroupId, Plan, Stage, Told};
pub use machine::{Happened, View};
pub use memory::{MemoryDisk, Trouble};
pub use quorum::{Part, Role, Status};
pub use types::{Answers, Portrait, Proposal, Types, Voter, VoterId};
pub use world::{AskError, Matter, Seen, World};
