//! A cursor against real logs: it goes on where it was, and nowhere else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lotbook_archiver::cursor::{register, resume};
use lotbook_archiver::{CursorClass, CursorError, LogPosition};
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
                Err(lotbook_wal::AppendError::TailFull) => lotbook_wal::nap(),
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
    let mut taken = Vec::new();
    for _ in 0..3 {
        let mut opened = opened(&dir.path().join("log"));
        let last = append(&mut opened, 40);
        let mut cursor = register(&opened.log, "redis", CursorClass::Rebuildable).expect("whole");
        assert_eq!(cursor.name(), "sink.redis");
        let mut reader = cursor.reader().expect("in the log");
        loop {
            let header = reader.next(Limit::Durable).expect("readable").expect("durable").header;
            taken.push(header.sequence);
            if header.sequence == last {
                cursor.advance(&header).expect("forward");
                break;
            }
        }
        opened.appender.close().expect("closed");
    }
    let wanted: Vec<u64> = (1..=taken.len() as u64).collect();
    assert_eq!(taken, wanted, "each record once, in order, over three lives of the log");
}

/// What was committed with the rows decides, whether the cursor is behind it (killed between the two) or before it (rows restored from
/// a copy); the cursor then holds what the sink has not taken.
#[test]
fn a_cursor_follows_what_the_sink_committed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut opened = opened(dir.path());
    append(&mut opened, 1_000);
    let mut cursor = register(&opened.log, "pg", CursorClass::Required).expect("new");
    for sequence in [700, 400, 900] {
        let committed = position_at(&opened.log, sequence);
        let reader = resume(&opened.log, &mut cursor, Some(committed)).expect("in the log");
        assert_eq!((reader.sequence(), cursor.position()), (sequence + 1, Some(committed)));
        let held = opened.log.retention().cursors.remove(0);
        assert_eq!((held.name.as_str(), held.position), ("sink.pg", Some(committed)));
    }
    assert_eq!(resume(&opened.log, &mut cursor, None).expect("all").sequence(), 1);
    assert_eq!(cursor.position(), None);
    assert_eq!(opened.log.retain_from(u64::MAX).expect("nothing to do"), 0, "it holds everything");
    opened.appender.close().expect("closed");
}

#[test]
fn a_place_that_the_log_does_not_hold_is_refused_with_both_positions() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut opened = opened(dir.path());
    let last = append(&mut opened, 20);
    let good = position_at(&opened.log, 10);
    let mut cursor = register(&opened.log, "pg", CursorClass::Required).expect("new");
    assert_eq!(resume(&opened.log, &mut cursor, Some(good)).expect("in the log").sequence(), 11);
    let end = position_at(&opened.log, last);
    for (case, named, names) in [
        ("another log", LogPosition { log_id: good.log_id ^ 1, ..good }, end),
        ("another record", LogPosition { checksum: good.checksum ^ 1, ..good }, good),
        ("another epoch", LogPosition { epoch: good.epoch + 1, ..good }, good),
        ("beyond the end", LogPosition { sequence: last + 5, ..good }, end),
        ("before the first", LogPosition { sequence: 0, ..good }, end),
    ] {
        let error = resume(&opened.log, &mut cursor, Some(named)).expect_err(case);
        assert_eq!(cursor.position(), Some(good), "{case}: it stays");
        let CursorError::NotInLog { cursor: ours, log, .. } = &error else { panic!("{case}: {error}") };
        assert_eq!((*ours, *log), (named, names), "{case}");
        let text = error.to_string();
        assert!(text.contains(&named.to_string()) && text.contains(&names.to_string()), "{case}: {text}");
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
    let resume = |position| opened.log.resume("sink.pg", position);
    assert_eq!(resume(Some(adjacent)).expect("vouched for").sequence(), first);
    let forged = LogPosition { checksum: adjacent.checksum ^ 1, ..adjacent };
    assert!(matches!(resume(Some(forged)), Err(CursorError::NotInLog { .. })));
    let older = before[first as usize - 3];
    assert!(matches!(resume(Some(older)), Err(CursorError::Gone { first: at, .. }) if at == first));
    assert!(matches!(resume(None), Err(CursorError::Gone { first: at, .. }) if at == first));
    opened.appender.close().expect("closed");
}
