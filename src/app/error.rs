//! Why a write was refused or failed. Each says whether anything was changed.

use crate::protocol::clocks::ClockTrouble;

/// Why an edit was not done. Nothing was changed by it, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Happens in normal life: the node is not there.
    #[error("there is no such node")]
    NodeNotFound,
    /// Happens in normal life: the key is not there.
    #[error("there is no such key in this node")]
    KeyNotFound,
    /// Happens in normal life: the version to restore is not kept, or never was.
    #[error("no such version of this key is kept")]
    VersionNotFound,
    /// Happens in normal life: `If-Match` or `If-None-Match` does not hold.
    #[error("the condition does not hold{}", match current {
        Some(tag) => format!(": the current version is \"{tag}\""),
        None => String::new(),
    })]
    PreconditionFailed {
        /// The tag of what is there, if anything is.
        current: Option<String>,
    },
    /// A name is longer than this member's limit.
    #[error("a name of {length} bytes is over this member's limit of {limit}")]
    NameTooLong {
        /// Bytes in the name.
        length: usize,
        /// `--max-name-bytes`.
        limit: usize,
    },
    /// A value is larger than this member's limit.
    #[error("a value of {size} bytes is over this member's limit of {limit}")]
    ValueTooLarge {
        /// Bytes in the value.
        size: usize,
        /// `--max-value-bytes`.
        limit: usize,
    },
    /// The store holds as many keys as this member may hold.
    #[error("the store holds as many keys as it may: {limit}")]
    TooManyKeys {
        /// `--max-keys`.
        limit: usize,
    },
    /// This member's clock cannot be trusted to write by. Reads go on.
    #[error(transparent)]
    Clock(#[from] ClockTrouble),
    /// The disk has no room. Deleting goes on; writes go on by themselves when there is room.
    #[error("the disk of the data directory is full")]
    DiskFull,
    /// The disk failed once; nothing is acknowledged until a restart has verified the data.
    #[error("writes are fenced since the disk failed: {0}")]
    Fenced(String),
    /// The disk failed while the write was on its way to it. Whether it was applied is unknown
    /// until a restart has read the disk.
    #[error("the disk failed while the write was on its way: {0}")]
    InDoubt(String),
    /// What is kept of this key on disk is damaged. Nothing was changed, and other keys are sound.
    #[error("what is kept of this key is damaged: {0}")]
    Damaged(String),
    /// The member was forgotten: nothing is taken from it.
    #[error("this member was forgotten by the cluster")]
    Forgotten,
    /// Happens in normal life: no such member is known.
    #[error("there is no such member")]
    MemberNotFound,
    /// The writer's queue is full: try again soon.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The member is stopping. Nothing was changed.
    #[error("the member is stopping")]
    Stopping,
    /// The writer ended while the edit was with it. Whether it was applied is unknown.
    #[error("the writer ended; whether the write was applied is unknown")]
    Lost,
}
