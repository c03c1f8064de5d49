//! Records, blocks and files in another place than their own: whole in themselves, and refused all the same.

use std::path::{Path, PathBuf};

use lotbook_wal::{BLOCK_BYTES, CHUNK_BYTES, HEAD_BYTES, Limit, OpenError, RecordHeader};

use crate::support::{
    Files, Place, Random, SEGMENT_BYTES, SLOTS, count, file_offset, killed_after, payload, peek, poke, read_back,
    unwritten_slot,
};

/// Short form, long form.
const ROUNDS: (usize, usize) = (500, 10_000);
const RECORDS: u64 = 6_000;

/// What went to the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    /// A record over another of the same length.
    RecordCopied,
    /// The same record of another log: same sequence, same address, same payload.
    RecordOfAnotherLog,
    /// Records from one on moved to where the one before began: as if that one had never been.
    RecordMissing,
    /// A record twice, what follows moved along.
    RecordDuplicated,
    /// Two neighbours in the other order.
    RecordsSwapped,
    /// A block written where another belongs: a misdirected write.
    BlockMisdirected,
    /// A block as it was when the segment was made: a lost write.
    BlockLost,
    SegmentsSwapped,
    SegmentMissing,
    /// A segment also under the name of another.
    SegmentDuplicated,
    /// An older segment's contents under the header of a newer one.
    SegmentRecycled,
    SegmentOfAnotherLog,
    /// A segment as it was when it was made.
    SegmentBlank,
}

const WRONGS: [Wrong; 13] = [
    Wrong::RecordCopied,
    Wrong::RecordOfAnotherLog,
    Wrong::RecordMissing,
    Wrong::RecordDuplicated,
    Wrong::RecordsSwapped,
    Wrong::BlockMisdirected,
    Wrong::BlockLost,
    Wrong::SegmentsSwapped,
    Wrong::SegmentMissing,
    Wrong::SegmentDuplicated,
    Wrong::SegmentRecycled,
    Wrong::SegmentOfAnotherLog,
    Wrong::SegmentBlank,
];

struct Scene<'a> {
    place: &'a Place,
    other: &'a Place,
    /// Records whose bytes lie in the stream area, not in a slot.
    headers: &'a [RecordHeader],
    /// Begun segments, oldest first.
    segments: &'a [PathBuf],
}

impl Scene<'_> {
    fn bytes(&self, place: &Place, header: &RecordHeader) -> Vec<u8> {
        peek(&place.segment(header.address), file_offset(header.address), header.padded_bytes())
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        poke(&self.place.segment(address), file_offset(address), bytes);
    }

    fn read(&self, path: &Path) -> Vec<u8> {
        std::fs::read(path).unwrap()
    }

    /// Does it; false when the draw fits nothing.
    fn misplace(&self, wrong: Wrong, random: &mut Random) -> bool {
        let victim = 1 + random.below(self.headers.len() as u64 - 10) as usize;
        let header = &self.headers[victim];
        match wrong {
            Wrong::RecordCopied => {
                // Lengths repeat every 301 records.
                let alike: Vec<_> = self.headers.iter().filter(|h| h.length == header.length).collect();
                let from = random.pick(&alike);
                if from.sequence == header.sequence {
                    return false;
                }
                self.put(header.address, &self.bytes(self.place, from));
            }
            Wrong::RecordOfAnotherLog => {
                let bytes = self.bytes(self.other, header);
                assert_eq!(bytes[64..header.length as usize], payload(header.sequence));
                self.put(header.address, &bytes);
            }
            Wrong::RecordMissing | Wrong::RecordDuplicated => {
                // Up to the end of the chunk, the rest of which stays zeros.
                let chunk_end = (header.address + 1).next_multiple_of(CHUNK_BYTES as u64);
                let last = self.headers[victim..].iter().take_while(|h| h.address < chunk_end).last().unwrap();
                let path = self.place.segment(header.address);
                let run = peek(&path, file_offset(header.address), (last.end_address() - header.address) as usize);
                let length = header.padded_bytes();
                let mut moved = if wrong == Wrong::RecordMissing {
                    [&run[length..], &vec![0; length]].concat()
                } else {
                    [&run[..length], &run].concat()
                };
                moved.truncate((chunk_end - header.address) as usize);
                self.put(header.address, &moved);
            }
            Wrong::RecordsSwapped => {
                let next = &self.headers[victim + 1];
                if next.address != header.end_address() {
                    return false;
                }
                let swapped = [self.bytes(self.place, next), self.bytes(self.place, header)].concat();
                self.put(header.address, &swapped);
            }
            Wrong::BlockMisdirected | Wrong::BlockLost => {
                let block = header.address - header.address % BLOCK_BYTES as u64;
                let from = random.pick(self.headers);
                let from = from.address - from.address % BLOCK_BYTES as u64;
                let old = peek(&self.place.segment(block), file_offset(block), BLOCK_BYTES);
                let new = match wrong {
                    Wrong::BlockLost => vec![0; BLOCK_BYTES],
                    _ => peek(&self.place.segment(from), file_offset(from), BLOCK_BYTES),
                };
                if new == old {
                    return false;
                }
                self.put(block, &new);
            }
            Wrong::SegmentsSwapped => {
                let (a, b) = (random.pick(self.segments), random.pick(self.segments));
                if a == b {
                    return false;
                }
                let (bytes_a, bytes_b) = (self.read(a), self.read(b));
                std::fs::write(a, bytes_b).unwrap();
                std::fs::write(b, bytes_a).unwrap();
            }
            Wrong::SegmentMissing => {
                // The oldest one may have been dropped in order: nothing in the log says that it was not.
                std::fs::remove_file(random.pick(&self.segments[1..])).unwrap();
            }
            Wrong::SegmentDuplicated => {
                let from = random.pick(self.segments);
                let all: Vec<_> = self.place.files().into_iter().map(|(p, _)| p).collect();
                let segments: Vec<_> = all.iter().filter(|p| p.extension().is_some_and(|x| x == "lotlog")).collect();
                // Over another one, or behind the last under the next name.
                let next = self.place.segment(segments.len() as u64 * SEGMENT_BYTES);
                let to = if random.below(2) == 0 { &next } else { *random.pick(&segments) };
                if to == from {
                    return false;
                }
                std::fs::write(to, self.read(from)).unwrap();
            }
            Wrong::SegmentRecycled => {
                // Not the one written last, as below.
                let newer = 1 + random.below(self.segments.len() as u64 - 2) as usize;
                let older = random.below(newer as u64) as usize;
                let bytes = self.read(&self.segments[older]);
                // With the old slots or without them.
                let from = if random.below(2) == 0 { BLOCK_BYTES } else { HEAD_BYTES };
                if from == HEAD_BYTES {
                    blank_slots(&self.segments[newer]);
                }
                poke(&self.segments[newer], from as u64, &bytes[from..]);
            }
            Wrong::SegmentOfAnotherLog => {
                let path = random.pick(self.segments);
                let name = path.file_name().unwrap();
                std::fs::write(path, self.read(&self.other.dir().join(name))).unwrap();
            }
            Wrong::SegmentBlank => {
                // The one written last holds all the witnesses of its own records: blank, it is one that was never begun.
                let path = random.pick(&self.segments[..self.segments.len() - 1]);
                poke(path, HEAD_BYTES as u64, &vec![0; SEGMENT_BYTES as usize]);
                blank_slots(path);
            }
        }
        true
    }
}

