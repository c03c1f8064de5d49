//! Three ways to hold the tail of a log, at the same rate and with the same flush: what the store costs the hot thread, when the record
//! survives a killed process, and when it survives power loss.
//!
//! - `shared-memory tail`: the log itself. The hot thread stores into small recycled blocks on tmpfs; the log thread writes them on by
//!   O_DIRECT and syncs.
//! - `mapped segment file`: the hot thread stores into the mapping of the prepared segment; the other thread calls fdatasync on it.
//! - `ring to the log thread`: the hot thread puts the record into a ring in its own memory; the log thread takes it out, stores it into a
//!   mapping that it owns (from then on it survives a killed process), writes on and syncs.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lotbook_wal::{Appender, HEADER_BYTES, Log, LogConfig, Opened, RecordMeta, nap, open};
use memmap2::{MmapOptions, MmapRaw};

use crate::support::{Clock, Cores, Pages, Times, fresh_dir, ticks, times_head, zeroed_file};

const PAYLOAD_BYTES: usize = 128;
const RECORD_BYTES: usize = HEADER_BYTES + PAYLOAD_BYTES;
const TICK: Duration = Duration::from_micros(10);
const SLICE: Duration = Duration::from_millis(500);
const SLICES: usize = 8;
const FILE_BYTES: usize = 256 << 20;
const RING_RECORDS: usize = 65_536;

/// One way, as the hot thread sees it: records are counted from 1.
trait Way {
    fn store(&mut self);
    /// The last record that survives a killed process.
    fn applied(&self) -> u64;
    /// The last record that survives power loss.
    fn durable(&self) -> u64;
}

fn record(out: &mut [u8], number: u64) {
    let mut header = [7u8; HEADER_BYTES];
    header[16..24].copy_from_slice(&number.to_le_bytes());
    out[..HEADER_BYTES].copy_from_slice(&header);
    out[HEADER_BYTES..RECORD_BYTES].copy_from_slice(std::hint::black_box(&[9u8; PAYLOAD_BYTES]));
    let checksum = crc32c::crc32c(&out[8..RECORD_BYTES]);
    out[..4].copy_from_slice(&checksum.to_le_bytes());
}

struct Anonymous {
    blocks: Vec<u8>,
    number: u64,
}

impl Way for Anonymous {
    fn store(&mut self) {
        let at = (self.number as usize * RECORD_BYTES) % (self.blocks.len() - RECORD_BYTES);
        self.number += 1;
        record(&mut self.blocks[at..], self.number);
    }
    fn applied(&self) -> u64 {
        self.number
    }
    fn durable(&self) -> u64 {
        self.number
    }
}

struct SharedTail<'a> {
    log: &'a Log,
    appender: &'a mut Appender,
    base: u64,
}

impl Way for SharedTail<'_> {
    fn store(&mut self) {
        let fill = |out: &mut [u8]| out.copy_from_slice(std::hint::black_box(&[9u8; PAYLOAD_BYTES]));
        self.appender.append(&RecordMeta::single(1), PAYLOAD_BYTES, fill).expect("the disk keeps up");
    }
    fn applied(&self) -> u64 {
        self.log.published_sequence() - self.base
    }
    fn durable(&self) -> u64 {
        self.log.durable_sequence() - self.base
    }
}

/// What the two threads of a way share.
#[derive(Default)]
struct Positions {
    stored: AtomicU64,
    durable: AtomicU64,
    stop: AtomicBool,
}

struct MappedSegment<'a> {
    map: &'a MmapRaw,
    positions: &'a Positions,
    number: u64,
}

impl Way for MappedSegment<'_> {
    fn store(&mut self) {
        let at = (self.number as usize * RECORD_BYTES) % (FILE_BYTES - RECORD_BYTES);
        self.number += 1;
        // SAFETY: inside the mapping; only this thread stores there.
        let out = unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(at), RECORD_BYTES) };
        record(out, self.number);
        self.positions.stored.store(self.number, Ordering::Release);
    }
    fn applied(&self) -> u64 {
        self.number
    }
    fn durable(&self) -> u64 {
        self.positions.durable.load(Ordering::Acquire)
    }
}

