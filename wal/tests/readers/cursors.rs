//! Cursors: kept over restarts and torn writes, moved forward only, and refused when the log was cut below them.

use lotbook_wal::{
    Cursor, CursorClass, CursorError, CursorFinding, From, Limit, LogPosition, OpenError, Opened, ReadError,
    SegmentForm, VerifyOutcome, open, open_read_only,
};

use crate::shelf::{Shelf, Writer, all_sealed_are, durable, sealed};
use crate::support::{Place, SEGMENT_BYTES, SLOTS, file_offset, flip, poke, settle, until, unwritten_slot};

fn sequence_of(cursor: &Cursor) -> Option<u64> {
    cursor.position().map(|p| p.sequence)
}

#[test]
fn a_cursor_goes_on_where_it_was_over_restarts_and_forms() {
    let shelf = Shelf::new();
    let mut writer = Writer::default();
    let mut taken = Vec::new();
    for round in 0..5 {
        let mut opened = shelf.open();
        writer.append(&mut opened.appender, 900);
        durable(&opened.log);
        let mut cursor = opened.log.cursor("sink.pg", CursorClass::Required).unwrap();
        assert_eq!(sequence_of(&cursor), taken.last().copied());
        let mut reader = cursor.reader().unwrap();
        while let Some(record) = reader.next(Limit::Durable).unwrap() {
            taken.push(record.header.sequence);
            let header = record.header;
            if header.sequence % 50 == 0 {
                cursor.advance(&header).unwrap();
            }
            if taken.len() == (round + 1) * 850 {
                cursor.advance(&header).unwrap();
                break;
            }
        }
        drop(cursor);
        if round % 2 == 0 { opened.appender.close().unwrap() } else { opened.appender.abandon() }
    }
    assert_eq!(taken, (1..=taken.len() as u64).collect::<Vec<_>>(), "each record once, in order");
}

#[test]
fn the_rules_of_moving_are_kept() {
    let shelf = Shelf::new();
    let mut opened = shelf.open();
    Writer::default().append(&mut opened.appender, 100);
    durable(&opened.log);
    let log = opened.log.clone();
    let mut cursor = log.cursor("a", CursorClass::Rebuildable).unwrap();
    assert!(matches!(log.cursor("a", CursorClass::Required), Err(CursorError::InUse { .. })));
    assert!(matches!(log.cursor("A/b", CursorClass::Required), Err(CursorError::Name { .. })));
    assert_eq!(sequence_of(&cursor), None);
    assert_eq!(cursor.reader().unwrap().sequence(), 1);
    cursor.advance_to(50).unwrap();
    assert_eq!(cursor.reader().unwrap().sequence(), 51);
    assert!(matches!(cursor.advance_to(49), Err(CursorError::Backwards { at: 50, to: 49, .. })));
    let beyond = log.durable_sequence() + 1;
    match cursor.advance_to(beyond) {
        Err(CursorError::NotDurable { sequence, durable, .. }) => assert_eq!((sequence, durable), (beyond, beyond - 1)),
        other => panic!("{other:?}"),
    }
    let mut header = log.reader(From::Sequence(60)).unwrap().next(Limit::Durable).unwrap().unwrap().header;
    header.log_id ^= 1;
    assert!(matches!(cursor.advance(&header), Err(CursorError::NotInLog { .. })));
    assert_eq!(sequence_of(&cursor), Some(50));
    cursor.restart(10).unwrap();
    assert_eq!(sequence_of(&cursor), Some(10));
    cursor.restart(0).unwrap();
    assert_eq!(cursor.reader().unwrap().sequence(), 1);
    cursor.remove().unwrap();
    let anew = log.cursor("a", CursorClass::Required).unwrap();
    assert_eq!(sequence_of(&anew), None);
    let many: Vec<_> = (0..63).map(|i| log.cursor(&format!("c{i}"), CursorClass::Required).unwrap()).collect();
    assert!(matches!(log.cursor("one-more", CursorClass::Required), Err(CursorError::TooMany { .. })));
    drop(many);
}

/// A log of 400 records, killed; a cursor of each kind at its end; then everything from record 300 on is taken away with its witnesses.
fn cut_below(place: &Place, class: CursorClass) -> (LogPosition, LogPosition) {
    let mut opened = place.open();
    let at = Writer::default().append(&mut opened.appender, 400);
    settle(&opened.log);
    let mut cursor = opened.log.cursor("reader", class).unwrap();
    cursor.advance_to(380).unwrap();
    let named = cursor.position().unwrap();
    drop(cursor);
    opened.appender.abandon();
    let cut = at[298];
    let mut log = open_read_only(&place.dir()).unwrap();
    log.seek(From::Sequence(cut.sequence - 1)).unwrap();
    let end = LogPosition::of(&log.next().unwrap().unwrap().header);
    let segment = place.segment(cut.address);
    let length = std::fs::metadata(&segment).unwrap().len();
    poke(&segment, file_offset(cut.address), &vec![0; (length - file_offset(cut.address)) as usize]);
    // Slots and tail would bear witness.
    for (place, at) in SLOTS.into_iter().enumerate() {
        poke(&segment, at, &unwritten_slot(&segment, place));
    }
    place.lose_tail();
    (named, end)
}