/// The tail slots as they were when the segment was made.
fn blank_slots(segment: &Path) {
    for (place, at) in SLOTS.into_iter().enumerate() {
        poke(segment, at, &unwritten_slot(segment, place));
    }
}

/// The files that differ between two states of a directory, those that came or went included.
fn touched(before: &Files, after: &Files) -> Vec<PathBuf> {
    let gone = before.iter().filter(|entry| !after.contains(entry));
    let came = after.iter().filter(|entry| !before.contains(entry));
    gone.chain(came).map(|(path, _)| path.clone()).collect()
}

#[test]
fn whatever_is_misplaced_is_refused_by_name() {
    let (place, other) = (Place::in_memory(), Place::in_memory());
    let all = killed_after(&place, RECORDS);
    killed_after(&other, RECORDS);
    let end = all.last().unwrap().end_address();
    let full = end - end % BLOCK_BYTES as u64;
    let headers: Vec<_> = all.into_iter().filter(|h| h.end_address() <= full).collect();
    let segments: Vec<_> = (0..=(full - 1) / SEGMENT_BYTES).map(|i| place.segment(i * SEGMENT_BYTES)).collect();
    assert!(segments.len() > 3);
    let scene = Scene { place: &place, other: &other, headers: &headers, segments: &segments };
    let before = place.files();
    let seeded = Random::seeded("misplacements", 33);
    let rounds = count(ROUNDS.0, ROUNDS.1);
    let mut seen = std::collections::BTreeMap::new();
    let mut done = 0;
    for round in 0.. {
        if done == rounds {
            break;
        }
        let mut random = seeded.round(round);
        let wrong = *random.pick(&WRONGS);
        if !scene.misplace(wrong, &mut random) {
            continue;
        }
        done += 1;
        let after = place.files();
        let changed = touched(&before, &after);
        assert!(!changed.is_empty(), "round {round} {wrong:?}");
        let error = place.try_open().map(|opened| opened.report).unwrap_err();
        let named = match &error {
            OpenError::Corrupt(corrupt) => corrupt.segment.clone(),
            OpenError::WrongSegment { path, .. } | OpenError::MissingSegment { path, .. } => path.clone(),
            other => panic!("round {round} {wrong:?}: {other}"),
        };
        assert!(changed.contains(&named), "round {round} {wrong:?}: {error}; changed {changed:?}");
        assert!(place.files() == after, "round {round} {wrong:?}: files were touched");
        *seen.entry(wrong).or_insert(0) += 1;
        place.restore(&before);
    }
    assert_eq!(seen.len(), WRONGS.len());
    println!("{done} misplacements, all refused by name, files unchanged: {seen:?}");
    let opened = place.open();
    assert_eq!(read_back(&opened.log, Limit::Durable).len() as u64, RECORDS);
}
