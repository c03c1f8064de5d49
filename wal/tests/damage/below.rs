//! Damage below the durable watermark: always refused, the place named, every file as it was.

use lotbook_wal::limits::{SLOT_BYTES, SLOT_OFFSETS, SLOTS_END};
use lotbook_wal::{BLOCK_BYTES, CHUNK_BYTES, HEAD_BYTES, OpenError, RecordHeader, What};

use crate::support::{Place, Random, SEGMENT_BYTES, count, file_offset, killed_after, peek, poke, read_back};

/// Short form, long form.
const ROUNDS: (usize, usize) = (600, 10_000);
const RECORDS: u64 = 4_000;

/// What is done to a stretch of a file. Each changes at least one byte, or is drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    Bit,
    Byte,
    SectorOfZeros,
    SectorOfOnes,
    SectorOfNoise,
    BlockOfZeros,
    BlockOfAnotherPlace,
    WordsSwapped,
}

const HARMS: [Harm; 8] = [
    Harm::Bit,
    Harm::Byte,
    Harm::SectorOfZeros,
    Harm::SectorOfOnes,
    Harm::SectorOfNoise,
    Harm::BlockOfZeros,
    Harm::BlockOfAnotherPlace,
    Harm::WordsSwapped,
];

/// The harmed bytes and where they begin, a block at most.
fn harm(harm: Harm, random: &mut Random, stream: &[u8]) -> (usize, Vec<u8>) {
    let at = random.below(stream.len() as u64) as usize;
    let sector = at - at % 512;
    let block = at - at % BLOCK_BYTES;
    match harm {
        Harm::Bit => (at, vec![stream[at] ^ (1 << random.below(8))]),
        Harm::Byte => (at, vec![random.next() as u8]),
        Harm::SectorOfZeros => (sector, vec![0; 512]),
        Harm::SectorOfOnes => (sector, vec![0xFF; 512]),
        Harm::SectorOfNoise => (sector, (0..512).map(|_| random.next() as u8).collect()),
        Harm::BlockOfZeros => (block, vec![0; BLOCK_BYTES]),
        Harm::BlockOfAnotherPlace => {
            let other = random.below((stream.len() / BLOCK_BYTES) as u64) as usize * BLOCK_BYTES;
            (block, stream[other..other + BLOCK_BYTES].to_vec())
        }
        Harm::WordsSwapped => {
            let word = (at - at % 8).min(stream.len() - 16);
            let mut bytes = stream[word..word + 16].to_vec();
            bytes.rotate_left(8);
            (word, bytes)
        }
    }
}

/// The record that holds `address`, or the one after which it lies.
fn holder(headers: &[RecordHeader], address: u64) -> &RecordHeader {
    &headers[headers.partition_point(|h| h.address <= address) - 1]
}

#[test]
fn damage_in_the_stream_is_refused_with_its_place() {
    let place = Place::in_memory();
    let headers = killed_after(&place, RECORDS);
    // The partial last block lies in the slots; full blocks in the stream area.
    let end = headers.last().unwrap().end_address();
    let full = (end - end % BLOCK_BYTES as u64) as usize;
    let mut stream = Vec::new();
    for at in (0..full as u64).step_by(SEGMENT_BYTES as usize) {
        let length = (full as u64 - at).min(SEGMENT_BYTES) as usize;
        stream.extend(peek(&place.segment(at), HEAD_BYTES as u64, length));
    }
    let before = place.files();
    let seeded = Random::seeded("damage below the watermark", 31);
    let rounds = count(ROUNDS.0, ROUNDS.1);
    let mut seen = std::collections::BTreeMap::new();
    let mut done = 0;
    for round in 0.. {
        if done == rounds {
            break;
        }
        let mut random = seeded.round(round);
        let kind = *random.pick(&HARMS);
        let (at, bytes) = harm(kind, &mut random, &stream);
        let old = &stream[at..at + bytes.len()];
        let Some(first) = old.iter().zip(&bytes).position(|(old, new)| old != new) else { continue };
        let first = (at + first) as u64;
        let last = (at + old.iter().zip(&bytes).rposition(|(old, new)| old != new).unwrap()) as u64;
        done += 1;
        let path = place.segment(at as u64);
        poke(&path, file_offset(at as u64), &bytes);
        let damaged = std::fs::read(&path).unwrap();
        // Half the rounds without the tail file: what it knows must not matter.
        let tail = place.tail_file().filter(|_| round % 2 == 0).map(|path| {
            let away = path.with_extension("away");
            std::fs::rename(&path, &away).unwrap();
            (path, away)
        });
        let error = place.try_open().map(|opened| opened.report).unwrap_err();
        let OpenError::Corrupt(corrupt) = error else { panic!("round {round} {kind:?}: {error}") };
        // The place is the record that holds the first changed byte, or what follows it where the rest of a chunk was hit.
        let victim = holder(&headers, first);
        assert_eq!(corrupt.segment, path, "round {round} {kind:?}");
        assert_eq!(corrupt.offset, file_offset(corrupt.address));
        assert!(corrupt.address <= last + 1, "round {round} {kind:?}: {corrupt}, changed {first:#x}..={last:#x}");
        let in_record = first < victim.address + u64::from(victim.length).next_multiple_of(8);
        let named = victim.sequence + u64::from(!in_record);
        assert_eq!(corrupt.sequence, named, "round {round} {kind:?}: {corrupt}, changed {first:#x}..={last:#x}");
        *seen.entry((kind, format!("{:?}", corrupt.what).split(' ').next().unwrap().to_owned())).or_insert(0) += 1;
        if let Some((path, away)) = tail {
            std::fs::rename(away, path).unwrap();
        }
        for (file, bytes) in &before {
            let want = if *file == path { &damaged } else { bytes };
            assert!(std::fs::read(file).unwrap() == *want, "round {round}: {} was touched", file.display());
        }
        assert_eq!(place.files().len(), before.len(), "round {round}: files came or went");
        poke(&path, file_offset(at as u64), &stream[at..at + bytes.len()]);
    }
    println!("{done} damages below the watermark, all refused by place, files unchanged: {seen:?}");
    let opened = place.open();
    assert_eq!(read_back(&opened.log, lotbook_wal::Limit::Durable).len() as u64, RECORDS);
}

