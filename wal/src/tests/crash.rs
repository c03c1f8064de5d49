//! Killed at some moment; what was answered must be there.

use super::*;
use crate::limits::BLOCK_BYTES;

#[test]
fn applied_records_survive_a_kill_at_any_moment() {
    let bench = Bench::new();
    let mut wanted = Vec::new();
    for round in 0..25u64 {
        let mut opened = bench.open();
        assert_eq!(opened.report.lost_from_sequence, None);
        assert_eq!(opened.report.created, round == 0);
        assert_eq!(read_back(&opened.log, Limit::Durable), wanted, "round {round}");
        let count = [0, 1, 3, 200, 1_000][round as usize % 5];
        wanted.extend(append_many(&mut opened.appender, count).iter().map(|a| a.sequence));
        if round % 3 == 0 {
            settle(&opened.log);
        }
        opened.appender.abandon();
    }
    let report = open_read_only(&bench.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert!(!matches!(report.outcome, VerifyOutcome::Damaged(_)), "{report:?}");
}

#[test]
fn a_dropped_appender_leaves_an_unclean_but_complete_log() {
    let bench = Bench::new();
    let mut opened = bench.open();
    append_many(&mut opened.appender, 100);
    drop(opened.appender);
    let opened = bench.open();
    assert_eq!(opened.report.row, 'G');
    assert!(!opened.report.clean);
    assert_eq!(opened.report.from_tail_records, 0);
    assert_eq!(read_back(&opened.log, Limit::Durable).len(), 100);
}

#[test]
fn records_that_only_the_tail_held_are_durable_before_anyone_is_served() {
    let bench = Bench::new();
    let mut opened = bench.open();
    append_many(&mut opened.appender, 50);
    settle(&opened.log);
    let before = bench.snapshot();
    append_many(&mut opened.appender, 400);
    opened.appender.abandon();
    // The disk goes back to where it was: as if the log thread had never come to it.
    bench.restore(&before);
    let opened = bench.open();
    assert_eq!(opened.report.row, 'I');
    assert_eq!(opened.report.from_tail_records, 400);
    assert_eq!(opened.report.lost_from_sequence, None);
    assert_eq!(opened.report.end_address, opened.log.start.0.min(opened.report.end_address));
    assert!(opened.log.durable_sequence() > 451);
    assert_eq!(read_back(&opened.log, Limit::Durable).len(), 450);
}

/// A burst was killed and the log would not open again: TailGap. The flush before had ended with a chunk, the tail had given that chunk's
/// block back and taken it again for a later one, and joining looked for the next record in that block alone, not in the chunk after it.
#[test]
fn the_tail_goes_on_in_the_chunk_after_the_one_it_gave_back() {
    let bench = Bench::new();
    let mut opened = bench.open();
    // Chunk 0 up to a rest that no record fits into.
    let room = MAX_PAYLOAD_BYTES + HEADER_BYTES - (HEADER_BYTES + EPOCH_START_BYTES) - HEADER_BYTES - 40;
    append_payload(&mut opened.appender, Group::Single, &vec![1; room]).unwrap();
    settle(&opened.log);
    let before = bench.snapshot();
    // Chunk 1; then chunk 0 is durable as a whole and its block free. Chunk 2 takes it.
    append_payload(&mut opened.appender, Group::Single, &[2; 60_000]).unwrap();
    settle(&opened.log);
    append_payload(&mut opened.appender, Group::Single, &[3; 60_000]).unwrap();
    let last = opened.log.published_sequence();
    opened.appender.abandon();
    // The disk as the flush before left it.
    bench.restore(&before);
    let mut outside = open_read_only(&bench.dir()).unwrap().with_tail_dir(&bench.config().tail_dir.unwrap());
    let mut seen = 0;
    while let Some(record) = outside.next().unwrap() {
        seen = record.header.sequence;
    }
    assert_eq!(seen, last, "who reads from outside finds it too");
    let opened = bench.open();
    assert_eq!((opened.report.row, opened.report.from_tail_records), ('I', 2), "{:?}", opened.report);
    assert_eq!(opened.report.next_sequence, last + 2);
    opened.appender.close().unwrap();
    let report = open_read_only(&bench.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.outcome, VerifyOutcome::Whole);
}

#[test]
fn an_unfinished_group_vanishes_as_a_whole() {
    for (finished, wanted) in [(false, 20), (true, 23)] {
        for settled in [false, true] {
            let bench = Bench::new();
            let mut opened = bench.open();
            append_many(&mut opened.appender, 20);
            append_one(&mut opened.appender, Group::First);
            append_one(&mut opened.appender, Group::Middle);
            if finished {
                append_one(&mut opened.appender, Group::Last);
            }
            if settled {
                settle(&opened.log);
            }
            opened.appender.abandon();
            let mut opened = bench.open();
            assert_eq!(read_back(&opened.log, Limit::Durable).len(), wanted);
            if !finished {
                assert_eq!(opened.report.row, 'L');
                assert_eq!(opened.report.next_sequence, 23);
            }
            append_many(&mut opened.appender, 20);
            opened.appender.abandon();
            assert_eq!(read_back(&bench.open().log, Limit::Durable).len(), wanted + 20);
        }
    }
}

/// A group so large that parts of it reach the disk before the tail file is lost.
#[test]
fn a_group_cut_across_segments_goes_and_the_log_goes_on() {
    let bench = Bench::new();
    let mut config = bench.config();
    config.tail_blocks = 16;
    let mut opened = open(config.clone()).unwrap();
    append_many(&mut opened.appender, 10);
    let sizes = [50_000usize; 9];
    while !opened.appender.has_room(sizes) {
        std::thread::sleep(Duration::from_millis(1));
    }
    for (i, size) in sizes.into_iter().enumerate() {
        let group = match i {
            0 => Group::First,
            8 => Group::Last,
            _ => Group::Middle,
        };
        append_payload(&mut opened.appender, group, &vec![1; size]).unwrap();
    }
    settle(&opened.log);
    opened.appender.abandon();
    std::fs::remove_file(bench.tail_file().unwrap()).unwrap();
    // Take the last record of the group away, and the slots whose watermark covers it.
    let mut image = open_read_only(&bench.dir()).unwrap();
    let mut last = None;
    while let Some(record) = image.next().unwrap() {
        last = Some(record.header);
    }
    let last = last.unwrap();
    assert_eq!(last.group(), Group::Last);
    let block = last.address - last.address % BLOCK_BYTES as u64;
    let segment = bench.segment(last.address);
    wipe_slots(&segment);
    poke(&segment, stream_offset(block), &vec![0; 60_000]);
    let opened = open(config.clone()).unwrap();
    assert_eq!(opened.report.row, 'M', "{:?}", opened.report);
    assert_eq!(opened.report.lost_from_sequence, Some(12));
    assert_eq!(opened.report.next_sequence, 13);
    assert_eq!(read_back(&opened.log, Limit::Durable).len(), 10);
    opened.appender.abandon();
    let mut opened = open(config.clone()).unwrap();
    assert_eq!(read_back(&opened.log, Limit::Durable).len(), 10);
    append_many(&mut opened.appender, 5_000);
    opened.appender.close().unwrap();
    assert_eq!(read_back(&open(config).unwrap().log, Limit::Durable).len(), 5_010);
}

/// The last three records cut at every length and filled with zeros, ones or noise, the tail file gone.
#[test]
fn a_torn_end_is_cut_at_exactly_the_last_whole_record() {
    let bench = Bench::new();
    let mut opened = bench.open();
    append_many(&mut opened.appender, 150);
    settle(&opened.log);
    append_many(&mut opened.appender, 1);
    assert!(opened.log.wait_durable(opened.log.published_sequence(), LONG).unwrap());
    opened.appender.abandon();
    // Reopened and killed: everything now lies in the stream area, no slot needed.
    drop(bench.open());
    std::fs::remove_file(bench.tail_file().unwrap()).unwrap();
    let whole = bench.snapshot();
    let mut headers = Vec::new();
    let mut image = open_read_only(&bench.dir()).unwrap();
    while let Some(record) = image.next().unwrap() {
        headers.push(record.header);
    }
    // The last record of all is the second epoch start, which lies in a chunk of its own: tear it and the two before.
    let torn = &headers[headers.len() - 3..];
    let segment = bench.segment(0);
    let mut cuts = 0;
    for (i, header) in torn.iter().enumerate() {
        for length in 0..header.length as u64 {
            // Every length for a few fills would take long; each length gets one of them in turn.
            let fill = [0u8, 0xFF, 0x5A][(length % 3) as usize];
            bench.restore(&whole);
            wipe_slots(&segment);
            let from = stream_offset(header.address + length);
            let to = stream_offset(headers.last().unwrap().end_address());
            poke(&segment, from, &vec![fill; (to - from) as usize]);
            let chunk_rest = peek(&segment, from, (to - from) as usize);
            assert!(chunk_rest.iter().all(|b| *b == fill));
            if length % 8 != 0 && length > 16 && header.length as u64 - length > 8 {
                // Opening each takes milliseconds: the walk alone for most, the whole of it for some.
                let report = open_read_only(&bench.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
                assert_eq!(report.last_sequence, header.sequence - 1, "record {i} length {length}");
                assert!(!matches!(report.outcome, VerifyOutcome::Damaged(_)));
                continue;
            }
            // The rest of a lost file must not stay behind as this round's tail.
            let _ = bench.tail_file().map(std::fs::remove_file);
            let opened = bench.open();
            assert_eq!(
                opened.report.next_sequence - 1,
                header.sequence,
                "record {i} length {length} fill {fill:#x}: {:?}",
                opened.report
            );
            assert!(matches!(opened.report.row, 'J' | 'K'), "{:?}", opened.report);
            assert_eq!(opened.report.lost_from_sequence, Some(header.sequence));
            let users = read_back(&opened.log, Limit::Durable);
            assert!(users.iter().all(|s| *s < header.sequence));
            opened.appender.abandon();
            cuts += 1;
        }
    }
    assert!(cuts > 50, "{cuts}");
}

/// A process killed inside recovery: whatever part of the repair reached the disk, the next recovery ends at the same place.
#[test]
fn recovery_killed_after_every_write_recovers_again() {
    let bench = Bench::new();
    // Slow to flush, so that the tail still holds all that the restored disk does not.
    let config = LogConfig { tail_blocks: 16, max_flush_bytes: 1 << 20, max_flush_delay_us: 300_000, ..bench.config() };
    let mut opened = open(config).unwrap();
    append_many(&mut opened.appender, 60);
    settle(&opened.log);
    let before = bench.snapshot();
    append_many(&mut opened.appender, 1_800);
    opened.appender.abandon();
    let tail = std::fs::read(bench.tail_file().unwrap()).unwrap();
    let tail_path = bench.tail_file().unwrap();
    bench.restore(&before);
    let mut completed = false;
    let mut step = 0;
    while !completed {
        bench.restore(&before);
        std::fs::write(&tail_path, &tail).unwrap();
        completed = faults::open_dying_at(&bench.config(), step);
        let opened = bench.open();
        let users = read_back(&opened.log, Limit::Durable);
        assert_eq!(users.len(), 1_860, "died at write {step}: {:?}", opened.report);
        assert_eq!(opened.report.lost_from_sequence, None, "died at write {step}");
        opened.appender.abandon();
        step += 1;
    }
    assert!(step > 5, "only {step} steps");
}
