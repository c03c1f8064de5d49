//! Every single bit of a segment that holds every kind of record: a flip anywhere is noticed.
//!
//! All bits are tried against the code that judges the bytes they belong to (the record and its padding, the rest of a chunk, a tail
//! slot, the header block, the zeros of the head area); a seeded sample of them against a whole reading of the log.

use super::*;
use crate::aligned::all_zero;
use crate::chain::{Chain, Walk};
use crate::limits::{BLOCK_BYTES, CHUNK_BYTES, NO_ADDRESS, SLOTS_END};
use crate::segment::{SegmentHeader, SlotFound};

const SEGMENT_BYTES: u64 = 1 << 20;
const SEED: u64 = 0x0F11_9B17;
/// Flips judged by reading the whole log: short form, long form.
const SAMPLES: (usize, usize) = (120, 6_000);

fn config(bench: &Bench) -> LogConfig {
    LogConfig { segment_bytes: SEGMENT_BYTES, ..bench.config() }
}

fn append(appender: &mut Appender, meta: &RecordMeta, bytes: &[u8]) -> Appended {
    let deadline = Instant::now() + LONG;
    loop {
        match appender.append(meta, bytes.len(), |out| out.copy_from_slice(bytes)) {
            Ok(appended) => return appended,
            Err(AppendError::TailFull) if Instant::now() < deadline => crate::nap(),
            Err(e) => panic!("{e}"),
        }
    }
}

/// Two epochs, the first closed in order; singles, groups, back-links, every padding, an empty payload and one of half a chunk.
/// `segments` decides where it stops: in the middle of the first segment's last chunk, or in the segment after it.
fn every_kind(bench: &Bench, segments: u64) {
    let config = config(bench);
    let mut opened = open(config.clone()).unwrap();
    mixed(&mut opened.appender, SEGMENT_BYTES / 2);
    opened.appender.close().unwrap();
    let mut opened = open(config).unwrap();
    let last_chunk = SEGMENT_BYTES - CHUNK_BYTES as u64;
    mixed(
        &mut opened.appender,
        if segments == 1 { last_chunk + 5_000 } else { SEGMENT_BYTES + 3 * CHUNK_BYTES as u64 },
    );
    settle(&opened.log);
    opened.appender.abandon();
}

/// Appends until the log has passed `until`.
fn mixed(appender: &mut Appender, until: u64) {
    let mut previous = NO_ADDRESS;
    for i in 0u64.. {
        if appender.next_address_for(0) >= until {
            return;
        }
        let meta = RecordMeta {
            kind: (i % 40) as u16,
            version: (i % 3) as u8,
            partition: (i % 16) as u16,
            previous,
            group: Group::Single,
        };
        // Every padding from none to seven bytes; a long one now and then, an empty one too.
        let length = match i % 1_000 {
            0 => 32_000,
            1 => 0,
            n => 40 + (n * 5 % 190) as usize,
        };
        previous = append(appender, &meta, &vec![i as u8; length]).address;
        if i % 10 == 0 {
            for group in [Group::First, Group::Middle, Group::Last] {
                previous = append(appender, &RecordMeta { group, previous, ..meta }, &[7; 33]).address;
            }
        }
    }
}

/// What is to be known about a stretch of bytes to judge a flip in it.
struct Stretch {
    /// Stream addresses.
    from: u64,
    to: u64,
    /// As it stood before the record that begins at `from`, or before the rest of a chunk.
    before: Chain,
    /// Not a record but zeros.
    rest: bool,
}

/// The stream of the first segment cut in records and rests.
fn stretches(stream: &[u8], log_id: u64) -> Vec<Stretch> {
    let mut chain = Chain::from_start(log_id);
    let mut found = Vec::new();
    for (at, chunk) in (0..).step_by(CHUNK_BYTES).zip(stream.chunks_exact(CHUNK_BYTES)) {
        loop {
            let before = chain.clone();
            let from = before.end.address.max(at);
            match chain.step(chunk, at) {
                Walk::Record { header, .. } => {
                    found.push(Stretch { from, to: header.end_address(), before, rest: false });
                }
                // The end of the log, or of a chunk.
                Walk::NextChunk | Walk::Stop(What::Nothing) => {
                    found.push(Stretch { from, to: at + CHUNK_BYTES as u64, before, rest: true });
                    break;
                }
                Walk::Stop(what) => panic!("{what} at {from:#x}"),
            }
        }
    }
    found
}

/// The stream as a reader sees it: with the slots laid over, where this is the segment written last.
fn stream_of(bench: &Bench) -> (u64, Vec<u8>) {
    let disk = RealDisk::read_only();
    let meta = crate::meta::Meta::load(&disk, &bench.dir()).unwrap().unwrap();
    let segments = crate::scan::load_segments(&disk, &bench.dir(), meta.log_id, SEGMENT_BYTES, 0).unwrap();
    let mut stream = crate::scan::Stream::new(&segments, SEGMENT_BYTES);
    let mut bytes = Vec::new();
    for at in (0..SEGMENT_BYTES).step_by(CHUNK_BYTES) {
        bytes.extend_from_slice(stream.chunk(at).unwrap().unwrap());
    }
    (meta.log_id, bytes)
}

