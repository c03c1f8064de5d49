//! Bytes that were durable and are no longer what was written: refused, by place, files untouched.

use super::*;
use crate::segment::SegmentHeader;

fn refused(bench: &Bench) -> OpenError {
    let before = bench.snapshot();
    let error = match bench.try_open() {
        Err(error) => error,
        Ok(opened) => panic!("opened: {:?}", opened.report),
    };
    assert!(bench.snapshot() == before, "files were touched");
    error
}

#[test]
fn a_flip_anywhere_below_the_watermark_is_refused_with_its_place() {
    let bench = Bench::new();
    let places = bench.killed_after(3_000);
    // The partial last block lies in the slots; everything before it in the stream area.
    let last_block = places[2_999].address - places[2_999].address % 4_096;
    let mut random = 12345u64;
    let mut kinds = std::collections::BTreeSet::new();
    for round in 0..150 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let address = (random >> 16) % last_block;
        let segment = bench.segment(address);
        let bit = (random % 8) as u8;
        flip(&segment, stream_offset(address), bit);
        let victim = places.iter().rev().find(|p| p.address <= address);
        match refused(&bench) {
            OpenError::Corrupt(corrupt) => {
                assert_eq!(corrupt.segment, segment, "round {round}");
                if let Some(victim) = victim {
                    // Damage behind the last record of a chunk is named by the record that should follow.
                    let off = corrupt.sequence.abs_diff(victim.sequence);
                    assert!(off <= 1, "round {round}: {corrupt} for {victim:?}");
                }
                kinds.insert(format!("{:?}", corrupt.what).chars().take(6).collect::<String>());
            }
            other => panic!("round {round}: {other}"),
        }
        flip(&segment, stream_offset(address), bit);
    }
    assert!(kinds.contains("Checks"), "{kinds:?}");
    assert_eq!(read_back(&bench.open().log, Limit::Durable).len(), 3_000);
}

#[test]
fn a_flip_in_the_head_area_is_refused_or_told() {
    let bench = Bench::new();
    bench.killed_after(3_000);
    let sealed = bench.segment(0);
    for (offset, name) in [
        (0u64, "magic"),
        (20, "log id"),
        (3_000, "header block"),
        (5_000, "slot A"),
        (13_000, "slot B"),
        (21_000, "slot C"),
        (30_000, "slot D"),
        (36_863, "end of slot D"),
        (36_864, "after the slots"),
        (65_535, "end of the head area"),
    ] {
        flip(&sealed, offset, 0);
        match refused(&bench) {
            OpenError::WrongSegment { path, .. } => assert_eq!(path, sealed, "{name}"),
            OpenError::Corrupt(corrupt) => {
                assert_eq!((corrupt.segment, corrupt.what), (sealed.clone(), What::Slot), "{name}");
            }
            other => panic!("{name}: {other}"),
        }
        flip(&sealed, offset, 0);
    }
    // In the segment written last a slot that does not verify is what a torn write leaves behind.
    let active = bench.segment(open_end(&bench));
    flip(&active, 5_000, 0);
    let opened = bench.open();
    assert!(opened.report.notes.iter().any(|n| n.contains("torn")), "{:?}", opened.report);
    assert_eq!(read_back(&opened.log, Limit::Durable).len(), 3_000);
}

fn open_end(bench: &Bench) -> u64 {
    open_read_only(&bench.dir()).unwrap().verify(&mut |_, _| {}).unwrap().bytes
}

