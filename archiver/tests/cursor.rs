//! A cursor against real logs: it goes on where it was, and nowhere else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lotbook_archiver::cursor::resume;
use lotbook_archiver::{CursorError, CursorFile, LogPosition};
use lotbook_wal::{From, Limit, Log, LogConfig, Opened, RecordMeta, open};

const PATIENCE: Duration = Duration::from_secs(30);

fn opened(dir: &Path) -> Opened {
    let mut config = LogConfig::new(dir);
    config.segment_bytes = 128 << 10;
    config.tail_blocks = 8;
    open(config).expect("a log")
}

/// Appends records of one kilobyte and waits until they are durable; the last sequence.
fn append(opened: &mut Opened, count: u64) -> u64 {
    let mut last = 0;
    for _ in 0..count {
        loop {
            match opened.appender.append(&RecordMeta::single(1), 1024, |bytes| bytes.fill(7)) {
                Ok(appended) => break last = appended.sequence,
                Err(lotbook_wal::AppendError::TailFull) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(opened.log.wait_durable(last, PATIENCE).expect("no latch"));
    last
}

fn position_at(log: &Arc<Log>, sequence: u64) -> LogPosition {
    let mut reader = log.reader(From::Sequence(sequence)).expect("in the log");
    LogPosition::of(&reader.next(Limit::Durable).expect("readable").expect("durable").header)
}

#[test]
fn a_sink_goes_on_after_its_last_record_through_restarts() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = CursorFile::new(dir.path().join("redis.cursor"));
    assert_eq!(file.load().expect("no file is no error"), None);
    let mut taken = Vec::new();
    for _ in 0..3 {
        let mut opened = opened(&dir.path().join("log"));
        let last = append(&mut opened, 40);
        let mut reader = resume(&opened.log, file.load().expect("whole")).expect("in the log");
        let mut at = None;
        while let Some(record) = reader.next(Limit::Durable).expect("readable") {
            taken.push(record.header.sequence);
            at = Some(LogPosition::of(&record.header));
            if record.header.sequence == last {
                break;
            }
        }
        file.store(&at.expect("something was new")).expect("stored");
        assert_eq!(file.load().expect("whole"), at);
        opened.appender.close().expect("closed");
    }
    let wanted: Vec<u64> = (1..=taken.len() as u64).collect();
    assert_eq!(taken, wanted, "each record once, in order, over three lives of the log");
}

#[test]
fn a_place_that_the_log_does_not_hold_is_refused_with_both_positions() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut opened = opened(dir.path());
    let last = append(&mut opened, 20);
    let good = position_at(&opened.log, 10);
    assert_eq!(resume(&opened.log, Some(good)).expect("in the log").sequence(), 11);
    let end = position_at(&opened.log, last);
    for (case, cursor, names) in [
        ("another log", LogPosition { log_id: good.log_id ^ 1, ..good }, end),
        ("another record", LogPosition { checksum: good.checksum ^ 1, ..good }, good),
        ("another epoch", LogPosition { epoch: good.epoch + 1, ..good }, good),
        ("beyond the end", LogPosition { sequence: last + 5, ..good }, end),
        ("before the first", LogPosition { sequence: 0, ..good }, end),
    ] {
        let error = resume(&opened.log, Some(cursor)).expect_err(case);
        let CursorError::NotInLog { cursor: ours, log } = &error else { panic!("{case}: {error}") };
        assert_eq!((*ours, *log), (cursor, names), "{case}");
        let text = error.to_string();
        assert!(text.contains(&cursor.to_string()) && text.contains(&names.to_string()), "{case}: {text}");
    }
    opened.appender.close().expect("closed");
}

#[test]
fn removed_records_are_named_and_the_record_right_after_them_is_enough() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut opened = opened(dir.path());
    append(&mut opened, 1_000);
    let kept_from = {
        let middle = position_at(&opened.log, 600);
        let mut reader = opened.log.reader(From::Sequence(middle.sequence)).expect("there");
        reader.next(Limit::Durable).expect("readable").expect("there").header.address
    };
    let before: Vec<LogPosition> = (1..=600).map(|sequence| position_at(&opened.log, sequence)).collect();
    assert!(opened.log.retain_from(kept_from).expect("removed") > 0);
    let first = opened.log.reader(From::Start).expect("the rest").sequence();
    assert!(first > 2);
    let adjacent = before[first as usize - 2];
    assert_eq!(adjacent.sequence + 1, first);
    assert_eq!(resume(&opened.log, Some(adjacent)).expect("vouched for").sequence(), first);
    let forged = LogPosition { checksum: adjacent.checksum ^ 1, ..adjacent };
    assert!(matches!(resume(&opened.log, Some(forged)), Err(CursorError::NotInLog { .. })));
    let older = before[first as usize - 3];
    assert!(matches!(resume(&opened.log, Some(older)), Err(CursorError::Gone { first: at, .. }) if at == first));
    assert!(matches!(resume(&opened.log, None), Err(CursorError::Gone { first: at, .. }) if at == first));
    opened.appender.close().expect("closed");
}

#[test]
fn every_bit_of_the_file_is_guarded() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = CursorFile::new(dir.path().join("cursor"));
    let position = LogPosition { log_id: 1, epoch: 2, sequence: 3, checksum: 4 };
    file.store(&position).expect("stored");
    let whole = std::fs::read(file.path()).expect("readable");
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(file.path(), bytes).expect("writable");
        assert!(matches!(file.load(), Err(CursorError::Damaged { .. })), "bit {bit}");
    }
    std::fs::write(file.path(), &whole[..20]).expect("writable");
    assert!(matches!(file.load(), Err(CursorError::Damaged { .. })));
    file.store(&position).expect("a damaged one is replaced");
    assert_eq!(file.load().expect("whole"), Some(position));
    let nowhere = CursorFile::new(dir.path().join("missing/cursor"));
    assert!(matches!(nowhere.store(&position), Err(CursorError::Io { .. })));
}