/// Flips every bit of `bytes` and counts; each must be noticed by `notices`, which gets the bytes and which byte was touched.
fn every_bit(name: &str, bytes: &mut [u8], notices: impl Fn(&[u8], usize) -> bool) -> u64 {
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(notices(bytes, at), "{name}: bit {bit} of byte {at} was not noticed");
            bytes[at] ^= 1 << bit;
        }
    }
    bytes.len() as u64 * 8
}

fn long() -> bool {
    std::env::var_os("LOTBOOK_LONG").is_some()
}

/// A sealed segment; in the long form the one written last as well.
#[test]
fn every_bit_of_a_segment_is_guarded() {
    for segments in if long() { 1..=2 } else { 2..=2 } {
        let bench = Bench::new();
        every_kind(&bench, segments);
        let (log_id, mut stream) = stream_of(&bench);
        let mut flips = 0;
        let mut records = 0;
        for stretch in stretches(&stream, log_id) {
            let chunk = stretch.from - stretch.from % CHUNK_BYTES as u64;
            let chunk_bytes = &mut stream[chunk as usize..chunk as usize + CHUNK_BYTES];
            records += u64::from(!stretch.rest);
            for at in (stretch.from - chunk) as usize..(stretch.to - chunk) as usize {
                for bit in 0..8 {
                    chunk_bytes[at] ^= 1 << bit;
                    // The record that holds the bit, judged by the code that reads the log.
                    let walk = stretch.before.clone().step(chunk_bytes, chunk);
                    assert!(matches!(walk, Walk::Stop(_)), "bit {bit} at {:#x}: {walk:?}", chunk + at as u64);
                    chunk_bytes[at] ^= 1 << bit;
                    flips += 1;
                }
            }
        }
        assert_eq!(flips, SEGMENT_BYTES * 8);
        let mut head = peek(&bench.segment_of(0, SEGMENT_BYTES), 0, HEAD_BYTES);
        flips += every_bit("header block", &mut head[..BLOCK_BYTES], |b, _| SegmentHeader::decode(b).is_err());
        let header = SegmentHeader::decode(&head).unwrap();
        for (place, from) in SLOT_OFFSETS.map(|at| at as usize).into_iter().enumerate() {
            let slot = &mut head[from..from + SLOT_BYTES];
            assert!(SlotFound::decode(slot, place, &header).valid().is_some(), "all slots were written");
            flips += every_bit("slot", slot, |b, _| SlotFound::decode(b, place, &header) == SlotFound::Bad);
        }
        flips += every_bit("head area", &mut head[SLOTS_END..], |b, at| !all_zero(&b[at / 64 * 64..][..64]));
        println!("{segments} segments: {flips} flips in {records} records and what lies between, all noticed");
    }
}

/// The same by way of files: what `verify` says of the whole log, and that it says where.
#[test]
fn a_sample_of_flips_is_noticed_by_reading_the_whole_log() {
    let samples = if long() { SAMPLES.1 } else { SAMPLES.0 };
    let mut random = SEED;
    for segments in [2, 1] {
        let bench = Bench::new();
        every_kind(&bench, segments);
        let path = bench.segment_of(0, SEGMENT_BYTES);
        let verify = || open_read_only(&bench.dir()).and_then(|log| log.verify(&mut |_, _| {}));
        let whole = verify().unwrap();
        assert_eq!(whole.outcome, VerifyOutcome::Whole);
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..samples {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (random >> 20) % (HEAD_BYTES as u64 + SEGMENT_BYTES);
            let bit = (random >> 17) as u8 % 8;
            flip(&path, at, bit);
            let kind = match verify() {
                Ok(report) => match report.outcome {
                    VerifyOutcome::Damaged(corrupt) => {
                        assert_eq!(corrupt.segment, path);
                        assert!(corrupt.offset <= at, "{corrupt} for byte {at}");
                        "damage"
                    }
                    VerifyOutcome::TornTail { .. } => {
                        assert!(
                            segments == 1 && at >= HEAD_BYTES as u64 + whole.bytes,
                            "torn at byte {at}: {report:?}"
                        );
                        "behind the end, reads as torn"
                    }
                    VerifyOutcome::Whole => {
                        // The last block counts as it stands in the slots; the next opening writes the place under them.
                        let last_block = whole.bytes - whole.bytes % BLOCK_BYTES as u64;
                        let stream = at.wrapping_sub(HEAD_BYTES as u64);
                        let under_slot = (last_block..whole.bytes).contains(&stream);
                        let in_slot = (SLOT_OFFSETS[0]..SLOTS_END as u64).contains(&at);
                        assert!(segments == 1 && (under_slot || in_slot), "byte {at} was not noticed");
                        assert_eq!(report.records, whole.records, "nothing is lost either");
                        "held twice"
                    }
                },
                Err(OpenError::WrongSegment { path: named, .. }) => {
                    assert_eq!(named, path);
                    "head area"
                }
                Err(OpenError::Corrupt(corrupt)) => {
                    assert_eq!((&corrupt.segment, corrupt.what), (&path, What::Slot));
                    "slot of a sealed segment"
                }
                Err(e) => panic!("byte {at}: {e}"),
            };
            *seen.entry(kind).or_insert(0) += 1;
            flip(&path, at, bit);
        }
        assert!(seen["damage"] > 0);
        assert_eq!(verify().unwrap(), whole, "every flip was taken back");
        println!("seed {SEED:#x}, {segments} segments, {samples} flips read as a whole: {seen:?}");
    }
}
