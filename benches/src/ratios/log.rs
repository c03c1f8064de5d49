//! Stages with the log: encode + append, the whole hot path on one thread, and replay.

use std::collections::HashSet;
use std::hint::black_box;

use lotbook_core::apply::Place;
use lotbook_core::codec::{Decoder, encode, kind_of, payload_bytes};
use lotbook_core::command::{Origin, TradeInput};
use lotbook_core::event::Event;
use lotbook_core::id::TradeId;
use lotbook_core::limits::LOOK_AHEAD_MAX;
use lotbook_core::rules::LotMethod;
use lotbook_core::{Book, Scratch};
use lotbook_engine::idempotency::{Lookup, TradeIds};
use lotbook_engine::memory::Guard;
use lotbook_wal::{Appender, From, HEADER_BYTES, Limit, Log, LogConfig, Opened, RecordMeta, open};

use super::disk::temporary;
use super::{Best, Pair};
use crate::{BareBook, Flow, book, trades};

const BATCH: usize = 256;
/// An ordinary correlation id.
pub(crate) const CORRELATION: &[u8] = b"0190163d-8694-739b-aea5-966c26f8ad91";
/// Largest payload that is asked room for.
const PAYLOAD_BYTES_MAX: usize = 1_024;

pub(crate) fn wait_for_room(log: &Log, appender: &Appender) {
    while log.durable_sequence() < log.published_sequence() || !appender.has_room([PAYLOAD_BYTES_MAX; BATCH]) {
        std::thread::sleep(std::time::Duration::from_micros(20));
    }
}

pub(crate) fn append_event(appender: &mut Appender, event: &Event<'_>) -> Place {
    let bytes = payload_bytes(event);
    assert!(bytes <= PAYLOAD_BYTES_MAX);
    let meta = RecordMeta::single(kind_of(event));
    let at = appender.append(&meta, bytes, |out| encode(event, out)).unwrap_or_else(|error| panic!("{error}"));
    Place { sequence: at.sequence, address: at.address }
}

/// An ordinary trade's event into the tail, against copying and summing as many bytes.
pub(super) fn append() -> Pair {
    let dir = temporary();
    let Opened { log, mut appender, .. } = open(LogConfig::new(dir.path().join("log"))).expect("a log");
    let (book, mut scratch) = (book(256, LotMethod::Fifo), Scratch::new());
    let mut input = trades(256, 1)[0];
    input.correlation = TradeId::new(CORRELATION).unwrap_or(TradeId::EMPTY);
    let decision = book.decide_trade(&input, &mut scratch);
    let event = Event::Trade(decision.event(&input, &Origin::INTERNAL, &scratch));
    let total = HEADER_BYTES + payload_bytes(&event);
    // As large as what the appender writes over: two blocks.
    let (from, mut into) = (vec![7u8; total], vec![1u8; 2 << 16]);
    let (mut ours, mut plain, mut fast, mut empty) = (Best::new(), Best::new(), Best::new(), Best::new());
    let floor = |into: &mut [u8], sum: fn(&[u8]) -> u32| {
        let mut at = 0;
        for _ in 0..BATCH {
            if at + total > into.len() {
                at = 0;
            }
            let out = &mut into[at..at + total];
            out.copy_from_slice(black_box(&from));
            black_box(sum(out));
            at += total.next_multiple_of(8);
        }
    };
    for _ in 0..2_000 {
        empty.time(BATCH, || {
            (0..BATCH).for_each(|n| {
                black_box(n);
            })
        });
        plain.time(BATCH, || floor(&mut into, crc32c::crc32c));
        fast.time(BATCH, || floor(&mut into, crc_fast::crc32_iscsi));
        wait_for_room(&log, &appender);
        ours.time(BATCH, || {
            for _ in 0..BATCH {
                black_box(append_event(&mut appender, black_box(&event)));
            }
        });
    }
    appender.close().expect("closed");
    (ours.less(empty), plain.less(empty).min(fast.less(empty)))
}

/// The steps that a shard takes with a trade, on one thread.
struct Shard {
    book: Book,
    scratch: Scratch,
    ids: TradeIds,
    log: std::sync::Arc<Log>,
    appender: Appender,
}

impl Shard {
    fn take(&mut self, inputs: &[TradeInput]) {
        for ahead in inputs.chunks(LOOK_AHEAD_MAX) {
            for input in ahead {
                self.ids.look_ahead(input.hash);
            }
            self.book.look_ahead(ahead.iter().map(|input| (input.account, input.instrument)));
            for input in ahead {
                assert!(matches!(self.ids.lookup(input), Lookup::New));
                let decision = self.book.decide_trade(input, &mut self.scratch);
                let event = Event::Trade(decision.event(input, &Origin::INTERNAL, &self.scratch));
                let place = append_event(&mut self.appender, &event);
                let Event::Trade(trade) = &event else { continue };
                self.book.apply_trade(trade, place).unwrap_or_else(|misfit| panic!("{misfit}"));
                self.ids.insert(trade, place.sequence, place.address);
            }
        }
    }
}

