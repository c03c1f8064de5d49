//! Runs of allocations as 32-byte rows: from u32, count u32, quantity i64, cost i128.

use alloc::vec::Vec;

use crate::bytes::{Reader, Truncated};
use crate::event::Run;
use crate::limits::RUNS_PER_TRADE_MAX;

pub(super) const RUN_BYTES: usize = 32;

/// Runs begin at a multiple of eight bytes.
pub(super) const fn align_runs(bytes: usize) -> usize {
    bytes.next_multiple_of(8)
}

#[inline]
pub(super) fn write_runs(runs: &[Run], rows: &mut [u8]) {
    for (row, run) in rows.chunks_exact_mut(RUN_BYTES).zip(runs) {
        row[0..4].copy_from_slice(&run.from.to_le_bytes());
        row[4..8].copy_from_slice(&run.count.to_le_bytes());
        row[8..16].copy_from_slice(&run.part_quantity_e8.to_le_bytes());
        row[16..32].copy_from_slice(&run.part_cost_e16.to_le_bytes());
    }
}

/// Reads `count` rows, which are all that is left. `None`: they are not.
pub(super) fn read_runs(runs: &mut Vec<Run>, count: usize, rows: &[u8]) -> Option<()> {
    if count > RUNS_PER_TRADE_MAX || rows.len() != count * RUN_BYTES {
        return None;
    }
    runs.clear();
    runs.extend(rows.chunks_exact(RUN_BYTES).map(read_run));
    Some(())
}

fn read_run(row: &[u8]) -> Run {
    let mut read = Reader::new(row);
    // A row has exactly the bytes of the four fields.
    let mut next = || -> Result<Run, Truncated> {
        Ok(Run { from: read.u32()?, count: read.u32()?, part_quantity_e8: read.i64()?, part_cost_e16: read.i128()? })
    };
    next().unwrap_or_default()
}
