//! What retention does next: one table, read from the top; the first row that finds a segment or a cursor says it.
//!
//! The order of the rows is the ladder of an operator's sorrows: what costs nothing first, then what costs time to read, then what costs
//! a consumer its place. What comes after the last row is not done here: the preparer makes no segment that the reserve does not allow, and
//! so admission closes.

/// One sealed segment, as the table sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) first: u64,
    /// Its segment file is here.
    pub(crate) plain: bool,
    /// Its archive is here.
    pub(crate) packed: bool,
    /// The manifest names it.
    pub(crate) archived: bool,
    /// The target has it, whole.
    pub(crate) shipped: bool,
    /// A required cursor needs it.
    pub(crate) required: bool,
    /// A rebuildable cursor needs it.
    pub(crate) rebuildable: bool,
    /// It is among the newest, which keep their segment files while space allows.
    pub(crate) newest: bool,
    /// It was archived longer ago than shipped segments are kept.
    pub(crate) old: bool,
}

/// Everything the table looks at. Segments are in order of their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) sealed: Vec<Sealed>,
    /// There is a target.
    pub(crate) target: bool,
    /// Space runs short.
    pub(crate) short: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Remove the segment file: the archive beside it says the same.
    Thin,
    /// Make and check the archive.
    Archive,
    /// Copy the archive to the target, or find that it is there.
    Ship,
    /// Remove the archive here: the target has it.
    Drop,
    /// Release the rebuildable cursors that need it.
    Release,
    /// Copy what is not sealed to the target. No row: it is done where no row has anything to do.
    CopyTail,
}

/// A row: an act, when it is right for a segment, and why.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) letter: char,
    pub(crate) act: Act,
    when: fn(&View, &Sealed) -> bool,
    pub(crate) reason: &'static str,
}

/// The table; `docs/wal-format.md` has it in words.
pub(crate) const ROWS: [Row; 7] = [
    Row {
        letter: 'A',
        act: Act::Thin,
        when: |view, s| s.plain && s.packed && s.archived && (view.short || !s.newest),
        reason: "the archive beside it was checked and says the same",
    },
    Row {
        letter: 'B',
        act: Act::Archive,
        when: |view, s| s.plain && !s.archived && view.short,
        reason: "space runs short: compressed, a segment takes less and is read by the same readers",
    },
    Row {
        letter: 'C',
        act: Act::Archive,
        when: |view, s| s.plain && !s.archived && view.target,
        reason: "there is an archive to ship to: the sooner it has a copy the better",
    },
    Row {
        letter: 'D',
        act: Act::Ship,
        when: |view, s| view.target && s.archived && s.packed && !s.shipped,
        reason: "another disk is another life",
    },
    Row {
        letter: 'E',
        act: Act::Drop,
        when: |_, s| s.packed && !s.plain && s.shipped && s.old && !s.required && !s.rebuildable,
        reason: "kept as long as was asked for, and nobody needs it here",
    },
    Row {
        letter: 'F',
        act: Act::Drop,
        when: |view, s| s.packed && !s.plain && s.shipped && view.short && !s.required && !s.rebuildable,
        reason: "space runs short: the archive has it and nobody needs it here",
    },
    Row {
        letter: 'G',
        act: Act::Release,
        when: |view, s| s.packed && !s.plain && s.shipped && view.short && !s.required && s.rebuildable,
        reason: "space runs short: what can be rebuilt gives way before trades are refused",
    },
];

