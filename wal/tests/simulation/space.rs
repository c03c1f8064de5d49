//! The disk is full: admission closes while there is still room for everything that was taken in, senders are told, nothing latches, and it
//! resumes by itself.

use std::sync::Arc;

use lotbook_wal::sim::{Prepared, Random, SimDisk, SteppedLog, Stop, open_stepped};
use lotbook_wal::{AppendError, LogConfig, OpenError, RecordMeta};

const SEGMENT: u64 = 128 << 10;

fn config() -> LogConfig {
    LogConfig { segment_bytes: SEGMENT, tail_blocks: 6, max_flush_bytes: 64 << 10, ..LogConfig::new("/data/log") }
}

/// Appends until it is refused for space; how many were taken in.
fn fill(opened: &mut SteppedLog, random: &mut Random) -> Result<u64, String> {
    let mut taken = 0;
    for _ in 0..2_000 {
        let length = random.below(6_000) as usize;
        match opened.appender.append(&RecordMeta::single(1), length, |out| out.fill(1)) {
            Ok(_) => taken += 1,
            Err(AppendError::OutOfSpace) => {
                return if opened.log.out_of_space() {
                    Ok(taken)
                } else {
                    Err("refused for space that there is".into())
                };
            }
            Err(AppendError::TailFull) => {}
            Err(error) => return Err(format!("{error:?}")),
        }
        if random.percent(30) {
            let _ = opened.preparer.step();
            opened.flusher.step(0).map_err(|e| e.to_string())?;
        }
    }
    Err("it never fills up".into())
}

/// Fills a disk, makes room, and again.
pub(crate) fn full_and_room_again(seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let disk = SimDisk::new(seed);
    let mut opened = open_stepped(config(), Arc::new(disk.clone())).map_err(|e| e.to_string())?;
    for _ in 0..3 {
        disk.set_capacity(disk.used_bytes() + random.below(4 * SEGMENT));
        let taken = fill(&mut opened, &mut random)?;
        if opened.log.latched().is_some() {
            return Err("a full disk is not a failed one".into());
        }
        if taken == 0 {
            return Err("nothing was taken in".into());
        }
        // What was taken in has its place.
        for _ in 0..100 {
            opened.flusher.step(0).map_err(|e| e.to_string())?;
        }
        if opened.log.durable_sequence() != opened.log.published_sequence() {
            return Err(format!(
                "{} was taken in, {} has become durable",
                opened.log.published_sequence(),
                opened.log.durable_sequence()
            ));
        }
        if opened.preparer.step() != Prepared::NoSpace {
            return Err("the preparer finds room".into());
        }
        // Nobody tells the log; the preparer looks again.
        disk.set_capacity(u64::MAX);
        if opened.preparer.step() != Prepared::One || opened.log.out_of_space() {
            return Err("there is room again, and nobody notices".into());
        }
        opened
            .appender
            .append(&RecordMeta::single(1), 5_000, |out| out.fill(2))
            .map_err(|e| format!("resumed: {e}"))?;
    }
    // Full to the last, and killed: everything is there.
    disk.set_capacity(disk.used_bytes());
    fill(&mut opened, &mut random)?;
    let published = opened.log.published_sequence();
    disk.restart(Stop::Kill);
    drop(opened);
    match open_stepped(config(), Arc::new(disk.clone())) {
        Ok(opened) if opened.report.next_sequence <= published => return Err(format!("{:?}", opened.report)),
        // There may be no segment left for the new epoch: said so, and nothing lost.
        Ok(_) | Err(OpenError::OutOfSpace { .. }) => {}
        Err(error) => return Err(error.to_string()),
    }
    disk.restart(Stop::Kill);
    disk.set_capacity(u64::MAX);
    let opened = open_stepped(config(), Arc::new(disk.clone())).map_err(|e| e.to_string())?;
    if opened.report.next_sequence <= published || opened.report.lost_from_sequence.is_some() {
        return Err(format!("{published} were applied, and {:?}", opened.report));
    }
    Ok(())
}

/// Many fillings.
pub(crate) fn full_disks() -> Result<(), String> {
    (0..60).try_for_each(|seed| full_and_room_again(seed).map_err(|what| format!("seed {seed}: {what}")))
}

#[test]
fn a_full_disk_closes_admission_in_time_and_opens_it_by_itself() {
    full_disks().unwrap();
}

/// Where there is no room for a log's first segment, opening says so, and leaves nothing in the way.
#[test]
fn a_log_that_finds_no_room_at_its_first_start_says_so() {
    for room in [0, 1_000, SEGMENT] {
        let disk = SimDisk::new(room);
        disk.set_capacity(room);
        match open_stepped(config(), Arc::new(disk.clone())) {
            Err(OpenError::OutOfSpace { needed_bytes, .. }) => assert_eq!(needed_bytes, SEGMENT),
            other => panic!("{:?}", other.map(|opened| opened.report)),
        }
        disk.restart(Stop::Kill);
        assert_eq!(disk.used_bytes(), 0);
        disk.set_capacity(u64::MAX);
        assert!(open_stepped(config(), Arc::new(disk)).unwrap().report.created);
    }
}
