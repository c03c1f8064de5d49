//! Defects on purpose: each makes the engine wrong in one place, to show that the simulated world notices.
//!
//! Without the feature `sim` the question is answered "no" at compile time and nothing of this is left. With it a defect is chosen for
//! the calling thread, which is the only one of a world. `docs/simulation.md` lists them with what notices each.

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
    /// A worker proposes before its body is durable in the side log.
    EventBeforeBody,
    /// A worker proposes before the events that it has replayed are durable.
    ProposalBeforeDurable,
    /// The shard accepts a proposal whatever version the position has by now.
    StaleVersion,
    /// A worker replays a kept stream as it is, and passes it for the position's newest version.
    StaleStream,
    /// The follower writes a checkpoint before the log is durable up to it.
    CheckpointBeforeDurable,
    /// A start takes a stream that a checkpoint has kept for the position's newest version.
    KeptStreamAsNewest,
    /// A start does not queue what is PROVISIONAL.
    ProvisionalForgotten,
    /// A position that was corrected, and has late trades left, is not woken.
    SettlingNeverWakes,
    /// A start does not learn the ids of trades.
    IdsForgotten,
}

#[cfg(feature = "sim")]
thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// True where that defect is planted.
#[cfg(feature = "sim")]
#[inline]
pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.with(Cell::get) == Some(bug)
}

/// No defect is ever planted in the product.
#[cfg(not(feature = "sim"))]
#[inline(always)]
pub(crate) const fn is(_: Bug) -> bool {
    false
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