/// The head areas: header, slots and what must be zero. A slot of the segment written last may be torn, so there the other counts.
#[test]
fn damage_in_a_head_area_is_refused_or_told() {
    let place = Place::in_memory();
    killed_after(&place, RECORDS);
    let before = place.files();
    let seeded = Random::seeded("damage in head areas", 32);
    let last = place.segment(open_end(&place));
    let segments: Vec<_> = before.iter().filter(|(p, _)| p.extension().is_some_and(|x| x == "lotlog")).collect();
    let (mut refused, mut told) = (0, 0);
    for round in 0..count(150, 2_000) as u64 {
        let mut random = seeded.round(round);
        let (path, whole) = *random.pick(&segments);
        let at = match random.below(3) {
            0 => random.below(BLOCK_BYTES as u64),
            1 => SLOT_OFFSETS[0] + random.below(SLOTS_END as u64 - SLOT_OFFSETS[0]),
            _ => random.below(HEAD_BYTES as u64),
        };
        let in_slot = SLOT_OFFSETS.iter().any(|from| (*from..from + SLOT_BYTES as u64).contains(&at));
        poke(path, at, &[whole[at as usize] ^ (1 << random.below(8))]);
        let damaged = place.files();
        match place.try_open() {
            Err(OpenError::WrongSegment { path: named, .. }) => assert_eq!(named, *path),
            Err(OpenError::Corrupt(corrupt)) => {
                // A sealed segment's slot; or the rise and fall of a segment that nobody had begun.
                assert!(in_slot, "{corrupt} for byte {at} of {}", path.display());
                assert!(corrupt.what == What::Slot || corrupt.segment.exists(), "{corrupt}");
            }
            Err(e) => panic!("byte {at} of {}: {e}", path.display()),
            Ok(opened) => {
                assert!(in_slot && *path >= last, "byte {at} of {} went unnoticed", path.display());
                assert!(opened.report.notes.iter().any(|n| n.contains("torn")), "{:?}", opened.report);
                assert_eq!(read_back(&opened.log, lotbook_wal::Limit::Durable).len() as u64, RECORDS);
                opened.appender.abandon();
                told += 1;
                place.restore(&before);
                place.lose_tail();
                continue;
            }
        }
        assert!(place.files() == damaged, "round {round}: files were touched");
        refused += 1;
        place.restore(&before);
    }
    println!("{refused} damages in head areas refused, {told} torn slots of the last segment told");
    assert!(refused > told);
}

fn open_end(place: &Place) -> u64 {
    let report = lotbook_wal::open_read_only(&place.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.outcome, lotbook_wal::VerifyOutcome::Whole);
    assert!(report.bytes > 3 * SEGMENT_BYTES && !report.bytes.is_multiple_of(CHUNK_BYTES as u64));
    report.bytes
}
