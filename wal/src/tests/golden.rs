//! A log's files as bytes that were written down once: each part of the format is still encoded like that, and still read.
//!
//! `LOTBOOK_BLESS=1` writes the file anew. After a release that is never right: a changed format gets a new version and a file of its own.

use std::fmt::Write as _;

use super::*;
use crate::checksum::seal;
use crate::limits::{SEGMENT_VERSION, SLOT_HEADER_BYTES};
use crate::meta::Meta;
use crate::segment::{SegmentHeader, SlotHead};
use crate::tail::{
    DIRECTORY_OFFSET, PUBLISHED_ADDRESS_OFFSET, PUBLISHED_SEQUENCE_OFFSET, TailIdentity, blocks_offset, tail_bytes,
    tail_name,
};

const GOLDEN: &str = include_str!("golden/log_v1.hex");
const LOG_ID: u64 = 0x0123_4567_89ab_cdef;
const SEGMENT_BYTES: u64 = 256 << 10;
const TAIL_BLOCKS: u32 = 4;

/// One run of bytes in one file; zeros behind it are not written down.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    what: String,
    offset: u64,
    bytes: Vec<u8>,
}

/// A record of every kind that the log knows, user records of several lengths, a group: header without checksums, and payload.
fn records() -> Vec<(RecordMeta, Vec<u8>)> {
    let start = EpochStart {
        epoch: 1,
        clean: true,
        end_address: 0,
        end_sequence: 0,
        end_checksum: 0,
        wall_clock_ns: 1_800_000_000_000_000_000,
        boot_id: *b"golden boot id..",
        lost_from_sequence: None,
    };
    let user = |kind, group, previous| RecordMeta { kind, version: 3, partition: 11, previous, group };
    vec![
        (RecordMeta { version: 1, ..RecordMeta::single(KIND_EPOCH_START) }, start.encode().to_vec()),
        (user(1, Group::Single, NO_ADDRESS), vec![]),
        (user(2, Group::Single, 128), b"one".to_vec()),
        (user(0xfeff, Group::First, 192), (0..=255).collect()),
        (user(7, Group::Middle, NO_ADDRESS), vec![0xa5; 120]),
        (user(7, Group::Last, 0), vec![0x5a; 400]),
        (RecordMeta::single(KIND_CLOSE), 1_800_000_000_000_000_001u64.to_le_bytes().to_vec()),
    ]
}

/// The stream of the first `count` records.
fn stream(count: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut previous_checksum = 0;
    for (n, (meta, payload)) in records().iter().take(count).enumerate() {
        let header = RecordHeader {
            checksum: 0,
            length: (HEADER_BYTES + payload.len()) as u32,
            log_id: LOG_ID,
            sequence: n as u64 + 1,
            address: stream.len() as u64,
            previous: meta.previous,
            durable_sequence: n as u64 / 2,
            epoch: 1,
            previous_checksum,
            kind: meta.kind,
            partition: meta.partition,
            version: meta.version,
            flags: meta.group.flags(),
        };
        let mut record = header.encode().to_vec();
        record.extend_from_slice(payload);
        record.resize(header.padded_bytes(), 0);
        previous_checksum = seal(&mut record);
        stream.extend_from_slice(&record);
    }
    stream
}

/// The files of a log closed in order, and of one that was killed when its disk held only the first two records.
fn parts() -> Vec<Part> {
    let mut parts = Vec::new();
    let mut part = |what: &str, offset: u64, bytes: &[u8]| {
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        parts.push(Part { what: what.to_owned(), offset, bytes: bytes[..used].to_vec() });
    };
    part("log.meta", 0, &Meta { log_id: LOG_ID, segment_bytes: SEGMENT_BYTES, created_ns: 42 }.encode());
    let header = header();
    let mut block = vec![0; BLOCK_BYTES];
    header.encode(&mut block);
    part("segment", 0, &block);
    let slot = |place: usize, stream: &[u8], records: u64, generation: u64| {
        let mut slot = vec![0; SLOT_BYTES];
        slot[SLOT_HEADER_BYTES..SLOT_HEADER_BYTES + stream.len()].copy_from_slice(stream);
        let head = SlotHead {
            log_id: LOG_ID,
            place,
            in_flight: 2,
            epoch: 1,
            generation,
            address: 0,
            length: stream.len(),
            durable_sequence: records,
            durable_address: stream.len() as u64,
            segments_end: SEGMENT_BYTES,
        };
        head.seal(&mut slot);
        slot
    };
    let all = records().len();
    for (place, generation) in [(0, 9), (1, 10), (2, 7), (3, 8)] {
        let (bytes, durable) = match generation {
            7 => (stream(all - 1), all as u64 - 2),
            8 => (stream(all), all as u64 - 1),
            _ => (stream(all), all as u64),
        };
        part(&format!("segment slot {place}, closed"), SLOT_OFFSETS[place], &slot(place, &bytes, durable, generation));
    }
    part("segment slot 0, killed", SLOT_OFFSETS[0], &slot(0, &stream(2), 1, 2));
    for (place, at) in SLOT_OFFSETS.into_iter().enumerate().skip(1) {
        let mut slot = vec![0; SLOT_BYTES];
        header.unwritten_slot(place, &mut slot);
        part(&format!("segment slot {place}, killed"), at, &slot);
    }
    let identity = TailIdentity {
        log_id: LOG_ID,
        epoch: 1,
        block_count: TAIL_BLOCKS,
        boot_id: *b"golden boot id..",
        start_address: 0,
        start_sequence: 1,
        lost_from_sequence: None,
    };
    let published = stream(all - 1);
    part("tail", 0, &identity.encode());
    part("tail", PUBLISHED_ADDRESS_OFFSET as u64, &(published.len() as u64).to_le_bytes());
    part("tail", PUBLISHED_SEQUENCE_OFFSET as u64, &(all as u64 - 1).to_le_bytes());
    // Blocks of which the second holds the chunk; generations as after one use.
    let directory = [NO_ADDRESS, 0, 0, 2, NO_ADDRESS, 0, NO_ADDRESS, 0];
    part("tail", DIRECTORY_OFFSET as u64, &directory.map(u64::to_le_bytes).concat());
    part("tail", (blocks_offset(TAIL_BLOCKS) + CHUNK_BYTES) as u64, &published);
    parts
}

