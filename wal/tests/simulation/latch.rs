//! A write or a sync that fails: it latches, is never tried again, nothing more is acknowledged, and the error names what failed and what
//! was durable.
//!
//! Every call that a small workload makes is failed in turn, by several reasons. Running out of space is another matter: `space.rs`.

use std::sync::Arc;
use std::time::Duration;

use lotbook_wal::sim::{Call, Failure, SimDisk, SteppedLog, Stop, open_stepped};
use lotbook_wal::{AppendError, Group, LogConfig, RecordMeta};

const CHANGES: [Call; 9] = [
    Call::Create,
    Call::Map,
    Call::Allocate,
    Call::Write,
    Call::Sync,
    Call::Rename,
    Call::Unlink,
    Call::SyncDir,
    Call::MakeDir,
];

fn config() -> LogConfig {
    LogConfig { segment_bytes: 128 << 10, tail_blocks: 6, max_flush_bytes: 64 << 10, ..LogConfig::new("/data/log") }
}

/// What a failure came to.
enum End {
    /// There was no such call.
    NoSuchCall,
    Latched,
}

/// Appends, flushes, prepares and drops segments until something latches, or to the end.
fn work(opened: &mut SteppedLog, mut each: impl FnMut(&SteppedLog) -> Result<(), String>) -> Result<(), String> {
    for round in 0..40usize {
        let length = [40, 9_000, 300, 30_000][round % 4];
        let meta = RecordMeta { group: Group::Single, ..RecordMeta::single(2) };
        match opened.appender.append(&meta, length, |out| out.fill(round as u8)) {
            Ok(_) | Err(AppendError::TailFull | AppendError::OutOfSpace | AppendError::Latched) => {}
            Err(error) => return Err(format!("{error:?}")),
        }
        opened.preparer.step();
        each(opened)?;
        let _ = opened.flusher.step(round as u64 * 60_000_000);
        each(opened)?;
        if round % 8 == 7 {
            let _ = opened.log.retain_from(opened.log.durable_address());
            each(opened)?;
        }
        if opened.log.latched().is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// Fails the call of that kind after so many of them.
fn fail_one(call: Call, after: u64, errno: i32, lasting: bool) -> Result<End, String> {
    let disk = SimDisk::new(after + 31 * call as u64);
    let mut opened = open_stepped(config(), Arc::new(disk.clone())).map_err(|e| e.to_string())?;
    disk.fail(Failure { call: Some(call), after, errno, lasting });
    let mut promised = opened.log.durable_sequence();
    work(&mut opened, |opened| {
        if opened.log.latched().is_none() {
            promised = opened.log.durable_sequence();
            // A failed call that may fail: only making room, and what is tried before anything depends on it.
            let failed = disk.failed();
            if failed
                .iter()
                .any(|f| matches!(f.call, Call::Write | Call::Sync | Call::SyncDir) && f.errno != libc::ENOSPC)
            {
                return Err(format!("{failed:?} and no latch"));
            }
        }
        Ok(())
    })?;
    let failed = disk.failed();
    let Some(first) = failed.first() else { return Ok(End::NoSuchCall) };
    let Some(error) = opened.log.latched() else {
        let foreseen = errno == libc::ENOSPC || call == Call::Unlink;
        return if foreseen { Ok(End::NoSuchCall) } else { Err(format!("{first:?} and no latch at all")) };
    };
    if (error.errno, error.call, &error.file, error.offset) != (errno, first.call.name(), &first.path, first.offset) {
        return Err(format!("{error:?} does not name {first:?}"));
    }
    if error.durable_sequence != promised {
        return Err(format!("{error:?}, and {promised} was the last promise"));
    }
    stands(&disk, &mut opened, &error)?;
    restarts(&disk, opened, promised, &format!("{first:?}"))?;
    Ok(End::Latched)
}

/// The disk is well again; the log is not, and does nothing.
fn stands(disk: &SimDisk, opened: &mut SteppedLog, error: &lotbook_wal::LatchedError) -> Result<(), String> {
    disk.heal();
    let changes = |disk: &SimDisk| CHANGES.map(|call| disk.calls_of(call));
    let before = changes(disk);
    for now in 0..5u64 {
        let refused = opened.appender.append(&RecordMeta::single(2), 10, |out| out.fill(0));
        if refused != Err(AppendError::Latched) {
            return Err(format!("latched, and an append says {refused:?}"));
        }
        if opened.flusher.step(now * 1_000_000_000).as_ref() != Err(error) {
            return Err("latched, and a step does not say so".into());
        }
        opened.preparer.step();
        let wait = opened.log.wait_durable(opened.log.published_sequence() + 1, Duration::from_secs(600));
        if wait.as_ref() != Err(error) {
            return Err(format!("whoever waits is told {wait:?}"));
        }
        if opened.log.durable_sequence() != error.durable_sequence {
            return Err("the durable sequence moved after the latch".into());
        }
        if opened.log.latched().as_ref() != Some(error) {
            return Err("the latch is another one".into());
        }
    }
    if changes(disk) != before {
        return Err("a latched log wrote, synced, renamed or removed".into());
    }
    Ok(())
}

/// A restart keeps what was durable, and what only the tail had.
fn restarts(disk: &SimDisk, opened: SteppedLog, promised: u64, what: &str) -> Result<(), String> {
    let published = opened.log.published_sequence();
    disk.restart(Stop::Kill);
    drop(opened);
    let report = open_stepped(config(), Arc::new(disk.clone())).map_err(|e| format!("after {what}: {e}"))?.report;
    let end = report.next_sequence - 2;
    if end < promised || end < published || report.lost_from_sequence.is_some() {
        return Err(format!("after {what}: durable {promised}, applied {published}, and {report:?}"));
    }
    Ok(())
}

/// Every write, sync, rename, allocation and directory sync of the workload, one after the other; how many latched.
pub(crate) fn every_failed_call_latches() -> Result<u64, String> {
    let mut latched = 0;
    let kinds = [Call::Write, Call::Sync, Call::SyncDir, Call::Rename, Call::Allocate, Call::Create];
    for call in kinds {
        for (errno, lasting) in [(libc::EIO, false), (libc::EROFS, true), (libc::ENOSPC, false)] {
            let mut after = 0;
            while let End::Latched =
                fail_one(call, after, errno, lasting).map_err(|e| format!("{call:?} {after}: {e}"))?
            {
                latched += 1;
                after += 1;
            }
        }
    }
    Ok(latched)
}

#[test]
fn every_failed_call_latches_once_and_for_good() {
    let latched = every_failed_call_latches().unwrap();
    println!("{latched} failed calls latched");
    assert!(latched > 150, "{latched}");
}

/// A failure while opening: the error names it, and the next opening finds nothing lost.
#[test]
fn an_opening_that_fails_at_any_call_can_be_tried_again() {
    let mut failed = 0;
    for after in 0.. {
        let disk = SimDisk::new(after);
        let mut opened = open_stepped(config(), Arc::new(disk.clone())).unwrap();
        work(&mut opened, |_| Ok(())).unwrap();
        let published = opened.log.published_sequence();
        disk.restart(Stop::Kill);
        drop(opened);
        disk.fail(Failure { call: None, after, errno: libc::EIO, lasting: true });
        let result = open_stepped(config(), Arc::new(disk.clone()));
        let calls = disk.failed();
        let Some(first) = calls.first() else { break };
        match result {
            // Removing what is not needed any more may fail.
            Ok(_) => assert!(calls.iter().all(|failed| failed.call == Call::Unlink), "{calls:?}"),
            Err(error) => {
                let text = error.to_string();
                assert!(calls.iter().any(|c| text.contains(&c.path.display().to_string())), "{error}: {calls:?}");
                failed += 1;
            }
        }
        disk.restart(Stop::Kill);
        let report = open_stepped(config(), Arc::new(disk.clone())).unwrap().report;
        assert!(report.next_sequence > published, "{first:?}: {report:?}");
        assert_eq!(report.lost_from_sequence, None, "{first:?}");
    }
    println!("{failed} calls failed an opening");
    assert!(failed > 10, "{failed}");
}
