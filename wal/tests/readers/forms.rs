//! One interface for every form: live tail, segment being written, segment files, mappings, archives here and elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};

use lotbook_wal::{From, Limit, NO_ADDRESS, ReadError, RecordBuffer, SegmentForm, open, open_read_only};

use crate::shelf::{CHAINS, Shelf, Writer, all_sealed_are, check, durable, read_from, sealed};
use crate::support::{Random, count, until};

/// A log in all its forms at once: shipped only, archive here, segment file, and a tail that the disk does not have.
fn all_forms(shelf: &Shelf) -> (lotbook_wal::Opened, Writer) {
    let mut writer = Writer::default();
    let mut opened = open(shelf.short()).unwrap();
    writer.fill(&mut opened, 3);
    all_sealed_are(&opened.log, SegmentForm::Shipped);
    opened.appender.close().unwrap();
    let mut opened = shelf.open();
    writer.fill(&mut opened, 3);
    until("archives here", || forms(&opened.log, SegmentForm::Packed) >= 3);
    opened.appender.close().unwrap();
    let mut config = shelf.config();
    config.retention.plain_segments = 100;
    let mut opened = open(config).unwrap();
    writer.fill(&mut opened, 3);
    until("both forms", || forms(&opened.log, SegmentForm::Both) >= 3);
    (opened, writer)
}

fn forms(log: &std::sync::Arc<lotbook_wal::Log>, form: SegmentForm) -> usize {
    log.retention().segments.iter().filter(|s| s.form == form).count()
}

#[test]
fn every_form_is_read_by_the_same_reader_from_anywhere() {
    let shelf = Shelf::new();
    let (mut opened, mut writer) = all_forms(&shelf);
    let log = opened.log.clone();
    writer.append(&mut opened.appender, 50);
    for form in [SegmentForm::Shipped, SegmentForm::Packed, SegmentForm::Both, SegmentForm::Plain] {
        assert!(forms(&log, form) > 0, "{form:?}: {:?}", log.retention().segments);
    }
    let last = log.published_sequence();
    assert_eq!(read_from(&log, From::Start, Limit::Applied), (1, last));
    // From every edge of a segment, and from anywhere.
    let mut random = Random::seeded("every_form", 3);
    let mut starts: Vec<u64> = (0..count(60, 2_000)).map(|_| 1 + random.below(last)).collect();
    for segment in log.retention().segments.iter().filter(|s| s.first_address < log.published_address()) {
        let first = log.reader(From::Address(segment.first_address)).unwrap().sequence();
        starts.extend([first.saturating_sub(1).max(1), first, first + 1]);
    }
    for start in &starts {
        let mut reader = log.reader(From::Sequence(*start)).unwrap();
        let record = reader.next(Limit::Applied).unwrap().unwrap();
        assert_eq!(record.header.sequence, *start);
        check(&record);
        let address = record.header.address;
        let mut buffer = RecordBuffer::new();
        log.read_at(address, Limit::Applied, &mut buffer).unwrap();
        assert_eq!(buffer.header().sequence, *start);
        check(&buffer.record());
    }
    // What comes next, and what is beyond.
    assert!(log.reader(From::Sequence(last + 1)).unwrap().next(Limit::Applied).unwrap().is_none());
    assert!(matches!(log.reader(From::Sequence(last + 2)), Err(ReadError::Beyond { .. })));
    println!("read from {} places of {} segments, {last} records", starts.len(), log.retention().segments.len());
}

#[test]
fn a_chain_is_walked_back_through_every_form() {
    let shelf = Shelf::new();
    let (mut opened, mut writer) = all_forms(&shelf);
    writer.append(&mut opened.appender, 50);
    let log = opened.log.clone();
    let last = log.published_sequence();
    let mut walked = 0;
    for (chain, head) in writer.heads.iter().enumerate() {
        let mut back = log.backwards(head.unwrap_or(NO_ADDRESS), Limit::Applied);
        let mut expected = (1..=last).rev().filter(|s| s % CHAINS == chain as u64);
        while let Some(record) = back.next().unwrap() {
            let sequence = record.header.sequence;
            // The log's own records are of no chain.
            let mut wanted = expected.next().unwrap();
            while wanted != sequence {
                let own = log.reader(From::Sequence(wanted)).unwrap().next(Limit::Applied).unwrap().unwrap().header;
                assert!(own.is_internal(), "sequence {wanted} was passed over");
                wanted = expected.next().unwrap();
            }
            check(&record);
            walked += 1;
        }
        assert_eq!(back.address(), NO_ADDRESS);
    }
    let users = (1..=last).filter(|s| {
        let mut reader = log.reader(From::Sequence(*s)).unwrap();
        !reader.next(Limit::Applied).unwrap().unwrap().header.is_internal()
    });
    // Counted the slow way on a part of it.
    assert!(walked as usize >= users.take(100).count());
    assert_eq!(walked, last - internal_records(&log));
}

