//! Nothing goes wrong.

use super::*;

#[test]
fn what_was_appended_is_read_after_reopening() {
    let bench = Bench::new();
    let mut wanted = Vec::new();
    for round in 0..3 {
        let mut opened = bench.open();
        assert_eq!(opened.report.created, round == 0);
        assert!(opened.report.clean, "{:?}", opened.report);
        assert_eq!(opened.report.row, if round == 0 { 'E' } else { 'F' });
        assert_eq!(opened.report.cut_bytes, 0);
        assert_eq!(read_back(&opened.log, Limit::Durable), wanted);
        wanted.extend(append_many(&mut opened.appender, 500).iter().map(|a| a.sequence));
        assert_eq!(read_back(&opened.log, Limit::Applied), wanted);
        opened.appender.close().unwrap();
        assert_eq!(bench.tail_file(), None);
    }
    let report = open_read_only(&bench.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.outcome, VerifyOutcome::Whole);
    assert!(report.closed);
    assert_eq!(report.records, 1_500 + 6);
}

#[test]
fn addresses_and_sequences_are_foretold() {
    let bench = Bench::new();
    let mut opened = bench.open();
    for _ in 0..2_000 {
        let sequence = opened.appender.next_sequence();
        let length = payload(sequence).len();
        let address = opened.appender.next_address_for(length);
        assert_eq!(append_one(&mut opened.appender, Group::Single), Appended { sequence, address });
    }
    assert_eq!(opened.log.published_sequence() + 1, opened.appender.next_sequence());
}

#[test]
fn segments_roll_and_random_access_finds_every_record() {
    let bench = Bench::new();
    let mut opened = bench.open();
    let places = append_many(&mut opened.appender, 8_000);
    assert!(opened.log.stats().rolls >= 3, "{:?}", opened.log.stats());
    let mut buffer = RecordBuffer::new();
    for place in places.iter().rev().step_by(7) {
        opened.log.read_at(place.address, Limit::Applied, &mut buffer).unwrap();
        let record = buffer.record();
        assert_eq!(record.header.sequence, place.sequence);
        assert_eq!(record.payload, payload(place.sequence));
        assert_eq!(record.payload.as_ptr() as usize % 16, 0);
    }
    for address in [places[5].address + 8, places[5].address + 1, u64::MAX, 1 << 40] {
        assert!(matches!(opened.log.read_at(address, Limit::Applied, &mut buffer), Err(ReadError::NoRecord { .. })));
    }
    opened.appender.close().unwrap();
}

#[test]
fn a_reader_begins_at_any_sequence_and_goes_on_as_the_log_grows() {
    let bench = Bench::new();
    let mut opened = bench.open();
    append_many(&mut opened.appender, 5_000);
    for from in [1, 2, 3, 777, 2_500, 4_999, 5_000, 5_001, 5_002] {
        let mut reader = opened.log.reader(From::Sequence(from)).unwrap();
        assert_eq!(reader.sequence(), from);
        match reader.next(Limit::Applied).unwrap() {
            Some(record) => assert_eq!(record.header.sequence, from),
            None => assert_eq!(from, 5_002),
        }
    }
    assert!(matches!(opened.log.reader(From::Sequence(5_003)), Err(ReadError::Beyond { wanted: 5_003, last: 5_001 })));
    let mut reader = opened.log.reader(From::Sequence(5_002)).unwrap();
    for _ in 0..3_000 {
        assert!(reader.next(Limit::Applied).unwrap().is_none());
        let place = append_one(&mut opened.appender, Group::Single);
        let record = reader.next(Limit::Applied).unwrap().expect("just published");
        assert_eq!(record.header.sequence, place.sequence);
        assert_eq!(record.header.address, place.address);
    }
}

#[test]
fn readers_beside_the_writer_see_every_record_once_and_durable_ones_only_when_durable() {
    let bench = Bench::new();
    let mut opened = bench.open();
    const COUNT: u64 = 20_000;
    std::thread::scope(|scope| {
        for limit in [Limit::Durable, Limit::Applied, Limit::Durable] {
            let log = Arc::clone(&opened.log);
            scope.spawn(move || {
                let mut reader = log.reader(From::Start).unwrap();
                let mut next = 1;
                while next <= COUNT {
                    let Some(record) = reader.next(limit).unwrap() else {
                        std::thread::sleep(Duration::from_micros(100));
                        continue;
                    };
                    assert_eq!(record.header.sequence, next);
                    if !record.header.is_internal() {
                        assert_eq!(record.payload, payload(next));
                    }
                    if limit == Limit::Durable {
                        assert!(log.durable_sequence() >= next);
                    }
                    next += 1;
                }
            });
        }
        append_many(&mut opened.appender, COUNT);
    });
    opened.appender.close().unwrap();
}

