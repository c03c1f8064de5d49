//! What becomes of a log at opening: one table, one row for every combination.

use std::fmt;

/// How the chain of records on disk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// There is no record at all.
    Empty,
    /// The last record is a close record and only zeros follow.
    Closed,
    /// Only zeros follow.
    Stopped,
    /// Something follows that is not the next record.
    Broken,
}

/// Where the end lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// No witness calls the next record durable.
    Above,
    /// A tail slot, a record header or a later segment says that more than this was durable.
    Below,
}

/// What the tail file has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TailFound {
    /// There is none.
    Missing,
    /// Cut short, or its first page is damaged.
    Unreadable,
    /// It belongs to another log.
    Foreign,
    /// It belongs to an epoch before the one on disk.
    Older,
    /// It is behind the disk; or from before a reboot, and at odds with the disk or without anything the disk does not have: a copy, or
    /// pages that were never written back.
    Stale,
    /// It holds nothing that the disk does not.
    Agrees,
    /// It continues the chain on disk up to what was published.
    Extends,
    /// It continues the chain, but stops before what was published, or is from before a reboot: its cursor is then as old as any page.
    Damaged,
    /// It holds other bytes than the disk for the same addresses, or another next record.
    Differs,
    /// It begins beyond the end of the disk.
    Gap,
}

/// Whether the joined chain ends inside a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupEnd {
    /// It does not.
    Whole,
    /// It does.
    Unfinished,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) ending: Ending,
    pub(crate) place: Place,
    pub(crate) tail: TailFound,
    pub(crate) group: GroupEnd,
}

/// What is done. In every "start" the end of the joined chain, cut back to a whole group, is the end of the log, and what lies behind
/// it becomes zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Refuse: damage in what was durable.
    RefuseCorrupt,
    /// Refuse: the tail is another log's.
    RefuseForeign,
    /// Refuse: disk and tail contradict each other.
    RefuseDiffers,
    /// Refuse: records between disk and tail are missing.
    RefuseGap,
    /// Start; the epoch before was closed in order.
    StartClean,
    /// Start; everything that was answered is here.
    StartWhole,
    /// Start; `applied` answers from the next sequence on may be lost: say so loudly.
    StartLost,
}

/// One row: it holds when every column that is named contains what was found.
pub(crate) struct Row {
    pub(crate) letter: char,
    ending: &'static [Ending],
    place: Place,
    tail: &'static [TailFound],
    group: &'static [GroupEnd],
    pub(crate) verdict: Verdict,
    pub(crate) reason: &'static str,
}

use Ending::{Broken, Closed, Empty, Stopped};
use GroupEnd::{Unfinished, Whole};
use Place::{Above, Below};
use TailFound::{Agrees, Damaged, Differs, Extends, Foreign, Gap, Missing, Older, Stale, Unreadable};

const ANY_END: &[Ending] = &[Empty, Closed, Stopped, Broken];
const ANY_TAIL: &[TailFound] = &[Missing, Unreadable, Foreign, Older, Stale, Agrees, Extends, Damaged, Differs, Gap];
const ANY_GROUP: &[GroupEnd] = &[Whole, Unfinished];
/// No tail of this epoch that could say what was published.
const NO_TAIL: &[TailFound] = &[Missing, Unreadable, Older, Stale];

/// The table. Order does not matter: exactly one row fits.
#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    Row { letter: 'A', ending: ANY_END, place: Below, tail: ANY_TAIL, group: ANY_GROUP, verdict: Verdict::RefuseCorrupt,
        reason: "durable bytes are damaged or gone; a tail that could fill the hole does not make this disk trustworthy" },
    Row { letter: 'B', ending: ANY_END, place: Above, tail: &[Foreign], group: ANY_GROUP, verdict: Verdict::RefuseForeign,
        reason: "a tail of another log in this log's place: someone mixed up files, and ours may lie elsewhere" },
    Row { letter: 'C', ending: ANY_END, place: Above, tail: &[Differs], group: ANY_GROUP, verdict: Verdict::RefuseDiffers,
        reason: "one writer wrote both, so one of them is not ours; guessing which would invent history" },
    Row { letter: 'D', ending: ANY_END, place: Above, tail: &[Gap], group: ANY_GROUP, verdict: Verdict::RefuseGap,
        reason: "blocks are given back only when durable: what lies between was durable and is gone" },
    Row { letter: 'E', ending: &[Empty], place: Above, tail: &[Missing, Unreadable, Older, Stale, Agrees], group: &[Whole], verdict: Verdict::StartClean,
        reason: "the first start never finished, so nobody was served" },
    Row { letter: 'F', ending: &[Closed], place: Above, tail: &[Missing, Unreadable, Older, Stale, Agrees], group: &[Whole], verdict: Verdict::StartClean,
        reason: "closed in order: everything was durable and the tail had done its work" },
    Row { letter: 'G', ending: &[Stopped], place: Above, tail: &[Agrees], group: &[Whole], verdict: Verdict::StartWhole,
        reason: "killed with everything published on disk" },
    Row { letter: 'H', ending: &[Broken], place: Above, tail: &[Agrees], group: &[Whole], verdict: Verdict::StartWhole,
        reason: "the tail shows that nothing published lies behind the end: the rest is a torn write" },
    Row { letter: 'I', ending: ANY_END, place: Above, tail: &[Extends], group: &[Whole], verdict: Verdict::StartWhole,
        reason: "killed with the disk behind: the tail holds the rest, which becomes durable before anyone is served" },
    Row { letter: 'J', ending: &[Stopped], place: Above, tail: NO_TAIL, group: &[Whole], verdict: Verdict::StartLost,
        reason: "no tail after an unclean stop: what was durable is here, what was only applied may be lost" },
    Row { letter: 'K', ending: &[Broken], place: Above, tail: NO_TAIL, group: &[Whole], verdict: Verdict::StartLost,
        reason: "a torn write above the watermark and no tail: cut, and applied answers may be lost" },
    Row { letter: 'L', ending: ANY_END, place: Above, tail: &[Agrees, Extends], group: &[Unfinished], verdict: Verdict::StartWhole,
        reason: "killed inside a group: nobody was answered for it, so it goes as a whole" },
    Row { letter: 'M', ending: ANY_END, place: Above, tail: NO_TAIL, group: &[Unfinished], verdict: Verdict::StartLost,
        reason: "part of a group reached the disk and the tail is gone: the group may have been answered as applied" },
    Row { letter: 'N', ending: ANY_END, place: Above, tail: &[Damaged], group: &[Whole], verdict: Verdict::StartLost,
        reason: "published records in the tail do not verify: keep what does, say from where answers may be lost" },
    Row { letter: 'O', ending: ANY_END, place: Above, tail: &[Damaged], group: &[Unfinished], verdict: Verdict::StartLost,
        reason: "as N, and the last group is not whole" },
];

