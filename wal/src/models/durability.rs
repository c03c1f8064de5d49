//! The durable sequence and address, those who wait for them, and the latch.

use std::path::Path;
use std::time::Duration;

use loom::cell::UnsafeCell;

use super::{explore, nothing};
use crate::disk::DiskError;
use crate::durability::Durability;
use crate::flights::{Flights, Mark};
use crate::sync::{Mutex, lock};

/// The durability of a log, and a segment that the log thread writes before it says so.
struct Shared {
    durability: Durability,
    segment: UnsafeCell<u64>,
}

// SAFETY: the checker watches who touches the cell.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

fn shared() -> Shared {
    Shared { durability: Durability::new(0, 0), segment: UnsafeCell::new(0) }
}

impl Shared {
    fn segment(&self) -> u64 {
        // SAFETY: the checker reports a race.
        self.segment.with(|value| unsafe { *value })
    }
}

/// One flush of one record of eight bytes.
fn flushes(shared: &Shared) {
    // SAFETY: the checker reports a race.
    shared.segment.with_mut(|value| unsafe { *value = 1 });
    // Refused where a model latches.
    let _ = shared.durability.publish(1, 8);
}

#[test]
fn who_sees_the_durable_sequence_may_read_the_segment() {
    fn reads(shared: &Shared) {
        if shared.durability.sequence() == 1 {
            assert_eq!(shared.segment(), 1);
        }
    }
    explore(shared, &[flushes, reads], nothing);
}

#[test]
fn who_sees_the_durable_address_may_read_the_segment() {
    fn reads(shared: &Shared) {
        if shared.durability.address() == 8 {
            assert_eq!(shared.segment(), 1);
        }
    }
    explore(shared, &[flushes, reads], nothing);
}

#[test]
fn the_durable_address_covers_the_sequence() {
    fn looks(shared: &Shared) {
        let sequence = shared.durability.sequence();
        assert!(shared.durability.address() >= sequence * 8);
    }
    explore(shared, &[flushes, looks], nothing);
}

/// A lost wake-up would leave the waiter asleep for ever: the checker reports a deadlock.
#[test]
fn who_waits_is_woken() {
    fn waits(shared: &Shared) {
        assert_eq!(shared.durability.wait(1, Duration::from_secs(3_600)), Ok(true));
        assert_eq!(shared.segment(), 1);
    }
    explore(shared, &[flushes, waits], nothing);
}

fn latches(shared: &Shared) {
    let failed = DiskError::new("fallocate", Path::new("segment"), 0, std::io::Error::from_raw_os_error(libc::EIO));
    shared.durability.latch(&failed);
}

#[test]
fn who_waits_is_woken_by_the_latch() {
    fn waits(shared: &Shared) {
        let result = shared.durability.wait(2, Duration::from_secs(3_600));
        assert_eq!(result.map_err(|error| error.errno), Err(libc::EIO));
    }
    explore(shared, &[latches, waits], nothing);
}

/// What the latch calls durable is the last word, whoever was about to publish more.
#[test]
fn nothing_becomes_durable_after_the_latch() {
    fn after(shared: &Shared) {
        let error = shared.durability.latched().expect("latched");
        assert_eq!(shared.durability.sequence(), error.durable_sequence);
    }
    explore(shared, &[latches, flushes], after);
}

/// Two flushes under way, each with blocks of its own.
struct UnderWay {
    durability: Durability,
    flights: Mutex<Flights>,
    blocks: [UnsafeCell<u64>; 2],
}

// SAFETY: the checker watches who touches the cells.
unsafe impl Send for UnderWay {}
// SAFETY: as above.
unsafe impl Sync for UnderWay {}

impl UnderWay {
    fn begun() -> Self {
        let mut flights = Flights::new(2);
        for sequence in 1..=2 {
            flights.begin(Mark { sequence, end: 8 * sequence, watermark: 0 });
        }
        let durability = Durability::new(0, 0);
        Self { durability, flights: Mutex::new(flights), blocks: [UnsafeCell::new(0), UnsafeCell::new(0)] }
    }

    /// One flush, as its thread does it: its blocks, its sync, the word.
    fn fly(&self, number: usize) {
        // SAFETY: the checker reports a race.
        self.blocks[number].with_mut(|value| unsafe { *value = 1 });
        let mut flights = lock(&self.flights);
        flights.through(number as u64);
        while let Some(mark) = flights.next_durable() {
            self.durability.publish(mark.sequence, mark.end).expect("nothing fails");
        }
    }
}

/// Whichever is through first: who sees a sequence durable may read the blocks of every flush up to it.
#[test]
fn flushes_under_way_become_durable_in_order() {
    fn reads(shared: &UnderWay) {
        let durable = shared.durability.sequence();
        for cell in &shared.blocks[..durable as usize] {
            // SAFETY: the checker reports a race.
            assert_eq!(cell.with(|value| unsafe { *value }), 1);
        }
    }
    fn all(shared: &UnderWay) {
        assert_eq!((shared.durability.sequence(), shared.durability.address()), (2, 16));
    }
    explore(UnderWay::begun, &[|shared| shared.fly(0), |shared| shared.fly(1), reads], all);
}
