//! Models of what threads share, for the checker: it runs them in every order of steps, with every value that a load may see.
//!
//! They run the code of the product. Each model is tried with its threads started in every order, for the checker remembers only the last
//! access to a word and would miss some orders otherwise. Run with `scripts/models`; `docs/wal-testing.md` says which ordering is watched
//! by which model.

mod blocks;
mod durability;
mod handover;
mod publication;
mod weakened;

use std::path::Path;

use loom::sync::Arc;
use loom::thread;

use crate::aligned::AlignedBuffer;
use crate::limits::BLOCK_BYTES;
use crate::mapping::Mapping;
use crate::tail::{Tail, TailIdentity};

/// What one thread of a model does with what all share.
type Role<T> = fn(&T);

/// Runs a model for every order in which its threads can be started; the last of each order runs on the model's own thread.
fn explore<T: Send + Sync + 'static>(shared: fn() -> T, roles: &[Role<T>], after: fn(&T)) {
    for order in orders(roles.len()) {
        let roles: Vec<Role<T>> = order.iter().map(|&i| roles[i]).collect();
        loom::model(move || {
            let shared = Arc::new(shared());
            let (last, others) = roles.split_last().expect("a role");
            let threads: Vec<_> = others
                .iter()
                .map(|&role| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || role(&shared))
                })
                .collect();
            last(&shared);
            threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
            after(&shared);
        });
    }
}

/// Nothing is left to be said at the end.
fn nothing<T>(_: &T) {}

/// All orders of `0..count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let with = |order: &Vec<usize>, at: usize| {
        let mut order = order.clone();
        order.insert(at, count - 1);
        order
    };
    shorter.iter().flat_map(|order| (0..count).map(move |at| with(order, at))).collect()
}

/// A tail of so many blocks, with nothing in it.
fn tail(blocks: u32) -> Tail {
    let buffer = AlignedBuffer::new(BLOCK_BYTES);
    let start = buffer.as_ptr().cast_mut();
    // SAFETY: the buffer starts on a page and stays where it is for as long as the mapping owns it; nobody refers to its bytes.
    let map = unsafe { Mapping::new(start, BLOCK_BYTES, Box::new(buffer)) };
    let identity = TailIdentity {
        log_id: 1,
        epoch: 1,
        block_count: blocks,
        boot_id: [0; 16],
        start_address: 0,
        start_sequence: 1,
        lost_from_sequence: None,
    };
    Tail::over(map, Path::new("model.tail"), &identity)
}

/// Takes a block for the chunk at that address, where one is free.
fn take(tail: &Tail, chunk_address: u64) -> bool {
    let block = tail.reserve_block();
    block.map(|block| tail.assign_block(block, chunk_address)).is_some()
}

/// Words as they are in memory.
fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes"))).collect()
}