#[test]
fn a_log_cut_below_a_cursor_is_refused_with_both_positions() {
    for class in [CursorClass::Required, CursorClass::Rebuildable] {
        let place = Place::in_memory();
        let (named, end) = cut_below(&place, class);
        let before = std::fs::read(place.segment(0)).unwrap();
        let error = place.try_open().map(|_| ()).unwrap_err();
        let OpenError::Cursor(CursorError::NotInLog { name, cursor, log }) = &error else { panic!("{class}: {error}") };
        assert_eq!((name.as_str(), *cursor, *log), ("reader", named, end), "{class}");
        let text = error.to_string();
        assert!(text.contains(&named.to_string()) && text.contains(&end.to_string()), "{class}: {text}");
        assert!(std::fs::read(place.segment(0)).unwrap() == before, "a refusal leaves the files as they were");
        // The audit says the same.
        let report = open_read_only(&place.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
        assert_eq!(report.cursors[0].finding, CursorFinding::NotInLog { log: end });
        assert_eq!(report.cursors[0].position, Some(named));
        // Without the cursor, the log opens: nothing else knew of the rest. That is what cursors are witnesses for.
        std::fs::remove_dir_all(place.dir().join("cursors")).unwrap();
        let opened = place.open();
        // A position that is kept elsewhere is refused at its own door.
        match opened.log.resume("outside", Some(named)) {
            Err(CursorError::NotInLog { cursor, log, .. }) => {
                assert_eq!(cursor, named);
                assert_eq!(log, opened.log.last_durable().unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The log goes on after the cut with other records of the same sequences.
#[test]
fn a_log_that_went_another_way_is_refused_with_both_positions() {
    let place = Place::in_memory();
    let (named, _) = cut_below(&place, CursorClass::Required);
    let cursors = place.dir().join("cursors");
    let aside = place.root().join("aside");
    std::fs::rename(&cursors, &aside).unwrap();
    let mut opened = place.open();
    Writer::default().append(&mut opened.appender, 400);
    settle(&opened.log);
    let mut reader = opened.log.reader(From::Sequence(named.sequence)).unwrap();
    let other = LogPosition::of(&reader.next(Limit::Durable).unwrap().unwrap().header);
    assert_ne!(other, named);
    match opened.log.resume("outside", Some(named)) {
        Err(CursorError::NotInLog { cursor, log, .. }) => assert_eq!((cursor, log), (named, other)),
        found => panic!("{found:?}"),
    }
    opened.appender.abandon();
    std::fs::rename(&aside, &cursors).unwrap();
    // At the cursor's address another record may lie, or the middle of one: what is there is not its record.
    match place.try_open().map(|o| o.log.cursor("reader", CursorClass::Required).unwrap().reader().map(|_| ())) {
        Err(OpenError::Cursor(CursorError::NotInLog { cursor, .. })) => assert_eq!(cursor, named),
        Ok(Err(CursorError::NotInLog { cursor, log, .. })) => assert_eq!((cursor, log), (named, other)),
        found => panic!("{found:?}"),
    }
}

#[test]
fn a_cursor_of_another_log_is_refused() {
    let (place, other) = (Place::in_memory(), Place::in_memory());
    let make = |place: &Place| -> Opened {
        let mut opened = place.open();
        Writer::default().append(&mut opened.appender, 50);
        settle(&opened.log);
        opened.log.cursor("reader", CursorClass::Required).unwrap().advance_to(20).unwrap();
        opened
    };
    let theirs = make(&other);
    make(&place).appender.close().unwrap();
    let file = |place: &Place| place.dir().join("cursors/reader.cursor");
    std::fs::copy(file(&other), file(&place)).unwrap();
    match place.try_open().map(|_| ()) {
        Err(OpenError::Cursor(CursorError::NotInLog { cursor, log, .. })) => {
            assert_eq!(cursor.log_id, theirs.log.log_id());
            assert_ne!(log.log_id, cursor.log_id);
        }
        other => panic!("{other:?}"),
    }
}

/// What it needs is not known, so it holds everything; its owner is told; the log opens and says so.
#[test]
fn a_damaged_cursor_holds_everything_until_it_is_removed() {
    let shelf = Shelf::new();
    let mut opened = shelf.open();
    let mut writer = Writer::default();
    writer.fill(&mut opened, 2);
    opened.log.cursor("gone", CursorClass::Rebuildable).unwrap().advance_to(1_000).unwrap();
    opened.appender.close().unwrap();
    let path = shelf.place.dir().join("cursors/gone.cursor");
    flip(&path, 100, 1);
    flip(&path, 4_096 + 100, 1);
    let mut opened = open(shelf.short()).unwrap();
    assert!(opened.report.notes.iter().any(|n| n.contains("cursor gone is damaged")), "{:?}", opened.report.notes);
    assert!(matches!(opened.log.cursor("gone", CursorClass::Rebuildable), Err(CursorError::Damaged { .. })));
    writer.fill(&mut opened, 2);
    all_sealed_are(&opened.log, SegmentForm::Packed);
    let report = opened.log.retention();
    assert!(report.cursors[0].damaged && report.dropped == 0);
    assert!(report.segments.iter().all(|s| s.held_by == ["gone"]));
    let audit = open_read_only(&shelf.place.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!((audit.outcome, audit.cursors[0].finding), (VerifyOutcome::Whole, CursorFinding::Damaged));
    opened.appender.close().unwrap();
    std::fs::remove_file(&path).unwrap();
    let opened = open(shelf.short()).unwrap();
    all_sealed_are(&opened.log, SegmentForm::Shipped);
}

/// One slot is lost: the position before it counts, and the owner takes a few records twice.
#[test]
fn one_damaged_slot_costs_one_step() {
    let place = Place::in_memory();
    let mut opened = place.open();
    Writer::default().append(&mut opened.appender, 100);
    settle(&opened.log);
    let mut cursor = opened.log.cursor("a", CursorClass::Required).unwrap();
    // The file begins with generation 1 in its first slot: these are 2, 3 and 4.
    for sequence in [10, 20, 30] {
        cursor.advance_to(sequence).unwrap();
    }
    drop(cursor);
    opened.appender.close().unwrap();
    let path = place.dir().join("cursors/a.cursor");
    for (slot, left) in [(0, 30), (1, 20)] {
        flip(&path, slot * 4_096 + 30, 2);
        let opened = place.open();
        assert_eq!(sequence_of(&opened.log.cursor("a", CursorClass::Required).unwrap()), Some(left));
        opened.appender.close().unwrap();
        flip(&path, slot * 4_096 + 30, 2);
    }
}

/// The owner of a rebuildable cursor hears of its release wherever it asks, also after a restart, and begins anew.
#[test]
fn a_released_cursor_is_told_and_begins_anew() {
    let shelf = Shelf::new();
    let mut opened = shelf.open();
    let mut writer = Writer::default();
    writer.fill(&mut opened, 3);
    let mut slow = opened.log.cursor("redis", CursorClass::Rebuildable).unwrap();
    slow.advance_to(10).unwrap();
    drop(slow);
    opened.appender.close().unwrap();
    let mut opened = open(shelf.short()).unwrap();
    let mut slow = opened.log.cursor("redis", CursorClass::Rebuildable).unwrap();
    writer.fill(&mut opened, 1);
    all_sealed_are(&opened.log, SegmentForm::Shipped);
    assert!(slow.is_released());
    let header = opened.log.reader(From::Sequence(11)).unwrap().next(Limit::Durable).unwrap().unwrap().header;
    for result in [slow.reader().map(|_| ()), slow.advance(&header), slow.advance_to(10)] {
        match result {
            Err(CursorError::Released { name, cursor }) => assert_eq!((name.as_str(), cursor.sequence), ("redis", 10)),
            other => panic!("{other:?}"),
        }
    }
    drop(slow);
    opened.appender.close().unwrap();
    let opened = shelf.open();
    let mut slow = opened.log.cursor("redis", CursorClass::Rebuildable).unwrap();
    assert!(slow.is_released(), "over a restart");
    slow.restart(opened.log.durable_sequence()).unwrap();
    assert!(!slow.is_released());
    assert!(slow.reader().unwrap().next(Limit::Durable).unwrap().is_none());
}

/// Released and dropped without an archive within reach: the positions say what is gone.
#[test]
fn a_cursor_behind_the_beginning_is_told_what_is_gone() {
    let place = Place::in_memory();
    let mut opened = place.open();
    Writer::default().fill(&mut opened, 4);
    let log = opened.log.clone();
    let position = |sequence| {
        let mut reader = log.reader(From::Sequence(sequence)).unwrap();
        LogPosition::of(&reader.next(Limit::Durable).unwrap().unwrap().header)
    };
    let all: Vec<LogPosition> = (1..=log.durable_sequence()).map(position).collect();
    let held = log.cursor("holds", CursorClass::Required).unwrap();
    assert_eq!(log.retain_from(u64::MAX).unwrap(), 0, "a cursor that has taken nothing holds everything");
    held.remove().unwrap();
    assert!(log.retain_from(2 * SEGMENT_BYTES).unwrap() == 2);
    let first = log.reader(From::Start).unwrap().sequence();
    let adjacent = all[first as usize - 2];
    assert_eq!(log.resume("x", Some(adjacent)).unwrap().sequence(), first);
    let forged = LogPosition { checksum: adjacent.checksum ^ 1, ..adjacent };
    assert!(matches!(log.resume("x", Some(forged)), Err(CursorError::NotInLog { .. })));
    for gone in [Some(all[first as usize - 3]), None] {
        match log.resume("x", gone) {
            Err(CursorError::Gone { first: at, .. }) => assert_eq!(at, first),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(log.reader(From::Sequence(first - 1)), Err(ReadError::Gone { .. })));
    assert_eq!(sealed(&log).first(), Some(&(2 * SEGMENT_BYTES)));
    until("closed", || true);
}
