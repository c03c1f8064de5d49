//! A flush cut short: the last three records end at every byte length, followed by zeros, ones or stale bytes of an older segment.
//! Recovery ends at exactly the last whole record.

use lotbook_wal::{CHUNK_BYTES, Group, HEAD_BYTES, HEADER_BYTES, Limit, RecordHeader, VerifyOutcome, open_read_only};

use crate::support::{
    Files, Place, SEGMENT_BYTES, append_bytes, append_many, file_offset, headers, long, payload, settle,
};

/// What lies where the flush never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fill {
    Zeros,
    Ones,
    Stale,
}

/// The files of a log whose last flush wrote three records and filled a chunk; its slots are from before that flush, so nothing but the
/// records themselves witnesses them.
struct Torn {
    place: Place,
    files: Files,
    /// The last three.
    last: Vec<RecordHeader>,
}

fn torn() -> Torn {
    let place = Place::in_memory();
    let mut opened = place.open();
    // Into the third segment, so that there are stale bytes to be found; then up to where three records fill the chunk.
    let target = 2 * SEGMENT_BYTES + 2 * CHUNK_BYTES as u64;
    let lengths = [100usize, 333, 77];
    let room = lengths.iter().map(|l| (HEADER_BYTES + l).next_multiple_of(8) as u64).sum::<u64>();
    while opened.appender.next_address_for(0) < target - room - 500 {
        append_many(&mut opened.appender, 1);
    }
    let left = target - room - opened.appender.next_address_for(0);
    append_named(&mut opened.appender, left as usize - HEADER_BYTES);
    settle(&opened.log);
    let before = place.files();
    for length in lengths {
        append_named(&mut opened.appender, length);
    }
    let last = opened.log.published_sequence();
    assert_eq!(opened.log.published_address(), target, "the chunk is full, so all of it lies in the stream area");
    assert!(opened.log.wait_durable(last, crate::support::PATIENCE).unwrap());
    opened.appender.abandon();
    let all = headers(&place.dir());
    // The stream areas as the last flush left them, the head areas as they were before it.
    let mut files = place.files();
    for (path, bytes) in &mut files {
        if let Some((_, old)) = before.iter().find(|(p, _)| p == path)
            && path.extension().is_some_and(|x| x == "lotlog")
        {
            bytes[..HEAD_BYTES].copy_from_slice(&old[..HEAD_BYTES]);
        }
    }
    place.lose_tail();
    Torn { last: all[all.len() - 3..].to_vec(), place, files }
}

fn append_named(appender: &mut lotbook_wal::Appender, length: usize) {
    let mut bytes = vec![0xA5; length];
    bytes[..8].copy_from_slice(&appender.next_sequence().to_le_bytes());
    append_bytes(appender, Group::Single, &bytes).unwrap();
}

#[test]
fn recovery_ends_at_exactly_the_last_whole_record() {
    let Torn { place, files, last } = torn();
    let end = last[2].end_address();
    let path = place.segment(last[0].address);
    let index = files.iter().position(|(p, _)| *p == path).unwrap();
    let whole = files[index].1.clone();
    let stale = std::fs::read(place.segment(last[0].address - SEGMENT_BYTES)).unwrap();
    let (mut looked, mut opened_times) = (0, 0);
    let mut rows = std::collections::BTreeMap::new();
    for cut in last[0].address..=end {
        for fill in [Fill::Zeros, Fill::Ones, Fill::Stale] {
            let mut bytes = whole.clone();
            let (from, to) = (file_offset(cut) as usize, file_offset(end - 1) as usize + 1);
            match fill {
                Fill::Zeros => bytes[from..to].fill(0),
                Fill::Ones => bytes[from..to].fill(0xFF),
                Fill::Stale => bytes[from..to].copy_from_slice(&stale[from..to]),
            }
            // A record is whole when its bytes are, the padding included: zeros may stand where zeros were.
            let stands = |h: &RecordHeader| {
                let range = file_offset(h.address) as usize..file_offset(h.address) as usize + h.padded_bytes();
                bytes[range.clone()] == whole[range]
            };
            let kept = last.iter().take_while(|h| stands(h)).count();
            let wanted = last[0].sequence - 1 + kept as u64;
            std::fs::write(&path, &bytes).unwrap();
            let name = format!("cut at {cut:#x} then {fill:?}");
            let report = open_read_only(&place.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
            assert_eq!(report.last_sequence, wanted, "{name}");
            let kept_until = file_offset(last[0].address) + kept_bytes(&last, kept);
            let torn = bytes[kept_until as usize..to].iter().any(|b| *b != 0);
            match report.outcome {
                VerifyOutcome::Whole => assert!(!torn, "{name}"),
                VerifyOutcome::TornTail { address, .. } => {
                    assert!(torn, "{name}");
                    assert_eq!(address, last[0].address + kept_bytes(&last, kept), "{name}");
                }
                VerifyOutcome::Damaged(corrupt) => panic!("{name}: {corrupt}"),
            }
            looked += 1;
            // Opening writes: every one in the long form, else a few of each kind.
            let edge = last.iter().any(|h| cut.abs_diff(h.address) <= 1) || cut.abs_diff(end) <= 1;
            if long() || edge || cut % 61 == fill as u64 {
                let opened = place.open();
                let report = &opened.report;
                assert_eq!(report.next_sequence, wanted + 2, "{name}: {report:?}");
                assert!(matches!(report.row, 'J' | 'K'), "{name}: {report:?}");
                assert_eq!(report.lost_from_sequence, Some(wanted + 1), "{name}");
                assert_eq!(report.cut_bytes > 0, torn, "{name}: {report:?}");
                *rows.entry((fill, report.row)).or_insert(0) += 1;
                opened.appender.abandon();
                opened_times += 1;
                place.lose_tail();
                place.restore(&files);
            }
        }
    }
    println!("{looked} torn ends, each ended at its last whole record; {opened_times} opened: {rows:?}");
}

fn kept_bytes(last: &[RecordHeader], kept: usize) -> u64 {
    last[..kept].iter().map(|h| h.padded_bytes() as u64).sum()
}

/// After the cut the log goes on: what is written over the torn end is what is read.
#[test]
fn a_log_goes_on_over_its_torn_end() {
    let Torn { place, files, last } = torn();
    place.restore(&files);
    let path = place.segment(last[1].address);
    let (from, to) = (file_offset(last[1].address + 9), file_offset(last[2].end_address() - 1) + 1);
    crate::support::poke(&path, from, &vec![0xFF; (to - from) as usize]);
    let mut opened = place.open();
    assert_eq!(opened.report.row, 'K');
    let places = append_many(&mut opened.appender, 500);
    opened.appender.abandon();
    let opened = place.open();
    let mut reader = opened.log.reader(lotbook_wal::From::Sequence(places[0].sequence)).unwrap();
    for appended in &places {
        let record = reader.next(Limit::Durable).unwrap().unwrap();
        assert_eq!((record.header.sequence, record.payload), (appended.sequence, &payload(appended.sequence)[..]));
    }
    opened.appender.close().unwrap();
    let report = open_read_only(&place.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.outcome, VerifyOutcome::Whole);
}
