//! The stages whose instructions are counted. Each prepares what it needs, and counts so many units.

use std::hint::black_box;

use lotbook_core::Scratch;
use lotbook_core::apply::Place;
use lotbook_core::codec::{Decoder, encode, kind_of, payload_bytes};
use lotbook_core::command::{Origin, TradeInput};
use lotbook_core::compress::{compress, decompress};
use lotbook_core::event::Event;
use lotbook_core::id::TradeId;
use lotbook_core::limits::LOOK_AHEAD_MAX;
use lotbook_core::rules::LotMethod;
use lotbook_engine::checkpoint::{self, State};
use lotbook_engine::idempotency::{Lookup, TradeIds};
use lotbook_wal::{LogConfig, Opened, RealDisk, open};

use super::{Known, counted};
use crate::course::{Replays, in_order, late};
use crate::ratios::log::{CORRELATION, append_event, wait_for_room};
use crate::{Flow, book, decide_and_apply, lots, trades};

const POSITIONS: u64 = 1_000;
/// Trades of a position before anything is counted.
const WARM_UP: u64 = 16 * POSITIONS;
const BATCH: usize = 256;
/// What is counted of a stage that takes trades.
const TRADES: usize = 4 * BATCH;

pub(super) const ALL: &[Known] = &[
    ("ring in and out", "a message", ring),
    ("ids: a new one", "an id", || ids(false)),
    ("ids: a known one", "an id", || ids(true)),
    ("decide, FIFO", "a trade", || apart(true)),
    ("apply, FIFO", "a trade", || apart(false)),
    ("decide + apply, FIFO", "a trade", || together(LotMethod::Fifo)),
    ("decide + apply, LIFO", "a trade", || together(LotMethod::Lifo)),
    ("decide + apply, HIFO", "a trade", || together(LotMethod::Hifo)),
    ("decide + apply, LOFO", "a trade", || together(LotMethod::Lofo)),
    ("decide + apply, AVERAGE", "a trade", || together(LotMethod::Average)),
    ("decide + apply, MIN_TAX", "a trade", || together(LotMethod::MinTax)),
    ("encode", "a trade's event", encoded),
    ("decode", "a trade's event", decoded),
    ("encode + append", "a trade's event", appended),
    ("compress lots", "a lot", || image(false)),
    ("decompress lots", "a lot", || image(true)),
    ("checkpoint", "a position", checkpointed),
    ("replay, late by 100 of 2,000", "a trade behind it", replayed),
    #[cfg(feature = "fix")]
    ("FIX: parse and validate", "a message", fix),
];

/// What callgrind's switch costs is one call in so many.
fn units(count: usize) -> u64 {
    count as u64
}

fn ring() -> u64 {
    let (mut producer, mut consumer) = rtrb::RingBuffer::<[u64; 8]>::new(8_192);
    counted(&mut || {
        for n in 0..TRADES {
            let _ = producer.push(black_box([n as u64; 8]));
        }
        for _ in 0..TRADES {
            let _ = black_box(consumer.pop());
        }
    });
    units(TRADES)
}

fn ids(known: bool) -> u64 {
    let mut ids = TradeIds::new(1 << 14);
    let inputs = trades(POSITIONS, 4 * TRADES as u64);
    let (book, mut scratch) = (book(POSITIONS, LotMethod::Fifo), Scratch::new());
    let decisions: Vec<_> = inputs.iter().map(|input| book.decide_trade(input, &mut scratch)).collect();
    let note = |ids: &mut TradeIds, n: usize| {
        assert!(matches!(ids.lookup(black_box(&inputs[n])), Lookup::New));
        ids.insert(&decisions[n].event(&inputs[n], &Origin::INTERNAL, &scratch), 1, 0);
    };
    let before = inputs.len() - TRADES;
    (0..before).for_each(|n| note(&mut ids, n));
    match known {
        false => counted(&mut || (before..inputs.len()).for_each(|n| note(&mut ids, n))),
        true => counted(&mut || {
            for input in &inputs[..TRADES] {
                assert!(matches!(ids.lookup(black_box(input)), Lookup::Same(_)));
            }
        }),
    }
    units(TRADES)
}

/// A book whose positions hold their lots.
fn warm(method: LotMethod) -> (lotbook_core::Book, Scratch, Flow) {
    let (mut book, mut scratch, mut flow) = (book(POSITIONS, method), Scratch::new(), Flow::new(POSITIONS));
    let mut batch = Flow::batch(WARM_UP as usize);
    flow.fill(&mut batch);
    decide_and_apply(&mut book, &mut scratch, &batch);
    (book, scratch, flow)
}

fn together(method: LotMethod) -> u64 {
    let (mut book, mut scratch, mut flow) = warm(method);
    let mut batch = Flow::batch(TRADES);
    flow.fill(&mut batch);
    counted(&mut || decide_and_apply(&mut book, &mut scratch, black_box(&batch)));
    units(TRADES)
}

