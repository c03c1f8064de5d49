//! The appender publishes records; the log thread takes what it sees published.

use super::{explore, nothing, tail, take, words};
use crate::tail::Tail;

/// Two records of one word in chunk 0.
fn appends(tail: &Tail) {
    for record in 1..=2 {
        tail.store_word(0, (record as usize - 1) * 8, record);
        tail.publish(record * 8, record);
    }
}

fn with_a_block() -> Tail {
    let tail = tail(1);
    assert!(take(&tail, 0));
    tail
}

#[test]
fn a_published_address_covers_the_sequence_and_the_bytes() {
    fn takes(tail: &Tail) {
        let sequence = tail.published_sequence();
        let address = tail.published_address();
        assert!(address >= sequence * 8, "sequence {sequence} at address {address}");
        let mut bytes = [0; 16];
        tail.copy_live(0, 0, &mut bytes[..address as usize]);
        let seen = words(&bytes[..address as usize]);
        assert!(seen.iter().zip(1..).all(|(word, record)| *word == record), "{seen:?}");
    }
    explore(with_a_block, &[appends, takes], nothing);
}

/// A reader goes by the address alone.
#[test]
fn a_reader_sees_the_bytes_below_the_published_address() {
    fn reads(tail: &Tail) {
        let address = tail.published_address() as usize;
        if address > 0 {
            let mut bytes = [0; 16];
            assert!(tail.copy(0, 0, &mut bytes[..address]));
            let seen = words(&bytes[..address]);
            assert!(seen.iter().zip(1..).all(|(word, record)| *word == record), "{seen:?}");
        }
    }
    explore(with_a_block, &[appends, reads], nothing);
}