#[test]
fn misplaced_segments_are_refused_by_name() {
    let bench = Bench::new();
    bench.killed_after(8_000);
    let whole = bench.snapshot();
    let (a, b) = (bench.segment(256 << 10), bench.segment(512 << 10));
    let other = Bench::new();
    other.killed_after(8_000);
    let foreign = std::fs::read(other.segment(256 << 10)).unwrap();
    type Change<'a> = Box<dyn Fn() + 'a>;
    let bytes_a = std::fs::read(&a).unwrap();
    let bytes_b = std::fs::read(&b).unwrap();
    let cases: Vec<(&str, Change<'_>)> = vec![
        ("missing", Box::new(|| std::fs::remove_file(&a).unwrap())),
        ("copied over", Box::new(|| std::fs::write(&a, &bytes_b).unwrap())),
        (
            "swapped",
            Box::new(|| {
                std::fs::write(&a, &bytes_b).unwrap();
                std::fs::write(&b, &bytes_a).unwrap();
            }),
        ),
        ("foreign", Box::new(|| std::fs::write(&a, &foreign).unwrap())),
        ("cut short", Box::new(|| std::fs::write(&a, &bytes_a[..bytes_a.len() - 1]).unwrap())),
        ("longer", Box::new(|| std::fs::write(&a, [&bytes_a[..], &[0]].concat()).unwrap())),
        ("empty", Box::new(|| std::fs::write(&a, b"").unwrap())),
        ("all zeros", Box::new(|| std::fs::write(&a, vec![0; bytes_a.len()]).unwrap())),
        ("blank under its right header", Box::new(|| poke(&a, 4_096, &vec![0; bytes_a.len() - 4_096]))),
        ("meta gone", Box::new(|| std::fs::remove_file(bench.dir().join("log.meta")).unwrap())),
        ("meta flipped", Box::new(|| flip(&bench.dir().join("log.meta"), 20, 1))),
        (
            "every segment gone",
            Box::new(|| {
                for (path, _) in &whole {
                    if path.extension().is_some_and(|e| e == "lotlog") {
                        std::fs::remove_file(path).unwrap();
                    }
                }
            }),
        ),
    ];
    for (name, change) in cases {
        bench.restore(&whole);
        change();
        let error = refused(&bench);
        let text = error.to_string();
        match error {
            OpenError::MissingSegment { .. }
            | OpenError::WrongSegment { .. }
            | OpenError::Corrupt(_)
            | OpenError::Meta { .. } => {}
            other => panic!("{name}: {other}"),
        }
        let names_file = text.contains("seg-") || text.contains("log.meta");
        assert!(names_file, "{name}: {text}");
    }
    bench.restore(&whole);
    assert_eq!(read_back(&bench.open().log, Limit::Durable).len(), 8_000);
}

#[test]
fn a_record_copied_to_another_place_is_refused() {
    let bench = Bench::new();
    let places = bench.killed_after(2_000);
    // Two records of one length, so that the copy is whole in its new place.
    let (from, to) = (places[100], places[100 + 301]);
    let length = payload(from.sequence).len() + HEADER_BYTES;
    assert_eq!(length, payload(to.sequence).len() + HEADER_BYTES);
    let bytes = peek(&bench.segment(from.address), stream_offset(from.address), length);
    poke(&bench.segment(to.address), stream_offset(to.address), &bytes);
    match refused(&bench) {
        OpenError::Corrupt(corrupt) => {
            assert_eq!(corrupt.what, What::Address { found: from.address });
            assert_eq!((corrupt.address, corrupt.sequence), (to.address, to.sequence));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_zeroed_block_in_the_middle_is_damage_not_the_end() {
    let bench = Bench::new();
    let places = bench.killed_after(3_000);
    let victim = places[1_000];
    let block = stream_offset(victim.address) / 4_096 * 4_096;
    poke(&bench.segment(victim.address), block, &[0; 4_096]);
    assert!(matches!(refused(&bench), OpenError::Corrupt(_)));
    std::fs::remove_file(bench.tail_file().unwrap()).unwrap();
    assert!(matches!(refused(&bench), OpenError::Corrupt(_)));
}

/// A segment that came back blank (a file system that lost it, a copy cut short and padded) was refused, but by the name of the healthy
/// segment before it, whose last chunk ends in zeros as it should: the operator was sent to the wrong file.
#[test]
fn a_blank_segment_is_refused_by_its_own_name() {
    let bench = Bench::new();
    bench.killed_after(8_000);
    let blank = bench.segment(256 << 10);
    let mut bytes = std::fs::read(&blank).unwrap();
    let header = SegmentHeader::decode(&bytes).unwrap();
    bytes[4_096..].fill(0);
    // All zeros behind the header, and as it was when it was made.
    for (unwritten, offset) in [(false, SLOT_OFFSETS[0]), (true, HEAD_BYTES as u64)] {
        for (place, at) in SLOT_OFFSETS.into_iter().enumerate().filter(|_| unwritten) {
            header.unwritten_slot(place, &mut bytes[at as usize..]);
        }
        std::fs::write(&blank, &bytes).unwrap();
        match refused(&bench) {
            OpenError::Corrupt(corrupt) => assert_eq!((&corrupt.segment, corrupt.offset), (&blank, offset)),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn verify_tells_whole_torn_and_damaged_apart() {
    let bench = Bench::new();
    let places = bench.killed_after(2_000);
    let verify = || open_read_only(&bench.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!(verify().outcome, VerifyOutcome::Whole);
    let end = stream_offset(open_end(&bench)) + 100;
    let segment = bench.segment(open_end(&bench));
    poke(&segment, end, b"half a record");
    assert!(matches!(verify().outcome, VerifyOutcome::TornTail { bytes: 1..=200, .. }), "{:?}", verify());
    poke(&segment, end, &[0; 13]);
    flip(&bench.segment(places[10].address), stream_offset(places[10].address) + 70, 2);
    match verify().outcome {
        VerifyOutcome::Damaged(corrupt) => assert_eq!(corrupt.sequence, places[10].sequence),
        other => panic!("{other:?}"),
    }
}
