//! What a campaign counts.

use std::collections::BTreeMap;
use std::fmt;

/// Sums over seeds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    pub(crate) openings: u64,
    pub(crate) made: u64,
    pub(crate) killed_opening: u64,
    pub(crate) failed_opening: u64,
    pub(crate) kills: u64,
    pub(crate) cuts: u64,
    pub(crate) misplaced: u64,
    pub(crate) closes: u64,
    pub(crate) hands: BTreeMap<&'static str, u64>,
    pub(crate) rows: BTreeMap<char, u64>,
    pub(crate) unfit: u64,
    pub(crate) records: u64,
    pub(crate) flushes: u64,
    pub(crate) watermarks: u64,
    /// Flushes that were through while others were under way.
    pub(crate) overtaking: u64,
    pub(crate) reads: u64,
    pub(crate) latches: u64,
    pub(crate) refused_for_space: u64,
    pub(crate) dropped_segments: u64,
    pub(crate) from_tail: u64,
    pub(crate) lost_applied: u64,
    pub(crate) verified: u64,
    pub(crate) calls: u64,
}

fn merge<K: Ord + Copy>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(*key).or_insert(0) += count;
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.openings += other.openings;
        self.made += other.made;
        self.killed_opening += other.killed_opening;
        self.failed_opening += other.failed_opening;
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.misplaced += other.misplaced;
        self.closes += other.closes;
        merge(&mut self.hands, &other.hands);
        merge(&mut self.rows, &other.rows);
        self.unfit += other.unfit;
        self.records += other.records;
        self.flushes += other.flushes;
        self.watermarks += other.watermarks;
        self.overtaking += other.overtaking;
        self.reads += other.reads;
        self.latches += other.latches;
        self.refused_for_space += other.refused_for_space;
        self.dropped_segments += other.dropped_segments;
        self.from_tail += other.from_tail;
        self.lost_applied += other.lost_applied;
        self.verified += other.verified;
        self.calls += other.calls;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds: {} calls, {} records, {} flushes ({} beside others), {} watermarks, {} records read beside them",
            self.seeds, self.calls, self.records, self.flushes, self.overtaking, self.watermarks, self.reads
        )?;
        writeln!(
            f,
            "  ends: {} closed, {} killed, {} power cuts ({} with a misplaced write), {} killed and {} failed while opening",
            self.closes, self.kills, self.cuts, self.misplaced, self.killed_opening, self.failed_opening
        )?;
        writeln!(
            f,
            "  {} latches, {} refused for space, {} segments dropped, {} records from the tail, {} applied records lost and said so",
            self.latches, self.refused_for_space, self.dropped_segments, self.from_tail, self.lost_applied
        )?;
        writeln!(
            f,
            "  {} openings ({} made a log, {} verified beside), rows: {:?}",
            self.openings, self.made, self.verified, self.rows
        )?;
        write!(f, "  {} refused before the table; other hands: {:?}", self.unfit, self.hands)
    }
}