#[test]
fn back_links_lead_through_tail_and_segments() {
    let bench = Bench::new();
    let mut opened = bench.open();
    let mut previous = NO_ADDRESS;
    let mut chain = Vec::new();
    for i in 0..6_000u64 {
        if i % 50 == 0 {
            let meta = RecordMeta { previous, partition: 3, ..RecordMeta::single(9) };
            let bytes = payload(opened.appender.next_sequence());
            let place = loop {
                let fill = |out: &mut [u8]| out.copy_from_slice(&bytes);
                match opened.appender.append(&meta, bytes.len(), fill) {
                    Ok(place) => break place,
                    Err(AppendError::TailFull) => crate::nap(),
                    Err(e) => panic!("{e}"),
                }
            };
            previous = place.address;
            chain.push(place.address);
        } else {
            append_one(&mut opened.appender, Group::Single);
        }
    }
    let mut buffer = RecordBuffer::new();
    let mut at = previous;
    while at != NO_ADDRESS {
        assert_eq!(chain.pop(), Some(at));
        opened.log.read_at(at, Limit::Applied, &mut buffer).unwrap();
        assert_eq!(buffer.header().partition, 3);
        at = buffer.header().previous;
    }
    assert!(chain.is_empty());
}

#[test]
fn records_of_every_size_fit_and_larger_ones_are_refused() {
    let bench = Bench::new();
    let mut opened = bench.open();
    let sizes = [0, 1, 7, 8, 9, 4_096, 32_768, MAX_PAYLOAD_BYTES - 1, MAX_PAYLOAD_BYTES];
    let mut places = Vec::new();
    for size in sizes {
        let bytes = vec![size as u8 | 1; size];
        let place = loop {
            match append_payload(&mut opened.appender, Group::Single, &bytes) {
                Err(AppendError::TailFull) => crate::nap(),
                other => break other.unwrap(),
            }
        };
        places.push((place, bytes));
    }
    assert_eq!(
        append_payload(&mut opened.appender, Group::Single, &vec![0; MAX_PAYLOAD_BYTES + 1]),
        Err(AppendError::TooLarge)
    );
    settle(&opened.log);
    let mut buffer = RecordBuffer::new();
    for (place, bytes) in &places {
        opened.log.read_at(place.address, Limit::Applied, &mut buffer).unwrap();
        assert_eq!(buffer.record().payload, bytes);
    }
    opened.appender.close().unwrap();
    let opened = bench.open();
    for (place, bytes) in &places {
        opened.log.read_at(place.address, Limit::Applied, &mut buffer).unwrap();
        assert_eq!(buffer.record().payload, bytes);
    }
}

#[test]
fn groups_are_published_whole() {
    let bench = Bench::new();
    let mut opened = bench.open();
    let before = opened.log.published_sequence();
    append_one(&mut opened.appender, Group::First);
    append_one(&mut opened.appender, Group::Middle);
    assert_eq!(opened.log.published_sequence(), before);
    for wrong in [Group::First, Group::Single] {
        let refused = append_payload(&mut opened.appender, wrong, b"x");
        assert_eq!(refused, Err(AppendError::GroupOrder));
    }
    append_one(&mut opened.appender, Group::Last);
    assert_eq!(opened.log.published_sequence(), before + 3);
    for wrong in [Group::Middle, Group::Last] {
        let refused = append_payload(&mut opened.appender, wrong, b"x");
        assert_eq!(refused, Err(AppendError::GroupOrder));
    }
    let meta = RecordMeta::single(KIND_CLOSE);
    assert_eq!(opened.appender.append(&meta, 0, |_| ()), Err(AppendError::ReservedKind));
}

