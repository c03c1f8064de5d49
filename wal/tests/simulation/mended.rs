//! A repair that is killed, or loses power, in any of its calls: run again it ends where it would have ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lotbook_wal::sim::{Cut, Prepared, SimDisk, SteppedKeeper, Stop, open_stepped};
use lotbook_wal::{
    LogConfig, RecordMeta, RepairPlaces, RepairPlan, Repairer, Retention, VerifyOutcome, open_for_repair_on,
};

const SEGMENT: u64 = 128 << 10;
const DIR: &str = "/data/log";
const ARCHIVE: &str = "/data/archive";

fn config() -> LogConfig {
    let retention =
        Retention { archive_dir: Some(ARCHIVE.into()), plain_segments: 1_000, low_segments: 2, ..Retention::default() };
    LogConfig { segment_bytes: SEGMENT, tail_blocks: 8, max_flush_bytes: 64 << 10, retention, ..LogConfig::new(DIR) }
}

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("seg-{:016x}.lotlog", number * SEGMENT))
}

/// A closed log of four segments, archived twice; the last sequence.
fn archived(disk: &SimDisk) -> u64 {
    let mut opened = open_stepped(config(), Arc::new(disk.clone())).unwrap();
    let mut keeper = SteppedKeeper::of(&opened.log);
    for _ in 0..12 {
        while opened.preparer.step() == Prepared::One {}
        opened.appender.append(&RecordMeta::single(1), 40_000, |out| out.fill(3)).unwrap();
        while opened.log.durable_sequence() < opened.log.published_sequence() {
            opened.flusher.step(0).unwrap();
        }
    }
    while let Some(done) = keeper.step(0) {
        done.unwrap();
    }
    let last = opened.log.published_sequence() + 1;
    opened.close(0).unwrap();
    disk.restart(Stop::PowerCut(Cut::Everything));
    last
}

/// A segment, an archive beside another one, and bytes behind the end.
fn harm(disk: &SimDisk) {
    let hand = disk.hand();
    hand.poke(&segment(0), 70_000, &[9; 300]);
    hand.poke(&segment(1).with_extension("lotlog.zst"), 500, &[9; 30]);
    let last = (0..).take_while(|number| hand.read(&segment(*number)).is_some());
    let begun = last.filter(|number| hand.read(&segment(*number)).unwrap()[65_536..].iter().any(|b| *b != 0)).last();
    let path = segment(begun.unwrap());
    let used = hand.read(&path).unwrap().iter().rposition(|b| *b != 0).unwrap() as u64;
    hand.poke(&path, used.next_multiple_of(4_096) + 5_000, &[7; 900]);
}

fn repairer(disk: &SimDisk) -> Option<Repairer> {
    let places = RepairPlaces { archive_dir: Some(ARCHIVE.into()), ..RepairPlaces::default() };
    open_for_repair_on(Path::new(DIR), places, Arc::new(disk.clone())).ok()
}

fn plan(disk: &SimDisk) -> Option<(Repairer, RepairPlan)> {
    let repairer = repairer(disk)?;
    let plan = repairer.plan(&mut |_, _| {}).ok()?;
    Some((repairer, plan))
}

#[test]
fn a_repair_that_dies_anywhere_is_repeated() {
    for stop in [Stop::Kill, Stop::PowerCut(Cut::Torn), Stop::PowerCut(Cut::Nothing)] {
        for call in 0.. {
            let disk = SimDisk::new(11);
            let last = archived(&disk);
            harm(&disk);
            let (repairer, first) = plan(&disk).unwrap();
            assert_eq!(first.steps.len(), 3, "{first:?}");
            assert!(first.makes_whole());
            disk.stop_after(call);
            let done = repairer.run(&first, &mut |_, _| {});
            let died = disk.stopped();
            drop(repairer);
            disk.restart(stop);
            if !died {
                assert_eq!(done.unwrap().outcome, VerifyOutcome::Whole);
                assert!(call > 30, "{call} calls");
                println!("{stop:?}: killed in each of {call} calls");
                break;
            }
            let (repairer, again) = plan(&disk).unwrap();
            assert!(again.makes_whole(), "{stop:?} in call {call}: {again:?}");
            let report = repairer.run(&again, &mut |_, _| {}).unwrap();
            assert_eq!(report.outcome, VerifyOutcome::Whole, "{stop:?} in call {call}");
            assert_eq!(report.last_sequence, last, "{stop:?} in call {call}");
            drop(repairer);
            let opened = open_stepped(config(), Arc::new(disk.clone())).unwrap();
            assert_eq!((opened.report.next_sequence, opened.report.lost_from_sequence), (last + 2, None));
        }
    }
}