fn internal_records(log: &std::sync::Arc<lotbook_wal::Log>) -> u64 {
    let mut reader = log.reader(From::Start).unwrap();
    let mut internal = 0;
    while let Some(record) = reader.next(Limit::Applied).unwrap() {
        internal += u64::from(record.header.is_internal());
    }
    internal
}

#[test]
fn a_mapped_reader_gives_the_same_records_and_copies_none_of_a_segment_file() {
    let shelf = Shelf::new();
    let (opened, _writer) = all_forms(&shelf);
    let log = opened.log.clone();
    let mut copying = log.reader(From::Start).unwrap();
    let mut mapped = log.reader(From::Start).unwrap().mapped();
    let mut in_place = 0;
    loop {
        let Some(theirs) = mapped.next(Limit::Durable).unwrap() else {
            assert!(copying.next(Limit::Durable).unwrap().is_none());
            break;
        };
        let ours = copying.next(Limit::Durable).unwrap().unwrap();
        assert_eq!(ours.header, theirs.header);
        assert_eq!(ours.payload, theirs.payload);
        assert_eq!(ours.payload.as_ptr() as usize % 16, 0);
        assert_eq!(theirs.payload.as_ptr() as usize % 8, 0);
    }
    for first in sealed(&log) {
        let Some(segment) = log.map_sealed(first).unwrap() else { continue };
        in_place += 1;
        let mut next = None;
        for record in segment.records() {
            let record = record.unwrap();
            check(&record);
            assert!(next.is_none_or(|n| n == record.header.sequence));
            next = Some(record.header.sequence + 1);
            // From the middle on, too.
            if record.header.sequence.is_multiple_of(97) {
                let again = segment.records_from(record.header.address).next().unwrap().unwrap();
                assert_eq!(again.header, record.header);
            }
        }
        let after = log.reader(From::Address(segment.end_address())).unwrap().sequence();
        assert_eq!(next, Some(after));
    }
    assert!(in_place >= 3, "{in_place}");
}

#[test]
fn a_mapped_segment_and_a_reader_inside_it_outlive_its_file() {
    let shelf = Shelf::new();
    let mut writer = Writer::default();
    let mut opened = open(shelf.alone()).unwrap();
    writer.fill(&mut opened, 4);
    let log = opened.log.clone();
    let segment = log.map_sealed(0).unwrap().expect("sealed and plain");
    let mut inside = log.reader(From::Start).unwrap().mapped();
    inside.next(Limit::Durable).unwrap().unwrap();
    let mut copying = log.reader(From::Start).unwrap();
    copying.next(Limit::Durable).unwrap().unwrap();
    let mut records = segment.records();
    let first = records.next().unwrap().unwrap();
    let (kept, kept_sequence) = (first.payload, first.header.sequence);
    assert!(log.retain_from(log.durable_address()).unwrap() >= 3);
    assert!(!shelf.place.segment(0).exists());
    assert_eq!(kept_sequence, 1);
    assert!(!kept.is_empty());
    let mut last = kept_sequence;
    for record in records {
        let record = record.unwrap();
        check(&record);
        assert_eq!(record.header.sequence, last + 1);
        last = record.header.sequence;
    }
    // The readers go on to the end of what they have open, and then say what is gone.
    for reader in [&mut inside, &mut copying] {
        let mut seen = 1;
        while let Ok(Some(record)) = reader.next(Limit::Durable) {
            seen += 1;
            assert_eq!(record.header.sequence, seen);
            check(&record);
        }
        assert!(seen >= last.min(1_000), "{seen} of {last}");
    }
    assert!(matches!(log.reader(From::Sequence(1)), Err(ReadError::Gone { wanted: 1, .. })));
    assert!(matches!(log.map_sealed(0), Err(ReadError::NoRecord { .. })));
}