/// Ring, ids, decide, encode, append, apply, against the bare loop with a plain set of ids.
pub(super) fn hot_path(positions: u64) -> Pair {
    const ROUNDS: usize = 4_000;
    const TOGETHER: usize = 10;
    let dir = temporary();
    let _huge = Guard::new();
    let Opened { log, appender, .. } = open(LogConfig::new(dir.path().join("log"))).expect("a log");
    let (mut flow, mut batch) = (Flow::new(positions), Flow::batch(BATCH));
    let capacity = (ROUNDS + 800) * BATCH;
    let mut shard = Shard {
        book: book(positions, LotMethod::Fifo),
        scratch: Scratch::new(),
        ids: TradeIds::new(capacity),
        log,
        appender,
    };
    let (mut bare, mut set) = (BareBook::new(positions), HashSet::<u128>::with_capacity(capacity));
    let (mut producer, mut consumer) = rtrb::RingBuffer::<TradeInput>::new(8_192);
    let mut taken = Flow::batch(BATCH);
    let (mut ours, mut limit) = (Best::new(), Best::new());
    let (mut ours_ns, mut limit_ns) = (0.0, 0.0);
    let mut number = 0u64;
    for round in 0..ROUNDS + 800 {
        flow.fill(&mut batch);
        for input in &mut batch {
            let id = format!("{number:012}");
            input.trade_id = TradeId::new(id.as_bytes()).unwrap_or(TradeId::EMPTY);
            number += 1;
        }
        wait_for_room(&shard.log, &shard.appender);
        let (mut one, mut other) = (Best::new(), Best::new());
        one.time(BATCH, || {
            for input in &batch {
                let _ = producer.push(*input);
            }
            for slot in &mut taken {
                if let Ok(input) = consumer.pop() {
                    *slot = input;
                }
            }
            shard.take(black_box(&taken));
        });
        other.time(BATCH, || {
            for input in black_box(&batch) {
                assert!(set.insert(input.hash.0));
                bare.trade(input);
            }
        });
        if round >= 800 {
            (ours_ns, limit_ns) = (ours_ns + one.get(), limit_ns + other.get());
            if (round + 1).is_multiple_of(TOGETHER) {
                (ours, limit) = (
                    Best(ours.get().min(ours_ns / TOGETHER as f64)),
                    Best(limit.get().min(limit_ns / TOGETHER as f64)),
                );
                (ours_ns, limit_ns) = (0.0, 0.0);
            }
        }
    }
    shard.appender.close().expect("closed");
    (ours.get(), limit.get())
}

/// Reading a log, verifying, decoding and applying it, against decoding and applying the same payloads from memory.
pub(super) fn replay() -> Pair {
    const EVENTS: usize = 600_000;
    let dir = temporary();
    let Opened { log, mut appender, .. } = open(LogConfig::new(dir.path().join("log"))).expect("a log");
    let (mut first, mut scratch) = (book(1_000, LotMethod::Fifo), Scratch::new());
    let (mut flow, mut batch) = (Flow::new(1_000), Flow::batch(BATCH));
    // Payloads one behind the other, each at a multiple of sixteen: kind and length by their number.
    let (mut memory, mut heads): (Vec<u128>, Vec<(u16, usize)>) = (Vec::new(), Vec::new());
    let mut last = 0;
    while heads.len() < EVENTS {
        flow.fill(&mut batch);
        wait_for_room(&log, &appender);
        for input in &batch {
            let decision = first.decide_trade(input, &mut scratch);
            let event = Event::Trade(decision.event(input, &Origin::INTERNAL, &scratch));
            let place = append_event(&mut appender, &event);
            last = place.sequence;
            let mut payload = vec![0u8; payload_bytes(&event)];
            encode(&event, &mut payload);
            heads.push((kind_of(&event), payload.len()));
            payload.resize(payload.len().next_multiple_of(16), 0);
            memory.extend(payload.chunks_exact(16).map(|word| u128::from_ne_bytes(word.try_into().expect("sixteen"))));
            let Event::Trade(trade) = &event else { continue };
            first.apply_trade(trade, place).unwrap_or_else(|misfit| panic!("{misfit}"));
        }
    }
    assert!(log.wait_durable(last, std::time::Duration::from_secs(120)).expect("a whole disk"));
    let (mut ours, mut limit) = (Best::new(), Best::new());
    let mut decoder = Decoder::new();
    for _ in 0..3 {
        let mut again = book(1_000, LotMethod::Fifo);
        let mut reader = log.reader(From::Start).expect("a reader");
        ours.time(heads.len(), || {
            while let Some(record) = reader.next(Limit::Durable).expect("whole") {
                let header = record.header;
                if header.kind >= lotbook_wal::INTERNAL_KINDS {
                    continue;
                }
                let place = Place { sequence: header.sequence, address: header.address };
                let event = decoder.decode(header.kind, header.version, record.payload).expect("an event");
                again.apply(&event, place, None).unwrap_or_else(|misfit| panic!("{misfit}"));
            }
        });
        assert_eq!(again.economic_digest(), first.economic_digest());
        let mut again = book(1_000, LotMethod::Fifo);
        limit.time(heads.len(), || {
            let mut at = 0;
            for (sequence, &(kind, length)) in (1..).zip(&heads) {
                let words = &memory[at..at + length.div_ceil(16)];
                at += words.len();
                // SAFETY: the words are initialised and aligned to more than a byte; the length lies within them.
                let payload = unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), length) };
                let event = decoder.decode(kind, 1, payload).expect("an event");
                again.apply(&event, Place { sequence, address: 0 }, None).unwrap_or_else(|misfit| panic!("{misfit}"));
            }
        });
        assert_eq!(again.economic_digest(), first.economic_digest());
    }
    appender.close().expect("closed");
    (ours.get(), limit.get())
}
