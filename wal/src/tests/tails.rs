//! The tail file between kill and restart: gone, cut, flipped, swapped. Each ends in its row.

use super::*;
use crate::limits::MIN_TAIL_BLOCKS;
use crate::tail::{DIRECTORY_OFFSET, PUBLISHED_ADDRESS_OFFSET, blocks_offset};

/// 40 durable records on disk, 30 more in the tail alone; then `change` is done to the tail file.
fn after(change: impl FnOnce(&Bench, &Path)) -> (Bench, Result<Opened, OpenError>) {
    let bench = Bench::new();
    let mut opened = bench.open();
    append_many(&mut opened.appender, 40);
    settle(&opened.log);
    let before = bench.snapshot();
    append_many(&mut opened.appender, 30);
    opened.appender.abandon();
    bench.restore(&before);
    change(&bench, &bench.tail_file().unwrap());
    let result = bench.try_open();
    (bench, result)
}

fn first_block_offset() -> u64 {
    blocks_offset(8) as u64
}

#[test]
fn each_fate_of_the_tail_file_has_its_row() {
    type Change = fn(&Bench, &Path);
    let cases: [(&str, Change, char, usize, Option<u64>); 8] = [
        ("left alone", |_, _| (), 'I', 70, None),
        ("deleted", |_, tail| std::fs::remove_file(tail).unwrap(), 'J', 40, Some(42)),
        ("emptied", |_, tail| std::fs::write(tail, b"").unwrap(), 'J', 40, Some(42)),
        (
            "cut short",
            |_, tail| {
                let bytes = std::fs::read(tail).unwrap();
                std::fs::write(tail, &bytes[..bytes.len() - 1]).unwrap();
            },
            'J',
            40,
            Some(42),
        ),
        ("first page flipped", |_, tail| flip(tail, 20, 3), 'J', 40, Some(42)),
        (
            "a published record flipped",
            |_, tail| {
                let image = std::fs::read(tail).unwrap();
                let end = u64::from_le_bytes(image[PUBLISHED_ADDRESS_OFFSET..][..8].try_into().unwrap());
                flip(tail, first_block_offset() + end - 100, 1);
            },
            'N',
            69,
            Some(71),
        ),
        (
            "a record written but not yet published",
            |_, tail| {
                let image = std::fs::read(tail).unwrap();
                let at = PUBLISHED_ADDRESS_OFFSET;
                let end = u64::from_le_bytes(image[at..][..8].try_into().unwrap());
                poke(tail, at as u64, &(end - 8).to_le_bytes());
            },
            'I',
            70,
            None,
        ),
        (
            "an older epoch's file",
            |bench, tail| {
                let old = std::fs::read(tail).unwrap();
                drop(bench.open());
                let mut opened = bench.open();
                append_many(&mut opened.appender, 5);
                settle(&opened.log);
                opened.appender.abandon();
                std::fs::write(tail, old).unwrap();
            },
            'J',
            75,
            Some(79),
        ),
    ];
    for (name, change, row, users, lost) in cases {
        let (_bench, result) = after(change);
        let opened = result.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(opened.report.row, row, "{name}: {:?}", opened.report);
        assert_eq!(read_back(&opened.log, Limit::Durable).len(), users, "{name}");
        assert_eq!(opened.report.lost_from_sequence, lost, "{name}");
    }
}

#[test]
fn a_tail_of_another_log_is_refused_and_nothing_is_touched() {
    let other = Bench::new();
    other.killed_after(10);
    let foreign = std::fs::read(other.tail_file().unwrap()).unwrap();
    let (bench, result) = after(|_, tail| std::fs::write(tail, &foreign).unwrap());
    assert!(matches!(result, Err(OpenError::TailForeign { .. })), "{result:?}");
    assert_eq!(std::fs::read(bench.tail_file().unwrap()).unwrap(), foreign);
}

#[test]
fn a_tail_that_contradicts_the_disk_is_refused() {
    // One bit of a record that both hold.
    let (_bench, result) = after(|_, tail| flip(tail, first_block_offset() + 2_000, 0));
    assert!(matches!(result, Err(OpenError::TailDiffers { address: 0, .. })), "{result:?}");
    // A directory entry that points elsewhere: the block with the next record is gone.
    let (_bench, result) = after(|_, tail| {
        poke(tail, DIRECTORY_OFFSET as u64, &(1u64 << 30).to_le_bytes());
    });
    assert!(matches!(result, Err(OpenError::TailGap { sequence: 42, .. })), "{result:?}");
}