/// Says that it is over when it goes.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Readers of all kinds beside a writer and a keeper that changes the forms under them.
#[test]
fn many_readers_see_every_record_once_while_forms_change_under_them() {
    let shelf = Shelf::new();
    let mut opened = open(shelf.short()).unwrap();
    let log = opened.log.clone();
    let done = AtomicBool::new(false);
    let records = count(12_000, 300_000) as u64;
    let seen = std::thread::scope(|scope| {
        let follow = |limit: Limit, mapped: bool| {
            let (log, done) = (log.clone(), &done);
            scope.spawn(move || {
                let mut reader = log.reader(From::Start).unwrap();
                if mapped {
                    reader = reader.mapped();
                }
                let mut next = 1;
                loop {
                    let ended = done.load(Ordering::Acquire);
                    while let Some(record) = reader.next(limit).unwrap() {
                        assert_eq!(record.header.sequence, next);
                        check(&record);
                        if limit == Limit::Durable {
                            assert!(record.header.sequence <= log.durable_sequence());
                        }
                        next += 1;
                    }
                    if ended {
                        return next - 1;
                    }
                    lotbook_wal::nap();
                }
            })
        };
        let jumper = {
            let (log, done) = (log.clone(), &done);
            scope.spawn(move || {
                let mut random = Random::seeded("jumper", 5);
                let mut jumps = 0;
                while !done.load(Ordering::Acquire) || jumps < 20 {
                    let target = 1 + random.below(log.durable_sequence());
                    let mut reader = log.reader(From::Sequence(target)).unwrap();
                    for sequence in target..target + 30 {
                        let Some(record) = reader.next(Limit::Durable).unwrap() else { break };
                        assert_eq!(record.header.sequence, sequence);
                        check(&record);
                    }
                    jumps += 1;
                }
                jumps
            })
        };
        let followers = [
            follow(Limit::Applied, false),
            follow(Limit::Applied, true),
            follow(Limit::Durable, false),
            follow(Limit::Durable, true),
        ];
        // Also when something here fails: the others would follow for ever.
        let ended = Ended(&done);
        let mut writer = Writer::default();
        writer.append(&mut opened.appender, records);
        durable(&log);
        all_sealed_are(&log, SegmentForm::Shipped);
        drop(ended);
        let seen: Vec<u64> = followers.into_iter().map(|f| f.join().unwrap()).collect();
        println!("{} records by {} followers, {} jumps", seen[0], seen.len(), jumper.join().unwrap());
        seen
    });
    assert!(seen.iter().all(|s| *s == log.published_sequence()), "{seen:?}");
    opened.appender.close().unwrap();
}

/// From outside, without the lock, the same records.
#[test]
fn a_log_read_from_outside_shows_every_form_too() {
    let shelf = Shelf::new();
    let (mut opened, mut writer) = all_forms(&shelf);
    writer.append(&mut opened.appender, 50);
    let last = opened.log.published_sequence();
    let outside = || open_read_only(&shelf.place.dir()).unwrap().with_tail_dir(&shelf.place.root().join("tail"));
    let mut log = outside().with_archive(&shelf.archive_dir());
    let mut next = 1;
    let mut places = Vec::new();
    while let Some(record) = log.next().unwrap() {
        assert_eq!(record.header.sequence, next);
        check(&record);
        places.push(record.header.address);
        next += 1;
    }
    assert_eq!(next - 1, last);
    let mut random = Random::seeded("outside", 7);
    let mut buffer = RecordBuffer::new();
    for _ in 0..count(50, 2_000) {
        let sequence = 1 + random.below(last);
        log.read_at(places[sequence as usize - 1], &mut buffer).unwrap();
        assert_eq!(buffer.header().sequence, sequence);
        log.seek(From::Sequence(sequence)).unwrap();
        let record = log.next().unwrap().unwrap();
        assert_eq!(record.header.sequence, sequence);
        check(&record);
    }
    assert!(matches!(log.seek(From::Sequence(last + 100)), Err(ReadError::Beyond { .. })));
    // Without the archive it begins where the files here do.
    let mut here = outside();
    let first = here.next().unwrap().unwrap().header.sequence;
    assert!(first > 1);
    assert!(matches!(here.seek(From::Sequence(first - 1)), Err(ReadError::Gone { .. })));
}
