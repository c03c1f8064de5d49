//! What replays have left outlives the process: after a start the first late trade near the end of a long history books little of it again.

use lotbook_core::command::Side;
use lotbook_core::event::Class;
use lotbook_core::rules::LotMethod;
use lotbook_engine::Status;
use lotbook_tests::rig::{PATIENCE, Rig, config};

use super::{equals_oracle, input};
use crate::support::{E8, Spec};

/// Trades of the position before anything is late.
const HISTORY: u32 = 5_000;
/// Far more than a replay near the end has to book, and far less than the history.
const LITTLE: u64 = 500;

fn in_order(id: u32) -> Spec {
    let side = if id.is_multiple_of(3) { Side::Sell } else { Side::Buy };
    let mut spec = Spec::new(id, side, E8, E8 + i64::from(id), 10);
    spec.order = u64::from(id) * 10;
    spec
}

/// Sends a trade that comes late by a few, and says how many items were booked to reconcile it.
fn late(rig: &mut Rig, list: &mut Vec<Spec>) -> u64 {
    let id = list.len() as u32;
    let mut spec = Spec::new(id, Side::Buy, 2 * E8, E8, 10);
    spec.order = u64::from(HISTORY) * 10 - 55 + u64::from(id % 10);
    list.push(spec);
    let before = rig.host.coldpath().counters().items();
    let sent = input(&rig.host, &spec);
    assert_eq!(rig.ask_all([sent])[0].status, Status::Trade(Class::Provisional));
    equals_oracle(&rig.host, list, LotMethod::Fifo);
    rig.host.coldpath().counters().items() - before
}

#[test]
fn a_late_trade_after_a_start_books_little_of_a_long_history() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path());
    config.tail_dir = Some(dir.path().join("tail"));
    let mut rig = Rig::start(&config);
    rig.rules(LotMethod::Fifo, true, 0);
    let mut list: Vec<Spec> = (0..HISTORY).map(in_order).collect();
    let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
    rig.ask_all(inputs);
    assert!(rig.host.wait_published(PATIENCE));
    let first = late(&mut rig, &mut list);
    assert!(first > u64::from(HISTORY), "{first}: nothing was kept yet");
    let while_it_runs = late(&mut rig, &mut list);

    drop(rig.door);
    rig.host.stop().expect("a clean stop, with a checkpoint");
    let mut rig = Rig::start(&config);
    assert!(rig.host.report().checkpoint_sequence > 0);
    let after_a_stop = late(&mut rig, &mut list);

    // The checkpoint is the one of the stop; what came since is in the log alone.
    rig.host.crash();
    let mut rig = Rig::start(&config);
    let after_a_crash = late(&mut rig, &mut list);

    rig.host.crash();
    for checkpoint in std::fs::read_dir(config.data_dir.join("checkpoints")).expect("a directory").flatten() {
        std::fs::remove_file(checkpoint.path()).expect("a checkpoint");
    }
    let mut rig = Rig::start(&config);
    assert_eq!(rig.host.report().checkpoint_sequence, 0);
    let without_a_checkpoint = late(&mut rig, &mut list);
    println!(
        "{HISTORY} trades; booked for one that is late: {first}, then {while_it_runs}; after a stop {after_a_stop}, after a crash \
         {after_a_crash}, without a checkpoint {without_a_checkpoint}"
    );
    for little in [while_it_runs, after_a_stop, after_a_crash] {
        assert!(little < LITTLE, "{little} were booked");
    }
    assert!(without_a_checkpoint > u64::from(HISTORY), "{without_a_checkpoint}: it is read from the log");
}