#[test]
fn a_second_writer_is_refused_by_name_and_readers_are_not() {
    let bench = Bench::new();
    let mut opened = bench.open();
    append_many(&mut opened.appender, 100);
    match bench.try_open() {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    let tail_dir = bench.config().tail_dir.unwrap();
    let mut outside = open_read_only(&bench.dir()).unwrap().with_tail_dir(&tail_dir);
    let mut count = 0;
    while let Some(record) = outside.next().unwrap() {
        count += 1;
        assert_eq!(record.header.sequence, count);
    }
    assert_eq!(count, 101);
    drop(opened);
    assert!(bench.try_open().is_ok());
}

#[test]
fn retention_drops_sealed_segments_and_readers_are_told() {
    let bench = Bench::new();
    let mut opened = bench.open();
    let places = append_many(&mut opened.appender, 8_000);
    settle(&opened.log);
    let keep = places[5_000].address;
    let mut inside = opened.log.reader(From::Start).unwrap();
    inside.next(Limit::Durable).unwrap().unwrap();
    let dropped = opened.log.retain_from(keep).unwrap();
    assert_eq!(dropped as u64, keep / (256 << 10));
    assert!(matches!(opened.log.reader(From::Sequence(10)), Err(ReadError::Gone { wanted: 10, .. })));
    let first = opened.log.reader(From::Start).unwrap().sequence();
    assert!(first > 10 && first <= places[5_000].sequence);
    opened.appender.close().unwrap();
    let opened = bench.open();
    assert_eq!(opened.log.reader(From::Start).unwrap().sequence(), first);
    let mut reader = opened.log.reader(From::Sequence(places[7_999].sequence)).unwrap();
    assert_eq!(reader.next(Limit::Durable).unwrap().unwrap().payload, payload(places[7_999].sequence));
}

#[test]
fn every_fallback_works_and_is_reported() {
    type Change = fn(&mut LogConfig);
    let cases: [(&str, Change, &[&str]); 4] = [
        ("as the machine allows", |_| (), &[]),
        ("plain calls", |c| c.io = IoMode::Plain, &["io_uring is off"]),
        ("page cache", |c| c.direct = DirectMode::Never, &["O_DIRECT is off"]),
        (
            "nothing at all",
            |c| {
                c.io = IoMode::Plain;
                c.direct = DirectMode::Never;
                c.tail_dir = Some(c.dir.parent().unwrap().join("tail"));
                c.wait = WaitStrategy::Spin;
                c.max_flush_delay_us = 500;
            },
            &["io_uring is off", "O_DIRECT is off", "not tmpfs"],
        ),
    ];
    for (name, change, notes) in cases {
        let bench = Bench::new();
        let mut config = bench.config();
        change(&mut config);
        for round in 0..2u64 {
            let mut opened = open(config.clone()).unwrap();
            for note in notes {
                let said = opened.report.notes.iter().any(|n| n.contains(note));
                assert!(said, "{name}: {:?}", opened.report.notes);
            }
            assert_eq!(read_back(&opened.log, Limit::Durable).len() as u64, round * 3_000);
            append_many(&mut opened.appender, 3_000);
            settle(&opened.log);
            opened.appender.abandon();
        }
    }
}

#[test]
fn the_log_on_tmpfs_works_as_well() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let config = LogConfig {
        tail_dir: Some(root.path().to_path_buf()),
        segment_bytes: 256 << 10,
        tail_blocks: 8,
        ..LogConfig::new(root.path().join("log"))
    };
    let mut opened = open(config.clone()).unwrap();
    append_many(&mut opened.appender, 3_000);
    opened.appender.abandon();
    let opened = open(config).unwrap();
    assert_eq!(read_back(&opened.log, Limit::Durable).len(), 3_000);
}

#[test]
fn has_room_never_promises_too_much() {
    let bench = Bench::new();
    let mut opened = bench.open();
    let sizes = vec![20_000usize; 30];
    assert!(!opened.appender.has_room(sizes.iter().copied()), "eight blocks do not hold 600 KB");
    let sizes = &sizes[..9];
    for _ in 0..20 {
        while !opened.appender.has_room(sizes.iter().copied()) {
            std::thread::sleep(Duration::from_micros(100));
        }
        for (i, size) in sizes.iter().enumerate() {
            let group = match i {
                0 => Group::First,
                8 => Group::Last,
                _ => Group::Middle,
            };
            append_payload(&mut opened.appender, group, &vec![1; *size]).unwrap();
        }
    }
}

/// Flushes are cut at chunk boundaries, groups lie across them: what is called durable must still end with a group.
#[test]
fn what_is_durable_always_ends_with_a_whole_group() {
    let bench = Bench::new();
    let config = LogConfig { max_flush_bytes: 64 << 10, tail_blocks: 16, ..bench.config() };
    let mut opened = open(config).unwrap();
    let log = Arc::clone(&opened.log);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = log.reader(From::Start).unwrap();
            let mut inside = false;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                while let Some(record) = reader.next(Limit::Durable).unwrap() {
                    inside = record.header.group().continues();
                }
                assert!(!inside, "a reader of durable records stands inside a group");
                crate::nap();
            }
        });
        for _ in 0..60 {
            let sizes = [30_000usize, 100, 45_000, 64, 20_000, 60_000, 9];
            while !opened.appender.has_room(sizes) {
                std::thread::sleep(Duration::from_micros(200));
            }
            for (i, size) in sizes.into_iter().enumerate() {
                let group = match i {
                    0 => Group::First,
                    6 => Group::Last,
                    _ => Group::Middle,
                };
                append_payload(&mut opened.appender, group, &vec![1; size]).unwrap();
            }
        }
        settle(&log);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// Everything dropped that can be: the log still knows its sequence.
#[test]
fn retention_never_takes_the_last_durable_record() {
    let bench = Bench::new();
    let mut opened = bench.open();
    // Chunks filled to the last byte, so that segments end exactly where records do.
    for _ in 0..3 {
        for i in 0..4 {
            let full = if i == 3 { MAX_PAYLOAD_BYTES } else { 65_000 };
            while append_payload(&mut opened.appender, Group::Single, &vec![1; full]).is_err() {
                crate::nap();
            }
        }
        settle(&opened.log);
        opened.log.retain_from(u64::MAX).unwrap();
        let next = opened.appender.next_sequence();
        opened.appender.abandon();
        opened = bench.open();
        assert_eq!(opened.report.next_sequence, next + 1, "{:?}", opened.report);
    }
}
