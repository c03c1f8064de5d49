//! The ring of blocks: the log thread gives them back, the appender takes them again, readers copy meanwhile.

use super::{explore, nothing, tail, take, words};
use crate::limits::CHUNK_BYTES;
use crate::tail::Tail;

const fn chunk(number: u64) -> u64 {
    number * CHUNK_BYTES as u64
}

/// A tail whose blocks all hold chunks, each with its number and one in its first word.
fn full(blocks: u32) -> Tail {
    let tail = tail(blocks);
    for number in 0..u64::from(blocks) {
        assert!(take(&tail, chunk(number)));
        tail.store_word(chunk(number), 0, number + 1);
    }
    tail
}

/// Flushes the first two chunks and gives their blocks back.
fn flushes(tail: &Tail) {
    for number in 0..2 {
        let mut bytes = [0; 8];
        tail.copy_live(chunk(number), 0, &mut bytes);
        assert_eq!(words(&bytes), [number + 1]);
        tail.free_block(chunk(number));
    }
}

/// Takes what is free, and stores into it at once.
fn takes_up_to(tail: &Tail, wanted: u64, first: u64) -> u64 {
    let mut number = first;
    while number < first + wanted && take(tail, chunk(number)) {
        tail.store_word(chunk(number), 0, number + 1);
        number += 1;
    }
    number - first
}

#[test]
fn a_block_is_taken_again_only_when_it_was_given_back() {
    fn takes(tail: &Tail) {
        takes_up_to(tail, 2, 2);
    }
    /// Whatever was given back in the end can be taken once.
    fn after(tail: &Tail) {
        let taken = (2..4).filter(|n| tail.has_chunk(chunk(*n))).count() as u64;
        assert_eq!(takes_up_to(tail, 3, 4), 2 - taken);
    }
    explore(|| full(2), &[flushes, takes], after);
}

/// "There is room for so many" stays true, however many more come back meanwhile.
#[test]
fn room_that_was_promised_is_there() {
    fn asks(tail: &Tail) {
        for wanted in [2, 1] {
            if tail.has_free(wanted) {
                assert_eq!(takes_up_to(tail, wanted, 3), wanted);
                return;
            }
        }
    }
    explore(|| full(3), &[flushes, asks], nothing);
}

/// A reader of a chunk whose block goes to another one gets all of the old bytes, or is told.
#[test]
fn a_reader_never_takes_new_bytes_for_old() {
    fn shared() -> Tail {
        let tail = full(1);
        tail.store_word(0, 8, 1);
        tail
    }
    fn recycles(tail: &Tail) {
        tail.free_block(0);
        assert!(take(tail, chunk(1)), "just freed");
        tail.store_word(chunk(1), 0, 2);
        tail.store_word(chunk(1), 8, 2);
    }
    fn reads(tail: &Tail) {
        let mut bytes = [0; 16];
        if tail.copy(0, 0, &mut bytes) {
            assert_eq!(words(&bytes), [1, 1]);
        }
    }
    explore(shared, &[recycles, reads], nothing);
}