fn sync_mapped(file: &File, positions: &Positions, cores: Cores) {
    let _pinned = cores.pin_log();
    while !positions.stop.load(Ordering::Acquire) {
        let stored = positions.stored.load(Ordering::Acquire);
        if stored == positions.durable.load(Ordering::Relaxed) {
            nap();
            continue;
        }
        file.sync_data().expect("synced");
        positions.durable.store(stored, Ordering::Release);
    }
}

type Slot = [u8; RECORD_BYTES];

struct Ring<'a> {
    ring: rtrb::Producer<Slot>,
    positions: &'a Positions,
    number: u64,
}

impl Way for Ring<'_> {
    fn store(&mut self) {
        self.number += 1;
        let mut slot = [0u8; RECORD_BYTES];
        record(&mut slot, self.number);
        self.ring.push(slot).expect("the log thread keeps up");
    }
    fn applied(&self) -> u64 {
        self.positions.stored.load(Ordering::Acquire)
    }
    fn durable(&self) -> u64 {
        self.positions.durable.load(Ordering::Acquire)
    }
}

/// Takes what is there, stores it into the mapping, writes the blocks it touched, syncs.
fn write_from_ring(mut ring: rtrb::Consumer<Slot>, tail: &MmapRaw, file: &File, positions: &Positions, cores: Cores) {
    let _pinned = cores.pin_log();
    let mut pages = Pages::new(1 << 20);
    let (mut number, mut at) = (0u64, 0u64);
    while !positions.stop.load(Ordering::Acquire) {
        let ready = ring.slots().min((1 << 20) / RECORD_BYTES);
        let Ok(chunk) = ring.read_chunk(ready) else { continue };
        if ready == 0 {
            nap();
            continue;
        }
        let mut bytes = 0;
        let (front, back) = chunk.as_slices();
        for slot in front.iter().chain(back) {
            let place = (number as usize * RECORD_BYTES) % (tail.len() - RECORD_BYTES);
            // SAFETY: inside the mapping, and only this thread stores there.
            unsafe { std::ptr::copy_nonoverlapping(slot.as_ptr(), tail.as_mut_ptr().add(place), RECORD_BYTES) };
            pages.bytes()[bytes..bytes + RECORD_BYTES].copy_from_slice(slot);
            bytes += RECORD_BYTES;
            number += 1;
        }
        chunk.commit_all();
        positions.stored.store(number, Ordering::Release);
        let bytes = bytes.next_multiple_of(4_096);
        file.write_all_at(&pages.bytes()[..bytes], at % (FILE_BYTES as u64 - (1 << 20))).expect("written");
        at += bytes as u64;
        file.sync_data().expect("synced");
        positions.durable.store(number, Ordering::Release);
    }
}

struct Measured {
    name: &'static str,
    store: Times,
    applied: Times,
    durable: Times,
}

impl Measured {
    fn new(name: &'static str) -> Self {
        Self { name, store: Times::new(), applied: Times::new(), durable: Times::new() }
    }
}

/// Open loop for one slice: a record is due each tick; `applied` and `durable` count from the end of the store.
fn slice(clock: Clock, way: &mut dyn Way, out: &mut Measured) {
    let tick = clock.ticks_of(TICK);
    let first = way.applied();
    let mut sent = first;
    let (mut to_apply, mut to_sync) = (VecDeque::with_capacity(1 << 16), VecDeque::with_capacity(1 << 16));
    let mut next = ticks();
    let until = next + clock.ticks_of(SLICE);
    while next < until || !to_sync.is_empty() {
        let now = ticks();
        if next < until && now >= next {
            way.store();
            let end = ticks();
            out.store.record(clock.ns(end - now));
            sent += 1;
            to_apply.push_back((sent, end));
            to_sync.push_back((sent, end));
            // A stall of many ticks is one late store, not a burst of early ones.
            next = (next + tick).max(end.saturating_sub(tick));
        }
        let (applied, durable) = (way.applied(), way.durable());
        let seen = ticks();
        for (waiting, reached, times) in
            [(&mut to_apply, applied, &mut out.applied), (&mut to_sync, durable, &mut out.durable)]
        {
            while let Some(&(number, end)) = waiting.front()
                && number <= reached
            {
                times.record(clock.ns(seen.saturating_sub(end)));
                waiting.pop_front();
            }
        }
    }
}