impl Row {
    fn fits(&self, found: &Findings) -> bool {
        self.ending.contains(&found.ending)
            && self.place == found.place
            && self.tail.contains(&found.tail)
            && self.group.contains(&found.group)
    }
}

/// The one row that fits.
pub(crate) fn decide(found: &Findings) -> &'static Row {
    ROWS.iter().find(|row| row.fits(found)).expect("the table covers every combination")
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recovery row {}: {}", self.letter, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_exactly_one_row_and_every_row_has_one() {
        let mut used = std::collections::BTreeSet::new();
        let mut combinations = 0;
        for &ending in ANY_END {
            for place in [Above, Below] {
                for &tail in ANY_TAIL {
                    for &group in ANY_GROUP {
                        let found = Findings { ending, place, tail, group };
                        let fitting: Vec<char> = ROWS.iter().filter(|r| r.fits(&found)).map(|r| r.letter).collect();
                        assert_eq!(fitting.len(), 1, "{found:?} fits {fitting:?}");
                        assert_eq!(decide(&found).letter, fitting[0]);
                        used.insert(fitting[0]);
                        combinations += 1;
                    }
                }
            }
        }
        assert_eq!(combinations, 160);
        assert_eq!(used.len(), ROWS.len(), "a row that never fits is dead");
    }

    #[test]
    fn verdicts_keep_the_promises() {
        for &ending in ANY_END {
            for &tail in ANY_TAIL {
                for &group in ANY_GROUP {
                    let below = decide(&Findings { ending, place: Below, tail, group });
                    assert_eq!(below.verdict, Verdict::RefuseCorrupt);
                    let row = decide(&Findings { ending, place: Above, tail, group });
                    let knows_published = matches!(tail, Agrees | Extends);
                    if row.verdict == Verdict::StartWhole {
                        assert!(knows_published, "{} claims too much", row.letter);
                    }
                    if row.verdict == Verdict::StartClean {
                        assert!(matches!(ending, Empty | Closed), "{} claims too much", row.letter);
                    }
                }
            }
        }
    }

    /// The columns of the page, not only its letters, decide every combination as the code does.
    #[test]
    fn the_format_page_decides_every_combination_the_same() {
        let page = include_str!("../../docs/wal-format.md");
        let lines: Vec<Vec<&str>> = page[page.find("| row | end | place |").unwrap()..]
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        for &ending in ANY_END {
            for place in [Above, Below] {
                for &tail in ANY_TAIL {
                    for &group in ANY_GROUP {
                        let found =
                            [format!("{ending:?}"), format!("{place:?}"), format!("{tail:?}"), format!("{group:?}")];
                        let fits = |line: &&Vec<&str>| {
                            line[2..6]
                                .iter()
                                .zip(&found)
                                .all(|(cell, f)| cell.split(", ").any(|w| w == "any" || w == f))
                        };
                        let fitting: Vec<_> = lines.iter().filter(fits).collect();
                        assert_eq!(fitting.len(), 1, "{found:?}");
                        let row = decide(&Findings { ending, place, tail, group });
                        let said = (fitting[0][1].to_owned(), fitting[0][6].to_owned());
                        assert_eq!(said, (row.letter.to_string(), format!("{:?}", row.verdict)), "{found:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_format_page_lists_every_row() {
        let page = include_str!("../../docs/wal-format.md");
        for row in ROWS {
            assert!(page.contains(&format!("| {} |", row.letter)), "row {} is missing", row.letter);
            assert!(page.contains(row.reason), "the reason of row {} differs", row.letter);
        }
    }
}
