//! Defects on purpose: each makes the log wrong in one place, to show that a test notices.
//!
//! Without the feature `sim` the question is answered "no" at compile time and nothing of this is left. With it a defect is chosen for
//! the calling thread, and for the threads of logs opened there. `docs/wal-testing.md` lists them with the suite that catches each.

#[cfg(feature = "sim")]
use std::cell::Cell;

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A defect that can be planted.
        #[cfg_attr(not(feature = "sim"), allow(unreachable_pub))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[doc = $doc])+ $name,)+
        }

        #[cfg(feature = "sim")]
        impl Bug {
            /// All of them.
            pub const ALL: &'static [Bug] = &[$(Bug::$name),+];
        }
    };
}

bugs! {
    /// The log thread publishes the durable sequence before it has synced.
    AcknowledgeBeforeSync,
    /// The log thread never syncs.
    NoSync,
    /// The flush that fills a segment is not synced before the next segment is begun.
    NextSegmentBeforeSync,
    /// A new segment's name is not made durable.
    NoDirectorySync,
    /// Opening does not make durable the names that a killed process left.
    NoDirectorySyncAtOpen,
    /// A new segment gets its name before its bytes are durable.
    RenameBeforeSync,
    /// The directory of a new log is not made durable in its parent.
    NoParentSync,
    /// The record's checksum leaves out the length.
    ChecksumWithoutLength,
    /// The record's checksum covers the payload alone.
    ChecksumOfPayloadAlone,
    /// A tail slot names what it is about to make durable as durable already.
    WatermarkAhead,
    /// A record names what is published as durable already.
    HeaderWatermarkAhead,
    /// A flush writes its partial block into the slot after its own as well.
    TwoSlotsAtOnce,
    /// A flush writes its partial block into the slot that holds the newest one.
    SameSlotAgain,
    /// The partial last block is written to its place in the stream area, over durable bytes.
    PartialBlockInPlace,
    /// A flush is called durable when its own sync is through, whatever became of those before it.
    DurableOutOfOrder,
    /// The slots in turn are one too few: a flush writes over the newest durable one.
    SlotReusedEarly,
    /// A tail slot calls durable what the flushes before its own are about to make so.
    WatermarkOfFlushesUnderWay,
    /// The next segment is begun while flushes into the one before it are under way.
    RollWithFlushesUnderWay,
    /// Flushes under way share one open file description, which tells only one of them that writing back has failed.
    SharedDescription,
    /// Tail blocks are given back before their bytes are durable.
    BlocksFreedEarly,
    /// A failed sync is tried again, and what it then says is believed.
    SyncRetried,
    /// A failed call is told to whoever made it and does not latch.
    FailureForgotten,
    /// Appending does not look at the latch.
    AppendsAfterLatch,
    /// A later failure takes the place of the first one.
    LatchOverwritten,
    /// Appending goes beyond the segments that are ready.
    AppendsBeyondRoom,
    /// Being out of space does not end by itself.
    SpaceNeverReturns,
    /// Recovery does not look at the tail.
    TailIgnored,
    /// Recovery does not compare the bytes that tail and disk both hold.
    OverlapNotCompared,
    /// Recovery keeps a group that is not whole.
    UnfinishedGroupKept,
    /// Recovery writes what it took from the tail and does not sync it.
    RecoveredNotSynced,
    /// Recovery leaves what it found beyond the last durable flush as it is, in the page cache or on the disk.
    RecoveredNotRewritten,
    /// Recovery leaves the cut bytes behind the end.
    CutNotCleared,
    /// Recovery does not end the authority of the old epoch's slots.
    OldSlotsLeft,
    /// Recovery does not miss the last segments when they are gone.
    LastSegmentNotMissed,
    /// Recovery goes on to the next segment and leaves a torn slot behind.
    TornSlotLeft,
    /// Recovery trusts a segment with more torn slots than flushes could tear.
    TornSlotsAccepted,
    /// A slot of zeros passes for one that was never written.
    ZerosPassForUnwritten,
    /// Recovery forgets a loss that an earlier, killed recovery found.
    LossNotInherited,
    /// Retention takes the newest of the segments first.
    RetentionNewestFirst,
    /// A reader of durable records reads what is published.
    DurableReadsPublished,
    /// The durable sequence is raised to the middle of a group.
    DurableInsideGroup,
}

#[cfg(feature = "sim")]
thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// True where that defect is planted.
#[cfg(feature = "sim")]
#[inline]
pub(crate) fn is(bug: Bug) -> bool {
    planted() == Some(bug)
}

/// No defect is ever planted in the product.
#[cfg(not(feature = "sim"))]
#[inline(always)]
pub(crate) const fn is(_: Bug) -> bool {
    false
}

/// The defect planted on this thread.
#[cfg(feature = "sim")]
pub fn planted() -> Option<Bug> {
    PLANTED.with(Cell::get)
}

/// Runs `body` with that defect planted on this thread.
#[cfg(feature = "sim")]
pub fn plant<T>(bug: Bug, body: impl FnOnce() -> T) -> T {
    struct Restore(Option<Bug>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PLANTED.with(|planted| planted.set(self.0));
        }
    }
    let _restore = Restore(PLANTED.with(|planted| planted.replace(Some(bug))));
    body()
}

/// For a thread of the log: what was planted where the log was opened.
#[cfg(feature = "sim")]
pub(crate) fn inherit(bug: Option<Bug>) {
    PLANTED.with(|planted| planted.set(bug));
}