#[test]
fn a_tail_written_before_a_reboot_gives_what_verifies_and_proves_nothing_else() {
    let reboot = |tail: &Path| {
        poke(tail, 32, &[9; 16]);
        let checksum = crc32c::crc32c(&peek(tail, 16, 64));
        poke(tail, 12, &checksum.to_le_bytes());
    };
    let (_bench, result) = after(|_, tail| reboot(tail));
    let opened = result.unwrap();
    assert_eq!(opened.report.row, 'N');
    assert_eq!(opened.report.lost_from_sequence, Some(72));
    assert_eq!(read_back(&opened.log, Limit::Durable).len(), 70);
    let (_bench, result) = after(|_, tail| {
        reboot(tail);
        flip(tail, first_block_offset() + 2_000, 0);
    });
    let opened = result.unwrap();
    assert_eq!(opened.report.row, 'J', "{:?}", opened.report);
    assert_eq!(opened.report.lost_from_sequence, Some(42));
}

/// The very file of an hour ago, same epoch: equal where they overlap, but behind the disk.
#[test]
fn a_copy_of_the_tail_that_is_behind_the_disk_is_no_proof() {
    let bench = Bench::new();
    let mut opened = bench.open();
    append_many(&mut opened.appender, 10);
    settle(&opened.log);
    let tail = bench.tail_file().unwrap();
    let copy = std::fs::read(&tail).unwrap();
    append_many(&mut opened.appender, 10);
    settle(&opened.log);
    opened.appender.abandon();
    std::fs::write(&tail, copy).unwrap();
    let opened = bench.open();
    assert_eq!(opened.report.row, 'J');
    assert_eq!(opened.report.lost_from_sequence, Some(22));
}

#[test]
fn a_loss_found_by_a_recovery_that_died_is_reported_by_the_next() {
    let bench = Bench::new();
    bench.killed_after(10);
    std::fs::remove_file(bench.tail_file().unwrap()).unwrap();
    let before = bench.snapshot();
    let opened = bench.open();
    assert_eq!(opened.report.lost_from_sequence, Some(12));
    opened.appender.abandon();
    // The new tail is in place, but nothing of the new epoch reached the disk.
    bench.restore(&before);
    let opened = bench.open();
    assert_eq!(opened.report.lost_from_sequence, Some(12), "{:?}", opened.report);
}

#[test]
fn a_tail_in_another_directory_is_found() {
    let bench = Bench::new();
    let mut opened = bench.open();
    append_many(&mut opened.appender, 40);
    settle(&opened.log);
    let before = bench.snapshot();
    append_many(&mut opened.appender, 30);
    opened.appender.abandon();
    bench.restore(&before);
    let tail = bench.tail_file().unwrap();
    let beside = bench.dir().join(tail.file_name().unwrap());
    std::fs::rename(&tail, &beside).unwrap();
    let opened = bench.open();
    assert_eq!(opened.report.row, 'I');
    assert!(!beside.exists(), "found first next time, it would be an older epoch's");
    assert!(tail.exists());
}

#[test]
fn a_full_tail_holds_the_writer_back_and_nothing_is_lost() {
    let bench = Bench::new();
    let config = LogConfig { tail_blocks: MIN_TAIL_BLOCKS, max_flush_delay_us: 20_000, ..bench.config() };
    let mut opened = open(config).unwrap();
    let mut refused = 0;
    let mut taken = 0u64;
    let bytes = vec![5u8; 30_000];
    while taken < 100 {
        match append_payload(&mut opened.appender, Group::Single, &bytes) {
            Ok(_) => taken += 1,
            Err(AppendError::TailFull) => {
                refused += 1;
                std::thread::sleep(Duration::from_micros(50));
            }
            Err(e) => panic!("{e}"),
        }
    }
    assert!(refused > 0, "the tail was never full");
    opened.appender.close().unwrap();
    let report = open_read_only(&bench.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!((report.outcome, report.records), (VerifyOutcome::Whole, 102));
}