/// The next thing to do: the first row that holds for a segment, the oldest such segment. `skip` names what failed a moment ago.
pub(crate) fn next(view: &View, skip: &dyn Fn(Act, u64) -> bool) -> Option<(&'static Row, u64)> {
    ROWS.iter().find_map(|row| {
        // Archives are made in order: each continues the one before.
        let archivable = view.sealed.iter().find(|s| !s.archived).map(|s| s.first);
        let mut fitting = view.sealed.iter().filter(|s| (row.when)(view, s));
        let segment = fitting.find(|s| row.act != Act::Archive || archivable == Some(s.first))?;
        (!skip(row.act, segment.first)).then_some((row, segment.first))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of one segment's states with the log's.
    fn all() -> impl Iterator<Item = View> {
        (0u32..1 << 10).map(|bits| {
            let bit = |n: u32| bits >> n & 1 == 1;
            let sealed = Sealed {
                first: 0,
                plain: bit(0),
                packed: bit(1),
                archived: bit(2),
                shipped: bit(3),
                required: bit(4),
                rebuildable: bit(5),
                newest: bit(6),
                old: bit(7),
            };
            View { sealed: vec![sealed], target: bit(8), short: bit(9) }
        })
    }

    /// States that a log can be in: a local archive is in the manifest, only what is archived was shipped, and every segment is
    /// somewhere.
    fn possible(view: &View) -> bool {
        let s = view.sealed[0];
        let known = s.archived || !(s.packed || s.shipped);
        let somewhere = s.plain || s.packed || s.archived;
        known && somewhere && (!s.shipped || view.target)
    }

    #[test]
    fn no_combination_loses_the_only_copy_or_what_a_cursor_needs() {
        let (mut cases, mut acts) = (0, 0);
        for view in all().filter(possible) {
            cases += 1;
            let s = view.sealed[0];
            let Some((row, _)) = next(&view, &|_, _| false) else { continue };
            acts += 1;
            let name = format!("row {} of {view:?}", row.letter);
            match row.act {
                Act::Thin => assert!(s.plain && s.packed && s.archived, "{name}"),
                Act::Archive => assert!(s.plain && !s.archived && (view.short || view.target), "{name}"),
                Act::Ship => assert!(s.packed && view.target, "{name}"),
                Act::Drop => {
                    assert!(s.shipped && view.target && !s.plain, "{name}");
                    assert!(!s.required && !s.rebuildable && (s.old || view.short), "{name}");
                }
                Act::Release => assert!(view.short && s.rebuildable && !s.required && s.shipped, "{name}"),
                Act::CopyTail => panic!("{name}: no row of the ladder"),
            }
        }
        println!("{cases} states of a segment, {acts} of them with something to do");
    }

    /// Doing what the table says ends, and without an archive nothing is ever dropped.
    #[test]
    fn every_state_comes_to_rest() {
        for mut view in all().filter(possible) {
            let begin = view.clone();
            let mut steps = 0;
            while let Some((row, first)) = next(&view, &|_, _| false) {
                assert_eq!(first, 0);
                let s = &mut view.sealed[0];
                match row.act {
                    Act::Thin => s.plain = false,
                    Act::Archive => (s.archived, s.packed) = (true, true),
                    Act::Ship => s.shipped = true,
                    Act::Drop => s.packed = false,
                    Act::Release => s.rebuildable = false,
                    Act::CopyTail => panic!("no row of the ladder"),
                }
                steps += 1;
                assert!(steps <= 5, "{begin:?}");
            }
            let s = view.sealed[0];
            if !view.target && (begin.sealed[0].plain || begin.sealed[0].packed) {
                assert!(s.plain || s.packed, "gone without an archive: {begin:?}");
            }
            if view.short && view.target && !s.required && begin.sealed[0].packed {
                assert!(!s.packed, "space is short and it is still here: {begin:?}");
            }
        }
    }

    #[test]
    fn the_oldest_comes_first_and_a_failed_step_does_not_stop_the_ladder() {
        let plain = |first| Sealed { first, plain: true, ..Sealed::default() };
        let shipped = |first| Sealed { first, packed: true, archived: true, shipped: true, ..Sealed::default() };
        let view = View { sealed: vec![shipped(0), shipped(1), plain(2), plain(3)], target: true, short: true };
        let (row, first) = next(&view, &|_, _| false).unwrap();
        assert_eq!((row.letter, first), ('B', 2));
        let (row, first) = next(&view, &|act, _| act == Act::Archive).unwrap();
        assert_eq!((row.letter, first), ('F', 0));
    }
}
