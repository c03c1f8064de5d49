//! Defects on purpose, and the suite that catches each: a test that never fails proves nothing.
//!
//! `docs/wal-testing.md` has the table. `LOTBOOK_BUG=Name` plants that one alone.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lotbook_wal::sim::{Bug, plant};

use crate::campaign::SHORT;
use crate::run::{Ground, run};
use crate::{bits, defects, flights, latch, order, space};

/// A suite that finds a fault or does not.
#[derive(Clone, Copy)]
enum Suite {
    /// Seeds of the campaign, in order.
    Seeds,
    /// Every bit of a record.
    Bits,
    /// What is written, in which order; named by its test.
    Order(&'static str, fn() -> Result<(), String>),
    /// Flushes under way, in every order.
    Flights(&'static str, fn() -> Result<(), String>),
    /// Every failed call of a small workload.
    Latch,
    /// A disk that fills up.
    Space,
    /// The story of a defect that was real once.
    Story(&'static str, fn()),
}

macro_rules! story {
    ($name:ident) => {
        Suite::Story(stringify!($name), defects::$name)
    };
}

/// Which suite is to catch it.
fn suite(bug: Bug) -> Suite {
    match bug {
        Bug::ChecksumWithoutLength | Bug::ChecksumOfPayloadAlone => Suite::Bits,
        Bug::PartialBlockInPlace | Bug::SameSlotAgain | Bug::TwoSlotsAtOnce => {
            Suite::Order("every_block_is_written_once_and_the_slots_in_turn", order::blocks_once_and_slots_in_turn)
        }
        Bug::DurableOutOfOrder
        | Bug::SlotReusedEarly
        | Bug::WatermarkOfFlushesUnderWay
        | Bug::RollWithFlushesUnderWay => {
            let every_order = || flights::flushes_in_every_order().map(|_| ());
            Suite::Flights("flushes_under_way_may_be_through_in_any_order_and_cut_short_at_any_step", every_order)
        }
        Bug::SharedDescription => Suite::Flights(
            "a_sync_that_failed_is_told_to_every_flush_under_way",
            flights::a_failure_told_to_one_is_told_to_all,
        ),
        Bug::BlocksFreedEarly => {
            Suite::Order("a_block_of_the_tail_is_kept_until_it_is_durable", order::killed_in_a_flush_of_a_full_tail)
        }
        Bug::RetentionNewestFirst => {
            Suite::Order("retention_killed_anywhere_leaves_a_log", order::retention_killed_at_any_call)
        }
        Bug::SyncRetried | Bug::FailureForgotten | Bug::AppendsAfterLatch => Suite::Latch,
        Bug::AppendsBeyondRoom | Bug::SpaceNeverReturns => Suite::Space,
        Bug::NoDirectorySyncAtOpen => story!(names_that_a_killed_process_left_are_made_durable_before_they_are_used),
        Bug::NoParentSync => story!(the_directories_above_a_new_log_are_durable_before_the_log_exists),
        Bug::RecoveredNotRewritten => story!(what_a_failed_sync_left_in_the_page_cache_is_written_again),
        Bug::TornSlotLeft => story!(a_torn_slot_is_not_left_behind_when_the_log_goes_on_in_the_next_segment),
        Bug::ZerosPassForUnwritten => story!(zeros_that_went_astray_do_not_pass_for_a_slot_that_was_never_written),
        Bug::TornSlotsAccepted => story!(a_segment_with_more_torn_slots_than_flushes_tear_is_damaged),
        Bug::LastSegmentNotMissed => story!(the_last_segment_is_missed_when_it_is_gone),
        Bug::CutNotCleared => story!(nothing_of_a_group_that_was_cut_stays_behind_the_end),
        _ => Suite::Seeds,
    }
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Suite::Seeds => "seeds",
            Suite::Bits => "bits",
            Suite::Latch => "latch",
            Suite::Space => "space",
            Suite::Story(name, _) | Suite::Order(name, _) | Suite::Flights(name, _) => name,
        }
    }

    /// What it finds.
    fn find(self, ground: &Ground) -> Option<String> {
        match self {
            Suite::Seeds => {
                (0..SHORT).find_map(|seed| Some(format!("seed {seed}: {}", run(seed, ground, false).problem?)))
            }
            Suite::Bits => bits::every_bit_of_a_record().err(),
            Suite::Order(_, suite) | Suite::Flights(_, suite) => {
                catch_unwind(AssertUnwindSafe(suite)).unwrap_or_else(|_| Err("it panics".to_owned())).err()
            }
            Suite::Latch => latch::every_failed_call_latches().err(),
            Suite::Space => space::full_disks().err(),
            Suite::Story(_, story) => catch_unwind(AssertUnwindSafe(story)).err().map(|_| "it fails".to_owned()),
        }
    }
}

#[test]
fn each_planted_defect_is_caught_by_the_suite_named_for_it() {
    let wanted = std::env::var("LOTBOOK_BUG").ok();
    let is_wanted = |bug: &Bug| wanted.as_ref().is_none_or(|wanted| *wanted == format!("{bug:?}"));
    let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(is_wanted).collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(4);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let ground = Ground::new();
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let what = plant(*bug, || suite(*bug).find(&ground));
                    found.lock().unwrap().insert(*bug, what);
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    for (bug, what) in &found {
        let what: String = what.as_deref().unwrap_or("nobody noticed").chars().take(160).collect();
        println!("{bug:?} | {} | {what}", suite(*bug).name());
    }
    println!("{} defects planted", found.len());
    let missed: Vec<_> = found.iter().filter(|(_, what)| what.is_none()).map(|(bug, _)| *bug).collect();
    assert!(missed.is_empty(), "nobody noticed {missed:?}");
}
