//! Planted faults: each breaks one promise, so that a verdict can be shown to notice.

/// A fault of the shard, on one trade in [`PLANT_EVERY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Acknowledges a trade that it neither logs nor books.
    Drop,
    /// Logs and books a trade twice.
    Double,
    /// Books a reduction against the wrong lot.
    WrongLot,
    /// Acknowledges first and logs later: what waits at a crash is lost.
    AckBeforeLog,
}

/// One trade in this many is hit.
pub const PLANT_EVERY: u64 = 997;
