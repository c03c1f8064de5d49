//! What is handed over once: a segment from the preparer, the word to finish from the appender.

use loom::cell::UnsafeCell;

use super::{explore, nothing, tail};
use crate::room::Room;
use crate::stop::{DRAIN, Stop};
use crate::tail::Tail;

/// Segments of one chunk; the cell is the second one's file.
struct Segments {
    room: Room<u64>,
    made: UnsafeCell<()>,
    tail: Tail,
}

// SAFETY: the checker watches who touches the cell.
unsafe impl Send for Segments {}
// SAFETY: as above.
unsafe impl Sync for Segments {}

#[test]
fn a_segment_that_there_is_room_in_was_made() {
    fn shared() -> Segments {
        Segments { room: Room::new([(0, 0)].into(), 8), made: UnsafeCell::new(()), tail: tail(1) }
    }
    fn prepares(shared: &Segments) {
        shared.made.with_mut(|_| ());
        shared.room.add(8, 1, 16);
    }
    fn appends(shared: &Segments) {
        if shared.room.end() == 16 {
            shared.made.with(|_| ());
            shared.tail.publish(16, 1);
        }
    }
    fn flushes(shared: &Segments) {
        if shared.tail.published_address() == 16 {
            assert_eq!(shared.room.take(), Some((0, 0)));
            assert_eq!(shared.room.take(), Some((8, 1)), "what is published has its segment");
            shared.made.with(|_| ());
        }
    }
    explore(shared, &[prepares, appends, flushes], nothing);
}

#[test]
fn who_is_told_to_finish_sees_everything_published() {
    fn shared() -> (Tail, Stop) {
        (tail(1), Stop::new())
    }
    fn appends((tail, stop): &(Tail, Stop)) {
        tail.publish(8, 1);
        tail.publish(16, 2);
        stop.tell(DRAIN);
    }
    fn drains((tail, stop): &(Tail, Stop)) {
        if stop.told() == DRAIN {
            assert_eq!((tail.published_sequence(), tail.published_address()), (2, 16));
        }
    }
    explore(shared, &[appends, drains], nothing);
}