fn header() -> SegmentHeader {
    SegmentHeader {
        version: SEGMENT_VERSION,
        log_id: LOG_ID,
        first_address: 0,
        stream_bytes: SEGMENT_BYTES,
        created_ns: 43,
    }
}

fn as_text(what: &str, parts: &[Part]) -> String {
    let mut text = format!("# {what}: what and where, then bytes; zeros behind them are left out.\n");
    for part in parts {
        let _ = writeln!(text, "\n@{} {}", part.offset, part.what);
        for line in part.bytes.chunks(32) {
            line.iter().for_each(|b| {
                let _ = write!(text, "{b:02x}");
            });
            text.push('\n');
        }
    }
    text
}

fn from_text(text: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        if let Some(head) = line.strip_prefix('@') {
            let (offset, what) = head.split_once(' ').unwrap();
            parts.push(Part { what: what.to_owned(), offset: offset.parse().unwrap(), bytes: Vec::new() });
        } else {
            let bytes = (0..line.len() / 2).map(|i| u8::from_str_radix(&line[2 * i..2 * i + 2], 16).unwrap());
            parts.last_mut().unwrap().bytes.extend(bytes);
        }
    }
    parts
}

/// Lays the files that were written down into a directory.
fn lay(bench: &Bench, state: &str) {
    std::fs::create_dir_all(bench.dir()).unwrap();
    let tail_dir = bench.config().tail_dir.unwrap();
    let put = |path: &Path, bytes: u64, parts: &mut dyn Iterator<Item = &Part>| {
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path).unwrap();
        file.set_len(bytes).unwrap();
        parts.for_each(|p| file.write_all_at(&p.bytes, p.offset).unwrap());
    };
    let parts = from_text(GOLDEN);
    let named = |name: &'static str| parts.iter().filter(move |p| p.what == name);
    put(&bench.dir().join("log.meta"), 64, &mut named("log.meta"));
    let slots = parts.iter().filter(|p| p.what.starts_with("segment slot") && p.what.ends_with(state));
    put(&bench.segment(0), HEAD_BYTES as u64 + SEGMENT_BYTES, &mut named("segment").chain(slots));
    if state == "killed" {
        let tail = tail_dir.join(tail_name(&RealDisk::read_only(), LOG_ID, &bench.dir()));
        put(&tail, tail_bytes(TAIL_BLOCKS) as u64, &mut named("tail"));
    }
}

#[test]
fn every_part_is_written_as_it_was_once() {
    let text = as_text("The files of a log, format version 1, segments of version 3", &parts());
    if std::env::var_os("LOTBOOK_BLESS").is_some() {
        std::fs::write(format!("{}/src/tests/golden/log_v1.hex", env!("CARGO_MANIFEST_DIR")), &text).unwrap();
        return;
    }
    assert_eq!(text, GOLDEN, "the format changed: nothing that was released may");
    assert_eq!(from_text(GOLDEN), parts());
}

#[test]
fn what_was_written_once_is_still_read() {
    // The tail that was written down is of another start of the machine, so it may not be all there was: hence the loss that is reported.
    for (state, row, from_tail, lost) in [("closed", 'F', 0, None), ("killed", 'N', 4, Some(7))] {
        let bench = Bench::new();
        lay(&bench, state);
        let count = if state == "closed" { records().len() } else { records().len() - 1 };
        let opened = bench.open();
        let report = &opened.report;
        assert_eq!(
            (report.row, report.from_tail_records, report.lost_from_sequence),
            (row, from_tail, lost),
            "{report:?}"
        );
        assert_eq!((report.epoch, report.end_address), (2, stream(count).len() as u64));
        let mut reader = opened.log.reader(From::Start).unwrap();
        for (n, (meta, payload)) in records().iter().take(count).enumerate() {
            let record = reader.next(Limit::Durable).unwrap().unwrap();
            let header = record.header;
            assert_eq!(
                (header.sequence, header.log_id, header.epoch, header.durable_sequence),
                (n as u64 + 1, LOG_ID, 1, n as u64 / 2),
                "{state}"
            );
            assert_eq!(
                (header.kind, header.version, header.partition, header.previous, header.group()),
                (meta.kind, meta.version, meta.partition, meta.previous, meta.group),
                "{state}, record {n}"
            );
            assert_eq!(record.payload, payload, "{state}, record {n}");
        }
        let next = reader.next(Limit::Durable).unwrap().unwrap();
        assert_eq!((next.header.kind, next.header.epoch), (KIND_EPOCH_START, 2), "what was opened goes on");
        opened.appender.close().unwrap();
    }
}

#[test]
fn a_record_of_every_kind_of_the_log_is_among_them() {
    let kinds: Vec<u16> = records().iter().map(|(meta, _)| meta.kind).collect();
    for kind in [KIND_EPOCH_START, KIND_CLOSE] {
        assert!(kinds.contains(&kind), "{kind:#x}");
    }
    let groups = records().iter().map(|(meta, _)| meta.group.flags()).collect::<std::collections::BTreeSet<u8>>();
    assert_eq!(groups.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3], "every place in a group");
}
