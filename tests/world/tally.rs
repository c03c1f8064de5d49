//! What runs are counted by, and the trace of one.

use std::fmt::Write as _;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    pub(crate) turns: u64,
    pub(crate) kills: u64,
    pub(crate) cuts: u64,
    pub(crate) starts: u64,
    pub(crate) dead_in_start: u64,
    pub(crate) latched: u64,
    pub(crate) full: u64,
    pub(crate) tail_full: u64,
    pub(crate) segments: u64,
    pub(crate) panics: u64,
    pub(crate) hangs: u64,
    pub(crate) asks: u64,
    pub(crate) resent: u64,
    pub(crate) refused_for_space: u64,
    pub(crate) records: u64,
    pub(crate) corrections: u64,
    pub(crate) rebooked: u64,
    pub(crate) arrived: u64,
    pub(crate) duplicates: u64,
    pub(crate) locks: u64,
    pub(crate) resolved: u64,
    pub(crate) marks: u64,
    pub(crate) checkpoints_used: u64,
    pub(crate) compared: u64,
    /// Most turns that settling took, ever.
    pub(crate) settling_most: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, of: &Self) {
        let Self { settling_most, .. } = *self;
        for (sum, part) in [
            (&mut self.seeds, of.seeds),
            (&mut self.turns, of.turns),
            (&mut self.kills, of.kills),
            (&mut self.cuts, of.cuts),
            (&mut self.starts, of.starts),
            (&mut self.dead_in_start, of.dead_in_start),
            (&mut self.latched, of.latched),
            (&mut self.full, of.full),
            (&mut self.tail_full, of.tail_full),
            (&mut self.segments, of.segments),
            (&mut self.panics, of.panics),
            (&mut self.hangs, of.hangs),
            (&mut self.asks, of.asks),
            (&mut self.resent, of.resent),
            (&mut self.refused_for_space, of.refused_for_space),
            (&mut self.records, of.records),
            (&mut self.corrections, of.corrections),
            (&mut self.rebooked, of.rebooked),
            (&mut self.arrived, of.arrived),
            (&mut self.duplicates, of.duplicates),
            (&mut self.locks, of.locks),
            (&mut self.resolved, of.resolved),
            (&mut self.marks, of.marks),
            (&mut self.checkpoints_used, of.checkpoints_used),
            (&mut self.compared, of.compared),
        ] {
            *sum += part;
        }
        self.settling_most = settling_most.max(of.settling_most);
    }
}

/// What is kept of what happened: its hash always, its lines where somebody wants to read them.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) hash: u64,
    pub(crate) lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn say(&mut self, turn: u64, what: std::fmt::Arguments<'_>) {
        let mut line = String::new();
        write!(line, "{turn:>7} {what}").expect("a string grows");
        self.hash = line.bytes().fold(self.hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }
}
