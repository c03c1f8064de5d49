//! The thread `lb-retention`: moves the host's cursors, tells of space that runs short, looks for archives that were out of reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use lotbook_wal::{Log, RetentionReport, SegmentHold, SpaceAlert};

use super::holders::{Checkpointed, Holders};
use super::reach::{Missing, unasked};
use super::{CHECKPOINT_CURSOR, Outlook};
use crate::coldpath::ColdQueue;

/// Looks between two questions to the archive, and between two checkpoints that come early.
const LOOKS_AN_ARCHIVE: u32 = 10;

/// The thread's state. It ends when the follower has ended and everything it said is done.
#[derive(Debug)]
pub(crate) struct Watch {
    pub holders: Holders,
    pub checkpointed: Receiver<Checkpointed>,
    /// Asks the follower for a checkpoint before its time.
    pub checkpoint_wanted: Arc<AtomicBool>,
    /// The shard's log and the side log, by the names that an operator knows.
    pub logs: [(&'static str, Arc<Log>); 2],
    pub queue: Arc<ColdQueue>,
    pub outlook: Arc<Outlook>,
    /// Time between two looks.
    pub every: Duration,
    pub looks: u32,
    /// Ends at once, as a killed process does.
    pub crash: Arc<AtomicBool>,
}

impl Watch {
    /// Until the follower is gone.
    pub(crate) fn run(mut self) {
        self.settle(None);
        loop {
            match self.checkpointed.recv_timeout(self.every) {
                _ if self.crash.load(Ordering::Acquire) => return,
                Ok(newest) => self.turn(Some(newest)),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => self.turn(None),
            }
        }
    }

    /// A checkpoint was written, or it is time for a look.
    pub(crate) fn turn(&mut self, newest: Option<Checkpointed>) {
        if newest.is_some() {
            self.settle(newest);
            return;
        }
        self.look();
        if self.looks.is_multiple_of(LOOKS_AN_ARCHIVE) {
            self.ask_archive();
            self.ask_checkpoint();
        }
        self.looks = self.looks.wrapping_add(1);
    }

    fn settle(&mut self, newest: Option<Checkpointed>) {
        // What is held longer than it must be costs room and nothing else: the next checkpoint tries again.
        let failed = self.holders.settle(newest).err();
        self.outlook.say("cursors", failed.map(|error| format!("a checkpoint's cursor was not moved: {error}")));
    }

    fn look(&self) {
        for (name, log) in &self.logs {
            let report = log.retention();
            self.outlook.say(&format!("{name}: space"), short(name, &report));
            let failed = report.problems.iter().map(|(what, why)| format!("{what}: {why}")).collect::<Vec<_>>();
            let words = (!failed.is_empty()).then(|| format!("retention of the {name}: {}", failed.join("; ")));
            self.outlook.say(&format!("{name}: keeper"), words);
        }
    }

    /// Before a trade is refused, recovery reads less: where the oldest sealed segment here is kept for it, a checkpoint comes early. It
    /// takes two to move the cursor; with nothing new there is none.
    fn ask_checkpoint(&self) {
        let [(_, log), _] = &self.logs;
        let report = log.retention();
        let oldest = report.segments.iter().find(|segment| segment.file_bytes > 0);
        let is_held =
            |segment: &SegmentHold| segment.sealed && segment.held_by.iter().any(|name| name == CHECKPOINT_CURSOR);
        if report.short && oldest.is_some_and(is_held) {
            // ORDERING: Relaxed; it carries nothing but itself.
            self.checkpoint_wanted.store(true, Ordering::Relaxed);
        }
    }

    fn ask_archive(&self) {
        for (name, log) in &self.logs {
            let words = match Missing::of(log) {
                Ok(missing) => missing.map(|missing| missing.words()),
                Err(error) => Some(unasked(log.dir(), &error)),
            };
            self.outlook.say(&format!("{name}: archive"), words);
        }
        self.queue.retry_unread();
    }
}

/// What is said when the disk is full within a day.
fn short(name: &str, report: &RetentionReport) -> Option<String> {
    let hours = match report.alert {
        SpaceAlert::None => return None,
        SpaceAlert::Within24Hours => 24,
        SpaceAlert::Within4Hours => 4,
    };
    Some(format!("the disk of the {name} is full within {hours} hours at the pace of the last ten minutes"))
}