fn prefaulted(file: &File, bytes: usize) -> MmapRaw {
    let map = MmapOptions::new().len(bytes).populate().map_raw(file).expect("a mapping");
    for page in (0..bytes).step_by(4_096) {
        // SAFETY: inside the mapping, which nobody else knows.
        unsafe { map.as_mut_ptr().add(page).write_volatile(0) };
    }
    map
}

pub(crate) fn run(clock: Clock, cores: Cores) {
    println!("\n## Three ways to hold the tail: 100,000 records/s of {PAYLOAD_BYTES} bytes under a continuous flush\n");
    println!(
        "{SLICES} slices of {} ms each take turns; hot and log thread pinned to their cores.\n",
        SLICE.as_millis()
    );
    let dir = fresh_dir();
    let mut config = LogConfig::new(dir.path().join("log"));
    config.log_core = Some(cores.log);
    let Opened { log, mut appender, .. } = open(config).expect("a log");
    let mapped_file = zeroed_file(&dir.path().join("mapped"), FILE_BYTES as u64);
    let map = prefaulted(&mapped_file, FILE_BYTES);
    mapped_file.sync_all().expect("synced");
    drop(zeroed_file(&dir.path().join("ring"), FILE_BYTES as u64));
    let path = dir.path().join("ring");
    let direct = std::fs::OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(&path);
    let ring_file = direct.or_else(|_| std::fs::OpenOptions::new().write(true).open(&path)).expect("a file");
    let tail = tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile()).expect("a tail");
    tail.set_len(16 << 20).expect("sized");
    let tail = prefaulted(&tail, 16 << 20);
    std::thread::sleep(Duration::from_secs(1));

    let mut all = [
        Measured::new("anonymous memory, no flush (the harness)"),
        Measured::new("shared-memory tail"),
        Measured::new("mapped segment file"),
        Measured::new("ring to the log thread"),
    ];
    let mut anonymous = Anonymous { blocks: vec![1; 262_144], number: 0 };
    let began = Instant::now();
    let _pinned = cores.pin_hot();
    for _ in 0..SLICES {
        slice(clock, &mut anonymous, &mut all[0]);
        assert!(log.wait_durable(log.published_sequence(), Duration::from_secs(60)).expect("a whole disk"));
        let base = log.published_sequence();
        slice(clock, &mut SharedTail { log: &log, appender: &mut appender, base }, &mut all[1]);
        let positions = Positions::default();
        std::thread::scope(|scope| {
            scope.spawn(|| sync_mapped(&mapped_file, &positions, cores));
            slice(clock, &mut MappedSegment { map: &map, positions: &positions, number: 0 }, &mut all[2]);
            positions.stop.store(true, Ordering::Release);
        });
        let positions = Positions::default();
        let (producer, consumer) = rtrb::RingBuffer::new(RING_RECORDS);
        std::thread::scope(|scope| {
            scope.spawn(|| write_from_ring(consumer, &tail, &ring_file, &positions, cores));
            slice(clock, &mut Ring { ring: producer, positions: &positions, number: 0 }, &mut all[3]);
            positions.stop.store(true, Ordering::Release);
        });
    }
    println!("{}", times_head("store", "ns"));
    all.iter().for_each(|m| println!("{}", m.store.row(m.name, 1.0)));
    println!("{}", times_head("\nsurvives a killed process after", "us"));
    all[1..].iter().for_each(|m| println!("{}", m.applied.row(m.name, 1e3)));
    println!("{}", times_head("\ndurable after", "us"));
    all[1..].iter().for_each(|m| println!("{}", m.durable.row(m.name, 1e3)));
    println!("took {:.0} s", began.elapsed().as_secs_f64());
    appender.close().expect("closed");
}
