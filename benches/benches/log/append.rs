//! What an append costs beside the bytes that it cannot avoid: a copy, and CRC32C of header and payload.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lotbook_benches::trades;
use lotbook_core::Scratch;
use lotbook_core::command::Origin;
use lotbook_core::id::TradeId;
use lotbook_core::rules::LotMethod;
use lotbook_wal::{HEADER_BYTES, LogConfig, RecordMeta, nap, open};

use crate::support::{Cores, Report, each_ns, fresh_dir, lower_quartile};

const BATCH: usize = 128;
const ROUNDS: usize = 1_000;
const BLOCK_BYTES: usize = 65_536;

/// The payload of an ordinary trade's event: an id of twelve characters, a correlation id of 36, what a first trade opens.
fn ordinary_event_bytes() -> usize {
    let (book, mut scratch) = (lotbook_benches::book(256, LotMethod::Fifo), Scratch::new());
    let mut input = trades(256, 1)[0];
    input.correlation = TradeId::new(b"0190163d-8694-739b-aea5-966c26f8ad91").expect("short enough");
    let decision = book.decide_trade(&input, &mut scratch);
    let event = decision.event(&input, &Origin::INTERNAL, &scratch);
    lotbook_core::codec::payload_bytes(&lotbook_core::event::Event::Trade(event))
}

/// Copies and sums as the fastest public routines do, into two blocks in turn.
struct Floor<'a> {
    blocks: &'a mut [u8],
    at: usize,
}

impl Floor<'_> {
    #[inline]
    fn store(&mut self, header: &[u8; HEADER_BYTES], payload: &[u8], sum: impl Fn(&[u8]) -> u32) {
        let total = (HEADER_BYTES + payload.len()).next_multiple_of(8);
        if self.at + total > self.blocks.len() {
            self.at = 0;
        }
        let out = &mut self.blocks[self.at..self.at + total];
        out[..HEADER_BYTES].copy_from_slice(header);
        out[HEADER_BYTES..HEADER_BYTES + payload.len()].copy_from_slice(payload);
        let checksum = sum(&out[8..]);
        out[..4].copy_from_slice(&checksum.to_le_bytes());
        self.at += total;
    }
}

/// Memory that another core reads, as the log thread reads the tail.
struct Shared {
    blocks: memmap2::MmapRaw,
    /// Rounds asked for and done; odd ones are under way.
    asked: AtomicUsize,
    done: AtomicUsize,
    stop: AtomicBool,
}

impl Shared {
    fn read_by_another_core(&self, cores: Cores) {
        let _pinned = cores.pin_log();
        let mut out = vec![0u8; self.blocks.len()];
        while !self.stop.load(Ordering::Acquire) {
            let asked = self.asked.load(Ordering::Acquire);
            if asked == self.done.load(Ordering::Relaxed) {
                nap();
                continue;
            }
            // SAFETY: the writer waits until `done` says that this is over.
            unsafe { std::ptr::copy_nonoverlapping(self.blocks.as_ptr(), out.as_mut_ptr(), out.len()) };
            black_box(&out);
            self.done.store(asked, Ordering::Release);
        }
    }

    fn have_it_read(&self) {
        let round = self.asked.load(Ordering::Relaxed) + 1;
        self.asked.store(round, Ordering::Release);
        while self.done.load(Ordering::Acquire) < round {
            nap();
        }
    }
}

pub(crate) fn run(cores: Cores, report: &mut Report) {
    println!("\n## Append: header, checksum and publication, against memcpy + CRC32C of the same bytes\n");
    println!(
        "ns a record, lower quartile of {ROUNDS} batches of {BATCH} that take turns; the log's thread has caught up before each batch."
    );
    println!(
        "The floor is the faster of two public CRC32C routines at that size. `one core`: the log's threads run on the same"
    );
    println!(
        "core between the batches, so the blocks stay in its cache and the difference is header, checksum and publication."
    );
    println!(
        "`two cores`: the log thread reads the blocks on another core, and a helper does the same to the floor's.\n"
    );
    println!(
        "{:<11} {:>8} {:>12} {:>12} {:>12} {:>10} {:>16}",
        "", "payload", "empty loop", "crc32c", "crc-fast", "append", "floor / append"
    );
    let ordinary = ordinary_event_bytes();
    for two_cores in [false, true] {
        let kind = if two_cores { "two cores" } else { "one core" };
        for payload_bytes in [64, 128, 256, 1_024, ordinary] {
            let [empty, plain, fast, append] = one_size(cores, payload_bytes, two_cores);
            let ratio = plain.min(fast) / append;
            let name = if payload_bytes == ordinary { format!("ev. {ordinary}") } else { payload_bytes.to_string() };
            println!("{kind:<11} {name:>8} {empty:>12.2} {plain:>12.1} {fast:>12.1} {append:>10.1} {ratio:>16.2}");
            report.at_least(&format!("append, {kind}, {name} bytes, against memcpy + CRC32C"), ratio, 0.8);
        }
    }
}

/// Batches of the four take turns, so that whatever else the machine does meets them alike.
fn one_size(cores: Cores, payload_bytes: usize, two_cores: bool) -> [f64; 4] {
    let dir = fresh_dir();
    let mut config = LogConfig::new(dir.path().join("log"));
    config.log_core = Some(if two_cores { cores.log } else { cores.hot });
    let opened = open(config).expect("a log");
    let (log, mut appender) = (opened.log, opened.appender);
    let payload: Vec<u8> = (0..payload_bytes).map(|i| (i * 7) as u8).collect();
    let payload = payload.as_slice();
    let header = [7u8; HEADER_BYTES];
    let meta = RecordMeta::single(1);
    let shared = Shared {
        blocks: memmap2::MmapOptions::new().len(2 * BLOCK_BYTES).map_anon().expect("memory").into(),
        asked: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    };
    // SAFETY: the only other reader copies while this thread waits for it in `have_it_read`.
    let blocks = unsafe { std::slice::from_raw_parts_mut(shared.blocks.as_mut_ptr(), shared.blocks.len()) };
    blocks.fill(1);
    let mut floor = Floor { blocks, at: 0 };
    let mut times: [Vec<f64>; 4] = Default::default();
    std::thread::scope(|scope| {
        if two_cores {
            scope.spawn(|| shared.read_by_another_core(cores));
        }
        let _pinned = cores.pin_hot();
        let hand_over = || {
            if two_cores {
                shared.have_it_read();
            }
        };
        for _ in 0..ROUNDS {
            times[0].push(each_ns(BATCH, || {
                for i in 0..BATCH {
                    black_box(i);
                }
            }));
            hand_over();
            times[1].push(each_ns(BATCH, || {
                for _ in 0..BATCH {
                    floor.store(black_box(&header), black_box(payload), crc32c::crc32c);
                }
            }));
            hand_over();
            times[2].push(each_ns(BATCH, || {
                for _ in 0..BATCH {
                    floor.store(black_box(&header), black_box(payload), crc_fast::crc32_iscsi);
                }
            }));
            while log.durable_sequence() < log.published_sequence() || !appender.has_room([payload_bytes; BATCH]) {
                nap();
            }
            times[3].push(each_ns(BATCH, || {
                for _ in 0..BATCH {
                    let fill = |out: &mut [u8]| out.copy_from_slice(black_box(payload));
                    appender.append(&meta, payload.len(), fill).expect("room was asked for");
                }
            }));
        }
        shared.stop.store(true, Ordering::Release);
    });
    appender.close().expect("closed");
    times.map(lower_quartile)
}
