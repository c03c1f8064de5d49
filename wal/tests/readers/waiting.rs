//! Readers that wait: woken when there is something, patient when there is not, and never past what is durable.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use lotbook_wal::sim::{SimDisk, Step, open_stepped};
use lotbook_wal::{From, Limit, LogConfig, ReadError, RecordBuffer, RecordMeta};

use crate::shelf::{Shelf, Writer, check};
use crate::support::PATIENCE;

#[test]
fn a_waiting_reader_is_given_each_record_and_is_told_of_the_end() {
    for limit in [Limit::Applied, Limit::Durable] {
        let shelf = Shelf::new();
        let mut opened = shelf.open();
        let log = opened.log.clone();
        let (told, taken) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut reader = log.reader(From::Start).unwrap();
                loop {
                    match reader.next_within(limit, PATIENCE).unwrap() {
                        Some(record) => {
                            check(&record);
                            told.send(Some(record.header.sequence)).unwrap();
                        }
                        None => {
                            assert!(log.has_ended(), "it gave up on a living log");
                            told.send(None).unwrap();
                            return;
                        }
                    }
                }
            });
            let mut writer = Writer::default();
            assert_eq!(taken.recv_timeout(PATIENCE).unwrap(), Some(1));
            for _ in 0..20 {
                let at = writer.append(&mut opened.appender, 1)[0].sequence;
                // One at a time: each is waited for anew.
                assert_eq!(taken.recv_timeout(PATIENCE).unwrap(), Some(at));
            }
            let last = opened.appender.next_sequence();
            opened.appender.close().unwrap();
            assert_eq!(taken.recv_timeout(PATIENCE).unwrap(), Some(last), "the close record");
            assert_eq!(taken.recv_timeout(PATIENCE).unwrap(), None);
        });
    }
}

#[test]
fn a_wait_ends_with_its_time() {
    let shelf = Shelf::new();
    let opened = shelf.open();
    for limit in [Limit::Applied, Limit::Durable] {
        let mut reader = opened.log.reader(From::Sequence(2)).unwrap();
        assert!(!reader.wait(limit, Duration::from_millis(5)).unwrap());
        assert!(reader.next_within(limit, Duration::ZERO).unwrap().is_none());
    }
    opened.appender.close().unwrap();
}

/// No thread runs here: what is durable moves when the test says so.
#[test]
fn a_durable_reader_never_passes_the_durable_sequence() {
    let disk = Arc::new(SimDisk::new(11));
    let mut config = LogConfig::new("/data/log");
    config.segment_bytes = 128 << 10;
    config.tail_blocks = 8;
    config.max_flush_bytes = 64 << 10;
    let mut log = open_stepped(config, disk).unwrap();
    let mut durable = log.log.reader(From::Start).unwrap();
    let mut applied = log.log.reader(From::Start).unwrap();
    let (mut seen, mut ahead, mut now_ns) = (0, 0, 0);
    let mut head = None;
    let (mut buffer, mut refused) = (RecordBuffer::new(), 0);
    for round in 0..300u64 {
        for _ in 0..round % 5 {
            let previous = head.unwrap_or(lotbook_wal::NO_ADDRESS);
            let meta = RecordMeta { previous, ..RecordMeta::single(1) };
            let Ok(at) = log.appender.append(&meta, 700, |b| b.fill(7)) else { break };
            head = Some(at.address);
        }
        while let Some(record) = durable.next(Limit::Durable).unwrap() {
            seen = record.header.sequence;
            assert!(seen <= log.log.durable_sequence());
        }
        assert_eq!(seen, log.log.durable_sequence());
        while applied.next(Limit::Applied).unwrap().is_some() {}
        ahead += u64::from(applied.sequence() - 1 > seen);
        // The newest records of a chain are passed over while they are only applied.
        if let Some(head) = head {
            let mut back = log.log.backwards(head, Limit::Durable);
            let newest = back.next().unwrap().map_or(0, |record| record.header.sequence);
            assert!(newest <= log.log.durable_sequence());
            match log.log.read_at(head, Limit::Durable, &mut buffer) {
                Ok(()) => assert!(buffer.header().sequence <= log.log.durable_sequence()),
                Err(ReadError::Beyond { wanted, last }) => {
                    refused += 1;
                    assert_eq!((last, buffer.header().sequence), (log.log.durable_sequence(), 0));
                    assert!(wanted > last);
                }
                Err(other) => panic!("{other}"),
            }
            log.log.read_at(head, Limit::Applied, &mut buffer).unwrap();
        }
        assert!(!durable.wait(Limit::Durable, Duration::ZERO).unwrap());
        if round % 3 == 0 {
            now_ns += 1_000_000_000;
            while log.flusher.step(now_ns).unwrap() == Step::Flushed {}
            log.preparer.step();
        }
    }
    assert!(ahead > 100, "the applied reader was ahead {ahead} times");
    assert!(refused > 100, "a single record was refused {refused} times");
}
