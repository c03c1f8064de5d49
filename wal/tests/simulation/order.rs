//! What is written where, in which order: each block of the stream once and whole, the slots in turn, blocks of the tail given back when
//! they are durable, segments dropped from the front.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use lotbook_wal::sim::{Prepared, SimDisk, SteppedLog, Stop, interleave, open_stepped};
use lotbook_wal::{HEAD_BYTES, LogConfig, RecordMeta};

fn config() -> LogConfig {
    LogConfig { segment_bytes: 128 << 10, tail_blocks: 4, max_flush_bytes: 64 << 10, ..LogConfig::new("/data/log") }
}

fn open(disk: &SimDisk) -> Result<SteppedLog, String> {
    open_stepped(config(), Arc::new(disk.clone())).map_err(|e| e.to_string())
}

/// Runs a log and reads the calls it made.
pub(crate) fn blocks_once_and_slots_in_turn() -> Result<(), String> {
    let disk = SimDisk::new(3);
    let mut opened = open(&disk)?;
    disk.keep_trace();
    for round in 0..300u64 {
        let length = [10, 700, 33, 20_000, 5_000][round as usize % 5];
        let _ = opened.appender.append(&RecordMeta::single(1), length, |out| out.fill(7));
        opened.preparer.step();
        opened.flusher.step(round * 20_000_000).map_err(|e| e.to_string())?;
    }
    let mut blocks = BTreeMap::new();
    let mut slots: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in disk.take_trace() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[1] != "pwrite" || words[2].ends_with(".new") {
            continue;
        }
        let (offset, length) = words[3].split_once('+').ok_or("a trace of another form")?;
        let (offset, length): (u64, u64) = (offset.parse().unwrap(), length.parse().unwrap());
        if offset < HEAD_BYTES as u64 {
            slots.entry(words[2].to_owned()).or_default().push(offset);
            continue;
        }
        if !offset.is_multiple_of(4_096) || !length.is_multiple_of(4_096) {
            return Err(format!("a part of a block: {line}"));
        }
        for block in (offset..offset + length).step_by(4_096) {
            if let Some(before) = blocks.insert((words[2].to_owned(), block), line.clone()) {
                return Err(format!("written twice: {before}; {line}"));
            }
        }
    }
    for (file, slots) in &slots {
        if let Some(twice) = slots.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("{file}: the slot at {} twice running", twice[0]));
        }
    }
    if blocks.len() < 100 || slots.len() < 3 {
        return Err(format!("only {} blocks in {} segments", blocks.len(), slots.len()));
    }
    Ok(())
}

#[test]
fn every_block_is_written_once_and_the_slots_in_turn() {
    blocks_once_and_slots_in_turn().unwrap();
}

/// A full tail, a flush under way, more appends meanwhile, and a kill: everything applied is in the tail or on the disk.
pub(crate) fn killed_in_a_flush_of_a_full_tail() -> Result<(), String> {
    for call in 0..4 {
        let disk = SimDisk::new(call);
        let opened = open(&disk)?;
        while opened.preparer.step() == Prepared::One {}
        let SteppedLog { log, appender, flusher, .. } = opened;
        let appender = Rc::new(RefCell::new(appender));
        let append = {
            let appender = Rc::clone(&appender);
            move || appender.borrow_mut().append(&RecordMeta::single(1), 10_000, |out| out.fill(7)).is_ok()
        };
        while append() {}
        disk.stop_after(call);
        let meanwhile = disk.clone();
        let step = || flusher.step(0).is_ok();
        interleave(move |_| while !meanwhile.stopped() && append() {}, step);
        let applied = log.published_sequence();
        disk.restart(Stop::Kill);
        drop(appender);
        let report = open(&disk)?.report;
        if report.next_sequence <= applied || report.lost_from_sequence.is_some() {
            return Err(format!("killed at call {call}: {applied} were applied, and {report:?}"));
        }
    }
    Ok(())
}

#[test]
fn a_block_of_the_tail_is_kept_until_it_is_durable() {
    killed_in_a_flush_of_a_full_tail().unwrap();
}

/// Drops all segments that may go, killed at each call in turn: what is left is a log.
pub(crate) fn retention_killed_at_any_call() -> Result<(), String> {
    for call in 0.. {
        let disk = SimDisk::new(call);
        let mut opened = open(&disk)?;
        for round in 0..60u64 {
            opened.preparer.step();
            let _ = opened.appender.append(&RecordMeta::single(1), 20_000, |out| out.fill(7));
            opened.flusher.step(round * 20_000_000).map_err(|e| e.to_string())?;
        }
        let durable = opened.log.durable_sequence();
        disk.stop_after(call);
        let dropped = opened.log.retain_from(opened.log.durable_address());
        let died = disk.stopped();
        disk.restart(Stop::Kill);
        drop(opened);
        let report = open(&disk).map_err(|what| format!("killed at call {call}: {what}"))?.report;
        if report.next_sequence <= durable {
            return Err(format!("killed at call {call}: {durable} was durable, and {report:?}"));
        }
        if !died {
            return if dropped.as_ref().is_ok_and(|n| *n > 3) { Ok(()) } else { Err(format!("{dropped:?}")) };
        }
    }
    Ok(())
}

#[test]
fn retention_killed_anywhere_leaves_a_log() {
    retention_killed_at_any_call().unwrap();
}