/// Decisions, or applications, alone.
fn apart(decide: bool) -> u64 {
    let (mut book, mut scratch, mut flow) = warm(LotMethod::Fifo);
    let mut batch = Flow::batch(TRADES);
    flow.fill(&mut batch);
    for (n, input) in batch.iter().enumerate() {
        let decision = match decide {
            true => {
                let mut made = None;
                counted(&mut || made = Some(book.decide_trade(black_box(input), &mut scratch)));
                made.expect("a decision")
            }
            false => book.decide_trade(input, &mut scratch),
        };
        let event = decision.event(input, &Origin::INTERNAL, &scratch);
        let place = Place { sequence: n as u64, address: 0 };
        let mut apply = || book.apply_trade(black_box(&event), place).unwrap_or_else(|misfit| panic!("{misfit}"));
        match decide {
            true => apply(),
            false => counted(&mut apply),
        }
    }
    units(TRADES)
}

/// An ordinary trade's event, given to `work`.
fn with_event(work: impl FnOnce(&Event<'_>)) {
    let (book, mut scratch) = (book(256, LotMethod::Fifo), Scratch::new());
    let mut input: TradeInput = trades(256, 1)[0];
    input.correlation = TradeId::new(CORRELATION).unwrap_or(TradeId::EMPTY);
    let decision = book.decide_trade(&input, &mut scratch);
    work(&Event::Trade(decision.event(&input, &Origin::INTERNAL, &scratch)));
}

fn encoded() -> u64 {
    with_event(|event| {
        let mut out = vec![0u8; payload_bytes(event)];
        counted(&mut || {
            for _ in 0..BATCH {
                encode(black_box(event), black_box(&mut out));
            }
        });
    });
    units(BATCH)
}

fn decoded() -> u64 {
    with_event(|event| {
        // Aligned, as payloads in the log are.
        let mut payload = vec![0u128; payload_bytes(event).div_ceil(16)];
        let mut bytes = vec![0u8; payload_bytes(event)];
        encode(event, &mut bytes);
        for (word, chunk) in payload.iter_mut().zip(bytes.chunks(16)) {
            let mut whole = [0; 16];
            whole[..chunk.len()].copy_from_slice(chunk);
            *word = u128::from_ne_bytes(whole);
        }
        // SAFETY: the words are initialised, and hold at least so many bytes.
        let payload = unsafe { std::slice::from_raw_parts(payload.as_ptr().cast::<u8>(), bytes.len()) };
        let mut decoder = Decoder::new();
        counted(&mut || {
            for _ in 0..BATCH {
                let version = lotbook_core::codec::SCHEMA_VERSION;
                let event = decoder.decode(kind_of(event), version, black_box(payload)).expect("its own event");
                black_box(&event);
            }
        });
    });
    units(BATCH)
}

fn appended() -> u64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = LogConfig::new(dir.path().join("log"));
    config.tail_dir = Some(dir.path().to_path_buf());
    let Opened { log, mut appender, .. } = open(config).expect("a log");
    with_event(|event| {
        wait_for_room(&log, &appender);
        counted(&mut || {
            for _ in 0..BATCH {
                black_box(append_event(&mut appender, black_box(event)));
            }
        });
    });
    appender.close().expect("closed");
    units(BATCH)
}

/// Into an image, or back.
fn image(back: bool) -> u64 {
    const LOTS: usize = 1_000;
    let lots = lots(LOTS);
    let mut bytes = Vec::with_capacity(1 << 20);
    match back {
        false => counted(&mut || compress(black_box(&lots).iter().copied(), &mut bytes)),
        true => {
            compress(lots.iter().copied(), &mut bytes);
            counted(&mut || assert_eq!(black_box(decompress(black_box(&bytes))).map(|(lots, _)| lots.len()), Ok(LOTS)));
        }
    }
    units(LOTS)
}

/// A whole checkpoint, through the disk's seam into a file.
fn checkpointed() -> u64 {
    let mut state = State::new(lotbook_core::Limits::HOST, 1 << 10);
    state.book = warm(LotMethod::Fifo).0;
    let positions = state.book.positions().len();
    let (dir, disk) = (tempfile::tempdir().expect("a temporary directory"), RealDisk::plain());
    counted(&mut || {
        checkpoint::write(&disk, dir.path(), 1, &state).expect("written");
    });
    units(positions)
}

fn replayed() -> u64 {
    const BY: u64 = 100;
    const TIMES: i64 = 8;
    let list = in_order(2_000);
    let mut replays = Replays::of(&list);
    for n in 0..TIMES {
        let input = late(&list, BY, n);
        counted(&mut || {
            replays.add(black_box(input), true);
            black_box(replays.replay());
        });
    }
    BY * TIMES as u64
}

#[cfg(feature = "fix")]
fn fix() -> u64 {
    let bytes = crate::fix::execution_report();
    counted(&mut || {
        for _ in 0..BATCH {
            black_box(crate::fix::parse(&bytes));
        }
    });
    units(BATCH)
}

const _: () = assert!(TRADES.is_multiple_of(LOOK_AHEAD_MAX) && TRADES.is_multiple_of(BATCH));
