//! Bugs that can be switched on, to see whether the tests find them. Without the feature
//! `planted-bugs`, which only the simulator's tests ask for, [`is`] is `false` at compile time and
//! nothing of them is left.

#[cfg(feature = "planted-bugs")]
use std::cell::Cell;

/// A bug that can be planted, each at the place in the code where it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A delete takes the key away instead of leaving a tombstone.
    NoTombstone,
    /// Batches are committed without a sync.
    NoSync,
    /// A batch that the disk refused is answered as if it were written.
    AckUnwritten,
    /// A quarter of the digest's buckets is not kept up to date.
    StaleDigest,
    /// What a failed push carried is not gathered again.
    LostDirtySet,
    /// A claim is taken although writes before it are missing.
    ClaimIgnoresBase,
    /// Stamps come from the wall clock as it is.
    RawClock,
    /// Tombstones are collected by their age alone.
    CollectByAge,
    /// What is stamped far ahead of the clock is merged at once.
    AheadMergedAtOnce,
    /// The history keeps what came last instead of the newest.
    HistoryByArrival,
    /// A node that is made again forgets what its deletion hid.
    ClearedForgotten,
    /// A restart begins with the clock's position at zero.
    ClockForgotten,
    /// The version that came last is current, whatever its stamp.
    MergeByArrival,
    /// A walk takes the peer's vector before it has fetched anything.
    WalkClaimsEarly,
    /// What was seen and collected is merged again.
    GoneReturns,
    /// A member restored from an old copy does not notice.
    OldCopyUnnoticed,
    /// Versions that leave a history stay in its sum.
    PruneKeepsSum,
    /// What a sync brought is not told to those who watch.
    FeedSkipsSync,
    /// A node's deletion gets a stamp that may be below those of its keys.
    ClearBelowKeys,
    /// Members walk although they agree.
    NeverSilent,
    /// Sync compares current versions and leaves the history out.
    HeadsOnly,
    /// A forgotten member is let in with what it has.
    ForgottenMayMerge,
    /// A walk leaves out what gave way since it was listed, and says that it was whole.
    GaveWayUnseen,
    /// What is held aside is not written to the disk.
    HeldInMemory,
    /// A member tells that it has what it was sent, whether that took hold or not.
    AckOfReceived,
    /// What is held aside is not told to those who watch when its time has come.
    FeedSkipsHeld,
    /// Up to where deleted things were collected is not written to the disk.
    HorizonForgotten,
    /// What every member that is alive has seen counts as seen by all.
    HorizonOfLive,
    /// Versions that lost against one whose writer did not know them are not counted.
    LosersUncounted,
    /// A stamp does not go above what it replaces.
    StampBelowSeen,
    /// What waits for a peer grows without end.
    QueueUnbounded,
    /// What waited too long for a peer is dropped, and claimed all the same.
    DroppedYetClaimed,
}

/// Every bug that can be planted.
pub const ALL: [Bug; 32] = [
    Bug::NoTombstone,
    Bug::NoSync,
    Bug::AckUnwritten,
    Bug::StaleDigest,
    Bug::LostDirtySet,
    Bug::ClaimIgnoresBase,
    Bug::RawClock,
    Bug::CollectByAge,
    Bug::AheadMergedAtOnce,
    Bug::HistoryByArrival,
    Bug::ClearedForgotten,
    Bug::ClockForgotten,
    Bug::MergeByArrival,
    Bug::WalkClaimsEarly,
    Bug::GoneReturns,
    Bug::OldCopyUnnoticed,
    Bug::PruneKeepsSum,
    Bug::FeedSkipsSync,
    Bug::ClearBelowKeys,
    Bug::NeverSilent,
    Bug::HeadsOnly,
    Bug::ForgottenMayMerge,
    Bug::GaveWayUnseen,
    Bug::HeldInMemory,
    Bug::AckOfReceived,
    Bug::FeedSkipsHeld,
    Bug::HorizonForgotten,
    Bug::HorizonOfLive,
    Bug::LosersUncounted,
    Bug::StampBelowSeen,
    Bug::QueueUnbounded,
    Bug::DroppedYetClaimed,
];

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug in this thread, in the place of the one before.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether a bug is planted in this thread.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether a bug is planted: never, in a program that is not a test.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is(_bug: Bug) -> bool {
    false
}
