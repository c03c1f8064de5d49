//! The client, the driver and the control against each other, over loopback. Nothing here judges time.

use lotbook_perf::burst::{self, Target};
use lotbook_perf::control::{CONTROL_COMP_ID, Echo};
use lotbook_perf::driver::Driver;
use lotbook_perf::ledger::{Kind, Status};
use lotbook_perf::plan::BurstPlan;
use lotbook_perf::{control, flow};
use std::time::{Duration, Instant};

fn plan() -> BurstPlan {
    BurstPlan { rate: 2_000, burst_multiplier: 4, seconds: 1, positions: 1_000, ..BurstPlan::default() }
}

#[test]
fn every_message_is_answered_and_counted_once() {
    let plan = plan();
    let mut lines = 0;
    let ledger = flow::generate(&plan).unwrap();
    let messages = ledger.entries.len() as u64;
    let outcome = control::run(&plan, ledger, &mut |progress| {
        lines += 1;
        assert!(progress.answered <= progress.sent && progress.sent <= progress.total);
    })
    .unwrap();
    let counts = &outcome.counts;
    assert_eq!((counts.sent, counts.unanswered), (messages, 0));
    assert_eq!(counts.sent, counts.acknowledged + counts.duplicates + counts.rejected);
    assert_eq!(outcome.total.latency.len(), messages);
    assert_eq!(outcome.base.offered + outcome.burst.offered, messages);
    assert_eq!(
        (outcome.unknown_answers, outcome.contradictions.count),
        (0, 0),
        "{:?}",
        outcome.contradictions.examples
    );
    assert!(lines >= 3);
    assert!(outcome.ledger.entries.iter().all(|entry| entry.source_order > 0));
}

#[test]
fn a_driver_goes_on_after_its_connections_broke() {
    let plan = plan();
    let ledger = flow::generate(&plan).unwrap();
    let messages = ledger.entries.len() as u64;
    let echo = Echo::start().unwrap();
    let mut driver = Driver::new(&plan, ledger, Target::new(echo.addr(), CONTROL_COMP_ID, plan.sessions));
    driver.connect().unwrap();
    for broken_at in [500, 1_500, 2_500] {
        driver.run(&mut |_| {}, &mut |driver| driver.sent() > broken_at).unwrap();
        // In the middle of it: answers are under way, and bytes not written yet.
        driver.drop_connections();
        assert!(driver.sent() > broken_at && driver.sent() < messages);
        // The session numbers go on, the holes are filled by the rules of FIX, and the schedule stood still meanwhile.
        driver.connect().unwrap();
    }
    driver.run(&mut |_| {}, &mut |_| false).unwrap();
    // What the echo never saw, or answered into a broken connection, it is asked again.
    let deadline = Instant::now() + Duration::from_secs(60);
    while lost_trades(&driver) > 0 {
        assert!(Instant::now() < deadline, "{} trades are without an answer", lost_trades(&driver));
        driver.drain(Duration::from_millis(300), &mut |_| {}).unwrap();
        driver.ask_again();
    }
    assert_eq!(driver.sent(), messages);
    driver.close();
}

#[test]
fn a_host_that_dies_interrupts_the_run_and_its_last_answers_count() {
    let plan = plan();
    let mut echo = Some(Echo::start().unwrap());
    let target = Target::new(echo.as_ref().unwrap().addr(), CONTROL_COMP_ID, plan.sessions);
    let mut driver = Driver::new(&plan, flow::generate(&plan).unwrap(), target);
    driver.connect().unwrap();
    let interrupted = driver
        .run(&mut |_| {}, &mut |driver| {
            if driver.sent() > 1_000 {
                echo.take();
            }
            false
        })
        .unwrap_err();
    assert!(interrupted.session < plan.sessions as usize);
    driver.read_out(Duration::from_secs(20));
    assert!(driver.sessions().iter().all(|session| session.is_idle()));
    let answered = driver.ledger.entries.iter().filter(|entry| entry.status > Status::Sent).count() as u64;
    assert_eq!(answered, driver.answered());
    assert!(driver.answered() > 0 && driver.outstanding() > 0);
}

fn lost_trades(driver: &Driver) -> usize {
    let entries = driver.ledger.entries.iter();
    entries.filter(|entry| entry.status == Status::Sent && !matches!(entry.kind(), Kind::Invalid(_))).count()
}

#[test]
fn a_target_needs_a_sender_for_every_session() {
    let echo = Echo::start().unwrap();
    let target = Target::new(echo.addr(), CONTROL_COMP_ID, 1);
    let error = burst::run(&plan(), &target, &mut |_| {}).err().unwrap().to_string();
    assert_eq!(error, "the plan has 4 sessions, the target 1 sender CompIDs");
}
